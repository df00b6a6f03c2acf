"""Text into numbers for the tagger: hashed n-grams weighted by TF-IDF, and the field's own terms. Owner of scikit-learn
at run time.

Only hashing is used, no vocabulary: a model is then plain arrays, small, quick to load, and the same for every
version of scikit-learn that hashes alike (MurmurHash3 since 0.14; a test pins it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Block", "FeatureSet", "term_pattern"]


@dataclass(frozen=True)
class Block:
    """One kind of n-grams.

    Args:
        analyzer: ``word`` or ``char_wb`` (within words).
        low, high: shortest and longest run.
        bits: 2 to this power columns.
        idf: inverse document frequency by column; empty before fitting.
    """

    analyzer: str
    low: int
    high: int
    bits: int
    idf: NDArray[np.float32]

    @cached_property
    def _vectorizer(self) -> Any:
        from sklearn.feature_extraction.text import HashingVectorizer

        return HashingVectorizer(
            analyzer=self.analyzer,
            ngram_range=(self.low, self.high),
            n_features=1 << self.bits,
            alternate_sign=False,
            norm=None,
            token_pattern=r"(?u)\b\w\w+\b" if self.analyzer == "word" else None,
            dtype=np.float32,
        )

    def counts(self, texts: Sequence[str]) -> Any:
        """How often each n-gram occurs: a sparse matrix, texts by columns."""
        return self._vectorizer.transform(texts)

    def weighted(self, texts: Sequence[str]) -> Any:
        """TF-IDF rows of unit length: (1 + ln count) x idf."""
        matrix = self.counts(texts)
        matrix.data = (np.log(matrix.data) + 1.0) * self.idf[matrix.indices]
        lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
        lengths[lengths == 0] = 1.0
        matrix.data /= np.repeat(lengths, np.diff(matrix.indptr)).astype(np.float32)
        return matrix

    def fitted(self, texts: Sequence[str]) -> Block:
        """The same block with inverse document frequencies of these texts (smoothed, as scikit-learn has them)."""
        matrix = self.counts(texts)
        frequency = np.bincount(matrix.indices, minlength=1 << self.bits)
        idf = np.log((1 + len(texts)) / (1 + frequency)) + 1.0
        return Block(self.analyzer, self.low, self.high, self.bits, idf.astype(np.float32))


def term_pattern(term: str) -> str:
    """A pattern for a term and its inflected forms: each word's stem, then any ending.

    Example:
        >>> bool(re.search(term_pattern("торговля людьми"), "о торговле людьми", re.IGNORECASE))
        True
    """
    return r"\b" + r"\w*\W+".join(re.escape(_stem(word)) for word in term.split()) + r"\w*"


def _stem(word: str) -> str:
    if len(word) <= 4:
        return word
    return word[: max(4, len(word) - 2)] if len(word) < 9 else word[:-3]


@dataclass(frozen=True)
class FeatureSet:
    """All features of a text: blocks of n-grams, then one column for each concept of the field.

    Args:
        blocks: the n-grams.
        concepts: by concept, the patterns of its terms.
    """

    blocks: tuple[Block, ...]
    concepts: Mapping[str, tuple[str, ...]]

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        return [re.compile("|".join(patterns), re.IGNORECASE) for patterns in self.concepts.values()]

    def matrix(self, texts: Sequence[str]) -> Any:
        """A sparse matrix, texts by features.

        Args:
            texts: title and body of each, as one string.
        """
        from scipy.sparse import csr_matrix, hstack

        parts = [block.weighted(texts) for block in self.blocks]
        if self.concepts:
            # Three mentions are as good as many.
            hits = [
                [min(sum(1 for _ in pattern.finditer(text)), 3) / 1.5 for pattern in self._patterns] for text in texts
            ]
            parts.append(csr_matrix(np.array(hits, np.float32).reshape(len(texts), len(self._patterns))))
        return hstack(parts, format="csr")

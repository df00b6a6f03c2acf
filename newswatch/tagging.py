"""A trained model put to use: texts in, tags with scores, doubts and evidence out."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from newswatch.exceptions import ModelError
from newswatch.features import Block, FeatureSet
from newswatch.language import detect_language, language_code
from newswatch.records import Evidence, Tagging
from newswatch.text import sentences, words

__all__ = ["Tagger", "document", "load_tagger", "model_folder"]

_FORMAT = 1
_SHORT_WORDS = 12
_LONGEST_TITLE = 250
_MOST_CHARS = 60_000
_EVIDENCE_SENTENCES = 200


def model_folder() -> Path:
    """Where the shipped model lies: inside the package, or beside it in a checkout."""
    inside = Path(__file__).parent / "models" / "tags"
    return inside if (inside / "model.json").exists() else Path(__file__).parent.parent / "models" / "tags"


@cache
def load_tagger(folder: str | None = None) -> Tagger:
    """As `Tagger.load`, but once for each folder in a process."""
    return Tagger.load(folder)


def document(title: str, text: str) -> str:
    """Title and text as the model reads them: the title counts twice, and very long texts are cut."""
    head = f"{title}\n{title}\n" if title else ""
    return head + text[:_MOST_CHARS]


@dataclass(frozen=True)
class Tagger:
    """A tag model.

    Args:
        tags: its tags, in order.
        features: how a text becomes numbers.
        coefficients: log-odds by tag and feature.
        intercepts: by tag.
        slopes, offsets: by tag, from the raw value to the log-odds of a calibrated probability (Platt scaling).
        thresholds: by tag, the least probability for giving it.
        band: how near to its threshold a tag counts as unsure, in probability.
        languages: those it was tested in.
        version: its name.

    Example:
        >>> tagger = Tagger.load()
        >>> tagger.tag("Police freed 12 workers held in debt bondage at a brick kiln.").tags
        ('TIP',)
    """

    tags: tuple[str, ...]
    features: FeatureSet
    coefficients: NDArray[np.float32]
    intercepts: NDArray[np.float64]
    slopes: NDArray[np.float64]
    offsets: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    band: float
    languages: tuple[str, ...]
    version: str = ""

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None) -> Self:
        """Load a model from a folder; by default the shipped one.

        Raises:
            ModelError: the model is missing, is not the file that its ``model.json`` vouches for, or was made for
                another range of scikit-learn than the one installed.
        """
        place = Path(folder) if folder else model_folder()
        card = _read_card(place)
        _check_versions(card, place)
        try:
            data = (place / "model.joblib").read_bytes()
        except OSError as error:
            raise ModelError(f"no model in {place}: {error}", subject=str(place), reason="missing") from None
        found = hashlib.sha256(data).hexdigest()
        if found != card.get("sha256"):
            raise ModelError(
                f"{place / 'model.joblib'} is not the file that model.json vouches for (its SHA-256 is {found[:12]}…); "
                "it was not loaded. Install newswatch again, or rebuild it with: python -m training.build",
                subject=str(place),
                reason="hash",
            )
        import joblib

        try:
            arrays = joblib.load(io.BytesIO(data))
        except Exception as error:
            raise ModelError(
                f"{place / 'model.joblib'} cannot be read here: {type(error).__name__}: {error}",
                subject=str(place),
                reason="format",
            ) from error
        try:
            return cls.from_arrays(arrays, version=str(card.get("version", "")))
        except ModelError as error:
            error.subject = str(place)
            raise

    @classmethod
    def from_arrays(cls, data: Mapping[str, Any], *, version: str = "") -> Self:
        """A tagger of the plain arrays, lists and numbers that a model file holds (see `to_arrays`).

        Raises:
            ModelError: they are of another format.
        """
        found = data.get("format") if isinstance(data, Mapping) else type(data).__name__
        if found != _FORMAT:
            raise ModelError(f"the model is of format {found}, not {_FORMAT}", reason="format")
        blocks = tuple(Block(**block) for block in data["blocks"])
        concepts = {name: tuple(patterns) for name, patterns in data["concepts"]}
        return cls(
            tags=tuple(data["tags"]),
            features=FeatureSet(blocks, concepts),
            coefficients=data["coefficients"],
            intercepts=data["intercepts"],
            slopes=data["slopes"],
            offsets=data["offsets"],
            thresholds=data["thresholds"],
            band=float(data["band"]),
            languages=tuple(data["languages"]),
            version=version,
        )

    def to_arrays(self) -> dict[str, Any]:
        """Everything in the model as arrays, lists and numbers, for its file."""
        return {
            "format": _FORMAT,
            "tags": list(self.tags),
            "blocks": [
                {"analyzer": b.analyzer, "low": b.low, "high": b.high, "bits": b.bits, "idf": b.idf}
                for b in self.features.blocks
            ],
            "concepts": [[name, list(patterns)] for name, patterns in self.features.concepts.items()],
            "coefficients": self.coefficients,
            "intercepts": self.intercepts,
            "slopes": self.slopes,
            "offsets": self.offsets,
            "thresholds": self.thresholds,
            "band": self.band,
            "languages": list(self.languages),
        }

    def scores(self, documents: Sequence[str]) -> NDArray[np.float64]:
        """Calibrated probabilities: documents by tags.

        Args:
            documents: as `document` makes them.
        """
        return 1.0 / (1.0 + np.exp(-(self._raw(documents) * self.slopes + self.offsets)))

    def _raw(self, documents: Sequence[str]) -> NDArray[np.float64]:
        if not documents:
            return np.zeros((0, len(self.tags)))
        return np.asarray(self.features.matrix(documents) @ self.coefficients.T, np.float64) + self.intercepts

    def tag(self, text: str, *, title: str = "", language: str | None = None, explain: bool = True) -> Tagging:
        """Tag one text.

        Args:
            text: the body, or the whole text; then its first line is taken for the headline where it looks like one.
            title: its headline, where known apart.
            language: its ISO 639 code, where known; else it is detected.
            explain: also find the sentences that carried the tags.
        """
        return self.tag_many([(title, text, language)], explain=explain)[0]

    def tag_many(self, texts: Sequence[tuple[str, str, str | None]], *, explain: bool = False) -> list[Tagging]:
        """Tag many texts at once.

        Args:
            texts: title, body and language (or ``None``) of each.
            explain: as for `tag`.
        """
        parted = [
            (*((_whole(title), _whole(text)) if title else _parted(_whole(text))), language)
            for title, text, language in texts
        ]
        table = self.scores([document(title, text) for title, text, _ in parted])
        return [self._tagging(*one, row, explain) for one, row in zip(parted, table, strict=True)]

    def _tagging(self, title: str, text: str, language: str | None, row: NDArray[np.float64], explain: bool) -> Tagging:
        code = language_code(language) or detect_language(f"{title}\n{text}".strip())
        given = tuple(tag for tag, score, least in zip(self.tags, row, self.thresholds, strict=True) if score >= least)
        unsure = tuple(
            tag
            for tag, score, least in zip(self.tags, row, self.thresholds, strict=True)
            if abs(score - least) < self.band
        )
        notes: list[str] = []
        if len(words(f"{title} {text}"[:2000])) < _SHORT_WORDS:
            notes.append("too short to be sure")
        if code not in self.languages:
            notes.append(f"not tested in the language {code or 'of this text'}")
        return Tagging(
            tags=given,
            scores={tag: round(float(score), 4) for tag, score in zip(self.tags, row, strict=True)},
            language=code,
            unsure=unsure,
            evidence=self._evidence(title, text, given) if explain and given else (),
            notes=tuple(notes),
            model=self.version,
        )

    def _evidence(self, title: str, text: str, given: Sequence[str]) -> tuple[Evidence, ...]:
        """For each tag given, the sentence that by itself speaks most for it, and its strongest words."""
        pieces = list(dict.fromkeys(([title] if title else []) + sentences(text[:_MOST_CHARS])))[:_EVIDENCE_SENTENCES]
        if not pieces:
            return ()
        weights = self._raw(pieces)
        found: list[Evidence] = []
        for tag in given:
            column = self.tags.index(tag)
            best = int(np.argmax(weights[:, column]))
            found.append(
                Evidence(
                    tag=tag,
                    sentence=pieces[best],
                    weight=round(float(weights[best, column]), 3),
                    words=self._strongest(pieces[best], column),
                )
            )
        return tuple(found)

    def _strongest(self, sentence: str, column: int) -> tuple[str, ...]:
        distinct = [word for word in dict.fromkeys(words(sentence)) if len(word) > 2]
        if not distinct:
            return ()
        weights = self._raw(distinct)[:, column] - self.intercepts[column]
        order = np.argsort(-weights, kind="stable")[:3]
        return tuple(distinct[i] for i in order if weights[i] > 0)


def _parted(text: str) -> tuple[str, str]:
    """Title and body of a pasted text: its first line is the title where it is short and more follows."""
    title, _, body = text.strip().partition("\n")
    return (title.strip(), body.strip()) if body.strip() and len(title) <= _LONGEST_TITLE else ("", text.strip())


def _whole(text: str) -> str:
    """The text without halves of characters, which cannot be hashed."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _read_card(place: Path) -> dict[str, Any]:
    try:
        card = json.loads((place / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"no model in {place}: {error}. Name another folder, or build one with: python -m training.build",
            subject=str(place),
            reason="missing",
        ) from None
    if not isinstance(card, dict):
        raise ModelError(f"{place / 'model.json'} is no model card", subject=str(place), reason="format")
    return card


def _check_versions(card: Mapping[str, Any], place: Path) -> None:
    from importlib.metadata import version

    installed = version("scikit-learn")
    try:
        low, below = map(str, card["scikit_learn"])
    except (KeyError, TypeError, ValueError):
        raise ModelError(
            f"{place / 'model.json'} does not say for which scikit-learn the model is",
            subject=str(place),
            reason="format",
        ) from None
    if not _version(low) <= _version(installed) < _version(below):
        raise ModelError(
            f"the model in {place} was tested with scikit-learn from {low} to below {below}, and {installed} is installed; "
            f'remedy: pip install "scikit-learn>={low},<{below}"',
            subject=str(place),
            reason="version",
        )


def _version(text: str) -> tuple[int, ...]:
    parts: list[int] = []
    for part in text.split("."):
        digits = part[: next((i for i, char in enumerate(part) if not char.isdigit()), len(part))]
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts)

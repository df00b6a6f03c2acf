"""Which articles report one happening: an online grouper.

Pure: articles in, assignments out, in the order of arrival; what came later never changes what was decided. An
article is compared with what is live, in three steps: the same text, then near-copies (wire text with small edits),
then reports of the same happening in other words. The comparison weighs rare words over common ones, by how often
words occur among the live articles and in a background table. See docs/grouping.md for figures.
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from newswatch.exceptions import InputError
from newswatch.records import Article, Assignment
from newswatch.text import digest, words

__all__ = ["Background", "EventGrouper", "count_background", "load_background"]

_Ids = NDArray[np.uint32]
_Weights = NDArray[np.float32]

# The views of an article and how much each cosine counts in the likeness of two articles.
_VIEWS = ("words", "pairs", "title", "lead", "names", "numbers")
_MIX = {"words": 0.15, "pairs": 0.30, "title": 0.10, "lead": 0.20, "names": 0.15, "numbers": 0.10}
_LEAD_WORDS = 80
_NAMES_WORDS = 150
_MOST_PAIRS = 250
_MOST_WORDS = 600
_BODY_WORDS = 1200
_SEARCH_TERMS = 40
_CANDIDATES = 30
_BEST_MEMBERS = 3
_SHINGLE = 4
_COPY_SHARE = 0.8
_COPY_SHINGLES = 40
_COPY_DAYS = 14.0
_MOST_SHINGLES = 150
_SHORT_WORDS = 25
_FADE_DAYS = 14.0
# The background counts a quarter, and as so many articles at most: a larger table would drown the live ones (Vietnamese
# clusters fell from B-cubed F1 0.93 to 0.88 with a table counted as 748 articles).
_BACKGROUND_SHARE = 0.25
_BACKGROUND_MOST = 200.0
_THRESHOLD = 0.13
_FORMAT = 1

_TOKEN = re.compile(r"[^\W_]+(?:['’ʼ][^\W_]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?…:]\s*[\"'“”«»)(]*\s*|\n\s*)$")


@dataclass(frozen=True, slots=True)
class Background:
    """How many of a number of articles hold a word; words are CRC-32 numbers of their case-folded form.

    Args:
        articles: how many articles were counted.
        ids: the words, ascending.
        counts: in how many of them each occurs.
    """

    articles: int = 0
    ids: _Ids = field(default_factory=lambda: np.empty(0, np.uint32))
    counts: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))

    def of(self, wanted: _Ids) -> NDArray[np.float64]:
        """The counts of some words, 0 for unknown ones."""
        if not len(self.ids):
            return np.zeros(len(wanted))
        at = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        return np.where(self.ids[at] == wanted, self.counts[at], 0).astype(np.float64)


def load_background(path: str | Path | None = None) -> Background:
    """The shipped background table, or another one.

    Raises:
        InputError: the file is no such table.
    """
    home = Path(__file__).parent
    place = Path(path) if path else home / "models" / "grouping" / "background.npz"
    if path is None and not place.exists():
        place = home.parent / "models" / "grouping" / "background.npz"
    try:
        with open(place, "rb") as file, np.load(file, allow_pickle=False) as table:
            return Background(int(table["articles"]), table["ids"].astype(np.uint32), table["counts"].astype(np.int32))
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise InputError(f"{place} is no background table: {error}", subject=str(place)) from None


@dataclass(frozen=True, slots=True)
class _View:
    """A sparse unit vector: term numbers ascending, with their weights."""

    ids: _Ids
    weights: _Weights

    def cosine(self, other: _View) -> float:
        if not len(self.ids) or not len(other.ids):
            return 0.0
        small, large = (self, other) if len(self.ids) <= len(other.ids) else (other, self)
        at = np.minimum(np.searchsorted(large.ids, small.ids), len(large.ids) - 1)
        shared = large.ids[at] == small.ids
        return float(small.weights[shared] @ large.weights[at[shared]])


@dataclass(frozen=True, slots=True)
class _Doc:
    article: str
    day: float  # days since 1970 on which it arrived
    dated: bool
    short: bool
    source: int
    text_hash: str
    shingles: _Ids
    views: Mapping[str, _View]


@dataclass(slots=True)
class _Event:
    id: str
    members: list[int] = field(default_factory=list)
    last_day: float = 0.0


class EventGrouper:
    """Puts articles into events as they come.

    Args:
        window_days: how long an event stays open after its last article.
        threshold: least likeness (0 to 1) for joining an event.
        background: how common words are in general; by default the shipped table. Without any (``Background()``) the
            first articles are weighed by what little the grouper has seen.

    Example:
        >>> grouper = EventGrouper()
        >>> grouper.add(article).is_new  # doctest: +SKIP
        True
    """

    def __init__(
        self, *, window_days: float = 30.0, threshold: float = _THRESHOLD, background: Background | None = None
    ) -> None:
        self._window = window_days
        self._threshold = threshold
        self._background = load_background() if background is None else background
        self._docs: dict[int, _Doc] = {}
        self._numbers: dict[str, int] = {}
        self._event_of: dict[int, str] = {}
        self._events: dict[str, _Event] = {}
        self._df: Counter[int] = Counter()
        self._postings: dict[int, list[int]] = {}
        self._shingle_postings: dict[int, list[int]] = {}
        self._by_hash: dict[str, int] = {}
        self._oldest = math.inf  # no event's last article is older
        self._next = 0

    def __len__(self) -> int:
        """How many articles are live."""
        return len(self._docs)

    def add(self, article: Article) -> Assignment:
        """Put an article into an event. The same article again is where it was.

        Returns:
            The event, and why.
        """
        return self.place(article)[0]

    def place(self, article: Article) -> tuple[Assignment, bytes]:
        """As `add`, and what must be kept of the article to go on after a stop (see `restore`)."""
        number = self._numbers.get(article.id)
        if number is not None:
            doc = self._docs[number]
            event = self._event_of[number]
            known = Assignment(
                article=article.id, event=event, is_new=False, how="same text", similarity=1.0, nearest=article.id
            )
            return known, _pack(doc)
        moment = article.published or article.first_seen
        self._expire(moment.timestamp() / 86_400)
        doc = self._doc(article, moment)
        assignment = self._decide(doc)
        self._keep(doc, assignment.event)
        return assignment, _pack(doc)

    def restore(self, article: str, event: str, packed: bytes) -> None:
        """Take back an article that was placed before a stop. Call for each, in the order of their arrival.

        Raises:
            InputError: the bytes are not what `place` gave.
        """
        doc = _unpack(article, packed)
        self._expire(doc.day)
        self._keep(doc, event)

    # --- deciding ---------------------------------------------------------------------------------------------------

    def _decide(self, doc: _Doc) -> Assignment:
        twin = self._by_hash.get(doc.text_hash) if doc.text_hash else None
        if twin is not None:
            return self._joined(doc, twin, "same text", 1.0)
        copied = self._copy_of(doc)
        if copied is not None:
            return self._joined(doc, copied[0], "copy", copied[1])
        best = self._report_of(doc)
        if best is not None:
            return self._joined(doc, best[0], "report", best[1])
        return Assignment(article=doc.article, event=digest("event", doc.article), is_new=True, how="new")

    def _joined(self, doc: _Doc, nearest: int, how: str, similarity: float) -> Assignment:
        return Assignment(
            article=doc.article,
            event=self._event_of[nearest],
            is_new=False,
            how=how,
            similarity=min(similarity, 1.0),
            nearest=self._docs[nearest].article,
        )

    def _copy_of(self, doc: _Doc) -> tuple[int, float] | None:
        """The live article of which this is a near-copy: most of the sampled shingles of the shorter in the longer."""
        if len(doc.shingles) < _COPY_SHINGLES:
            return None
        hits: Counter[int] = Counter()
        for shingle in doc.shingles.tolist():
            hits.update(self._shingle_postings.get(shingle, ()))
        best: tuple[float, int] | None = None
        for number, _ in sorted(hits.items(), key=lambda item: (-item[1], item[0]))[:5]:
            other = self._docs[number]
            if len(other.shingles) < _COPY_SHINGLES or self._gap(doc, other) > _COPY_DAYS:
                continue
            share = _containment(doc.shingles, other.shingles)
            if share >= _COPY_SHARE and (best is None or share > best[0]):
                best = share, number
        return (best[1], best[0]) if best else None

    def _report_of(self, doc: _Doc) -> tuple[int, float] | None:
        """The event whose best members are like this article, by its most like member."""
        likeness: dict[str, list[tuple[float, int]]] = {}
        for number in self._candidates(doc):
            other = self._docs[number]
            value = _likeness(doc, other) * math.exp(-self._gap(doc, other) / _FADE_DAYS)
            likeness.setdefault(self._event_of[number], []).append((value, number))
        best: tuple[float, int] | None = None
        for event, values in sorted(likeness.items()):
            values.sort(key=lambda item: (-item[0], item[1]))
            size = min(_BEST_MEMBERS, len(self._events[event].members))
            mean = sum(value for value, _ in values[:size]) / size
            if best is None or mean > best[0]:
                best = mean, values[0][1]
        if best is None or best[0] < self._threshold:
            return None
        return best[1], best[0]

    def _candidates(self, doc: _Doc) -> list[int]:
        """Live articles that share the heaviest words, best first."""
        view = doc.views["words"]
        heaviest = np.argsort(-view.weights, kind="stable")[:_SEARCH_TERMS]
        scores: dict[int, float] = {}
        for term, weight in zip(view.ids[heaviest].tolist(), view.weights[heaviest].tolist(), strict=True):
            for number in self._postings.get(term, ()):
                scores[number] = scores.get(number, 0.0) + weight
        return [number for number, _ in sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:_CANDIDATES]]

    def _gap(self, one: _Doc, other: _Doc) -> float:
        return abs(one.day - other.day) if one.dated and other.dated else 2.0

    # --- keeping ----------------------------------------------------------------------------------------------------

    def _keep(self, doc: _Doc, event: str) -> None:
        number = self._next
        self._next += 1
        self._docs[number] = doc
        self._numbers[doc.article] = number
        self._event_of[number] = event
        group = self._events.setdefault(event, _Event(event))
        group.members.append(number)
        group.last_day = max(group.last_day, doc.day)
        view = doc.views["words"]
        self._df.update(view.ids.tolist())
        heaviest = np.argsort(-view.weights, kind="stable")[:_SEARCH_TERMS]
        for term in view.ids[heaviest].tolist():
            self._postings.setdefault(term, []).append(number)
        for shingle in doc.shingles.tolist():
            self._shingle_postings.setdefault(shingle, []).append(number)
        if doc.text_hash:
            self._by_hash.setdefault(doc.text_hash, number)
        self._oldest = min(self._oldest, group.last_day)

    def _expire(self, today: float) -> None:
        """Forget articles whose event has been silent for longer than the window."""
        opened = today - self._window
        if self._oldest >= opened:
            return
        for event in [event for event in self._events.values() if event.last_day < opened]:
            for number in list(event.members):
                self._forget(number)
        self._oldest = min((event.last_day for event in self._events.values()), default=math.inf)

    def _forget(self, number: int) -> None:
        doc = self._docs.pop(number)
        del self._numbers[doc.article]
        event = self._event_of.pop(number)
        members = self._events[event].members
        members.remove(number)
        if not members:
            del self._events[event]
        for term in doc.views["words"].ids.tolist():
            self._df[term] -= 1
            if not self._df[term]:
                del self._df[term]
            if term in self._postings:
                _drop(self._postings, term, number)
        for shingle in doc.shingles.tolist():
            _drop(self._shingle_postings, shingle, number)
        if self._by_hash.get(doc.text_hash) == number:
            del self._by_hash[doc.text_hash]

    # --- reading an article -----------------------------------------------------------------------------------------

    def _doc(self, article: Article, moment: datetime) -> _Doc:
        title_tokens = _TOKEN.findall(article.title[:60_000])[:_BODY_WORDS]
        body = _TOKEN.findall(article.text[:60_000])[:_BODY_WORDS]
        title = [token.casefold() for token in title_tokens]
        text = [token.casefold() for token in body]
        counts = Counter(title * 2 + text)
        lead = title + text[:_LEAD_WORDS]
        pairs = Counter(f"{one} {two}" for run in (title, text) for one, two in pairwise(run))
        numbers = [token for token in dict.fromkeys(title + text) if token[0].isdigit()]
        names = _names(f"{article.title}\n{article.text[:8_000]}")
        all_words = words(article.text)
        views = {
            "words": self._view(dict(counts.most_common(_MOST_WORDS))),
            "pairs": self._pairs(pairs),
            "title": self._view(Counter(title)),
            "lead": self._view(Counter(lead)),
            "names": self._view(names),
            "numbers": self._view(Counter(numbers)),
        }
        return _Doc(
            article=article.id,
            day=moment.timestamp() / 86_400,
            dated=article.published is not None,
            short=len(text) < _SHORT_WORDS,
            source=crc32((article.source or article.feed).encode()),
            text_hash=digest(" ".join(all_words)) if len(all_words) >= _SHORT_WORDS else "",
            shingles=_shingles(all_words),
            views=views,
        )

    def _rarity(self, ids: _Ids) -> NDArray[np.float64]:
        """How rare words are: the 1.5th power of their inverse document frequency, live and in the background."""
        live = np.fromiter((self._df.get(term, 0) for term in ids.tolist()), np.float64, len(ids))
        share = min(_BACKGROUND_SHARE, _BACKGROUND_MOST / max(self._background.articles, 1))
        total = len(self._docs) + share * self._background.articles
        frequency = live + share * self._background.of(ids)
        rarity = np.maximum(np.log((total + 2) / (frequency + 1)), 0.0)
        return np.asarray(rarity**1.5, np.float64)

    def _view(self, counts: Mapping[str, int]) -> _View:
        terms = {crc32(word.encode()): count for word, count in counts.items()}
        ids = np.array(sorted(terms), np.uint32)
        return _unit(
            ids, np.log1p([terms[term] for term in ids.tolist()]) * self._rarity(ids) if len(ids) else np.empty(0)
        )

    def _pairs(self, counts: Mapping[str, int]) -> _View:
        """Pairs of neighbouring words, each as rare as its words together."""
        if not counts:
            return _unit(np.empty(0, np.uint32), np.empty(0))
        halves = [pair.split(" ", 1) for pair in counts]
        first = self._rarity(np.array([crc32(half[0].encode()) for half in halves], np.uint32))
        second = self._rarity(np.array([crc32(half[1].encode()) for half in halves], np.uint32))
        weights = np.log1p(list(counts.values())) * (first + second)
        ids = np.array([crc32(pair.encode()) for pair in counts], np.uint32)
        keep = np.argsort(-weights, kind="stable")[:_MOST_PAIRS]
        ids, weights = ids[keep], weights[keep]
        ids, at = np.unique(ids, return_index=True)
        return _unit(ids, weights[at])


def _unit(ids: _Ids, weights: NDArray[Any]) -> _View:
    length = float(np.sqrt(np.sum(np.square(weights)))) if len(weights) else 0.0
    if length == 0.0:
        return _View(np.empty(0, np.uint32), np.empty(0, np.float32))
    return _View(ids.astype(np.uint32), (np.asarray(weights) / length).astype(np.float32))


def _likeness(one: _Doc, other: _Doc) -> float:
    """The mixed cosine of two articles; a view that either lacks leaves its share to the others."""
    total = weight = 0.0
    for name, share in _MIX.items():
        mine, theirs = one.views[name], other.views[name]
        if name in ("names", "numbers") and not (len(mine.ids) and len(theirs.ids)):
            continue
        total += share * mine.cosine(theirs)
        weight += share
    return total / weight if weight else 0.0


def _names(text: str) -> Counter[str]:
    """Capitalised words that do not open a sentence: names of people, places, bodies."""
    found: Counter[str] = Counter()
    for count, match in enumerate(_TOKEN.finditer(text)):
        if count >= _NAMES_WORDS:
            break
        token = match.group()
        if token[0].isupper() and not _SENTENCE_START.search(text[max(0, match.start() - 6) : match.start()]):
            found[token.casefold()] += 1
    return found


def _shingles(all_words: list[str]) -> _Ids:
    """A fixed sample of the runs of four words: those with the smallest hash values (bottom-k sketch, Broder 1997)."""
    runs = {crc32(" ".join(all_words[i : i + _SHINGLE]).encode()) for i in range(len(all_words) - _SHINGLE + 1)}
    return np.array(sorted(runs)[:_MOST_SHINGLES], np.uint32)


def _containment(one: _Ids, other: _Ids) -> float:
    """Share of the smaller text found in the larger one, estimated from the part of hash space both samples cover."""
    if not len(one) or not len(other):
        return 0.0
    ceiling = min(
        one[-1] if len(one) == _MOST_SHINGLES else np.uint32(0xFFFFFFFF),
        other[-1] if len(other) == _MOST_SHINGLES else np.uint32(0xFFFFFFFF),
    )
    mine, theirs = one[one <= ceiling], other[other <= ceiling]
    smaller = min(len(mine), len(theirs))
    return len(np.intersect1d(mine, theirs, assume_unique=True)) / smaller if smaller >= _COPY_SHINGLES // 2 else 0.0


def _drop(postings: dict[int, list[int]], term: int, number: int) -> None:
    numbers = postings.get(term)
    if numbers and number in numbers:
        numbers.remove(number)
        if not numbers:
            del postings[term]


# --- packing ----------------------------------------------------------------------------------------------------------

_HEAD = struct.Struct("<BBdI16sH")


def _pack(doc: _Doc) -> bytes:
    flags = doc.dated | doc.short << 1
    head = _HEAD.pack(_FORMAT, flags, doc.day, doc.source, doc.text_hash.encode().ljust(16), len(doc.shingles))
    parts = [head, doc.shingles.tobytes()]
    for name in _VIEWS:
        view = doc.views[name]
        parts += [struct.pack("<H", len(view.ids)), view.ids.tobytes(), view.weights.tobytes()]
    return b"".join(parts)


def _unpack(article: str, packed: bytes) -> _Doc:
    try:
        version, flags, day, source, text_hash, count = _HEAD.unpack_from(packed)
        if version != _FORMAT:
            raise InputError(f"the fingerprint of {article} is of format {version}, not {_FORMAT}", subject=article)
        at = _HEAD.size
        shingles = np.frombuffer(packed, np.uint32, count, at)
        at += 4 * count
        views: dict[str, _View] = {}
        for name in _VIEWS:
            (size,) = struct.unpack_from("<H", packed, at)
            ids = np.frombuffer(packed, np.uint32, size, at + 2)
            weights = np.frombuffer(packed, np.float32, size, at + 2 + 4 * size)
            views[name] = _View(ids, weights)
            at += 2 + 8 * size
        if at != len(packed) or not math.isfinite(day):
            raise InputError(f"the fingerprint of {article} is damaged", subject=article)
        text_hash = text_hash.decode("ascii").strip()
    except InputError:
        raise
    except (struct.error, ValueError) as error:
        raise InputError(f"the fingerprint of {article} cannot be read: {error}", subject=article) from None
    return _Doc(
        article=article,
        day=day,
        dated=bool(flags & 1),
        short=bool(flags & 2),
        source=source,
        text_hash=text_hash,
        shingles=shingles,
        views=views,
    )


def count_background(texts: Iterable[str]) -> Background:
    """Count in how many texts each word occurs, for a background table; words of one text only are left out."""
    counts: Counter[int] = Counter()
    total = 0
    for text in texts:
        total += 1
        counts.update({crc32(word.encode()) for word in words(text)})
    kept = sorted((term, count) for term, count in counts.items() if count > 1)
    ids = np.array([term for term, _ in kept], np.uint32)
    return Background(total, ids, np.array([count for _, count in kept], np.int32))

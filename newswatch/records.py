"""The records that flow through newswatch: frozen dataclasses and enums, each defined once.

Times are aware UTC datetimes. Ids are derived from content, so the same input gives the same id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

__all__ = [
    "Article",
    "ArticleFilter",
    "Assignment",
    "Entry",
    "Event",
    "Evidence",
    "Extraction",
    "Failure",
    "Feed",
    "FeedInfo",
    "FeedLink",
    "FeedState",
    "Page",
    "ParsedFeed",
    "Poll",
    "PollResult",
    "RoundSummary",
    "Stage",
    "StorageStatus",
    "Tagging",
    "TextFrom",
    "Verdict",
]


class FeedState(StrEnum):
    """How a feed is doing: never polled, fine, failing, told to wait by its server, or gone (410)."""

    NEW = "new"
    OK = "ok"
    FAILING = "failing"
    WAITING = "waiting"
    GONE = "gone"


class Stage(StrEnum):
    """Where something failed."""

    POLL = "poll"
    ROBOTS = "robots"
    FETCH = "fetch"
    EXTRACT = "extract"
    TAG = "tag"
    GROUP = "group"


class TextFrom(StrEnum):
    """Where an article's text came from: its page, or the feed's own text."""

    PAGE = "page"
    FEED = "feed"


class Verdict(StrEnum):
    """What was decided about one tag of one article."""

    YES = "yes"
    UNSURE = "unsure"
    NO = "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedInfo:
    """What a feed says about itself."""

    title: str = ""
    site_url: str = ""
    language: str = ""
    ttl_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item of a feed, as the feed gives it.

    Attributes:
        feed_url: the feed it came from.
        guid: the feed's id for it; where missing, its link, else a digest of its title and text.
        url: its link made absolute, ``""`` where it has none.
        title: its title as plain text.
        text: its summary or content, whichever says more, as plain text.
        authors: their names.
        published: when the feed says it was published; ``None`` where it does not say so, or not credibly.
        updated: when the feed says it was last changed.
        language: what the entry or feed declares, as a lower-case ISO 639 code, or ``""``.
        problems: what was odd about it, in words.
    """

    feed_url: str
    guid: str
    url: str = ""
    title: str = ""
    text: str = ""
    authors: tuple[str, ...] = ()
    published: datetime | None = None
    updated: datetime | None = None
    language: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFeed:
    """A feed read from bytes: what it says of itself, its entries in its own order, what was wrong.

    Attributes:
        version: the format, as in ``rss20``, ``atom10``, ``json11``.
        problems: what was wrong with the feed as a whole, in words; empty for a sound feed.
    """

    version: str
    info: FeedInfo
    entries: tuple[Entry, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLink:
    """A feed that a page or an OPML file names."""

    url: str
    title: str = ""
    site_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What one exchange over HTTP brought.

    Attributes:
        url: the address asked for.
        final_url: the address that answered, after redirects.
        status: the HTTP status of the last answer.
        headers: its headers, names in lower case; of repeated ones the values joined by ``", "``.
        body: the decoded body, whole.
        redirects: status and target of each redirect followed.
        fetched: when the answer was complete.
    """

    url: str
    final_url: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    redirects: tuple[tuple[int, str], ...] = ()
    fetched: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """An article as read from a page, before it is stored.

    Attributes:
        site: the name the site gives itself, or ``""``.
        published: the page's own date (often without a time of day), or ``None``.
    """

    url: str
    title: str
    text: str
    authors: tuple[str, ...] = ()
    published: datetime | None = None
    language: str = ""
    site: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """An article as kept in storage.

    Attributes:
        id: the digest of its canonical URL; without a link, of feed and guid.
        url: its canonical URL, ``""`` where the feed gave no link.
        source: the registrable domain of its URL: who published it.
        feed: the URL of the feed that brought it.
        text_from: whether the text is the page's or the feed's.
        note: why the feed's text was used, or what else should be known; else ``""``.
        published: by the feed, else by the page, else ``None``.
        first_seen: when newswatch first saw an entry for it.
        version: 1, and one more each time its text changed.
        tagging: its tags, where it has been tagged.
        event: the id of its event, where it has been grouped.
    """

    id: str
    url: str
    title: str
    text: str
    feed: str
    text_from: TextFrom
    first_seen: datetime
    source: str = ""
    site: str = ""
    authors: tuple[str, ...] = ()
    published: datetime | None = None
    language: str = ""
    note: str = ""
    version: int = 1
    tagging: Tagging | None = None
    event: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The sentence that carried a tag.

    Attributes:
        weight: how much the sentence by itself speaks for the tag, in log-odds.
        words: the parts of the sentence that weighed most, strongest first.
    """

    tag: str
    sentence: str
    weight: float
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """What a model says of one text.

    Attributes:
        tags: the tags given, in the model's order.
        scores: for every tag of the model, a probability between 0 and 1.
        language: the language of the text (ISO 639), ``""`` where it could not be told.
        unsure: tags so close to their threshold that a person should look.
        evidence: for each tag given, the sentence that carried it.
        notes: what limits the answer: a text too short, a language the model was not tested in.
        model: the version of the model.
    """

    tags: tuple[str, ...]
    scores: Mapping[str, float]
    language: str = ""
    unsure: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    notes: tuple[str, ...] = ()
    model: str = ""

    def verdict(self, tag: str) -> Verdict:
        """What was decided about a tag."""
        if tag in self.unsure:
            return Verdict.UNSURE
        return Verdict.YES if tag in self.tags else Verdict.NO


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Where the grouper put an article.

    Attributes:
        event: the id of the event.
        is_new: whether this article founded it.
        how: ``"new"``, ``"same text"``, ``"copy"`` (near-duplicate) or ``"report"`` (other words).
        similarity: between 0 and 1; 1 for the same text.
        nearest: the id of the member it resembles most, ``""`` for a new event.
    """

    article: str
    event: str
    is_new: bool
    how: str
    similarity: float = 0.0
    nearest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A group of articles on one happening.

    Attributes:
        id: the digest of its founding article's id; it never changes.
        tags: the tags of its members, most frequent first.
        first_seen, last_seen: the span of its members' dates of publication (of first sight where they have none).
        source_count: how many distinct sources (registrable domains) report it.
        articles: its members in order of publication, where asked for.
    """

    id: str
    title: str
    tags: tuple[str, ...]
    first_seen: datetime
    last_seen: datetime
    article_count: int
    source_count: int
    articles: tuple[Article, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """A subscribed feed with what is remembered about it.

    Attributes:
        etag, last_modified: the validators of the last good answer, byte for byte.
        body_hash: digest of the last good body.
        next_due: when it may be polled next by our own rules.
        not_before: until when its server told us to wait (429, 503, max-age); never passed over.
        status: the HTTP status of the last poll, ``None`` where there was no answer.
        error: why the last poll failed, ``""`` where it did not.
        failures: how many polls in a row failed.
        failing_since: since when.
        interval_s: the present gap between polls.
    """

    url: str
    title: str = ""
    site_url: str = ""
    language: str = ""
    state: FeedState = FeedState.NEW
    added: datetime | None = None
    last_polled: datetime | None = None
    next_due: datetime | None = None
    not_before: datetime | None = None
    status: int | None = None
    error: str = ""
    failures: int = 0
    failing_since: datetime | None = None
    etag: str = ""
    last_modified: str = ""
    body_hash: str = ""
    interval_s: int = 0
    max_age_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """One look at one feed, as kept in the log."""

    feed_url: str
    polled: datetime
    status: int | None
    note: str
    new_entries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PollResult:
    """What one poll of one feed brought, once its articles are done.

    Attributes:
        status: the HTTP status, ``None`` where no answer came.
        new_articles: articles stored for the first time.
        failed_articles: articles that ended as a recorded failure.
        error: why the poll failed, ``""`` where it did not.
        note: anything else worth saying, as "not modified".
    """

    feed_url: str
    status: int | None
    new_articles: int = 0
    failed_articles: int = 0
    new_entries: int = 0
    error: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSummary:
    """What a whole round did."""

    feeds: int = 0
    failed_feeds: int = 0
    entries: int = 0
    articles: int = 0
    failed_articles: int = 0
    grouped: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Something that went wrong with one item, kept until it goes right.

    Attributes:
        subject: the feed's URL, or the article's id.
        url: the address concerned.
        reason: a short stable word, as ``timeout`` or ``bot_wall``.
        detail: the cause in a sentence.
        retry_at: when it is tried again by itself; ``None`` where only ``retry`` does.
    """

    stage: Stage
    subject: str
    url: str
    reason: str
    detail: str
    attempts: int = 1
    failed: datetime | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleFilter:
    """Which articles or events to list; ``None`` asks for no restriction, ``limit`` 0 for all."""

    tag: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    language: str | None = None
    feed: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageStatus:
    """Counts and last runs, for ``newswatch status``."""

    feeds: int
    feeds_by_state: Mapping[str, int]
    entries: int
    articles: int
    tagged: int
    events: int
    pending: int
    failures: int
    last_poll: datetime | None
    overdue: int
    schema: str
    bytes: int | None = None

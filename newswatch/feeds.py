"""Feeds from bytes to records: RSS, RDF, Atom (by feedparser, which it owns) and JSON Feed.

Nothing is fetched here. What can be taken from a broken feed is taken, and what was wrong is said in ``problems``.
"""

from __future__ import annotations

import calendar
import io
import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from newswatch.exceptions import FeedError
from newswatch.language import language_code
from newswatch.records import Entry, FeedInfo, ParsedFeed
from newswatch.text import (
    clean_line,
    clean_text,
    decode_xml,
    digest,
    html_to_text,
    looks_binary,
    sound_references,
)
from newswatch.urls import join_url

__all__ = ["parse_feed"]

_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z]\w+);")
_ADDRESS = re.compile(r"[^\s<>(),;]+@[^\s<>(),;]+|[<>()]")
_JSON_VERSION = re.compile(r"jsonfeed\.org/version/(\d+(?:\.\d+)?)")
# A day's grace for wrong clocks and time zones; later than that a date is no date of publication.
_FUTURE_GRACE = timedelta(days=1)
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
_LONGEST_TEXT = 500_000
_LONGEST_LINE = 10_000
# "10.11.2026" is written by people who put the day first; of "10/11/2026" nobody can tell.
_DOTTED = re.compile(r"\b\d{1,2}\.\d{1,2}\.\d{2,4}\b")
_SLASHED = re.compile(r"\b\d{1,2}([/-])\d{1,2}\1\d{2,4}\b")
# What feedparser reads as another day or hour: 2026/11/10, 10-11-2026, a time alone, UTC+3.
_MISREAD = re.compile(r"(?:\d{4}[/年]|\d{1,2}[-./:]\d|\d{1,3}$)|.*(?:GMT|UTC) ?[+-]\d{1,2}(?:[: ]|$)")
_BEFORE_OFFSET = re.compile(r"\b(?:GMT|UTC) ?(?=[+-]\d)")
# Names of zones (RFC 822, and what feeds of Europe and Asia write) with their hours from UTC.
_ZONES = {
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
    "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "MSK": 3,
}  # fmt: skip
_PERIODS_S = {"hourly": 3600, "daily": 86_400, "weekly": 604_800, "monthly": 2_592_000, "yearly": 31_536_000}


def parse_feed(
    body: bytes,
    *,
    url: str = "",
    content_type: str = "",
    now: datetime | None = None,
    entries_max: int = 5000,
) -> ParsedFeed:
    """Read a feed from bytes.

    Args:
        body: RSS 0.9x, 1.0 or 2.0, RDF, Atom or JSON Feed, as sent.
        url: where it came from, against which relative links are resolved.
        content_type: the value of the Content-Type header, for its charset.
        now: entries dated more than a day after it are left undated; by default the present.
        entries_max: most entries kept, the newest first to be kept.

    Returns:
        The feed, its entries in its own order.

    Raises:
        FeedError: the bytes are no feed. ``reason`` is ``"not_a_feed"`` or ``"empty"``.

    Example:
        >>> feed = parse_feed(b'<rss version="2.0"><channel><item><title>Hi</title></item></channel></rss>')
        >>> feed.version, feed.entries[0].title
        ('rss20', 'Hi')
    """
    moment = now or datetime.now(UTC)
    if not body.strip():
        raise FeedError("the body is empty", subject=url, reason="empty")
    if _is_json(body):
        parsed = _parse_json(body, url)
    elif looks_binary(body):
        raise FeedError("the body is no text at all", subject=url, reason="not_a_feed")
    else:
        parsed = _parse_xml(body, url, content_type)
    entries = _distinct(_dated(entry, moment) for entry in parsed.entries)
    problems = list(parsed.problems)
    if len(entries) > entries_max:
        problems.append(f"{len(entries)} entries, of which the newest {entries_max} were kept")
        oldest = datetime.min.replace(tzinfo=UTC)
        newest = sorted(range(len(entries)), key=lambda i: (entries[i].published or oldest, -i), reverse=True)
        entries = [entries[i] for i in sorted(newest[:entries_max])]
    return replace(parsed, entries=tuple(entries), problems=tuple(problems))


def _is_json(body: bytes) -> bool:
    return body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def _distinct(entries: Iterable[Entry]) -> list[Entry]:
    """Entries with guids of their own: a true repetition is dropped, another entry under a used guid is told apart."""
    kept: dict[str, Entry] = {}
    for entry in entries:
        first = kept.setdefault(entry.guid, entry)
        if (first.url, first.title, first.text) != (entry.url, entry.title, entry.text):
            guid = f"{entry.guid}#{digest(entry.url, entry.title, entry.text)}"
            problems = (*entry.problems, "its guid is another entry's too")
            kept.setdefault(guid, replace(entry, guid=guid, problems=problems))
    return list(kept.values())


def _dated(entry: Entry, now: datetime) -> Entry:
    """Leave out dates that cannot be true, and say so."""
    problems = list(entry.problems)
    dates: dict[str, datetime | None] = {}
    for name in ("published", "updated"):
        value: datetime | None = getattr(entry, name)
        if value is not None and (value > now + _FUTURE_GRACE or value < _EARLIEST):
            problems.append(f"{name} {value:%Y-%m-%d %H:%M} cannot be true, left out")
            value = None
        dates[name] = value
    if dates["published"] is None:
        dates["published"] = dates["updated"]
    return replace(entry, published=dates["published"], updated=dates["updated"], problems=tuple(problems))


def _plain(value: str | None) -> str:
    """A line that may be plain or HTML: feeds do not say, or say it wrongly."""
    if not value:
        return ""
    cut = value[:_LONGEST_LINE]
    return clean_line(html_to_text(cut) if _MARKUP.search(cut) else cut)


def _body(value: str | None) -> str:
    if not value:
        return ""
    cut = value[:_LONGEST_TEXT]
    return html_to_text(cut) if _MARKUP.search(cut) else clean_text(cut)


def _guid(declared: str, url: str, title: str, text: str) -> str:
    return declared or url or "digest:" + digest(title, text)


# --- XML ------------------------------------------------------------------------------------------------------------


def _parse_xml(body: bytes, url: str, content_type: str) -> ParsedFeed:
    import feedparser

    text, guessed = decode_xml(body, content_type)
    try:
        # Bytes in a file object: given a string, feedparser could take it for an address and fetch it.
        parsed: Any = feedparser.parse(
            io.BytesIO(sound_references(text.lstrip()).encode("utf-8", "replace")),
            response_headers={"content-type": "application/xml; charset=utf-8"},
            sanitize_html=False,
            resolve_relative_uris=False,
        )
    except Exception as error:  # whatever a library makes of a hostile feed is a failure of this feed only
        raise FeedError(
            f"the feed cannot be read: {type(error).__name__}: {error}"[:300], subject=url, reason="not_a_feed"
        ) from error
    if not parsed.get("version") and not parsed.entries:
        raise FeedError("the body is no feed", subject=url, reason="not_a_feed")
    feed = _as_expected(parsed.feed)
    problems: list[str] = []
    if guessed:
        problems.append(f"its encoding is declared wrongly or not at all, read as {guessed}")
    if parsed.get("bozo"):
        problems.append(clean_line(f"{type(parsed.bozo_exception).__name__}: {parsed.bozo_exception}")[:300])
    language = language_code(feed.get("language"))
    site_url = join_url(url, clean_line(feed["link"])) if feed.get("link") else ""
    info = FeedInfo(title=_plain(feed.get("title")), site_url=site_url, language=language, ttl_s=_ttl(feed))
    # Atom says what a relative link is relative to (RFC 4287, 2; feedparser has applied xml:base by now); RSS does not,
    # and there the site, not the host that serves the feed, is what its authors mean.
    base = url if (parsed.get("version") or "").startswith("atom") else site_url or url
    entries = tuple(_xml_entry(_as_expected(item), url, base, language) for item in parsed.entries)
    return ParsedFeed(version=parsed.get("version") or "unknown", info=info, entries=entries, problems=tuple(problems))


def _as_expected(record: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are of their kind: an attribute where none belongs makes feedparser turn a text into a dict."""
    kept: dict[str, Any] = {}
    for name, value in record.items():
        if name in ("authors", "content", "links"):
            kept[name] = [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
        elif isinstance(value, str | time.struct_time) or (name == "title_detail" and isinstance(value, dict)):
            kept[name] = value
    return kept


def _ttl(feed: Mapping[str, Any]) -> int | None:
    """How often the feed wants to be polled: RSS ``ttl`` (minutes), or the syndication module's period."""
    ttl = str(feed.get("ttl") or "").strip()
    if ttl.isascii() and ttl.isdigit():
        return int(ttl[:8]) * 60
    period = _PERIODS_S.get(str(feed.get("sy_updateperiod") or "").strip().lower())
    if period is None:
        return None
    frequency = str(feed.get("sy_updatefrequency") or "1").strip()
    times = int(frequency[:4]) if frequency.isascii() and frequency.isdigit() else 1
    return period // max(times, 1)


def _xml_entry(item: Mapping[str, Any], feed_url: str, base: str, feed_language: str) -> Entry:
    problems: list[str] = []
    declared = clean_line(item.get("id"))
    link = clean_line(item.get("feedburner_origlink") or item.get("link") or _other_link(item))
    if link == declared and not link.lower().startswith(("http://", "https://")):
        link = ""  # feedparser takes a guid for a link unless it says isPermaLink="false"
    url = join_url(base, link) if link else ""
    if url and not url.lower().startswith(("http://", "https://")):
        problems.append(f"link {url[:80]!r} is no web address, left out")
        url = ""
    texts = [part.get("value") or "" for part in item.get("content") or ()]
    texts.append(item.get("summary") or "")
    text = max((_body(value) for value in texts), key=len, default="")
    title = _plain(item.get("title") or item.get("itunes_title"))
    if not declared:
        problems.append("no guid")
    published = _xml_date(item, "published", problems) or _xml_date(item, "created", problems)
    updated = _xml_date(item, "updated", problems)
    return Entry(
        feed_url=feed_url,
        guid=_guid(declared, url, title, text),
        url=url,
        title=title,
        text=text,
        authors=_authors(item),
        published=published,
        updated=updated,
        language=language_code(_item_language(item)) or feed_language,
        problems=tuple(problems),
    )


def _other_link(item: Mapping[str, Any]) -> str:
    """The first link of any kind, for an entry that has no plain one."""
    for link in item.get("links") or ():
        if link.get("rel") in (None, "alternate", "related", "via") and link.get("href"):
            return str(link["href"])
    return ""


def _item_language(item: Mapping[str, Any]) -> str:
    for part in (item.get("language"), (item.get("title_detail") or {}).get("language")):
        if part:
            return str(part)
    return ""


def _authors(item: Mapping[str, Any]) -> tuple[str, ...]:
    names = [_plain(author.get("name")) for author in item.get("authors") or () if author]
    if len(names) < 2 and "@" in item.get("author", ""):
        # feedparser ends an address after four letters of its last part, and takes the rest of ".media" for a name.
        names = [_plain(_ADDRESS.sub(" ", item["author"])).strip(" ,;")]
    elif not any(names):
        names = [_plain(item.get("author"))]
    return tuple(dict.fromkeys(name for name in names if name and "@" not in name))


def _xml_date(item: Mapping[str, Any], name: str, problems: list[str]) -> datetime | None:
    parsed, raw = item.get(f"{name}_parsed"), clean_line(item.get(name))
    if isinstance(parsed, time.struct_time) and not _MISREAD.match(raw):
        try:
            return datetime.fromtimestamp(calendar.timegm(parsed), UTC)
        except (ValueError, OverflowError, OSError):
            pass
    return _loose_date(raw, name, problems)


def _loose_date(raw: str, name: str, problems: list[str]) -> datetime | None:
    """A date that is in none of the standard forms, if it can be read in one way only."""
    if not raw:
        return None
    from dateutil import parser as dates

    # dateutil takes "UTC+3" the other way round, as POSIX does.
    plain = _BEFORE_OFFSET.sub("", raw[:100])
    orders = (True,) if _DOTTED.search(raw) else (False, True) if _SLASHED.search(raw) else (False,)
    readings: set[datetime] = set()
    try:
        for day_first in orders:
            # What the text leaves out is filled in from the default: two of them tell that it left out year or month.
            for default in (datetime(2000, 1, 1), datetime(2001, 2, 1)):  # noqa: DTZ001 - the text brings its zone
                value = dates.parse(plain, default=default, dayfirst=day_first, tzinfos=_zone)
                readings.add(value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC))
    except (ValueError, OverflowError, TypeError, ArithmeticError):
        readings.clear()
    if len(readings) != 1:
        problems.append(f"{name} {raw[:60]!r} is no date, or not only one")
        return None
    return readings.pop()


def _zone(name: str | None, offset: int | None) -> tzinfo | None:
    """The zone of a date as dateutil asks for it; of a name that says nothing, as ``XYZ``, UTC."""
    if offset is not None:
        return timezone(timedelta(seconds=offset))
    return timezone(timedelta(hours=_ZONES.get((name or "").upper(), 0)))


# --- JSON Feed (https://www.jsonfeed.org/version/1.1/) ----------------------------------------------------------------


def _parse_json(body: bytes, url: str) -> ParsedFeed:
    try:
        data = json.loads(body.decode("utf-8-sig", errors="replace"))
    except (ValueError, RecursionError) as error:
        raise FeedError(f"the body is no JSON: {error}"[:300], subject=url, reason="not_a_feed") from None
    version = _JSON_VERSION.search(str(data.get("version"))) if isinstance(data, dict) else None
    if not isinstance(data, dict) or version is None or not isinstance(data.get("items"), list):
        raise FeedError("the body is JSON, but no JSON Feed", subject=url, reason="not_a_feed")
    language = language_code(_string(data, "language"))
    info = FeedInfo(
        title=_plain(_string(data, "title")),
        site_url=join_url(url, clean_line(_string(data, "home_page_url"))) if _string(data, "home_page_url") else "",
        language=language,
    )
    items = [item for item in data["items"] if isinstance(item, dict)]
    problems = [] if len(items) == len(data["items"]) else ["some items are no objects, left out"]
    entries = tuple(_json_entry(item, url, language) for item in items)
    return ParsedFeed(
        version="json" + version.group(1).replace(".", ""), info=info, entries=entries, problems=tuple(problems)
    )


def _string(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def _json_entry(item: Mapping[str, Any], base: str, language: str) -> Entry:
    problems: list[str] = []
    link = clean_line(_string(item, "url") or _string(item, "external_url"))
    url = join_url(base, link) if link else ""
    if url and not url.lower().startswith(("http://", "https://")):
        problems.append(f"link {url[:80]!r} is no web address, left out")
        url = ""
    html = _string(item, "content_html")
    texts = (
        html_to_text(html[:_LONGEST_TEXT]),
        clean_text(_string(item, "content_text")[:_LONGEST_TEXT]),
        _body(_string(item, "summary")),
    )
    text = max(texts, key=len)
    title = _plain(_string(item, "title"))
    people = item.get("authors") if isinstance(item.get("authors"), list) else [item.get("author")]
    names = [_plain(_string(person, "name")) for person in people or () if isinstance(person, dict)]
    declared = clean_line(_string(item, "id"))
    if not declared:
        problems.append("no guid")
    return Entry(
        feed_url=base,
        guid=_guid(declared, url, title, text),
        url=url,
        title=title,
        text=text,
        authors=tuple(dict.fromkeys(name for name in names if name)),
        published=_loose_date(clean_line(_string(item, "date_published")), "published", problems),
        updated=_loose_date(clean_line(_string(item, "date_modified")), "updated", problems),
        language=language_code(_string(item, "language")) or language,
        problems=tuple(problems),
    )

"""Records to what people and programs read: JSON rows, CSV, tables and text for a terminal. Nothing here prints."""

from __future__ import annotations

import csv
import io
import json
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from newswatch.records import Article, Event, Failure, Feed, StorageStatus, Tagging
from newswatch.text import clean_line

__all__ = [
    "article_row",
    "count_of",
    "csv_lines",
    "event_row",
    "feed_row",
    "jsonl_lines",
    "render_article",
    "render_articles",
    "render_event",
    "render_events",
    "render_failures",
    "render_feeds",
    "render_status",
    "render_tagging",
    "tagging_row",
]

# What a spreadsheet would take for a formula (OWASP, CSV injection), also in full-width form or behind what is not seen.
_FORMULA_STARTS = tuple("=+-@\t\r\n|%＝＋－＠")


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 with the zone, to the second; ``None`` stays."""
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z") if moment else None


def article_row(article: Article, *, full_text: bool = True) -> dict[str, Any]:
    """An article as JSON: the promised fields."""
    tagging = article.tagging
    row: dict[str, Any] = {"id": article.id, "url": article.url, "title": article.title}
    if full_text:
        row["text"] = article.text
    return row | {
        "published": iso(article.published),
        "language": article.language,
        "tags": list(tagging.tags) if tagging else [],
        "event": article.event,
        "source": article.source,
        "site": article.site,
        "authors": list(article.authors),
        "feed": article.feed,
        "text_from": article.text_from.value,
        "note": article.note,
        "scores": dict(tagging.scores) if tagging else {},
        "unsure": list(tagging.unsure) if tagging else [],
        "tag_notes": list(tagging.notes) if tagging else [],
        "model": tagging.model if tagging else "",
        "version": article.version,
        "first_seen": iso(article.first_seen),
    }


def event_row(event: Event) -> dict[str, Any]:
    """An event as JSON: the promised fields, and its articles where it carries them."""
    row: dict[str, Any] = {
        "id": event.id,
        "title": event.title,
        "tags": list(event.tags),
        "first_seen": iso(event.first_seen),
        "last_seen": iso(event.last_seen),
        "article_count": event.article_count,
        "source_count": event.source_count,
    }
    if event.articles:
        row["articles"] = [
            {"id": one.id, "url": one.url, "title": one.title, "source": one.source, "published": iso(one.published)}
            for one in event.articles
        ]
    return row


def feed_row(feed: Feed) -> dict[str, Any]:
    """A feed as JSON: the promised fields."""
    return {
        "url": feed.url,
        "title": feed.title,
        "state": feed.state.value,
        "last_polled": iso(feed.last_polled),
        "next_due": iso(feed.next_due),
        "status": feed.status,
        "error": feed.error,
        "failures": feed.failures,
    }


def tagging_row(tagging: Tagging, *, explain: bool = False) -> dict[str, Any]:
    """A tagging as JSON: the promised fields."""
    row: dict[str, Any] = {
        "tags": list(tagging.tags),
        "scores": dict(tagging.scores),
        "language": tagging.language,
        "unsure": list(tagging.unsure),
        "notes": list(tagging.notes),
        "model": tagging.model,
    }
    if explain:
        row["evidence"] = [
            {"tag": one.tag, "sentence": one.sentence, "weight": one.weight, "words": list(one.words)}
            for one in tagging.evidence
        ]
    return row


def jsonl_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """One line of JSON for each row."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


def csv_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """CSV with a head line. Lists are joined by ``; ``; no cell can act as a formula in a spreadsheet.

    A cell that would is kept readable behind an apostrophe.
    """
    names: list[str] | None = None
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows:
        if names is None:
            names = list(row)
            writer.writerow(names)
        writer.writerow([_cell(row.get(name)) for name in names])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _cell(value: Any) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        text = "; ".join(str(item) for item in value)
    elif isinstance(value, dict):
        text = "; ".join(f"{key}={item}" for key, item in value.items())
    else:
        text = str(value)
    text = text.replace("\x00", "")
    starts = (text, text.lstrip(), clean_line(text))
    return "'" + text if any(start.startswith(_FORMULA_STARTS) for start in starts) else text


# --- for people -------------------------------------------------------------------------------------------------------


def _width() -> int:
    return max(40, min(shutil.get_terminal_size((100, 24)).columns, 120))


def _date(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d}" if moment else "no date"


def _span(event: Event) -> str:
    first, last = _date(event.first_seen), _date(event.last_seen)
    return first if first == last else f"{first} to {last}"


def count_of(number: int, word: str) -> str:
    """A number with its word.

    Example:
        >>> count_of(1, "feed"), count_of(2, "feed")
        ('1 feed', '2 feeds')
    """
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _tags(tags: Sequence[str]) -> str:
    return " ".join(tags) if tags else "no tag"


def render_events(events: Sequence[Event]) -> str:
    """Events as text: title, then a line of tags, counts, span and id."""
    lines: list[str] = []
    for event in events:
        lines += textwrap.wrap(clean_line(event.title) or "(no title)", _width())
        counts = f"{count_of(event.article_count, 'article')}, {count_of(event.source_count, 'source')}"
        lines += [f"    [{_tags(event.tags)}]  {counts}  {_span(event)}  {event.id}", ""]
    return "\n".join(lines)


def render_event(event: Event) -> str:
    """An event with its articles."""
    lines = [render_events([event])]
    for article in event.articles:
        tags = _tags(article.tagging.tags if article.tagging else ())
        lines.append(f"  {_date(article.published)}  {article.source or article.feed}  [{tags}]  {article.id}")
        lines += textwrap.wrap(clean_line(article.title), _width(), initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def render_articles(articles: Sequence[Article]) -> str:
    """Articles as text, two lines each."""
    lines: list[str] = []
    for article in articles:
        lines += textwrap.wrap(clean_line(article.title) or "(no title)", _width())
        tags = _tags(article.tagging.tags if article.tagging else ())
        language = article.language or "?"
        lines += [
            f"    [{tags}]  {article.source or article.feed}  {_date(article.published)}  {language}  {article.id}",
            "",
        ]
    return "\n".join(lines)


def render_article(article: Article) -> str:
    """One article in full."""
    tagging = article.tagging
    facts = [
        ("url", article.url),
        ("source", f"{article.source} {article.site}".strip()),
        ("authors", ", ".join(article.authors)),
        ("published", iso(article.published) or ""),
        ("language", article.language),
        ("tags", _scores(tagging) if tagging else ""),
        ("notes", "; ".join(tagging.notes) if tagging else ""),
        ("event", article.event or ""),
        ("feed", article.feed),
        ("text from", f"{article.text_from.value}{': ' + article.note if article.note else ''}"),
        ("version", str(article.version) if article.version > 1 else ""),
    ]
    head = "\n".join(f"{name:>10}: {clean_line(value)}" for name, value in facts if value)
    paragraphs = [textwrap.fill(clean_line(part), _width()) for part in article.text.split("\n") if part.strip()]
    return "\n\n".join([textwrap.fill(clean_line(article.title), _width()), head, *paragraphs])


def _scores(tagging: Tagging) -> str:
    parts = []
    for tag, value in tagging.scores.items():
        mark = "" if tag in tagging.tags else "no "
        doubt = " unsure" if tag in tagging.unsure else ""
        parts.append(f"{mark}{tag} {value:.2f}{doubt}")
    return ", ".join(parts)


def render_tagging(tagging: Tagging, *, explain: bool = False) -> str:
    """What a model says of a pasted text."""
    lines = [
        f"tags:     {_tags(tagging.tags)}",
        f"scores:   {_scores(tagging)}",
        f"language: {tagging.language or 'unknown'}",
    ]
    lines += [f"note:     {note}" for note in tagging.notes]
    if explain:
        for one in tagging.evidence:
            lines.append(f"\n{one.tag}, by {clean_line(', '.join(one.words)) or 'the whole sentence'}:")
            lines += textwrap.wrap(clean_line(one.sentence), _width(), initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)


def render_feeds(feeds: Sequence[Feed]) -> str:
    """Feeds with their health."""
    lines: list[str] = []
    for feed in feeds:
        lines.append(clean_line(feed.title) or feed.url)
        polled = f"polled {feed.last_polled:%Y-%m-%d %H:%M}" if feed.last_polled else "never polled"
        due = f", next {feed.next_due:%Y-%m-%d %H:%M} UTC" if feed.next_due else ""
        lines.append(f"    {feed.state.value}  {polled}{due}  {feed.url}")
        if feed.error:
            lines.append(f"    {count_of(feed.failures, 'failure')} in a row: {clean_line(feed.error)}")
        lines.append("")
    return "\n".join(lines)


def render_failures(failures: Sequence[Failure]) -> str:
    """What failed and why."""
    return "\n".join(
        f"{one.stage.value}: {one.reason}: {clean_line(one.detail)}  {one.url or one.subject}"
        + (f"  (will be tried again {one.retry_at:%Y-%m-%d %H:%M} UTC)" if one.retry_at else "")
        for one in failures
    )


def render_status(status: StorageStatus) -> str:
    """Counts and last runs."""
    states = ", ".join(f"{count} {state}" for state, count in status.feeds_by_state.items())
    facts = [
        ("feeds", f"{status.feeds}" + (f" ({states})" if states else "")),
        ("entries", status.entries),
        ("articles", f"{status.articles}, {status.tagged} of them tagged"),
        ("events", status.events),
        ("to be fetched", status.pending),
        ("failures", status.failures),
        ("last poll", f"{status.last_poll:%Y-%m-%d %H:%M} UTC" if status.last_poll else "never"),
        ("overdue feeds", status.overdue),
        ("size", f"{status.bytes / 1e6:.1f} MB" if status.bytes is not None else "in memory"),
    ]
    return "\n".join(f"{name:>14}: {value}" for name, value in facts)

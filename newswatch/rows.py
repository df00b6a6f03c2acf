"""Rows of the tables to records and back, and the ids that are derived from content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from newswatch.exceptions import InputError
from newswatch.records import (
    Article,
    Entry,
    Event,
    Feed,
    FeedState,
    Tagging,
    TextFrom,
    Verdict,
)
from newswatch.text import digest, words
from newswatch.urls import canonical_url

__all__ = ["article_id", "article_of", "article_values", "entry_id", "entry_of", "entry_values", "event_of", "feed_of"]

_Row = sa.RowMapping


def article_id(entry: Entry) -> str:
    """The id of the article an entry leads to: of its canonical URL, without a link of feed and guid."""
    url = _canonical(entry.url)
    return digest(url) if url else digest(entry.feed_url, entry.guid)


def entry_id(entry: Entry) -> str:
    """The id of an entry: of its feed and guid."""
    return digest("entry", entry.feed_url, entry.guid)


def _canonical(url: str) -> str:
    try:
        return canonical_url(url) if url else ""
    except InputError:
        return ""


def feed_of(row: _Row) -> Feed:
    values = {spec.name: row[spec.name] for spec in fields(Feed)}
    return Feed(**{**values, "state": FeedState(values["state"])})


def entry_of(row: _Row) -> Entry:
    values = {spec.name: row[spec.name] for spec in fields(Entry)}
    return Entry(**{**values, "authors": tuple(values["authors"]), "problems": tuple(values["problems"])})


def entry_values(entry: Entry) -> dict[str, Any]:
    values: dict[str, Any] = {spec.name: getattr(entry, spec.name) for spec in fields(Entry)}
    values["authors"], values["problems"] = list(entry.authors), list(entry.problems)
    values["content_hash"] = digest(entry.title, entry.text)
    return values


def article_values(article: Article, fetched: datetime) -> dict[str, Any]:
    tagging = article.tagging
    return {
        "number": int(article.id, 16) >> 1,
        "url": article.url,
        "title": article.title,
        "text": article.text,
        "authors": list(article.authors),
        "published": article.published,
        "language": article.language,
        "site": article.site,
        "source": article.source,
        "feed": article.feed,
        "text_from": article.text_from,
        "note": article.note,
        "text_hash": digest(" ".join(words(article.text))) if article.text else "",
        "first_seen": article.first_seen,
        "fetched": fetched,
        "shown_at": article.published or article.first_seen,
        "tag_model": tagging.model if tagging else "",
        "tag_notes": list(tagging.notes) if tagging else [],
    }


def article_of(row: _Row, tag_rows: Sequence[_Row]) -> Article:
    tagging = None
    if row["tag_model"]:
        tagging = Tagging(
            tags=tuple(tag["tag"] for tag in tag_rows if tag["given"]),
            scores={tag["tag"]: tag["score"] for tag in tag_rows},
            language=row["language"],
            unsure=tuple(tag["tag"] for tag in tag_rows if tag["verdict"] == Verdict.UNSURE),
            notes=tuple(row["tag_notes"]),
            model=row["tag_model"],
        )
    plain = (
        "id",
        "url",
        "title",
        "text",
        "feed",
        "first_seen",
        "source",
        "site",
        "published",
        "language",
        "note",
        "version",
    )
    return Article(
        **{name: row[name] for name in plain},
        text_from=TextFrom(row["text_from"]),
        authors=tuple(row["authors"]),
        tagging=tagging,
        event=row["event_id"],
    )


def event_of(row: _Row) -> Event:
    return Event(**{**row, "tags": tuple(row["tags"])})

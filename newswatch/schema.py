"""The tables of a storage, for SQLAlchemy Core. The queries are in `newswatch.storage`, the steps between versions in
`newswatch/migrations`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

__all__ = [
    "UtcDateTime",
    "article_versions",
    "articles",
    "entries",
    "events",
    "failures",
    "feeds",
    "fingerprints",
    "leases",
    "members",
    "metadata",
    "pending",
    "polls",
    "robots",
    "tags",
]


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC datetime; kept naive where the database knows no zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without zone cannot be stored: {value}")
        moment = value.astimezone(UTC)
        return moment if dialect.name == "postgresql" else moment.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)


def _text(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="", **options)


def _time(name: str, **options: Any) -> sa.Column[datetime]:
    return sa.Column(name, UtcDateTime, **options)


feeds = sa.Table(
    "feeds",
    metadata,
    sa.Column("url", sa.Text, primary_key=True),
    # One feed under several spellings (http and https, closing slash) is subscribed once.
    sa.Column("feed_key", sa.Text, nullable=False, unique=True),
    _text("title"),
    _text("site_url"),
    _text("language"),
    _text("state"),
    _time("added"),
    _time("last_polled"),
    _time("next_due", index=True),
    _time("not_before"),
    sa.Column("status", sa.Integer),
    _text("error"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    _time("failing_since"),
    _text("etag"),
    _text("last_modified"),
    _text("body_hash"),
    sa.Column("interval_s", sa.Integer, nullable=False, server_default="0"),
    sa.Column("max_age_s", sa.Integer),
    # Who polls it just now, and until when that is believed.
    _text("lease_owner"),
    _time("lease_until"),
)

polls = sa.Table(
    "polls",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("feed_url", sa.ForeignKey("feeds.url", ondelete="CASCADE"), nullable=False),
    _time("polled", nullable=False),
    sa.Column("status", sa.Integer),
    _text("note"),
    sa.Column("new_entries", sa.Integer, nullable=False, server_default="0"),
    sa.Index("ix_polls_feed_url_polled", "feed_url", "polled"),
)

entries = sa.Table(
    "entries",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    # Kept when the feed is unsubscribed: the articles it brought stay explained.
    sa.Column("feed_url", sa.Text, nullable=False, index=True),
    sa.Column("guid", sa.Text, nullable=False),
    sa.Column("article_id", sa.Text, nullable=False, index=True),
    _text("url"),
    _text("title"),
    _text("text"),
    sa.Column("authors", sa.JSON, nullable=False),
    _time("published"),
    _time("updated"),
    _text("language"),
    sa.Column("problems", sa.JSON, nullable=False),
    _text("content_hash"),
    _time("first_seen", nullable=False),
)

# Articles whose page is to be fetched, at once or at a set time.
pending = sa.Table(
    "pending",
    metadata,
    sa.Column("article_id", sa.Text, primary_key=True),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    _time("due", index=True),
    _text("lease_owner"),
    _time("lease_until"),
)

articles = sa.Table(
    "articles",
    metadata,
    # Derived from the id, so that the row number is the same wherever and whenever the article is stored.
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    _text("url"),
    _text("title"),
    _text("text"),
    sa.Column("authors", sa.JSON, nullable=False),
    _time("published"),
    _text("language", index=True),
    _text("site"),
    _text("source"),
    _text("feed", index=True),
    _text("text_from"),
    _text("note"),
    _text("text_hash", index=True),
    sa.Column("version", sa.Integer, nullable=False, server_default="1"),
    _time("first_seen", nullable=False),
    _time("fetched"),
    # What listings sort and filter by: published, else first seen.
    _time("shown_at", nullable=False, index=True),
    _text("tag_model"),
    sa.Column("tag_notes", sa.JSON, nullable=False),
    sa.Column("grouped", sa.Boolean, nullable=False, server_default=sa.false(), index=True),
)

article_versions = sa.Table(
    "article_versions",
    metadata,
    sa.Column("article_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    _text("title"),
    _text("text"),
    _text("text_from"),
    _time("fetched"),
)

tags = sa.Table(
    "tags",
    metadata,
    sa.Column("article_id", sa.Text, primary_key=True),
    sa.Column("tag", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("score", sa.Float, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("given", sa.Boolean, nullable=False),
    sa.Index("ix_tags_tag_given", "tag", "given"),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _text("title"),
    sa.Column("tags", sa.JSON, nullable=False),
    _time("first_seen", nullable=False),
    _time("last_seen", nullable=False, index=True),
    sa.Column("article_count", sa.Integer, nullable=False),
    sa.Column("source_count", sa.Integer, nullable=False),
)

members = sa.Table(
    "members",
    metadata,
    sa.Column("article_id", sa.Text, primary_key=True),
    sa.Column("event_id", sa.ForeignKey("events.id"), nullable=False, index=True),
    sa.Column("how", sa.Text, nullable=False),
    sa.Column("similarity", sa.Float, nullable=False),
    _text("nearest"),
)

# What the grouper needs of an article to compare later ones with it, packed.
fingerprints = sa.Table(
    "fingerprints",
    metadata,
    sa.Column("article_id", sa.Text, primary_key=True),
    _time("arrived", nullable=False, index=True),
    sa.Column("packed", sa.LargeBinary, nullable=False),
)

failures = sa.Table(
    "failures",
    metadata,
    sa.Column("stage", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    _text("url"),
    _text("reason"),
    _text("detail"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
    _time("failed"),
    _time("retry_at"),
)

robots = sa.Table(
    "robots",
    metadata,
    sa.Column("url", sa.Text, primary_key=True),
    sa.Column("status", sa.Integer),
    sa.Column("body", sa.LargeBinary, nullable=False),
    _time("fetched", nullable=False),
)

# Work that only one process may do at a time, as grouping.
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _text("owner"),
    _time("until"),
)

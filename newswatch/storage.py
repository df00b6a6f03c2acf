"""Everything that is kept, in SQLite (PostgreSQL has room): every query, and one method is one transaction.

A method either did all of its work or none, so a process killed at any moment leaves a storage that the next run
can go on with.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as upsert

from newswatch import schema
from newswatch.database import Database
from newswatch.exceptions import InputError, NotFoundError
from newswatch.records import (
    Article,
    ArticleFilter,
    Assignment,
    Entry,
    Event,
    Failure,
    Feed,
    FeedLink,
    FeedState,
    ParsedFeed,
    Poll,
    Stage,
    StorageStatus,
    Tagging,
    TextFrom,
)
from newswatch.rows import article_id, article_of, article_values, entry_id, entry_of, entry_values, event_of, feed_of
from newswatch.schedule import is_due
from newswatch.text import clean_line
from newswatch.urls import check_url, feed_key

__all__ = ["Fingerprint", "RecordedPoll", "Storage", "Work", "open_storage"]

_POLLS_KEPT = 30
_CHUNK = 400
_TAG_SHARE = 1 / 3
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPoll:
    """What a poll changed: how many entries were new, and which articles are now to be fetched."""

    new_entries: int
    articles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """An article to be fetched: the entry to read it by, and the article as known so far."""

    article_id: str
    url: str
    entry: Entry
    first_seen: datetime
    attempts: int
    known: Article | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What the grouper keeps of an article, with the event it is in."""

    article_id: str
    event_id: str
    arrived: datetime
    packed: bytes


def open_storage(
    location: str | os.PathLike[str], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Storage:
    """Open a storage, and make or migrate it where needed.

    Args:
        location: a path, ``sqlite:///PATH`` or ``sqlite://`` (in memory).
        now: the clock, for leases.

    Raises:
        ConfigError: the location is of no known kind.
        StorageError: it cannot be opened, is no newswatch storage, or was written by a newer newswatch.
    """
    return Storage(location, now=now)


class Storage(Database):
    """A storage. See `open_storage`."""

    # --- feeds ------------------------------------------------------------------------------------------------------

    def add_feeds(self, links: Iterable[FeedLink], now: datetime) -> list[tuple[str, bool]]:
        """Subscribe to feeds. A known one is no error, and one that was gone (410) is tried again.

        Returns:
            For each, the address it is subscribed under and whether it is new.

        Raises:
            InputError: an address is none; then nothing is subscribed.
        """
        wanted = [(check_url(link.url), feed_key(link.url), link) for link in links]
        done: list[tuple[str, bool]] = []
        table = schema.feeds
        with self._writing() as connection:
            for url, key, link in wanted:
                row = connection.execute(sa.select(table.c.url, table.c.state).where(table.c.feed_key == key)).first()
                if row is None:
                    connection.execute(
                        sa.insert(table).values(
                            url=url,
                            feed_key=key,
                            title=clean_line(link.title),
                            site_url=link.site_url,
                            state=FeedState.NEW,
                            added=now,
                        )
                    )
                elif row.state == FeedState.GONE:
                    connection.execute(
                        sa.update(table).where(table.c.url == row.url).values(state=FeedState.NEW, next_due=None)
                    )
                done.append((row.url if row else url, row is None))
        return done

    def remove_feed(self, url: str) -> None:
        """Unsubscribe. Its articles stay.

        Raises:
            NotFoundError: no such feed.
        """
        found = self._feed_url(url)
        with self._writing() as connection:
            connection.execute(sa.delete(schema.feeds).where(schema.feeds.c.url == found))
            connection.execute(
                sa.delete(schema.failures).where(
                    schema.failures.c.stage == Stage.POLL, schema.failures.c.subject == found
                )
            )

    def _feed_url(self, url: str) -> str:
        table = schema.feeds
        try:
            key = feed_key(url)
        except InputError:
            key = ""
        with self._reading() as connection:
            found = connection.execute(
                sa.select(table.c.url).where(sa.or_(table.c.url == url.strip(), table.c.feed_key == key))
            ).scalar()
        if found is None:
            raise NotFoundError(f"not subscribed to {url}; newswatch feeds lists what is", subject=url)
        return str(found)

    def feeds(self) -> list[Feed]:
        """All feeds, by address."""
        with self._reading() as connection:
            return [
                feed_of(row)
                for row in connection.execute(sa.select(schema.feeds).order_by(schema.feeds.c.url)).mappings()
            ]

    def polls(self, feed_url: str) -> list[Poll]:
        """The log of the last polls of a feed, newest first."""
        table = schema.polls
        query = sa.select(table).where(table.c.feed_url == feed_url).order_by(table.c.number.desc())
        with self._reading() as connection:
            return [
                Poll(**{name: row[name] for name in ("feed_url", "polled", "status", "note", "new_entries")})
                for row in connection.execute(query).mappings()
            ]

    def claim_feeds(
        self, now: datetime, *, limit: int, hold_s: float, force: bool = False, started: datetime | None = None
    ) -> list[Feed]:
        """Lease feeds that may be polled now.

        Args:
            force: pass over our own due times.
            started: leave out what was polled since then (so that a forced round ends).
        """
        table = schema.feeds
        with self._writing() as connection:
            query = sa.select(table).where(self._free(connection, table, now), table.c.state != FeedState.GONE)
            if not force:
                query = query.where(sa.or_(table.c.next_due.is_(None), table.c.next_due <= now))
            if started is not None:
                query = query.where(sa.or_(table.c.last_polled.is_(None), table.c.last_polled < started))
            rows = connection.execute(
                query.order_by(table.c.next_due.is_not(None), table.c.next_due, table.c.url)
            ).mappings()
            claimed = []
            for row in rows:
                feed = feed_of(row)
                if is_due(feed, now, force=force):
                    claimed.append(feed)
                    if len(claimed) == limit:
                        break
            for chunk in _chunks([feed.url for feed in claimed]):
                connection.execute(
                    sa.update(table)
                    .where(table.c.url.in_(chunk))
                    .values(lease_owner=self.owner, lease_until=now + timedelta(seconds=hold_s))
                )
        return claimed

    def record_poll(
        self, feed: Feed, poll: Poll, parsed: ParsedFeed | None = None, *, reason: str = ""
    ) -> RecordedPoll:
        """Keep what a poll brought: the feed's new state, a line in the log, new and changed entries, and the articles
        that are to be fetched for them. Ends the lease.

        Args:
            reason: the short word for why the poll failed, where it did.
        """
        table = schema.feeds
        values = {spec.name: getattr(feed, spec.name) for spec in fields(Feed) if spec.name != "url"}
        with self._writing() as connection:
            changed = connection.execute(
                sa.update(table).where(table.c.url == feed.url).values(**values, lease_owner="", lease_until=None)
            ).rowcount
            if not changed:
                return RecordedPoll(new_entries=0, articles=())  # unsubscribed meanwhile
            recorded = (
                self._record_entries(connection, parsed.entries, poll.polled)
                if parsed
                else RecordedPoll(new_entries=0, articles=())
            )
            connection.execute(
                sa.insert(schema.polls).values(
                    feed_url=feed.url,
                    polled=poll.polled,
                    status=poll.status,
                    note=poll.note,
                    new_entries=recorded.new_entries,
                )
            )
            kept = (
                sa.select(schema.polls.c.number)
                .where(schema.polls.c.feed_url == feed.url)
                .order_by(schema.polls.c.number.desc())
                .limit(_POLLS_KEPT)
            )
            connection.execute(
                sa.delete(schema.polls).where(schema.polls.c.feed_url == feed.url, schema.polls.c.number.not_in(kept))
            )
            if feed.error:
                self._record_failure(
                    connection,
                    Failure(
                        stage=Stage.POLL,
                        subject=feed.url,
                        url=feed.url,
                        reason=reason,
                        detail=feed.error,
                        failed=poll.polled,
                        retry_at=None if feed.state is FeedState.GONE else feed.next_due,
                    ),
                )
            else:
                self._clear_failures(connection, feed.url, (Stage.POLL,))
        return recorded

    def _record_entries(self, connection: sa.Connection, entries: Sequence[Entry], now: datetime) -> RecordedPoll:
        table = schema.entries
        distinct: dict[str, Entry] = {}
        for entry in entries:
            distinct.setdefault(entry_id(entry), entry)
        known: dict[str, Any] = {}
        for chunk in _chunks(list(distinct)):
            query = sa.select(table.c.id, table.c.content_hash, table.c.updated, table.c.article_id).where(
                table.c.id.in_(chunk)
            )
            known.update({row.id: row for row in connection.execute(query)})
        new_rows: list[dict[str, Any]] = []
        due: dict[str, None] = {}
        changed: set[str] = set()
        for identity, entry in distinct.items():
            row = known.get(identity)
            values = entry_values(entry)
            if row is None:
                target = article_id(entry)
                new_rows.append({"id": identity, "article_id": target, "first_seen": now, **values})
                due[target] = None
            elif row.content_hash != values["content_hash"] or row.updated != entry.updated:
                connection.execute(sa.update(table).where(table.c.id == identity).values(**values))
                due[row.article_id] = None
                changed.add(row.article_id)
        for rows in _chunks(new_rows):
            connection.execute(upsert(table).on_conflict_do_nothing(), rows)
        wanted: list[str] = []
        for chunk in _chunks(list(due)):
            have = set(
                connection.execute(sa.select(schema.articles.c.id).where(schema.articles.c.id.in_(chunk))).scalars()
            )
            wanted += [one for one in chunk if one not in have or one in changed]
        for chunk in _chunks(wanted):
            statement = upsert(schema.pending).on_conflict_do_update(
                index_elements=["article_id"], set_={"due": sa.null(), "attempts": 0}
            )
            connection.execute(statement, [{"article_id": one, "attempts": 0} for one in chunk])
        return RecordedPoll(new_entries=len(new_rows), articles=tuple(wanted))

    # --- articles ---------------------------------------------------------------------------------------------------

    def claim_work(self, now: datetime, *, limit: int, hold_s: float) -> list[Work]:
        """Lease articles that are to be fetched now, in the order of their ids."""
        table = schema.pending
        with self._writing() as connection:
            query = (
                sa.select(table)
                .where(self._free(connection, table, now), sa.or_(table.c.due.is_(None), table.c.due <= now))
                .order_by(table.c.article_id)
                .limit(limit)
            )
            rows = {row["article_id"]: row for row in connection.execute(query).mappings()}
            for chunk in _chunks(list(rows)):
                connection.execute(
                    sa.update(table)
                    .where(table.c.article_id.in_(chunk))
                    .values(lease_owner=self.owner, lease_until=now + timedelta(seconds=hold_s))
                )
            return self._work(connection, rows)

    def _work(self, connection: sa.Connection, rows: Mapping[str, Any]) -> list[Work]:
        by_article: dict[str, list[Any]] = {}
        for chunk in _chunks(list(rows)):
            query = sa.select(schema.entries).where(schema.entries.c.article_id.in_(chunk))
            for entry in connection.execute(query).mappings():
                by_article.setdefault(entry["article_id"], []).append(entry)
        known = {article.id: article for article in self._articles_by_id(connection, list(rows))}
        work: list[Work] = []
        for identity, row in rows.items():
            candidates = by_article.get(identity)
            if not candidates:
                connection.execute(sa.delete(schema.pending).where(schema.pending.c.article_id == identity))
                continue
            # The same entry whichever feed was polled first: the one that says most.
            best = min(candidates, key=lambda entry: (-len(entry["text"]), entry["feed_url"], entry["guid"]))
            work.append(
                Work(
                    article_id=identity,
                    url=best["url"],
                    entry=entry_of(best),
                    first_seen=min(entry["first_seen"] for entry in candidates),
                    attempts=row["attempts"],
                    known=known.get(identity),
                )
            )
        return work

    def store_article(
        self, article: Article, *, fetched: datetime, failure: Failure | None = None, retry_at: datetime | None = None
    ) -> bool:
        """Keep an article with its tags; a changed text becomes a new version. Ends its lease.

        Args:
            failure: why the page was of no use, where the text is the feed's.
            retry_at: when the page is tried again by itself.

        Returns:
            Whether the article is new.
        """
        table = schema.articles
        with self._writing() as connection:
            row = connection.execute(sa.select(table).where(table.c.id == article.id)).mappings().first()
            values = article_values(article, fetched)
            if row is None:
                connection.execute(sa.insert(table).values(id=article.id, **values))
                self._index(connection, values["number"], article)
            elif row["text_from"] == TextFrom.PAGE and article.text_from is TextFrom.FEED:
                # A poorer text, with the tags it gave, never replaces a better one.
                connection.execute(sa.update(table).where(table.c.id == article.id).values(note=article.note))
                self._settle(connection, article.id, failure, retry_at)
                return False
            else:
                self._renew(connection, row, values, article)
            if article.tagging is not None:
                self._store_tags(connection, article.id, article.tagging)
            self._refresh_event_of(connection, article.id)
            self._settle(connection, article.id, failure, retry_at)
        return row is None

    def _renew(self, connection: sa.Connection, row: Any, values: dict[str, Any], article: Article) -> None:
        """Replace a stored article, keeping a text that changed as an earlier version."""
        table = schema.articles
        values["first_seen"] = min(row["first_seen"], values["first_seen"])
        values["shown_at"] = article.published or values["first_seen"]
        values["version"] = row["version"]
        if (row["title"], row["text"]) != (values["title"], values["text"]):
            connection.execute(
                upsert(schema.article_versions)
                .values(
                    article_id=article.id,
                    version=row["version"],
                    title=row["title"],
                    text=row["text"],
                    text_from=row["text_from"],
                    fetched=row["fetched"],
                )
                .on_conflict_do_nothing()
            )
            values["version"] = row["version"] + 1
            connection.execute(
                sa.text(
                    "INSERT INTO articles_fts(articles_fts, rowid, title, text) VALUES ('delete', :number, :title, :text)"
                ),
                {"number": row["number"], "title": row["title"], "text": row["text"]},
            )
            self._index(connection, row["number"], article)
        connection.execute(sa.update(table).where(table.c.id == article.id).values(**values))

    def _refresh_event_of(self, connection: sa.Connection, identity: str) -> None:
        members = schema.members
        event = connection.execute(sa.select(members.c.event_id).where(members.c.article_id == identity)).scalar()
        if event:
            self._refresh_event(connection, event)

    def _index(self, connection: sa.Connection, number: int, article: Article) -> None:
        connection.execute(
            sa.text("INSERT INTO articles_fts(rowid, title, text) VALUES (:number, :title, :text)"),
            {"number": number, "title": article.title, "text": article.text},
        )

    def _store_tags(self, connection: sa.Connection, identity: str, tagging: Tagging) -> None:
        connection.execute(sa.delete(schema.tags).where(schema.tags.c.article_id == identity))
        rows = [
            {
                "article_id": identity,
                "tag": tag,
                "position": position,
                "score": score,
                "verdict": tagging.verdict(tag),
                "given": tag in tagging.tags,
            }
            for position, (tag, score) in enumerate(tagging.scores.items())
        ]
        if rows:
            connection.execute(sa.insert(schema.tags), rows)

    def store_failure(self, failure: Failure, retry_at: datetime | None) -> None:
        """Keep why an article could not be had. Ends its lease; it is tried again at ``retry_at``, or by ``retry``."""
        with self._writing() as connection:
            self._settle(connection, failure.subject, failure, retry_at)

    def _settle(
        self, connection: sa.Connection, identity: str, failure: Failure | None, retry_at: datetime | None
    ) -> None:
        table = schema.pending
        if failure is None:
            self._clear_failures(connection, identity, (Stage.ROBOTS, Stage.FETCH, Stage.EXTRACT, Stage.TAG))
        else:
            others = [
                stage for stage in (Stage.ROBOTS, Stage.FETCH, Stage.EXTRACT, Stage.TAG) if stage is not failure.stage
            ]
            self._clear_failures(connection, identity, others)
            self._record_failure(connection, replace(failure, retry_at=retry_at))
        if retry_at is None:
            connection.execute(sa.delete(table).where(table.c.article_id == identity))
        else:
            connection.execute(
                sa.update(table)
                .where(table.c.article_id == identity)
                .values(due=retry_at, attempts=table.c.attempts + 1, lease_owner="", lease_until=None)
            )

    def article(self, identity: str) -> Article:
        """One article.

        Raises:
            NotFoundError: no article of that id.
        """
        with self._reading() as connection:
            found = self._articles_by_id(connection, [identity])
        if not found:
            raise NotFoundError(f"no article {identity}", subject=identity)
        return found[0]

    def versions(self, identity: str) -> list[tuple[int, str, str]]:
        """Earlier versions of an article: number, title, text; oldest first."""
        table = schema.article_versions
        with self._reading() as connection:
            rows = connection.execute(sa.select(table).where(table.c.article_id == identity).order_by(table.c.version))
            return [(row.version, row.title, row.text) for row in rows]

    def articles(self, wanted: ArticleFilter) -> list[Article]:
        """Articles, newest first."""
        return list(self.iter_articles(wanted))

    def iter_articles(self, wanted: ArticleFilter) -> Iterator[Article]:
        """As `articles`, read a few hundred at a time."""
        table = schema.articles
        query = (
            sa.select(table.c.id).where(*self._article_conditions(wanted)).order_by(table.c.shown_at.desc(), table.c.id)
        )
        if wanted.limit:
            query = query.limit(wanted.limit)
        with self._reading() as connection:
            identities = list(connection.execute(query).scalars())
        yield from self._in_order(identities)

    def _in_order(self, identities: Sequence[str]) -> Iterator[Article]:
        for chunk in _chunks(list(identities)):
            with self._reading() as connection:
                found = {article.id: article for article in self._articles_by_id(connection, chunk)}
            yield from (found[one] for one in chunk if one in found)

    def search(self, query: str, wanted: ArticleFilter) -> list[Article]:
        """Articles that hold all words of a query, best first; words in double quotes are one phrase.

        Raises:
            InputError: the query holds no word.
        """
        expression = _fts_expression(query)
        conditions: list[Any] = [sa.text("articles_fts MATCH :expression"), *self._article_conditions(wanted)]
        fts = sa.table("articles_fts", sa.column("rowid"), sa.column("rank"))
        statement = (
            sa.select(schema.articles.c.id)
            .join_from(fts, schema.articles, fts.c.rowid == schema.articles.c.number)
            .where(*conditions)
            .order_by(fts.c.rank, schema.articles.c.id)
        )
        if wanted.limit:
            statement = statement.limit(wanted.limit)
        with self._reading() as connection:
            identities = list(connection.execute(statement, {"expression": expression}).scalars())
        return list(self._in_order(identities))

    def _article_conditions(self, wanted: ArticleFilter) -> list[sa.ColumnElement[bool]]:
        table = schema.articles
        conditions: list[sa.ColumnElement[bool]] = []
        if wanted.tag is not None:
            tags = schema.tags
            conditions.append(
                table.c.id.in_(sa.select(tags.c.article_id).where(tags.c.tag == wanted.tag, tags.c.given))
            )
        if wanted.since is not None:
            conditions.append(table.c.shown_at >= wanted.since)
        if wanted.until is not None:
            conditions.append(table.c.shown_at < wanted.until)
        if wanted.language is not None:
            conditions.append(table.c.language == wanted.language)
        if wanted.feed is not None:
            conditions.append(
                table.c.id.in_(sa.select(schema.entries.c.article_id).where(schema.entries.c.feed_url == wanted.feed))
            )
        return conditions

    def _articles_by_id(self, connection: sa.Connection, identities: Sequence[str]) -> list[Article]:
        table = schema.articles
        found: list[Article] = []
        for chunk in _chunks(list(identities)):
            scores: dict[str, list[Any]] = {}
            tag_rows = connection.execute(
                sa.select(schema.tags).where(schema.tags.c.article_id.in_(chunk)).order_by(schema.tags.c.position)
            ).mappings()
            for tag in tag_rows:
                scores.setdefault(tag["article_id"], []).append(tag)
            query = (
                sa.select(table, schema.members.c.event_id)
                .outerjoin(schema.members, schema.members.c.article_id == table.c.id)
                .where(table.c.id.in_(chunk))
            )
            found += [article_of(row, scores.get(row["id"], ())) for row in connection.execute(query).mappings()]
        return found

    def known_tags(self) -> list[str]:
        """The tags that any article was scored for, in the model's order."""
        tags = schema.tags
        query = sa.select(tags.c.tag).group_by(tags.c.tag).order_by(sa.func.min(tags.c.position), tags.c.tag)
        with self._reading() as connection:
            return list(connection.execute(query).scalars())

    # --- events -----------------------------------------------------------------------------------------------------

    def ungrouped(self) -> list[str]:
        """Ids of the articles in no event yet, in the order in which they are to be grouped: by date, then id."""
        table = schema.articles
        query = (
            sa.select(table.c.id)
            .where(table.c.grouped.is_(False))
            .order_by(table.c.published.is_(None), table.c.published, table.c.id)
        )
        with self._reading() as connection:
            return list(connection.execute(query).scalars())

    def articles_by_id(self, identities: Sequence[str]) -> list[Article]:
        """Articles in the order asked for; unknown ids are left out."""
        return list(self._in_order(identities))

    def iter_fingerprints(self, since: datetime) -> Iterator[Fingerprint]:
        """What the grouper kept of the articles of events that were still open then, oldest first."""
        table, members, events = schema.fingerprints, schema.members, schema.events
        query = (
            sa.select(table.c.article_id, members.c.event_id, table.c.arrived, table.c.packed)
            .join(members, members.c.article_id == table.c.article_id)
            .join(events, events.c.id == members.c.event_id)
            .where(events.c.last_seen >= since)
            .order_by(table.c.arrived, table.c.article_id)
        )
        with self._reading() as connection:
            for row in connection.execution_options(yield_per=1000).execute(query).mappings():
                yield Fingerprint(**row)

    def store_assignments(self, assigned: Sequence[tuple[Assignment, Fingerprint]]) -> None:
        """Keep where articles were put, and bring their events up to date."""
        with self._writing() as connection:
            touched: dict[str, None] = {}
            for assignment, fingerprint in assigned:
                touched[assignment.event] = None
                if assignment.is_new:
                    blank = {"tags": [], "first_seen": fingerprint.arrived, "last_seen": fingerprint.arrived}
                    connection.execute(
                        upsert(schema.events)
                        .values(id=assignment.event, article_count=0, source_count=0, **blank)
                        .on_conflict_do_nothing()
                    )
                connection.execute(
                    upsert(schema.members)
                    .values(
                        article_id=assignment.article,
                        event_id=assignment.event,
                        how=assignment.how,
                        similarity=round(assignment.similarity, 6),
                        nearest=assignment.nearest,
                    )
                    .on_conflict_do_nothing()
                )
                connection.execute(
                    upsert(schema.fingerprints)
                    .values(article_id=fingerprint.article_id, arrived=fingerprint.arrived, packed=fingerprint.packed)
                    .on_conflict_do_nothing()
                )
            for chunk in _chunks([assignment.article for assignment, _ in assigned]):
                connection.execute(
                    sa.update(schema.articles).where(schema.articles.c.id.in_(chunk)).values(grouped=True)
                )
            for event in touched:
                self._refresh_event(connection, event)

    def _refresh_event(self, connection: sa.Connection, event: str) -> None:
        """Work out an event's title, span, counts and tags from its members."""
        articles, members, tags = schema.articles, schema.members, schema.tags
        rows = connection.execute(
            sa.select(articles.c.title, articles.c.source, articles.c.feed, articles.c.shown_at)
            .join(members, members.c.article_id == articles.c.id)
            .where(members.c.event_id == event)
            .order_by(articles.c.shown_at, articles.c.id)
        ).all()
        if not rows:  # its founder was put elsewhere meanwhile
            empty = sa.not_(sa.exists().where(members.c.event_id == event))
            connection.execute(sa.delete(schema.events).where(schema.events.c.id == event, empty))
            return
        counts = connection.execute(
            sa.select(tags.c.tag, sa.func.count(), sa.func.min(tags.c.position))
            .join(members, members.c.article_id == tags.c.article_id)
            .where(members.c.event_id == event, tags.c.given)
            .group_by(tags.c.tag)
        ).all()
        carried = [row for row in counts if row[1] >= len(rows) * _TAG_SHARE]
        connection.execute(
            sa.update(schema.events)
            .where(schema.events.c.id == event)
            .values(
                title=next((row.title for row in rows if row.title), ""),
                tags=[row[0] for row in sorted(carried, key=lambda row: (-row[1], row[2]))],
                first_seen=rows[0].shown_at,
                last_seen=rows[-1].shown_at,
                article_count=len(rows),
                source_count=len({row.source or row.feed for row in rows}),
            )
        )

    def events(self, wanted: ArticleFilter, *, all_events: bool = False) -> list[Event]:
        """Events, the latest first; only tagged ones unless ``all_events``. A tag asks for events that carry it;
        language and feed for events with such a member."""
        table = schema.events
        conditions: list[sa.ColumnElement[bool]] = []
        if wanted.since is not None:
            conditions.append(table.c.last_seen >= wanted.since)
        if wanted.until is not None:
            conditions.append(table.c.first_seen < wanted.until)
        if wanted.language is not None or wanted.feed is not None:
            inner = self._article_conditions(ArticleFilter(language=wanted.language, feed=wanted.feed))
            members = schema.members
            conditions.append(
                table.c.id.in_(
                    sa.select(members.c.event_id)
                    .join(schema.articles, schema.articles.c.id == members.c.article_id)
                    .where(*inner)
                )
            )
        if wanted.tag is not None:
            tags = sa.cast(table.c.tags, sa.Text)  # LIKE would pass over case
            conditions.append(sa.func.replace(tags, json.dumps(wanted.tag), "") != tags)
        elif not all_events:
            conditions.append(sa.cast(table.c.tags, sa.Text) != "[]")
        query = sa.select(table).where(*conditions).order_by(table.c.last_seen.desc(), table.c.id)
        if wanted.limit:
            query = query.limit(wanted.limit)
        with self._reading() as connection:
            return [event_of(row) for row in connection.execute(query).mappings()]

    def event(self, identity: str) -> Event:
        """One event with its articles.

        Raises:
            NotFoundError: no event of that id.
        """
        members = schema.members
        with self._reading() as connection:
            row = connection.execute(sa.select(schema.events).where(schema.events.c.id == identity)).mappings().first()
            if row is None:
                raise NotFoundError(f"no event {identity}", subject=identity)
            ids = list(
                connection.execute(sa.select(members.c.article_id).where(members.c.event_id == identity)).scalars()
            )
            found = self._articles_by_id(connection, ids)
        ordered = sorted(found, key=lambda article: (article.published or article.first_seen, article.id))
        return replace(event_of(row), articles=tuple(ordered))

    # --- failures, robots, status -----------------------------------------------------------------------------------

    def _record_failure(self, connection: sa.Connection, failure: Failure) -> None:
        table = schema.failures
        values = {
            "url": failure.url,
            "reason": failure.reason,
            "detail": clean_line(failure.detail)[:500],
            "failed": failure.failed,
            "retry_at": failure.retry_at,
        }
        connection.execute(
            upsert(table)
            .values(stage=failure.stage, subject=failure.subject, attempts=1, **values)
            .on_conflict_do_update(
                index_elements=["stage", "subject"], set_={**values, "attempts": table.c.attempts + 1}
            )
        )

    def _clear_failures(self, connection: sa.Connection, subject: str, stages: Sequence[Stage]) -> None:
        table = schema.failures
        connection.execute(sa.delete(table).where(table.c.subject == subject, table.c.stage.in_(stages)))

    def failures(self) -> list[Failure]:
        """All recorded failures, by stage and address."""
        table = schema.failures
        with self._reading() as connection:
            rows = connection.execute(sa.select(table).order_by(table.c.stage, table.c.url, table.c.subject)).mappings()
            return [Failure(**{**row, "stage": Stage(row["stage"])}) for row in rows]

    def retry_failures(self) -> int:
        """Let every failed article be fetched, and every failing feed be polled, in the next round.

        Returns:
            How many items will be tried again.
        """
        failures, pending, feeds = schema.failures, schema.pending, schema.feeds
        with self._writing() as connection:
            rows = connection.execute(
                sa.select(failures.c.stage, failures.c.subject).where(failures.c.stage != Stage.GROUP)
            ).all()
            articles = sorted({row.subject for row in rows if row.stage != Stage.POLL})
            for chunk in _chunks(articles):
                statement = upsert(pending).on_conflict_do_update(
                    index_elements=["article_id"], set_={"due": sa.null()}
                )
                connection.execute(statement, [{"article_id": one, "attempts": 0} for one in chunk])
            polls = [row.subject for row in rows if row.stage == Stage.POLL]
            asked = 0
            for chunk in _chunks(polls):
                asked += connection.execute(
                    sa.update(feeds)
                    .where(feeds.c.url.in_(chunk), feeds.c.state == FeedState.FAILING)
                    .values(next_due=None)
                ).rowcount
        return len(articles) + asked

    def robots(self, url: str, now: datetime, *, keep_s: float) -> tuple[int | None, bytes] | None:
        """The kept answer for a robots.txt, ``None`` where there is none fresh enough."""
        table = schema.robots
        with self._reading() as connection:
            row = connection.execute(sa.select(table).where(table.c.url == url)).mappings().first()
        if row is None or row["fetched"] < now - timedelta(seconds=keep_s):
            return None
        return row["status"], row["body"]

    def store_robots(self, url: str, status: int | None, body: bytes, now: datetime) -> None:
        """Keep the answer for a robots.txt."""
        values = {"status": status, "body": body, "fetched": now}
        with self._writing() as connection:
            connection.execute(
                upsert(schema.robots)
                .values(url=url, **values)
                .on_conflict_do_update(index_elements=["url"], set_=values)
            )

    def status(self, now: datetime) -> StorageStatus:
        """Counts and last runs."""
        feeds = schema.feeds

        def count(connection: sa.Connection, table: sa.Table, *conditions: Any) -> int:
            return int(
                connection.execute(sa.select(sa.func.count()).select_from(table).where(*conditions)).scalar() or 0
            )

        with self._reading() as connection:
            states = connection.execute(sa.select(feeds.c.state, sa.func.count()).group_by(feeds.c.state)).all()
            rows = connection.execute(
                sa.select(feeds.c.last_polled, feeds.c.next_due, feeds.c.interval_s).where(
                    feeds.c.state != FeedState.GONE
                )
            ).all()
            last = max((row.last_polled for row in rows if row.last_polled), default=None)
            overdue = sum(
                row.next_due is not None and now > row.next_due + timedelta(seconds=row.interval_s or 0) for row in rows
            )
            return StorageStatus(
                feeds=sum(row[1] for row in states),
                feeds_by_state={row[0]: row[1] for row in sorted(states)},
                entries=count(connection, schema.entries),
                articles=count(connection, schema.articles),
                tagged=int(
                    connection.execute(
                        sa.select(sa.func.count(sa.distinct(schema.tags.c.article_id))).where(schema.tags.c.given)
                    ).scalar()
                    or 0
                ),
                events=count(connection, schema.events),
                pending=count(connection, schema.pending),
                failures=count(connection, schema.failures),
                last_poll=last,
                overdue=overdue,
                schema=self.schema,
                bytes=self.path.stat().st_size if self.path and self.path.exists() else None,
            )


_QUOTED = re.compile(r'"([^"]*)"')
_SEARCHED = re.compile(r"[^\W_]+(?:['’ʼ][^\W_]+)*")


def _fts_expression(query: str) -> str:
    """A query in FTS5's language that finds all words and phrases, whatever characters they hold."""
    # The case is left to the index: Python folds ß to ss, the index does not.
    plain = clean_line(query)
    phrases = [" ".join(_SEARCHED.findall(match)) for match in _QUOTED.findall(plain)]
    single = _SEARCHED.findall(_QUOTED.sub(" ", plain))
    terms = [term for term in (*phrases, *single) if term]
    if not terms:
        raise InputError("the query holds no word to search for", subject=query)
    return " AND ".join('"' + term.replace('"', '""') + '"' for term in terms)


def _chunks(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    for start in range(0, len(items), _CHUNK):
        yield list(items[start : start + _CHUNK])

"""The stages in order: poll, fetch, extract, tag, group. The one place where what goes wrong with one item becomes a
recorded failure, and the run goes on.

A round has three phases, each finished before the next: all feeds that are due; then all pages that are wanted; then
the grouping of what is new, in the order of dates. So the outcome does not depend on which server was quick, and a
round that was killed leaves, when run again, the rows of one that was not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from newswatch.config import Settings
from newswatch.exceptions import ExtractError, FetchError, NewswatchError, StorageError
from newswatch.extract import choose_title, extract_article, wall_reason
from newswatch.feeds import parse_feed
from newswatch.fetch import ACCEPT_FEED, ACCEPT_PAGE, Fetcher
from newswatch.language import detect_language
from newswatch.records import (
    Article,
    Entry,
    Extraction,
    Failure,
    Feed,
    Page,
    ParsedFeed,
    Poll,
    PollResult,
    RoundSummary,
    Stage,
    TextFrom,
)
from newswatch.robots import MAX_ROBOTS_BYTES, Robots, read_robots, robots_url
from newswatch.schedule import after_error, after_success, conditional_headers, page_retry_at
from newswatch.storage import Fingerprint, RecordedPoll, Storage, Work
from newswatch.text import html_to_text
from newswatch.urls import canonical_url, source_of
from newswatch.workers import ItemError, Workers

__all__ = ["Build", "Built", "Round", "build_article", "group_new", "prepare_worker"]

log = logging.getLogger(__name__)

_HOLD_S = 600.0
_HEARTBEAT_S = 120.0
_IN_FLIGHT = 400
_BATCH = 32
_ROBOTS_KEEP_S = 86_400.0
_GROUP_BATCH = 200
# Causes that trying again does not mend.
_LASTING = frozenset(("not_html", "too_large", "too_complex", "empty"))


# --- work done in worker processes ------------------------------------------------------------------------------------


def prepare_worker() -> None:
    """Import and load all that `_parse` and `build_article` need, so that no page's time is spent on it."""
    import feedparser  # noqa: F401
    import trafilatura  # noqa: F401

    from newswatch.tagging import load_tagger

    detect_language("Police freed twelve workers from a brick kiln on Tuesday.")
    with suppress(NewswatchError):  # told with the first article
        load_tagger(None).tag("Police freed twelve workers from a brick kiln on Tuesday.", explain=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parse:
    body: bytes
    url: str
    content_type: str
    now: datetime
    entries_max: int


def _parse(task: _Parse) -> ParsedFeed:
    try:
        return parse_feed(
            task.body, url=task.url, content_type=task.content_type, now=task.now, entries_max=task.entries_max
        )
    except NewswatchError as error:
        text = (
            html_to_text(task.body[:100_000].decode("utf-8", "replace")) if b"<html" in task.body[:4096].lower() else ""
        )
        wall = wall_reason(text[:200], text, task.body[:100_000].decode("latin-1")) if text else None
        if wall:
            raise ExtractError("the server shows a wall, not the feed", subject=task.url, reason=wall) from None
        if text:
            raise ExtractError(
                f"{error}: the address answers with a web page; try: newswatch discover {task.url}",
                subject=task.url,
                reason="not_a_feed",
            ) from None
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What a worker needs to make an article.

    Attributes:
        page: what was fetched, ``None`` where there is no page to read.
        why: why there is none, or ``""``.
        model: folder of the tag model, ``""`` for the shipped one, ``None`` for no tagging.
    """

    work: Work
    page: Page | None
    why: str
    model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An article made, and what failed on the way."""

    article: Article
    stage: Stage | None = None
    reason: str = ""
    detail: str = ""


def build_article(task: Build) -> Built:
    """Make an article of a page and its entry: extract, choose between page and feed, tag.

    Never raises for a page's sake: what was wrong with it is in the outcome.
    """
    entry = task.work.entry
    extraction: Extraction | None = None
    stage: Stage | None = None
    reason, detail = "", task.why
    if task.page is not None:
        try:
            extraction = extract_article(
                task.page.body,
                url=task.page.final_url,
                content_type=task.page.headers.get("content-type", ""),
                language=entry.language,
            )
        except ExtractError as error:
            stage, reason, detail = Stage.EXTRACT, error.reason, str(error)
    article = _merged(task.work, entry, extraction, detail)
    if task.model is not None:
        try:
            article = _tagged(article, task.model)
        except NewswatchError as error:
            stage, reason, detail = Stage.TAG, error.reason or "model", str(error)
    return Built(article=article, stage=stage, reason=reason, detail=detail)


def _merged(work: Work, entry: Entry, extraction: Extraction | None, why: str) -> Article:
    """The article of an entry and, where it could be read, its page."""
    text_from, note, text = TextFrom.FEED, why, entry.text
    if extraction is not None and len(extraction.text) >= len(entry.text):
        text_from, note, text = TextFrom.PAGE, "", extraction.text
    elif extraction is not None:
        note = "the page holds less than the feed"
    if text_from is TextFrom.FEED and not text:
        note = f"only the headline: {why or 'the feed gave no more'}"
    url = ""
    with suppress(NewswatchError):
        url = canonical_url(work.url) if work.url else ""
    title = choose_title(extraction.title if extraction else "", entry.title)
    hint = entry.language
    language = (
        extraction.language if extraction and text_from is TextFrom.PAGE else detect_language(f"{title}\n{text}", hint)
    )
    return Article(
        id=work.article_id,
        url=url,
        title=title,
        text=text,
        feed=entry.feed_url,
        text_from=text_from,
        first_seen=work.first_seen,
        source=source_of(url or entry.feed_url),
        site=extraction.site if extraction else "",
        authors=entry.authors or (extraction.authors if extraction else ()),
        published=entry.published or (extraction.published if extraction else None),
        language=language,
        note=note,
    )


def _tagged(article: Article, model: str) -> Article:
    from newswatch.tagging import load_tagger

    tagging = load_tagger(model or None).tag(article.text, title=article.title, language=article.language)
    return replace(article, tagging=tagging)


# --- batching ---------------------------------------------------------------------------------------------------------


class _Batcher:
    """Gathers single items into batches for the workers; the next batch grows while one is being worked on."""

    def __init__(self, workers: Workers, function: Callable[[Any], Any]) -> None:
        self._workers = workers
        self._function = function
        self._waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()

    async def submit(self, item: Any) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._wake.set()
        return await future

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(0)
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            if not self._waiting:
                self._wake.clear()
            batch = [(item, future) for item, future in batch if not future.done()]
            try:
                results = await asyncio.to_thread(self._workers.run, self._function, [item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 - each item waiting gets the cause
                results = [ItemError("internal", f"{type(error).__name__}: {error}")] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                if not future.done():
                    future.set_result(result)


# --- a round ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Tally:
    """What is still open of a polled feed before its result can be told."""

    result: PollResult
    open: set[str] = field(default_factory=set)


class Round:
    """One round over a storage: every feed that is due, then every page wanted, then grouping.

    Args:
        storage, fetcher, workers: where to keep, how to ask, who reads.
        settings: limits and rules.
        agent: the name for robots.txt.
        now: the clock.
        emit: told each feed's result once its articles are done.
        progress: told what is being done: phase, done, total.
    """

    def __init__(
        self,
        storage: Storage,
        fetcher: Fetcher,
        workers: Workers,
        settings: Settings,
        *,
        agent: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        emit: Callable[[PollResult], None] = lambda result: None,
        progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
    ) -> None:
        self._storage = storage
        self._fetcher = fetcher
        self._settings = settings
        self._agent = agent
        self._now = now
        self._emit = emit
        self._progress = progress
        self._parsing = _Batcher(workers, _parse)
        self._building = _Batcher(workers, build_article)
        self._robots: dict[str, asyncio.Future[Robots]] = {}
        self._tallies: dict[str, _Tally] = {}
        self._feeds = self._failed_feeds = self._entries = self._articles = self._failed = 0

    async def run(self, *, force: bool = False) -> RoundSummary:
        """Do the round.

        Args:
            force: poll feeds before our own due times.

        Raises:
            StorageError: the storage itself failed.
        """
        started = self._now()
        helpers = [asyncio.create_task(task) for task in (self._parsing.run(), self._building.run(), self._heartbeat())]
        try:
            await self._poll_feeds(started, force)
            await self._fetch_pages()
            for tally in list(self._tallies.values()):
                self._emit(tally.result)
            self._progress("group", 0, 0)
            grouped = await asyncio.to_thread(group_new, self._storage, self._settings)
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            with suppress(NewswatchError):
                self._storage.release_leases()
        return RoundSummary(
            feeds=self._feeds,
            failed_feeds=self._failed_feeds,
            entries=self._entries,
            articles=self._articles,
            failed_articles=self._failed,
            grouped=grouped,
            seconds=(self._now() - started).total_seconds(),
        )

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_S)
            with suppress(NewswatchError):
                await asyncio.to_thread(self._storage.renew_leases, hold_s=_HOLD_S)

    # --- feeds ---

    async def _poll_feeds(self, started: datetime, force: bool) -> None:
        feeds = await asyncio.to_thread(
            self._storage.claim_feeds, started, limit=0, hold_s=_HOLD_S, force=force, started=started
        )
        done = 0

        async def one(feed: Feed) -> None:
            nonlocal done
            await self._poll_feed(feed)
            done += 1
            self._progress("poll", done, len(feeds))

        await _all(one(feed) for feed in feeds)

    async def _poll_feed(self, feed: Feed) -> None:
        page: Page | None = None
        try:
            page = await self._fetcher.get(
                feed.url,
                max_bytes=int(self._settings.feed_max_mb * 1_000_000),
                accept=ACCEPT_FEED,
                headers=conditional_headers(feed),
            )
            renewed, parsed, note = await self._read_feed(feed, page)
            poll = Poll(feed_url=feed.url, polled=self._now(), status=page.status, note=note)
            recorded = await asyncio.to_thread(self._storage.record_poll, renewed, poll, parsed)
        except StorageError:
            raise
        except NewswatchError as error:
            await self._feed_failed(feed, page, error)
            return
        except Exception as error:
            log.exception("unexpected failure of %s", feed.url)
            await self._feed_failed(feed, page, FetchError(f"{type(error).__name__}: {error}", reason="internal"))
            return
        self._polled(
            PollResult(feed_url=feed.url, status=page.status, new_entries=recorded.new_entries, note=note), recorded
        )

    async def _read_feed(self, feed: Feed, page: Page) -> tuple[Feed, ParsedFeed | None, str]:
        """The feed's new state, what it holds now (``None``: nothing new), and a note for the log."""
        now = self._now()
        if page.status == 304:
            return after_success(feed, page, now, self._settings), None, "not modified"
        if page.status != 200:
            raise FetchError(
                f"the server answered {page.status}", subject=feed.url, reason=f"http_{page.status}", status=page.status
            )
        if page.headers.get("cf-mitigated"):
            raise FetchError("the server shows a check against robots", subject=feed.url, reason="bot_wall", status=200)
        renewed = after_success(feed, page, now, self._settings)
        if renewed.body_hash == feed.body_hash:
            return renewed, None, "unchanged"
        parsed = await self._parsing.submit(
            _Parse(
                body=page.body,
                url=feed.url,
                content_type=page.headers.get("content-type", ""),
                now=now,
                entries_max=self._settings.entries_max,
            )
        )
        if isinstance(parsed, ItemError):
            raise FetchError(parsed.detail, subject=feed.url, reason=parsed.reason, status=page.status)
        renewed = after_success(feed, page, now, self._settings, ttl_s=parsed.info.ttl_s)
        renewed = replace(
            renewed,
            title=parsed.info.title or feed.title,
            site_url=parsed.info.site_url or feed.site_url,
            language=parsed.info.language or feed.language,
        )
        return renewed, parsed, "; ".join(parsed.problems)[:300]

    async def _feed_failed(self, feed: Feed, page: Page | None, error: NewswatchError) -> None:
        status = page.status if page else None
        cause = (
            error if isinstance(error, FetchError) else FetchError(str(error), subject=feed.url, reason=error.reason)
        )
        cause.status = cause.status or status
        now = self._now()
        failed = after_error(feed, cause, page.headers if page else {}, now, self._settings)
        poll = Poll(feed_url=feed.url, polled=now, status=cause.status, note=str(cause)[:300])
        recorded = await asyncio.to_thread(self._storage.record_poll, failed, poll, None, reason=cause.reason)
        self._failed_feeds += 1
        self._polled(PollResult(feed_url=feed.url, status=cause.status, error=str(cause)), recorded)

    def _polled(self, result: PollResult, recorded: RecordedPoll) -> None:
        self._feeds += 1
        self._entries += recorded.new_entries
        if recorded.articles:
            self._tallies[result.feed_url] = _Tally(result, set(recorded.articles))
        else:
            self._emit(result)

    # --- pages ---

    async def _fetch_pages(self) -> None:
        running: set[asyncio.Task[None]] = set()
        done = 0
        try:
            while True:
                room = _IN_FLIGHT - len(running)
                claimed: list[Work] = []
                if room >= _IN_FLIGHT // 2:
                    claimed = await asyncio.to_thread(self._storage.claim_work, self._now(), limit=room, hold_s=_HOLD_S)
                    running |= {asyncio.create_task(self._article(work)) for work in claimed}
                if not running:
                    return
                finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in finished:
                    task.result()
                done += len(finished)
                self._progress("fetch", done, done + len(running))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _article(self, work: Work) -> None:
        try:
            is_new, failed = await self._fetch_article(work)
        except NewswatchError:
            raise
        except Exception as error:
            log.exception("unexpected failure of article %s", work.article_id)
            failure = self._failure(work, Stage.EXTRACT, "internal", f"{type(error).__name__}: {error}")
            await asyncio.to_thread(self._storage.store_failure, failure, None)
            is_new, failed = False, True
        self._articles += is_new
        self._failed += failed
        for url, tally in list(self._tallies.items()):
            if work.article_id in tally.open:
                tally.open.discard(work.article_id)
                tally.result = replace(
                    tally.result,
                    new_articles=tally.result.new_articles + is_new,
                    failed_articles=tally.result.failed_articles + failed,
                )
                if not tally.open:
                    del self._tallies[url]
                    self._emit(tally.result)

    async def _fetch_article(self, work: Work) -> tuple[bool, bool]:
        """Fetch, build and store one article.

        Returns:
            Whether the article is new, and whether something failed.
        """
        page, why, failure, retry_at = await self._page(work)
        task = Build(work=work, page=page, why=why, model=self._settings.model)
        built = await self._building.submit(task)
        if isinstance(built, ItemError):
            # The page was too much: the feed's text is left.
            failure = self._failure(work, Stage.EXTRACT, built.reason, built.detail)
            built = await self._building.submit(replace(task, page=None, why=built.detail))
        if isinstance(built, ItemError):
            await asyncio.to_thread(
                self._storage.store_failure, self._failure(work, Stage.TAG, built.reason, built.detail), None
            )
            return False, True
        if built.stage is not None:
            failure = self._failure(work, built.stage, built.reason, built.detail)
            retry_at = page_retry_at(work.attempts, self._now(), temporary=built.reason not in _LASTING)
        fetched = page.fetched if page and page.fetched else self._now()
        is_new = await asyncio.to_thread(
            self._storage.store_article, built.article, fetched=fetched, failure=failure, retry_at=retry_at
        )
        return is_new, failure is not None

    async def _page(self, work: Work) -> tuple[Page | None, str, Failure | None, datetime | None]:
        """The page of an article; else why there is none, the failure to record, and when to try again."""
        if not work.url:
            return None, "the feed gave no link", None, None
        headers: dict[str, str] = {}
        try:
            robots = await self._rules(work.url)
            if robots is None:
                raise FetchError(
                    "robots.txt could not be read, so the page was not asked for", reason="robots_unreachable"
                )
            if not robots.allows(work.url, self._agent):
                return None, "robots.txt forbids the page", None, None
            page = await self._fetcher.get(
                work.url,
                max_bytes=int(self._settings.page_max_mb * 1_000_000),
                accept=ACCEPT_PAGE,
                delay_s=robots.delay_s(self._agent),
            )
            if page.status != 200:
                headers = dict(page.headers)
                lasting = page.status in (401, 402, 404, 410, 451)
                raise FetchError(
                    f"the server answered {page.status}",
                    reason=f"http_{page.status}",
                    status=page.status,
                    temporary=not lasting,
                )
            if page.headers.get("cf-mitigated"):
                raise FetchError("the server shows a check against robots, not the article", reason="bot_wall")
        except FetchError as error:
            stage = Stage.ROBOTS if error.reason == "robots_unreachable" else Stage.FETCH
            retry_at = page_retry_at(work.attempts, self._now(), temporary=error.temporary, headers=headers)
            return None, str(error), self._failure(work, stage, error.reason, str(error)), retry_at
        return page, "", None, None

    def _failure(self, work: Work, stage: Stage, reason: str, detail: str) -> Failure:
        return Failure(
            stage=stage, subject=work.article_id, url=work.url, reason=reason, detail=detail, failed=self._now()
        )

    async def _rules(self, url: str) -> Robots | None:
        """The rules of a page's host, asked for once a day; ``None`` where they cannot be had now."""
        place = robots_url(url)
        future = self._robots.get(place)
        if future is None:
            future = self._robots[place] = asyncio.get_running_loop().create_future()
            try:
                future.set_result(await self._ask_rules(place))
            except BaseException:
                future.cancel()
                raise
        robots = await future
        return None if robots.rules is None and not robots.open_to_all else robots

    async def _ask_rules(self, place: str) -> Robots:
        now = self._now()
        kept = await asyncio.to_thread(self._storage.robots, place, now, keep_s=_ROBOTS_KEEP_S)
        if kept is not None:
            return read_robots(*kept)
        try:
            page = await self._fetcher.get(
                place, max_bytes=MAX_ROBOTS_BYTES, accept="text/plain, */*;q=0.5", truncate=True
            )
        except FetchError as error:
            log.info("robots.txt of %s: %s", place, error)
            return read_robots(None)
        if page.status < 500:
            await asyncio.to_thread(self._storage.store_robots, place, page.status, page.body, now)
        return read_robots(page.status, page.body)


async def _all(jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all jobs to their end; the first that raises ends the others, and its error is raised as it is."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# --- grouping ---------------------------------------------------------------------------------------------------------


def group_new(storage: Storage, settings: Settings) -> int:
    """Put every article that is in no event yet into one, in the order of their dates.

    Returns:
        How many were grouped; 0 where another process is grouping.
    """
    waiting = storage.ungrouped()
    if not waiting or not storage.acquire("grouping", hold_s=_HOLD_S):
        return 0
    try:
        from newswatch.grouping import EventGrouper

        waiting = storage.ungrouped()
        if not waiting:
            return 0
        grouper = EventGrouper(window_days=settings.event_window_days)
        first = storage.articles_by_id(waiting[:1])[0]
        opened = (first.published or first.first_seen) - timedelta(days=settings.event_window_days)
        for kept in storage.iter_fingerprints(opened):
            grouper.restore(kept.article_id, kept.event_id, kept.packed)
        for start in range(0, len(waiting), _GROUP_BATCH):
            placed = []
            for article in storage.articles_by_id(waiting[start : start + _GROUP_BATCH]):
                assignment, packed = grouper.place(article)
                arrived = article.published or article.first_seen
                kept = Fingerprint(article_id=article.id, event_id=assignment.event, arrived=arrived, packed=packed)
                placed.append((assignment, kept))
            storage.store_assignments(placed)
        return len(waiting)
    finally:
        storage.release("grouping")

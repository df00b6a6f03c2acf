"""The façade: a storage with everything that works on it."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from newswatch._version import __version__
from newswatch.config import Settings, default_storage, load_settings
from newswatch.exceptions import InputError, NotFoundError
from newswatch.records import (
    Article,
    ArticleFilter,
    Event,
    Failure,
    Feed,
    FeedLink,
    Page,
    PollResult,
    RoundSummary,
    StorageStatus,
)
from newswatch.storage import Storage, open_storage

if TYPE_CHECKING:
    from newswatch.fetch import Fetcher, Resolver

__all__ = ["Watch", "fetch_page", "find_feeds_at", "run_demo"]

_DONE = object()


class Watch:
    """A storage of feeds, articles and events, and what can be done with it.

    Args:
        location: a path, ``sqlite:///PATH``; ``None`` for the settings' storage, else the user's data folder.
        settings: all settings; by default from the environment.
        resolver: how host names become addresses; the system's by default.
        now: the clock.

    Example:
        >>> with Watch("news.db") as watch:  # doctest: +SKIP
        ...     watch.add_feed("https://example.org/rss")
        ...     for result in watch.poll():
        ...         print(result.feed_url, result.new_articles, result.error)
    """

    def __init__(
        self,
        location: str | os.PathLike[str] | None = None,
        *,
        settings: Settings | None = None,
        resolver: Resolver | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings or load_settings()
        self._resolver = resolver
        self._now = now
        self.storage: Storage = open_storage(location or self.settings.storage or default_storage(), now=now)
        self.last_round: RoundSummary | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the storage."""
        self.storage.close()

    # --- feeds ---

    def add_feed(self, url: str, *, title: str = "") -> bool:
        """Subscribe to a feed, without any request.

        Returns:
            Whether it is new.

        Raises:
            InputError: no http(s) address.
        """
        return self.add_feeds([FeedLink(url=url, title=title)])[0][1]

    def add_feeds(self, links: Iterable[FeedLink]) -> list[tuple[str, bool]]:
        """Subscribe to feeds: for each, the address kept and whether it is new."""
        return self.storage.add_feeds(links, self._now())

    def remove_feed(self, url: str) -> None:
        """Unsubscribe; what it brought is kept.

        Raises:
            NotFoundError: not subscribed.
        """
        self.storage.remove_feed(url)

    def feeds(self) -> list[Feed]:
        """The subscribed feeds with their health."""
        return self.storage.feeds()

    def discover(self, url: str) -> tuple[FeedLink, ...]:
        """The feeds that a page names; the address itself where it is a feed.

        Raises:
            FetchError: the page cannot be had.
        """
        return find_feeds_at(url, self.settings, resolver=self._resolver)

    def _agent(self) -> str:
        from newswatch.fetch import user_agent

        return user_agent(__version__, self.settings.contact)

    def _fetcher(self) -> Fetcher:
        from newswatch.fetch import Fetcher

        return Fetcher(self.settings, agent=self._agent(), resolver=self._resolver, now=self._now)

    # --- rounds ---

    def poll(
        self,
        *,
        force: bool = False,
        progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
    ) -> Iterator[PollResult]:
        """One round: poll every feed that is due, fetch and tag the articles, group them.

        The round runs in a thread of its own while results are taken. Leaving the loop early stops it; what was done
        is kept, and the next round goes on from there. Afterwards `last_round` holds the sums.

        Args:
            force: pass over our own due times; never a server's Retry-After.
            progress: told the phase, how much is done and of how much; from another thread.

        Yields:
            For each feed polled, what it brought, once its articles are done.

        Raises:
            StorageError: the storage itself failed.
        """
        results: queue.SimpleQueue[object] = queue.SimpleQueue()
        started = threading.Event()
        handle: dict[str, object] = {}

        def work() -> None:
            try:
                asyncio.run(self._round(force, results.put, progress, handle, started))
            except asyncio.CancelledError:
                pass
            except BaseException as error:  # noqa: BLE001 - raised again where the results are taken
                results.put(error)
            finally:
                started.set()
                results.put(_DONE)

        thread = threading.Thread(target=work, name="newswatch-round", daemon=True)
        thread.start()
        try:
            while (item := results.get()) is not _DONE:
                if isinstance(item, BaseException):
                    raise item
                assert isinstance(item, PollResult)
                yield item
        finally:
            started.wait()
            loop, task = handle.get("loop"), handle.get("task")
            if isinstance(loop, asyncio.AbstractEventLoop) and isinstance(task, asyncio.Task) and thread.is_alive():
                with suppress(RuntimeError):  # it may have ended just now
                    loop.call_soon_threadsafe(task.cancel)
            thread.join()

    async def _round(
        self,
        force: bool,
        emit: Callable[[object], None],
        progress: Callable[[str, int, int], None],
        handle: dict[str, object],
        started: threading.Event,
    ) -> None:
        from newswatch.pipeline import Round, prepare_worker
        from newswatch.workers import Workers

        handle["loop"], handle["task"] = asyncio.get_running_loop(), asyncio.current_task()
        started.set()
        settings = self.settings
        workers = Workers(
            settings.workers,
            seconds=settings.page_s,
            memory_mb=settings.page_memory_mb,
            prepare=None if settings.model else prepare_worker,
        )
        async with self._fetcher() as fetcher:
            round_ = Round(
                self.storage,
                fetcher,
                workers,
                settings,
                agent=self._agent(),
                now=self._now,
                emit=emit,
                progress=progress,
            )
            self.last_round = await round_.run(force=force)

    def retry(self) -> int:
        """Let everything that failed be tried again in the next round: how many items."""
        return self.storage.retry_failures()

    # --- looking ---

    def articles(
        self,
        *,
        tag: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        language: str | None = None,
        feed: str | None = None,
        limit: int = 50,
    ) -> list[Article]:
        """Articles, newest first. ``limit=0`` gives all."""
        return self.storage.articles(
            ArticleFilter(tag=tag, since=since, until=until, language=language, feed=feed, limit=limit)
        )

    def iter_articles(self, wanted: ArticleFilter) -> Iterator[Article]:
        """As `articles`, a few hundred in memory at a time."""
        return self.storage.iter_articles(wanted)

    def search(self, query: str, wanted: ArticleFilter | None = None) -> list[Article]:
        """Articles that hold all words of a query, best first.

        Raises:
            InputError: no word in the query.
        """
        return self.storage.search(query, wanted or ArticleFilter())

    def events(
        self,
        *,
        tag: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        language: str | None = None,
        feed: str | None = None,
        limit: int = 50,
        all_events: bool = False,
    ) -> list[Event]:
        """Tagged events, the latest first; with ``all_events`` the untagged too."""
        wanted = ArticleFilter(tag=tag, since=since, until=until, language=language, feed=feed, limit=limit)
        return self.storage.events(wanted, all_events=all_events)

    def show(self, identity: str) -> Article | Event:
        """The article or event of an id.

        Raises:
            NotFoundError: there is none.
        """
        try:
            return self.storage.event(identity)
        except NotFoundError:
            pass
        try:
            return self.storage.article(identity)
        except NotFoundError:
            raise NotFoundError(f"no article or event {identity}", subject=identity) from None

    def failures(self) -> list[Failure]:
        """What failed and has not gone right since."""
        return self.storage.failures()

    def status(self) -> StorageStatus:
        """Counts and last runs."""
        return self.storage.status(self._now())


def fetch_page(url: str, settings: Settings, *, max_mb: float, resolver: Resolver | None = None) -> Page:
    """GET one address for a person, with all of the fetcher's care but robots.txt.

    Raises:
        FetchError: as `newswatch.fetch.Fetcher.get`; also where the answer is not 200.
    """
    from newswatch.exceptions import FetchError
    from newswatch.fetch import Fetcher, user_agent

    async def one() -> Page:
        async with Fetcher(settings, agent=user_agent(__version__, settings.contact), resolver=resolver) as fetcher:
            return await fetcher.get(url, max_bytes=int(max_mb * 1_000_000))

    page = asyncio.run(one())
    if page.status != 200:
        raise FetchError(f"{url}: the server answered {page.status}", subject=url, status=page.status)
    return page


def find_feeds_at(url: str, settings: Settings, *, resolver: Resolver | None = None) -> tuple[FeedLink, ...]:
    """The feeds that a page names; the address itself where it is a feed. Needs no storage.

    Raises:
        FetchError: the page cannot be had.
    """
    from newswatch.discover import find_feeds
    from newswatch.exceptions import FeedError
    from newswatch.feeds import parse_feed

    page = fetch_page(url, settings, max_mb=settings.feed_max_mb, resolver=resolver)
    kind = page.headers.get("content-type", "")
    try:
        parsed = parse_feed(page.body, url=page.final_url, content_type=kind)
    except FeedError:
        return find_feeds(page.body, url=page.final_url, content_type=kind)
    return (FeedLink(url=page.final_url, title=parsed.info.title, site_url=parsed.info.site_url),)


def run_demo(
    settings: Settings, progress: Callable[[str, int, int], None] = lambda phase, done, total: None
) -> tuple[list[Event], RoundSummary]:
    """Poll the made-up site of `newswatch.demo` into the settings' storage.

    Returns:
        Its tagged events, and the sums of the round.
    """
    from newswatch.demo import LATEST, DemoSite

    with DemoSite() as site:
        own = replace(settings, host_delay_s=0.0, allow_private=(*settings.allow_private, "127.0.0.0/8"), proxy="")
        with Watch(settings=own, resolver=site.resolve, now=lambda: max(datetime.now(UTC), LATEST)) as watch:
            if {feed.url for feed in watch.feeds()} - set(site.feed_urls()):
                raise InputError(
                    f"the storage {settings.storage} holds other feeds; name an empty one for the demo",
                    subject=settings.storage,
                )
            watch.add_feeds(FeedLink(url=url) for url in site.feed_urls())
            for _ in watch.poll(force=True, progress=progress):
                pass
            return watch.events(limit=0), watch.last_round or RoundSummary()

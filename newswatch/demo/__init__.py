"""A small made-up news site, served on loopback inside the process, to show the whole job without any network."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

__all__ = ["DemoSite"]

# The site's own day: clocks that are behind it would take its stories for dated in the future.
LATEST = datetime(2026, 11, 18, 18, tzinfo=UTC)

_FEED_PATHS = {"rss": "/rss.xml", "atom": "/atom.xml", "jsonfeed": "/feed.json"}
_TYPES = {"rss": "application/rss+xml", "atom": "application/atom+xml", "jsonfeed": "application/feed+json"}


class DemoSite:
    """The site as a context manager: inside it, its outlets answer on one loopback port.

    Example:
        >>> with DemoSite() as site:  # doctest: +SKIP
        ...     site.feed_urls()
        ['http://steppe-herald.example/rss.xml', ...]
    """

    def __init__(self) -> None:
        self._site = json.loads((Path(__file__).parent / "site.json").read_text(encoding="utf-8"))
        self._by_host: dict[str, dict[str, Any]] = {outlet["host"]: outlet for outlet in self._site["outlets"]}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="newswatch-demo", daemon=True)
        self._runner: web.AppRunner | None = None
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    def feed_urls(self) -> list[str]:
        """The addresses of the outlets' feeds."""
        return [f"http://{host}{_FEED_PATHS[outlet['format']]}" for host, outlet in self._by_host.items()]

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        """A resolver that knows the made-up hosts only."""
        if host not in self._by_host:
            raise OSError(f"{host} is not a host of the demo")
        return [("127.0.0.1", self.port)]

    async def _answer(self, request: web.Request) -> web.Response:
        outlet = self._by_host.get(request.host.partition(":")[0])
        if outlet is None:
            return web.Response(status=404, text="no such outlet")
        kind = outlet["format"]
        articles = [one for one in self._site["articles"] if one["outlet"] == outlet["key"]]
        if request.path == _FEED_PATHS[kind]:
            body = {"rss": _rss, "atom": _atom, "jsonfeed": _json_feed}[kind](outlet, articles)
            return web.Response(
                text=body, content_type=_TYPES[kind], charset="utf-8", headers={"ETag": f'"{outlet["key"]}-1"'}
            )
        for article in articles:
            if article["path"] == request.path:
                return web.Response(text=_page(outlet, article), content_type="text/html", charset="utf-8")
        return web.Response(status=404, text="not found")


def _link(outlet: Mapping[str, Any], article: Mapping[str, Any]) -> str:
    return f"http://{outlet['host']}{article['path']}"


def _moment(article: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(article["published"])


def _rss(outlet: Mapping[str, Any], articles: list[dict[str, Any]]) -> str:
    items = "".join(
        f"<item><title>{escape(one['title'])}</title><link>{_link(outlet, one)}?utm_source=rss</link>"
        f'<guid isPermaLink="false">{outlet["key"]}:{one["path"]}</guid>'
        f"<pubDate>{_moment(one):%a, %d %b %Y %H:%M:%S} GMT</pubDate>"
        f"<description>{escape(one['summary'])}</description></item>"
        for one in articles
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?><rss version="2.0"><channel><title>{escape(outlet["title"])}</title>'
        f"<link>http://{outlet['host']}/</link><language>{outlet['language']}</language>{items}</channel></rss>"
    )


def _atom(outlet: Mapping[str, Any], articles: list[dict[str, Any]]) -> str:
    entries = "".join(
        f"<entry><id>tag:{outlet['host']},2026:{one['path']}</id><title>{escape(one['title'])}</title>"
        f'<link href="{_link(outlet, one)}"/><published>{one["published"]}</published><updated>{one["published"]}</updated>'
        f"<author><name>{escape(one['author'])}</name></author><summary>{escape(one['summary'])}</summary></entry>"
        for one in articles
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?><feed xmlns="http://www.w3.org/2005/Atom" xml:lang="{outlet["language"]}">'
        f"<title>{escape(outlet['title'])}</title><id>http://{outlet['host']}/</id>"
        f'<link href="http://{outlet["host"]}/"/><updated>2026-11-18T18:00:00Z</updated>{entries}</feed>'
    )


def _json_feed(outlet: Mapping[str, Any], articles: list[dict[str, Any]]) -> str:
    items = [
        {
            "id": one["path"],
            "url": _link(outlet, one),
            "title": one["title"],
            "summary": one["summary"],
            "date_published": one["published"],
        }
        for one in articles
    ]
    return json.dumps(
        {
            "version": "https://jsonfeed.org/version/1.1",
            "title": outlet["title"],
            "language": outlet["language"],
            "home_page_url": f"http://{outlet['host']}/",
            "items": items,
        },
        ensure_ascii=False,
    )


def _page(outlet: Mapping[str, Any], article: Mapping[str, Any]) -> str:
    """An article's page with the furniture real pages have."""
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in article["paragraphs"])
    related = "".join(f'<li><a href="#">{escape(title)}</a></li>' for title in article["related"])
    moment = _moment(article)
    return (
        f'<!DOCTYPE html><html lang="{outlet["language"]}"><head><meta charset="utf-8">'
        f"<title>{escape(article['title'])} | {escape(outlet['title'])}</title>"
        f'<meta property="og:site_name" content="{escape(outlet["title"])}">'
        f'<meta name="author" content="{escape(article["author"])}">'
        f'<meta property="article:published_time" content="{article["published"]}"></head><body>'
        f'<nav><a href="/">{escape(outlet["title"])}</a> <a href="/news">News</a> <a href="/sport">Sport</a></nav>'
        f'<article><h1>{escape(article["title"])}</h1><p class="byline">{escape(article["author"])}, {moment:%d.%m.%Y}</p>'
        f"{paragraphs}</article><aside><h2>Related</h2><ul>{related}</ul></aside>"
        f'<footer>© {escape(outlet["title"])}. All rights reserved. <a href="/cookies">Cookies</a></footer></body></html>'
    )

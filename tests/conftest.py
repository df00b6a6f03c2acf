"""What several test files share: a real HTTP server on loopback with scripted answers."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from html import escape

import pytest
from aiohttp import web

from newswatch import Settings

Answer = web.Response | Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Site:
    """Hosts on one loopback port. ``pages`` maps ``host/path`` (or ``/path`` for any host) to an answer."""

    pages: dict[str, tuple[int, dict[str, str], bytes] | Callable[[web.Request], Awaitable[web.StreamResponse]]] = (
        field(default_factory=dict)
    )
    port: int = 0
    requests: list[web.Request] = field(default_factory=list)

    def put(
        self, place: str, body: str | bytes, kind: str = "text/html; charset=utf-8", status: int = 200, **headers: str
    ) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.pages[place] = (
            status,
            {"Content-Type": kind, **{k.replace("_", "-"): v for k, v in headers.items()}},
            data,
        )

    def rss(self, place: str, items: list[dict[str, str]], title: str = "Herald", **headers: str) -> None:
        lines = []
        for item in items:
            fields = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in item.items())
            lines.append(f"<item>{fields}</item>")
        body = (
            f'<rss version="2.0"><channel><title>{title}</title><language>en</language>{"".join(lines)}</channel></rss>'
        )
        self.put(place, body, "application/rss+xml; charset=utf-8", **headers)

    def counts(self) -> Counter[str]:
        return Counter(request.path for request in self.requests)

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        return [("127.0.0.1", self.port)]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        host = request.host.partition(":")[0]
        found = self.pages.get(f"{host}{request.path}") or self.pages.get(request.path)
        if found is None:
            return web.Response(status=404, text="not found")
        if callable(found):
            return await found(request)
        status, headers, body = found
        if headers.get("ETag") and request.headers.get("If-None-Match") == headers["ETag"]:
            return web.Response(status=304, headers={"ETag": headers["ETag"]})
        return web.Response(status=status, headers=headers, body=body)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made._answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)

    async def start() -> None:
        await runner.setup()
        place = web.TCPSite(runner, "127.0.0.1", 0)
        await place.start()
        made.port = runner.addresses[0][1]

    asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    yield made
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def settings() -> Settings:
    """No delay, loopback allowed, work in this process."""
    return Settings(host_delay_s=0, allow_private=("127.0.0.0/8",), workers=0, page_s=20)


def story(title: str, sentences: str, site: str = "Herald") -> str:
    """A page as outlets make them."""
    paragraphs = "".join(f"<p>{escape(part)}</p>" for part in sentences.split("\n"))
    return (
        f"<!DOCTYPE html><html lang=en><head><title>{escape(title)} | {site}</title></head><body>"
        f"<nav><a href=/>Home</a> <a href=/news>News</a></nav><article><h1>{escape(title)}</h1>{paragraphs}</article>"
        "<footer>All rights reserved. <a href=/cookies>Cookies</a></footer></body></html>"
    )

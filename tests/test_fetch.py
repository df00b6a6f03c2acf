"""The HTTP client against a raw server on loopback that does what it is told, good manners or bad."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import shutil
import socket
import ssl
import subprocess
import threading
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import assume, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from newswatch.config import Settings
from newswatch.exceptions import FetchError, InputError
from newswatch.fetch import ACCEPT_FEED, ACCEPT_PAGE, Fetcher, Resolver, user_agent
from newswatch.records import Page
from newswatch.urls import address_allowed, check_url, parse_networks

AGENT = "newswatch/9.9 (+https://example.org/about)"
LOOPBACK = ("127.0.0.0/8",)
PATIENCE_S = 30.0

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Site:
    """A server that answers each target or path with the bytes, or by the coroutine, that it was given."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, bytes | Handler] = {}
        self.heads: list[bytes] = []
        self.connections = 0
        self.busy = 0
        self.peak = 0
        self.port = 0
        self.greeting = b""
        self._tls = tls
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(PATIENCE_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(PATIENCE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.busy += 1
        self.peak = max(self.peak, self.busy)
        try:
            writer.write(self.greeting)
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            target = head.split(b" ", 2)[1].decode("latin-1")
            given = self.answers.get(target) or self.answers.get(target.partition("?")[0], NOT_FOUND)
            if isinstance(given, bytes):
                writer.write(given)
                await writer.drain()
            else:
                await given(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        except (OSError, EOFError):
            pass
        finally:
            self.busy -= 1
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()
            self._tasks.discard(task)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http{'s' if self._tls else ''}://{host}:{self.port}{path}"

    @property
    def lines(self) -> list[str]:
        """The request lines seen."""
        return [head.split(b"\r\n")[0].decode("latin-1") for head in self.heads]

    def sent(self, name: str, index: int = -1) -> list[bytes]:
        """The values of a header in one request, as they came."""
        pairs = (line.split(b": ", 1) for line in self.heads[index].split(b"\r\n")[1:] if line)
        return [value for key, value in pairs if key.lower() == name.lower().encode()]


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    return answer(b"moved", f"Location: {location}", status=f"{status} Moved")


def without_length(*headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *headers, "Connection: close", "", ""]).encode()


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        yield running


def quick(**more: Any) -> Settings:
    """Settings for loopback, without delay; no sound exchange comes near the limits."""
    return Settings(**{"host_delay_s": 0.0, "allow_private": LOOPBACK, **more})


def run(
    work: Callable[[Fetcher], Awaitable[Any]], settings: Settings, resolver: Resolver | None = None, **clock: Any
) -> Any:
    async def whole() -> Any:
        async with Fetcher(settings, agent=AGENT, resolver=resolver, **clock) as fetcher:
            return await asyncio.wait_for(work(fetcher), PATIENCE_S)

    return asyncio.run(whole())


def get(
    url: str,
    settings: Settings | None = None,
    resolver: Resolver | None = None,
    max_bytes: int = 1_000_000,
    **more: Any,
) -> Page:
    page = run(lambda fetcher: fetcher.get(url, max_bytes=max_bytes, **more), settings or quick(), resolver)
    assert isinstance(page, Page)
    return page


def failure(url: str, settings: Settings | None = None, resolver: Resolver | None = None, **more: Any) -> FetchError:
    with pytest.raises(FetchError) as caught:
        get(url, settings, resolver, **more)
    assert str(caught.value)
    return caught.value


def told(error: FetchError) -> tuple[str, bool, str]:
    return error.reason, error.temporary, error.subject


def everywhere(site: Site, addresses: dict[str, list[str]] | None = None) -> Resolver:
    """Every name leads to the site, but for those given other addresses."""

    async def resolve(host: str, port: int) -> list[tuple[str, int]]:
        return [(address, site.port) for address in (addresses or {}).get(host, ["127.0.0.1"])]

    return resolve


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that sockets were told to connect to; those outside 127.0.0.0/8 are refused without being dialled."""
    addresses: list[str] = []
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        addresses.append(address[0])
        if not address[0].startswith("127."):
            raise ConnectionRefusedError("not dialled in tests")
        real(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    return addresses


# --- the request ---


@pytest.mark.parametrize(
    "target",
    [
        "/feed?format=rss&tag=a|b{c}[d]^e`f\"g<h>'i,j;k\\l~!*()$@:/?=&&",
        "/feed?q=%zz%20%C3%A9%c3%a9+%2B%",
        "/a/../b/./c//d",
        "/?",
        "/?null",
        "/%7Euser/~user",
        "/a;b=c?",
    ],
)
def test_the_request_line_is_the_url_byte_for_byte(site: Site, target: str) -> None:
    get(site.url(target))
    assert site.lines == [f"GET {target} HTTP/1.1"]


def test_any_printable_ascii_after_the_host_is_asked_for_unchanged(site: Site) -> None:
    printable = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#")

    @hypothesis_settings(max_examples=60, deadline=None)
    @given(st.text(printable))
    @example("?")
    def ask(target: str) -> None:
        get(site.url("/" + target))
        assert site.lines[-1] == f"GET /{target} HTTP/1.1"

    ask()


def test_a_url_without_a_path_asks_for_the_root(site: Site) -> None:
    get(f"http://127.0.0.1:{site.port}")
    get(f"http://127.0.0.1:{site.port}?null")
    assert site.lines == ["GET / HTTP/1.1", "GET /?null HTTP/1.1"]


def test_the_fragment_and_outer_space_are_not_sent(site: Site) -> None:
    page = get(f"  {site.url('/feed?a=1#top')}\n")
    assert site.lines == ["GET /feed?a=1 HTTP/1.1"]
    assert page.final_url == site.url("/feed?a=1")


def test_a_scheme_in_upper_case_is_understood(site: Site) -> None:
    site.answers["/A"] = answer(b"x")
    assert get(f"HTTP://127.0.0.1:{site.port}/A").body == b"x"


def test_a_url_of_other_letters_is_encoded_as_browsers_do(site: Site) -> None:
    asked: list[str] = []

    async def resolve(host: str, port: int) -> list[tuple[str, int]]:
        asked.append(host)
        return [("127.0.0.1", site.port)]

    get("http://bücher.test/straße?q=é", resolver=resolve)
    assert asked == ["xn--bcher-kva.test"]
    assert site.lines == ["GET /stra%C3%9Fe?q=%C3%A9 HTTP/1.1"]
    assert site.sent("Host") == [b"xn--bcher-kva.test"]


def test_the_request_says_who_asks_and_what_is_understood(site: Site) -> None:
    get(site.url(), accept=ACCEPT_FEED)
    assert site.sent("User-Agent") == [AGENT.encode()]
    assert site.sent("Accept-Encoding") == [b"gzip"]
    assert site.sent("Accept") == [ACCEPT_FEED.encode()]
    assert site.sent("Host") == [f"127.0.0.1:{site.port}".encode()]


def test_the_request_holds_no_header_beyond_those(site: Site) -> None:
    get(site.url())
    names = {line.split(b":")[0].lower() for line in site.heads[0].split(b"\r\n")[1:] if line}
    assert names == {b"host", b"user-agent", b"accept", b"accept-encoding"}
    assert site.sent("Accept") == [ACCEPT_PAGE.encode()]


def test_the_agent_names_the_version_and_the_contact_if_there_is_one() -> None:
    assert user_agent("1.2.3") == "newswatch/1.2.3"
    assert user_agent("1.2.3", "mailto:a@example.org") == "newswatch/1.2.3 (+mailto:a@example.org)"


@pytest.mark.parametrize(
    ("etag", "modified"),
    [
        ('"abc"', "Tue, 01 Oct 2024 10:00:00 GMT"),
        ('W/"a,b c=="', "Tue,  1 Oct 2024 10:00:00 +0000"),
        ("unquoted-gzip", "2024-10-01"),
        ('""', "0"),
        ('"é—ü"', "yesterday"),
    ],
)
def test_validators_go_back_byte_for_byte_as_they_came(site: Site, etag: str, modified: str) -> None:
    site.answers["/"] = answer(b"x", f"ETag: {etag}", f"Last-Modified: {modified}")
    first = get(site.url())
    get(
        site.url(),
        headers={"If-None-Match": first.headers["etag"], "If-Modified-Since": first.headers["last-modified"]},
    )
    assert site.sent("If-None-Match") == [etag.encode()]
    assert site.sent("If-Modified-Since") == [modified.encode()]


def test_a_header_that_is_no_utf8_can_be_stored_as_text(site: Site) -> None:
    site.answers["/"] = b'HTTP/1.1 200 OK\r\nETag: "\xe9"\r\nX-Place: Orl\xe9ans\r\nContent-Length: 0\r\n\r\n'
    headers = get(site.url()).headers
    assert all(value.encode() is not None for value in headers.values())


def test_a_validator_that_cannot_be_sent_back_unchanged_is_not_kept(site: Site) -> None:
    site.answers["/"] = b'HTTP/1.1 200 OK\r\nETag: "\xe9"\r\nLast-Modified: ao\xfbt\r\nContent-Length: 0\r\n\r\n'
    headers = get(site.url()).headers
    assert "etag" not in headers
    assert "last-modified" not in headers


def test_cookies_are_never_sent_back(site: Site) -> None:
    site.answers["/"] = answer(b"", "Set-Cookie: a=b; Path=/", "Location: /next", status="302 Found")
    site.answers["/next"] = answer(b"x", "Set-Cookie: c=d")

    async def twice(fetcher: Fetcher) -> None:
        await fetcher.get("http://cookies.test/", max_bytes=100)
        await fetcher.get("http://cookies.test/", max_bytes=100)

    run(twice, quick(), everywhere(site))
    assert len(site.heads) == 4
    assert all(b"cookie:" not in head.lower() for head in site.heads)


def test_no_referer_is_sent_after_a_redirect(site: Site) -> None:
    site.answers["/"] = redirect("/next")
    site.answers["/next"] = answer(b"x")
    get(site.url())
    assert len(site.heads) == 2
    assert not any(site.sent("Referer", index) or site.sent("Origin", index) for index in (0, 1))


def test_credentials_in_a_url_stay_with_its_host(site: Site) -> None:
    site.answers["/"] = redirect(f"http://other.test:{site.port}/next")
    get("http://ann:secret@one.test/", resolver=everywhere(site))
    assert site.sent("Authorization", 0) == [b"Basic YW5uOnNlY3JldA=="]
    assert site.sent("Authorization", 1) == []


# --- the answer ---


def test_an_answer_is_told_with_its_headers_in_lower_case_and_its_time(site: Site) -> None:
    site.answers["/"] = answer(b"\x00\xffbody", "X-Two: a", "Vary: x", "X-TWO: b", status="503 Later")
    now = datetime(2025, 1, 2, tzinfo=UTC)
    page = run(lambda fetcher: fetcher.get(site.url(), max_bytes=100), quick(), now=lambda: now)
    assert (page.url, page.final_url, page.status, page.body) == (site.url(), site.url(), 503, b"\x00\xffbody")
    assert (page.headers["x-two"], page.headers["vary"], page.fetched) == ("a, b", "x", now)
    assert page.redirects == ()


def test_not_modified_is_an_answer_without_body(site: Site) -> None:
    site.answers["/"] = b'HTTP/1.1 304 Not Modified\r\nETag: "new"\r\nContent-Length: 5000\r\n\r\n'
    page = get(site.url(), headers={"If-None-Match": '"old"'})
    assert (page.status, page.body, page.headers["etag"]) == (304, b"", '"new"')


def test_early_hints_are_passed_over(site: Site) -> None:
    site.answers["/"] = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + answer(b"x")
    assert get(site.url()).body == b"x"


def compressed(body: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("name", "wbits"),
    [("gzip", 31), ("x-gzip", 31), ("GZIP", 31), ("identity, gzip", 31), ("deflate", 15), ("deflate", -15)],
)
def test_a_compressed_body_is_decoded(site: Site, name: str, wbits: int) -> None:
    site.answers["/"] = answer(compressed(b"news" * 9000, wbits), f"Content-Encoding: {name}")
    assert get(site.url()).body == b"news" * 9000


@pytest.mark.parametrize("wbits", [31, 15, -15])
def test_a_compressed_body_of_any_size_and_density_is_decoded_whole(site: Site, wbits: int) -> None:
    noise = random.Random(7).randbytes(200_000)
    bodies = [fill[:size] for fill in (noise, bytes(200_000)) for size in (1, 65_535, 65_536, 65_537, 131_072, 200_000)]
    for number, body in enumerate(bodies):
        name = "gzip" if wbits == 31 else "deflate"
        site.answers[f"/{number}"] = answer(compressed(body, wbits), f"Content-Encoding: {name}")

    async def work(fetcher: Fetcher) -> list[bytes]:
        return [(await fetcher.get(site.url(f"/{n}"), max_bytes=300_000)).body for n in range(len(bodies))]

    assert run(work, quick()) == bodies


@pytest.mark.parametrize("name", ["identity", "utf-8", "none", ""])
def test_an_encoding_that_is_no_compression_leaves_the_body_as_it_is(site: Site, name: str) -> None:
    site.answers["/"] = answer(b"news", f"Content-Encoding: {name}")
    assert get(site.url()).body == b"news"


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_padding_after_the_end_of_a_compressed_body_is_passed_over(site: Site, name: str) -> None:
    packed = compressed(b"news", 31 if name == "gzip" else 15)
    site.answers["/"] = answer(packed + b"\0" * 100, f"Content-Encoding: {name}")
    assert get(site.url()).body == b"news"


def test_gzip_in_several_members_is_decoded_whole(site: Site) -> None:
    site.answers["/"] = answer(gzip.compress(b"one ") + gzip.compress(b"two"), "Content-Encoding: gzip")
    assert get(site.url()).body == b"one two"


def test_gzip_in_small_chunks_is_decoded(site: Site) -> None:
    packed = gzip.compress(b"news" * 50)
    chunks = b"".join(b"1\r\n" + packed[i : i + 1] + b"\r\n" for i in range(len(packed))) + b"0\r\n\r\n"
    site.answers["/"] = without_length("Content-Encoding: gzip", "Transfer-Encoding: chunked") + chunks
    assert get(site.url()).body == b"news" * 50


def test_an_empty_body_called_gzip_is_empty(site: Site) -> None:
    site.answers["/"] = answer(b"", "Content-Encoding: gzip")
    assert get(site.url()).body == b""


@pytest.mark.parametrize("size", [999, 1000])
def test_a_body_up_to_the_limit_is_taken_whole(site: Site, size: int) -> None:
    site.answers["/"] = answer(b"x" * size)
    assert len(get(site.url(), max_bytes=1000).body) == size


@pytest.mark.parametrize("headers", [(), ("Content-Encoding: gzip",)])
def test_a_body_over_the_limit_is_refused_and_trying_again_is_no_help(site: Site, headers: tuple[str, ...]) -> None:
    body = b"x" * 1001
    site.answers["/"] = answer(gzip.compress(body) if headers else body, *headers)
    error = failure(site.url(), max_bytes=1000)
    assert told(error) == ("too_large", False, site.url())
    assert error.status == 200


@pytest.mark.parametrize("headers", [(), ("Content-Encoding: gzip",)])
def test_a_body_over_the_limit_is_cut_where_that_is_asked_for(site: Site, headers: tuple[str, ...]) -> None:
    body = bytes(range(256)) * 4000
    site.answers["/"] = answer(gzip.compress(body) if headers else body, *headers)
    assert get(site.url(), max_bytes=100_001, truncate=True).body == body[:100_001]


def zeros_gzipped(gigabytes: int = 1) -> Iterator[bytes]:
    """A gzip stream of zeros, a megabyte at a time; a full flush makes each piece stand alone, so one serves for all."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    yield packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(gigabytes * 1000 - 1):
        yield again


def bomb(packed: Callable[[], Iterator[bytes]], encoding: str) -> Handler:
    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(without_length(f"Content-Encoding: {encoding}"))
        for piece in packed():
            writer.write(piece)
            await writer.drain()

    return send


def test_a_gzip_bomb_is_refused_without_being_unpacked(site: Site) -> None:
    site.answers["/"] = bomb(zeros_gzipped, "gzip")
    tracemalloc.start()
    try:
        error = failure(site.url(), max_bytes=2_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert told(error) == ("too_large", False, site.url())
    assert peak < 40_000_000


def test_a_gzip_bomb_is_cut_where_that_is_asked_for(site: Site) -> None:
    site.answers["/"] = bomb(zeros_gzipped, "gzip")
    assert get(site.url(), max_bytes=500_000, truncate=True).body == bytes(500_000)


def test_a_bomb_in_two_layers_does_not_pass_as_a_body(site: Site) -> None:
    def twice() -> Iterator[bytes]:
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        for piece in zeros_gzipped():
            yield packer.compress(piece)
        yield packer.flush()

    site.answers["/"] = bomb(twice, "gzip, gzip")
    assert told(failure(site.url(), max_bytes=2_000_000)) == ("incomplete", True, site.url())


@pytest.mark.parametrize("name", ["br", "zstd", "compress", "gzip, br"])
def test_a_compression_nobody_asked_for_does_not_pass_as_a_body(site: Site, name: str) -> None:
    site.answers["/"] = answer(b"\x00\x01", f"Content-Encoding: {name}")
    assert told(failure(site.url())) == ("incomplete", True, site.url())


def test_an_answer_without_body_may_name_any_compression(site: Site) -> None:
    site.answers["/"] = b"HTTP/1.1 304 Not Modified\r\nContent-Encoding: br\r\n\r\n"
    assert get(site.url()).status == 304


def test_an_endless_body_ends_at_the_size_limit(site: Site) -> None:
    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(without_length())
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    site.answers["/"] = pour
    assert told(failure(site.url())) == ("too_large", False, site.url())


def drip(head: bytes, piece: bytes) -> Handler:
    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.05)

    return send


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"), id="one header, letter by letter"),
        pytest.param(drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), id="header by header"),
        pytest.param(drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), id="hints without end"),
        pytest.param(drip(without_length(), b"x"), id="body"),
        pytest.param(drip(without_length("Transfer-Encoding: chunked"), b"1\r\nx\r\n"), id="chunks"),
        pytest.param(drip(without_length("Content-Encoding: gzip"), b""), id="no byte of the body"),
    ],
)
def test_an_answer_dripped_without_end_stops_at_the_total_limit(site: Site, handler: Handler) -> None:
    site.answers["/"] = handler
    assert told(failure(site.url(), quick(request_total_s=0.7))) == ("timeout", True, site.url())


async def stay_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def fall_silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 429 Slow Down\r\nContent-Length: 100\r\n\r\nhalf")
    await asyncio.Event().wait()


@pytest.mark.parametrize("handler", [stay_silent, fall_silent])
@pytest.mark.parametrize("limit", ["read_s", "request_total_s"])
def test_a_server_that_falls_silent_is_given_up(site: Site, handler: Handler, limit: str) -> None:
    site.answers["/"] = handler
    assert told(failure(site.url(), quick(**{limit: 0.3}))) == ("timeout", True, site.url())


def test_a_name_that_takes_too_long_to_resolve_is_given_up(site: Site) -> None:
    async def resolve(host: str, port: int) -> list[tuple[str, int]]:
        await asyncio.Event().wait()
        return []

    url = "http://slow.test/"
    assert told(failure(url, quick(request_total_s=0.3), resolve)) == ("timeout", True, url)


def test_an_unknown_name_is_told_as_dns() -> None:
    async def resolve(host: str, port: int) -> list[tuple[str, int]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert told(failure("http://nowhere.test/", resolver=resolve)) == ("dns", True, "http://nowhere.test/")


def test_a_name_without_addresses_is_told_as_dns() -> None:
    async def resolve(host: str, port: int) -> list[tuple[str, int]]:
        return []

    assert told(failure("http://empty.test/", resolver=resolve)) == ("dns", True, "http://empty.test/")


def test_a_refused_connection_is_told_as_connect() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: nobody else can take the port meanwhile
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        assert told(failure(url)) == ("connect", True, url)


HALF_GZIP = gzip.compress(bytes(range(256)) * 400)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"", "connect", id="hung up at once"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", "connect", id="hung up in the headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "incomplete", id="shorter than told"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "incomplete", id="no last chunk"
        ),
        pytest.param(answer(b"plain text", "Content-Encoding: gzip"), "incomplete", id="gzip that is none"),
        pytest.param(
            answer(HALF_GZIP[:200] + b"\xff" * 99 + HALF_GZIP[299:], "Content-Encoding: gzip"),
            "incomplete",
            id="gzip broken inside",
        ),
        pytest.param(
            answer(HALF_GZIP[:-4] + b"\x00\x00\x00\x01", "Content-Encoding: gzip"),
            "incomplete",
            id="gzip of odd length",
        ),
        pytest.param(
            answer(HALF_GZIP[: len(HALF_GZIP) // 2], "Content-Encoding: gzip"), "incomplete", id="gzip cut short"
        ),
        pytest.param(answer(HALF_GZIP[:-1], "Content-Encoding: gzip"), "incomplete", id="gzip without its last byte"),
        pytest.param(
            answer(zlib.compress(b"news" * 900)[:-9], "Content-Encoding: deflate"), "incomplete", id="deflate cut short"
        ),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "bad_http", id="another protocol"),
        pytest.param(b"<html>no headers</html>\r\n\r\n", "bad_http", id="no status line"),
        pytest.param(b"HTTP/1.1 abc OK\r\n\r\n", "bad_http", id="status no number"),
        pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "bad_http", id="header without colon"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad_http", id="length no number"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X-Many: y\r\n" * 1000 + b"\r\n", "bad_http", id="a thousand headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "bad_http", id="a huge header"),
        pytest.param(bytes(range(256)) * 40 + b"\r\n\r\n", "bad_http", id="binary"),
    ],
)
def test_a_broken_answer_is_told_as_what_it_is(site: Site, raw: bytes, reason: str) -> None:
    site.answers["/"] = raw
    assert told(failure(site.url())) == (reason, True, site.url())


@pytest.mark.parametrize("garbage", [b"xyz\r\n", b"-4\r\n", b"\xff\x00\r\n", b"4" * 20_000])
def test_garbage_for_a_chunk_is_told_as_a_broken_answer(site: Site, garbage: bytes) -> None:
    site.answers["/"] = without_length("Transfer-Encoding: chunked") + b"4\r\nhalf\r\n" + garbage
    error = failure(site.url())
    assert error.reason in ("bad_http", "incomplete")  # by whether the headers came in the same packet
    assert (error.temporary, error.subject) == (True, site.url())


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"HTTP/1.1 429 Slow Down\r\nContent-Length: 100\r\n\r\nhalf", "incomplete"),
        (answer(b"x" * 2000, status="429 Slow Down"), "too_large"),
        (fall_silent, "timeout"),
    ],
    ids=["cut short", "too large", "silent"],
)
def test_a_failure_in_the_body_keeps_the_status(site: Site, raw: bytes | Handler, reason: str) -> None:
    site.answers["/"] = raw
    error = failure(site.url(), quick(read_s=0.5), max_bytes=1000)
    assert (error.reason, error.status) == (reason, 429)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/feed",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "//127.0.0.1/feed",
        "127.0.0.1/feed",
        "http://",
        "http:///feed",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:port/",
        "http://[::1/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nX-Injected: 1",
        "http://127.0.0.1/\x00",
        f"http://{'a' * 64}.test/",
        "http://a..b.test/é",
        "",
    ],
)
def test_what_is_no_web_address_is_refused_for_good(url: str, dialled: list[str]) -> None:
    assert told(failure(url)) == ("bad_url", False, url)
    assert dialled == []


def test_a_fetcher_outside_its_context_is_a_mistake_of_the_program() -> None:
    fetcher = Fetcher(quick(), agent=AGENT)
    with pytest.raises(RuntimeError, match="context manager"):
        asyncio.run(fetcher.get("http://127.0.0.1/", max_bytes=10))


# --- redirects ---


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_and_told(site: Site, status: int) -> None:
    site.answers["/old"] = redirect("/new", status)
    site.answers["/new"] = answer(b"x")
    page = get(site.url("/old"))
    assert (page.url, page.final_url, page.status, page.body) == (site.url("/old"), site.url("/new"), 200, b"x")
    assert page.redirects == ((status, site.url("/new")),)
    assert site.lines == ["GET /old HTTP/1.1", "GET /new HTTP/1.1"]


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("new", "/a/new"),
        ("../new", "/new"),
        ("?page=2|3", "/a/old?page=2|3"),
        ("/new#part", "/new"),
        ("  /new  ", "/new"),
        ("//{host}/new?q=%zz", "/new?q=%zz"),
        ("http://{host}/new", "/new"),
        ("/né", "/n%C3%A9"),
    ],
)
def test_a_location_is_read_against_the_address_it_came_from(site: Site, location: str, target: str) -> None:
    site.answers["/a/old?x=1"] = redirect(location.format(host=f"127.0.0.1:{site.port}"))
    get(site.url("/a/old?x=1"))
    assert site.lines[1] == f"GET {target} HTTP/1.1"


def test_further_headers_go_with_every_hop(site: Site) -> None:
    site.answers["/"] = redirect("/next")
    get(site.url(), headers={"If-None-Match": '"a"'})
    assert site.sent("If-None-Match", 0) == site.sent("If-None-Match", 1) == [b'"a"']


def test_as_many_redirects_as_set_are_followed(site: Site) -> None:
    for number in range(3):
        site.answers[f"/{number}"] = redirect(f"/{number + 1}")
    site.answers["/3"] = answer(b"there")
    page = get(site.url("/0"), quick(redirects_max=3))
    assert page.body == b"there"
    assert [target for _, target in page.redirects] == [site.url(f"/{number}") for number in (1, 2, 3)]


def test_one_redirect_more_than_set_is_not_followed(site: Site) -> None:
    for number in range(9):
        site.answers[f"/{number}"] = redirect(f"/{number + 1}")
    assert told(failure(site.url("/0"), quick(redirects_max=3))) == ("redirects", False, site.url("/0"))
    assert len(site.heads) == 4


@pytest.mark.parametrize("back", ["/a", "/b", "/b#other"])
def test_a_circle_of_redirects_is_noticed_before_it_is_walked_again(site: Site, back: str) -> None:
    site.answers["/a"] = redirect("/b")
    site.answers["/b"] = redirect(back)
    assert told(failure(site.url("/a"))) == ("redirects", False, site.url("/a"))
    assert len(site.heads) == 2


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "gopher://127.0.0.1/",
        "javascript:1",
        "data:text/html,x",
        "http://[::1",
    ],
)
def test_a_redirect_to_what_is_no_web_address_is_refused(site: Site, location: str) -> None:
    site.answers["/"] = redirect(location)
    assert told(failure(site.url())) == ("bad_url", False, site.url())
    assert len(site.heads) == 1


def test_a_redirect_without_location_is_the_answer(site: Site) -> None:
    site.answers["/"] = answer(b"", status="301 Moved")
    page = get(site.url())
    assert (page.status, page.final_url, page.redirects) == (301, site.url(), ())


@pytest.mark.parametrize("status", [300, 304, 305])
def test_other_statuses_in_the_three_hundreds_are_not_followed(site: Site, status: int) -> None:
    site.answers["/"] = answer(b"", "Location: /next", status=f"{status} Other")
    assert get(site.url()).status == status
    assert len(site.heads) == 1


def test_the_body_of_a_redirect_is_not_read(site: Site) -> None:
    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /next\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()

    site.answers["/"] = pour
    site.answers["/next"] = answer(b"there")
    assert get(site.url(), max_bytes=10).body == b"there"


def test_a_failure_after_a_redirect_is_about_the_address_that_failed(site: Site) -> None:
    site.answers["/"] = redirect("/next")
    site.answers["/next"] = b"nonsense\r\n\r\n"
    assert told(failure(site.url())) == ("bad_http", True, site.url("/next"))


# --- forbidden addresses ---

FORBIDDEN = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "100::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_name_that_leads_to_no_public_address_is_refused_undialled(
    site: Site, dialled: list[str], address: str
) -> None:
    url = "http://inside.test/"
    error = failure(url, quick(allow_private=()), everywhere(site, {"inside.test": [address]}))
    assert told(error) == ("forbidden_address", False, url)
    assert dialled == []
    assert site.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "0x7f000001",
        "0x7f.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST.",
        "127.0.0.1.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[::1%25lo]",
        "user@127.0.0.1",
        "example.org@127.0.0.1",
        "１２７.0.0.1",
    ],
)
def test_no_spelling_of_loopback_in_a_url_gets_through(site: Site, dialled: list[str], host: str) -> None:
    url = site.url(host=host)
    error = failure(url, quick(allow_private=()))
    # Which of the odd spellings a system's resolver reads as an address differs; none may be dialled.
    assert error.reason in ("forbidden_address", "dns", "bad_url")
    assert error.subject == url
    assert dialled == []
    assert site.connections == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"])
def test_a_literal_address_is_judged_without_asking_the_resolver(site: Site, dialled: list[str], host: str) -> None:
    async def resolve(host: str, port: int) -> list[tuple[str, int]]:
        raise AssertionError("an address needs no resolver")

    url = site.url(host=host)
    assert told(failure(url, quick(allow_private=()), resolve)) == ("forbidden_address", False, url)
    assert dialled == []


def test_the_refusal_names_the_address_and_the_way_out(site: Site) -> None:
    error = failure("http://inside.test/", quick(allow_private=()), everywhere(site, {"inside.test": ["10.0.0.1"]}))
    assert "inside.test leads to 10.0.0.1" in str(error)
    assert "--allow-private" in str(error)


def test_a_public_address_passes_the_guard(site: Site, dialled: list[str]) -> None:
    url = "http://public.test/"
    error = failure(url, quick(allow_private=()), everywhere(site, {"public.test": ["93.184.216.34"]}))
    assert told(error) == ("connect", True, url)
    assert set(dialled) == {"93.184.216.34"}


def test_a_network_that_was_named_is_reached_and_no_other(site: Site, dialled: list[str]) -> None:
    settings = quick(allow_private=("127.0.0.1/32",))
    site.answers["/"] = answer(b"x")
    assert get("http://a.test/", settings, everywhere(site)).body == b"x"
    error = failure("http://b.test/", settings, everywhere(site, {"b.test": ["127.0.0.2"]}))
    assert error.reason == "forbidden_address"
    assert set(dialled) == {"127.0.0.1"}


def test_a_mapped_address_is_reached_where_its_ipv4_network_was_named() -> None:
    networks = parse_networks(["127.0.0.0/8"])
    assert address_allowed("::ffff:127.0.0.1", networks)
    assert address_allowed("64:ff9b::7f00:1", networks)
    assert not address_allowed("::1", networks)


def test_a_redirect_to_a_forbidden_address_is_refused_undialled(site: Site, dialled: list[str]) -> None:
    settings = quick(allow_private=("127.0.0.1/32",))
    site.answers["/"] = redirect("http://inside.test/secret")
    error = failure("http://outside.test/", settings, everywhere(site, {"inside.test": ["169.254.169.254"]}))
    assert told(error) == ("forbidden_address", False, "http://inside.test/secret")
    assert set(dialled) == {"127.0.0.1"}


def test_a_redirect_to_a_forbidden_literal_is_refused_undialled(site: Site, dialled: list[str]) -> None:
    site.answers["/"] = redirect("http://169.254.169.254/latest/meta-data/")
    error = failure(site.url(), quick(allow_private=("127.0.0.1/32",)))
    assert told(error) == ("forbidden_address", False, "http://169.254.169.254/latest/meta-data/")
    assert set(dialled) == {"127.0.0.1"}


@pytest.mark.parametrize("by_redirect", [True, False])
def test_a_name_that_changes_to_a_forbidden_address_is_refused_at_the_next_connection(
    site: Site, dialled: list[str], by_redirect: bool
) -> None:
    # 127.0.0.1 stands for the public address, 127.0.0.2 for the private one.
    answers = iter(["127.0.0.1", "127.0.0.2"])

    async def resolve(host: str, port: int) -> list[tuple[str, int]]:
        return [(next(answers), site.port)]

    site.answers["/"] = redirect("/next") if by_redirect else answer(b"x")

    async def work(fetcher: Fetcher) -> None:
        await fetcher.get("http://flips.test/", max_bytes=100)
        await fetcher.get("http://flips.test/next", max_bytes=100)

    with pytest.raises(FetchError) as caught:
        run(work, quick(allow_private=("127.0.0.1/32",)), resolve)
    assert told(caught.value) == ("forbidden_address", False, "http://flips.test/next")
    assert dialled == ["127.0.0.1"]


@pytest.mark.parametrize("addresses", [["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "10.0.0.1"]])
def test_of_a_public_and_a_private_address_only_the_public_one_is_dialled(
    site: Site, dialled: list[str], addresses: list[str]
) -> None:
    site.answers["/"] = answer(b"x")
    settings = quick(allow_private=("127.0.0.1/32",))
    assert get("http://both.test/", settings, everywhere(site, {"both.test": addresses})).body == b"x"
    assert dialled == ["127.0.0.1"]


@pytest.mark.parametrize("addresses", [["10.0.0.1", "93.184.216.34"], ["93.184.216.34", "10.0.0.1"]])
def test_a_public_address_that_is_down_is_no_forbidden_one(
    site: Site, dialled: list[str], addresses: list[str]
) -> None:
    url = "http://both.test/"
    error = failure(url, quick(allow_private=()), everywhere(site, {"both.test": addresses}))
    assert told(error) == ("connect", True, url)
    assert set(dialled) == {"93.184.216.34"}


def test_an_answer_that_breaks_off_is_no_forbidden_address(site: Site) -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    site.answers["/"] = reset
    url = "http://both.test/"
    settings = quick(allow_private=("127.0.0.1/32",))
    error = failure(url, settings, everywhere(site, {"both.test": ["10.0.0.1", "127.0.0.1"]}))
    assert told(error) == ("connect", True, url)


PRIVATE_V4 = [
    ip_network(text)
    for text in ("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
                 "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4")
]  # fmt: skip
private_v4 = st.sampled_from(PRIVATE_V4).flatmap(
    lambda net: st.integers(int(net.network_address), int(net.broadcast_address)).map(IPv4Address)
)


def embedded(inner: IPv4Address) -> dict[str, IPv6Address]:
    value = int(inner)
    return {
        "mapped": IPv6Address((0xFFFF << 32) | value),
        "compatible": IPv6Address(value),
        "translated": IPv6Address((0xFFFF << 48) | value),
        "nat64": IPv6Address(int(IPv6Address("64:ff9b::")) | value),
        "6to4": IPv6Address((0x2002 << 112) | (value << 80) | 1),
        "teredo": IPv6Address((0x20010000 << 96) | (0x08080808 << 64) | (value ^ 0xFFFFFFFF)),
    }


@given(private_v4)
def test_no_private_ipv4_address_is_allowed_in_any_dress(inner: IPv4Address) -> None:
    assert not address_allowed(str(inner))
    assert [name for name, address in embedded(inner).items() if address_allowed(str(address))] == []


@given(st.integers(1 << 24, (224 << 24) - 1).map(IPv4Address))
def test_a_global_ipv4_address_is_allowed_plain_and_mapped(inner: IPv4Address) -> None:
    assume(inner.is_global)
    assert address_allowed(str(inner))
    assert address_allowed(str(embedded(inner)["mapped"]))
    assert address_allowed(str(embedded(inner)["nat64"]))


@given(
    st.sampled_from(["fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "2001:db8::/32", "100::/64"]),
    st.data(),
)
def test_no_ipv6_address_of_a_special_network_is_allowed(network: str, data: st.DataObject) -> None:
    net = ip_network(network)
    number = data.draw(st.integers(int(net.network_address), int(net.broadcast_address)))
    assert not address_allowed(str(IPv6Address(number)))


@given(st.text())
def test_what_is_no_address_is_not_allowed(text: str) -> None:
    assume(not text[:1].isdigit() and ":" not in text)
    assert not address_allowed(text)


@given(st.text())
def test_a_url_comes_back_without_fragment_and_outer_space_or_is_refused_for_what_it_holds(text: str) -> None:
    url = f"http://example.org/{text}"
    if any(ord(char) <= 32 or ord(char) == 127 for char in url.strip()):
        with pytest.raises(InputError, match="spaces or control characters"):
            check_url(url)
    else:
        assert check_url(url) == url.strip().split("#")[0]


# --- one host after another ---


class Clock:
    """A monotonic clock that only sleeping moves."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)

    @property
    def given(self) -> dict[str, Any]:
        return {"monotonic": self.monotonic, "sleep": self.sleep}


async def linger(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.03)
    writer.write(answer(b"x"))


def test_requests_to_one_host_go_one_after_the_other_with_the_delay_between(site: Site) -> None:
    site.answers["/"] = linger
    clock = Clock()

    async def work(fetcher: Fetcher) -> None:
        # The port and the spelling of the name make no other host.
        names = ["a.test", "A.test", "a.test.", "a.test:8080"]
        await asyncio.gather(*(fetcher.get(f"http://{name}/", max_bytes=10) for name in names))

    run(work, quick(host_delay_s=5.0), everywhere(site), **clock.given)
    assert site.peak == 1
    assert len(site.heads) == 4
    assert clock.slept == [5.0, 5.0, 5.0]


def test_the_delay_counts_from_the_end_of_the_last_request(site: Site) -> None:
    clock = Clock()

    async def work(fetcher: Fetcher) -> None:
        await fetcher.get(site.url(), max_bytes=10)
        clock.time += 3.0
        await fetcher.get(site.url(), max_bytes=10)
        clock.time += 99.0
        await fetcher.get(site.url(), max_bytes=10)

    run(work, quick(host_delay_s=5.0), **clock.given)
    assert clock.slept == [2.0]


def test_a_longer_delay_asked_for_holds_before_and_after_the_request(site: Site) -> None:
    clock = Clock()

    async def work(fetcher: Fetcher) -> None:
        await fetcher.get(site.url("/robots.txt"), max_bytes=10)
        await fetcher.get(site.url("/page"), max_bytes=10, delay_s=20.0)
        await fetcher.get(site.url("/feed"), max_bytes=10)
        await fetcher.get(site.url("/feed"), max_bytes=10)

    run(work, quick(host_delay_s=1.0), **clock.given)
    assert clock.slept == [20.0, 20.0, 1.0]


def test_a_shorter_delay_asked_for_does_not_undercut_the_setting(site: Site) -> None:
    clock = Clock()

    async def work(fetcher: Fetcher) -> None:
        await fetcher.get(site.url(), max_bytes=10, delay_s=0.0)
        await fetcher.get(site.url(), max_bytes=10, delay_s=0.0)

    run(work, quick(host_delay_s=5.0), **clock.given)
    assert clock.slept == [5.0]


def test_a_failed_request_and_a_redirect_keep_the_delay_too(site: Site) -> None:
    site.answers["/"] = b"nonsense\r\n\r\n"
    site.answers["/moved"] = redirect("/there")
    clock = Clock()

    async def work(fetcher: Fetcher) -> None:
        with pytest.raises(FetchError):
            await fetcher.get(site.url("/"), max_bytes=10)
        await fetcher.get(site.url("/moved"), max_bytes=10)

    run(work, quick(host_delay_s=5.0), **clock.given)
    assert clock.slept == [5.0, 5.0]


def test_requests_to_several_hosts_overlap(site: Site) -> None:
    together = asyncio.Barrier(3)

    async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await together.wait()  # nobody is answered before all three have asked
        writer.write(answer(b"x"))

    site.answers["/"] = meet

    async def work(fetcher: Fetcher) -> list[Page]:
        return await asyncio.gather(*(fetcher.get(f"http://{name}.test/", max_bytes=10) for name in "abc"))

    pages = run(work, quick(host_delay_s=60.0), everywhere(site))
    assert [page.body for page in pages] == [b"x"] * 3


def test_no_more_requests_than_set_are_under_way_at_once(site: Site) -> None:
    pairs = asyncio.Barrier(2)

    async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await pairs.wait()
        await asyncio.sleep(0.05)
        writer.write(answer(b"x"))

    site.answers["/"] = meet

    async def work(fetcher: Fetcher) -> None:
        await asyncio.gather(*(fetcher.get(f"http://{name}.test/", max_bytes=10) for name in "abcdefgh"))

    run(work, quick(connections_max=2), everywhere(site))
    assert len(site.heads) == 8
    assert site.peak == 2


def test_waiting_for_a_turn_does_not_count_as_time_of_the_exchange(site: Site) -> None:
    async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.7)
        writer.write(answer(b"x"))

    site.answers["/"] = slow

    async def work(fetcher: Fetcher) -> None:
        await asyncio.gather(
            *(fetcher.get(f"http://{name}.test/", max_bytes=10) for name in ("a", "a", "a", "a", "b", "c", "d"))
        )

    run(work, quick(request_total_s=2.0, connections_max=2), everywhere(site))
    assert len(site.heads) == 7


def test_a_request_that_is_cancelled_gives_its_turn_to_the_next(site: Site) -> None:
    asked = threading.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.Event().wait()

    site.answers["/silent"] = say_nothing
    site.answers["/"] = answer(b"x")

    async def work(fetcher: Fetcher) -> Page:
        stuck = asyncio.create_task(fetcher.get(site.url("/silent"), max_bytes=10))
        waiting = asyncio.create_task(fetcher.get(site.url("/"), max_bytes=10))
        assert await asyncio.to_thread(asked.wait, PATIENCE_S)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        return await waiting

    assert run(work, quick(connections_max=1)).body == b"x"


# --- TLS ---


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for ``secure.test``, with its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl command to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    made = subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=secure.test", "-addext", "subjectAltName=DNS:secure.test",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        capture_output=True,
        check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"openssl made no certificate: {made.stderr.decode(errors='replace')[:200]}")
    whole = folder / "both.pem"
    whole.write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return whole


def held(*headers: str, body: bytes = b"", status: str = "200 OK") -> Handler:
    """An answer on a connection that the client ends: a TLS farewell from both sides outlives the client's loop."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write("\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body)
        await reader.read()

    return send


@pytest.fixture
def secure(certificate: Path) -> Iterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Site(context) as running:
        running.answers["/"] = held("Content-Length: 6", body=b"secret")
        yield running


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


def test_a_certificate_nobody_vouches_for_is_refused(secure: Site) -> None:
    url = "https://secure.test/"
    assert told(failure(url, resolver=everywhere(secure))) == ("tls", True, url)
    assert secure.heads == []


@pytest.mark.usefixtures("trusted")
def test_a_certificate_in_ssl_cert_file_is_trusted(secure: Site) -> None:
    assert get("https://secure.test/", resolver=everywhere(secure)).body == b"secret"


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_is_refused(secure: Site) -> None:
    url = "https://other.test/"
    assert told(failure(url, resolver=everywhere(secure))) == ("tls", True, url)
    assert secure.heads == []


def test_a_server_that_does_not_speak_tls_is_told_as_tls(site: Site) -> None:
    site.greeting = answer(b"plain", status="400 Bad Request")
    url = "https://plain.test/"
    assert told(failure(url, resolver=everywhere(site))) == ("tls", True, url)


@pytest.mark.usefixtures("trusted")
def test_a_redirect_from_https_to_http_is_refused(secure: Site, site: Site) -> None:
    secure.answers["/"] = held(f"Location: {site.url('/plain')}", "Content-Length: 0", status="302 Found")
    url = "https://secure.test/"
    assert told(failure(url, resolver=everywhere(secure))) == ("downgrade", False, url)
    assert site.connections == 0


@pytest.mark.usefixtures("trusted")
def test_a_redirect_from_http_to_https_is_followed(secure: Site, site: Site) -> None:
    site.answers["/"] = redirect(f"https://secure.test:{secure.port}/")
    page = get(site.url(), resolver=everywhere(secure))
    assert (page.body, page.final_url) == (b"secret", f"https://secure.test:{secure.port}/")

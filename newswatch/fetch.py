"""HTTP: one careful client for feeds, pages and robots.txt. Owner of aiohttp.

Every exchange is bounded in time (connect, each read, the whole), in size after decompression, and in redirects.
Each address is checked at connect, after name resolution, on every hop, so neither a redirect nor a changing DNS
answer leads to a forbidden network. Requests to one host go one after the other with a delay.
"""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from newswatch.config import Settings
from newswatch.exceptions import FetchError, InputError
from newswatch.records import Page
from newswatch.urls import Network, address_allowed, check_url, host_of, join_url, parse_networks

__all__ = ["ACCEPT_FEED", "ACCEPT_PAGE", "Fetcher", "Resolver", "user_agent"]

ACCEPT_FEED = "application/atom+xml, application/rss+xml, application/feed+json, application/rdf+xml;q=0.9, application/xml;q=0.8, text/xml;q=0.8, */*;q=0.5"
ACCEPT_PAGE = "text/html, application/xhtml+xml;q=0.9, */*;q=0.5"

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_CHUNK = 65_536
_GZIP = ("gzip", "x-gzip")
_CODINGS = frozenset((*_GZIP, "deflate", "br", "zstd", "compress", "x-compress"))
# Addresses met while connecting, and whether each was allowed: told by the socket hook to the request under way
# (aiohttp keeps only one error).
_tried: ContextVar[list[tuple[str, bool]] | None] = ContextVar("newswatch_tried", default=None)


class Resolver(Protocol):
    """Turns a host name into addresses; the port may differ from the one asked for (for tests and the demo)."""

    async def __call__(self, host: str, port: int) -> list[tuple[str, int]]: ...


class _ForbiddenAddress(OSError):
    """Raised by the socket hook, so that the next address of the host is tried."""


class _GivenResolver(AbstractResolver):
    def __init__(self, resolve: Resolver) -> None:
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolve(host, port)
        if not found:
            raise OSError(f"{host} has no address")
        return [
            ResolveResult(hostname=host, host=address, port=its, family=0, proto=0, flags=socket.AI_NUMERICHOST)
            for address, its in found
        ]

    async def close(self) -> None:
        return None


@dataclass(slots=True)
class _Host:
    """The queue of one host: one request at a time, the next not before ``ready``; ``last`` is when one ended."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    ready: float = -math.inf
    last: float = -math.inf


def user_agent(version: str, contact: str = "") -> str:
    """The honest name under which newswatch asks.

    Example:
        >>> user_agent("0.1.0", "https://example.org/about")
        'newswatch/0.1.0 (+https://example.org/about)'
    """
    return f"newswatch/{version}" + (f" (+{contact})" if contact else "")


class Fetcher:
    """An HTTP client that never waits, reads or reaches further than its settings allow.

    Args:
        settings: limits, delay, allowed networks, proxy.
        agent: the User-Agent.
        resolver: how names become addresses; the system's by default.
        now: the wall clock, for `Page.fetched`.
        monotonic, sleep: the clock and wait behind the delay between requests to a host.

    Example:
        >>> async with Fetcher(Settings(), agent="newswatch/0.1") as fetcher:  # doctest: +SKIP
        ...     page = await fetcher.get("https://example.org/rss", max_bytes=10_000_000)
    """

    def __init__(
        self,
        settings: Settings,
        *,
        agent: str,
        resolver: Resolver | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._agent = agent
        self._resolver = resolver
        self._now = now
        self._monotonic = monotonic
        self._sleep = sleep
        self._allowed: tuple[Network, ...] = parse_networks(settings.allow_private)
        self._hosts: dict[str, _Host] = {}
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(settings.connections_max)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            resolver=_GivenResolver(self._resolver) if self._resolver else aiohttp.ThreadedResolver(),
            socket_factory=self._guarded_socket,
            ssl=_tls_context(),
            limit=0,  # bounded by the slots below, so that waiting for one does not count as time of the exchange
            use_dns_cache=False,
            keepalive_timeout=5,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._settings.connect_s, sock_read=self._settings.read_s
            ),
            headers={"User-Agent": self._agent, "Accept-Encoding": "gzip"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _guarded_socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, proto, _, address = info
        ip = str(address[0])
        # With a proxy the proxy connects and resolves: only its own address is seen here, and the user named it.
        allowed = bool(self._settings.proxy) or address_allowed(ip, self._allowed)
        tried = _tried.get()
        if tried is not None:
            tried.append((ip, allowed))
        if not allowed:
            raise _ForbiddenAddress(f"{ip} is not a public address")
        return socket.socket(family=family, type=kind, proto=proto)

    async def get(
        self,
        url: str,
        *,
        max_bytes: int,
        accept: str = ACCEPT_PAGE,
        headers: Mapping[str, str] | None = None,
        delay_s: float | None = None,
        truncate: bool = False,
    ) -> Page:
        """GET a URL and follow its redirects.

        Args:
            url: asked for byte for byte, but for the fragment.
            max_bytes: largest body after decompression.
            accept: the Accept header.
            headers: further headers, as validators; sent on every hop.
            delay_s: least seconds since the last request to the host, where more than the setting.
            truncate: cut a larger body off instead of failing.

        Returns:
            The last answer, whatever its status but a redirect.

        Raises:
            FetchError: no whole answer within the limits, a forbidden address, or a redirect not to be followed.
        """
        try:
            current = check_url(url)
        except InputError as error:
            raise FetchError(str(error), subject=url, reason="bad_url", temporary=False) from None
        seen = {current}
        redirects: list[tuple[int, str]] = []
        while True:
            page = await self._polite(current, accept, headers or {}, max_bytes, delay_s, truncate)
            location = page.headers.get("location", "")
            if page.status not in _REDIRECTS or not location:
                return Page(
                    url=url,
                    final_url=current,
                    status=page.status,
                    headers=page.headers,
                    body=page.body,
                    redirects=tuple(redirects),
                    fetched=self._now(),
                )
            target = self._redirect_target(url, current, location, seen, len(redirects))
            redirects.append((page.status, target))
            seen.add(target)
            current = target

    def _redirect_target(self, url: str, current: str, location: str, seen: set[str], count: int) -> str:
        if count >= self._settings.redirects_max:
            raise FetchError(
                f"more than {self._settings.redirects_max} redirects", subject=url, reason="redirects", temporary=False
            )
        try:
            target = check_url(join_url(current, location))
        except InputError as error:
            raise FetchError(f"redirect: {error}", subject=url, reason="bad_url", temporary=False) from None
        if target in seen:
            raise FetchError(
                f"redirects in a circle, back to {target}", subject=url, reason="redirects", temporary=False
            )
        if current.lower().startswith("https:") and target.lower().startswith("http:"):
            raise FetchError(
                f"redirect from https to http, to {target}: not followed",
                subject=url,
                reason="downgrade",
                temporary=False,
            )
        return target

    async def _polite(
        self,
        url: str,
        accept: str,
        headers: Mapping[str, str],
        max_bytes: int,
        delay_s: float | None,
        truncate: bool,
    ) -> Page:
        """One request, when its host's turn has come."""
        host = self._hosts.setdefault(host_of(url), _Host())
        delay = max(self._settings.host_delay_s, delay_s or 0.0)
        async with host.lock:
            wait = max(host.ready, host.last + delay) - self._monotonic()
            if wait > 0:
                await self._sleep(wait)
            try:
                async with self._slots:
                    return await self._exchange(url, accept, headers, max_bytes, truncate)
            finally:
                host.last = self._monotonic()
                host.ready = host.last + delay

    async def _exchange(
        self, url: str, accept: str, headers: Mapping[str, str], max_bytes: int, truncate: bool
    ) -> Page:
        if self._session is None:
            raise RuntimeError("use Fetcher as an async context manager")
        tried: list[tuple[str, bool]] = []
        token = _tried.set(tried)
        total = self._settings.request_total_s
        status: int | None = None
        try:
            async with asyncio.timeout(total):
                # As subscribed, byte for byte, where the URL is pure ASCII; else encoded as browsers do.
                address = URL(url, encoded=url.isascii())
                if url.endswith("?") and not address.raw_query_string:  # yarl drops an empty query
                    address = address.with_path(address.raw_path + "?", encoded=True)
                async with self._session.get(
                    address,
                    headers={"Accept": accept, **headers},
                    allow_redirects=False,
                    proxy=self._settings.proxy or None,
                ) as response:
                    status = response.status
                    body = b""
                    if response.status not in _REDIRECTS:
                        body = await self._read(response, url, max_bytes, truncate)
                    return Page(
                        url=url,
                        final_url=url,
                        status=response.status,
                        headers=_joined(response),
                        body=body,
                    )
        except TimeoutError as error:
            raise FetchError(_timeout_words(error, total), subject=url, reason="timeout", status=status) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _fetch_error(error, url, tried, status) from None
        finally:
            _tried.reset(token)

    async def _read(self, response: aiohttp.ClientResponse, url: str, max_bytes: int, truncate: bool) -> bytes:
        pieces = bytearray()
        unpacker = _Unpacker(",".join(response.headers.getall("Content-Encoding", ())))
        async for packed in response.content.iter_chunked(_CHUNK):
            for piece in unpacker.feed(packed):
                pieces += piece
                if len(pieces) > max_bytes:
                    response.close()
                    if truncate:
                        return bytes(pieces[:max_bytes])
                    raise FetchError(
                        f"larger than {max_bytes / 1e6:g} MB after decompression",
                        subject=url,
                        reason="too_large",
                        status=response.status,
                        temporary=False,
                    )
        if not unpacker.whole:
            raise aiohttp.ClientPayloadError("the compressed body ends too early")
        return bytes(pieces)


class _Unpacker:
    """Undoes a Content-Encoding in small pieces; unlike aiohttp's own, it tells a gzip body cut short from a whole one.

    Names that are no compression are passed over, as browsers do; more than one compression is refused.
    """

    def __init__(self, names: str) -> None:
        self._coding = ", ".join(
            name for name in (part.strip().lower() for part in names.split(",")) if name in _CODINGS
        )
        self._stream: zlib._Decompress | None = None
        self._ended = False

    @property
    def whole(self) -> bool:
        return self._stream is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not self._coding:
            yield data
            return
        while data or self._stream is not None:
            if self._stream is None:
                if self._coding not in (*_GZIP, "deflate"):
                    raise aiohttp.ClientPayloadError(f"compressed as {self._coding}, which was not asked for")
                # After the end gzip may go on with another member; anything else there is padding.
                if self._ended and not (self._coding in _GZIP and b"\x1f\x8b".startswith(data[:2])):
                    return
                # "deflate" comes with the zlib header, as it should, or without.
                self._stream = zlib.decompressobj(31 if self._coding in _GZIP else 15 if data[0] & 15 == 8 else -15)
            try:
                piece = self._stream.decompress(data, _CHUNK)
            except zlib.error as error:
                raise aiohttp.ClientPayloadError(f"the compression is broken: {error}") from None
            if piece:
                yield piece
            if self._stream.eof:
                data, self._stream, self._ended = self._stream.unused_data, None, True
            else:
                data = self._stream.unconsumed_tail
                if not data and len(piece) < _CHUNK:
                    return


def _joined(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, raw in response.raw_headers:
        key = name.decode("latin-1").lower()
        try:
            value = raw.decode()
        except UnicodeDecodeError:
            if key in ("etag", "last-modified"):  # could not be sent back byte for byte
                continue
            value = raw.decode("latin-1")
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


def _timeout_words(error: TimeoutError, total: float) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection in time"
    if isinstance(error, aiohttp.SocketTimeoutError):
        return "the server fell silent in the middle of the answer"
    return f"not done within {total:g} s"


def _fetch_error(error: Exception, url: str, tried: list[tuple[str, bool]], status: int | None) -> FetchError:
    def made(message: str, reason: str, temporary: bool = True) -> FetchError:
        return FetchError(message, subject=url, reason=reason, status=status, temporary=temporary)

    # TLS errors of aiohttp are ValueErrors too.
    if isinstance(error, aiohttp.InvalidURL) or not isinstance(error, aiohttp.ClientError | OSError):
        return made(f"no usable URL: {error}", "bad_url", False)
    if tried and not any(allowed for _, allowed in tried):
        return made(
            f"{host_of(url)} leads to {tried[0][0]}, which is not a public address; "
            "name its network with --allow-private if you mean it",
            "forbidden_address",
            False,
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return made(f"the name {host_of(url)} is not known", "dns")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return made(f"the server's certificate or TLS failed: {error}", "tls")
    if isinstance(error, aiohttp.ClientConnectorError):
        return made(f"no connection: {error.os_error}", "connect")
    if isinstance(error, aiohttp.ClientPayloadError):
        return made("the body is cut short or wrongly compressed", "incomplete")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return made("the server hung up before it answered", "connect")
    if isinstance(error, aiohttp.ClientResponseError):
        return made(f"no valid HTTP answer: {error.message}", "bad_http")
    return made(f"{type(error).__name__}: {error}", "connect")


def _tls_context() -> ssl.SSLContext:
    """The system's trust store (``SSL_CERT_FILE`` honoured); certifi's where the system has none."""
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not context.cert_store_stats()["x509_ca"] and not (paths.cafile or paths.capath):
        import certifi

        context.load_verify_locations(cafile=certifi.where())
    return context

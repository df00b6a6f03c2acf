"""robots.txt by RFC 9309. Owner of protego."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

__all__ = ["MAX_ROBOTS_BYTES", "Robots", "read_robots", "robots_url"]

# RFC 9309, 2.5: a crawler must read at least 500 KiB; protego takes a second for 10 MB, so no more than that.
MAX_ROBOTS_BYTES = 500 * 1024
_MAX_CRAWL_DELAY_S = 30.0
# As protego reads it, with and without the colon.
_AGENT_LINE = re.compile(r"\s*user(?:-|\s+)?agent(?:\s*:|\s)\s*(\*(?=\s*(?:#|$))|[a-z_-]*(?!\d))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Robots:
    """What a host allows us.

    Args:
        rules: protego's rules, or ``None`` where all or nothing is allowed.
        open_to_all: the answer where there are no rules.
    """

    rules: Any = None
    open_to_all: bool = True

    def allows(self, url: str, agent: str) -> bool:
        """Whether a URL may be fetched by us."""
        if self.rules is None:
            return self.open_to_all
        return bool(self.rules.can_fetch(url, _product(agent)))

    def delay_s(self, agent: str) -> float:
        """The Crawl-delay asked for, 30 s at most."""
        delay = self.rules.crawl_delay(_product(agent)) if self.rules is not None else None
        return min(float(delay), _MAX_CRAWL_DELAY_S) if delay else 0.0


def robots_url(url: str) -> str:
    """Where the rules for a URL lie.

    Example:
        >>> robots_url("https://example.org/a/b?c")
        'https://example.org/robots.txt'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}/robots.txt"


def read_robots(status: int | None, body: bytes = b"", agent: str = "newswatch") -> Robots:
    """Rules from the answer for robots.txt (RFC 9309, 2.3.1).

    Args:
        status: the HTTP status, ``None`` where no answer came. 4xx allows all; 5xx and no answer allow nothing.
        body: the file.
        agent: who asks; only rules for it and for all are kept.
    """
    if status is None or status >= 500:
        return Robots(open_to_all=False)
    if status != 200:
        return Robots()
    from protego import Protego

    if len(body) >= MAX_ROBOTS_BYTES:  # cut off, and a rule cut short would forbid or allow too much
        body = body[:MAX_ROBOTS_BYTES].rpartition(b"\n")[0]
    text = body.decode("utf-8-sig", errors="replace")
    return Robots(rules=Protego.parse(_for_us(text, _product(agent))))


def _product(agent: str) -> str:
    """The product token of a User-Agent (RFC 9309, 2.2.1): its words and contact are no names of ours."""
    return agent.partition("/")[0].strip().lower()


def _for_us(text: str, product: str) -> str:
    """The file with every robot but ours under one name.

    Protego would keep each rule once for every name of its group, minutes and gigabytes for a hostile file, and
    takes a name that begins as ours does (``news``) for ours.
    """
    lines = text.splitlines()
    for number, line in enumerate(lines):
        match = _AGENT_LINE.match(line)
        if match:
            name = match.group(1).lower()
            lines[number] = f"User-agent: {name if name in ('*', product) else 'others'}"
    return "\n".join(lines)

"""Which feeds a page names: by ``link`` elements, else by links that look like feeds."""

from __future__ import annotations

import re

from newswatch.exceptions import InputError
from newswatch.records import FeedLink
from newswatch.text import clean_line, decode_page, without_giant_tags
from newswatch.urls import check_url, join_url

__all__ = ["find_feeds"]

_TYPES = frozenset(
    "application/rss+xml application/atom+xml application/rdf+xml application/feed+json application/x-rss+xml "
    "text/xml application/xml text/rss+xml".split()
)
_LOOKS_LIKE = re.compile(
    r"(?:[/.?&=_-](?:rss|atom|rdf|feeds?)(?:[/.?&=_-]|$)|\.(?:rss|atom|rdf)$|feed\.(?:json|xml)$)", re.IGNORECASE
)
_MOST = 50


def find_feeds(body: bytes, *, url: str, content_type: str = "") -> tuple[FeedLink, ...]:
    """The feeds that an HTML page names.

    Args:
        body: the page as sent.
        url: its address, against which links are resolved.
        content_type: the Content-Type header, for its charset.

    Returns:
        What its ``<link rel="alternate">`` elements name; where it has none, the links whose address looks like a
        feed's. Each address once, 50 at most.
    """
    from lxml import etree, html

    text = without_giant_tags(decode_page(body, content_type))
    try:
        root = html.document_fromstring(text.encode("utf-8"), parser=html.HTMLParser(encoding="utf-8", no_network=True))
    except (etree.ParserError, ValueError):
        return ()
    bases = root.xpath("//base/@href")
    base = join_url(url, str(bases[0])) if bases else url
    declared: dict[str, FeedLink] = {}
    for node in root.iter("link"):
        relations = (node.get("rel") or "").lower().split()
        kind = (node.get("type") or "").lower().partition(";")[0].strip()
        href = node.get("href") or ""
        # JSON Feed 1.0 is announced as plain application/json; but so are, by others, many things that are no feeds.
        is_feed = kind in _TYPES or (kind == "application/json" and _LOOKS_LIKE.search(href))
        if "feed" in relations or ("alternate" in relations and is_feed):
            _keep(declared, base, href, node.get("title"))
    if declared:
        return tuple(declared.values())[:_MOST]
    guessed: dict[str, FeedLink] = {}
    for node in root.iter("a"):
        if _LOOKS_LIKE.search(node.get("href") or ""):
            _keep(guessed, base, node.get("href"), node.text_content())
    return tuple(guessed.values())[:_MOST]


def _keep(found: dict[str, FeedLink], base: str, href: str | None, title: str | None) -> None:
    if not href or not href.strip():
        return
    try:
        url = check_url(join_url(base, href))
    except InputError:
        return
    found.setdefault(url, FeedLink(url=url, title=clean_line(title)))

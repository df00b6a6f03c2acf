"""Lists of feeds as OPML, in and out."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lxml import etree

from newswatch.exceptions import InputError
from newswatch.records import FeedLink
from newswatch.text import clean_line

__all__ = ["read_opml", "write_opml"]

_BARE_AMPERSAND = re.compile(rb"&(?!#?\w{1,32};)")


def read_opml(data: bytes, *, name: str = "") -> tuple[FeedLink, ...]:
    """The feeds of an OPML file, nested folders flattened, each once, in order.

    Args:
        data: the file.
        name: its path, for error messages.

    Raises:
        InputError: it is no OPML.
    """
    root = _parsed(data, recover=False)
    if root is None:
        # Recovery alone would drop a bare "&" with the word behind it: ?a=1&b=2 would become ?a=1=2.
        root = _parsed(data if b"\x00" in data else _BARE_AMPERSAND.sub(b"&amp;", data), recover=True)
    if root is None or not isinstance(root.tag, str) or etree.QName(root).localname.lower() != "opml":
        raise InputError(f"{name or 'the file'} is no OPML", subject=name, reason="not_opml")
    links: dict[str, FeedLink] = {}
    for node in root.iter("{*}outline", "{*}Outline", "{*}OUTLINE"):
        values = {str(key).lower(): str(value) for key, value in node.attrib.items()}
        url = values.get("xmlurl", "").strip()
        if url:
            title = clean_line(values.get("title") or values.get("text"))
            links.setdefault(url, FeedLink(url=url, title=title, site_url=values.get("htmlurl", "").strip()))
    return tuple(links.values())


def _parsed(data: bytes, *, recover: bool) -> etree._Element | None:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=recover, huge_tree=False)
    try:
        return etree.fromstring(data.lstrip(b"\xef\xbb\xbf \t\r\n"), parser=parser)
    except (etree.XMLSyntaxError, ValueError):
        return None


def write_opml(feeds: Iterable[FeedLink], *, title: str = "newswatch feeds") -> bytes:
    """An OPML 2.0 file of feeds.

    Example:
        >>> read_opml(write_opml([FeedLink(url="https://example.org/rss", title="A & B")]))[0].title
        'A & B'
    """
    root = etree.Element("opml", version="2.0")
    etree.SubElement(etree.SubElement(root, "head"), "title").text = clean_line(title)
    body = etree.SubElement(root, "body")
    for feed in feeds:
        url, name, site_url = clean_line(feed.url), clean_line(feed.title), clean_line(feed.site_url)
        values = {"type": "rss", "text": name or url, "xmlUrl": url}
        if name:
            values["title"] = name
        if site_url:
            values["htmlUrl"] = site_url
        etree.SubElement(body, "outline", values)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))

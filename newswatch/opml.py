"""Lists of feeds as OPML, in and out."""

from __future__ import annotations

from collections.abc import Iterable

from lxml import etree

from newswatch.exceptions import InputError
from newswatch.records import FeedLink
from newswatch.text import clean_line

__all__ = ["read_opml", "write_opml"]


def read_opml(data: bytes, *, name: str = "") -> tuple[FeedLink, ...]:
    """The feeds of an OPML file, nested folders flattened, each once, in order.

    Args:
        data: the file.
        name: its path, for error messages.

    Raises:
        InputError: it is no OPML.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True, huge_tree=False)
    try:
        root = etree.fromstring(data, parser=parser) if data.strip() else None
    except (etree.XMLSyntaxError, ValueError):
        root = None
    if root is None or not isinstance(root.tag, str) or etree.QName(root).localname.lower() != "opml":
        raise InputError(f"{name or 'the file'} is no OPML", subject=name, reason="not_opml")
    links: dict[str, FeedLink] = {}
    for node in root.iter("{*}outline", "{*}OUTLINE"):
        values = {str(key).lower(): str(value) for key, value in node.attrib.items()}
        url = values.get("xmlurl", "").strip()
        if url:
            title = clean_line(values.get("title") or values.get("text"))
            links.setdefault(url, FeedLink(url=url, title=title, site_url=values.get("htmlurl", "").strip()))
    return tuple(links.values())


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
        values = {"type": "rss", "text": clean_line(feed.title) or feed.url, "xmlUrl": feed.url}
        if feed.title:
            values["title"] = clean_line(feed.title)
        if feed.site_url:
            values["htmlUrl"] = feed.site_url
        etree.SubElement(body, "outline", values)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True))

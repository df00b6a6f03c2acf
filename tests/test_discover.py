"""Feeds that a page names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswatch.discover import find_feeds
from newswatch.records import FeedLink

SITE = "https://herald.example/news/"


def found(markup: str, url: str = SITE) -> list[str]:
    return [link.url for link in find_feeds(markup.encode(), url=url)]


def test_declared_feeds_come_in_order_with_their_titles() -> None:
    page = (
        '<html><head><link rel="stylesheet" href="/s.css">'
        '<link rel="alternate" type="application/rss+xml" title="All &amp; more\n" href="/rss">'
        "<LINK REL='Alternate Home' TYPE='application/atom+xml; charset=utf-8' HREF='atom.xml'></head>"
    )
    assert find_feeds(page.encode(), url=SITE) == (
        FeedLink(url="https://herald.example/rss", title="All & more"),
        FeedLink(url="https://herald.example/news/atom.xml"),
    )


@pytest.mark.parametrize(
    "kind", ["application/rss+xml", "application/atom+xml", "application/rdf+xml", "application/feed+json", "text/xml"]
)
def test_every_type_of_feed_is_known(kind: str) -> None:
    assert found(f'<link rel=alternate type="{kind}" href=/f>') == ["https://herald.example/f"]


def test_a_link_of_relation_feed_needs_no_type() -> None:
    assert found("<link rel=feed href=/f>") == ["https://herald.example/f"]


def test_plain_json_is_a_feed_where_its_address_says_so() -> None:
    api = '<link rel=alternate type="application/json" href="/wp-json/wp/v2/pages/2">'
    assert found(api + '<link rel=alternate type="application/json" href="/feed.json">') == [
        "https://herald.example/feed.json"
    ]


@pytest.mark.parametrize(
    "link",
    [
        '<link rel=alternate hreflang=ky href="/ky/">',
        '<link rel=alternate type="text/html" href="/print">',
        '<link rel=alternate type="application/json+oembed" href="/oembed">',
        '<link rel=stylesheet type="application/rss+xml" href="/x">',
        '<link rel=alternate type="application/rss+xml">',
        '<link rel=alternate type="application/rss+xml" href=" ">',
        '<link rel=alternate type="application/rss+xml" href="javascript:void(0)">',
        '<link rel=alternate type="application/rss+xml" href="http://[broken">',
        '<!-- <link rel=alternate type="application/rss+xml" href="/rss"> -->',
    ],
)
def test_other_links_are_no_feeds(link: str) -> None:
    assert found(link) == []


def test_links_are_resolved_against_the_base_of_the_page() -> None:
    assert found('<base href="/en/"><link rel=feed href="rss">') == ["https://herald.example/en/rss"]


def test_one_address_is_named_once_without_its_fragment() -> None:
    assert found(
        "<link rel=feed href=/rss><link rel=feed href=/rss#x><link rel=feed href=https://herald.example/rss>"
    ) == ["https://herald.example/rss"]


@pytest.mark.parametrize("href", ["/rss", "/feed/", "/feeds/all", "/news.rss", "/?feed=rss2", "/index.rdf", "/feed.xml", "http://feeds.example/x"])  # fmt: skip
def test_where_none_is_declared_links_that_look_like_feeds_are_named(href: str) -> None:
    assert len(found(f"<a href='/about'>About</a><a href='{href}'>Subscribe</a>")) == 1


@pytest.mark.parametrize("href", ["/feedback", "/rssi", "/atomic-energy", "/newsfeeds-and-us", "mailto:rss@herald.example", "#rss"])  # fmt: skip
def test_links_that_only_resemble_one_are_not_named(href: str) -> None:
    assert found(f"<a href='{href}'>x</a>") == []


def test_a_declared_feed_makes_guesses_needless() -> None:
    assert found("<link rel=feed href=/a><a href=/rss>x</a>") == ["https://herald.example/a"]


def test_fifty_feeds_are_enough() -> None:
    assert len(found("".join(f"<link rel=feed href=/{i}>" for i in range(80)))) == 50
    assert len(found("".join(f"<a href=/{i}/rss>" for i in range(80)))) == 50


def test_a_title_is_read_in_the_charset_of_the_page() -> None:
    page = '<link rel=feed href=/rss title="Вестник">'.encode("windows-1251")
    assert find_feeds(page, url=SITE, content_type="text/html; charset=windows-1251")[0].title == "Вестник"


@pytest.mark.parametrize("body", [b"", b"  ", b"{}", b"plain words", b"\x00\xff", b"<"])
def test_what_is_no_page_names_no_feeds(body: bytes) -> None:
    assert find_feeds(body, url=SITE) == ()


@given(st.binary(max_size=200))
def test_no_bytes_break_the_search(body: bytes) -> None:
    find_feeds(b"<base href=" + body + b"><link rel=feed href=" + body + b"><a href='" + body + b"/rss'>", url=SITE)


def test_a_tag_of_a_hundred_thousand_attributes_hides_no_feed() -> None:
    giant = "<a " + " ".join(f"a{i}=1" for i in range(100_000)) + ">"
    assert found(f"{giant}<link rel=feed href=/rss>") == ["https://herald.example/rss"]

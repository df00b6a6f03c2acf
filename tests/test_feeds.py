"""Feeds of every kind from bytes to records."""

from __future__ import annotations

import json
import os
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from newswatch.exceptions import FeedError
from newswatch.feeds import parse_feed
from newswatch.records import Entry, ParsedFeed
from newswatch.text import clean_line

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
URL = "https://feeds.herald.example/world/rss"
NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)

RSS20 = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:content="http://purl.org/rss/1.0/modules/content/">
<channel><title>The &lt;i&gt;Herald&lt;/i&gt;</title><link>https://herald.example/</link><language>en-GB</language><ttl>45</ttl>
<item><title>Twelve freed from kiln</title><link>https://herald.example/1</link><guid isPermaLink="false">h-1</guid>
<dc:creator>Aida Osmonova</dc:creator><pubDate>Tue, 10 Nov 2026 15:00:00 +0300</pubDate>
<description>&lt;p&gt;Police freed twelve.&lt;/p&gt;</description>
<content:encoded><![CDATA[<p>Police freed twelve workers.</p><script>track()</script><p>Two foremen were held.</p>]]></content:encoded></item>
<item><title>Boat found</title><link>https://herald.example/2</link><guid>https://herald.example/2</guid></item>
</channel></rss>"""
RSS092 = """<rss version="0.92"><channel><title>Herald</title><link>https://herald.example/</link><description>x</description>
<item><title>Twelve freed from kiln</title><link>https://herald.example/1</link><description>Police freed twelve.</description></item>
</channel></rss>"""
RSS091 = RSS092.replace('version="0.92"', 'version="0.91"')
RSS10 = """<?xml version="1.0"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:sy="http://purl.org/rss/1.0/modules/syndication/">
<channel rdf:about="https://herald.example/rdf"><title>Herald</title><link>https://herald.example/</link>
<sy:updatePeriod>daily</sy:updatePeriod><sy:updateFrequency>4</sy:updateFrequency></channel>
<item rdf:about="https://herald.example/1"><title>Twelve freed from kiln</title><link>https://herald.example/1</link>
<description>Police freed twelve.</description><dc:date>2026-11-10T15:00:00+03:00</dc:date></item></rdf:RDF>"""
ATOM10 = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xml:lang="ky"><title>Herald</title>
<id>tag:herald.example,2026:feed</id><link href="https://herald.example/"/><link rel="self" href="/atom"/>
<entry><id>tag:herald.example,2026:1</id><title type="html">Twelve &amp;amp; more freed</title>
<link rel="enclosure" href="/1.mp3"/><link rel="alternate" href="https://herald.example/1"/>
<author><name>Aida Osmonova</name><email>a@herald.example</email></author><author><name>B. Author</name></author>
<published>2026-11-10T12:00:00Z</published><updated>2026-11-11T12:00:00Z</updated><summary>Police freed twelve.</summary>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>Police freed twelve <b>workers</b>.</p><p>Two held.</p></div></content>
</entry></feed>"""
ATOM03 = """<feed version="0.3" xmlns="http://purl.org/atom/ns#"><title>Herald</title>
<link rel="alternate" type="text/html" href="https://herald.example/"/>
<entry><title>Twelve freed from kiln</title><link rel="alternate" type="text/html" href="https://herald.example/1"/>
<id>tag:herald.example,2026:1</id><issued>2026-11-10T12:00:00Z</issued><modified>2026-11-11T12:00:00Z</modified></entry></feed>"""


def json_feed(*items: Any, version: str = "https://jsonfeed.org/version/1.1", **more: Any) -> bytes:
    return json.dumps({"version": version, "title": "Herald", "items": list(items), **more}).encode()


JSON_ITEM = {
    "id": "h-1",
    "url": "https://herald.example/1",
    "title": "Twelve freed from kiln",
    "content_html": "<p>Police freed twelve workers.</p><p>Two held.</p>",
    "summary": "Police freed twelve.",
    "date_published": "2026-11-10T15:00:00+03:00",
    "date_modified": "2026-11-11T12:00:00Z",
}


def rss(items: str, head: str = "<link>https://herald.example/</link>", prolog: str = '<?xml version="1.0"?>') -> str:
    return f'{prolog}<rss version="2.0"><channel><title>Herald</title>{head}{items}</channel></rss>'


def item(**fields: str) -> str:
    return "<item>" + "".join(f"<{name}>{value}</{name}>" for name, value in fields.items()) + "</item>"


def parse(feed: str | bytes, **more: Any) -> ParsedFeed:
    return parse_feed(feed.encode() if isinstance(feed, str) else feed, **{"url": URL, "now": NOW, **more})


def only(feed: str | bytes, **more: Any) -> Entry:
    (entry,) = parse(feed, **more).entries
    return entry


# --- formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feed", "version"),
    [
        (RSS091, "rss091u"),
        (RSS092, "rss092"),
        (RSS10, "rss10"),
        (RSS20, "rss20"),
        (ATOM03, "atom03"),
        (ATOM10, "atom10"),
        (json_feed(JSON_ITEM, version="https://jsonfeed.org/version/1"), "json1"),
        (json_feed(JSON_ITEM), "json11"),
    ],
    ids=["rss 0.91", "rss 0.92", "rss 1.0", "rss 2.0", "atom 0.3", "atom 1.0", "json 1.0", "json 1.1"],
)
def test_every_format_is_read_without_a_problem(feed: str | bytes, version: str) -> None:
    parsed = parse(feed)
    assert parsed.version == version
    assert parsed.problems == ()
    assert clean_line(parsed.info.title).endswith("Herald")
    first = parsed.entries[0]
    assert first.url == "https://herald.example/1"
    assert first.title.startswith("Twelve")
    assert first.feed_url == URL


def test_an_rss_2_0_entry_is_read_whole() -> None:
    assert parse(RSS20).entries[0] == Entry(
        feed_url=URL,
        guid="h-1",
        url="https://herald.example/1",
        title="Twelve freed from kiln",
        text="Police freed twelve workers.\n\nTwo foremen were held.",
        authors=("Aida Osmonova",),
        published=NOON,
        language="en",
    )


def test_an_rdf_entry_is_known_by_what_it_is_about() -> None:
    entry = only(RSS10)
    assert (entry.guid, entry.published, entry.problems) == ("https://herald.example/1", NOON, ())


def test_an_atom_entry_is_read_whole() -> None:
    assert only(ATOM10) == Entry(
        feed_url=URL,
        guid="tag:herald.example,2026:1",
        url="https://herald.example/1",
        title="Twelve & more freed",
        text="Police freed twelve workers.\n\nTwo held.",
        authors=("Aida Osmonova", "B. Author"),
        published=NOON,
        updated=NOON + timedelta(days=1),
        language="ky",
    )


def test_the_dates_of_atom_0_3_have_other_names() -> None:
    entry = only(ATOM03)
    assert (entry.published, entry.updated) == (NOON, NOON + timedelta(days=1))


def test_a_json_entry_is_read_whole() -> None:
    feed = json_feed(
        JSON_ITEM | {"authors": [{"name": "Aida Osmonova"}, {"url": "x"}], "language": "ru-RU"}, language="en"
    )
    assert only(feed) == Entry(
        feed_url=URL,
        guid="h-1",
        url="https://herald.example/1",
        title="Twelve freed from kiln",
        text="Police freed twelve workers.\n\nTwo held.",
        authors=("Aida Osmonova",),
        published=NOON,
        updated=NOON + timedelta(days=1),
        language="ru",
    )


def test_a_json_feed_1_0_names_its_one_author_otherwise() -> None:
    feed = json_feed(JSON_ITEM | {"author": {"name": "Aida Osmonova"}}, version="https://jsonfeed.org/version/1")
    assert only(feed).authors == ("Aida Osmonova",)


def test_a_feed_says_of_itself_what_it_is_and_how_often_to_come() -> None:
    info = parse(RSS20).info
    assert (info.title, info.site_url, info.language, info.ttl_s) == (
        "The Herald",
        "https://herald.example/",
        "en",
        2700,
    )
    assert parse(RSS10).info.ttl_s == 86_400 // 4
    assert parse(json_feed(home_page_url="/home", language="ky")).info.site_url == "https://feeds.herald.example/home"


@pytest.mark.parametrize("ttl", ["", "soon", "-5", "1.5", "٣"])
def test_a_ttl_that_is_no_number_is_none(ttl: str) -> None:
    assert parse(rss("", head=f"<ttl>{ttl}</ttl>")).info.ttl_s is None


def test_a_feed_without_entries_is_a_feed() -> None:
    assert parse(rss("")).entries == ()
    assert parse(json_feed()).entries == ()


def test_entries_stay_in_the_order_of_the_feed() -> None:
    titles = ["c", "a", "b"]
    assert [entry.title for entry in parse(rss("".join(item(title=title) for title in titles))).entries] == titles


# --- text and titles --------------------------------------------------------------------------------------------------


def test_the_longer_of_summary_and_content_is_the_text() -> None:
    feed = rss("<item><title>t</title><description>" + "long " * 20 + "</description></item>")
    assert only(feed).text == ("long " * 20).strip()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Five &lt;b&gt;held&lt;/b&gt;", "Five held"),
        ("<![CDATA[Five <b>held</b> &amp; freed]]>", "Five held & freed"),
        ("Q&amp;A: 5 &lt; 7", "Q&A: 5 < 7"),
        ("AT&amp;amp;T", "AT&T"),
        ("Five&#160;held &#8212; police", "Five held — police"),
        ("Five\n   held\u202e", "Five held"),
        ("don&#146;t &#xD83D;&#xDE00;", "don’t 😀"),
    ],
)
def test_a_title_is_one_plain_line(written: str, read: str) -> None:
    assert only(rss(item(title=written))).title == read


def test_scripts_and_markup_never_get_into_a_text() -> None:
    text = "&lt;script&gt;steal()&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;Police &lt;b&gt;freed&lt;/b&gt; them."
    assert only(rss(item(title="t", description=text))).text == "Police freed them."


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("desk@herald.com", ()),
        ("desk@herald.media", ()),
        ("desk@herald.media (Aida Osmonova)", ("Aida Osmonova",)),
        ("Aida Osmonova &lt;aida@herald.media&gt;", ("Aida Osmonova",)),
        ("Aida Osmonova", ("Aida Osmonova",)),
    ],
)
def test_mail_addresses_are_not_taken_for_names(written: str, names: tuple[str, ...]) -> None:
    assert only(rss(item(title="t", author=written))).authors == names


@pytest.mark.parametrize(
    ("written", "read"), [("en-US", "en"), ("RU", "ru"), ("pt_BR", "pt"), ("english", ""), ("", "")]
)
def test_a_language_is_a_bare_code_or_nothing(written: str, read: str) -> None:
    assert only(rss(item(title="t"), head=f"<language>{written}</language>")).language == read
    assert only(json_feed({"id": "1", "language": written})).language == read


# --- links and guids --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "absolute"),
    [
        ("/2026/1", "https://herald.example/2026/1"),
        ("2026/1", "https://herald.example/2026/1"),
        ("?id=1&amp;x=2", "https://herald.example/?id=1&x=2"),
        ("//www.herald.example/1", "https://www.herald.example/1"),
        ("\n https://herald.example/1 \n", "https://herald.example/1"),
    ],
)
def test_a_relative_link_of_rss_is_meant_against_the_site(link: str, absolute: str) -> None:
    assert only(rss(item(title="t", link=link))).url == absolute


def test_a_relative_link_of_rss_without_a_site_is_meant_against_the_feed() -> None:
    assert only(rss(item(title="t", link="/1"), head="")).url == "https://feeds.herald.example/1"


def test_a_relative_link_of_atom_is_meant_against_the_feed_or_its_base() -> None:
    atom = '<feed xmlns="http://www.w3.org/2005/Atom"{}><title>t</title><link href="https://herald.example/"/><entry><link href="1"/></entry></feed>'
    assert only(atom.format("")).url == "https://feeds.herald.example/world/1"
    assert only(atom.format(' xml:base="https://herald.example/en/"')).url == "https://herald.example/en/1"


def test_a_relative_link_of_json_is_meant_against_the_feed() -> None:
    assert only(json_feed({"id": "1", "url": "/1"})).url == "https://feeds.herald.example/1"


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "mailto:desk@herald.example", "ftp://herald.example/1", "data:,x"]
)
def test_a_link_that_is_no_web_address_is_left_out_and_said(link: str) -> None:
    for feed in (rss(item(title="t", link=link, guid="1")), json_feed({"id": "1", "url": link})):
        entry = only(feed)
        assert entry.url == ""
        assert "no web address" in entry.problems[0]


def test_a_guid_that_is_an_address_serves_as_link_where_there_is_none() -> None:
    assert only(rss(item(title="t", guid="https://herald.example/1"))).url == "https://herald.example/1"


@pytest.mark.parametrize("guid", ["h-1", "1234", "urn:uuid:6e8bc430", "post/1"])
def test_a_guid_that_is_no_address_does_not(guid: str) -> None:
    entry = only(rss(item(title="t", guid=guid)))
    assert (entry.guid, entry.url) == (guid, "")


def test_a_missing_guid_is_made_of_the_link_else_of_the_text() -> None:
    with_link = only(rss(item(title="t", link="/1")))
    assert (with_link.guid, with_link.problems) == ("https://herald.example/1", ("no guid",))
    first, again, other = (only(rss(item(title=title, description="d"))).guid for title in ("t", "t", "u"))
    assert first == again != other
    assert first.startswith("digest:")


def test_an_exact_repetition_is_dropped() -> None:
    assert len(parse(rss(item(title="t", guid="1") * 3)).entries) == 1


def test_different_entries_under_one_guid_are_told_apart_the_same_way_each_time() -> None:
    feed = rss(item(title="one", guid="1") + item(title="two", guid="1") + item(title="three", guid="1"))
    first, again = parse(feed).entries, parse(feed).entries
    assert first == again
    assert first[0].guid == "1"
    assert len({entry.guid for entry in first}) == 3
    assert all("its guid is another entry's too" in entry.problems for entry in first[1:])


# --- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Tue, 10 Nov 2026 15:00:00 +0300", NOON),
        ("Tue, 10 Nov 2026 07:00:00 EST", NOON),
        ("10 Nov 26 12:00 GMT", NOON),
        ("Tue, 10 November 2026 12:00:00 GMT", NOON),
        ("Tue Nov 10 2026 15:00:00 GMT+0300 (MSK)", NOON),
        ("Tue, 10 Nov 2026 15:00:00 GMT+3", NOON),
        ("2026-11-10T12:00:00Z", NOON),
        ("2026-11-10T12:00:00.987Z", NOON),
        ("2026-11-10 15:00 +0300", NOON),
        ("2026-11-10", NOON.replace(hour=0)),
        ("2026/11/10", NOON.replace(hour=0)),
        ("20261110", NOON.replace(hour=0)),
        ("2026-11", datetime(2026, 11, 1, tzinfo=UTC)),
        ("10.11.2026 12:00", NOON),
        ("10.11.2026", NOON.replace(hour=0)),
        ("25/10/2026", datetime(2026, 10, 25, tzinfo=UTC)),
        ("Nov 10, 2026", NOON.replace(hour=0)),
        ("Tuesday, November 10, 2026 - 12:00", NOON),
    ],
)
def test_dates_are_read_in_the_forms_that_feeds_use(written: str, read: datetime) -> None:
    entry = only(rss(item(title="t", guid="1", pubDate=written)))
    assert (entry.published, entry.problems) == (read, ())


@pytest.mark.parametrize(
    "written",
    [
        "soon",
        "12:30",
        "Monday",
        "10",
        "May",
        "03/04/2026",
        "10-11-2026",
        "Mon, 30 Feb 2026 10:00:00 GMT",
        "0000-00-00T00:00:00",
        "99999999999999999999",
    ],
)
@pytest.mark.parametrize("now", [NOW, datetime(2031, 4, 3, tzinfo=UTC)])
def test_a_date_that_is_none_or_could_be_two_is_left_out_and_said(written: str, now: datetime) -> None:
    for feed in (rss(item(title="t", guid="1", pubDate=written)), json_feed({"id": "1", "date_published": written})):
        entry = only(feed, now=now)
        assert entry.published is None
        assert entry.problems[0].startswith("published")


def test_an_unknown_zone_is_taken_for_utc_in_silence() -> None:
    assert only(json_feed({"id": "1", "date_published": "Tue, 10 Nov 2026 12:00:00 XYZ"})).published == NOON
    assert only(json_feed({"id": "1", "date_published": "Tue, 10 Nov 2026 15:00:00 MSK"})).published == NOON


def test_a_missing_date_is_none_without_complaint() -> None:
    entry = only(rss(item(title="t", guid="1")))
    assert (entry.published, entry.updated, entry.problems) == (None, None, ())


def test_an_entry_that_was_only_updated_counts_as_published_then() -> None:
    entry = only(ATOM10.replace("<published>2026-11-10T12:00:00Z</published>", ""))
    assert entry.published == entry.updated == NOON + timedelta(days=1)


def test_a_date_in_the_future_is_left_out_but_a_wrong_clock_is_forgiven() -> None:
    tomorrow, later = NOW + timedelta(hours=23), NOW + timedelta(hours=25)
    near, far = (
        only(rss(item(title="t", guid="1", pubDate=f"{when:%Y-%m-%dT%H:%M:%SZ}"))) for when in (tomorrow, later)
    )
    assert near.published == tomorrow
    assert far.published is None
    assert "cannot be true" in far.problems[0]


def test_the_present_is_handed_in() -> None:
    feed = rss(item(title="t", guid="1", pubDate="Tue, 10 Nov 2026 12:00:00 GMT"))
    assert only(feed, now=datetime(2020, 1, 1, tzinfo=UTC)).published is None


def test_the_year_zero_of_computers_is_no_date_of_publication() -> None:
    assert only(rss(item(title="t", pubDate="Thu, 01 Jan 1970 00:00:00 GMT"))).published is None


def test_a_false_date_gives_way_to_a_true_one() -> None:
    entry = only(ATOM10.replace("2026-11-10T12:00:00Z", "2062-11-10T12:00:00Z"))
    assert entry.published == NOON + timedelta(days=1)


# --- encodings --------------------------------------------------------------------------------------------------------

RUSSIAN = item(
    title="Полиция освободила рабочих",
    link="/1",
    description="Двенадцать человек держали в долговой кабале на кирпичном заводе.",
)
LATIN = item(title="Señor Núñez détenu à Orléans – café", link="/1", description="El fiscal pidió siete años.")


def declared(encoding: str) -> str:
    return f'<?xml version="1.0" encoding="{encoding}"?>'


@pytest.mark.parametrize(
    ("prolog", "encoding", "content_type"),
    [
        (declared("windows-1251"), "windows-1251", ""),
        (declared("windows-1251"), "windows-1251", "text/xml"),
        (declared("koi8-r"), "koi8-r", "application/rss+xml"),
        ('<?xml version="1.0"?>', "windows-1251", "text/xml; charset=windows-1251"),
        ('<?xml version="1.0"?>', "windows-1251", ""),
        ("", "windows-1251", "text/xml"),
        ('<?xml version="1.0"?>', "koi8-r", ""),
        (declared("utf-8"), "windows-1251", "text/xml; charset=utf-8"),
        (declared("no-such"), "windows-1251", ""),
        (declared("zlib"), "windows-1251", "text/xml; charset=idna"),
        ('<?xml version="1.0"?>', "utf-8", "text/xml"),
        ("", "utf-8", ""),
        ("", "utf-8-sig", ""),
        (declared("windows-1251"), "utf-8", ""),
        (declared("utf-8"), "utf-8", "text/xml; charset=iso-8859-1"),
        (declared("utf-16"), "utf-16", ""),
        ("", "utf-16", ""),
        (declared("utf-8"), "utf-16", "text/xml; charset=utf-8"),
        (declared("utf-16"), "utf-16-le", ""),
        (declared("utf-16"), "utf-16-be", ""),
        (declared("utf-32"), "utf-32", ""),
    ],
)
def test_cyrillic_is_read_however_it_is_sent_and_called(prolog: str, encoding: str, content_type: str) -> None:
    entry = only(rss(RUSSIAN, prolog=prolog).encode(encoding), content_type=content_type)
    assert entry.title == "Полиция освободила рабочих"
    assert entry.text == "Двенадцать человек держали в долговой кабале на кирпичном заводе."


@pytest.mark.parametrize("prolog", [declared("utf-8"), declared("iso-8859-1"), declared("windows-1252"), ""])
def test_western_letters_are_read_even_where_they_are_called_utf_8(prolog: str) -> None:
    assert only(rss(LATIN, prolog=prolog).encode("windows-1252")).title == "Señor Núñez détenu à Orléans – café"


def test_a_guessed_encoding_is_said() -> None:
    assert "its encoding" in parse(rss(RUSSIAN, prolog=declared("utf-8")).encode("windows-1251")).problems[0]
    assert parse(rss(RUSSIAN)).problems == ()


def test_one_broken_letter_does_not_spoil_the_feed() -> None:
    body = rss(RUSSIAN, prolog=declared("utf-8")).encode().replace("заводе".encode(), b"\xd0\xb7\xd0")
    entry = only(body)
    assert entry.title == "Полиция освободила рабочих"
    assert entry.text.count("\ufffd") == 1


def test_chinese_beyond_the_declared_subset_is_read() -> None:
    feed = rss(item(title="警方解救十二名工人朱镕基"), prolog=declared("gb2312")).encode("gb18030")
    assert only(feed).title == "警方解救十二名工人朱镕基"


def test_a_json_feed_may_begin_with_a_mark_and_hold_broken_letters() -> None:
    assert only(b"\xef\xbb\xbf" + json_feed(JSON_ITEM)).guid == "h-1"
    assert only(json_feed(JSON_ITEM).replace(b"kiln", b"kil\xff")).title == "Twelve freed from kil\ufffd"


# --- broken and hostile -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "feed",
    [
        RSS20[: RSS20.index("<item><title>Boat") + 80],
        RSS20.replace("</item>", "", 1),
        RSS20.replace("Twelve freed", "Twelve & more freed"),
        RSS20.replace("Twelve freed", "Twelve &nbsp; freed"),
        RSS20.replace("Twelve freed", "Twelve \x0b freed"),
        RSS20.replace("Twelve freed", "Twelve \x00 freed"),
        RSS20.replace("Twelve freed", "Twelve &#x110000; &#xD800; &#1; freed"),
        RSS20.replace("</channel>", "</chanel>"),
        RSS20.replace("<dc:creator>", "<undeclared:x a=1 b><dc:creator>"),
        RSS20.replace("<guid ", "<feedburner:origLink a='b'/><language a='b'>c</language><guid ", 1),
        "\n\n " + RSS20,
        "<br />\n<b>Warning</b>: mysql_connect() failed\n" + RSS20,
        RSS20 + "<!-- cached --><script>",
        RSS20.replace("<rss ", "<!DOCTYPE rss SYSTEM 'http://127.0.0.1:9/rss.dtd'><rss "),
    ],
    ids="cut,unclosed,ampersand,entity,control,zero,references,mismatch,prefix,attributes,space,warning,tail,doctype".split(
        ","
    ),
)
def test_what_can_be_taken_from_a_broken_feed_is_taken(feed: str) -> None:
    parsed = parse(feed)
    assert parsed.entries[0].url == "https://herald.example/1"
    assert parsed.entries[0].title.startswith("Twelve")
    assert parsed.entries[0].published == NOON


def test_what_was_broken_is_said() -> None:
    assert parse(RSS20.replace("</channel>", "</chanel>")).problems
    assert parse(json_feed(JSON_ITEM, "no object")).problems == ("some items are no objects, left out",)


@pytest.mark.parametrize("body", [b"", b" \r\n\t "])
def test_an_empty_body_is_refused_as_such(body: bytes) -> None:
    with pytest.raises(FeedError) as caught:
        parse(body)
    assert (caught.value.reason, caught.value.subject) == ("empty", URL)


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><html><head><title>Herald</title><link rel=alternate href=/rss></head><body><p>News</p></body></html>",
        b"<html><body><item><title>x</title></item></body></html>",
        b'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>https://e.org/</loc></url></urlset>',
        b'<opml version="2.0"><body><outline xmlUrl="https://e.org/rss"/></body></opml>',
        b"only words",
        b"\x89PNG\r\n\x1a\n" + bytes(50),
        b"%PDF-1.7",
        b"\x1f\x8b\x08\x00rest",
        b"{",
        b"{}",
        b"[]",
        b'{"version": "https://jsonfeed.org/version/1.1"}',
        b'{"version": "2.0", "items": []}',
        b'{"version": "https://jsonfeed.org/version/1.1", "items": {}}',
        b"[" * 100_000,
        b'{"version": "https://jsonfeed.org/version/1.1", "items": [{"id": ' + b"9" * 5_000 + b"}]}",
    ],
)
def test_what_is_no_feed_is_refused_as_such(body: bytes) -> None:
    with pytest.raises(FeedError) as caught:
        parse(body)
    assert (caught.value.reason, caught.value.subject) == ("not_a_feed", URL)


@pytest.mark.parametrize(
    "value",
    [None, True, 7, 1.5, [], {}, [[]], "\ud800", "x" * 100_000, {"name": {"name": "x"}}],
    ids=lambda value: repr(value)[:12],
)
@pytest.mark.parametrize(
    "name", ["id", "url", "title", "content_html", "summary", "date_published", "authors", "author", "language"]
)
def test_a_json_field_of_the_wrong_kind_does_no_harm(name: str, value: Any) -> None:
    entry = only(json_feed(JSON_ITEM | {name: value}))
    assert entry.guid
    assert isinstance(entry.title + entry.text + entry.url + entry.language, str)


def bomb() -> str:
    entities = '<!ENTITY e0 "lol">' + "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    return rss(item(title="&e9;", description="&e9;"), prolog=f'<?xml version="1.0"?><!DOCTYPE rss [{entities}]>')


def quadratic_bomb() -> str:
    prolog = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "{"x" * 100_000}">]>'
    return rss(item(title="&a;" * 30_000, description="&a;" * 30_000), prolog=prolog)


@pytest.mark.parametrize("feed", [bomb(), quadratic_bomb()], ids=["billion laughs", "quadratic"])
def test_an_entity_bomb_stays_small(feed: str) -> None:
    tracemalloc.start()
    try:
        entry = only(feed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200_000_000
    assert len(entry.title) + len(entry.text) < 1_000_000


def test_no_file_is_opened_for_an_entity(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    prolog = f'<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY e SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    assert "secret" not in repr(parse(rss(item(title="a&e;b", description="&e;"), prolog=prolog)))


@pytest.mark.parametrize(
    "text",
    [
        "&lt;a " + " ".join(f"a{i}=1" for i in range(60_000)) + "&gt;after",
        "&lt;div&gt;" * 60_000 + "after",
        "&lt;" * 200_000,
        "<![CDATA[" + "<b>" * 100_000 + "]]>",
    ],
    ids=["60,000 attributes", "60,000 nested tags", "200,000 brackets", "100,000 tags in CDATA"],
)
def test_a_hostile_text_ends_as_an_entry(text: str) -> None:
    assert only(rss(item(title="t", guid="1", description=text))).guid == "1"
    assert only(json_feed({"id": "1", "content_html": text.replace("&lt;", "<").replace("&gt;", ">")})).guid == "1"


def test_a_title_has_an_end() -> None:
    assert len(only(rss(item(title="word " * 100_000))).title) <= 10_000


def test_of_six_thousand_entries_the_newest_five_thousand_are_kept_in_order() -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    shuffled = [(number * 7919) % 6000 for number in range(6000)]
    feed = json_feed(*({"id": str(n), "date_published": (start + timedelta(minutes=n)).isoformat()} for n in shuffled))
    parsed = parse(feed)
    assert [int(entry.guid) for entry in parsed.entries] == [n for n in shuffled if n >= 1000]
    assert parsed.problems == ("6000 entries, of which the newest 5000 were kept",)


def test_undated_entries_beyond_the_limit_are_taken_from_the_top() -> None:
    feed = rss("".join(item(title="t", guid=str(number)) for number in range(6000)))
    assert [entry.guid for entry in parse(feed).entries] == [str(number) for number in range(5000)]


WHOLE = [
    feed.encode() if isinstance(feed, str) else feed
    for feed in (RSS092, RSS10, RSS20, ATOM03, ATOM10, json_feed(JSON_ITEM))
]
PIECES = [
    b"<", b">", b"&", b'"', b"]]>", b"<![CDATA[", b"<!--", b"<?xml ", b"&#x110000;", b"&#xD800;", b"&#0;", b"\x00", b"\xff", b"\xd0",
    b' xml:base="http://["', b' encoding="\xff"', b' mode="base64"', b' type="application/xml"', b"<item>", b"</item>", b"<entry>",
    b"http://[", b"9999999999", b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"<width>", b"<textInput/>", b"null", b"{", b"[", b"\\ud800", b"-",
]  # fmt: skip
CUTS = st.tuples(st.integers(0, 4000), st.integers(0, 200), st.sampled_from(PIECES) | st.binary(max_size=8))


@given(st.sampled_from(WHOLE), st.lists(CUTS, min_size=1, max_size=6), st.sampled_from(["", URL, "http://["]))
@example(WHOLE[2], [(20, 0, b' xml:base="http://["')], "http://[")
@example(WHOLE[2], [(60, 0, b"&#x110000;</item>")], URL)
@example(WHOLE[2], [(len(WHOLE[2]) - 20, 0, b"<image><width></image>")], URL)
@settings(deadline=None, max_examples=300)
def test_a_mutated_feed_is_read_or_refused_and_what_is_read_is_sound(
    body: bytes, cuts: list[tuple[int, int, bytes]], url: str
) -> None:
    for start, length, piece in cuts:
        at = start % (len(body) + 1)
        body = body[:at] + piece + body[at + length :]
    try:
        parsed = parse_feed(body, url=url, now=NOW)
    except FeedError as error:
        assert error.reason in ("not_a_feed", "empty")  # noqa: PT017 - either outcome is right
        return
    guids = [entry.guid for entry in parsed.entries]
    assert all(guids)
    assert len(set(guids)) == len(guids)
    for entry in parsed.entries:
        assert entry.title == clean_line(entry.title)
        assert entry.url == "" or entry.url.lower().startswith(("http://", "https://"))
        assert entry.published is None or entry.published <= NOW + timedelta(days=1)


@given(st.binary(max_size=200), st.text(max_size=30))
@settings(deadline=None)
def test_any_bytes_under_any_content_type_are_read_or_refused(body: bytes, content_type: str) -> None:
    try:
        assert parse_feed(body, content_type=content_type, now=NOW).entries is not None
    except FeedError as error:
        assert error.reason in ("not_a_feed", "empty")  # noqa: PT017 - either outcome is right


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40),
    st.sampled_from(["pubDate", "dc:date", "date_published"]),
)
@example("10 \u0661", "date_published")
@example("2026-11-10T10:00:00+99:99", "date_published")
@example("1e99999999", "date_published")
@settings(deadline=None)
def test_any_text_is_a_date_or_none(text: str, name: str) -> None:
    if name == "date_published":
        entry = only(json_feed({"id": "1", name: text}))
    else:
        escaped = text.replace("&", "&amp;").replace("<", "&lt;")
        feed = rss(f"<item><guid>1</guid><{name}>{escaped}</{name}></item>").replace(
            "<rss ", '<rss xmlns:dc="http://purl.org/dc/elements/1.1/" '
        )
        entry = only(feed)
    assert entry.published is None or entry.published.tzinfo is UTC


# --- real feeds -------------------------------------------------------------------------------------------------------

ADDRESS_AS_LINK = "an Atom id or RSS guid that is a web address serves as link where there is none"
RIGHTFUL = {
    "examples-222780a7": ({"url", "published"}, f"{ADDRESS_AS_LINK}; a fraction of a second is dropped"),
    "examples-30493cdf": ({"url"}, ADDRESS_AS_LINK),
    "examples-32515ea0": ({"url"}, ADDRESS_AS_LINK),
    "examples-232baf9b": ({"url"}, "no closing slash is added to an address"),
    "examples-252e034a": ({"url"}, "a malformed href is kept as it stands"),
    "examples-aeca006f": ({"count"}, "an exact repetition within one feed is dropped"),
}


@pytest.mark.skipif("NEWSWATCH_EVAL" not in os.environ, reason="NEWSWATCH_EVAL names no folder of real data")
def test_links_titles_and_dates_of_real_feeds_agree_with_another_parser() -> None:
    differences: dict[str, set[str]] = {}
    paths = sorted(Path(os.environ["NEWSWATCH_EVAL"], "feeds").glob("*.expected.json"))
    assert len(paths) == 45
    for path in paths:
        name = path.name.removesuffix(".expected.json")
        expected = json.loads(path.read_text(encoding="utf-8"))
        items = expected["feed"]["items"]
        entries = parse_feed(path.with_name(f"{name}.xml").read_bytes(), url=expected["url"]).entries
        found = {"count"} if len(items) != len(entries) else set()
        for theirs, ours in zip(items, entries, strict=False):
            date = theirs["published"] or theirs["updated"]
            published = datetime.fromisoformat(date) if date else None
            found |= {"url"} if (theirs["url"] or "") != ours.url else set()
            found |= {"title"} if clean_line(theirs["title"]) != ours.title else set()
            found |= {"published"} if published != ours.published else set()
        if found:
            differences[name] = found
    assert differences == {name: fields for name, (fields, _) in RIGHTFUL.items()}

"""Lists of feeds as OPML."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswatch.exceptions import InputError
from newswatch.opml import read_opml, write_opml
from newswatch.records import FeedLink
from newswatch.text import clean_line


def opml(outlines: str, prolog: str = '<?xml version="1.0"?>') -> str:
    return f'{prolog}<opml version="2.0"><head><title>Mine</title></head><body>{outlines}</body></opml>'


def urls(data: bytes) -> list[str]:
    return [link.url for link in read_opml(data)]


def test_folders_are_flattened_in_order_and_each_feed_comes_once() -> None:
    data = opml(
        '<outline text="Asia"><outline text="Kyrgyzstan"><outline xmlUrl="https://a.example/rss"/></outline>'
        '<outline xmlUrl="https://b.example/rss"/></outline><outline xmlUrl="https://a.example/rss" text="again"/>'
    )
    assert urls(data.encode()) == ["https://a.example/rss", "https://b.example/rss"]


def test_a_feed_has_its_title_and_site() -> None:
    data = opml(
        '<outline type="rss" text="A &amp; B\n" xmlUrl=" https://a.example/rss " htmlUrl="https://a.example/"/>'
    )
    assert read_opml(data.encode()) == (
        FeedLink(url="https://a.example/rss", title="A & B", site_url="https://a.example/"),
    )


@pytest.mark.parametrize(
    "outline", ['<outline XMLURL="{}"/>', '<Outline xmlUrl="{}"/>', '<OUTLINE XmlUrl="{}"></OUTLINE>']
)
def test_the_case_of_names_does_not_matter(outline: str) -> None:
    assert urls(opml(outline.format("https://a.example/rss")).encode()) == ["https://a.example/rss"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_undeclared_encoding_of_unicode_is_read(encoding: str) -> None:
    data = opml('<outline text="Вестник" xmlUrl="https://a.example/rss"/>', prolog="").encode(encoding)
    assert read_opml(data)[0].title == "Вестник"


def test_a_declared_encoding_is_read() -> None:
    prolog = '<?xml version="1.0" encoding="windows-1251"?>'
    data = opml('<outline text="Вестник" xmlUrl="https://a.example/rss"/>', prolog).encode("windows-1251")
    assert read_opml(data)[0].title == "Вестник"


def test_a_bare_ampersand_in_an_address_stays() -> None:
    data = opml('<outline text="A & B &amp; C" xmlUrl="https://a.example/?feed=rss&cat=2&amp;x=&#49;"/>')
    assert read_opml(data.encode()) == (FeedLink(url="https://a.example/?feed=rss&cat=2&x=1", title="A & B & C"),)


def test_what_can_be_read_of_a_broken_file_is_read() -> None:
    data = opml('<outline xmlUrl="https://a.example/rss"><outline xmlUrl="https://b.example/rss"/>').removesuffix(
        "</body></opml>"
    )
    assert urls(b"\n " + data.encode()) == ["https://a.example/rss", "https://b.example/rss"]


def test_a_list_without_feeds_is_empty() -> None:
    assert read_opml(opml('<outline text="only a folder"/>').encode()) == ()


@pytest.mark.parametrize(
    "data", [b"", b" \n", b"text", b"<rss/>", b"<html><outline xmlUrl='https://a.example/'/></html>", b"{}", b"\xff\xfe<", bytes(9)]
)  # fmt: skip
def test_what_is_no_opml_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_opml(data, name="feeds.opml")
    assert (caught.value.subject, caught.value.reason) == ("feeds.opml", "not_opml")


def test_an_entity_bomb_is_not_expanded() -> None:
    entities = '<!ENTITY e0 "lol">' + "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    data = opml(
        '<outline text="&e9;" xmlUrl="https://a.example/rss"/>', f'<?xml version="1.0"?><!DOCTYPE opml [{entities}]>'
    )
    assert sum(len(link.title) for link in read_opml(data.encode())) < 10_000


def test_no_file_is_opened_for_an_entity(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "secret").write_text("secret")
    prolog = f'<?xml version="1.0"?><!DOCTYPE opml [<!ENTITY e SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    data = opml('<outline text="a" xmlUrl="https://a.example/rss">&e;</outline>', prolog)
    assert "secret" not in repr(read_opml(data.encode()))


LINKS = st.builds(
    FeedLink,
    url=st.text(min_size=1).filter(clean_line).map(clean_line),
    title=st.text().map(clean_line),
    site_url=st.text().map(clean_line),
)


@given(st.lists(LINKS, unique_by=lambda link: link.url))
def test_what_is_written_is_read_back(links: list[FeedLink]) -> None:
    named = tuple(FeedLink(url=one.url, title=one.title or one.url, site_url=one.site_url) for one in links)
    assert read_opml(write_opml(links)) == named


def test_what_xml_cannot_hold_is_left_out_in_writing() -> None:
    link = FeedLink(url="https://a.example/\x01", title="A\uffff\ud800", site_url="https://a.example/\x02")
    assert read_opml(write_opml([link], title="\x03Mine")) == (
        FeedLink(url="https://a.example/", title="A\ufffd", site_url="https://a.example/"),
    )


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda noise: b"<opml><body>" + noise + b"</body></opml>"))
def test_any_bytes_are_a_list_or_refused(data: bytes) -> None:
    try:
        assert isinstance(read_opml(data), tuple)
    except InputError as error:
        assert error.reason == "not_opml"  # noqa: PT017 - either outcome is right

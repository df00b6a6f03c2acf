"""URLs: canonical form, sources, and which addresses may be reached."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from newswatch.exceptions import ConfigError, InputError
from newswatch.urls import (
    address_allowed,
    canonical_url,
    check_url,
    feed_key,
    host_of,
    join_url,
    parse_networks,
    source_of,
)

PARTS = st.text(alphabet="abz09%+-._~!$&'()*,;=:@/?пñ中 ", max_size=30)
WEB_URLS = st.builds("{}://{}{}/{}".format, st.sampled_from(["http", "HTTPS"]), st.sampled_from(["e.org", "E.org", "пример.рф"]), st.sampled_from(["", ":443", ":8080"]), PARTS)  # fmt: skip
TRACKING = ["utm_source=rss", "UTM_Medium=x", "fbclid=Iw%20AR", "gclid", "mc_eid=1", "%75tm_campaign=a", "at_medium=x"]


# --- canonical form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("HTTPS://Example.org:443/a?utm_source=rss&id=7#top", "https://example.org/a?id=7"),
        ("http://example.org:80/", "http://example.org/"),
        ("http://example.org:8080/", "http://example.org:8080/"),
        (" http://example.org/a ", "http://example.org/a"),
        ("http://example.org/a b", "http://example.org/a%20b"),
        ("http://example.org/a\n  b", "http://example.org/a%20b"),
        ("http://example.org/новости?q=суд", "http://example.org/%D0%BD%D0%BE%D0%B2%D0%BE%D1%81%D1%82%D0%B8?q=%D1%81%D1%83%D0%B4"),
        ("http://пример.рф/", "http://xn--e1afmkfd.xn--p1ai/"),
        ("http://user:secret@example.org/a", "http://example.org/a"),
        ("http://example.org/a/../b/./c", "http://example.org/b/c"),
        ("http://example.org/?", "http://example.org/"),
        ("http://example.org/?utm_source=a&utm_medium=b", "http://example.org/"),
        ("http://[2001:DB8::1]:80/a", "http://[2001:db8::1]/a"),
    ],
)  # fmt: skip
def test_an_address_has_one_spelling(url: str, canonical: str) -> None:
    assert canonical_url(url) == canonical


@given(WEB_URLS)
@example("http://e.org/%zz?%")
@example("http://e.org/?a=%26&b=%3D")
def test_a_canonical_address_is_its_own_canonical_form(url: str) -> None:
    once = canonical_url(url)
    assert canonical_url(once) == once
    assert once.isascii()


@given(WEB_URLS, st.lists(st.sampled_from(TRACKING), min_size=1, max_size=3))
@example("http://e.org/?id", ["utm_source=rss"])
@example("http://e.org/?q=a%20b;c=+", ["gclid"])
def test_an_address_with_tracking_is_the_same_as_without(url: str, tracking: list[str]) -> None:
    assume(not url.endswith("&") and url == url.strip())
    mark = "&" if "?" in url else "?"
    assert canonical_url(url + mark + "&".join(tracking)) == canonical_url(url)


@pytest.mark.parametrize(
    "query", ["id=7&cid=3&eid=1", "ref=home", "b=2&a=1", "q=a+b", "q=a%2Bb", "a=1;b=2", "id", "x=utm_source"]
)
def test_parameters_that_may_name_the_article_stay_as_they_are(query: str) -> None:
    assert canonical_url(f"https://example.org/a?{query}") == f"https://example.org/a?{query}"


@pytest.mark.parametrize(
    "url",
    [
        "", "example.org", "/a", "//example.org/a", "ftp://example.org/a", "mailto:a@example.org", "javascript:1",
        "data:text/html,x", "file:///etc/passwd", "http://", "http:///a", "http:example.org", "http://:80/", "http://[::1",
        "http://example.org:99999/", "http://example.org:port/", "http://\ud800/", "http://example.org\\@evil.example/",
    ],
)  # fmt: skip
def test_what_is_no_web_address_is_refused_by_name(url: str) -> None:
    with pytest.raises(InputError) as caught:
        canonical_url(url)
    assert caught.value.subject == url
    assert caught.value.reason == "bad_url"


@given(st.text() | st.builds("http://{}".format, st.text()))
@example("http://[v1.x]/")
@example("http://e.org:\u0661/")
def test_no_text_breaks_the_reader_of_addresses(text: str) -> None:
    for read in (canonical_url, check_url, feed_key):
        try:
            read(text)
        except InputError as error:
            if read is check_url:
                assert error.subject == text  # noqa: PT017 - either outcome is right
    host_of(text)
    source_of(text)
    join_url(text, text)


@pytest.mark.parametrize("url", ["http://example.org/a b", "http://example.org/a\tb", "http://example.org/\x7f"])
def test_a_request_is_not_made_with_spaces_or_controls(url: str) -> None:
    with pytest.raises(InputError):
        check_url(url)


def test_a_checked_address_loses_its_fragment_and_nothing_else() -> None:
    assert check_url(" HTTP://Example.org/A?b=C#d ") == "HTTP://Example.org/A?b=C"


# --- feeds, links, sources --------------------------------------------------------------------------------------------


def test_one_feed_has_one_key_however_it_is_subscribed() -> None:
    spellings = ["http://example.org/feed", "https://www.example.org/feed/", "https://EXAMPLE.org/feed#x"]
    assert {feed_key(url) for url in spellings} == {"example.org/feed"}


def test_feeds_told_apart_by_a_parameter_are_two() -> None:
    assert feed_key("https://example.org/?feed=rss&cat=1") != feed_key("https://example.org/?feed=rss&cat=2")


@pytest.mark.parametrize(
    ("base", "link", "joined"),
    [
        ("https://example.org/news/rss", "/a", "https://example.org/a"),
        ("https://example.org/news/rss", " a ", "https://example.org/news/a"),
        ("https://example.org/news/", "//cdn.example/a", "https://cdn.example/a"),
        ("https://example.org/", "http://[broken", "http://[broken"),
        ("", "/a", "/a"),
    ],
)
def test_a_link_is_made_absolute_where_it_can_be(base: str, link: str, joined: str) -> None:
    assert join_url(base, link) == joined


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://news.bbc.co.uk/story", "bbc.co.uk"),
        ("https://www.example.org./a", "example.org"),
        ("https://kaktus.media:8443/doc", "kaktus.media"),
        ("https://news.example.com.kg/a", "example.com.kg"),
        ("https://новости.пример.рф/", "пример.рф"),
        ("https://news.xn--e1afmkfd.xn--p1ai/", "xn--e1afmkfd.xn--p1ai"),
        ("http://www.intranet/a", "intranet"),
        ("http://127.0.0.1:8000/a", "127.0.0.1"),
        ("http://[2001:db8::1]/a", "2001:db8::1"),
        ("no address", ""),
        ("http://[::1", ""),
    ],
)
def test_the_source_is_who_registered_the_domain(url: str, source: str) -> None:
    assert source_of(url) == source


def test_a_host_is_in_lower_case_without_port_and_last_dot() -> None:
    assert host_of("https://News.Example.ORG.:443/a") == "news.example.org"


# --- which addresses may be reached -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", "8.8.8.8 172.32.0.1 2606:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::".split()
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert address_allowed(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.2.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12::1", "ff02::1", "ff0e::1", "2001:db8::1", "100::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe", "::ffff:0:127.0.0.1",
        "localhost", "127.1", "0x7f.0.0.1", "2130706433", "", "127.0.0.1:80",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_or_no_addresses_are_refused(address: str) -> None:
    assert not address_allowed(address)


@given(st.ip_addresses(v=4).filter(lambda ip: not ip.is_global))
def test_no_private_address_gets_through_inside_ipv6(ip: ipaddress.IPv4Address) -> None:
    number = int(ip)
    wrapped = [
        ipaddress.IPv6Address(0xFFFF << 32 | number),
        ipaddress.IPv6Address((0x64FF9B << 96) | number),
        ipaddress.IPv6Address((0x2002 << 112) | (number << 80)),
        ipaddress.IPv6Address((0x20010000 << 96) | (number ^ 0xFFFFFFFF)),
    ]
    assert not any(address_allowed(str(one)) for one in [ip, *wrapped])


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "fd00::7"])
def test_a_network_the_user_names_is_reached(address: str) -> None:
    assert address_allowed(address, parse_networks(["127.0.0.0/8", "fd00::/8"]))


def test_a_named_network_opens_no_other() -> None:
    allowed = parse_networks(["127.0.0.0/8"])
    assert not address_allowed("10.0.0.1", allowed)
    assert not address_allowed("::1", allowed)


def test_networks_are_read_with_or_without_their_host_bits() -> None:
    assert parse_networks([" 10.1.2.3/8 ", "::1"]) == (
        ipaddress.ip_network("10.0.0.0/8"),
        ipaddress.ip_network("::1/128"),
    )


@pytest.mark.parametrize("value", ["", "localhost", "10.0.0.0/33", "300.0.0.0/8", "10.0.0.0/8, 127.0.0.0/8"])
def test_what_is_no_network_is_refused_by_name(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_networks(["10.0.0.0/8", value])
    assert caught.value.subject == value


@given(WEB_URLS)
def test_an_article_keeps_its_host_and_scheme_when_canonical(url: str) -> None:
    canonical = urlsplit(canonical_url(url))
    assert canonical.scheme == urlsplit(url).scheme.lower()
    assert canonical.hostname in ("e.org", "xn--e1afmkfd.xn--p1ai")

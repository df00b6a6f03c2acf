"""robots.txt: what a host allows us, also where the file is odd, cut off or hostile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswatch.robots import MAX_ROBOTS_BYTES, Robots, read_robots, robots_url

AGENT = "newswatch/1.2.3 (+https://example.org/bot)"


def rules(text: str) -> Robots:
    return read_robots(200, text.encode())


def allowed(text: str, path: str = "/news/1") -> bool:
    return rules(text).allows(f"https://h.test{path}", AGENT)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://h.test/a/b?c=d", "https://h.test/robots.txt"),
        ("http://h.test", "http://h.test/robots.txt"),
        ("http://h.test:8080/a", "http://h.test:8080/robots.txt"),
        ("http://ann:secret@h.test/a", "http://h.test/robots.txt"),
        ("http://[2001:db8::1]:81/a", "http://[2001:db8::1]:81/robots.txt"),
        ("http://h.test?q=/robots", "http://h.test/robots.txt"),
    ],
)
def test_the_rules_lie_at_the_root_of_scheme_host_and_port(url: str, place: str) -> None:
    assert robots_url(url) == place


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429, 499])
def test_a_client_error_allows_all(status: int) -> None:
    robots = read_robots(status, b"User-agent: *\nDisallow: /\n")
    assert robots.allows("https://h.test/a", AGENT)
    assert robots.delay_s(AGENT) == 0.0


@pytest.mark.parametrize("status", [500, 502, 503, 599, None])
def test_a_server_error_or_no_answer_allows_nothing(status: int | None) -> None:
    robots = read_robots(status, b"User-agent: *\nAllow: /\n")
    assert not robots.allows("https://h.test/a", AGENT)
    assert robots.rules is None
    assert not robots.open_to_all


@pytest.mark.parametrize(
    "text",
    ["", "\n\n# nothing\n", "User-agent: *\nDisallow:\n", "<!DOCTYPE html><html><body>Not here</body></html>"],
)
def test_a_file_without_rules_allows_all(text: str) -> None:
    assert allowed(text)


def test_a_path_that_is_disallowed_for_all_is_disallowed_for_us() -> None:
    text = "User-agent: *\nDisallow: /private/\n"
    assert not allowed(text, "/private/1")
    assert allowed(text, "/public/1")


def test_the_longest_rule_wins_and_allow_wins_a_tie() -> None:
    text = "User-agent: *\nDisallow: /a/\nAllow: /a/open/\nDisallow: /same\nAllow: /same\n"
    assert not allowed(text, "/a/1")
    assert allowed(text, "/a/open/1")
    assert allowed(text, "/same")


def test_wildcards_and_the_end_sign_are_understood() -> None:
    text = "User-agent: *\nDisallow: /*?print=\nDisallow: /*.pdf$\n"
    assert not allowed(text, "/news/1?print=yes")
    assert not allowed(text, "/a.pdf")
    assert allowed(text, "/a.pdf?x")


def test_the_query_and_letters_of_other_scripts_are_compared_in_either_spelling() -> None:
    text = "User-agent: *\nDisallow: /straße\nDisallow: /caf%C3%A9\n"
    assert not allowed(text, "/stra%C3%9Fe")
    assert not allowed(text, "/café")


def test_robots_txt_itself_is_always_allowed() -> None:
    assert allowed("User-agent: *\nDisallow: /\n", "/robots.txt")


@pytest.mark.parametrize(
    "name", ["newswatch", "NewsWatch", "NEWSWATCH", "newswatch/1.0", "newswatch*", " newswatch # us"]
)
def test_rules_in_our_name_go_before_those_for_all(name: str) -> None:
    assert allowed(f"User-agent: *\nDisallow: /\n\nUser-agent: {name}\nDisallow: /private\n")
    assert not allowed(f"User-agent: *\nDisallow:\n\nUser-agent: {name}\nDisallow: /\n")


@pytest.mark.parametrize(
    "name", ["news", "newswatch2", "newswatcher", "newswatch-bot", "watch", "bot", "https", "example", "others", "*bot"]
)
def test_rules_in_another_name_are_not_ours_though_ours_or_the_contact_holds_it(name: str) -> None:
    assert allowed(f"User-agent: {name}\nDisallow: /\n")
    assert not allowed(f"User-agent: {name}\nAllow: /\n\nUser-agent: *\nDisallow: /\n")


def test_the_contact_in_our_agent_is_no_name_of_ours() -> None:
    robots = rules("User-agent: otherbot\nDisallow: /\nCrawl-delay: 5\n")
    for contact in ("https://example.org/otherbot", "https://example.org/others", "otherbot"):
        agent = f"newswatch/1.2.3 (+{contact})"
        assert robots.allows("https://h.test/a", agent)
        assert robots.delay_s(agent) == 0.0


def test_a_group_may_name_several_robots() -> None:
    text = "User-agent: otherbot\nUser-agent: newswatch\nUser-agent: thirdbot\nDisallow: /a\n\nUser-agent: x\nDisallow: /b\n"
    assert not allowed(text, "/a")
    assert allowed(text, "/b")


def test_groups_in_our_name_are_taken_together() -> None:
    text = "User-agent: newswatch\nDisallow: /a\n\nUser-agent: x\nDisallow: /b\n\nUser-agent: newswatch\nDisallow: /c\n"
    assert [allowed(text, path) for path in ("/a", "/b", "/c")] == [False, True, False]


@pytest.mark.parametrize(
    "line", ["User-agent *", "user agent: *", "USERAGENT:*", "\tUser-Agent :\t*  # all", "User  agent *"]
)
def test_sloppy_spellings_of_the_agent_line_count(line: str) -> None:
    assert not allowed(f"{line}\nDisallow: /\n")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_and_a_byte_order_mark_are_understood(end: str) -> None:
    body = b"\xef\xbb\xbf" + end.join(["User-agent: *", "Disallow: /private"]).encode()
    assert not read_robots(200, body).allows("https://h.test/private", AGENT)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5", 5.0), ("2.5", 2.5), ("30", 30.0), ("31", 30.0), ("86400", 30.0), ("1e9", 30.0), ("0", 0.0)],
)
def test_a_crawl_delay_is_taken_up_to_thirty_seconds(value: str, seconds: float) -> None:
    assert rules(f"User-agent: *\nCrawl-delay: {value}\n").delay_s(AGENT) == seconds


@pytest.mark.parametrize("value", ["-5", "nan", "inf", "1e400", "soon", "5 s", ""])
def test_a_crawl_delay_that_makes_no_sense_is_none(value: str) -> None:
    assert rules(f"User-agent: *\nCrawl-delay: {value}\n").delay_s(AGENT) == 0.0


def test_the_crawl_delay_of_other_robots_is_not_ours() -> None:
    text = "User-agent: slowbot\nCrawl-delay: 20\n\nUser-agent: newswatch\nCrawl-delay: 3\n\nUser-agent: *\nCrawl-delay: 9\n"
    assert rules(text).delay_s(AGENT) == 3.0


def padded(tail: bytes, before: int) -> bytes:
    """A file whose ``tail`` begins ``before`` bytes ahead of the limit."""
    head = b"User-agent: *\nDisallow: /first\n"
    return head + b"#" * (MAX_ROBOTS_BYTES - before - len(head) - 1) + b"\n" + tail


def test_rules_within_the_limit_are_read_and_those_after_it_are_not() -> None:
    robots = read_robots(200, padded(b"Disallow: /last\nDisallow: /after\n", before=16))
    assert [robots.allows(f"https://h.test/{name}", AGENT) for name in ("first", "last", "after")] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("cut", [len("Disallow: /"), len("Disallow: /pri")])
def test_a_rule_cut_off_at_the_limit_does_not_forbid_more_than_it_meant(cut: int) -> None:
    body = padded(b"Disallow: /private/deep\n", before=cut)
    for arrived in (body, body[:MAX_ROBOTS_BYTES]):
        robots = read_robots(200, arrived)
        assert robots.allows("https://h.test/press", AGENT)
        assert robots.allows("https://h.test/prices", AGENT)
        assert not robots.allows("https://h.test/first", AGENT)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            "".join(f"User-agent: {n}\n" for n in range(12_000)) + "".join(f"Disallow: /{n}\n" for n in range(16_000)),
            id="every rule for every name",
        ),
        pytest.param(
            "User-agent: *\n" + "".join(f"Disallow: /*a*a*a*a*{n}$\n" for n in range(19_000)), id="many wildcards"
        ),
        pytest.param("User-agent: *\nDisallow: /" + "*a" * 200_000 + "b$\n", id="one rule of wildcards"),
        pytest.param("User-agent: *\nDisallow: /" + "$" * 400_000, id="dollars"),
        pytest.param("User-agent:" + "\t" * 400_000 + "x", id="spaces"),
        pytest.param("user" + " " * 400_000 + "x", id="spaces inside"),
    ],
)
def test_a_hostile_file_costs_little(text: str) -> None:
    assert len(text) < MAX_ROBOTS_BYTES
    robots = rules(text)
    for _ in range(20):
        assert robots.allows("https://h.test/" + "a" * 2000, AGENT)


lines = st.lists(
    st.sampled_from(["User-agent: *", "User-agent: newswatch", "Disallow: ", "Allow: ", "Crawl-delay: "]).flatmap(
        lambda head: st.text(max_size=8).map(lambda tail: head + tail)
    )
)


@given(st.one_of(st.binary(), lines.map(lambda parts: "\n".join(parts).encode(errors="replace"))), st.text())
def test_no_file_and_no_address_makes_it_fail(body: bytes, path: str) -> None:
    robots = read_robots(200, body)
    assert robots.allows(f"https://h.test/{path}", AGENT) in (True, False)
    assert 0.0 <= robots.delay_s(AGENT) <= 30.0


@given(st.lists(st.text("abcdefgh-_", min_size=1, max_size=12), min_size=1, max_size=5), st.text("/ab*$", max_size=6))
def test_what_is_said_to_other_robots_changes_nothing_for_us(names: list[str], path: str) -> None:
    ours = "User-agent: *\nDisallow: /a/b\nCrawl-delay: 7\n"
    others = "".join(f"User-agent: {name}\n" for name in names) + f"Disallow: {path}\nCrawl-delay: 1\n"
    for text in (f"{ours}\n{others}", f"{others}\n{ours}"):
        assert [allowed(text, there) for there in ("/a/b", "/a", "/")] == [False, True, True]
        assert rules(text).delay_s(AGENT) == 7.0

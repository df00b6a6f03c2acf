"""When a feed is polled again: the rules of well-behaved feed readers, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswatch.config import Settings
from newswatch.exceptions import FetchError
from newswatch.records import Feed, FeedState, Page
from newswatch.schedule import (
    after_error,
    after_success,
    conditional_headers,
    http_date,
    is_due,
    jitter_s,
    max_age_s,
    page_retry_at,
    retry_after_s,
)

URL = "https://example.org/rss"
NOW = datetime(2025, 3, 1, 12, 0, tzinfo=UTC)
HOUR = 3600
DAY = 86_400
WEEK = 7 * DAY
SETTINGS = Settings()
VALIDATED = {"etag": '"1"'}


def feed(**known: Any) -> Feed:
    return Feed(url=URL, **known)


def success(
    before: Feed | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    status: int = 200,
    body: bytes = b"<rss/>",
    ttl_s: int | None = None,
) -> Feed:
    page = Page(url=URL, final_url=URL, status=status, headers=headers or {}, body=body)
    return after_success(before or feed(), page, NOW, SETTINGS, ttl_s=ttl_s)


def failed(
    before: Feed | None = None,
    status: int | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    now: datetime = NOW,
    settings: Settings = SETTINGS,
) -> Feed:
    error = FetchError("it went wrong", subject=URL, reason="test", status=status)
    return after_error(before or feed(), error, headers or {}, now, settings)


def wait_s(after: Feed, now: datetime = NOW) -> float:
    assert after.next_due is not None
    return (after.next_due - now).total_seconds()


def http(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


# --- validators ---


def test_a_new_feed_is_asked_for_without_conditions() -> None:
    assert conditional_headers(feed()) == {}


@pytest.mark.parametrize(
    ("etag", "modified"),
    [('W/"a,b"', "Tue,  1 Oct 2024 10:00:00 +0000"), ("unquoted", "yesterday"), ('""', "0"), ('" é "', "2024-10-01")],
)
def test_validators_are_kept_and_sent_byte_for_byte(etag: str, modified: str) -> None:
    after = success(headers={"etag": etag, "last-modified": modified})
    assert conditional_headers(after) == {"If-None-Match": etag, "If-Modified-Since": modified}


@pytest.mark.parametrize(
    ("headers", "sent"),
    [({"etag": '"2"'}, {"If-None-Match": '"2"'}), ({"last-modified": "then"}, {"If-Modified-Since": "then"}), ({}, {})],
)
def test_a_validator_the_server_no_longer_sends_is_forgotten(headers: dict[str, str], sent: dict[str, str]) -> None:
    assert conditional_headers(success(feed(etag='"1"', last_modified="before"), headers)) == sent


@pytest.mark.parametrize(
    "headers",
    [{"etag": '"1"', "last-modified": "new"}, {"etag": '"2"', "last-modified": "old"}],
)
def test_both_validators_are_stored_though_only_one_is_new_and_the_body_is_the_same(headers: dict[str, str]) -> None:
    before = success(headers={"etag": '"1"', "last-modified": "old"})
    after = success(before, headers)
    assert (after.etag, after.last_modified) == (headers["etag"], headers["last-modified"])
    assert after.body_hash == before.body_hash


def test_not_modified_keeps_the_validators_it_does_not_repeat() -> None:
    before = feed(etag='"1"', last_modified="then", body_hash="abc")
    after = success(before, status=304, body=b"")
    assert (after.etag, after.last_modified, after.body_hash) == ('"1"', "then", "abc")


def test_not_modified_with_new_validators_stores_them() -> None:
    before = feed(etag='"1"', last_modified="then")
    after = success(before, {"etag": '"2"', "last-modified": "now"}, status=304, body=b"")
    assert (after.etag, after.last_modified) == ('"2"', "now")


def test_a_failed_poll_touches_neither_validators_nor_body() -> None:
    before = feed(etag='"1"', last_modified="then", body_hash="abc")
    after = failed(before, 200, {"etag": '"of a bot wall"', "last-modified": "now"})
    assert (after.etag, after.last_modified, after.body_hash) == ('"1"', "then", "abc")


def test_the_digest_of_the_body_tells_bodies_apart() -> None:
    assert success(body=b"a").body_hash == success(body=b"a").body_hash != success(body=b"b").body_hash


# --- the gap after a good poll ---


@pytest.mark.parametrize("headers", [{"etag": '"1"'}, {"last-modified": "then"}])
def test_a_feed_with_a_validator_rests_an_hour(headers: dict[str, str]) -> None:
    after = success(headers=headers)
    assert after.interval_s == HOUR
    assert HOUR <= wait_s(after) <= HOUR * 1.05


def test_a_feed_without_validators_rests_a_day() -> None:
    after = success()
    assert after.interval_s == DAY
    assert wait_s(after) >= DAY


def test_a_not_modified_counts_as_validated_by_what_was_kept() -> None:
    assert success(feed(etag='"1"'), status=304, body=b"").interval_s == HOUR


@pytest.mark.parametrize(
    ("headers", "gap"),
    [
        ({"cache-control": "max-age=7200"}, 7200),
        ({"cache-control": "public, Max-Age = 7200"}, 7200),
        ({"cache-control": 'max-age="7200"'}, 7200),
        ({"cache-control": "s-maxage=90000, max-age=7200"}, 7200),
        ({"cache-control": "s-maxage=90000"}, HOUR),
        ({"cache-control": "stale-max-age=90000"}, HOUR),
        ({"cache-control": "max-age=60"}, HOUR),
        ({"cache-control": "max-age=0"}, HOUR),
        ({"cache-control": "no-cache"}, HOUR),
        ({"cache-control": "max-age=-1"}, HOUR),
        ({"cache-control": "max-age=soon"}, HOUR),
        ({"cache-control": "max-age=" + "9" * 5000}, WEEK),
        ({"cache-control": f"max-age={WEEK + 1}"}, WEEK),
        ({"expires": http(NOW + timedelta(hours=5)), "date": http(NOW)}, 5 * HOUR),
        ({"expires": http(NOW + timedelta(hours=5))}, 5 * HOUR),
        ({"expires": http(NOW + timedelta(days=400))}, WEEK),
        ({"expires": http(NOW - timedelta(days=400))}, HOUR),
        ({"expires": "0"}, HOUR),
        ({"expires": "-1"}, HOUR),
        ({"expires": http(NOW + timedelta(hours=5)), "cache-control": "max-age=7200"}, 7200),
        ({"expires": http(NOW + timedelta(hours=5)), "cache-control": "No-Cache"}, HOUR),
    ],
)
def test_the_servers_freshness_lengthens_the_gap_and_never_shortens_it(headers: dict[str, str], gap: int) -> None:
    assert success(headers={**VALIDATED, **headers}).interval_s == gap


def test_expires_is_read_by_the_servers_own_clock() -> None:
    ahead = NOW + timedelta(hours=10)
    headers = {"expires": http(ahead + timedelta(hours=2)), "date": http(ahead)}
    assert max_age_s(headers, NOW) == 2 * HOUR


def test_freshness_holds_on_through_a_not_modified_that_does_not_repeat_it() -> None:
    before = success(headers={**VALIDATED, "cache-control": "max-age=20000"})
    once = success(before, status=304, body=b"")
    twice = success(once, status=304, body=b"")
    assert (once.interval_s, twice.interval_s) == (20_000, 20_000)


@pytest.mark.parametrize("status", [200, 304])
def test_new_freshness_replaces_the_old(status: int) -> None:
    before = success(headers={**VALIDATED, "cache-control": "max-age=20000"})
    after = success(before, {**VALIDATED, "cache-control": "max-age=9000"}, status=status)
    assert after.interval_s == 9000


def test_freshness_is_forgotten_when_a_whole_answer_omits_it() -> None:
    before = success(headers={**VALIDATED, "cache-control": "max-age=20000"})
    assert success(before, VALIDATED).interval_s == HOUR


@pytest.mark.parametrize(("ttl_s", "gap"), [(7200, 7200), (60, HOUR), (0, HOUR), (-5, HOUR), (10 * WEEK, WEEK)])
def test_the_feeds_own_wish_can_only_lengthen_the_gap(ttl_s: int, gap: int) -> None:
    assert success(headers=VALIDATED, ttl_s=ttl_s).interval_s == gap


def test_a_good_poll_ends_a_run_of_failures() -> None:
    before = feed(
        state=FeedState.WAITING, failures=7, failing_since=NOW - timedelta(days=3), error="x", status=503,
        not_before=NOW - timedelta(hours=1), interval_s=WEEK, **VALIDATED,
    )  # fmt: skip
    after = success(before, VALIDATED)
    assert (after.state, after.failures, after.failing_since, after.error) == (FeedState.OK, 0, None, "")
    assert (after.status, after.not_before, after.interval_s, after.last_polled) == (200, None, HOUR, NOW)


# --- the gap after a bad poll ---


def test_failures_in_a_row_slow_down_geometrically_up_to_a_week() -> None:
    state, gaps = success(headers=VALIDATED), []
    for _ in range(10):
        state = failed(state, 500)
        gaps.append(state.interval_s)
    assert gaps == [2 * HOUR, 4 * HOUR, 8 * HOUR, 16 * HOUR, 32 * HOUR, 64 * HOUR, 128 * HOUR, WEEK, WEEK, WEEK]
    assert state.failures == 10


def test_a_thousand_failures_are_counted_and_wait_a_week() -> None:
    after = failed(feed(failures=999), 500)
    assert (after.failures, after.interval_s, after.state) == (1000, WEEK, FeedState.FAILING)


@pytest.mark.parametrize("status", [None, 200, 403, 404, 429, 500, 503])
@pytest.mark.parametrize(
    "headers", [{}, {"cache-control": "max-age=100000", **VALIDATED}, {"cache-control": "max-age=999999", **VALIDATED}]
)
def test_no_failure_makes_a_feed_be_polled_sooner_than_a_success(status: int | None, headers: dict[str, str]) -> None:
    before = success(headers=headers)
    assert failed(before, status).interval_s >= before.interval_s


def test_the_first_failure_is_remembered_as_the_start() -> None:
    first = failed(now=NOW)
    second = failed(first, now=NOW + timedelta(hours=3))
    assert (first.failing_since, second.failing_since) == (NOW, NOW)
    assert second.last_polled == NOW + timedelta(hours=3)


def test_a_failure_is_told_in_the_feeds_state() -> None:
    after = failed(status=404)
    assert (after.state, after.status, after.error) == (FeedState.FAILING, 404, "it went wrong")


def test_a_failure_without_answer_is_told_without_status() -> None:
    after = failed(feed(status=200))
    assert (after.state, after.status) == (FeedState.FAILING, None)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("100000", 100_000),
        (" 100000 ", 100_000),
        (http(NOW + timedelta(seconds=100_000)), 100_000),
        (str(WEEK), WEEK),
        (str(30 * DAY), WEEK),
        ("9" * 5000, WEEK),
        (http(NOW + timedelta(days=400)), WEEK),
    ],
)
def test_retry_after_is_obeyed_up_to_a_week(status: int, value: str, seconds: int) -> None:
    after = failed(feed(**VALIDATED), status, {"retry-after": value})
    assert after.state is FeedState.WAITING
    assert after.not_before == NOW + timedelta(seconds=seconds)
    assert wait_s(after) >= seconds


def test_a_short_retry_after_does_not_hasten_our_own_pace() -> None:
    after = failed(feed(failures=3, **VALIDATED), 503, {"retry-after": "30"})
    assert after.not_before == NOW + timedelta(seconds=30)
    assert wait_s(after) >= 16 * HOUR


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "0", http(NOW - timedelta(days=1)), "٣٠"])
def test_a_retry_after_that_says_nothing_leaves_our_own_pace(value: str) -> None:
    after = failed(feed(**VALIDATED), 503, {"retry-after": value})
    assert (after.not_before, after.interval_s, after.state) == (None, 2 * HOUR, FeedState.FAILING)


def test_retry_after_counts_only_where_the_server_means_it() -> None:
    after = failed(feed(**VALIDATED), 500, {"retry-after": "100000"})
    assert (after.not_before, after.interval_s, after.state) == (None, 2 * HOUR, FeedState.FAILING)


@pytest.mark.parametrize("interval", [HOUR, DAY])
def test_too_many_requests_without_a_time_doubles_the_gap_each_time(interval: int) -> None:
    first = failed(feed(interval_s=interval, **VALIDATED), 429)
    second = failed(first, 429)
    assert (first.state, first.not_before) == (FeedState.WAITING, None)
    assert (first.interval_s, second.interval_s) == (2 * interval, 4 * interval)


def test_max_age_on_too_many_requests_is_a_wait_too() -> None:
    after = failed(feed(**VALIDATED), 429, {"cache-control": "max-age=50000"})
    assert after.not_before == NOW + timedelta(seconds=50_000)
    assert failed(feed(**VALIDATED), 500, {"cache-control": "max-age=50000"}).not_before is None


def test_of_retry_after_and_max_age_the_longer_counts() -> None:
    after = failed(status=429, headers={"retry-after": "60000", "cache-control": "max-age=50000"})
    assert after.not_before == NOW + timedelta(seconds=60_000)


def test_a_wait_the_server_named_once_does_not_become_our_own_pace() -> None:
    told = failed(feed(interval_s=HOUR, **VALIDATED), 503, {"retry-after": str(6 * DAY)})
    assert wait_s(told) >= 6 * DAY
    assert HOUR * 4 <= wait_s(failed(told, 500)) <= HOUR * 5


def test_gone_stops_the_polling() -> None:
    after = failed(feed(etag='"1"'), 410, {"retry-after": "5"})
    assert (after.state, after.error) == (FeedState.GONE, "it went wrong")
    assert not is_due(after, NOW + timedelta(days=4000))
    assert not is_due(after, NOW + timedelta(days=4000), force=True)


def test_the_settings_bound_the_back_off() -> None:
    settings = Settings(poll_gap_min_s=600, poll_gap_max_s=3000)
    gaps = [failed(feed(failures=failures), settings=settings).interval_s for failures in range(4)]
    assert gaps == [1200, 2400, 3000, 3000]


# --- whether it is due ---


def test_a_feed_never_polled_is_due() -> None:
    assert is_due(feed(), NOW)


@pytest.mark.parametrize("state", [FeedState.OK, FeedState.FAILING, FeedState.WAITING])
def test_a_feed_is_due_from_its_time_on(state: FeedState) -> None:
    known = feed(state=state, next_due=NOW)
    assert not is_due(known, NOW - timedelta(seconds=1))
    assert is_due(known, NOW)


@pytest.mark.parametrize("state", [FeedState.OK, FeedState.FAILING])
def test_force_passes_over_our_own_time(state: FeedState) -> None:
    assert is_due(feed(state=state, next_due=NOW + timedelta(days=5)), NOW, force=True)


def test_force_passes_over_the_freshness_of_a_good_answer() -> None:
    after = success(headers={**VALIDATED, "cache-control": "max-age=500000"})
    assert not is_due(after, NOW + timedelta(hours=2))
    assert is_due(after, NOW + timedelta(hours=2), force=True)


@pytest.mark.parametrize("force", [True, False])
def test_nothing_passes_over_retry_after(force: bool) -> None:
    after = failed(feed(**VALIDATED), 429, {"retry-after": "100000"})
    assert not is_due(after, NOW + timedelta(seconds=99_999), force=force)
    assert is_due(after, NOW + timedelta(seconds=100_000), force=True)


def test_the_first_round_after_a_wait_is_no_longer_held_by_it() -> None:
    waited = feed(state=FeedState.WAITING, not_before=NOW, next_due=NOW + timedelta(hours=1))
    assert not is_due(waited, NOW)
    assert is_due(waited, NOW, force=True)


# --- headers ---


@pytest.mark.parametrize(
    "text",
    [
        "Sat, 01 Mar 2025 12:00:00 GMT",
        "Saturday, 01-Mar-25 12:00:00 GMT",
        "Sat Mar  1 12:00:00 2025",
        "Sat, 1 Mar 2025 13:00:00 +0100",
        "1 Mar 2025 12:00:00 -0000",
    ],
)
def test_each_form_of_an_http_date_is_read_as_utc(text: str) -> None:
    assert http_date(text) == NOW
    assert http_date(text).tzinfo is UTC  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        "", "0", "-1", "now", "2025-03-01T12:00:00Z", "Sat, 32 Mar 2025 12:00:00 GMT", "Sat, 01 Mar 2025 25:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -0100", "Sat, 01 Mar 99999 12:00:00 GMT",
        "Sat, 01 Mar 2025 12:00:00 +9999", "\udce9", ",", "5, 5",
    ],
)  # fmt: skip
def test_what_is_no_http_date_is_none(text: str) -> None:
    assert http_date(text) is None


words = st.one_of(
    st.text(),
    st.integers().map(str),
    st.datetimes().map(http),
    st.tuples(st.datetimes(), st.integers(-9999, 9999)).map(
        lambda pair: pair[0].strftime("%a, %d %b %Y %H:%M:%S ") + f"{pair[1]:+05d}"
    ),
    st.text("Mon, 01JanGMT+-:0123456789 "),
)


@given(words, words, words)
def test_no_header_makes_the_rules_fail_or_wait_longer_than_a_week(first: str, second: str, third: str) -> None:
    headers = {"retry-after": first, "expires": second, "date": third, "cache-control": f"max-age={first}"}
    without = {name: value for name, value in headers.items() if name != "cache-control"}
    for seconds in (retry_after_s(headers, NOW), max_age_s(headers, NOW), max_age_s(without, NOW)):
        assert seconds is None or 0 <= seconds <= WEEK
    for status in (429, 503):
        assert 2 * HOUR <= wait_s(failed(feed(), status, headers)) <= WEEK * 1.05


@given(
    st.lists(st.sampled_from([200, 304, 403, 429, 500, 503, None]), max_size=12),
    st.sampled_from([{}, VALIDATED]),
    st.sampled_from([{}, {"cache-control": "max-age=9000"}, {"retry-after": "9000"}, {"retry-after": "999999999"}]),
)
def test_two_polls_are_never_closer_than_the_least_gap(
    statuses: list[int | None], validators: dict[str, str], more: dict[str, str]
) -> None:
    state, headers = feed(), {**validators, **more}
    for status in statuses:
        state = success(state, headers, status=status) if status in (200, 304) else failed(state, status, headers)
        assert wait_s(state) >= (HOUR if validators or state.failures else DAY)
        assert not is_due(state, NOW + timedelta(seconds=HOUR - 1))
        assert is_due(state, NOW + timedelta(seconds=WEEK * 1.05))


# --- jitter ---


@given(st.text(), st.floats(0, WEEK))
def test_jitter_is_a_fixed_small_share_of_the_gap(url: str, gap: float) -> None:
    assert jitter_s(url, gap) == jitter_s(url, gap)
    assert 0 <= jitter_s(url, gap) <= gap * 0.05


def test_jitter_spreads_feeds_that_were_polled_together() -> None:
    spread = [jitter_s(f"https://example.org/feed/{number}", HOUR) for number in range(200)]
    assert len(set(spread)) > 100
    assert min(spread) < 30
    assert max(spread) > 150


# --- pages ---


def test_a_page_is_tried_again_after_one_two_four_and_eight_hours_then_no_more() -> None:
    waits = [page_retry_at(attempts, NOW) for attempts in range(6)]
    assert waits == [NOW + timedelta(hours=hours) for hours in (1, 2, 4, 8)] + [None, None]


def test_a_page_that_cannot_be_helped_by_waiting_is_not_tried_again() -> None:
    assert page_retry_at(0, NOW, temporary=False) is None


@pytest.mark.parametrize(
    ("value", "hours"),
    [("36000", 10), ("60", 1), ("soon", 1), (http(NOW + timedelta(hours=3)), 3), (str(WEEK * 9), 168)],
)
def test_a_pages_retry_after_lengthens_the_wait(value: str, hours: int) -> None:
    assert page_retry_at(0, NOW, headers={"retry-after": value}) == NOW + timedelta(hours=hours)


def test_the_state_before_is_left_as_it_was() -> None:
    before = feed(etag='"1"', failures=2)
    same = replace(before)
    success(before)
    failed(before)
    assert before == same

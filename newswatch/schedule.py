"""When to poll a feed again. Pure functions of what is stored, what came, and ``now``.

The rules are those of well-behaved feed readers: a server's word (Cache-Control, Expires, Retry-After, 410) comes before
our own wish, errors slow down, validators are kept byte for byte.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from newswatch.config import Settings
from newswatch.exceptions import FetchError
from newswatch.records import Feed, FeedState, Page
from newswatch.text import digest

__all__ = [
    "after_error",
    "after_success",
    "conditional_headers",
    "http_date",
    "is_due",
    "jitter_s",
    "max_age_s",
    "page_retry_at",
    "retry_after_s",
]

# What a server asks for is obeyed up to a week; a longer wait is most often a mistake.
_LONGEST_WORD_S = 7 * 86_400
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age\s*=\s*\"?(\d{1,12})", re.IGNORECASE)


def is_due(feed: Feed, now: datetime, *, force: bool = False) -> bool:
    """Whether a feed may be polled now.

    Args:
        force: pass over our own due time, never the server's Retry-After, and never 410.
    """
    if feed.state is FeedState.GONE:
        return False
    if feed.state is FeedState.WAITING and feed.not_before is not None and now < feed.not_before:
        return False
    return force or feed.next_due is None or now >= feed.next_due


def conditional_headers(feed: Feed) -> dict[str, str]:
    """The validators of the last good answer, byte for byte as the server gave them (RFC 9110, 13.1)."""
    headers: dict[str, str] = {}
    if feed.etag:
        headers["If-None-Match"] = feed.etag
    if feed.last_modified:
        headers["If-Modified-Since"] = feed.last_modified
    return headers


def http_date(value: str) -> datetime | None:
    """An HTTP date, or ``None`` where it is none."""
    try:
        parsed = parsedate_to_datetime(value)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def max_age_s(headers: Mapping[str, str], now: datetime) -> int | None:
    """How long the server says its answer stays fresh: max-age, else Expires against Date (RFC 9111, 4.2.1)."""
    match = _MAX_AGE.search(headers.get("cache-control", ""))
    if match:
        return min(int(match.group(1)), _LONGEST_WORD_S)
    expires = http_date(headers.get("expires", ""))
    if expires is None or ("cache-control" in headers and "no-cache" in headers["cache-control"].lower()):
        return None
    sent = http_date(headers.get("date", "")) or now
    return min(max(int((expires - sent).total_seconds()), 0), _LONGEST_WORD_S)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> int | None:
    """Seconds to wait by the Retry-After header (RFC 9110, 10.2.3), a week at most; ``None`` without one."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(int(value[:12]), _LONGEST_WORD_S)
    when = http_date(value) if value else None
    return None if when is None else min(max(int((when - now).total_seconds()), 0), _LONGEST_WORD_S)


def jitter_s(url: str, gap_s: float) -> float:
    """A fixed small share of the gap, by the feed's URL, so that feeds do not all come due together."""
    return gap_s * 0.05 * (int(digest("jitter", url), 16) % 1000) / 1000


def after_success(feed: Feed, page: Page, now: datetime, settings: Settings, *, ttl_s: int | None = None) -> Feed:
    """The feed's state after a 200 that could be read, or a 304.

    Args:
        ttl_s: how often the feed itself asks to be polled; it can only lengthen the gap.
    """
    if page.status == 304:
        etag = page.headers.get("etag", feed.etag)
        last_modified = page.headers.get("last-modified", feed.last_modified)
        fresh = max_age_s(page.headers, now)
        fresh = feed.max_age_s if fresh is None else fresh
        body_hash = feed.body_hash
    else:
        etag = page.headers.get("etag", "")
        last_modified = page.headers.get("last-modified", "")
        fresh = max_age_s(page.headers, now)
        body_hash = hashlib.sha256(page.body).hexdigest()[:16]
    own = settings.poll_gap_min_s if etag or last_modified else settings.poll_gap_unvalidated_s
    gap = max(own, fresh or 0, min(ttl_s or 0, _LONGEST_WORD_S))
    return replace(
        feed,
        state=FeedState.OK,
        status=page.status,
        error="",
        failures=0,
        failing_since=None,
        etag=etag,
        last_modified=last_modified,
        body_hash=body_hash,
        last_polled=now,
        interval_s=gap,
        max_age_s=fresh,
        not_before=None,
        next_due=now + timedelta(seconds=gap + jitter_s(feed.url, gap)),
    )


def page_retry_at(
    attempts: int, now: datetime, *, temporary: bool = True, headers: Mapping[str, str] | None = None
) -> datetime | None:
    """When a page that failed is fetched again by itself: after 1, 2, 4 and 8 hours, then no more.

    Args:
        attempts: how often it failed before.
        temporary: whether trying again can help at all.
        headers: the answer's headers, for Retry-After.
    """
    if not temporary or attempts >= 4:
        return None
    told = retry_after_s(headers or {}, now) or 0
    return now + timedelta(seconds=max(3600 * 2**attempts, told))


def after_error(feed: Feed, error: FetchError, headers: Mapping[str, str], now: datetime, settings: Settings) -> Feed:
    """The feed's state after a poll that failed: it slows down, but for 410 it never stops.

    No failure shortens the gap of the last success, and 429 doubles it. The gap is ours: what the server told us to
    wait moves the next poll only.

    Validators stay as they were: a body that could not be read brings none (they would hide the good one).
    """
    failures = feed.failures + 1
    grown = settings.poll_gap_min_s * 2 ** min(failures, 16)
    if error.status == 429:
        grown = max(grown, 2 * feed.interval_s)
    gap = max(min(grown, settings.poll_gap_max_s), feed.interval_s)
    wait = retry_after_s(headers, now) if error.status in (429, 503) else None
    fresh = max_age_s(headers, now) if error.status == 429 else None
    told = max(wait or 0, fresh or 0)
    rest = max(gap, told)
    state = FeedState.FAILING
    if error.status == 410:
        state = FeedState.GONE
    elif error.status == 429 or wait:
        state = FeedState.WAITING
    return replace(
        feed,
        state=state,
        status=error.status,
        error=str(error),
        failures=failures,
        failing_since=feed.failing_since or now,
        last_polled=now,
        interval_s=gap,
        not_before=now + timedelta(seconds=told) if told else None,
        next_due=now + timedelta(seconds=rest + jitter_s(feed.url, rest)),
    )

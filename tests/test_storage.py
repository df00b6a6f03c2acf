"""newswatch.storage: what is kept, by whom it is worked on, and how it is found again."""

import os
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from newswatch import database, schema
from newswatch.exceptions import ConfigError, InputError, NotFoundError, StorageError
from newswatch.records import (
    Article,
    ArticleFilter,
    Assignment,
    Entry,
    Failure,
    Feed,
    FeedInfo,
    FeedLink,
    FeedState,
    ParsedFeed,
    Poll,
    Stage,
    Tagging,
    TextFrom,
)
from newswatch.rows import article_id, entry_id
from newswatch.storage import Fingerprint, Storage, Work, open_storage
from newswatch.text import digest

NOW = datetime(2031, 3, 3, 8, 0, tzinfo=UTC)
FEED = "https://herald.example/rss"
OTHER_FEED = "https://post.example/rss"
ALL = ArticleFilter(limit=0)


def later(hours: float = 0, **parts: float) -> datetime:
    return NOW + timedelta(hours=hours, **parts)


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "news.db"


@pytest.fixture
def storage(path) -> Iterator[Storage]:
    with open_storage(path, now=lambda: NOW) as opened:
        yield opened


@pytest.fixture
def other(path, storage) -> Iterator[Storage]:
    """A second storage object on the same file."""
    with open_storage(path, now=lambda: NOW) as opened:
        yield opened


def subscribe(storage: Storage, *urls: str) -> list[Feed]:
    storage.add_feeds([FeedLink(url=url) for url in urls], NOW)
    return [feed for feed in storage.feeds() if feed.url in urls]


def entry(name: str, *, feed: str = FEED, **other) -> Entry:
    return Entry(
        **{
            "feed_url": feed,
            "guid": f"guid {name}",
            "url": f"https://herald.example/{name}",
            "title": f"Title {name}",
            "text": f"Text {name}",
            **other,
        }
    )


def poll(storage: Storage, *entries: Entry, feed: str = FEED, now: datetime = NOW, **changes):
    """Record a poll that brought these entries."""
    (known,) = [one for one in storage.feeds() if one.url == feed] or subscribe(storage, feed)
    renewed = replace(known, **{"state": FeedState.OK, "status": 200, "last_polled": now, **changes})
    parsed = ParsedFeed(version="rss20", info=FeedInfo(), entries=entries)
    return storage.record_poll(renewed, Poll(feed_url=feed, polled=now, status=200, note=""), parsed)


def fail_poll(storage: Storage, *, feed: str = FEED, now: datetime = NOW, reason: str = "timeout", **changes):
    (known,) = [one for one in storage.feeds() if one.url == feed] or subscribe(storage, feed)
    failed = replace(known, **{"state": FeedState.FAILING, "error": "no answer", "last_polled": now, **changes})
    failing = Poll(feed_url=feed, polled=now, status=None, note="no answer")
    return storage.record_poll(failed, failing, reason=reason)


def article(name: str, **other) -> Article:
    return Article(
        **{
            "id": digest(f"https://herald.example/{name}"),
            "url": f"https://herald.example/{name}",
            "title": f"Title {name}",
            "text": f"Text {name}",
            "feed": FEED,
            "source": "herald.example",
            "text_from": TextFrom.PAGE,
            "first_seen": NOW,
            "language": "en",
            **other,
        }
    )


def tagging(*tags: str, **other) -> Tagging:
    scores = {tag: 0.9 if tag in tags else 0.1 for tag in ("TIP", "SOM", "policy", "funding")}
    return Tagging(**{"tags": tags, "scores": scores, "language": "en", "model": "tags-1", **other})


def store(storage: Storage, *articles: Article, fetched: datetime = NOW) -> None:
    for one in articles:
        storage.store_article(one, fetched=fetched)


def group(storage: Storage, *members: Article, event: str = "event 1", joins: bool = False) -> None:
    """Put articles into one event; the first founds it."""
    storage.store_assignments(
        [
            (
                Assignment(
                    article=one.id,
                    event=event,
                    is_new=not joins and number == 0,
                    how="report",
                    similarity=0.5,
                    nearest=members[0].id,
                ),
                Fingerprint(
                    article_id=one.id, event_id=event, arrived=one.published or one.first_seen, packed=b"print"
                ),
            )
            for number, one in enumerate(members)
        ]
    )


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def ids(articles: list[Article]) -> list[str]:
    return [one.url.rpartition("/")[2] for one in articles]


# --- opening ---


def test_a_storage_is_made_with_its_folders_and_found_again(tmp_path):
    place = tmp_path / "a" / "b" / "news.db"
    with open_storage(place) as opened:
        subscribe(opened, FEED)
    for location in (str(place), f"sqlite:///{place}"):
        with open_storage(location) as opened:
            assert [feed.url for feed in opened.feeds()] == [FEED]


def test_the_home_folder_may_be_written_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for location in ("~/news.db", "sqlite:///~/news.db"):
        with open_storage(location) as opened:
            assert opened.path == tmp_path / "news.db"


@pytest.mark.parametrize("location", ["sqlite://", ":memory:", "sqlite:///:memory:"])
def test_a_storage_may_be_kept_in_memory(location, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_storage(location) as opened:
        subscribe(opened, FEED)
        store(opened, article("a"))
        assert ids(opened.search("text", ALL)) == ["a"]
        assert opened.status(NOW).bytes is None
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_refused_and_left_alone(path):
    path.write_text("Dear diary, " * 100)
    with pytest.raises(StorageError, match="not a database") as caught:
        open_storage(path)
    assert caught.value.subject == str(path)
    assert path.read_text() == "Dear diary, " * 100


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE diary (day TEXT)",
        "CREATE TABLE alembic_version (version_num TEXT); INSERT INTO alembic_version VALUES ('ae1027a6acf');",
        "CREATE TABLE feeds (url TEXT); CREATE TABLE articles (id TEXT);",
    ],
)
def test_a_database_of_another_program_is_refused_and_left_alone(path, script):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    before = path.read_bytes()
    with pytest.raises(StorageError, match="is a database, but no newswatch storage"):
        open_storage(path)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["news.db"]


def test_a_folder_is_no_storage(tmp_path):
    with pytest.raises(StorageError, match="cannot open"):
        open_storage(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot make the folder"):
        open_storage(tmp_path / "file" / "news.db")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_folder_that_may_not_be_written_to_is_told():
    root = os.geteuid() == 0
    folders = Path(database.__file__).resolve().parents
    if root and not all(folder.stat().st_mode & 0o005 == 0o005 for folder in folders):
        pytest.skip("the package lies where nobody else may read")
    open_storage("sqlite://").close()  # imports what that somebody may not be able to read
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        if root:  # who may write everywhere: become somebody else for a moment
            os.seteuid(65534)
        try:
            with pytest.raises(StorageError, match="cannot open"):
                open_storage(Path(folder) / "news.db")
            with pytest.raises(StorageError, match="cannot make the folder"):
                open_storage(Path(folder) / "inner" / "news.db")
        finally:
            if root:
                os.seteuid(0)
            os.chmod(folder, 0o755)


@pytest.mark.parametrize(
    "location", ["postgresql://me:secret@host/db", "mysql://host/db", "https://example.org/news.db"]
)
def test_another_kind_of_storage_is_refused_without_its_password(location):
    with pytest.raises(ConfigError, match="give a path or sqlite:///PATH") as caught:
        open_storage(location)
    assert "secret" not in str(caught.value)


def test_a_storage_that_fails_while_open_says_so(storage, path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE robots")
    with pytest.raises(StorageError, match="no such table: robots") as caught:
        storage.robots("https://example.org/robots.txt", NOW, keep_s=60)
    assert caught.value.subject == str(path)


# --- feeds ---


def test_a_feed_added_is_new_and_due(storage):
    added = storage.add_feeds(
        [FeedLink(url=f" {FEED}#top", title=" The\nHerald ", site_url="https://herald.example/")], NOW
    )
    assert added == [(FEED, True)]
    assert storage.feeds() == [
        Feed(url=FEED, title="The Herald", site_url="https://herald.example/", state=FeedState.NEW, added=NOW)
    ]


def test_a_feed_under_several_spellings_is_subscribed_once(storage):
    links = [FeedLink(url=url) for url in (FEED, "http://www.herald.example/rss/", "https://HERALD.example:443/rss")]
    assert storage.add_feeds(links, NOW) == [(FEED, True), (FEED, False), (FEED, False)]
    assert storage.add_feeds(links[:1], NOW) == [(FEED, False)]


def test_when_one_address_is_none_no_feed_is_added(storage):
    with pytest.raises(InputError):
        storage.add_feeds([FeedLink(url=FEED), FeedLink(url="ftp://herald.example/")], NOW)
    assert storage.feeds() == []


def test_adding_a_feed_that_was_gone_lets_it_be_polled_again(storage):
    fail_poll(storage, state=FeedState.GONE, next_due=later(100))
    assert storage.claim_feeds(later(200), limit=0, hold_s=60, force=True) == []
    assert storage.add_feeds([FeedLink(url=FEED)], NOW) == [(FEED, False)]
    assert [feed.url for feed in storage.claim_feeds(NOW, limit=0, hold_s=60)] == [FEED]


def test_a_feed_removed_takes_its_polls_and_failure_along_and_leaves_its_articles(storage):
    poll(storage, entry("a"))
    store(storage, article("a"))
    fail_poll(storage)
    storage.remove_feed("http://herald.example/rss/")
    assert (storage.feeds(), storage.polls(FEED), storage.failures()) == ([], [], [])
    assert ids(storage.articles(ArticleFilter(feed=FEED))) == ["a"]


@pytest.mark.parametrize("url", [OTHER_FEED, "no address at all", ""])
def test_removing_an_unknown_feed_says_so(storage, url):
    subscribe(storage, FEED)
    with pytest.raises(NotFoundError) as caught:
        storage.remove_feed(url)
    assert caught.value.subject == url


def test_feeds_are_listed_by_address(storage):
    subscribe(storage, "https://c.example/", "https://a.example/", "https://b.example/")
    assert [feed.url for feed in storage.feeds()] == ["https://a.example/", "https://b.example/", "https://c.example/"]


def test_a_feeds_state_is_kept_field_by_field(storage):
    (feed,) = subscribe(storage, FEED)
    full = Feed(
        url=FEED,
        title="Herald",
        site_url="https://herald.example/",
        language="en",
        state=FeedState.WAITING,
        added=NOW,
        last_polled=later(1, microseconds=7),
        next_due=later(2),
        not_before=later(3),
        status=429,
        error="too many requests",
        failures=3,
        failing_since=later(-1),
        etag='W/"a\\"b"',
        last_modified="Mon, 03 Mar 2031 08:00:00 GMT",
        body_hash="00ff",
        interval_s=3600,
        max_age_s=60,
    )
    storage.record_poll(full, Poll(feed_url=FEED, polled=NOW, status=429, note=""))
    assert feed != full
    assert storage.feeds() == [full]


def test_only_the_last_30_polls_of_each_feed_are_kept(storage):
    for hour in range(35):
        poll(storage, now=later(hour))
    poll(storage, feed=OTHER_FEED)
    kept = storage.polls(FEED)
    assert [one.polled for one in kept] == [later(hour) for hour in range(34, 4, -1)]
    assert kept[0] == Poll(feed_url=FEED, polled=later(34), status=200, note="", new_entries=0)
    assert len(storage.polls(OTHER_FEED)) == 1


def test_a_poll_of_a_feed_removed_meanwhile_leaves_nothing(storage, path):
    (feed,) = subscribe(storage, FEED)
    storage.remove_feed(FEED)
    before = dump(path)
    parsed = ParsedFeed(version="rss20", info=FeedInfo(), entries=(entry("a"),))
    recorded = storage.record_poll(feed, Poll(feed_url=FEED, polled=NOW, status=200, note=""), parsed)
    assert (recorded.new_entries, recorded.articles) == (0, ())
    assert dump(path) == before


# --- which feeds are due ---


def claimed(storage: Storage, now: datetime = NOW, **options) -> list[str]:
    return [feed.url for feed in storage.claim_feeds(now, **{"limit": 0, "hold_s": 60, **options})]


def test_a_feed_is_due_from_its_time_on(storage):
    poll(storage, next_due=later(1))
    assert claimed(storage, later(0.99)) == []
    assert claimed(storage, later(1)) == [FEED]


def test_force_passes_over_our_own_times_only(storage):
    poll(storage, feed="https://own.example/", next_due=later(5))
    told = {"state": FeedState.WAITING, "not_before": later(5), "next_due": later(5)}
    fail_poll(storage, feed="https://told.example/", **told)
    fail_poll(storage, feed="https://gone.example/", state=FeedState.GONE)
    assert claimed(storage, force=True) == ["https://own.example/"]


def test_a_forced_round_does_not_begin_again_with_what_it_polled(storage):
    subscribe(storage, FEED, OTHER_FEED)
    poll(storage, now=later(1))
    assert claimed(storage, later(1), force=True, started=later(1)) == [OTHER_FEED]


def test_never_polled_feeds_come_first_then_the_longest_due(storage):
    poll(storage, feed="https://late.example/", next_due=later(-1))
    poll(storage, feed="https://later.example/", next_due=later(-5))
    subscribe(storage, "https://new.example/")
    urls = ["https://new.example/", "https://later.example/", "https://late.example/"]
    assert claimed(storage, limit=2) == urls[:2]
    assert claimed(storage, limit=2) == urls[2:]


def test_hundreds_of_feeds_are_claimed_at_once(storage):
    urls = [f"https://{number:04}.example/" for number in range(1001)]
    subscribe(storage, *urls)
    assert claimed(storage) == urls
    assert claimed(storage) == []


# --- leases ---


def test_a_feed_is_claimed_by_one_of_two_until_the_lease_lapses(storage, other):
    subscribe(storage, FEED)
    assert claimed(storage, hold_s=60) == [FEED]
    assert claimed(other, later(seconds=59)) == []
    assert claimed(storage, later(seconds=59)) == []  # nor twice by the same
    assert claimed(other, later(seconds=60)) == [FEED]


def test_recording_a_poll_ends_the_lease(storage, other):
    subscribe(storage, FEED)
    claimed(storage)
    poll(storage)
    assert claimed(other) == [FEED]


def test_work_is_claimed_by_one_of_two_until_the_lease_lapses(storage, other):
    poll(storage, entry("a"))
    assert len(storage.claim_work(NOW, limit=10, hold_s=60)) == 1
    assert other.claim_work(later(seconds=59), limit=10, hold_s=60) == []
    assert len(other.claim_work(later(seconds=60), limit=10, hold_s=60)) == 1


def test_two_that_claim_at_the_same_time_share_the_work_without_overlap(storage, other):
    subscribe(storage, *[f"https://{number}.example/" for number in range(20)])
    poll(storage, *[entry(f"{number}") for number in range(200)])
    together = threading.Barrier(2)
    feeds: list[str] = []
    work: list[str] = []

    def claim(one: Storage) -> None:
        together.wait()
        while found := one.claim_work(NOW, limit=7, hold_s=60):
            work.extend(item.article_id for item in found)
        while urls := claimed(one, limit=3):
            feeds.extend(urls)

    threads = [threading.Thread(target=claim, args=(one,)) for one in (storage, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(work) == sorted({digest(f"https://herald.example/{number}") for number in range(200)})
    assert len(feeds) == len(set(feeds)) == 21


def test_closing_gives_back_what_was_leased(path, storage):
    poll(storage, entry("a"))
    with open_storage(path, now=lambda: NOW) as brief:
        assert claimed(brief) == [FEED]
        assert len(brief.claim_work(NOW, limit=1, hold_s=60)) == 1
        assert brief.acquire("grouping", hold_s=60)
        assert not storage.acquire("grouping", hold_s=60)
    assert claimed(storage) == [FEED]
    assert len(storage.claim_work(NOW, limit=1, hold_s=60)) == 1
    assert storage.acquire("grouping", hold_s=60)


def test_closing_gives_nothing_of_others_back(path, storage):
    poll(storage, entry("a"))
    claimed(storage)
    storage.claim_work(NOW, limit=1, hold_s=60)
    storage.acquire("grouping", hold_s=60)
    open_storage(path).close()
    with open_storage(path, now=lambda: NOW) as third:
        assert claimed(third) == []
        assert third.claim_work(NOW, limit=1, hold_s=60) == []
        assert not third.acquire("grouping", hold_s=60)


def test_closing_twice_does_no_harm(path):
    opened = open_storage(path)
    opened.close()
    opened.close()


CLAIM_ALL = """
    import os, sys
    from datetime import UTC, datetime
    from newswatch.storage import open_storage
    now = datetime(2031, 3, 3, 8, 0, tzinfo=UTC)
    opened = open_storage(sys.argv[1], now=lambda: now)
    assert len(opened.claim_feeds(now, limit=0, hold_s=60)) == 1
    assert len(opened.claim_work(now, limit=9, hold_s=60)) == 1
    assert opened.acquire("grouping", hold_s=60)
    print("claimed", flush=True)
    sys.stdin.readline()
    os._exit(1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there a dead process cannot be told")
def test_a_living_process_keeps_its_leases_and_a_dead_one_loses_them_at_once(storage, path):
    poll(storage, entry("a"))
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CLAIM_ALL), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "claimed\n"
        assert claimed(storage) == []
        assert storage.claim_work(NOW, limit=9, hold_s=60) == []
        assert not storage.acquire("grouping", hold_s=60)
        process.communicate("die\n", timeout=60)
    assert claimed(storage) == [FEED]
    assert len(storage.claim_work(NOW, limit=9, hold_s=60)) == 1
    assert storage.acquire("grouping", hold_s=60)


def lease_to(path: Path, owner: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE feeds SET lease_owner = ?", (owner,))


def test_the_lease_of_another_machine_is_believed_until_it_lapses(storage, path):
    subscribe(storage, FEED)
    claimed(storage)
    lease_to(path, "another-machine:1:ab")
    assert claimed(storage, later(seconds=59)) == []
    assert claimed(storage, later(seconds=60)) == [FEED]


def test_the_lease_of_an_earlier_process_with_our_number_is_taken_over(storage, path):
    # In a container each start may have the same process id.
    subscribe(storage, FEED)
    claimed(storage)
    lease_to(path, storage.owner.rpartition(":")[0] + ":ab")
    assert claimed(storage) == [FEED]


def test_leases_can_be_prolonged(path):
    clock = [NOW]
    with open_storage(path, now=lambda: clock[0]) as holder, open_storage(path, now=lambda: clock[0]) as waiting:
        poll(holder, entry("a"))
        claimed(holder)
        holder.claim_work(NOW, limit=1, hold_s=60)
        holder.acquire("grouping", hold_s=60)
        clock[0] = later(seconds=50)
        holder.renew_leases(hold_s=60)
        waiting.renew_leases(hold_s=600)  # of what it does not hold
        clock[0] = later(seconds=109)
        assert claimed(waiting, clock[0]) == []
        assert waiting.claim_work(clock[0], limit=1, hold_s=60) == []
        assert not waiting.acquire("grouping", hold_s=60)
        clock[0] = later(seconds=110)
        assert claimed(waiting, clock[0]) == [FEED]
        assert len(waiting.claim_work(clock[0], limit=1, hold_s=60)) == 1
        assert waiting.acquire("grouping", hold_s=60)


def test_a_named_lease_is_for_one_and_can_be_given_back(storage, other):
    assert storage.acquire("grouping", hold_s=60)
    assert storage.acquire("grouping", hold_s=60)  # prolonged
    assert not other.acquire("grouping", hold_s=60)
    assert other.acquire("something else", hold_s=60)
    other.release("grouping")  # not its own
    assert not other.acquire("grouping", hold_s=60)
    storage.release("grouping")
    assert other.acquire("grouping", hold_s=60)


# --- entries ---


def test_new_entries_ask_for_their_articles(storage):
    recorded = poll(storage, entry("a"), entry("b"))
    assert recorded.new_entries == 2
    assert list(recorded.articles) == [article_id(entry("a")), article_id(entry("b"))]
    assert storage.status(NOW).entries == storage.status(NOW).pending == 2
    assert storage.polls(FEED)[0].new_entries == 2


def test_an_article_is_known_by_its_canonical_address_else_by_feed_and_guid():
    tracked = entry("a", url="HTTPS://Herald.example:443/a?utm_source=rss#top")
    assert article_id(tracked) == article_id(entry("a")) == digest("https://herald.example/a")
    for bad in ("", "javascript:alert(1)", "http://[broken"):
        assert article_id(entry("a", url=bad)) == digest(FEED, "guid a")
    assert article_id(entry("a", url="")) != article_id(entry("a", url="", feed=OTHER_FEED))


def test_unchanged_entries_ask_for_nothing(storage):
    poll(storage, entry("a", updated=NOW))
    store(storage, article("a"))
    recorded = poll(storage, entry("a", updated=NOW), now=later(1))
    assert (recorded.new_entries, recorded.articles) == (0, ())
    assert storage.claim_work(later(1), limit=9, hold_s=60) == []


@pytest.mark.parametrize("change", [{"text": "More is known"}, {"title": "Another headline"}, {"updated": later(1)}])
def test_a_changed_entry_asks_for_its_article_again(storage, change):
    poll(storage, entry("a", updated=NOW))
    store(storage, article("a"))
    recorded = poll(storage, entry("a", **{"updated": NOW, **change}), now=later(1))
    assert (recorded.new_entries, recorded.articles) == (0, (article("a").id,))
    (work,) = storage.claim_work(later(1), limit=9, hold_s=60)
    assert work.entry == entry("a", **{"updated": NOW, **change})
    assert work.first_seen == NOW
    assert work.known.text == "Text a"


def test_the_same_time_in_another_zone_is_no_change(storage):
    poll(storage, entry("a", updated=NOW))
    store(storage, article("a"))
    zoned = NOW.astimezone(timezone(timedelta(hours=6)))
    assert poll(storage, entry("a", updated=zoned)).articles == ()


def test_the_same_article_from_a_second_feed_is_not_asked_for_again(storage):
    poll(storage, entry("a"))
    store(storage, article("a"))
    recorded = poll(storage, entry("a", feed=OTHER_FEED, guid="another"), feed=OTHER_FEED)
    assert (recorded.new_entries, recorded.articles) == (1, ())
    assert ids(storage.articles(ArticleFilter(feed=OTHER_FEED))) == ["a"]


def test_a_second_entry_of_an_unchanged_article_does_not_ask_for_it_again(storage):
    poll(storage, entry("a"))
    store(storage, article("a"))
    assert poll(storage, entry("a"), entry("a", guid="another")).articles == ()


def test_two_feeds_that_bring_an_article_first_make_one_piece_of_work_by_the_fuller_entry(storage):
    brief = entry("a", text="Brief")
    full = entry("a", feed=OTHER_FEED, text="Told at more length", authors=("A. B.", "C. D."), problems=("no guid",))
    poll(storage, brief, now=later(-1))
    poll(storage, full, feed=OTHER_FEED)
    (work,) = storage.claim_work(NOW, limit=9, hold_s=60)
    assert work == Work(
        article_id=article("a").id, url=full.url, entry=full, first_seen=later(-1), attempts=0, known=None
    )


def test_an_entry_that_stands_twice_in_a_feed_is_one_entry(storage):
    twice = (entry("a"), entry("a", text="Another text"))
    assert poll(storage, *twice).new_entries == 1
    store(storage, article("a"))
    storage.claim_work(NOW, limit=9, hold_s=60)
    assert poll(storage, *twice).articles == ()


def test_thousands_of_entries_are_recorded_at_once(storage):
    entries = [entry(f"{number}") for number in range(2500)]
    assert poll(storage, *entries).new_entries == 2500
    assert poll(storage, *entries).new_entries == 0
    assert len(storage.claim_work(NOW, limit=3000, hold_s=60)) == 2500


def test_work_comes_in_the_order_of_ids_and_up_to_the_limit(storage):
    poll(storage, *[entry(f"{number}") for number in range(9)])
    order = sorted(digest(f"https://herald.example/{number}") for number in range(9))
    assert [one.article_id for one in storage.claim_work(NOW, limit=4, hold_s=60)] == order[:4]
    assert [one.article_id for one in storage.claim_work(NOW, limit=9, hold_s=60)] == order[4:]


# --- articles ---


def test_an_article_is_kept_field_by_field(storage):
    full = article(
        "a",
        site="The Herald",
        authors=("A. B.", "C. D."),
        published=later(-5, microseconds=3),
        note="seen twice",
        tagging=tagging("SOM", "policy", unsure=("policy",), notes=("too short to be sure",)),
    )
    assert storage.store_article(full, fetched=NOW)
    assert storage.article(full.id) == full
    assert not storage.store_article(full, fetched=NOW)
    assert storage.article(full.id) == full


def test_an_unknown_article_is_not_found(storage):
    with pytest.raises(NotFoundError) as caught:
        storage.article("0" * 16)
    assert caught.value.subject == "0" * 16


def test_a_text_that_changed_becomes_a_version(storage):
    store(storage, article("a"))
    store(storage, article("a", text="Second"), article("a", text="Third", title="New title"))
    store(storage, article("a", text="Third", title="New title", language="fr"))  # no other text
    kept = storage.article(article("a").id)
    assert (kept.version, kept.text, kept.title, kept.language) == (3, "Third", "New title", "fr")
    assert storage.versions(kept.id) == [(1, "Title a", "Text a"), (2, "Title a", "Second")]
    assert storage.versions("0" * 16) == []


def test_the_page_replaces_the_feeds_text(storage):
    store(storage, article("a", text_from=TextFrom.FEED, text="Summary", note="timeout"), article("a"))
    kept = storage.article(article("a").id)
    assert (kept.text_from, kept.text, kept.note, kept.version) == (TextFrom.PAGE, "Text a", "", 2)


def test_the_feeds_text_never_replaces_the_page_nor_its_tags(storage):
    store(storage, article("a", tagging=tagging("TIP")))
    poorer = article(
        "a", text_from=TextFrom.FEED, text="Summary", title="Other", note="http 500", tagging=tagging("SOM")
    )
    assert not storage.store_article(poorer, fetched=later(1))
    assert storage.article(article("a").id) == article("a", tagging=tagging("TIP"), note="http 500")
    assert storage.versions(article("a").id) == []


def test_an_article_remembers_when_it_was_first_seen(storage):
    store(storage, article("a"), article("b", first_seen=later(1)), article("a", first_seen=later(2), text="New"))
    assert storage.article(article("a").id).first_seen == NOW
    assert ids(storage.articles(ALL)) == ["b", "a"]  # undated, so listed by that


def test_tags_are_replaced_by_the_newer_ones_and_kept_when_there_are_none(storage):
    store(storage, article("a", tagging=tagging("TIP")), article("a", tagging=tagging("SOM", model="tags-2")))
    assert storage.article(article("a").id).tagging == tagging("SOM", model="tags-2")


def test_storing_an_article_ends_its_work(storage):
    poll(storage, entry("a"))
    storage.claim_work(NOW, limit=1, hold_s=60)
    store(storage, article("a"))
    assert storage.claim_work(later(9), limit=1, hold_s=60) == []


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_the_row_number_of_an_article_depends_on_nothing_else(path, storage, name):
    order = ["a", "b", "c", "d"]
    store(storage, *[article(one) for one in order[order.index(name) :] + order[: order.index(name)]])
    with closing(sqlite3.connect(path)) as connection:
        numbers = dict(connection.execute("SELECT id, number FROM articles"))
    assert numbers[article(name).id] == int(article(name).id, 16) // 2


# --- listings ---


@pytest.fixture
def listed(storage) -> Storage:
    """Five articles, a to e, each a day younger."""
    poll(storage, *[entry(name) for name in "ab"])
    poll(storage, *[entry(name, feed=OTHER_FEED) for name in "bc"], feed=OTHER_FEED)
    for number, name in enumerate("abcde"):
        store(
            storage,
            article(
                name,
                published=later(24 * number),
                language="ru" if name in "be" else "en",
                tagging=tagging(*{"a": ("TIP",), "b": ("TIP", "SOM"), "c": ("SOM",)}.get(name, ())),
            ),
        )
    return storage


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (ArticleFilter(), "edcba"),
        (ArticleFilter(limit=2), "ed"),
        (ArticleFilter(limit=0), "edcba"),
        (ArticleFilter(tag="TIP"), "ba"),
        (ArticleFilter(tag="tip"), ""),
        (ArticleFilter(tag="policy"), ""),
        (ArticleFilter(since=later(48)), "edc"),
        (ArticleFilter(until=later(48)), "ba"),
        (ArticleFilter(since=later(24), until=later(72)), "cb"),
        (ArticleFilter(since=later(48).astimezone(timezone(timedelta(hours=-9)))), "edc"),
        (ArticleFilter(language="ru"), "eb"),
        (ArticleFilter(feed=FEED), "ba"),
        (ArticleFilter(feed=OTHER_FEED), "cb"),
        (ArticleFilter(tag="SOM", language="ru", feed=FEED, since=later(1)), "b"),
    ],
)
def test_articles_are_listed_newest_first_by_what_is_wanted(listed, wanted, found):
    assert "".join(ids(listed.articles(wanted))) == found
    assert "".join(ids(list(listed.iter_articles(wanted)))) == found
    assert sorted(ids(listed.search("text", wanted))) == sorted(found)


def test_a_thousand_articles_are_listed_in_order(storage):
    with storage._writing() as connection:  # one by one would take a while
        values = [
            {
                "number": number,
                "id": f"{number:016x}",
                "authors": [],
                "text_from": "page",
                "tag_notes": [],
                "first_seen": NOW,
                "shown_at": later(number % 7),
                "title": f"{number}",
            }
            for number in range(1000)
        ]
        connection.execute(sa.insert(schema.articles), values)
    shown = [(-(int(one.title) % 7), int(one.title)) for one in storage.iter_articles(ALL)]
    assert shown == sorted((-(number % 7), number) for number in range(1000))


def test_a_time_without_zone_is_refused(listed):
    with pytest.raises(InputError, match="without zone"):
        listed.articles(ArticleFilter(since=datetime(2031, 3, 3)))  # noqa: DTZ001


def test_times_are_kept_in_utc_with_their_zone_where_the_database_knows_zones():
    kind, zoned = schema.UtcDateTime(), NOW.astimezone(timezone(timedelta(hours=6)))
    for dialect, bound in ((sqlite.dialect(), NOW.replace(tzinfo=None)), (postgresql.dialect(), NOW)):
        assert kind.process_bind_param(zoned, dialect) == bound
        assert kind.process_result_value(bound, dialect) == NOW
        assert kind.process_result_value(bound, dialect).tzinfo is UTC


def test_half_a_character_is_refused_not_crashed_upon(storage):
    with pytest.raises(InputError):
        storage.article("\udc80")
    with pytest.raises(InputError):
        storage.store_article(article("a", title="\ud800"), fetched=NOW)


def test_articles_asked_for_by_id_come_in_that_order_without_the_unknown(listed):
    wanted = [article("c").id, "0" * 16, article("a").id]
    assert ids(listed.articles_by_id(wanted)) == ["c", "a"]


# --- search ---


TEXTS = {
    "cyrillic": "Полиция Бишкека освободила работниц швейного цеха; торговля людьми",
    "kyrgyz": "Кыргызстандын ички иштер министрлиги үч адамды кармады",
    "arabic": "الشرطة تنقذ ضحايا الاتجار بالبشر في المدينة",
    "german": "Die Polizei durchsucht Häuser in der Kurzen Straße; ein Schleußer floh",
    "french": "Une enquête sur la traite des êtres humains à Orléans",
    "turkish": "İstanbul'da insan ticareti",
    "quotes": 'He said "they\'re not free" and left — NEAR the co-op, 25,000 AND more',
    "plain": "free they said and not more",
    "indic": "मानव तस्करी के खिलाफ कार्रवाई",
}


@pytest.fixture
def library(storage) -> Storage:
    store(storage, *[article(name, title="", text=text) for name, text in TEXTS.items()])
    return storage


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("полиция", ["cyrillic"]),
        ("БИШКЕКА полиция", ["cyrillic"]),
        ('"торговля людьми"', ["cyrillic"]),
        ('"людьми торговля"', []),
        ("үч КАРМАДЫ", ["kyrgyz"]),
        ("الاتجار", ["arabic"]),
        ('"الاتجار بالبشر"', ["arabic"]),
        ("straße", ["german"]),
        ("Straße", ["german"]),
        ("SCHLEUßER hauser", ["german"]),
        ("HÄUSER", ["german"]),
        ("enquete etres", ["french"]),
        ("ENQUÊTE", ["french"]),
        ("enque\u0302te", ["french"]),  # decomposed, as copied on a Mac
        ("İstanbul", ["turkish"]),
        ("istanbul", ["turkish"]),
        ("istanbul'da", ["turkish"]),
        ("they're", ["quotes"]),
        ("they’re", ["quotes"]),
        ("they said", ["plain", "quotes"]),
        ('"not free"', ["quotes"]),
        ('"free they"', ["plain"]),
        ('"not free', ["plain", "quotes"]),  # a quote that does not close quotes nothing
        ("co-op", ["quotes"]),
        ("25,000", ["quotes"]),
        ("तस्करी", ["indic"]),
        ("free NOT quotes", []),
        ("free OR nothing", []),
        ("NEAR free", ["quotes"]),
        ("NEAR(free more)", ["quotes"]),
        ("text:free", []),
        ("fre*", []),
        ("^free", ["plain", "quotes"]),
        ("{title} : free", []),
        ("free'; DROP TABLE articles; --", []),
        ("free) OR (1", []),
        ('free "" more', ["plain", "quotes"]),
        ("free\x00more", []),
        ("and " * 2000, ["plain", "quotes"]),
    ],
)
def test_a_search_finds_what_holds_all_its_words(library, query, found):
    assert sorted(ids(library.search(query, ALL))) == found


@pytest.mark.parametrize("query", ["", "  ", '""', '"', "* - :", "—", "'", "\ud800"])
def test_a_search_for_no_word_is_refused(library, query):
    with pytest.raises(InputError, match="no word") as caught:
        library.search(query, ALL)
    assert caught.value.subject == query


@settings(max_examples=150, deadline=None)
@given(query=st.text(max_size=40) | st.text(alphabet="ab \"'*:^(){}+-_ANDORNT\\", max_size=40))
def test_no_query_breaks_the_search(shelf, query):
    try:
        shelf.search(query, ALL)
    except InputError as error:
        assert "no word" in str(error)  # noqa: PT017


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_word_or_phrase_of_a_text_finds_it(shelf, data):
    name = data.draw(st.sampled_from(sorted(set(TEXTS) - {"quotes"})))
    pieces = TEXTS[name].split()
    start = data.draw(st.integers(0, len(pieces) - 1))
    phrase = " ".join(pieces[start : data.draw(st.integers(start + 1, len(pieces)))])
    query = f'"{phrase}"' if data.draw(st.booleans()) else phrase
    assert name in ids(shelf.search(query, ALL))


@pytest.fixture(scope="module")
def shelf() -> Iterator[Storage]:
    with open_storage("sqlite://") as opened:
        store(opened, *[article(name, title="", text=text) for name, text in TEXTS.items()])
        yield opened


def test_the_best_come_first_and_titles_are_searched_too(storage):
    store(
        storage,
        article("once", text="kiln " + "rain " * 50),
        article("often", text="kiln kiln kiln"),
        article("title", title="Kiln", text="rain " * 20),
        article("never", text="rain"),
    )
    assert ids(storage.search("kiln", ALL)) == ["often", "title", "once"]
    assert ids(storage.search("kiln", ArticleFilter(limit=1))) == ["often"]


def test_a_text_that_changed_is_found_by_its_new_words_only(storage):
    store(storage, article("a", text="kiln"), article("a", text="boat"))
    assert (ids(storage.search("boat", ALL)), storage.search("kiln", ALL)) == (["a"], [])
    store(storage, article("a", text="lorry", text_from=TextFrom.FEED))
    assert (ids(storage.search("boat", ALL)), storage.search("lorry", ALL)) == (["a"], [])


def test_the_index_agrees_with_the_articles(storage, path):
    for version in range(3):
        store(storage, *[article(name, text=f"{name} {version}") for name in "abc"])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO articles_fts(articles_fts, rank) VALUES ('integrity-check', 1)")


# --- events ---


def test_articles_wait_to_be_grouped_in_the_order_of_their_dates(storage):
    store(
        storage,
        article("undated"),
        article("second", published=later(2)),
        article("first", published=later(1)),
        *[article(name, published=later(3)) for name in "ab"],
    )
    both = sorted((article("a").id, article("b").id))
    assert storage.ungrouped() == [article("first").id, article("second").id, *both, article("undated").id]
    group(storage, article("first"), article("second"))
    assert storage.ungrouped() == [*both, article("undated").id]


def test_an_event_is_told_from_its_members(storage):
    members = [
        article("late", published=later(5), title="Late", source="post.example", tagging=tagging("SOM", "TIP")),
        article("early", published=later(1), title="", tagging=tagging("TIP")),
        article("middle", published=later(3), title="Middle", tagging=tagging("policy")),
        article("undated", first_seen=later(9), title="Undated", source="", tagging=tagging("TIP", "SOM")),
    ]
    store(storage, *members)
    group(storage, *members)
    event = storage.event("event 1")
    assert event.title == "Middle"  # the earliest that has one
    assert (event.first_seen, event.last_seen) == (later(1), later(9))
    assert (event.article_count, event.source_count) == (4, 3)  # without a source its feed counts
    assert event.tags == ("TIP", "SOM")  # of at least a third of its members, the most frequent first
    assert ids(list(event.articles)) == ["early", "middle", "late", "undated"]
    assert {one.event for one in event.articles} == {"event 1"}


def test_a_tag_of_a_third_of_the_members_is_the_events(storage):
    members = [article(name, tagging=tagging(*tags)) for name, tags in {"a": ("funding",), "b": (), "c": ()}.items()]
    store(storage, *members, article("d", tagging=tagging()))
    group(storage, *members)
    assert storage.event("event 1").tags == ("funding",)
    group(storage, article("d"), joins=True)
    assert storage.event("event 1").tags == ()


def test_equally_frequent_tags_come_in_the_models_order(storage):
    store(storage, article("a", tagging=tagging("funding", "policy", "TIP")))
    group(storage, article("a"))
    assert storage.event("event 1").tags == ("TIP", "policy", "funding")


def test_an_event_follows_when_a_member_is_stored_anew(storage):
    store(storage, article("a", published=later(1), tagging=tagging("TIP")))
    group(storage, article("a", published=later(1)))
    store(storage, article("a", published=later(2), title="New title", text="New", tagging=tagging("SOM")))
    event = storage.event("event 1")
    assert (event.title, event.tags, event.last_seen) == ("New title", ("SOM",), later(2))


def test_an_event_follows_when_only_the_tags_of_a_member_change(storage):
    store(storage, article("a"))
    group(storage, article("a"))
    store(storage, article("a", tagging=tagging("SOM")))
    assert storage.event("event 1").tags == ("SOM",)


def test_an_article_stays_in_its_first_event(storage):
    store(storage, article("a"))
    group(storage, article("a"), event="event 1")
    group(storage, article("a"), event="event 2")
    assert storage.article(article("a").id).event == "event 1"
    assert [event.id for event in storage.events(ALL, all_events=True)] == ["event 1"]


def test_joining_an_event_that_is_none_leaves_nothing(storage, path):
    store(storage, article("a"), article("b"))
    before = dump(path)
    with pytest.raises(StorageError, match="FOREIGN KEY"):
        group(storage, article("a"), article("b"), event="nowhere", joins=True)
    assert dump(path) == before


def test_an_unknown_event_is_not_found(storage):
    with pytest.raises(NotFoundError) as caught:
        storage.event("nowhere")
    assert caught.value.subject == "nowhere"


@pytest.fixture
def told(storage) -> Storage:
    """Events by their latest: plain, both (a day earlier), tip (two)."""
    members = {
        "tip": [article("t1", published=later(0), tagging=tagging("TIP")), article("t2", published=later(10))],
        "both": [article("b1", published=later(24), tagging=tagging("TIP", "SOM"), language="ru")],
        "plain": [article("p1", published=later(48), tagging=tagging())],
    }
    poll(storage, entry("b1"))
    for event, articles in members.items():
        store(storage, *articles)
        group(storage, *articles, event=event)
    return storage


@pytest.mark.parametrize(
    ("wanted", "everything", "found"),
    [
        (ArticleFilter(), False, ["both", "tip"]),
        (ArticleFilter(), True, ["plain", "both", "tip"]),
        (ArticleFilter(limit=1), False, ["both"]),
        (ArticleFilter(limit=0), True, ["plain", "both", "tip"]),
        (ArticleFilter(tag="TIP"), False, ["both", "tip"]),
        (ArticleFilter(tag="SOM"), True, ["both"]),
        (ArticleFilter(tag="som"), True, []),
        (ArticleFilter(tag="%"), True, []),
        (ArticleFilter(tag=""), True, []),
        (ArticleFilter(tag='TIP", "SOM'), True, []),
        (ArticleFilter(since=later(10)), True, ["plain", "both", "tip"]),
        (ArticleFilter(since=later(11)), True, ["plain", "both"]),
        (ArticleFilter(until=later(24)), True, ["tip"]),
        (ArticleFilter(since=later(5), until=later(6)), True, ["tip"]),  # it was going on
        (ArticleFilter(language="ru"), True, ["both"]),
        (ArticleFilter(feed=FEED), True, ["both"]),
        (ArticleFilter(feed=OTHER_FEED), True, []),
    ],
)
def test_events_are_listed_latest_first_by_what_is_wanted(told, wanted, everything, found):
    assert [event.id for event in told.events(wanted, all_events=everything)] == found


def test_fingerprints_come_back_oldest_first_with_their_events(told):
    prints = list(told.iter_fingerprints(later(-100)))
    assert [(one.event_id, one.arrived) for one in prints] == [
        ("tip", later(0)),
        ("tip", later(10)),
        ("both", later(24)),
        ("plain", later(48)),
    ]
    assert {one.packed for one in prints} == {b"print"}


def test_fingerprints_of_an_event_come_whole_while_its_last_article_is_young_enough(told):
    assert [one.event_id for one in told.iter_fingerprints(later(10))] == ["tip", "tip", "both", "plain"]
    assert [one.event_id for one in told.iter_fingerprints(later(10.1))] == ["both", "plain"]


# --- failures ---


def page_failure(name: str = "a", stage: Stage = Stage.FETCH, **other) -> Failure:
    url = f"https://herald.example/{name}"
    return Failure(
        **{
            "stage": stage,
            "subject": digest(url),
            "url": url,
            "reason": "timeout",
            "detail": "no answer within 30 s",
            "failed": NOW,
            **other,
        }
    )


def test_a_page_that_failed_is_recorded_counted_and_tried_again_in_its_time(storage):
    poll(storage, entry("a"))
    for attempt in range(1, 4):
        (work,) = storage.claim_work(later(attempt), limit=1, hold_s=60)
        assert work.attempts == attempt - 1
        storage.store_failure(page_failure(failed=later(attempt)), later(attempt + 1))
        assert storage.failures() == [
            page_failure(failed=later(attempt), attempts=attempt, retry_at=later(attempt + 1))
        ]
        assert storage.claim_work(later(attempt + 0.9), limit=1, hold_s=60) == []


def test_a_page_that_failed_for_good_is_not_tried_again(storage):
    poll(storage, entry("a"))
    storage.store_failure(page_failure(), None)
    assert storage.claim_work(later(1000), limit=1, hold_s=60) == []
    assert storage.failures() == [page_failure()]


def test_a_failure_ends_when_the_page_comes(storage):
    poll(storage, entry("a"), entry("b"))
    storage.store_failure(page_failure("a"), later(1))
    storage.store_failure(page_failure("b"), later(1))
    store(storage, article("a"))
    assert storage.failures() == [page_failure("b", retry_at=later(1))]


def test_a_failure_at_another_stage_takes_the_place_of_the_former(storage):
    poll(storage, entry("a"))
    storage.store_failure(page_failure(stage=Stage.ROBOTS), later(1))
    storage.store_failure(page_failure(stage=Stage.EXTRACT, reason="bot_wall"), later(1))
    assert [(one.stage, one.attempts) for one in storage.failures()] == [(Stage.EXTRACT, 1)]


def test_the_feeds_text_is_kept_along_with_why_and_the_page_tried_again(storage):
    poll(storage, entry("a"))
    storage.claim_work(NOW, limit=1, hold_s=60)
    summary = article("a", text_from=TextFrom.FEED, note="no answer")
    assert storage.store_article(summary, fetched=NOW, failure=page_failure(), retry_at=later(1))
    assert storage.article(summary.id).note == "no answer"
    assert storage.failures() == [page_failure(retry_at=later(1))]
    (work,) = storage.claim_work(later(1), limit=1, hold_s=60)
    assert (work.attempts, work.known) == (1, summary)


def test_a_failed_second_look_at_a_page_is_recorded_though_the_article_stays(storage):
    store(storage, article("a"))
    storage.store_article(article("a", text_from=TextFrom.FEED), fetched=NOW, failure=page_failure(), retry_at=later(1))
    assert storage.failures() == [page_failure(retry_at=later(1))]


def test_a_poll_that_failed_is_recorded_counted_and_cleared(storage):
    fail_poll(storage, next_due=later(1))
    fail_poll(storage, now=later(1), next_due=later(3), reason="dns")
    assert storage.failures() == [
        Failure(
            stage=Stage.POLL,
            subject=FEED,
            url=FEED,
            reason="dns",
            detail="no answer",
            attempts=2,
            failed=later(1),
            retry_at=later(3),
        )
    ]
    poll(storage, error="")
    assert storage.failures() == []


def test_a_gone_feed_is_not_promised_another_try(storage):
    fail_poll(storage, state=FeedState.GONE, next_due=later(1))
    assert [one.retry_at for one in storage.failures()] == [None]


def test_details_are_kept_as_one_line_of_bounded_length(storage):
    storage.store_failure(page_failure(detail="bad\x1b[31m\nthing " * 200), None)
    (kept,) = storage.failures()
    assert len(kept.detail) == 500
    assert kept.detail.startswith("bad[31m thing bad[31m")


def test_failures_are_listed_by_stage_and_address(storage):
    storage.store_failure(page_failure("b"), None)
    storage.store_failure(page_failure("c", stage=Stage.EXTRACT), None)
    storage.store_failure(page_failure("a"), None)
    fail_poll(storage)
    assert [(one.stage, one.url.rpartition("/")[2]) for one in storage.failures()] == [
        (Stage.EXTRACT, "c"),
        (Stage.FETCH, "a"),
        (Stage.FETCH, "b"),
        (Stage.POLL, "rss"),
    ]


def test_retry_brings_failed_pages_and_failing_feeds_back_now(storage):
    poll(storage, entry("a"), entry("b"), entry("fine"), next_due=later(9))
    storage.store_failure(page_failure("a"), None)
    storage.store_failure(page_failure("b", stage=Stage.TAG), later(5))
    store(storage, article("fine"))
    fail_poll(storage, feed=OTHER_FEED, next_due=later(9))
    assert storage.retry_failures() == 3
    work = storage.claim_work(NOW, limit=9, hold_s=60)
    assert {one.url.rpartition("/")[2] for one in work} == {"a", "b"}
    assert claimed(storage) == [OTHER_FEED]


def test_retry_never_passes_over_a_servers_word(storage):
    told = {"state": FeedState.WAITING, "not_before": later(5), "next_due": later(5)}
    fail_poll(storage, **told)
    fail_poll(storage, feed=OTHER_FEED, state=FeedState.GONE)
    assert storage.retry_failures() == 0
    assert claimed(storage) == []


def test_with_no_failures_there_is_nothing_to_retry(storage):
    assert storage.retry_failures() == 0


# --- robots and status ---


def test_a_robots_answer_is_kept_for_its_time(storage):
    url = "https://herald.example/robots.txt"
    assert storage.robots(url, NOW, keep_s=3600) is None
    storage.store_robots(url, 200, b"User-agent: *\xff", NOW)
    assert storage.robots(url, later(1), keep_s=3600) == (200, b"User-agent: *\xff")
    assert storage.robots(url, later(1, seconds=1), keep_s=3600) is None
    storage.store_robots(url, None, b"", later(2))
    assert storage.robots(url, later(2), keep_s=3600) == (None, b"")


def test_the_status_counts_what_there_is(storage, path):
    poll(storage, entry("a"), entry("b"), entry("c"), next_due=later(1), interval_s=3600)
    fail_poll(storage, feed=OTHER_FEED, now=later(0.5), next_due=later(5))
    store(storage, article("a", tagging=tagging("TIP", "SOM")), article("b", tagging=tagging()))
    group(storage, article("a"), article("b"))
    status = storage.status(later(1))
    assert (status.feeds, status.feeds_by_state) == (2, {"failing": 1, "ok": 1})
    assert (status.entries, status.articles, status.tagged, status.events) == (3, 2, 1, 1)
    assert (status.pending, status.failures, status.last_poll) == (1, 1, later(0.5))
    assert status.schema == storage.schema
    assert status.bytes == path.stat().st_size


@pytest.mark.parametrize(("hours", "overdue"), [(1.9, 0), (2, 0), (2.1, 1)])
def test_a_feed_is_overdue_once_twice_its_gap_has_passed(storage, hours, overdue):
    poll(storage, next_due=later(1), interval_s=3600)
    fail_poll(storage, feed=OTHER_FEED, state=FeedState.GONE, next_due=later(-9))
    assert storage.status(later(hours)).overdue == overdue


def test_an_empty_storage_has_a_status(storage):
    status = storage.status(NOW)
    assert (status.feeds, status.feeds_by_state, status.last_poll, status.overdue) == (0, {}, None, 0)


# --- one method, one transaction ---


def spoil(path: Path, table: str, action: str = "INSERT") -> None:
    """Let the next write of that kind fail inside the database."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            f"CREATE TRIGGER spoiler AFTER {action} ON {table} BEGIN SELECT RAISE(ABORT, 'spoiled'); END"
        )


def heal(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER spoiler")


def second_feed(storage):
    storage.add_feeds([FeedLink(url="https://one.example/"), FeedLink(url="https://two.example/")], NOW)


def changed_article(storage):
    changed = article("known", text="Other", tagging=tagging("SOM"))
    storage.store_article(changed, fetched=NOW, failure=page_failure("known"), retry_at=later(1))


@pytest.mark.parametrize(
    ("act", "table", "action"),
    [
        (second_feed, "feeds", "INSERT"),
        (lambda storage: storage.remove_feed(FEED), "failures", "DELETE"),
        (lambda storage: claimed(storage, later(99)), "feeds", "UPDATE"),
        (lambda storage: storage.claim_work(NOW, limit=9, hold_s=60), "pending", "UPDATE"),
        (lambda storage: poll(storage, entry("new"), entry("known", text="New"), error=""), "failures", "DELETE"),
        (lambda storage: poll(storage, entry("new"), entry("known", text="New")), "pending", "INSERT"),
        (lambda storage: poll(storage, entry("new"), entry("known", text="New")), "polls", "INSERT"),
        (lambda storage: fail_poll(storage), "failures", "UPDATE"),
        (changed_article, "failures", "INSERT"),
        (changed_article, "tags", "INSERT"),
        (changed_article, "article_versions", "INSERT"),
        (changed_article, "events", "UPDATE"),
        (lambda storage: store(storage, article("new", tagging=tagging("SOM"))), "tags", "INSERT"),
        (lambda storage: store(storage, article("waiting")), "pending", "DELETE"),
        (lambda storage: group(storage, article("known2"), event="event 2"), "fingerprints", "INSERT"),
        (lambda storage: group(storage, article("known2"), event="event 2"), "events", "UPDATE"),
        (lambda storage: storage.store_failure(page_failure("waiting"), later(1)), "pending", "UPDATE"),
        (lambda storage: storage.retry_failures(), "feeds", "UPDATE"),
        (lambda storage: storage.renew_leases(hold_s=9000), "leases", "UPDATE"),
        (lambda storage: storage.acquire("new", hold_s=60), "leases", "INSERT"),
    ],
)
def test_what_fails_in_the_middle_leaves_nothing(storage, path, act, table, action):
    poll(storage, entry("known"), entry("waiting"))
    fail_poll(storage)
    store(storage, article("known", tagging=tagging("TIP")), article("known2"))
    group(storage, article("known"))
    storage.store_failure(page_failure("lost"), None)
    storage.acquire("held", hold_s=60)
    spoil(path, table, action)
    before = dump(path)
    with pytest.raises(StorageError, match="spoiled"):
        act(storage)
    assert dump(path) == before
    heal(path)
    act(storage)  # and afterwards it does its work
    assert dump(path) != before


# --- threads ---


def hammer(one: Storage, two: Storage) -> None:
    """Write from two threads at once, and read in between."""
    together = threading.Barrier(2)
    errors: list[BaseException] = []

    def work(storage: Storage, name: str) -> None:
        try:
            together.wait()
            for number in range(40):
                store(
                    storage, article(f"{name}{number}", tagging=tagging("TIP")), article("both", text=f"{name}{number}")
                )
                storage.search("text", ALL)
                storage.acquire(name, hold_s=60)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in ((one, "left"), (two, "right"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert one.status(NOW).articles == 81
    both = one.article(article("both").id)
    assert both.version == len(one.versions(both.id)) + 1 == 80


def test_two_threads_may_write_to_one_storage(storage):
    hammer(storage, storage)


def test_two_threads_may_write_to_two_storages_of_one_file(storage, other):
    hammer(storage, other)


def test_two_threads_may_write_to_a_storage_in_memory():
    with open_storage("sqlite://") as opened:
        hammer(opened, opened)


def test_a_reader_is_not_held_up_by_a_writer_and_sees_the_state_before(storage, other):
    store(storage, article("a"))
    with storage._writing() as connection:
        connection.execute(sa.delete(schema.articles))
        assert ids(other.articles(ALL)) == ["a"]
    assert other.articles(ALL) == []


def test_ids_are_the_same_wherever_an_entry_is_stored():
    assert entry_id(entry("a")) == entry_id(entry("a", title="Other")) != entry_id(entry("a", feed=OTHER_FEED))

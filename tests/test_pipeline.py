"""Rounds over a real server: from feeds to events."""

from __future__ import annotations

import gzip
import json
import os
import re
import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from conftest import Site, story

from newswatch import FeedState, Settings, TextFrom, Watch

RAID = (
    "Police freed twelve workers from a brick kiln outside Osh on Tuesday, the interior ministry said.\n"
    "The men had been recruited with the promise of good wages, and their passports were taken on the first day.\n"
    "The owner, who is 52, is held on a charge of trafficking in persons, prosecutors said. He denies it."
)
VOTE = (
    "The city council voted on Monday to repair three bridges over the river before the winter sets in.\n"
    "Work begins in April and is to be finished by the end of the year, the mayor told reporters.\n"
    "The bridges were last repaired in 1987, and lorries have been banned from two of them since the spring."
)


def item(name: str, title: str, description: str = "A short summary.", host: str = "a.example") -> dict[str, str]:
    return {
        "title": title,
        "link": f"http://{host}/{name}",
        "guid": name,
        "pubDate": "Tue, 10 Nov 2026 08:00:00 GMT",
        "description": description,
    }


@pytest.fixture
def watch(tmp_path: Path, site: Site, settings: Settings):
    with Watch(tmp_path / "news.db", settings=settings, resolver=site.resolve) as made:
        yield made


def test_a_round_brings_entries_pages_tags_and_events(site: Site, watch: Watch) -> None:
    site.rss("/rss", [item("raid", "Twelve freed from kiln"), item("vote", "Bridges to be repaired")])
    site.put("/raid", story("Twelve freed from kiln", RAID))
    site.put("/vote", story("Bridges to be repaired", VOTE))
    watch.add_feed("http://a.example/rss")
    [result] = list(watch.poll())
    assert (result.new_articles, result.failed_articles, result.error) == (2, 0, "")
    raid = next(article for article in watch.articles() if "kiln" in article.title)
    assert raid.text_from is TextFrom.PAGE
    assert raid.title == "Twelve freed from kiln"
    assert raid.tagging is not None
    assert raid.tagging.tags == ("TIP",)
    assert raid.source == "a.example"
    [event] = watch.events()
    assert event.title == "Twelve freed from kiln"
    assert len(watch.events(all_events=True)) == 2


def test_a_second_round_adds_nothing_and_asks_no_page_again(site: Site, watch: Watch) -> None:
    site.rss("/rss", [item("raid", "Twelve freed from kiln")], ETag='"v1"')
    site.put("/raid", story("Twelve freed from kiln", RAID))
    watch.add_feed("http://a.example/rss")
    list(watch.poll())
    assert list(watch.poll()) == []  # not due
    [again] = list(watch.poll(force=True))
    assert (again.status, again.new_articles) == (304, 0)
    assert site.counts()["/raid"] == 1
    assert len(watch.articles()) == 1


def test_a_changed_entry_makes_a_new_version(site: Site, watch: Watch) -> None:
    site.rss("/rss", [item("raid", "Twelve freed from kiln", "first")])
    site.put("/raid", story("Twelve freed from kiln", RAID))
    watch.add_feed("http://a.example/rss")
    list(watch.poll())
    site.rss("/rss", [item("raid", "Twelve freed from kiln", "second, changed")])
    site.put("/raid", story("Twelve freed from kiln", RAID + "\nA second man was arrested on Wednesday."))
    list(watch.poll(force=True))
    [article] = watch.articles()
    assert article.version == 2
    assert "second man" in article.text
    assert [text for _, _, text in watch.storage.versions(article.id)] != [article.text]


def test_a_failing_page_ends_as_feed_text_with_a_recorded_failure(site: Site, watch: Watch) -> None:
    summary = "Police freed twelve workers from a brick kiln, where they were held in debt bondage."
    site.rss("/rss", [item("gone", "Twelve freed from kiln", summary)])
    watch.add_feed("http://a.example/rss")
    [result] = list(watch.poll())
    assert (result.new_articles, result.failed_articles) == (1, 1)
    [article] = watch.articles()
    assert article.text == summary
    assert article.text_from is TextFrom.FEED
    assert "404" in article.note
    [failure] = watch.failures()
    assert (failure.stage, failure.reason) == ("fetch", "http_404")


def test_a_failure_goes_away_when_retry_succeeds(site: Site, watch: Watch) -> None:
    site.rss("/rss", [item("raid", "Twelve freed from kiln")])
    site.put("/raid", "busy", status=404)
    watch.add_feed("http://a.example/rss")
    list(watch.poll())
    site.put("/raid", story("Twelve freed from kiln", RAID))
    assert watch.retry() == 1
    list(watch.poll())
    assert watch.failures() == []
    [article] = watch.articles()
    assert (article.text_from, article.version) == (TextFrom.PAGE, 2)


def test_a_temporary_failure_is_tried_again_by_itself_when_its_time_has_come(
    tmp_path: Path, site: Site, settings: Settings
) -> None:
    clock = [datetime(2026, 11, 10, 12, tzinfo=UTC)]
    site.rss("/rss", [item("raid", "Twelve freed from kiln")])
    site.put("/raid", "busy", status=503)
    with Watch(tmp_path / "n.db", settings=settings, resolver=site.resolve, now=lambda: clock[0]) as watch:
        watch.add_feed("http://a.example/rss")
        list(watch.poll())
        site.put("/raid", story("Twelve freed from kiln", RAID))
        list(watch.poll())
        assert watch.articles()[0].text_from is TextFrom.FEED
        clock[0] += timedelta(hours=1, minutes=1)
        list(watch.poll())
        assert watch.articles()[0].text_from is TextFrom.PAGE
        assert watch.failures() == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<title>Just a moment...</title><p>Verify you are human by completing the action below.</p>", "bot_wall"),
        ("<title>Log in</title><p>Please log in to read</p><form><input type=password></form>", "login_wall"),
        ("<title>Cookies</title><p>We use cookies. Before you continue, accept all cookies.</p>", "consent_wall"),
    ],
)
def test_a_wall_answering_200_is_a_failure(site: Site, watch: Watch, body: str, reason: str) -> None:
    site.rss("/rss", [item("raid", "Twelve freed from kiln", "Police freed twelve workers.")])
    site.put("/raid", body)
    watch.add_feed("http://a.example/rss")
    list(watch.poll())
    assert [failure.reason for failure in watch.failures()] == [reason]
    assert watch.articles()[0].text == "Police freed twelve workers."


def test_the_feeds_text_is_used_where_the_page_holds_less(site: Site, watch: Watch) -> None:
    site.rss("/rss", [item("raid", "Twelve freed from kiln", RAID * 3)])
    site.put("/raid", story("Twelve freed from kiln", "Subscribers can read on about the workers who were freed here."))
    watch.add_feed("http://a.example/rss")
    list(watch.poll())
    [article] = watch.articles()
    assert article.text_from is TextFrom.FEED
    assert article.note == "the page holds less than the feed"


def test_robots_txt_is_obeyed_for_pages(site: Site, watch: Watch) -> None:
    site.rss("/rss", [item("closed/raid", "Twelve freed from kiln", "Police freed twelve workers.")])
    site.put("/robots.txt", "User-agent: *\nDisallow: /closed/", "text/plain")
    watch.add_feed("http://a.example/rss")
    [result] = list(watch.poll())
    assert result.failed_articles == 0
    assert site.counts()["/closed/raid"] == 0
    assert watch.articles()[0].note == "robots.txt forbids the page"


def test_robots_txt_is_asked_for_once(site: Site, watch: Watch) -> None:
    site.rss("/rss", [item(f"raid{n}", f"Raid {n}") for n in range(5)])
    watch.add_feed("http://a.example/rss")
    list(watch.poll())
    assert site.counts()["/robots.txt"] == 1


def test_a_host_whose_robots_txt_fails_is_not_asked_for_pages(site: Site, watch: Watch) -> None:
    site.rss("/rss", [item("raid", "Twelve freed from kiln")])
    site.put("/robots.txt", "", status=500)
    site.put("/raid", story("Twelve freed from kiln", RAID))
    watch.add_feed("http://a.example/rss")
    list(watch.poll())
    assert site.counts()["/raid"] == 0
    assert [failure.reason for failure in watch.failures()] == ["robots_unreachable"]


def test_one_bad_feed_does_not_stop_the_others(site: Site, watch: Watch) -> None:
    site.rss("b.example/rss", [item("raid", "Twelve freed from kiln")])
    site.put("/raid", story("Twelve freed from kiln", RAID))
    site.put("c.example/rss", "<html><title>Welcome</title><p>Our news</p></html>")
    site.put("d.example/rss", "", status=500)
    for host in ("b", "c", "d"):
        watch.add_feed(f"http://{host}.example/rss")
    results = {result.feed_url: result for result in watch.poll()}
    assert results["http://b.example/rss"].new_articles == 1
    assert "discover" in results["http://c.example/rss"].error
    assert "500" in results["http://d.example/rss"].error
    assert {feed.state for feed in watch.feeds()} == {FeedState.OK, FeedState.FAILING}


def test_a_feed_that_is_gone_is_not_asked_again_until_it_is_added_again(site: Site, watch: Watch) -> None:
    site.put("/rss", "", status=410)
    watch.add_feed("http://a.example/rss")
    list(watch.poll())
    assert watch.feeds()[0].state is FeedState.GONE
    assert list(watch.poll(force=True)) == []
    watch.add_feed("http://a.example/rss")
    assert len(list(watch.poll())) == 1


def test_force_does_not_pass_over_retry_after(site: Site, watch: Watch) -> None:
    site.put("/rss", "slow down", status=429, Retry_After="3600")
    watch.add_feed("http://a.example/rss")
    list(watch.poll())
    assert watch.feeds()[0].state is FeedState.WAITING
    assert list(watch.poll(force=True)) == []


def test_the_same_story_in_two_outlets_is_one_event_with_two_sources(site: Site, watch: Watch) -> None:
    site.rss("a.example/rss", [item("raid", "Twelve freed from kiln")])
    site.rss("b.example/rss", [item("raid", "Workers freed from brick kiln near Osh", host="b.example")])
    site.put("/raid", story("Twelve freed from kiln", RAID))
    for host in ("a", "b"):
        watch.add_feed(f"http://{host}.example/rss")
    list(watch.poll())
    [event] = watch.events(all_events=True)
    assert (event.article_count, event.source_count) == (2, 2)


def test_one_url_in_two_feeds_is_one_article(site: Site, watch: Watch) -> None:
    site.rss("a.example/rss", [item("raid", "Twelve freed from kiln")])
    site.rss("b.example/rss", [item("raid", "Twelve freed from kiln") | {"link": "http://a.example/raid?utm_source=b"}])
    site.put("/raid", story("Twelve freed from kiln", RAID))
    for host in ("a", "b"):
        watch.add_feed(f"http://{host}.example/rss")
    list(watch.poll())
    assert len(watch.articles()) == 1


def test_leaving_the_round_early_keeps_what_was_done_and_the_next_goes_on(site: Site, watch: Watch) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        import asyncio

        await asyncio.sleep(30)
        return web.Response(text="late")

    site.rss("a.example/rss", [item("raid", "Twelve freed from kiln")])
    site.put("/raid", story("Twelve freed from kiln", RAID))
    site.pages["b.example/rss"] = slow
    site.put("c.example/rss", "", status=500)
    for host in ("a", "b", "c"):
        watch.add_feed(f"http://{host}.example/rss")
    for _ in watch.poll():
        break
    site.rss("b.example/rss", [])
    assert [result.feed_url for result in watch.poll()].count("http://b.example/rss") == 1
    assert len(watch.articles()) == 1


def test_a_full_storage_error_is_raised_not_swallowed(site: Site, watch: Watch) -> None:
    from newswatch import StorageError

    site.rss("/rss", [item("raid", "Twelve freed from kiln")])
    watch.add_feed("http://a.example/rss")
    with watch.storage._writing() as connection:
        connection.exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
        )
    with pytest.raises(StorageError, match="disk is full"):
        list(watch.poll())


# --- real feeds and pages ---------------------------------------------------------------------------------------------

EVAL = Path(os.environ.get("NEWSWATCH_EVAL", ""))
needs_eval = pytest.mark.skipif(
    "NEWSWATCH_EVAL" not in os.environ, reason="NEWSWATCH_EVAL names no folder of real data"
)


@needs_eval
@pytest.mark.slow
def test_45_real_feeds_are_polled_and_a_second_poll_adds_nothing(site: Site, watch: Watch) -> None:
    paths = sorted((EVAL / "feeds").glob("*.xml"))
    assert len(paths) == 45
    for path in paths:
        site.put(f"feeds.example/{path.stem}", path.read_bytes(), "application/xml")
        watch.add_feed(f"http://feeds.example/{path.stem}")
    results = list(watch.poll())
    assert len(results) == 45
    assert [result.feed_url for result in results if result.error] == []
    entries = watch.status().entries
    assert entries == sum(result.new_entries for result in results) > 1000
    articles = len(watch.articles(limit=0))
    again = list(watch.poll(force=True))
    assert sum(result.new_entries + result.new_articles for result in again) == 0
    assert (watch.status().entries, len(watch.articles(limit=0))) == (entries, articles)


def _grams(text: str) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[i : i + 4]) for i in range(max(1, len(words) - 3))) if words else Counter()


def _f1(found: dict[str, str], truth: dict[str, dict[str, str]]) -> float:
    """F1 of word 4-grams, precision and recall averaged over pages."""
    precisions, recalls = [], []
    for key, gold in truth.items():
        wanted, got = _grams(gold["articleBody"]), _grams(found.get(key, ""))
        shared = sum((wanted & got).values())
        precisions.append(shared / sum(got.values()) if got else 0.0)
        recalls.append(shared / sum(wanted.values()) if wanted else 1.0)
    precision, recall = statistics.mean(precisions), statistics.mean(recalls)
    return 2 * precision * recall / (precision + recall)


@needs_eval
@pytest.mark.slow
def test_181_real_pages_end_as_articles_or_recorded_failures(
    tmp_path: Path, site: Site, settings: Settings, record_property
) -> None:
    import trafilatura

    truth = json.loads((EVAL / "extraction" / "ground-truth.json").read_text())
    theirs = {}
    for key in truth:
        body = gzip.decompress((EVAL / "extraction" / "html" / f"{key}.html.gz").read_bytes())
        site.put(f"/{key}", body, "text/html")
        theirs[key] = trafilatura.extract(body.decode("utf-8", "replace"), include_comments=False) or ""
    site.rss("/rss", [item(key, f"Page {key}") for key in truth])
    own = Settings(host_delay_s=0, allow_private=settings.allow_private, workers=2)
    with Watch(tmp_path / "n.db", settings=own, resolver=site.resolve) as watch:
        watch.add_feed("http://a.example/rss")
        [result] = list(watch.poll())
        ours = {article.url.rpartition("/")[2]: article for article in watch.articles(limit=0)}
        failed = {failure.url.rpartition("/")[2] for failure in watch.failures()}
    assert set(ours) | failed == set(truth)
    assert result.new_articles == len(ours)
    texts = {key: article.text for key, article in ours.items() if article.text_from is TextFrom.PAGE}
    mine, default = _f1(texts, truth), _f1(theirs, truth)
    print(
        f"\n4-gram F1 {mine:.4f}, trafilatura's default {default:.4f}; {len(texts)} pages read, {len(failed)} failures"
    )
    assert mine >= default

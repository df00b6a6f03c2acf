"""A poll killed at any moment, and run again, leaves the rows of one that was not disturbed."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Site, story

# Times of our own, and who works on what.
OWN = {
    "feeds": {"added", "last_polled", "next_due", "failing_since", "lease_owner", "lease_until"},
    "entries": {"first_seen"},
    "articles": {"first_seen", "fetched"},
    "article_versions": {"fetched"},
    "failures": {"failed", "retry_at", "attempts"},
    "pending": {"due", "attempts", "lease_owner", "lease_until"},
    "robots": {"fetched"},
}
TABLES = (
    "feeds",
    "entries",
    "articles",
    "tags",
    "members",
    "events",
    "fingerprints",
    "failures",
    "article_versions",
    "robots",
)

PLACES = ["Osh", "Lviv", "Tunis", "Lagos", "Lima", "Bari", "Izmir", "Dhaka", "Accra", "Turin"]
DEEDS = [
    ("held {n} people in a flat and made them beg at the station", "The police freed {n} beggars in {p}"),
    ("carried {n} migrants over the border in a lorry for a fee", "Lorry with {n} migrants stopped near {p}"),
    ("asked parliament for {n} million for a shelter for victims of trafficking", "Shelter in {p} to get {n} million"),
    ("signed a plan with {n} measures on returns of asylum seekers", "Minister in {p} signs plan with {n} measures"),
    ("lost the match by {n} goals after a poor second half", "{p} lose by {n} goals"),
]


def _words(seed: int) -> list[str]:
    """Names of their own for each happening."""
    chance = random.Random(seed)
    syllables = "ka ro mi tel bas un dor vi shen al ger po lu nar zi".split()
    return ["".join(chance.choices(syllables, k=3)).title() for _ in range(8)]


def _fill(site: Site, feeds: int, entries: int) -> None:
    for f in range(feeds):
        items = []
        for e in range(entries):
            place, number = PLACES[(f * 3 + e) % len(PLACES)], 10 + (e * 7 + f) % 31
            deed, headline = DEEDS[e % len(DEEDS)]
            title = headline.format(n=number, p=place)
            words = _words(f // 2 * 100 + e)  # every second feed tells what its neighbour tells
            text = "\n".join(
                f"{opening} in {place} {deed.format(n=number)}, {words[i]} {words[i + 1]} of {words[i + 2]} said."
                for i, opening in enumerate(("Officials", "Two men", "A group that worked from an office", "People"))
            )
            name = f"f{f}-{e}"
            if e % 9 == 7:
                site.put(f"/{name}", "gone", status=404)
            else:
                site.put(f"/{name}", story(title, text))
            items.append(
                {
                    "title": title,
                    "link": f"http://127.0.0.1:{site.port}/{name}",
                    "guid": name,
                    "pubDate": f"Tue, {10 + e % 6} Nov 2026 08:{f:02}:00 GMT",
                    "description": text[:80],
                }
            )
        site.rss(f"/feed{f}", items)


def _rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.execute("INSERT INTO articles_fts(articles_fts, rank) VALUES ('integrity-check', 1)")
        found = {}
        for table in TABLES:
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            kept = ", ".join(name for name in names if name not in OWN.get(table, ()))
            found[table] = sorted(connection.execute(f"SELECT {kept} FROM {table}").fetchall(), key=repr)
        return found
    finally:
        connection.close()


def _poll(site: Site, path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "newswatch", "--storage", str(path), "poll", "--allow-private", "127.0.0.0/8"]
    environment = os.environ | {"NEWSWATCH_HOST_DELAY_S": "0", "NEWSWATCH_WORKERS": "2"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def _subscribe(site: Site, path: Path, feeds: int) -> None:
    from newswatch import Watch

    with Watch(path) as watch:
        for f in range(feeds):
            watch.add_feed(f"http://127.0.0.1:{site.port}/feed{f}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is of Unix")
def test_a_poll_killed_at_random_moments_and_run_again_leaves_the_same_rows(tmp_path: Path, site: Site) -> None:
    feeds, kills = 5, int(os.environ.get("NEWSWATCH_KILLS", "5"))
    _fill(site, feeds, 12)
    calm = tmp_path / "calm.db"
    _subscribe(site, calm, feeds)
    began = time.monotonic()
    assert _poll(site, calm).wait(120) == 3  # some pages are gone
    whole = time.monotonic() - began
    wanted = _rows(calm)
    assert len(wanted["articles"]) == 60
    assert len(wanted["events"]) >= 5
    chance = random.Random(20261121)
    died = 0
    for number in range(kills):
        path = tmp_path / f"killed{number}.db"
        _subscribe(site, path, feeds)
        process = _poll(site, path)
        # The first part of the run is imports; kill mostly after them.
        time.sleep(whole * chance.uniform(0.15, 1.0))
        process.send_signal(signal.SIGKILL)
        died += process.wait(30) == -signal.SIGKILL
        assert _poll(site, path).wait(120) in (0, 3)
        found = _rows(path)
        for table in TABLES:
            assert found[table] == wanted[table], f"{table} differs after kill {number}"
    assert died >= kills // 2

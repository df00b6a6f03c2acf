"""The command line as users meet it: what is printed where, and the exit codes."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import Site, story

from newswatch import Watch, read_opml

ROOT = Path(__file__).parent.parent
NEXT_WEEK = datetime.now(UTC) + timedelta(days=7)
SEEDS = json.loads((ROOT / "seeds" / "tags.json").read_text())
KILN = (
    "Police freed twelve workers from a brick kiln on Tuesday.\n"
    "They were held in debt bondage, and their passports had been taken by the owner, who is charged with trafficking."
)


def run(*arguments: str | Path, stdin: bytes | None = None, storage: Path | None = None, **environment: str):
    command = [sys.executable, "-m", "newswatch"]
    if storage is not None:
        command += ["--storage", str(storage)]
    done = subprocess.run(
        [*command, *map(str, arguments)],
        input=b"" if stdin is None else stdin,
        capture_output=True,
        timeout=120,
        env=os.environ | {"NEWSWATCH_HOST_DELAY_S": "0", "PYTHONIOENCODING": "utf-8"} | environment,
    )
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in done.stderr
    return done


def rows(done) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def filled(tmp_path: Path, site: Site, settings) -> Path:
    """A storage with two articles of one event and one of another."""
    place = tmp_path / "news.db"
    site.rss(
        "/rss",
        [
            {"title": "Twelve freed from kiln", "link": "http://a.example/1", "guid": "1", "description": "x"},
            {
                "title": '=HYPERLINK("http://evil.example")',
                "link": "http://a.example/2",
                "guid": "2",
                "description": "x",
            },
        ],
    )
    site.put("/1", story("Twelve freed from kiln", KILN))
    site.put(
        "/2",
        story(
            '=HYPERLINK("http://evil.example")', "The council will repair three bridges next spring, it said on Monday."
        ),
    )
    with Watch(place, settings=settings, resolver=site.resolve) as watch:
        watch.add_feed("http://a.example/rss", title="A")
        list(watch.poll())
    return place


# --- classify ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_seeds_get_their_tags_by_file_and_by_stdin(name: str) -> None:
    path = ROOT / "seeds" / f"{name}.txt"
    by_file = json.loads(run("classify", "--file", path, "--json").stdout)
    by_stdin = json.loads(run("classify", "--json", stdin=path.read_bytes()).stdout)
    assert by_file == by_stdin
    assert sorted(by_file["tags"]) == sorted(SEEDS[name])
    assert set(by_file) >= {"tags", "scores", "language", "unsure"}


def test_pasted_text_is_tagged_and_explained() -> None:
    done = run("classify", KILN, "--explain")
    assert done.returncode == 0
    assert "TIP" in done.stdout
    assert "debt bondage" in done.stdout


def test_text_wins_over_piped_input() -> None:
    assert json.loads(run("classify", KILN, "--json", stdin=b"Goals").stdout)["tags"] == ["TIP"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"  \n\t ", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(300), "no text"),
        (b"%PDF-1.7 " + bytes(range(256)) * 4, "no text"),
        (bytes(range(256)) * 40, "no text"),
        (b"word " * 10_000_000, "larger than 5 MB"),
    ],
    ids=["empty", "blank", "png", "pdf", "bytes", "50 MB"],
)
def test_input_that_is_no_text_gets_a_clear_message_and_exit_1(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "input"
    path.write_bytes(data)
    for done in (run("classify", "--file", path), run("classify", stdin=data), run("classify", "-", stdin=data)):
        assert done.returncode == 1
        assert words in done.stderr
        assert done.stdout == ""


def test_a_file_given_as_text_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_text(KILN)
    done = run("classify", tmp_path / "report.txt")
    assert done.returncode == 2
    assert "--file" in done.stderr


def test_a_file_that_is_not_there_is_named() -> None:
    done = run("classify", "--file", "no/such/file.txt")
    assert done.returncode == 1
    assert "no/such/file.txt" in done.stderr


def test_classify_jsonl_answers_every_line_in_order(tmp_path: Path) -> None:
    lines = [{"id": "a", "title": "", "text": KILN}, {"id": "b", "title": "Goals", "text": "They won.", "lang": "en"}]
    text = "".join(json.dumps(line) + "\n" for line in lines) + "no json\n" + json.dumps({"id": "c", "text": 7}) + "\n"
    path = tmp_path / "in.jsonl"
    path.write_text(text)
    done = run("classify", "--jsonl", path)
    assert done.returncode == 3
    found = rows(done)
    assert [row["id"] for row in found] == ["a", "b", None, "c"]
    assert found[0]["tags"] == ["TIP"]
    assert set(found[1]) == {"id", "tags", "scores", "language", "unsure"}
    assert "line 3" in found[2]["error"]
    assert "text must be a string" in found[3]["error"]


# --- extract and group ------------------------------------------------------------------------------------------------


def test_extract_gives_the_promised_fields(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(story("Twelve freed from kiln", KILN))
    found = json.loads(run("extract", path, "--url", "https://a.example/1", "--json").stdout)
    assert set(found) == {"url", "title", "text", "authors", "published", "language", "site"}
    assert found["url"] == "https://a.example/1"
    assert "debt bondage" in found["text"]
    assert run("extract", "-", stdin=path.read_bytes()).stdout.startswith("Twelve freed")


def test_extract_says_what_is_wrong_with_a_page(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"%PDF-1.4" + bytes(100))
    done = run("extract", path)
    assert done.returncode == 1
    assert "no text" in done.stderr


def test_extract_jsonl(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(story("Twelve freed from kiln", KILN))
    (tmp_path / "b.html.gz").write_bytes(gzip.compress(story("Twelve freed", KILN).encode()))
    lines = [
        {"id": "a", "path": str(tmp_path / "a.html"), "url": "https://a.example/1"},
        {"id": "b", "path": str(tmp_path / "b.html.gz")},
        {"id": "c", "path": str(tmp_path / "missing.html")},
    ]
    done = run("extract", "--jsonl", "-", stdin="\n".join(map(json.dumps, lines)).encode())
    assert done.returncode == 3
    found = rows(done)
    assert [row["id"] for row in found] == ["a", "b", "c"]
    assert found[0]["title"] == "Twelve freed from kiln"
    assert "debt bondage" in found[1]["text"]
    assert "missing.html" in found[2]["error"]


def test_lines_that_cannot_be_used_are_answered_and_the_others_too(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(bytes(20_000_000)))
    broken = tmp_path / "broken.gz"
    broken.write_bytes(gzip.compress(b"<p>text" * 999)[:-30] + b"x" * 20)
    (tmp_path / "good.html").write_text(story("Twelve freed from kiln", KILN))
    paths = ["nul\0byte", str(bomb), str(broken), str(tmp_path / "good.html")]
    lines = "\n".join(json.dumps({"id": number, "path": path}) for number, path in enumerate(paths))
    done = run("extract", "--jsonl", "-", stdin=lines.encode())
    assert done.returncode == 3
    found = rows(done)
    assert [("error" in row) for row in found] == [True, True, True, False]
    assert "larger than" in found[1]["error"]
    done = run(
        "classify", "--jsonl", "-", stdin=b'{"id": "\\ud800", "text": "Five men were held."}\n{"id": true, "text": "x"}'
    )
    assert [("error" in row) for row in rows(done)] == [False, True]


def test_group_jsonl_reads_gzip_and_nulls(tmp_path: Path) -> None:
    lines = [
        {"id": "1", "title": "Twelve freed from kiln", "text": KILN * 3, "published": "2026-11-10T08:00:00Z"},
        {"id": "2", "title": "Kiln: twelve freed", "text": KILN * 3, "published": None},
        {"id": "3", "title": "Bridges", "text": None, "published": "2026-11-10"},
        {"id": "3", "title": "again", "text": "", "published": ""},
    ]
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    done = run("group", "--jsonl", path)
    found = rows(done)
    assert done.returncode == 3
    assert found[0]["event"] == found[1]["event"] != found[2]["event"]
    assert "twice" in found[3]["error"]


# --- feeds ------------------------------------------------------------------------------------------------------------


def test_add_list_and_remove(tmp_path: Path) -> None:
    place = tmp_path / "n.db"
    assert run("add", "https://a.example/rss", "https://b.example/atom", storage=place).returncode == 0
    assert run("add", "http://a.example/rss/", storage=place).returncode == 0  # known: no error
    found = rows(run("feeds", "--json", storage=place))
    assert [row["url"] for row in found] == ["https://a.example/rss", "https://b.example/atom"]
    assert set(found[0]) == {"url", "title", "state", "last_polled", "next_due", "status", "error", "failures"}
    assert found[0]["state"] == "new"
    assert run("remove", "https://a.example/rss", storage=place).returncode == 0
    assert run("remove", "https://a.example/rss", storage=place).returncode == 1
    assert len(rows(run("feeds", "--json", storage=place))) == 1


def test_opml_goes_in_and_out(tmp_path: Path) -> None:
    opml = run("feeds", "--opml", storage=tmp_path / "empty.db").stdout
    assert read_opml(opml.encode()) == ()
    path = tmp_path / "in.opml"
    path.write_text(
        '<opml version="2.0"><body><outline text="A &amp; B" xmlUrl="https://a.example/rss"/></body></opml>'
    )
    place = tmp_path / "n.db"
    assert run("add", path, storage=place).returncode == 0
    [link] = read_opml(run("feeds", "--opml", storage=place).stdout.encode())
    assert (link.url, link.title) == ("https://a.example/rss", "A & B")


def test_an_address_that_is_none_is_named(tmp_path: Path) -> None:
    done = run("add", "ftp://a.example/rss", storage=tmp_path / "n.db")
    assert done.returncode == 1
    assert "ftp://a.example/rss" in done.stderr


def test_discover_finds_the_feeds_of_a_page(site: Site) -> None:
    site.put("/", '<link rel="alternate" type="application/rss+xml" title="News" href="/rss">')
    done = run("discover", f"http://127.0.0.1:{site.port}/", "--json", "--allow-private", "127.0.0.0/8")
    assert rows(done) == [{"url": f"http://127.0.0.1:{site.port}/rss", "title": "News"}]


def test_an_address_that_is_not_public_is_refused_with_the_remedy(site: Site) -> None:
    done = run("discover", f"http://127.0.0.1:{site.port}/")
    assert done.returncode == 1
    assert "--allow-private" in done.stderr
    assert site.requests == []


# --- looking ----------------------------------------------------------------------------------------------------------


def test_articles_carry_the_promised_fields(filled: Path) -> None:
    found = rows(run("articles", "--json", storage=filled))
    assert len(found) == 2
    promised = {
        "id",
        "url",
        "title",
        "text",
        "published",
        "language",
        "tags",
        "event",
        "feed",
        "text_from",
        "scores",
        "first_seen",
    }
    assert promised <= set(found[0])


def test_events_lists_tagged_ones_and_all_the_rest(filled: Path) -> None:
    [event] = rows(run("events", "--json", storage=filled))
    assert set(event) == {"id", "title", "tags", "first_seen", "last_seen", "article_count", "source_count"}
    assert event["tags"] == ["TIP"]
    assert len(rows(run("events", "--all", "--json", storage=filled))) == 2
    assert rows(run("events", "--tag", "SOM", "--json", storage=filled)) == []


def test_search_and_show(filled: Path) -> None:
    [found] = rows(run("search", "debt bondage", "--json", storage=filled))
    article = json.loads(run("show", found["id"], "--json", storage=filled).stdout)
    assert article == found
    event = json.loads(run("show", found["event"], "--json", storage=filled).stdout)
    assert [one["id"] for one in event["articles"]] == [found["id"]]
    assert "Twelve freed" in run("show", found["event"], storage=filled).stdout
    assert run("show", "0000000000000000", storage=filled).returncode == 1


def test_filters_and_an_empty_listing(filled: Path) -> None:
    assert len(rows(run("articles", "--limit", "1", "--json", storage=filled))) == 1
    assert len(rows(run("articles", "--since", "1d", "--json", storage=filled))) == 2
    empty = run("articles", "--until", "2020-01-01", storage=filled)
    assert (empty.stdout, empty.returncode) == ("", 0)
    assert run("articles", "--since", "yesterday", storage=filled).returncode == 2


def test_a_tag_is_known_whatever_its_case_and_an_unknown_one_is_told(filled: Path) -> None:
    assert len(rows(run("articles", "--tag", "tip", "--json", storage=filled))) == 1
    done = run("articles", "--tag", "SMUGGLING", storage=filled)
    assert done.returncode == 2
    assert "TIP, SOM, policy, funding" in done.stderr
    assert run("articles", "--language", "russian", storage=filled).returncode == 2


def test_status_counts(filled: Path) -> None:
    done = run("status", "--json", storage=filled)
    assert done.returncode == 0
    assert json.loads(done.stdout)["articles"] == 2


# --- export -----------------------------------------------------------------------------------------------------------


def test_export_leaves_full_text_out_unless_asked(filled: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    assert run("export", "--format", "jsonl", "--output", path, storage=filled).returncode == 0
    assert all("text" not in json.loads(line) for line in path.read_text().splitlines())
    full = run("export", "--format", "jsonl", "--full-text", storage=filled)
    assert any("debt bondage" in row["text"] for row in rows(full))


def test_no_formula_gets_through_csv(filled: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    assert run("export", "--format", "csv", "--output", path, storage=filled).returncode == 0
    table = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    assert len(table) == 2
    assert all(not cell.startswith(("=", "+", "-", "@")) for row in table for cell in row.values())
    assert any(row["title"].startswith("'=HYPERLINK") for row in table)


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no devices here")
def test_export_to_a_device_writes_to_it(filled: Path) -> None:
    done = run("export", "--format", "jsonl", "--output", "/dev/stdout", storage=filled)
    assert len(rows(done)) == 2


def test_export_to_a_place_that_cannot_be_written_leaves_nothing(filled: Path, tmp_path: Path) -> None:
    done = run("export", "--format", "csv", "--output", tmp_path / "no" / "out.csv", storage=filled)
    assert done.returncode == 1
    assert "cannot write" in done.stderr


# --- polling ----------------------------------------------------------------------------------------------------------


def _poll_settings(site: Site) -> dict[str, str]:
    return {"NEWSWATCH_ALLOW_PRIVATE": "127.0.0.0/8", "NEWSWATCH_WORKERS": "0", "NEWSWATCH_HOST_DELAY_S": "0.05"}


def test_poll_exits_3_where_something_failed_and_0_where_not(tmp_path: Path, site: Site) -> None:
    place = tmp_path / "n.db"
    site.rss("/rss", [{"title": "Freed", "link": f"http://127.0.0.1:{site.port}/1", "guid": "1", "description": KILN}])
    site.put("/1", story("Freed", KILN))
    run("add", f"http://127.0.0.1:{site.port}/rss", storage=place)
    done = run("poll", storage=place, **_poll_settings(site))
    assert done.returncode == 0
    assert "1 new articles" in done.stdout
    assert "no feed is due" in run("poll", storage=place, **_poll_settings(site)).stderr
    run("add", f"http://127.0.0.1:{site.port}/none", storage=place)
    done = run("poll", "--json", storage=place, **_poll_settings(site))
    assert done.returncode == 3
    assert "404" in rows(done)[0]["error"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of Unix")
@pytest.mark.parametrize("between_rounds", [True, False])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_poll_every_stops_cleanly(tmp_path: Path, site: Site, name: str, between_rounds: bool) -> None:
    place = tmp_path / "n.db"
    site.rss("/rss", [])
    run("add", f"http://127.0.0.1:{site.port}/rss", storage=place)
    process = subprocess.Popen(
        [sys.executable, "-m", "newswatch", "--storage", str(place), "poll", "--every", "1s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | _poll_settings(site),
    )
    wait_for(lambda: site.counts()["/rss"] >= 1)
    if between_rounds:
        with Watch(place) as watch:
            wait_for(lambda: watch.feeds()[0].status == 200)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert b"stopped" in errors
    assert b"Traceback" not in errors
    with Watch(place) as watch:
        assert len(watch.storage.claim_feeds(NEXT_WEEK, limit=0, hold_s=60)) == 1  # its lease was given back


@pytest.mark.skipif(sys.platform == "win32", reason="signals are of Unix")
def test_poll_every_survives_a_broken_round(tmp_path: Path, site: Site) -> None:
    import sqlite3

    place = tmp_path / "n.db"
    site.rss("/rss", [])
    run("add", f"http://127.0.0.1:{site.port}/rss", storage=place)
    breaker = sqlite3.connect(place)
    breaker.execute("CREATE TRIGGER full BEFORE INSERT ON polls BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    breaker.commit()
    process = subprocess.Popen(
        [sys.executable, "-m", "newswatch", "--storage", str(place), "poll", "--every", "1s"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | _poll_settings(site),
    )
    wait_for(lambda: site.counts()["/rss"] >= 2)
    breaker.execute("DROP TRIGGER full")
    breaker.commit()
    breaker.close()
    with Watch(place) as watch:
        wait_for(lambda: watch.feeds()[0].status == 200)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"disk is full" in errors


def test_two_pollers_on_one_storage_do_not_poll_a_feed_twice(tmp_path: Path, site: Site) -> None:
    place = tmp_path / "n.db"
    with Watch(place) as watch:
        for n in range(30):
            site.rss(f"/rss{n}", [])
            watch.add_feed(f"http://127.0.0.1:{site.port}/rss{n}")
    command = [sys.executable, "-m", "newswatch", "--storage", str(place), "poll"]
    both = [
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | _poll_settings(site)
        )
        for _ in range(2)
    ]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert set(site.counts().values()) == {1}
    assert len(site.counts()) == 30


def wait_for(condition, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["classify", "--no-such-option"],
        ["no-such-command"],
        ["export"],
        ["poll", "--every", "soon"],
        ["classify", "a", "--file", "b"],
    ],
)
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    assert run(*arguments).returncode == 2


def test_a_wrong_setting_is_named() -> None:
    done = run("feeds", NEWSWATCH_HOST_DELAY_S="quick")
    assert done.returncode == 2
    assert "NEWSWATCH_HOST_DELAY_S" in done.stderr


def test_a_storage_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("this is no database, whatever its name says " * 50)
    done = run("feeds", storage=path)
    assert done.returncode == 1
    assert "note.txt" in done.stderr


def test_the_demo_shows_tagged_events_with_several_sources(tmp_path: Path) -> None:
    done = run("demo", "--json", XDG_DATA_HOME=str(tmp_path))
    assert done.returncode == 0
    found = rows(done)
    assert sum(event["source_count"] >= 2 for event in found) >= 6
    assert {tag for event in found for tag in event["tags"]} == {"TIP", "SOM", "policy", "funding"}
    assert list(tmp_path.iterdir()) == []  # leaves nothing behind


def test_the_demo_keeps_out_of_a_storage_with_feeds_of_ones_own(tmp_path: Path) -> None:
    place = tmp_path / "own.db"
    run("add", "https://a.example/rss", storage=place)
    done = run("demo", "--keep", storage=place)
    assert done.returncode == 1
    assert "holds other feeds" in done.stderr
    assert len(rows(run("feeds", "--json", storage=place))) == 1
    assert run("demo", "--keep", XDG_DATA_HOME=str(tmp_path)).returncode == 2


def test_the_demo_can_be_kept(tmp_path: Path) -> None:
    place = tmp_path / "kept.db"
    assert run("demo", "--keep", storage=place).returncode == 0
    assert len(rows(run("articles", "--limit", "0", "--json", storage=place))) == 34

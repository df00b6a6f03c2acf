"""Records as rows, CSV and text."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newswatch.records import (
    Article,
    Event,
    Evidence,
    Failure,
    Feed,
    FeedState,
    Stage,
    StorageStatus,
    Tagging,
    TextFrom,
)
from newswatch.report import (
    article_row,
    csv_lines,
    event_row,
    feed_row,
    jsonl_lines,
    render_article,
    render_articles,
    render_event,
    render_events,
    render_failures,
    render_feeds,
    render_status,
    render_tagging,
    tagging_row,
)

NOW = datetime(2026, 11, 20, 9, 30, 15, 250_000, tzinfo=UTC)
TAGGING = Tagging(
    tags=("TIP",),
    scores={"TIP": 0.97, "SOM": 0.42},
    language="en",
    unsure=("SOM",),
    evidence=(Evidence(tag="TIP", sentence="Held in debt bondage.", weight=2.5, words=("debt bondage",)),),
    notes=("the text is short",),
    model="2026.1",
)
ARTICLE = Article(
    id="a1",
    url="https://herald.example/1",
    title="Twelve freed from kiln",
    text="Police freed twelve workers.\n\nThey had been held for years.",
    feed="https://herald.example/rss",
    text_from=TextFrom.PAGE,
    first_seen=NOW,
    source="herald.example",
    authors=("A. Author", "B. Author"),
    published=NOW,
    language="en",
    tagging=TAGGING,
    event="e1",
)
BARE = Article(
    id="a2", url="", title="", text="", feed="https://herald.example/rss", text_from=TextFrom.FEED, first_seen=NOW
)
EVENT = Event(
    id="e1",
    title="Twelve freed from kiln",
    tags=("TIP",),
    first_seen=NOW,
    last_seen=NOW + timedelta(days=2),
    article_count=2,
    source_count=1,
    articles=(ARTICLE, BARE),
)
FEED = Feed(
    url="https://herald.example/rss",
    title="Herald",
    state=FeedState.FAILING,
    last_polled=NOW,
    next_due=NOW,
    status=503,
    error="the server is busy",
    failures=2,
)
HOSTILE = "Held\x1b[2J\x1b]0;title\x07 in\u202e raid\r\nfake line"


# --- rows -------------------------------------------------------------------------------------------------------------


def test_an_article_has_the_promised_fields() -> None:
    row = article_row(ARTICLE)
    promised = "id url title text published language tags event feed text_from scores first_seen".split()
    assert {name: row[name] for name in promised} == {
        "id": "a1",
        "url": "https://herald.example/1",
        "title": "Twelve freed from kiln",
        "text": ARTICLE.text,
        "published": "2026-11-20T09:30:15Z",
        "language": "en",
        "tags": ["TIP"],
        "event": "e1",
        "feed": "https://herald.example/rss",
        "text_from": "page",
        "scores": {"TIP": 0.97, "SOM": 0.42},
        "first_seen": "2026-11-20T09:30:15Z",
    }


def test_an_article_without_tags_date_or_event_has_the_same_fields() -> None:
    row = article_row(BARE)
    assert list(row) == list(article_row(ARTICLE))
    assert (row["tags"], row["scores"], row["published"], row["event"]) == ([], {}, None, None)


def test_a_listing_of_articles_may_leave_the_text_out() -> None:
    assert set(article_row(ARTICLE)) - set(article_row(ARTICLE, full_text=False)) == {"text"}


def test_an_event_has_the_promised_fields() -> None:
    row = event_row(EVENT)
    assert list(row)[:7] == ["id", "title", "tags", "first_seen", "last_seen", "article_count", "source_count"]
    assert (row["id"], row["tags"], row["last_seen"], row["article_count"]) == (
        "e1",
        ["TIP"],
        "2026-11-22T09:30:15Z",
        2,
    )
    assert [article["id"] for article in row["articles"]] == ["a1", "a2"]


def test_a_feed_has_the_promised_fields() -> None:
    assert feed_row(FEED) == {
        "url": "https://herald.example/rss",
        "title": "Herald",
        "state": "failing",
        "last_polled": "2026-11-20T09:30:15Z",
        "next_due": "2026-11-20T09:30:15Z",
        "status": 503,
        "error": "the server is busy",
        "failures": 2,
    }


def test_a_tagging_has_the_promised_fields_and_evidence_only_where_asked_for() -> None:
    row = tagging_row(TAGGING)
    assert {name: row[name] for name in ("tags", "scores", "language", "unsure")} == {
        "tags": ["TIP"],
        "scores": {"TIP": 0.97, "SOM": 0.42},
        "language": "en",
        "unsure": ["SOM"],
    }
    assert "evidence" not in row
    explained = tagging_row(TAGGING, explain=True)["evidence"]
    assert explained == [{"tag": "TIP", "sentence": "Held in debt bondage.", "weight": 2.5, "words": ["debt bondage"]}]


def test_a_time_in_another_zone_keeps_its_zone() -> None:
    there = datetime(2026, 11, 20, 15, 30, tzinfo=timezone(timedelta(hours=6)))
    row = feed_row(Feed(url="u", last_polled=there))
    assert datetime.fromisoformat(row["last_polled"]) == there


@pytest.mark.parametrize(
    "row", [article_row(ARTICLE), event_row(EVENT), feed_row(FEED), tagging_row(TAGGING, explain=True)]
)
def test_every_row_goes_through_json_unchanged(row: dict[str, object]) -> None:
    assert json.loads(next(jsonl_lines([row]))) == row


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@example("a\u2028b\nc")
def test_a_row_of_json_is_one_line(text: str) -> None:
    (line,) = jsonl_lines([{"title": text}])
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert json.loads(line)["title"] == text


def test_letters_of_all_scripts_stay_readable_in_json() -> None:
    assert "Суд" in next(jsonl_lines([{"title": "Суд"}]))


# --- CSV --------------------------------------------------------------------------------------------------------------


def read_back(rows: list[dict[str, object]]) -> list[list[str]]:
    return list(csv.reader(io.StringIO("".join(csv_lines(rows)), newline="")))


@pytest.mark.parametrize(
    "cell",
    [
        '=HYPERLINK("http://evil.example","x")', "=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "\n=1",
        "|calc", "%0A", "＝1+1", "＋1", "－1", "＠A1", "  =1", "\u00a0=1", "\u3000=1", "\x00=1", "\ufeff=1", "\u200b=1", "\v=1",
    ],
)  # fmt: skip
def test_no_cell_can_act_as_a_formula(cell: str) -> None:
    ((_,), (written,)) = read_back([{"title": cell}])
    assert written.startswith("'")
    assert written[1:] == cell.replace("\x00", "")


@pytest.mark.parametrize("cell", ["Five held", "Суд: 5 лет", "1-2", "a=b", "'quoted'", "", "№ 5", "«=»", "#5"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert read_back([{"id": "x", "title": cell}])[1][1] == cell


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
@example('a,"b"\r\nc')
def test_a_cell_is_read_back_as_written_but_for_the_guard(text: str) -> None:
    written = read_back([{"id": "x", "title": text}])[1][1]
    plain = text.replace("\x00", "")
    assert written in (plain, "'" + plain)
    assert not written.lstrip().startswith(("=", "+", "-", "@"))


def test_a_number_below_zero_is_no_formula() -> None:
    assert read_back([{"weight": -1.5, "count": 3, "sure": True, "none": None}])[1] == ["-1.5", "3", "True", ""]


def test_lists_and_scores_are_joined_and_guarded_as_a_whole() -> None:
    rows = read_back([{"tags": ["TIP", "SOM"], "scores": {"TIP": 0.9}, "authors": ["=A", "B"], "none": []}])
    assert rows[1] == ["TIP; SOM", "TIP=0.9", "'=A; B", ""]


def test_the_head_comes_once_and_rows_follow_its_order() -> None:
    assert read_back([{"id": "1", "title": "a"}, {"title": "b", "id": "2"}]) == [
        ["id", "title"],
        ["1", "a"],
        ["2", "b"],
    ]


def test_events_with_and_without_articles_are_one_table() -> None:
    lone = Event(id="e2", title="x", tags=(), first_seen=NOW, last_seen=NOW, article_count=1, source_count=1)
    rows = read_back([event_row(EVENT), event_row(lone)])
    assert [len(row) for row in rows] == [8, 8, 8]


def test_no_rows_are_no_csv() -> None:
    assert list(csv_lines([])) == []


# --- text -------------------------------------------------------------------------------------------------------------


def test_an_event_is_shown_with_its_tags_counts_span_and_id() -> None:
    shown = render_events([EVENT])
    for part in ("Twelve freed from kiln", "[TIP]", "2 articles", "1 source", "2026-11-20 to 2026-11-22", "e1"):
        assert part in shown
    assert "1 sources" not in shown


def test_an_event_in_full_lists_its_articles() -> None:
    shown = render_event(EVENT)
    assert "herald.example  [TIP]  a1" in shown
    assert "no date" in shown


def test_an_article_in_full_has_its_paragraphs_and_says_what_is_unsure() -> None:
    shown = render_article(ARTICLE)
    assert "Police freed twelve workers.\n\nThey had been held for years." in shown
    assert "TIP 0.97, no SOM 0.42 unsure" in shown
    assert "A. Author, B. Author" in shown


def test_what_is_missing_is_said() -> None:
    assert "(no title)" in render_articles([BARE])
    assert "no tag" in render_articles([BARE])
    assert render_article(BARE)


def test_a_tagging_is_explained_where_asked_for() -> None:
    assert "debt bondage" not in render_tagging(TAGGING)
    assert "TIP, by debt bondage:\n  Held in debt bondage." in render_tagging(TAGGING, explain=True)


def test_a_failing_feed_says_why_and_how_often() -> None:
    shown = render_feeds([FEED])
    assert "2 failures in a row: the server is busy" in shown
    assert "https://herald.example/rss" in shown
    assert "never polled" in render_feeds([Feed(url="u")])


def test_a_failure_says_where_why_and_when_it_is_tried_again() -> None:
    failure = Failure(
        stage=Stage.FETCH, subject="a1", url="https://e.org/1", reason="timeout", detail="no answer", retry_at=NOW
    )
    shown = render_failures([failure])
    assert shown == "fetch: timeout: no answer  https://e.org/1  (will be tried again 2026-11-20 09:30 UTC)"


def test_the_status_of_an_empty_storage_is_shown() -> None:
    status = StorageStatus(
        feeds=0, feeds_by_state={}, entries=0, articles=0, tagged=0, events=0, pending=0, failures=0, last_poll=None, overdue=0, schema="1"
    )  # fmt: skip
    assert "last poll: never" in render_status(status)
    assert "in memory" in render_status(status)


def test_nothing_from_outside_steers_the_terminal() -> None:
    article = Article(id="a", url="u", title=HOSTILE, text=HOSTILE, feed="f", text_from=TextFrom.FEED, first_seen=NOW, authors=(HOSTILE,), note=HOSTILE)  # fmt: skip
    event = Event(id="e", title=HOSTILE, tags=(), first_seen=NOW, last_seen=NOW, article_count=1, source_count=1, articles=(article,))  # fmt: skip
    tagging = Tagging(tags=("TIP",), scores={"TIP": 1.0}, evidence=(Evidence(tag="TIP", sentence=HOSTILE, weight=1, words=(HOSTILE,)),))  # fmt: skip
    shown = [
        render_event(event),
        render_articles([article]),
        render_article(article),
        render_tagging(tagging, explain=True),
        render_feeds([Feed(url="u", title=HOSTILE, error=HOSTILE)]),
        render_failures([Failure(stage=Stage.POLL, subject="s", url="u", reason="r", detail=HOSTILE)]),
    ]
    for text in shown:
        assert not any(ord(char) < 32 and char != "\n" for char in text)
        assert "\u202e" not in text


@pytest.mark.parametrize("columns", ["20", "100", "500"])
def test_lines_fit_a_terminal_of_any_width(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", "24")
    long = Event(id="e", title="word " * 100, tags=(), first_seen=NOW, last_seen=NOW, article_count=1, source_count=1)
    title_lines = render_events([long]).split("\n")[:-2]
    assert max(map(len, title_lines)) <= max(40, min(int(columns), 120))

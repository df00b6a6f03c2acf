"""newswatch.grouping: one event for one happening, decided once, in the order of arrival."""

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newswatch.exceptions import InputError
from newswatch.grouping import Background, EventGrouper, count_background, load_background
from newswatch.records import Article, Assignment, TextFrom
from newswatch.text import digest

START = datetime(2031, 3, 3, 8, 0, tzinfo=UTC)


def article(name: str, title: str, text: str, *, hours: float = 0, dated: bool = True, **other) -> Article:
    moment = START + timedelta(hours=hours)
    return Article(
        **{
            "id": digest(name),
            "url": f"https://{name.replace(' ', '-')}.example/a",
            "source": f"{name.replace(' ', '-')}.example",
            "title": title,
            "text": text,
            "feed": "https://example.org/feed",
            "text_from": TextFrom.PAGE,
            "first_seen": moment,
            "published": moment if dated else None,
            **other,
        }
    )


KILN_TEXT = (
    "Police in the Marwal district freed 31 people, nine of them children, from a brick kiln near Dholpur on Monday "
    "morning, the district administration said. The families had been held for up to four years to work off advances "
    "of between 20,000 and 50,000 rupees, deputy commissioner Sana Virk told reporters. The owner of the kiln, named "
    "as Bashir Gondal, was arrested together with two guards. Inspectors found that the workers were beaten when they "
    "tried to leave, and that nobody had been paid since the monsoon. The freed families were taken to a shelter in "
    "Dholpur, where they are to receive certificates of release and a first payment from the state's fund."
)
BOAT_TEXT = (
    "At least 17 people drowned when a wooden boat carrying migrants capsized off the island of Kelros before dawn on "
    "Tuesday, the coast guard said. Forty-two others were pulled from the water by a patrol vessel and two fishing "
    "boats. Survivors said the boat had left the port of Sidara on Sunday night with more than 70 people on board, each "
    "of whom had paid 3,500 euros. Strong northerly winds hampered the search, which went on with a helicopter through "
    "the afternoon. Two men of 24 and 31 were held on suspicion of having steered the boat."
)
OTHER_BOAT_TEXT = (
    "Rescuers recovered nine bodies after a rubber dinghy sank some 40 nautical miles south of Lampora on Friday "
    "evening, according to a charity that runs a rescue ship in the area. Fifty-five people, most of them from the Horn "
    "of Africa, were brought ashore at Porto Cerno. The dinghy had set out from a beach near Zuwaya two days earlier and "
    "its engine failed in the first night. The interior minister said that a convoy of four dinghies had been seen from "
    "the air and that the others had turned back."
)
LORRY_TEXT = (
    "The regional court in Eisenau sentenced a 38-year-old lorry driver to eleven years in prison on Wednesday for the "
    "deaths of five people in a refrigerated trailer. Judge Petra Holm said that Viktor Lazar had locked the doors at a "
    "car park near the border and had switched the cooling on although he heard knocking. The organisers of the "
    "journey, for which each passenger had paid 6,000 euros, have not been found. The defence had asked for an "
    "acquittal and will appeal."
)
MASSAGE_TEXT = (
    "The regional court in Brunnthal sentenced a couple to seven and five years in prison on Wednesday for forcing women "
    "from Vietnam into prostitution in three massage parlours. Judge Klaus Ebner said that Thi Hoa Brandt and her "
    "husband had taken the passports of eleven women and had made them pay off debts of 30,000 euros. Four of the women "
    "gave evidence behind a screen. The couple will appeal."
)
REPORTS = {
    "kiln wire": article("kiln wire", "Police free 31 bonded labourers from brick kiln near Dholpur", KILN_TEXT),
    "boat": article("boat", "Seventeen drown as migrant boat capsizes off Kelros", BOAT_TEXT, hours=3),
    "kiln copy": article(
        "kiln copy",
        "31 freed from brick kiln: owner held",
        KILN_TEXT.replace("on Monday morning, the district administration said", "on Monday, officials said")
        .replace("told reporters", "told this newspaper")
        .replace("named as Bashir Gondal", "Bashir Gondal"),
        hours=5,
    ),
    "kiln report": article(
        "kiln report",
        "Children among bonded workers rescued at Dholpur kiln",
        "Thirty-one bonded workers, among them nine children, are spending their first night in freedom after a raid on a "
        "kiln outside Dholpur. Bashir Gondal, who owns the place, is in custody. Deputy commissioner Sana Virk said some "
        'families had moulded bricks there for four years against advances of 20,000 to 50,000 rupees. "My daughter was '
        'born beside the oven," said one of the women at the shelter. Rights groups in Marwal say there are two hundred '
        "such kilns in the district.",
        hours=9,
    ),
    "boat report": article(
        "boat report",
        "Kelros: search for survivors of shipwreck called off, 17 dead",
        "The search for people missing since a migrant boat went down off Kelros was called off on Tuesday evening. "
        "Seventeen bodies have been brought to the island and 42 survivors are in the school gymnasium. The coast guard "
        "arrested two men, aged 24 and 31, said to have been at the helm of the wooden boat that left Sidara on Sunday "
        "with more than 70 on board.",
        hours=14,
    ),
    "lorry": article("lorry", "Eleven years for lorry driver over five deaths in trailer", LORRY_TEXT, hours=30),
    "massage": article("massage", "Couple jailed for forced prostitution in massage parlours", MASSAGE_TEXT, hours=31),
    "hotel raid": article(
        "hotel raid",
        "Police free 14 women from hotel in Port Azra",
        "Police in Port Azra freed 14 women from a hotel by the harbour on Thursday, a spokesman said. The women, from "
        "the Philippines and Nepal, had been promised work in shops and were made to sleep with guests. The manager, a "
        "man of 52, was arrested along with a taxi driver. The women were taken to a shelter run by nuns and will be "
        "heard by a prosecutor next week.",
        hours=50,
    ),
    "other boat": article("other boat", "Nine dead after dinghy sinks south of Lampora", OTHER_BOAT_TEXT, hours=84),
    "lorry report": article(
        "lorry report",
        "Trailer deaths: Viktor Lazar gets 11 years",
        "Viktor Lazar, the driver in whose cold store trailer five migrants froze to death, must go to prison for eleven "
        "years. The court in Eisenau found that he had heard the knocking and had still switched on the cooling. Judge "
        "Petra Holm spoke of indifference beyond words. Those who sold the journey at 6,000 euros a head remain "
        "unknown.",
        hours=33,
    ),
    "budget": article(
        "budget",
        "Parliament votes 12 million for victims' fund",
        "Parliament on Friday approved a fund of 12 million for the compensation of victims of trafficking, with 88 votes "
        "to 41. From July, victims may claim up to 25,000 without waiting for the end of a trial. The opposition had "
        "asked that the money should come from seized property. Welfare minister Ilse Norgaard called the vote a late "
        "apology.",
        hours=98,
    ),
    "football": article(
        "football",
        "Kelros United reach final",
        "Kelros United beat Panormos 2-1 on Tuesday to reach the island cup final for the first time since 1998. Nikos Pavlou "
        "scored twice before half-time, and the goalkeeper saved a penalty in the last minute in front of 2,800 people.",
        hours=16,
    ),
}


def run(articles: Iterable[Article], grouper: EventGrouper) -> list[Assignment]:
    return [grouper.add(one) for one in articles]


@pytest.fixture(scope="module")
def background() -> Background:
    return load_background()


@pytest.fixture
def grouper(background) -> EventGrouper:
    return EventGrouper(background=background)


@pytest.fixture(scope="module")
def events(background) -> dict[str, str]:
    """The event of each of the reports, by the report's name."""
    grouper = EventGrouper(background=background)
    return {name: grouper.add(one).event for name, one in REPORTS.items()}


# --- what belongs together, and what does not ---


def test_the_first_article_founds_an_event_named_after_it(grouper):
    first = grouper.add(REPORTS["boat"])
    assert first == Assignment(
        article=REPORTS["boat"].id, event=digest("event", REPORTS["boat"].id), is_new=True, how="new"
    )


def test_the_same_text_under_another_address_is_one_event(grouper):
    first = grouper.add(REPORTS["kiln wire"])
    again = grouper.add(article("mirror", "A headline of its own", KILN_TEXT.upper(), hours=2))
    assert (again.event, again.is_new, again.how) == (first.event, False, "same text")
    assert (again.similarity, again.nearest) == (1.0, REPORTS["kiln wire"].id)


def test_a_near_copy_is_told_as_a_copy(grouper):
    first = grouper.add(REPORTS["kiln wire"])
    copy = grouper.add(REPORTS["kiln copy"])
    assert (copy.event, copy.is_new, copy.how) == (first.event, False, "copy")
    assert 0.8 <= copy.similarity < 1.0
    assert copy.nearest == REPORTS["kiln wire"].id


def test_a_copy_inside_a_longer_text_is_a_copy(grouper):
    first = grouper.add(REPORTS["boat"])
    longer = grouper.add(article("longer", "The day in the islands", BOAT_TEXT + "\n\n" + LORRY_TEXT[:300], hours=5))
    assert (longer.event, longer.how) == (first.event, "copy")


@pytest.mark.parametrize(
    ("one", "other"), [("kiln wire", "kiln report"), ("boat", "boat report"), ("lorry", "lorry report")]
)
def test_reports_of_one_happening_in_other_words_are_one_event(events, one, other):
    assert events[one] == events[other]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("boat", "other boat"),  # two shipwrecks
        ("lorry", "massage"),  # two sentences of regional courts, of one day
        ("kiln wire", "hotel raid"),  # two raids
        ("boat", "football"),  # one place
        ("budget", "kiln wire"),
    ],
)
def test_look_alikes_stay_apart(events, one, other):
    assert events[one] != events[other]


def test_short_identical_headlines_without_text_are_one_event(grouper):
    title = "Police free 31 bonded labourers from brick kiln near Dholpur"
    first, again = run([article("one", title, ""), article("two", title, "", hours=1)], grouper)
    assert (again.event, again.how) == (first.event, "report")


# --- poor input ---


@pytest.mark.parametrize(("title", "text"), [("", ""), (" \n", "\t"), ("—", "…"), ("🚢", "")])
def test_articles_without_words_are_each_an_event_of_their_own(grouper, title, text):
    articles = [article(name, title, text) for name in ("one", "two", "three")]
    assert [one.how for one in run([*articles, REPORTS["boat"]], grouper)] == ["new"] * 4


def test_a_title_without_text_and_a_text_without_title_can_meet(grouper):
    first = grouper.add(article("untitled", "", BOAT_TEXT))
    second = grouper.add(article("headline", REPORTS["boat"].title, "", hours=1))
    assert second.event == first.event


def test_articles_without_dates_are_grouped_by_when_they_were_seen(grouper):
    undated = [replace(one, published=None) for one in REPORTS.values()]
    placed = dict(zip(REPORTS, run(undated, grouper), strict=True))
    assert placed["kiln copy"].how == "copy"
    assert placed["boat report"].event == placed["boat"].event != placed["other boat"].event


@pytest.mark.parametrize("part", ["title", "text"])
def test_a_monstrous_article_is_placed_and_can_be_taken_back(grouper, part):
    monster = replace(REPORTS["boat"], **{part: " ".join(f"word{number}" for number in range(70_000))})
    assignment, packed = grouper.place(monster)
    EventGrouper(background=Background()).restore(monster.id, assignment.event, packed)


# --- windows ---


@pytest.mark.parametrize(("days", "together"), [(9.9, True), (10.1, False)])
def test_an_event_closes_when_nothing_came_for_the_window(background, days, together):
    grouper = EventGrouper(window_days=10, background=background)
    first = grouper.add(REPORTS["boat"])
    later = grouper.add(article("later", "Again", BOAT_TEXT, hours=3 + days * 24))
    assert (later.event == first.event) is together
    assert len(grouper) == (2 if together else 1)


def test_each_article_keeps_its_event_open_for_another_window(background):
    grouper = EventGrouper(window_days=10, background=background)
    placed = run([article(f"on day {day}", "Boat", BOAT_TEXT, hours=day * 24) for day in (0, 8, 16, 24)], grouper)
    assert len({one.event for one in placed}) == 1
    assert len(grouper) == 4  # the event is open, so its first article is still compared with


def test_a_late_old_article_closes_nothing(background):
    grouper = EventGrouper(window_days=10, background=background)
    now = grouper.add(article("now", "Boat", BOAT_TEXT, hours=24 * 30))
    grouper.add(article("old", "Kiln", KILN_TEXT))
    again = grouper.add(article("again", "Boat", BOAT_TEXT, hours=24 * 30 + 1))
    assert again.event == now.event
    assert len(grouper) == 2  # the old one closed when the present came


# --- decided once ---


def test_the_same_article_again_is_where_it_was(grouper):
    before = dict(zip(REPORTS, run(REPORTS.values(), grouper), strict=True))
    count = len(grouper)
    for name, one in REPORTS.items():
        again = grouper.add(replace(one, title="Changed meanwhile", text=OTHER_BOAT_TEXT))
        assert (again.event, again.is_new) == (before[name].event, False)
    assert len(grouper) == count


# Any order of any of the reports, with headlines changed and dates that run on, stand still or go back.
histories = st.lists(
    st.tuples(
        st.sampled_from(sorted(REPORTS)), st.sampled_from(["", "Update: "]), st.integers(-72, 400), st.booleans()
    ),
    max_size=25,
)


def told(history) -> list[Article]:
    articles: list[Article] = []
    hours = 0
    for number, (name, prefix, step, dated) in enumerate(history):
        hours += step
        one = REPORTS[name]
        articles.append(article(f"{name} {number}", prefix + one.title, one.text, hours=hours, dated=dated))
    return articles


@settings(max_examples=150, deadline=None)
@given(history=histories, data=st.data())
def test_what_comes_later_never_changes_what_was_decided(background, history, data):
    articles = told(history)
    cut = data.draw(st.integers(0, len(articles)))
    whole = run(articles, EventGrouper(window_days=10, background=background))
    assert run(articles[:cut], EventGrouper(window_days=10, background=background)) == whole[:cut]


@settings(max_examples=200, deadline=None)
@given(history=histories, data=st.data())
def test_a_stop_anywhere_makes_no_difference(background, history, data):
    articles = told(history)
    cut = data.draw(st.integers(0, len(articles)))
    first = EventGrouper(window_days=10, background=background)
    placed = [first.place(one) for one in articles]
    second = EventGrouper(window_days=10, background=background)
    for one, (assignment, packed) in zip(articles[:cut], placed, strict=False):
        second.restore(one.id, assignment.event, packed)
    assert run(articles[cut:], second) == [assignment for assignment, _ in placed[cut:]]
    assert len(second) == len(first)


def test_an_article_taken_back_is_known_again(background):
    first = EventGrouper(background=background)
    assignment, packed = first.place(REPORTS["boat"])
    second = EventGrouper(background=background)
    second.restore(REPORTS["boat"].id, assignment.event, packed)
    again, repacked = second.place(REPORTS["boat"])
    assert (again.event, again.is_new) == (assignment.event, False)
    assert repacked == packed


# --- damaged bytes ---


@given(packed=st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"\x01" + tail))
def test_bytes_that_were_never_packed_are_refused(packed):
    grouper = EventGrouper(background=Background())
    with pytest.raises(InputError, match="fingerprint of a1"):
        grouper.restore("a1", "e1", packed)
    assert len(grouper) == 0


@pytest.fixture(scope="module")
def packed_boat() -> bytes:
    return EventGrouper(background=Background()).place(REPORTS["boat"])[1]


@given(data=st.data())
def test_cut_off_bytes_are_refused(packed_boat, data):
    end = data.draw(st.integers(0, len(packed_boat) - 1))
    with pytest.raises(InputError):
        EventGrouper(background=Background()).restore("a1", "e1", packed_boat[:end])


@pytest.mark.parametrize(
    ("at", "damage"),
    [
        (0, b"\x02"),  # a format of the future
        (2, np.float64(math.nan).tobytes()),  # no day
        (14, b"\xff" * 16),  # a digest that is no text
    ],
)
def test_damaged_bytes_are_refused(packed_boat, at, damage):
    with pytest.raises(InputError):
        EventGrouper(background=Background()).restore(
            "a1", "e1", packed_boat[:at] + damage + packed_boat[at + len(damage) :]
        )


def test_bytes_with_something_behind_them_are_refused(packed_boat):
    with pytest.raises(InputError):
        EventGrouper(background=Background()).restore("a1", "e1", packed_boat + b"\0")


# --- the background table ---


def test_a_background_counts_in_how_many_texts_a_word_stands(tmp_path):
    counted = count_background(["The kiln the kiln", "A KILN in Dholpur", "in the morning"])
    asked = count_background(["kiln the in dholpur nowhere"] * 2).ids
    by_word = dict(zip(asked.tolist(), counted.of(asked).tolist(), strict=True))
    assert counted.articles == 3
    assert sorted(by_word.values()) == [0, 0, 2, 2, 2]  # Dholpur stands in one text only
    np.savez(tmp_path / "table.npz", articles=counted.articles, ids=counted.ids, counts=counted.counts)
    kept = load_background(tmp_path / "table.npz")
    assert kept.articles == 3
    assert kept.of(asked).tolist() == counted.of(asked).tolist()


def test_an_empty_background_knows_no_word():
    assert Background().of(np.array([1, 2], np.uint32)).tolist() == [0, 0]


@pytest.mark.parametrize("content", [None, b"", b"no table", b"PK\x03\x04 no archive", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_background_table_is_refused(tmp_path, content):
    path = tmp_path / "table.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"table\.npz"):
        load_background(path)


def test_other_arrays_are_no_background_table(tmp_path):
    np.savez(tmp_path / "other.npz", words=[1, 2])
    np.save(tmp_path / "single.npy", np.arange(3))
    for name in ("other.npz", "single.npy"):
        with pytest.raises(InputError):
            load_background(tmp_path / name)


def test_a_table_of_pickles_is_not_opened(tmp_path):
    np.savez(tmp_path / "pickles.npz", articles=3, ids=np.array([{}]), counts=np.array([{}]))
    with pytest.raises(InputError):
        load_background(tmp_path / "pickles.npz")

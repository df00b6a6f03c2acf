"""newswatch.tagging and newswatch.features: the shipped model, what vouches for it, and what it says of a text."""

import hashlib
import json
import math
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newswatch.exceptions import ModelError
from newswatch.features import Block, FeatureSet, term_pattern
from newswatch.records import Verdict
from newswatch.tagging import Tagger, document, load_tagger, model_folder

SEEDS = Path(__file__).parent.parent / "seeds"
SEED_TAGS = json.loads((SEEDS / "tags.json").read_text(encoding="utf-8"))
NO_IDF = np.empty(0, np.float32)

RAID = (
    "Police freed 31 people, nine of them children, from a brick kiln on Monday. The families had been held for up to "
    "four years to work off advances. Rain is expected for the rest of the week."
)


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger.load()


def seed(name: str) -> str:
    return (SEEDS / f"{name}.txt").read_text(encoding="utf-8")


# --- loading ---


@pytest.fixture
def folder(tmp_path) -> Path:
    return Path(shutil.copytree(model_folder(), tmp_path / "model"))


def edit_card(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    card = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(card), encoding="utf-8")


class Trap:
    """When unpickled, it leaves a folder behind."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_tampered_model_is_refused_before_it_is_unpickled(folder, tmp_path):
    joblib.dump(Trap(tmp_path / "sprung"), folder / "model.joblib")
    with pytest.raises(ModelError, match="not the file that") as caught:
        Tagger.load(folder)
    assert (caught.value.reason, caught.value.subject) == ("hash", str(folder))
    assert not (tmp_path / "sprung").exists()
    # The trap does work: vouched for, it springs.
    edit_card(folder, sha256=hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest())
    with pytest.raises(ModelError):
        Tagger.load(folder)
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("at", [0, 1000, -1])
def test_one_changed_byte_is_enough_to_refuse_a_model(folder, at):
    data = bytearray((folder / "model.joblib").read_bytes())
    data[at] ^= 1
    (folder / "model.joblib").write_bytes(data)
    with pytest.raises(ModelError) as caught:
        Tagger.load(folder)
    assert caught.value.reason == "hash"


@pytest.mark.parametrize("sha256", [None, "", "0" * 64, 7])
def test_a_card_that_vouches_for_nothing_loads_nothing(folder, sha256):
    edit_card(folder, sha256=sha256)
    with pytest.raises(ModelError) as caught:
        Tagger.load(folder)
    assert caught.value.reason == "hash"


@pytest.mark.parametrize("missing", ["model.json", "model.joblib"])
def test_a_missing_file_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=re.escape(missing)) as caught:
        Tagger.load(folder)
    assert caught.value.reason == "missing"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ModelError, match="nowhere") as caught:
        Tagger.load(tmp_path / "nowhere")
    assert (caught.value.reason, caught.value.subject) == ("missing", str(tmp_path / "nowhere"))


@pytest.mark.parametrize("card", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'"model"'])
def test_a_card_that_is_none_is_refused(folder, card):
    (folder / "model.json").write_bytes(card)
    with pytest.raises(ModelError):
        Tagger.load(folder)


@pytest.mark.parametrize("versions", [["0.20", "1.0"], ["99", "100"], ["1.6", "1.6"]])
def test_another_scikit_learn_than_the_models_is_refused_with_the_remedy(folder, versions):
    edit_card(folder, scikit_learn=versions)
    with pytest.raises(ModelError, match=rf'pip install "scikit-learn>={versions[0]},<{versions[1]}"') as caught:
        Tagger.load(folder)
    assert caught.value.reason == "version"


@pytest.mark.parametrize("versions", [None, [], ["1.6"], 1.6, ["1.6", "1.8", "1.10"]])
def test_a_card_must_say_for_which_scikit_learn_the_model_is(folder, versions):
    edit_card(folder, scikit_learn=versions)
    with pytest.raises(ModelError) as caught:
        Tagger.load(folder)
    assert caught.value.reason == "format"


@pytest.mark.parametrize("content", [{"format": 2}, {}, ["format", 1], None, 7])
def test_a_model_of_another_format_is_refused(folder, content):
    joblib.dump(content, folder / "model.joblib")
    edit_card(folder, sha256=hashlib.sha256((folder / "model.joblib").read_bytes()).hexdigest())
    with pytest.raises(ModelError, match="of format") as caught:
        Tagger.load(folder)
    assert (caught.value.reason, caught.value.subject) == ("format", str(folder))


def test_a_vouched_for_file_that_is_no_pickle_is_refused(folder):
    (folder / "model.joblib").write_bytes(b"no pickle")
    edit_card(folder, sha256=hashlib.sha256(b"no pickle").hexdigest())
    with pytest.raises(ModelError, match="cannot be read"):
        Tagger.load(folder)


def test_a_copy_of_the_shipped_model_says_the_same(folder, tagger):
    copy = Tagger.load(str(folder))
    assert copy.version == tagger.version
    assert copy.tag(RAID) == tagger.tag(RAID)


def test_a_model_is_loaded_once_for_each_folder(folder):
    assert load_tagger(str(folder)) is load_tagger(str(folder))
    assert load_tagger(str(folder)) is not load_tagger(None)


def contents(value: object) -> set[str]:
    """The types of everything in it."""
    inner: set[str] = set()
    if type(value) is dict:
        inner = set().union(*(contents(key) | contents(one) for key, one in value.items()))
    elif type(value) is list:
        inner = set().union(*map(contents, value))
    elif type(value) is np.ndarray:
        inner = {f"array of {value.dtype.kind}"}
    return inner | {type(value).__name__}


def test_the_file_holds_only_arrays_lists_strings_and_numbers():
    found = contents(joblib.load(model_folder() / "model.joblib"))
    assert found <= {"dict", "list", "str", "int", "float", "ndarray", "array of f", "array of i"}


def test_the_card_agrees_with_the_model(tagger):
    card = json.loads((model_folder() / "model.json").read_text(encoding="utf-8"))
    assert tuple(card["tags"]) == tagger.tags == ("TIP", "SOM", "policy", "funding")
    assert [card["thresholds"][tag] for tag in tagger.tags] == tagger.thresholds.tolist()
    assert card["version"] == tagger.version == tagger.tag("").model


def test_arrays_make_the_same_tagger_again(tagger):
    again = Tagger.from_arrays(tagger.to_arrays(), version=tagger.version)
    assert again.tag(RAID) == tagger.tag(RAID)


# --- what the shipped model says ---


@pytest.mark.parametrize("name", sorted(SEED_TAGS))
def test_a_seed_gets_exactly_its_tags(tagger, name):
    assert list(tagger.tag(seed(name)).tags) == SEED_TAGS[name]


def test_there_are_five_seeds():
    assert {path.stem for path in SEEDS.glob("*.txt")} == set(SEED_TAGS)
    assert len(SEED_TAGS) == 5


def test_each_tag_given_has_a_sentence_of_the_text_for_evidence(tagger):
    for name in SEED_TAGS:
        text = seed(name)
        tagging = tagger.tag(text)
        assert [one.tag for one in tagging.evidence] == list(tagging.tags)
        for one in tagging.evidence:
            assert one.sentence
            assert one.sentence in text
            assert all(word in one.sentence.casefold() for word in one.words)


def test_taking_the_evidence_away_mostly_lowers_the_score(tagger):
    differences = []
    for name in SEED_TAGS:
        text = seed(name)
        for one in tagger.tag(text).evidence:
            column = tagger.tags.index(one.tag)
            # On the raw scale: near 1 the four places of a reported score hide what a sentence did.
            whole, rest = tagger.scores([document("", text), document("", text.replace(one.sentence, "", 1))])[
                :, column
            ]
            differences.append(math.log(whole / (1 - whole)) - math.log(rest / (1 - rest)))
    assert sum(one > 0 for one in differences) > len(differences) * 2 / 3


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=[]), max_size=300))
def test_any_text_gets_a_score_for_every_tag(tagger, text):
    tagging = tagger.tag(text)
    assert tuple(tagging.scores) == tagger.tags
    assert all(0 <= score <= 1 for score in tagging.scores.values())
    assert set(tagging.tags) <= set(tagger.tags) >= set(tagging.unsure)
    assert len(tagging.evidence) in (0, len(tagging.tags))


@settings(max_examples=30, deadline=None)
@given(
    texts=st.lists(
        st.tuples(
            st.sampled_from(["", "Bonded workers freed", "Rain"]) | st.text(max_size=20),
            st.sampled_from([RAID, seed("004_5f275de40c324d04"), ""]) | st.text(max_size=80),
            st.sampled_from([None, "", "en", "ru"]),
        ),
        max_size=6,
    ),
    explain=st.booleans(),
)
def test_many_texts_at_once_are_tagged_as_one_by_one(tagger, texts, explain):
    singly = [tagger.tag(text, title=title, language=language, explain=explain) for title, text, language in texts]
    assert tagger.tag_many(texts, explain=explain) == singly


@pytest.mark.parametrize("text", ["", " \n\t ", "—", "\x00"])
def test_no_text_gets_no_tag_and_says_why(tagger, text):
    tagging = tagger.tag(text)
    assert (tagging.tags, tagging.evidence, tagging.language) == ((), (), "")
    assert "too short to be sure" in tagging.notes
    assert "not tested in the language of this text" in tagging.notes


@pytest.mark.parametrize(
    "text",
    [
        RAID + " Nothing more is known." * 100_000,
        "debt bondage " * 100_000,
        "trafficking" + "." * 500_000,
        "x" * 1_000_000,
        "Police said. " * 100_000,
        "\n" * 500_000 + RAID,
    ],
    ids=["report", "terms", "dots", "one word", "sentences", "blank lines"],
)
def test_a_very_long_text_is_read_as_far_as_its_head(tagger, text):
    tagging = tagger.tag(text, language="en")
    assert tagging.scores == tagger.tag(text.strip()[:200_000], language="en").scores
    assert all(one.sentence in text for one in tagging.evidence)


def test_the_first_line_of_a_pasted_text_is_its_headline(tagger):
    assert tagger.tag(f"\n Bonded workers freed \n\n{RAID}") == tagger.tag(RAID, title="Bonded workers freed")


def test_a_long_first_line_is_no_headline(tagger):
    paragraph = RAID * 3
    assert tagger.tag(f"{paragraph}\n{RAID}").scores != tagger.tag(RAID, title=paragraph).scores


def test_evidence_may_be_the_headline(tagger):
    tagging = tagger.tag("It rained.", title="Gang jailed for human trafficking and forced labour of migrant workers")
    assert tagging.evidence
    assert {one.sentence for one in tagging.evidence} == {
        "Gang jailed for human trafficking and forced labour of migrant workers"
    }


def test_without_explaining_there_is_no_evidence(tagger):
    text = seed("000_f6a2baeb78b118b7")
    brief = tagger.tag(text, explain=False)
    assert brief.evidence == ()
    assert brief.tags == tagger.tag(text).tags != ()


def test_a_short_text_is_noted(tagger):
    assert "too short to be sure" in tagger.tag("Police freed 31 people.").notes
    assert "too short to be sure" not in tagger.tag(RAID).notes


def test_a_language_the_model_was_not_tested_in_is_noted(tagger):
    foreign = replace(tagger, languages=("de", "fr"))
    assert foreign.tag(RAID).notes == ("not tested in the language en",)
    assert foreign.tag(RAID, language="fr").notes == ()
    assert tagger.tag(RAID).notes == ()


@pytest.mark.parametrize(
    ("given", "told"), [("fr", "fr"), ("EN-gb", "en"), ("", "en"), (None, "en"), ("English", "en")]
)
def test_the_language_is_the_one_told_else_the_one_detected(tagger, given, told):
    assert tagger.tag(RAID, language=given).language == told


# --- the arithmetic, on a model small enough to reckon by hand ---


def small(**changes) -> Tagger:
    """Log-odds of tag ``a``: mentions of kilns less 1; of ``b``: 2 less mentions of boats."""
    concepts = {"kiln": (term_pattern("kiln"),), "boat": (term_pattern("boat"),)}
    model = Tagger(
        tags=("a", "b"),
        features=FeatureSet((), concepts),
        coefficients=np.array([[1.5, 0], [0, -1.5]], np.float32),
        intercepts=np.array([-1.0, 2.0]),
        slopes=np.array([1.0, 1.0]),
        offsets=np.array([0.0, 0.0]),
        thresholds=np.array([0.5, 0.5]),
        band=0.1,
        languages=("en",),
        version="small",
    )
    return replace(model, **changes)


def odds(value: float) -> float:
    return round(1 / (1 + math.exp(-value)), 4)


@pytest.mark.parametrize(
    ("text", "a", "b"),
    [
        ("nothing", -1, 2),
        ("one kiln", 0, 2),
        ("two kilns, one kiln", 1, 2),
        ("kiln kiln kiln kiln kiln", 2, 2),  # three mentions are as good as many
        ("a boat and a boat", -1, 0),
    ],
)
def test_scores_are_the_logistic_of_weighted_mentions(text, a, b):
    assert small().tag(text).scores == {"a": odds(a), "b": odds(b)}


def test_scores_are_calibrated_by_slope_and_offset():
    model = small(slopes=np.array([2.0, 0.5]), offsets=np.array([1.0, -1.0]))
    assert model.tag("two kilns, one kiln").scores == {"a": odds(2 * 1 + 1), "b": odds(0.5 * 2 - 1)}


def test_a_tag_is_given_from_its_threshold_on():
    assert small().tag("one kiln").tags == ("a", "b")  # exactly a half
    assert small(thresholds=np.array([0.5001, 0.5])).tag("one kiln").tags == ("b",)


def test_a_tag_near_its_threshold_is_unsure_whether_given_or_not():
    near = small(thresholds=np.array([0.55, 0.8]), band=0.1).tag("one kiln")
    assert (near.tags, near.unsure) == (("b",), ("a", "b"))
    assert small(band=0.0).tag("one kiln").unsure == ()
    assert [near.verdict(tag) for tag in ("a", "b", "c")] == [Verdict.UNSURE, Verdict.UNSURE, Verdict.NO]
    assert small().tag("nothing").verdict("b") is Verdict.YES


def test_the_title_counts_twice():
    assert small().tag("nothing", title="A kiln").scores["a"] == odds(1)


def test_evidence_is_the_sentence_that_speaks_most_for_the_tag():
    text = "It rained.\nA kiln was raided. The kiln is the largest kiln here. A boat sank."
    (first, second) = small().tag(text).evidence
    assert (first.tag, first.sentence, first.weight) == ("a", "The kiln is the largest kiln here.", 1.0)
    assert first.words == ("kiln",)
    assert (second.tag, second.sentence) == ("b", "It rained.")  # the first of those that say nothing against it


def test_no_texts_give_no_taggings():
    assert small().tag_many([]) == []
    assert small().scores([]).shape == (0, 2)


# --- features ---


@pytest.mark.parametrize(
    ("analyzer", "low", "high", "text", "columns"),
    [
        ("word", 1, 2, "police", [56855]),
        ("word", 1, 2, "forced labour", [30394, 107484, 133932]),
        ("word", 1, 2, "Людьми", [64788]),
        ("word", 1, 2, "العمل", [156184]),
        ("word", 1, 2, "déjà vu", [165051, 170139, 198167]),
        ("char_wb", 3, 3, "kiln", [13440, 36315, 163241, 206464]),
        ("char_wb", 3, 5, "العمل", [11336, 58746, 61742, 87073, 89177, 110220, 112027, 145439, 156184, 179858, 188622, 261037]),
    ],
)  # fmt: skip
def test_hashing_is_pinned(analyzer, low, high, text, columns):
    # A model is worthless under another hash: these are the columns it was trained with.
    counts = Block(analyzer, low, high, 18, NO_IDF).counts([text])
    assert sorted(counts.indices.tolist()) == columns
    assert counts.shape == (1, 1 << 18)
    assert counts.data.tolist() == [1.0] * len(columns)


def test_words_are_hashed_in_lower_case():
    block = Block("word", 1, 1, 18, NO_IDF)
    assert block.counts(["POLICE Police"]).toarray()[0, 56855] == 2


def test_the_shipped_model_has_the_pinned_columns(tagger):
    assert {block.bits for block in tagger.features.blocks} == {18}
    assert all(len(block.idf) == 1 << 18 for block in tagger.features.blocks)


def test_rows_weigh_rare_words_more_and_have_unit_length():
    texts = ["kiln raid", "boat raid", "court raid raid", ""]
    block = Block("word", 1, 1, 18, NO_IDF).fitted(texts)
    rows = block.weighted(texts)
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    assert lengths == pytest.approx([1, 1, 1, 0])
    kiln, raid = (block.counts([word]).indices[0] for word in ("kiln", "raid"))
    assert block.idf[kiln] == pytest.approx(math.log(5 / 2) + 1)
    assert block.idf[raid] == pytest.approx(math.log(5 / 4) + 1)
    assert rows[0, kiln] / rows[0, raid] == pytest.approx(block.idf[kiln] / block.idf[raid])
    court = block.counts(["court"]).indices[0]
    assert rows[2, raid] / rows[2, court] == pytest.approx((1 + math.log(2)) * block.idf[raid] / block.idf[court])


def test_features_are_the_blocks_and_then_the_concepts():
    block = Block("word", 1, 1, 4, np.ones(16, np.float32))
    features = FeatureSet((block, block), {"kiln": (term_pattern("kiln"), term_pattern("brick works"))})
    matrix = features.matrix(["a kiln at the Brick Works", "rain"])
    assert matrix.shape == (2, 33)
    assert matrix[:, 32].toarray().ravel().tolist() == pytest.approx([2 / 1.5, 0])


@pytest.mark.parametrize(
    ("term", "text", "found"),
    [
        ("торговля людьми", "обвиняют в торговле  людьми", True),
        ("торговля людьми", "торговли зерном между людьми", False),
        ("debt bondage", "held in debt-bondage", True),
        ("smuggler", "SMUGGLERS of migrants", True),
        ("kiln", "kilns", True),
        ("kiln", "weakiln", False),
        ("trafficking", "traffic jam", False),
        ("u.n.", "the U.N. said", True),
        ("u.n.", "until", False),
    ],
)
def test_a_term_finds_its_inflected_forms_only(term, text, found):
    assert bool(re.search(term_pattern(term), text, re.IGNORECASE)) is found


def test_a_document_is_the_title_twice_and_the_head_of_the_text():
    assert document("Title", "Body") == "Title\nTitle\nBody"
    assert document("", "Body") == "Body"
    assert len(document("", "x" * 100_000)) == 60_000

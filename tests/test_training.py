"""The shipped models are what `python -m training.build` makes of the repository."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("training.build", reason="training/ is not part of the installed package")

from newswatch.grouping import load_background
from newswatch.tagging import Tagger, document
from training.build import build_background, train
from training.data import TAGS, examples, seeds

ROOT = Path(__file__).parent.parent
ROWS = [*seeds(), *examples()]


@pytest.mark.slow
def test_building_again_gives_the_same_scores(tmp_path: Path) -> None:
    shipped = Tagger.load()
    rebuilt, scores = train(ROWS)
    texts = [document(row.title, row.text) for row in ROWS[::20]]
    assert np.array_equal(shipped.scores(texts), rebuilt.scores(texts))
    assert np.array_equal(shipped.thresholds, rebuilt.thresholds)
    card = json.loads((ROOT / "models" / "tags" / "model.json").read_text())
    assert card["five_fold"] == json.loads(json.dumps(scores))
    build_background(ROWS, tmp_path)
    again, now = load_background(tmp_path / "background.npz"), load_background()
    assert again.articles == now.articles
    assert np.array_equal(again.ids, now.ids)
    assert np.array_equal(again.counts, now.counts)


def test_examples_are_well_formed_and_each_their_own() -> None:
    assert len({row.id for row in ROWS}) == len(ROWS)
    assert all(set(row.tags) | set(row.either) <= set(TAGS) for row in ROWS)
    assert all(re.fullmatch("[a-z]{2}", row.lang) and row.title and len(row.text) > 80 for row in ROWS)
    texts = Counter(" ".join(row.text.split()) for row in ROWS)
    assert max(texts.values()) == 1


def test_a_third_of_the_examples_is_untagged() -> None:
    assert sum(not row.tags for row in ROWS) >= len(ROWS) / 3


def test_labels_name_tags_and_no_text() -> None:
    for path in (ROOT / "training" / "labels").glob("*.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            assert set(row) <= {"id", "tags", "either"}
            assert set(row["tags"]) | set(row.get("either", ())) <= set(TAGS)

"""What the package says of itself agrees, and the model's scores do not move."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from newswatch import Tagger, __version__
from newswatch.tagging import model_folder

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_range_of_scikit_learn_is_the_same_in_model_and_project() -> None:
    [wanted] = [one for one in PROJECT["dependencies"] if one.startswith("scikit-learn")]
    low, below = json.loads((model_folder() / "model.json").read_text())["scikit_learn"]
    assert wanted == f"scikit-learn>={low},<{below}"


def test_lxml_html_clean_is_a_stated_dependency() -> None:
    assert any(one.startswith("lxml_html_clean") for one in PROJECT["dependencies"])


def test_the_changelog_speaks_of_this_version() -> None:
    changelog = ROOT / "CHANGELOG.md"
    if not changelog.exists():
        pytest.skip("no checkout")
    assert f"## {__version__}" in changelog.read_text()


def test_every_core_dependency_is_explained() -> None:
    page = ROOT / "docs" / "dependencies.md"
    if not page.exists():
        pytest.skip("no checkout")
    text = page.read_text()
    for one in PROJECT["dependencies"]:
        name = re.split(r"[<>=; ]", one)[0]
        assert name in text or name == "tzdata", name


def test_scores_are_the_ones_the_model_was_saved_with() -> None:
    """The same on every version of scikit-learn, Python and numpy that the tests are run with."""
    card = json.loads((model_folder() / "model.json").read_text())
    tagger = Tagger.load()
    for text, scores in card["check"].items():
        found = tagger.tag(text, explain=False).scores
        assert found == pytest.approx(scores, abs=2e-4)

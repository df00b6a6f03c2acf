"""Build the shipped models: ``python -m training.build [--out DIR]``.

The tag model is a logistic regression for each tag over hashed n-grams and the field's terms. Probabilities are
calibrated, and thresholds chosen, on predictions for texts that were not trained on (five folds). The same inputs and
versions give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, f1_score, precision_score, recall_score
from sklearn.model_selection import KFold

from newswatch.features import Block, FeatureSet
from newswatch.grouping import count_background
from newswatch.tagging import Tagger, document
from training.card import render_card
from training.data import ROOT, TAGS, Example, concepts, examples, seeds

_EMPTY = np.empty(0, np.float32)
BLOCKS = (Block("char_wb", 3, 5, 18, _EMPTY), Block("word", 1, 2, 18, _EMPTY))
# Seeds stand for what the owner means by the tags, and are few: each counts as several examples.
SEED_WEIGHT = 4.0
STRENGTH = 10.0
BAND = 0.12
# Languages with fewer examples than this cannot be said to have been tested.
TESTED_FROM = 20
CHECKS = (
    "Police freed 12 workers held in debt bondage at a brick kiln; the owner is charged with trafficking in persons.",
    "Полиция задержала группу, которая за деньги переправляла мигрантов через границу в фурах.",
    "The council voted to repair three bridges before the winter.",
)
# Oldest and first untested version that the model was loaded with, with equal scores (tests/test_versions.py).
SCIKIT_LEARN = ("1.6", "1.10")


def fit_features(texts: Sequence[str]) -> FeatureSet:
    """Features with document frequencies of these texts."""
    return FeatureSet(tuple(block.fitted(texts) for block in BLOCKS), concepts())


def fit_tag(matrix: Any, wanted: NDArray[np.int64], weights: NDArray[np.float64]) -> LogisticRegression:
    """One tag's regression; rows of weight 0 are left out."""
    used = np.flatnonzero(weights)
    model = LogisticRegression(
        C=STRENGTH, class_weight="balanced", solver="liblinear", dual=True, max_iter=1000, random_state=0
    )
    return model.fit(matrix[used], wanted[used], sample_weight=weights[used])


def _table(rows: Sequence[Example]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels and weights, examples by tags; a tag that readers may differ on weighs nothing."""
    labels = np.array([[tag in row.tags for tag in TAGS] for row in rows], np.int64)
    weights = np.array(
        [[0.0 if tag in row.either else SEED_WEIGHT if row.kind == "seed" else 1.0 for tag in TAGS] for row in rows]
    )
    return labels, weights


def _raw(rows: Sequence[Example], labels: Any, weights: Any, texts: Sequence[str]) -> tuple[FeatureSet, Any, Any, Any]:
    train = [document(row.title, row.text) for row in rows]
    features = fit_features(train)
    matrix = features.matrix(train)
    models = [fit_tag(matrix, labels[:, j], weights[:, j]) for j in range(len(TAGS))]
    coefficients = np.vstack([model.coef_[0] for model in models]).astype(np.float32)
    intercepts = np.array([float(model.intercept_[0]) for model in models])
    values = np.asarray(features.matrix(texts) @ coefficients.T, np.float64) + intercepts if texts else None
    return features, coefficients, intercepts, values


def train(rows: Sequence[Example]) -> tuple[Tagger, dict[str, Any]]:
    """Train on labelled texts.

    Returns:
        The tagger, and its scores on texts left out (five folds).
    """
    labels, weights = _table(rows)
    texts = [document(row.title, row.text) for row in rows]
    held = np.zeros(labels.shape)
    for inside, outside in KFold(5, shuffle=True, random_state=0).split(rows):
        values = _raw([rows[i] for i in inside], labels[inside], weights[inside], [texts[i] for i in outside])[3]
        held[outside] = values
    slopes, offsets, thresholds = np.ones(len(TAGS)), np.zeros(len(TAGS)), np.full(len(TAGS), 0.5)
    chances = np.zeros(labels.shape)
    for j in range(len(TAGS)):
        used = np.flatnonzero(weights[:, j])
        platt = LogisticRegression(C=1e6, solver="lbfgs").fit(held[used, j : j + 1], labels[used, j])
        slopes[j], offsets[j] = float(platt.coef_[0, 0]), float(platt.intercept_[0])
        chances[:, j] = 1 / (1 + np.exp(-(held[:, j] * slopes[j] + offsets[j])))
        thresholds[j] = best_threshold(labels[used, j], chances[used, j])
    features, coefficients, intercepts, _ = _raw(rows, labels, weights, [])
    counts = Counter(row.lang for row in rows)
    tagger = Tagger(
        tags=TAGS,
        features=features,
        coefficients=coefficients,
        intercepts=intercepts,
        slopes=slopes,
        offsets=offsets,
        thresholds=thresholds,
        band=BAND,
        languages=tuple(sorted(lang for lang, count in counts.items() if count >= TESTED_FROM)),
    )
    return tagger, score(rows, chances, thresholds)


def best_threshold(labels: NDArray[np.int64], chances: NDArray[np.float64]) -> float:
    """The probability above which giving the tag has the best F1, to two places, between 0.25 and 0.75."""
    grid = np.arange(0.25, 0.76, 0.01)
    values = [f1_score(labels, chances >= least, zero_division=0.0) for least in grid]
    return round(float(grid[int(np.argmax(values))]), 2)


def score(rows: Sequence[Example], chances: NDArray[np.float64], thresholds: NDArray[np.float64]) -> dict[str, Any]:
    """Scores of predictions: by tag, macro-F1, by language, and untagged texts that got a tag."""
    labels, weights = _table(rows)
    given = chances >= thresholds

    def by_tag(chosen: NDArray[np.bool_]) -> dict[str, float]:
        found: dict[str, float] = {}
        for j, tag in enumerate(TAGS):
            used = chosen & (weights[:, j] > 0)
            if labels[used, j].any():
                found[tag] = round(float(f1_score(labels[used, j], given[used, j], zero_division=0.0)), 3)
        return found

    everything = np.ones(len(rows), bool)
    tags = {}
    for j, tag in enumerate(TAGS):
        used = weights[:, j] > 0
        tags[tag] = {
            "f1": by_tag(everything)[tag],
            "precision": round(float(precision_score(labels[used, j], given[used, j], zero_division=0.0)), 3),
            "recall": round(float(recall_score(labels[used, j], given[used, j], zero_division=0.0)), 3),
            "brier": round(float(brier_score_loss(labels[used, j], chances[used, j])), 4),
            "positives": int(labels[used, j].sum()),
        }
    untagged = ~labels.any(axis=1) & (weights > 0).all(axis=1)
    langs = sorted({row.lang for row in rows})
    return {
        "texts": len(rows),
        "macro_f1": round(float(np.mean([value["f1"] for value in tags.values()])), 3),
        "tags": tags,
        "macro_f1_by_language": {
            lang: round(float(np.mean(list(by_tag(np.array([row.lang == lang for row in rows])).values()))), 3)
            for lang in langs
        },
        "untagged": int(untagged.sum()),
        "untagged_given_a_tag": round(float(given[untagged].any(axis=1).mean()), 3),
    }


def save(tagger: Tagger, scores: dict[str, Any], rows: Sequence[Example], out: Path) -> str:
    """Write ``model.joblib``, ``model.json`` and the model card.

    Returns:
        The model's version, by its content.
    """
    out.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    joblib.dump(tagger.to_arrays(), buffer, compress=("zlib", 6), protocol=4)
    data = buffer.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    card = {
        "version": f"tags-{sha256[:8]}",
        "sha256": sha256,
        "scikit_learn": list(SCIKIT_LEARN),
        "tags": list(tagger.tags),
        "thresholds": dict(zip(tagger.tags, tagger.thresholds.tolist(), strict=True)),
        "unsure_band": tagger.band,
        "languages_tested": list(tagger.languages),
        "encoder": None,
        "trained_on": {
            "seeds": sum(row.kind == "seed" for row in rows),
            "written_examples": sum(row.kind != "seed" for row in rows),
            "by_language": dict(sorted(Counter(row.lang for row in rows).items())),
        },
        "five_fold": scores,
        # Loading under another version of scikit-learn must give these scores again.
        "check": {text: dict(tagger.tag(text, explain=False).scores) for text in CHECKS},
    }
    (out / "model.joblib").write_bytes(data)
    (out / "model.json").write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (out / "README.md").write_text(render_card(card), encoding="utf-8")
    return str(card["version"])


def build_background(rows: Sequence[Example], out: Path) -> None:
    """Write the table of how common words are, for grouping."""
    table = count_background(f"{row.title}\n{row.text}" for row in rows)
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / "background.npz", articles=np.int64(table.articles), ids=table.ids, counts=table.counts)


def main() -> None:
    """Build everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "models", help="folder for the models (default: models/)")
    out: Path = parser.parse_args().out
    rows = [*seeds(), *examples()]
    tagger, scores = train(rows)
    version = save(tagger, scores, rows, out / "tags")
    build_background(rows, out / "grouping")
    print(f"{version}: {len(rows)} texts, macro-F1 {scores['macro_f1']} on texts left out")
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()

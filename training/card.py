"""The model card, written from what was measured: nothing in it is typed by hand but the words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["render_card"]


def render_card(card: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
        card: what ``model.json`` holds.
    """
    trained, scores = card["trained_on"], card["five_fold"]
    tags = "\n".join(
        f"| {tag} | {one['f1']:.3f} | {one['precision']:.3f} | {one['recall']:.3f} | {one['brier']:.4f} | {one['positives']} "
        f"| {card['thresholds'][tag]:.2f} |"
        for tag, one in scores["tags"].items()
    )
    languages = "\n".join(
        f"| {lang} | {trained['by_language'].get(lang, 0)} | {value:.3f} |"
        for lang, value in scores["macro_f1_by_language"].items()
    )
    return f"""# Model card: {card["version"]}

Tags a news story with any of TIP (trafficking in persons), SOM (smuggling of migrants), policy and funding. What they mean:
`training/guide.md`. Written by `python -m training.build`; the same figures are in `model.json`.

**Use it** to sort and to find. **Do not use it** to decide about a person, to count without looking, or on anything but news and releases. An
untagged story is not proof that nothing happened.

## How

For each tag a logistic regression over hashed character n-grams (3 to 5, within words), words (1 to 2), and mentions of the field's terms in 13 languages; scores are calibrated by
Platt scaling on texts left out, thresholds are those of the best F1 there. A tag within {card["unsure_band"]:.2f} of its threshold is called unsure. Loads under scikit-learn from
{card["scikit_learn"][0]} to below {card["scikit_learn"][1]}.

## Data

{trained["seeds"]} seed documents and {trained["written_examples"]} examples written for the project, with invented persons. No real news was trained on.

## Scores

On texts left out, five folds of the same data. **These flatter**: the texts left out were written in the same manner as those trained on; on real, long articles expect less.
Macro-F1 {scores["macro_f1"]:.3f}; of {scores["untagged"]} untagged texts, most of them close in words on purpose, {100 * scores["untagged_given_a_tag"]:.1f} % got a tag.

| tag | F1 | precision | recall | Brier | positives | threshold |
|---|---|---|---|---|---|---|
{tags}

| language | texts | macro-F1 |
|---|---|---|
{languages}

## Known failures

- Trafficking in drugs and smuggling of goods or arms often get TIP or SOM, sometimes with a high score.
- Convictions told in the bare words of rescue or prostitution (above all in other languages than English) are missed.
- Money for anything told in the words of grants and rounds gets funding.
- A tag that rests on one sentence of a long article is often missed.
- Languages other than English do worse, and those with fewer than 20 examples are said not to be tested.
- Satire, fiction and history are not told from news.
"""

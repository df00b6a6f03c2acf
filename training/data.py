"""What the models are trained on: the seed documents, the written examples and the field's terms."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from newswatch.features import term_pattern

__all__ = ["ROOT", "TAGS", "Example", "concepts", "examples", "seeds"]

ROOT = Path(__file__).parent.parent
TAGS = ("TIP", "SOM", "policy", "funding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A labelled text. ``either`` names tags on which careful readers may differ; they do not count there."""

    id: str
    lang: str
    title: str
    text: str
    tags: tuple[str, ...]
    either: tuple[str, ...] = ()
    kind: str = ""


def examples() -> list[Example]:
    """The written examples, ordered by file and line."""
    found: list[Example] = []
    for path in sorted((ROOT / "training" / "examples").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            row["tags"], row["either"] = tuple(row["tags"]), tuple(row.get("either", ()))
            found.append(Example(**row))
    return found


def seeds() -> list[Example]:
    """The five seed documents with their tags; the first line is the title."""
    tags = json.loads((ROOT / "seeds" / "tags.json").read_text(encoding="utf-8"))
    found: list[Example] = []
    for name in sorted(tags):
        text = (ROOT / "seeds" / f"{name}.txt").read_text(encoding="utf-8")
        title, _, body = text.strip().partition("\n")
        found.append(
            Example(id=f"seed-{name}", lang="en", title=title, text=body.strip(), tags=tuple(tags[name]), kind="seed")
        )
    return found


def concepts() -> dict[str, tuple[str, ...]]:
    """By concept of the field, the patterns of its terms in all languages."""
    found: dict[str, list[str]] = {}
    with open(ROOT / "training" / "terms.tsv", encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            found.setdefault(row["concept"], []).append(term_pattern(row["term"].lower()))
    return {concept: tuple(dict.fromkeys(found[concept])) for concept in sorted(found)}

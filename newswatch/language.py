"""The language of a text. Owner of py3langid (which knows Kyrgyz, Kazakh, Uzbek and Tajik)."""

from __future__ import annotations

from functools import cache
from typing import Any

__all__ = ["detect_language", "language_code"]

# Measured on headlines and leads: below this many characters the detector guesses.
_ENOUGH = 40
_SURE = 0.80
_LOOK_AT = 2000


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_code(declared: str | None) -> str:
    """The bare ISO 639 code of a declared language, ``""`` where there is none.

    Example:
        >>> language_code("en-US")
        'en'
    """
    code = (declared or "").strip().lower().replace("_", "-").partition("-")[0]
    return code if 2 <= len(code) <= 3 and code.isalpha() and code.isascii() else ""


def detect_language(text: str, declared: str | None = None) -> str:
    """Tell the language of a text; what its publisher declares decides where the text alone does not.

    Args:
        text: title and lead, or the whole text (its first 2,000 characters are looked at).
        declared: what the feed or page says, as ``en-GB``.

    Returns:
        An ISO 639 code, ``""`` where neither text nor publisher tells.
    """
    hint = language_code(declared)
    sample = text[:_LOOK_AT].strip()
    if sum(char.isalpha() for char in sample) < 8:
        return hint
    found, probability = _identifier().classify(sample)
    if len(sample) < _ENOUGH or probability < _SURE:
        return hint or str(found)
    return str(found)

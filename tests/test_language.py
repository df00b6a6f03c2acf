"""Language of texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newswatch.language import detect_language, language_code

SAYS = {
    "en": "Police freed twelve workers who had been held in debt bondage at a brick kiln in the south.",
    "ru": "Полиция освободила двенадцать рабочих, которых держали в долговой кабале на кирпичном заводе.",
    "es": "La policía liberó a doce trabajadores retenidos por deudas en una fábrica de ladrillos del sur.",
    "fr": "La police a libéré douze ouvriers retenus pour dettes dans une briqueterie du sud du pays.",
    "ky": "Милиция кирпич заводунда карыз үчүн кармалып турган он эки жумушчуну бошотуп чыкты.",
    "kk": "Полиция кірпіш зауытында қарызы үшін ұсталған он екі жұмысшыны босатты, деп хабарлады прокуратура.",
    "uz": "Politsiya gʻisht zavodida qarz evaziga ushlab turilgan oʻn ikki nafar ishchini ozod qildi.",
    "tg": "Полис дувоздаҳ коргарро, ки дар корхонаи хиштпазӣ барои қарз нигоҳ дошта мешуданд, озод кард.",
    "ar": "حررت الشرطة اثني عشر عاملا كانوا محتجزين بسبب الديون في مصنع للطوب جنوب البلاد",
}


@pytest.mark.parametrize("code", SAYS)
def test_a_sentence_tells_its_language(code: str) -> None:
    assert detect_language(SAYS[code]) == code


def test_a_sure_text_is_believed_before_its_publisher() -> None:
    assert detect_language(SAYS["ru"], "en-US") == "ru"


def test_a_few_words_leave_it_to_the_publisher() -> None:
    assert detect_language("Five men held", "de-AT") == "de"


def test_a_few_words_without_a_publisher_are_guessed() -> None:
    assert len(detect_language("Five men held")) == 2


@pytest.mark.parametrize("text", ["", "12 / 7", "!!!", "👩\u200d🚒 2026"])
def test_where_there_are_no_words_only_the_publisher_can_tell(text: str) -> None:
    assert detect_language(text) == ""
    assert detect_language(text, "ky") == "ky"


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        ("en", "en"), ("en-US", "en"), ("pt_BR", "pt"), (" KY ", "ky"), ("fil-PH", "fil"), ("zh-Hant-TW", "zh"),
        ("", ""), (None, ""), ("english", ""), ("e", ""), ("x-klingon", ""), ("ру", ""), ("e1", ""),
    ],
)  # fmt: skip
def test_a_declared_language_is_cut_down_to_its_code(declared: str | None, code: str) -> None:
    assert language_code(declared) == code


@given(st.text(max_size=200), st.none() | st.text(max_size=10))
def test_any_text_has_a_short_code_or_none(text: str, declared: str | None) -> None:
    code = detect_language(text, declared)
    assert code == "" or (code.isascii() and code.islower() and 2 <= len(code) <= 3)

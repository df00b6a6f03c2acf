"""Text: cleaning, decoding, digests, words and sentences."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newswatch.text import (
    clean_line,
    clean_text,
    decode_page,
    decode_xml,
    digest,
    html_to_text,
    looks_binary,
    sentences,
    without_giant_tags,
    words,
)

RUSSIAN = "Полиция освободила двенадцать рабочих, которых держали в долговой кабале на кирпичном заводе. "
SPANISH = "La policía detuvo en Málaga a cinco hombres; según la fiscalía, engañaban a niñas. "
ANY_TEXT = st.text(alphabet=st.characters())  # surrogates too
# --- cleaning ---------------------------------------------------------------------------------------------------------


@given(ANY_TEXT)
@example("a\u2028b")
@example("e\u200b\u0301")
def test_a_clean_line_is_one_line_of_visible_text_and_stays_as_it_is(text: str) -> None:
    line = clean_line(text)
    assert line == " ".join(line.split())
    assert unicodedata.is_normalized("NFC", line)
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in line)
    assert clean_line(line) == line


@given(ANY_TEXT)
@example("a\n \u200b\nb")
@example("\x85 \u0301")
def test_clean_text_has_no_blank_or_padded_lines_beyond_paragraph_breaks_and_stays_as_it_is(text: str) -> None:
    cleaned = clean_text(text)
    assert "\n\n\n" not in cleaned
    assert all(line == line.strip() for line in cleaned.split("\n"))
    assert clean_text(cleaned) == cleaned


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_every_kind_of_line_end_parts_words(end: str) -> None:
    assert clean_line(f"held{end}freed") == "held freed"
    assert clean_text(f"held{end}freed") == "held\nfreed"


@pytest.mark.parametrize(
    "hidden",
    ["\x00", "\x1b", "\x7f", "\xad", "\u200b", "\u202e", "\u2066", "\ufeff", "\uffff", "\U000e0041"],
    ids=lambda char: f"U+{ord(char):04X}",
)
def test_what_cannot_be_seen_is_dropped(hidden: str) -> None:
    assert clean_line(f"traf{hidden}ficking") == "trafficking"


def test_the_joiners_that_scripts_and_emoji_need_are_kept() -> None:
    assert clean_line("می\u200cخواهم 👩\u200d🚒") == "می\u200cخواهم 👩\u200d🚒"


def test_a_lone_surrogate_becomes_a_replacement_character() -> None:
    assert clean_line("a\ud800b") == "a\ufffdb"


def test_paragraphs_are_parted_by_one_blank_line() -> None:
    assert clean_text(" one\t two \n\n \n\n three\nfour ") == "one two\n\nthree\nfour"


@pytest.mark.parametrize("nothing", [None, "", " \n\t "])
def test_nothing_cleaned_is_an_empty_string(nothing: str | None) -> None:
    assert clean_line(nothing) == clean_text(nothing) == html_to_text(nothing) == ""


# --- digests ----------------------------------------------------------------------------------------------------------


def test_a_digest_never_changes() -> None:
    assert digest("https://example.org/a") == "b5b10dd0429e69ac"


def test_a_digest_tells_where_one_part_ends() -> None:
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")


def test_a_digest_of_a_lone_surrogate_is_made() -> None:
    assert len(digest("\ud800")) == 16


# --- HTML fragments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<p>One.</p><p>Two &amp; three.</p>", "One.\n\nTwo & three."),
        ("One<br>two<br/>three", "One\ntwo\nthree"),
        ("tr<b>affick</b>ing", "trafficking"),
        ("<ul><li>one<li>two</ul>", "one\n\ntwo"),
        ("AT&T and Q&A", "AT&T and Q&A"),
        ("5 < 7 and <i>so</i> on", "5 < 7 and so on"),
        ("&#1055;&eacute;&nbsp;&#x4E2D;", "Пé 中"),
        ("plain text", "plain text"),
        ("<p>unclosed", "unclosed"),
        ("a<b", "a"),
    ],
)
def test_markup_becomes_the_text_a_reader_sees(markup: str, text: str) -> None:
    assert html_to_text(markup) == text


@pytest.mark.parametrize(
    "markup",
    [
        "<script>alert(1)</script>seen",
        "<style>p{}</style>seen",
        "<!-- note -->seen",
        "<svg><text>drawn</text></svg>seen",
        "<template>later</template>seen",
        "<noscript>pixel</noscript>seen",
        "<?php echo 1 ?>seen",
        "<script>if (a < b) document.write('<p>x</p>')</script>seen",
    ],
)
def test_what_a_reader_does_not_see_is_left_out(markup: str) -> None:
    assert html_to_text(markup) == "seen"


def test_text_behind_hundreds_of_unclosed_tags_is_kept() -> None:
    assert html_to_text("<b>" * 400 + "deep" + "<p>after") == "deep\n\nafter"


@given(ANY_TEXT)
@example("<" * 50)
@example("<![CDATA[<p>x")
@example("<a href=\x00>")
def test_no_fragment_breaks_the_reader(markup: str) -> None:
    text = html_to_text(markup)
    assert text == clean_text(text)


@given(st.lists(st.text(alphabet="абвxyz ", min_size=1).filter(str.strip), min_size=1, max_size=5))
def test_paragraphs_survive_the_way_through_markup(paragraphs: list[str]) -> None:
    markup = "".join(f"<p>{part}</p>" for part in paragraphs)
    assert html_to_text(markup) == "\n\n".join(" ".join(part.split()) for part in paragraphs)


def test_a_tag_of_a_hundred_thousand_attributes_is_dropped() -> None:
    giant = "<a " + " ".join(f"a{i}=1" for i in range(100_000)) + ">"
    assert without_giant_tags(f"<p>before {giant}between</a> after</p>") == "<p>before between</a> after</p>"
    assert html_to_text(f"<p>before {giant}between</a> after</p>") == "before between after"


def test_a_giant_tag_that_never_closes_takes_the_rest_with_it() -> None:
    assert without_giant_tags("before <a " + "x=1 " * 20_000) == "before "


@pytest.mark.parametrize(
    "text",
    ["a < b " * 20_000, "<!-- " + "note " * 20_000 + "-->", "<p>" + "word " * 20_000 + "</p>", "<" * 100_000],
    ids=["comparisons", "a long comment", "a long paragraph", "only brackets"],
)
def test_what_is_long_but_no_tag_stays(text: str) -> None:
    assert without_giant_tags(text) == text


# --- decoding ---------------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_is_believed_first() -> None:
    body = '<meta charset="windows-1251">Суд'.encode("utf-8-sig")
    assert decode_page(body, "text/html; charset=koi8-r") == '<meta charset="windows-1251">Суд'


def test_the_http_charset_is_believed_before_the_meta() -> None:
    body = '<meta charset="koi8-r">Суд'.encode("windows-1251")
    assert decode_page(body, "text/html; charset=windows-1251").endswith("Суд")


@pytest.mark.parametrize(
    "meta", ['<meta charset="koi8-r">', "<meta http-equiv='Content-Type' content='text/html; charset=koi8-r'>"]
)
def test_the_meta_is_believed_where_http_says_nothing(meta: str) -> None:
    assert decode_page(f"{meta}Суд".encode("koi8-r"), "text/html").endswith("Суд")


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1251", "koi8-r"])
def test_an_undeclared_encoding_is_guessed(encoding: str) -> None:
    assert decode_page(f"<p>{RUSSIAN}</p>".encode(encoding)) == f"<p>{RUSSIAN}</p>"


def test_undeclared_letters_of_western_europe_are_read_as_such() -> None:
    assert decode_page(SPANISH.encode("windows-1252")) == SPANISH


def test_the_guess_is_made_where_the_text_is_not_in_the_script_before_it() -> None:
    body = b"<script>" + b"var a = 1;" * 10_000 + b"</script>" + f"<p>{RUSSIAN * 3}</p>".encode("windows-1251")
    assert RUSSIAN in decode_page(body)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_seen_by_its_zeros(codec: str) -> None:
    page = f"<html><p>{RUSSIAN}</p></html>"
    assert decode_page(page.encode(codec)) == page


def test_a_charset_that_does_not_fit_is_passed_over() -> None:
    assert decode_page(f"<p>{RUSSIAN}</p>".encode("windows-1251"), "text/html; charset=utf-8") == f"<p>{RUSSIAN}</p>"


@pytest.mark.parametrize(
    "name", "zlib hex base64 rot13 idna punycode undefined unicode_escape raw_unicode_escape utf-7 utf-16 foo".split()
)
@pytest.mark.parametrize("place", ["http", "meta"])
def test_a_charset_that_is_no_encoding_of_text_is_passed_over(name: str, place: str) -> None:
    meta = f'<meta charset="{name}">' if place == "meta" else ""
    kind = f"text/html; charset={name}" if place == "http" else "text/html"
    assert decode_page(f"{meta}<p>\\8 {RUSSIAN}</p>".encode(), kind) == f"{meta}<p>\\8 {RUSSIAN}</p>"


def test_a_page_cut_within_a_letter_is_still_utf_8() -> None:
    assert decode_page(RUSSIAN.strip().encode()[:-2]).startswith("Полиция освободила")


def test_one_broken_letter_does_not_spoil_the_rest() -> None:
    body = f"<p>{RUSSIAN}</p>".encode().replace("кабале".encode(), b"\xd0\xba\xd0")
    assert decode_page(body).count("\ufffd") == 1
    assert "Полиция освободила" in decode_page(body)


@given(st.binary(max_size=300), st.sampled_from([None, "", "text/html; charset=utf-8", "text/html; charset=shift_jis"]))
def test_any_bytes_decode_to_text_without_zeros(body: bytes, content_type: str | None) -> None:
    assert "\x00" not in decode_page(body, content_type)
    assert "\x00" not in decode_xml(body, content_type)[0]


def test_a_feed_in_sound_utf_8_is_read_so_whatever_is_declared() -> None:
    body = f'<?xml version="1.0" encoding="windows-1251"?><a>{RUSSIAN}</a>'.encode()
    text, guessed = decode_xml(body, "text/xml; charset=iso-8859-1")
    assert RUSSIAN in text
    assert guessed == ""


def test_a_guessed_encoding_of_a_feed_is_named() -> None:
    text, guessed = decode_xml(f"<a>{RUSSIAN}</a>".encode("windows-1251"))
    assert RUSSIAN in text
    assert guessed == "cp1251"


def test_japanese_in_seven_bits_is_no_utf_8() -> None:
    body = '<?xml version="1.0" encoding="iso-2022-jp"?><a>警察</a>'.encode("iso-2022-jp")
    assert decode_xml(body)[0].endswith("<a>警察</a>")


# --- binary -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n1 0 obj",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"\xff\xd8\xff\xe0 JFIF",
        b"GIF89a....",
        b"PK\x03\x04....",
        b"\x1f\x8b\x08....",
        b"\x7fELF" + bytes(60),
        b"SQLite format 3\x00" + bytes(200),
        bytes(range(256)),
        b"a\x00b",
    ],
)
def test_pictures_archives_and_programs_are_binary(data: bytes) -> None:
    assert looks_binary(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        RUSSIAN.encode(),
        RUSSIAN.encode("windows-1251"),
        RUSSIAN.encode("utf-16"),
        f"<p>{RUSSIAN}".encode("utf-16-le"),
        b"\x1b$B7Y;!\x1b(B" * 5,
        b"<p>" + b"Police held five men. " * 10 + b"\x00</p>",
    ],
    ids=["nothing", "utf-8", "windows-1251", "utf-16", "utf-16 without mark", "iso-2022-jp", "a stray zero"],
)
def test_text_in_any_encoding_is_not_binary(data: bytes) -> None:
    assert not looks_binary(data)


# --- words and sentences ----------------------------------------------------------------------------------------------


def test_words_are_folded_and_keep_their_apostrophes() -> None:
    assert words("The workers’ BOSS didn't pay $12,000; Straße_Ёлка.") == [
        "the", "workers", "boss", "didn't", "pay", "12", "000", "strasse", "ёлка",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Five were held. Two fled!", 2),
        ("Mr. Osmonov was held. Two fled.", 2),
        ("J. Smith of St. Helena spoke.", 1),
        ("Суд в г. Ош вынес приговор. Двое бежали.", 2),
        ("“They beat us.” No one helped.", 2),
        ("警方救出十二名工人。 两人逃走。", 2),
        ("One line\nanother line", 2),
        ("It cost 3.5 million.", 1),
        ("...", 1),
        ("", 0),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, count: int) -> None:
    assert len(sentences(text)) == count


@given(st.text(alphabet="ab .!?\"'\n»)。Мг"))
def test_sentences_lose_nothing_but_space(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_hundreds_of_thousands_of_initials_are_read_in_linear_time() -> None:
    assert len(sentences("a. " * 200_000 + "Then two fled.")) == 1

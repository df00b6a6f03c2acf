"""Text: decoding, cleaning, digests, words and sentences. Pure functions of their arguments."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from contextlib import suppress

__all__ = [
    "clean_line",
    "clean_text",
    "decode_page",
    "decode_xml",
    "digest",
    "html_to_text",
    "looks_binary",
    "sentences",
    "sound_references",
    "without_giant_tags",
    "words",
]

# Every way to end a line that is not "\n"; dropped as the controls they are, they would join two words.
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# C0 and C1 controls but tab and line ends; soft hyphen, zero-width and bidi controls, BOM, tag and no-characters.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u200b\u200e\u200f\u202a-\u202e"
    "\u2060-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACES = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r"\n\s*\n\s*")
_WORD = re.compile(r"[^\W_]+(?:['’ʼ][^\W_]+)*")
# A sentence ends at . ! ? … or the full stops of other scripts, with closing quotes, before a space and a new start.
_SENTENCE_END = re.compile(r"(?<=[.!?…。！？؟۔।])[\"'”’»)\]]*\s+(?=[\"'“‘«(\[—–-]*[^\W_])|\n+")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Gen|Col|Lt|Sgt|Gov|Sen|Rep|No|vs|г|ул|им|д|руб|Sr|Sra|art|ст)|\b[^\W\d_])\.$"
)

_BLOCKS = frozenset(
    "address article aside blockquote br caption dd div dl dt figcaption figure footer form h1 h2 h3 h4 h5 h6 "
    "header hr li main nav ol p pre section table td th tr ul".split()
)
_MAX_TAG_LENGTH = 32_768  # of 181 real pages none had a longer one
_WIDE_STARTS = {b"<\x00": "utf-16-le", b"\x00<": "utf-16-be"}
# Codecs that Python has under a name that a page may give, but no encodings of text.
_NO_ENCODINGS = frozenset("idna punycode undefined unicode-escape raw-unicode-escape".split())
_NON_ASCII = re.compile("[^\x00-\x7f\ufffd]")
_REFERENCE = re.compile("&#(?:[xX]([0-9a-fA-F]+)|([0-9]+));")
_HIGH_RUN = re.compile(b"[\x80-\xff]+")

_SILENT = frozenset("script style noscript template svg math iframe object head".split())


def digest(*parts: str) -> str:
    """A stable 16-digit hexadecimal id of some text parts (the head of their SHA-256).

    Example:
        >>> digest("https://example.org/a")
        'b5b10dd0429e69ac'
    """
    joined = "\x1f".join(_SURROGATES.sub("\ufffd", part) for part in parts)
    return hashlib.sha256(joined.encode("utf-8")).hexdigest()[:16]


def clean_line(text: str | None) -> str:
    """One line of visible text: no control, bidi or zero-width characters, single spaces, NFC.

    Example:
        >>> clean_line("Four\\u202e held\\x1b[31m\\n in raid ")
        'Four held[31m in raid'
    """
    if not text:
        return ""
    return " ".join(_normal(text).split())


def clean_text(text: str | None) -> str:
    """Visible text with paragraphs parted by one blank line; otherwise as `clean_line`."""
    if not text:
        return ""
    plain = _SPACES.sub(" ", _normal(text))
    lines = "\n".join(line.strip() for line in plain.split("\n"))
    return _BLANK_LINES.sub("\n\n", lines).strip()


def _normal(text: str) -> str:
    visible = _INVISIBLE.sub("", _LINE_ENDS.sub("\n", _SURROGATES.sub("\ufffd", text)))
    return unicodedata.normalize("NFC", visible)


def html_to_text(markup: str | None) -> str:
    """The visible text of a fragment of HTML, blocks on lines of their own; scripts and styles left out.

    Text without any markup is returned cleaned. Nothing is fetched and no entity beyond HTML's own is expanded.
    """
    if not markup:
        return ""
    if "<" not in markup and "&" not in markup:
        return clean_text(markup)
    from lxml import etree, html

    plain = without_giant_tags(sound_references(_SURROGATES.sub("\ufffd", markup).replace("\x00", "")))
    # huge_tree: else all text from the 256th unclosed tag on is lost.
    parser = html.HTMLParser(remove_comments=True, remove_pis=True, no_network=True, encoding="utf-8", huge_tree=True)
    try:
        root = html.document_fromstring(f"<div>{plain}".encode(), parser=parser)
    except (etree.ParserError, ValueError):
        return ""
    parts: list[str] = []
    silent = 0
    for action, node in etree.iterwalk(root, events=("start", "end")):
        tag = node.tag if isinstance(node.tag, str) else ""
        if action == "start":
            silent += tag in _SILENT
            if not silent:
                if tag in _BLOCKS:
                    parts.append("\n\n" if tag in ("p", "div", "li", "tr") or tag[:1] == "h" else "\n")
                parts.append(node.text or "")
        else:
            silent -= tag in _SILENT
            if not silent:
                if tag in _BLOCKS and tag != "br":
                    parts.append("\n")
                parts.append(node.tail or "")
    return clean_text("".join(parts))


def sound_references(markup: str) -> str:
    """Mend character references that name no character: halves of a pair, C1 controls meant as windows-1252, controls.

    Example:
        >>> sound_references("don&#146;t &#xD83D;&#xDE00; &#x110000; &amp; &#233;")
        'don’t 😀 � &amp; &#233;'
    """
    if "&#" not in markup:
        return markup
    mended = _REFERENCE.sub(_sound_reference, markup)
    return mended.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _sound_reference(reference: re.Match[str]) -> str:
    hexadecimal, decimal = reference.groups()
    code = int(hexadecimal[-8:], 16) if hexadecimal else int(decimal[-8:])
    if 0x80 <= code <= 0x9F:
        return bytes([code]).decode("cp1252", "replace")
    if 0xD800 <= code <= 0xDFFF:
        return chr(code)
    if code in (9, 10, 13) or 0x20 <= code < 0xFFFE or 0x10000 <= code <= 0x10FFFF:
        return reference.group()
    return "" if code < 0x20 else "\ufffd"


def without_giant_tags(text: str) -> str:
    """Drop opening tags longer than any real one, on whose attributes lxml takes quadratic time.

    Takes linear time itself, whatever the text.
    """
    if len(text) <= _MAX_TAG_LENGTH:
        return text
    kept: list[str] = []
    start = 0
    while True:
        opening = text.find("<", start)
        if opening < 0:
            kept.append(text[start:])
            return "".join(kept)
        closing = text.find(">", opening)
        following = text.find("<", opening + 1)
        end = closing if closing >= 0 else len(text) - 1
        # A "<" that is followed by another before any ">" is text or a broken tag: judged by where the next one starts.
        stop = min(end, following - 1) if following >= 0 else end
        if (
            stop - opening > _MAX_TAG_LENGTH
            and not text.startswith("<!--", opening)
            and text[opening + 1 : opening + 2].isalpha()
        ):
            kept.append(text[start:opening])
        else:
            kept.append(text[start : stop + 1])
        start = stop + 1


def decode_page(body: bytes, content_type: str | None = None) -> str:
    """Decode an HTML page by its BOM, the HTTP charset, its own ``meta`` and last a guess, in this order.

    Args:
        body: the page as sent.
        content_type: the value of the ``Content-Type`` header, if any.

    Returns:
        The text; undecodable bytes become U+FFFD, NULs are dropped.
    """
    text = _by_mark(body)
    if text is None:
        text = _by_declaration(body, content_type)
    if text is None:
        text = body.decode(_guessed(body), "replace")
    return text.replace("\x00", "")


def decode_xml(body: bytes, content_type: str | None = None) -> tuple[str, str]:
    """Decode a feed as `decode_page` does a page; but sound UTF-8 is read as UTF-8, whatever header and prolog claim.

    Returns:
        The text, and the encoding where it had to be guessed, else ``""``.
    """
    text, guessed = _by_mark(body), ""
    if text is None and b"\x1b" not in body[:4096]:  # ISO-2022 encodings hide in ASCII
        with suppress(UnicodeDecodeError):
            text = body.decode("utf-8")
    if text is None:
        text = _by_declaration(body, content_type)
    if text is None:
        guessed = _guessed(body)
        text = body.decode(guessed, "replace")
    return text.replace("\x00", ""), guessed


def _by_mark(body: bytes) -> str | None:
    from w3lib.encoding import read_bom

    encoding, mark = read_bom(body)
    if encoding and mark:
        return body[len(mark) :].decode(encoding, "replace")
    wide = _WIDE_STARTS.get(body[:2])
    return body.decode(wide, "replace") if wide else None


def _by_declaration(body: bytes, content_type: str | None) -> str | None:
    """The text in the first declared encoding that fits the bytes."""
    from w3lib.encoding import html_body_declared_encoding, http_content_type_encoding, to_unicode

    for name in (http_content_type_encoding(content_type), html_body_declared_encoding(body)):
        # UTF-16 would have shown by its mark or its NULs.
        if name and name not in _NO_ENCODINGS and not name.startswith(("utf-16", "utf-32")):
            with suppress(LookupError, UnicodeError):
                text = to_unicode(body, name)
                if _mostly_sound(text):
                    return text
    return None


def _mostly_sound(text: str) -> bool:
    """Whether the undecodable bytes are a few among many; otherwise it is another encoding."""
    broken = text.count("\ufffd")
    return not broken or len(_NON_ASCII.findall(text)) > 2 * broken


def _guessed(body: bytes) -> str:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start >= len(body) - 4 or _mostly_sound(body.decode("utf-8", "replace")):
            return "utf-8"
        sample = body[max(error.start - 256, 0) :][:65_536]
    else:
        return "utf-8"
    runs = _HIGH_RUN.findall(sample)
    # In Latin script the letters beyond ASCII stand alone between others, and the detector takes Spanish for Czech.
    if sum(map(len, runs)) < 1.5 * len(runs):
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(sample).best()
    return best.encoding if best and not best.encoding.startswith(("utf_16", "utf_32")) else "cp1252"


def looks_binary(data: bytes) -> bool:
    """Whether bytes are plainly no text: many NULs (outside UTF-16/32) or other controls in the first 8 kB."""
    head = data[:8192]
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", *_WIDE_STARTS)):
        return False
    if head.startswith((b"%PDF-", b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"\x1f\x8b")):
        return True
    controls = sum(byte < 32 and byte not in (9, 10, 12, 13, 27) for byte in head)
    return controls > len(head) // 50


def words(text: str) -> list[str]:
    """The words of a text, case-folded, in order; digits count as words, punctuation does not."""
    return [match.casefold() for match in _WORD.findall(text)]


def sentences(text: str) -> list[str]:
    """Split a text into sentences by punctuation and line ends; good enough for evidence and windows.

    Example:
        >>> sentences("Mr. Osmonov was held. Two fled.")
        ['Mr. Osmonov was held.', 'Two fled.']
    """
    pieces: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        tail = text[max(start, match.start() - 12) : match.end()].rstrip()
        if "\n" not in match.group() and _ABBREVIATION.search(tail):
            continue
        piece = text[start : match.end()]
        if piece.strip():
            pieces.append(piece.strip())
        start = match.end()
    if text[start:].strip():
        pieces.append(text[start:].strip())
    return pieces

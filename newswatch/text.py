"""Text: decoding, cleaning, digests, words and sentences. Pure functions of their arguments."""

from __future__ import annotations

import hashlib
import re
import unicodedata

__all__ = [
    "clean_line",
    "clean_text",
    "decode_page",
    "digest",
    "html_to_text",
    "looks_binary",
    "sentences",
    "words",
]

# C0 and C1 controls but tab and line ends; soft hyphen, zero-width and bidi controls, BOM, tag characters.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u200b\u200e\u200f\u2028\u2029\u202a-\u202e"
    "\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
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
_SILENT = frozenset("script style noscript template svg math iframe object head".split())


def digest(*parts: str) -> str:
    """A stable 16-digit hexadecimal id of some text parts (the head of their SHA-256).

    Example:
        >>> digest("https://example.org/a")
        '0f4c30be6a4b5eb5'
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
    plain = _SPACES.sub(" ", _normal(text.replace("\r\n", "\n").replace("\r", "\n")))
    lines = "\n".join(line.strip() for line in plain.split("\n"))
    return _BLANK_LINES.sub("\n\n", lines).strip()


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", _SURROGATES.sub("\ufffd", text)))


def html_to_text(markup: str | None) -> str:
    """The visible text of a fragment of HTML, blocks on lines of their own; scripts and styles left out.

    Text without any markup is returned cleaned. Nothing is fetched and no entity beyond HTML's own is expanded.
    """
    if not markup:
        return ""
    if "<" not in markup and "&" not in markup:
        return clean_text(markup)
    from lxml import etree, html

    plain = _SURROGATES.sub("\ufffd", markup).replace("\x00", "")
    parser = html.HTMLParser(remove_comments=True, remove_pis=True, no_network=True, encoding="utf-8")
    try:
        root = html.document_fromstring(f"<div>{plain}</div>".encode(), parser=parser)
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


def decode_page(body: bytes, content_type: str | None = None) -> str:
    """Decode an HTML page by its BOM, the HTTP charset, its own ``meta`` and last a guess, in this order.

    Args:
        body: the page as sent.
        content_type: the value of the ``Content-Type`` header, if any.

    Returns:
        The text; undecodable bytes become U+FFFD, NULs are dropped.
    """
    from w3lib.encoding import html_to_unicode

    def guess(data: bytes) -> str | None:
        from charset_normalizer import from_bytes

        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.start < len(data) - 4:
                best = from_bytes(data[:65_536]).best()
                return best.encoding if best else "cp1252"
        return "utf-8"

    _, text = html_to_unicode(content_type, body, auto_detect_fun=guess)
    return text.replace("\x00", "")


def looks_binary(data: bytes) -> bool:
    """Whether bytes are plainly no text: NULs (outside UTF-16/32), or many control characters in the first 8 kB."""
    head = data[:8192]
    if head.startswith((b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")):
        return False
    if head.startswith((b"%PDF-", b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"\x1f\x8b")):
        return True
    controls = sum(byte < 32 and byte not in (9, 10, 12, 13, 27) for byte in head)
    return b"\x00" in head or controls > len(head) // 50


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
        piece = text[start : match.end()]
        if "\n" not in match.group() and _ABBREVIATION.search(piece.rstrip()):
            continue
        if piece.strip():
            pieces.append(piece.strip())
        start = match.end()
    if text[start:].strip():
        pieces.append(text[start:].strip())
    return pieces

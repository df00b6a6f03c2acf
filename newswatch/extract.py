"""Articles out of HTML pages. Owner of trafilatura.

A page is looked over before any parser sees it: some shapes hang lxml's C code, where no timer reaches. What answers
with 200 but is no article (bot walls, log-in and consent pages) is an error, not an article.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from newswatch.exceptions import ExtractError
from newswatch.language import detect_language
from newswatch.records import Extraction
from newswatch.text import clean_line, clean_text, decode_page, looks_binary, without_giant_tags

__all__ = ["choose_title", "extract_article", "wall_reason"]

# Of 181 real pages the largest had 3,229 tags and none an opening tag over 32 kB; beyond ten times that, parsing takes
# seconds to minutes (docs/extraction.md).
_MAX_TAGS = 30_000
_MAX_SCRIPT = 262_144
_MAX_CHARS = 8_000_000
_LEAST_TEXT = 40
_WALL_LENGTH = 1500

_SCRIPT_START = re.compile(r"<script\b[^>]{0,2000}>", re.IGNORECASE)
_SCRIPT_END = re.compile(r"</script\s*>", re.IGNORECASE)
_LANG = re.compile(r"<html\b[^>]{0,1000}?\blang\s*=\s*[\"']?([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]+)?)", re.IGNORECASE)
_PASSWORD = re.compile(r"<input\b[^>]{0,500}type\s*=\s*[\"']?password", re.IGNORECASE)
_TITLE = re.compile(r"<title\b[^>]{0,500}>([^<]{0,500})", re.IGNORECASE)
_HTML_TYPES = (
    "text/html",
    "application/xhtml",
    "text/plain",
    "application/xml",
    "text/xml",
    "application/octet-stream",
)

_BOT_WALL = re.compile(
    r"just a moment|attention required|checking (?:if the site|your browser)|verif(?:y|ying) (?:that )?you are (?:a )?human|"
    r"are you a robot|not a robot|enable javascript and cookies|pardon our interruption|access (?:to this page has been )?denied|"
    r"request unsuccessful|unusual traffic|ddos[- ]guard|complete the (?:security check|captcha)|captcha|"
    r"(?:подтвердите|докажите), что вы (?:не робот|человек)|проверка (?:вашего )?браузера|доступ (?:запрещ[её]н|ограничен)|"
    r"verifica(?:r|ndo)? que (?:eres|es) (?:un )?humano|no soy un robot|vérification de votre navigateur|vous n.êtes pas un robot|"
    r"přístup odepřen|zugriff verweigert|sind sie ein mensch",
    re.IGNORECASE,
)
_LOGIN_WALL = re.compile(
    r"(?:log|sign)[ -]?in (?:to|or|here)|please (?:log|sign) in|forgot(?:ten)? (?:your )?password|create (?:a free |an )?account|"
    r"(?:subscribe|register) to (?:continue|read)|already (?:a )?(?:subscriber|have an account)|войдите|авторизуйтесь|"
    r"забыли пароль|inicia(?:r)? sesión|contraseña|connectez-vous|mot de passe|anmelden|passwort|iniciar sessão|accedi",
    re.IGNORECASE,
)
_CONSENT_WALL = re.compile(
    r"(?:we|our partners|this site) (?:and our partners )?(?:use|uses|store)[^.]{0,60}cookies|before you continue|accept all|"
    r"cookie (?:settings|policy|consent)|manage (?:your )?(?:privacy|consent|cookies)|your privacy (?:choices|matters)|"
    r"политик[аи] (?:использования )?cookie|использует(?:е)? (?:файлы )?cookie|(?:usamos|utilizamos) cookies|"
    r"(?:nous|utilise[^.]{0,30}) cookies|tout accepter|aceptar (?:todas|todo)|verwende[nt] cookies|alle akzeptieren",
    re.IGNORECASE,
)


def extract_article(
    html: str | bytes,
    *,
    url: str = "",
    content_type: str = "",
    language: str = "",
) -> Extraction:
    """Read the article of an HTML page.

    Args:
        html: the page, as text or as sent.
        url: its address, for the record and for relative dates.
        content_type: the Content-Type header; other kinds than HTML and text are refused.
        language: what the feed declares, as a hint.

    Raises:
        ExtractError: no article. ``reason`` is ``empty``, ``not_html``, ``too_large``, ``too_complex``, ``unreadable``,
            ``no_text``, ``bot_wall``, ``login_wall`` or ``consent_wall``.

    Example:
        >>> page = "<html lang=en><title>Five held</title><article><p>" + "Police held five men. " * 20 + "</p></article>"
        >>> extract_article(page, url="https://example.org/a").title
        'Five held'
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind and not kind.startswith(_HTML_TYPES):
        raise ExtractError(f"the page is {kind}, not HTML", subject=url, reason="not_html")
    if isinstance(html, bytes):
        if looks_binary(html):
            raise ExtractError("the page is no text", subject=url, reason="not_html")
        text = decode_page(html, content_type)
    else:
        text = html.replace("\x00", "")
    if not text.strip():
        raise ExtractError("the page is empty", subject=url, reason="empty")
    text = _disarmed(text, url)
    document = _read(text, url)
    body = clean_text(document.text if document else "")
    title = clean_line((document.title if document else "") or _page_title(text))
    wall = wall_reason(title, body, text)
    if wall:
        raise ExtractError(_WALL_WORDS[wall], subject=url, reason=wall)
    if len(body) < _LEAST_TEXT:
        raise ExtractError("no article text on the page", subject=url, reason="no_text")
    declared = _LANG.search(text[:20_000])
    hint = declared.group(1) if declared else language
    return Extraction(
        url=url,
        title=title,
        text=body,
        authors=_authors(document.author),
        published=_day(document.date),
        language=detect_language(f"{title}\n{body}", hint),
        site=clean_line(document.sitename),
    )


def _disarmed(text: str, url: str) -> str:
    """Refuse or mend shapes that would hang or swell the parsers.

    Raises:
        ExtractError: too many tags or too long.
    """
    if len(text) > _MAX_CHARS:
        raise ExtractError("the page is too large to read", subject=url, reason="too_large")
    tags = text.count("<")
    if tags > _MAX_TAGS:
        raise ExtractError(f"the page has {tags:,} tags; {_MAX_TAGS:,} is the most", subject=url, reason="too_complex")
    if len(text) > _MAX_SCRIPT:
        text = _without_giant_scripts(text)
    return without_giant_tags(text)


def _without_giant_scripts(text: str) -> str:
    """Drop whole scripts longer than any sensible one; each part of the text is looked at once."""
    kept: list[str] = []
    start = 0
    for opening in _SCRIPT_START.finditer(text):
        if opening.start() < start:
            continue
        closing = _SCRIPT_END.search(text, opening.end())
        if closing is None:
            break
        if closing.end() - opening.start() > _MAX_SCRIPT:
            kept.append(text[start : opening.start()])
        else:
            kept.append(text[start : closing.end()])
        start = closing.end()
    return "".join([*kept, text[start:]])


def _read(text: str, url: str) -> Any:
    from trafilatura import bare_extraction

    try:
        return bare_extraction(text, url=url or None, fast=True, include_comments=False, with_metadata=True)
    except Exception as error:  # whatever a library makes of a hostile page is a failure of this page only
        raise ExtractError(
            f"the page cannot be read: {type(error).__name__}: {error}"[:300], subject=url, reason="unreadable"
        ) from error


def _page_title(text: str) -> str:
    match = _TITLE.search(text[:200_000])
    return match.group(1) if match else ""


def _authors(value: str | None) -> tuple[str, ...]:
    names = (clean_line(name) for name in (value or "").split(";"))
    return tuple(dict.fromkeys(name for name in names if name))[:20]


def _day(value: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(value).replace(tzinfo=UTC) if value else None
    except ValueError:
        return None


_WALL_WORDS = {
    "bot_wall": "the server shows a check against robots, not the article",
    "login_wall": "the page asks to log in or subscribe",
    "consent_wall": "the page asks for consent to cookies",
}


def wall_reason(title: str, text: str, page: str = "") -> str | None:
    """Whether a page is a wall before an article: ``bot_wall``, ``login_wall``, ``consent_wall`` or ``None``.

    Only short texts are suspected: an article about captchas is an article.

    Args:
        title: the page's title.
        text: what was extracted from it.
        page: the page's HTML, looked at where the text is short.
    """
    if len(text) > _WALL_LENGTH:
        return None
    shown = f"{title}\n{text}"
    bare = len(text) < 400
    source = page[:100_000] if bare else ""
    if (
        _BOT_WALL.search(title)
        or (bare and _BOT_WALL.search(shown))
        or "cf-chl-" in source
        or "challenge-platform" in source
    ):
        return "bot_wall"
    if len(text) < 800 and (_PASSWORD.search(source or page[:200_000]) or bare) and _LOGIN_WALL.search(shown):
        return "login_wall"
    if len(_CONSENT_WALL.findall(shown)) >= (1 if bare else 2) and len(text) < 800:
        return "consent_wall"
    return None


def choose_title(page: str, feed: str) -> str:
    """The page's title, unless the feed's is contained in it (then the rest is the site's name).

    Example:
        >>> choose_title("Five held in raid | The Herald", "Five held in raid")
        'Five held in raid'
    """
    if feed and (not page or feed.casefold() in page.casefold()):
        return feed
    return page

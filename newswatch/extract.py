"""Articles out of HTML pages. Owner of trafilatura.

A page is looked over before any parser sees it: some shapes hang lxml's C code, where no timer reaches. What answers
with 200 but is no article (bot walls, log-in and consent pages) is an error, not an article.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
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

# The whole title of a wall, alone or before the site's name.
_BOT_TITLE = re.compile(
    r"\W*(?:just a moment|one moment,? please|attention required|access (?:to this page has been )?denied|pardon our interruption|"
    r"are you a robot|robot check|security check|request unsuccessful|ddos[- ]guard|checking your browser|"
    r"доступ (?:запрещ[её]н|ограничен)|проверка (?:вашего )?браузера|вы не робот|un momento|acceso denegado|un instant|"
    r"accès refusé|nur einen moment|einen moment|zugriff verweigert|só um momento|acesso negado|accesso negato|"
    r"bir dakika lütfen|jeszcze chwila|odmowa dostępu|přístup odepřen|请稍候)\W*(?:\s[|–—·-]\s.*)?",
    re.IGNORECASE,
)
# What else the page under such a title speaks of, and an article seldom.
_BOT_TALK = re.compile(
    r"robot|\bbots?\b|javascript|captcha|cloudflare|ray id|reference (?:id|#)|incident id|don.t have permission|"
    r"security (?:service|solution)|automat(?:ed|ion)",
    re.IGNORECASE,
)
# What only walls say: they speak to the reader.
_BOT_WALL = re.compile(
    r"checking (?:if the site|your browser)|verif(?:y|ying) (?:that )?you are (?:a )?human|"
    r"are you a robot|(?:i'm|i am|you are|you're) not a (?:ro)?bot|enable (?:js|javascript) and (?:cookies|disable)|pardon our interruption|"
    r"access to this page has been denied|request unsuccessful|unusual traffic|ddos[- ]guard|"
    r"(?:complete|solve|enter|pass) (?:the|this) (?:security check|captcha)|you have been blocked|think you were a bot|"
    r"что вы (?:не робот|человек)|\bя не робот|похожи на автоматические|проверка (?:вашего )?браузера|"
    r"що ви (?:не робот|людина)|"
    r"verifi(?:ca|car|cando|que) que (?:eres|es|usted es) (?:un )?(?:ser )?humano|no (?:soy|eres) un robot|"
    r"vérification de votre navigateur|que vous êtes (?:un )?humain|vous n.êtes pas un robot|je ne suis pas un robot|"
    r"prüfung ihres browsers|sind sie ein mensch|dass sie (?:ein mensch|kein roboter) sind|ich bin kein roboter|"
    r"se você é (?:um )?humano|não sou um robô|di essere (?:un essere )?uman[oi]|non sono un robot|"
    r"insan olduğunuz|robot olmadığınız|że jesteś człowiekiem|nie jestem robotem|že jste člověk|nejsem robot|"
    r"您是(?:否是)?真人|我不是机器人",
    re.IGNORECASE,
)
_BOT_SOURCE = re.compile(r"cf-chl-|_cf_chl_opt|challenge-platform/h/\w+/orchestrate|captcha-delivery\.com|px-captcha")
_LOGIN_TITLE = re.compile(
    r"\W*(?:sign in|log ?in|вход|авторизация|iniciar sesión|connexion|anmelden|entrar|accedi)\W*(?:\s[|–—·-]\s.*)?",
    re.IGNORECASE,
)
_LOGIN_WALL = re.compile(
    r"please (?:log|sign) ?in\b|\b(?:log|sign) ?in to (?:continue|read|view|see|access)|forgot(?:ten)? (?:your )?password|"
    r"don.t have an account|(?:subscribe|register|sign up) to (?:continue|read|keep)|already (?:a )?(?:subscriber|member|have an account)|"
    r"войдите (?:или|на сайт|в (?:аккаунт|систему|личный))|авторизуйтесь|забыли пароль|только для подписчиков|"
    r"inicia sesión|inicie sesión|(?:olvidaste|olvidó) (?:tu|su|la) contraseña|para seguir leyendo|ya eres suscriptor|"
    r"connectez-vous|mot de passe oublié|réservé (?:aux|à nos) abonnés|déjà abonné|"
    r"melden sie sich an|passwort vergessen|bereits abonnent|nur für abonnenten|"
    r"para continuar a ler|esqueceu a (?:sua )?senha|já é assinante|per continuare a leggere|password dimenticata|sei già abbonato",
    re.IGNORECASE,
)
_LOGIN_TALK = re.compile(
    r"\b(?:log|sign)[ -]?in (?:to|or|here)\b|create (?:a free |an )?account|iniciar sesión|iniciar sessão|\banmelden\b|\baccedi\b",
    re.IGNORECASE,
)
_CONSENT_WALL = re.compile(
    r"(?:we|our (?:\d+ )?partners|this site)(?: and our (?:\d+ )?partners)? (?:use|uses|store|stores)\b[^.]{0,60}cookies|"
    r"\bbefore you continue to\b|\baccept all\b|manage (?:your )?(?:privacy|consent|cookies)|your privacy (?:choices|matters)|"
    r"(?:сайт|мы)(?: [^ .]+)? использу(?:ет|ем)(?: файлы)? cookie|политик(?:а|и|ой) (?:использования )?cookie|принять все|"
    r"(?:usamos|utilizamos|(?:sitio|página|web) (?:usa|utiliza)) cookies|acept(?:ar|o) (?:todas|todo)|"
    r"utilis(?:e|ons|ent) des cookies|tout accepter|verwende[nt] (?:wir )?cookies|alle akzeptieren|aceitar (?:todos|tudo)|"
    r"utilizz(?:a|iamo) (?:i )?cookie|accetta tutt[io]|gebruik(?:t|en) cookies|alles accepteren|używa(?:my)? plików cookie|"
    r"zaakceptuj wszystk",
    re.IGNORECASE,
)
_CONSENT_TALK = re.compile(r"cookie (?:settings|policy|consent)", re.IGNORECASE)


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
        text = html.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")
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

    Only short texts are suspected, and the longer they are, the more must speak for it: an article about captchas,
    passwords or cookies is an article.

    Args:
        title: the page's title.
        text: what was extracted from it.
        page: the page's HTML, if at hand.
    """
    if len(text) > _WALL_LENGTH:
        return None
    source = page[:200_000]
    titles = (title, clean_line(unescape(_page_title(source))))
    shown = f"{title}\n{text}"
    bare = len(text) < 400
    phrases = _count(_BOT_WALL, shown)
    if (
        (bare and _BOT_SOURCE.search(source))
        or phrases > (1 if bare else 2)
        or (phrases and len(text) < 200)
        or (any(map(_BOT_TITLE.fullmatch, titles)) and (bare or phrases or _BOT_TALK.search(text)))
    ):
        return "bot_wall"
    phrases = _count(_LOGIN_WALL, shown)
    if len(text) < 800 and (
        phrases > 1
        or (bare and (phrases or any(map(_LOGIN_TITLE.fullmatch, titles))))
        or (len(text) < 200 and _LOGIN_TALK.search(shown) and _PASSWORD.search(source))
    ):
        return "login_wall"
    phrases = _count(_CONSENT_WALL, shown)
    if phrases > 2 or (bare and phrases > 1) or (len(text) < 250 and (phrases or _count(_CONSENT_TALK, shown) > 1)):
        return "consent_wall"
    return None


def _count(pattern: re.Pattern[str], text: str) -> int:
    """How many different phrases of a pattern are in a text."""
    return len({found.casefold() for found in pattern.findall(text)})


def choose_title(page: str, feed: str) -> str:
    """The page's title, unless the feed's is contained in it (then the rest is the site's name).

    Example:
        >>> choose_title("Five held in raid | The Herald", "Five held in raid")
        'Five held in raid'
    """
    if feed and (not page or feed.casefold() in page.casefold()):
        return feed
    return page

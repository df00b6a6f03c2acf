"""Articles out of pages; walls, hostile shapes and wrong kinds told from them."""

from __future__ import annotations

import gzip
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newswatch.exceptions import ExtractError
from newswatch.extract import choose_title, extract_article, wall_reason
from newswatch.records import Extraction

STORY = (
    "Police freed twelve workers on Tuesday who had been held in debt bondage at a brick kiln south of the capital. "
    "The owner had kept their passports for two years, prosecutors said.\n"
    "The workers, among them four women, told the court that they had been promised wages of 400 dollars a month and were "
    "paid nothing. Two foremen were detained and a third is being sought."
)


def page(title: str, text: str, *, head: str = "", before: str = "", after: str = "", lang: str = "en") -> str:
    body = "".join(f"<p>{part}</p>" for part in text.split("\n"))
    return (
        f"<!DOCTYPE html><html lang={lang}><head><title>{title}</title>{head}</head><body>{before}"
        f"<h1>{title}</h1><article>{body}</article>{after}</body></html>"
    )


def outcome(html: str | bytes, **more: str) -> str:
    """The reason of the failure, or "article"."""
    try:
        article = extract_article(html, **more)
    except ExtractError as error:
        return error.reason
    assert len(article.text) >= 40
    return "article"


# --- articles ---------------------------------------------------------------------------------------------------------


def test_an_article_has_title_text_author_date_site_and_language() -> None:
    head = (
        '<meta property="og:site_name" content="The Herald"><meta name="author" content="Aida Osmonova">'
        '<meta property="article:published_time" content="2026-11-17T09:30:00+06:00">'
    )
    article = extract_article(page("Twelve freed from kiln", STORY, head=head), url="https://herald.example/1")
    assert article == Extraction(
        url="https://herald.example/1",
        title="Twelve freed from kiln",
        text=STORY,
        authors=("Aida Osmonova",),
        published=datetime(2026, 11, 17, tzinfo=UTC),
        language="en",
        site="The Herald",
    )


def test_what_stands_around_an_article_is_left_out() -> None:
    before = "<nav><a href=/>Home</a> <a href=/world>World news</a></nav><script>var a = 'tracked';</script>"
    after = "<aside>Read also: ten recipes for autumn</aside><footer>All rights reserved</footer>"
    text = extract_article(page("Twelve freed", STORY, before=before, after=after)).text
    assert text == STORY


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1251", "koi8-r", "utf-16"])
def test_a_page_in_another_encoding_is_read(encoding: str) -> None:
    russian = "Полиция освободила двенадцать рабочих, которых держали в долговой кабале на кирпичном заводе. " * 3
    html = page("Двенадцать рабочих освобождены", russian, head=f'<meta charset="{encoding}">', lang="ru")
    article = extract_article(html.encode(encoding))
    assert article.text == russian.strip()
    assert article.language == "ru"


@pytest.mark.parametrize("charset", ["utf-16", "zlib", "idna", "foo", "utf-8; charset=utf-8", '"utf-8'])
def test_a_wrong_charset_does_not_lose_the_article(charset: str) -> None:
    html = page("Twelve freed", STORY, head=f"<meta charset='{charset}'>")
    assert extract_article(html.encode(), content_type=f"text/html; charset={charset}").text == STORY


def test_the_page_says_the_language_where_the_text_is_too_short_to_tell() -> None:
    short = "Suspects held. Probe opened. No names given."
    assert extract_article(page("Held", short, lang="sw"), language="de").language == "sw"


def test_what_cannot_be_seen_does_not_get_into_an_article() -> None:
    article = extract_article(page("Twelve\u202e freed\x1b[2J", STORY.replace("kiln", "ki\u200bln\x07")))
    assert not re.search("[\x00-\x09\x0b-\x1f\u200b\u202e]", article.title + article.text)


@pytest.mark.parametrize(
    ("page_title", "feed_title", "chosen"),
    [
        ("Five held in raid | The Herald", "Five held in raid", "Five held in raid"),
        ("FIVE HELD in raid - Herald", "Five held in raid", "Five held in raid"),
        ("Five held in raid near Osh", "Raid: five held", "Five held in raid near Osh"),
        ("", "Five held in raid", "Five held in raid"),
        ("Five held in raid", "", "Five held in raid"),
        ("", "", ""),
    ],
)
def test_the_title_is_the_pages_unless_the_feeds_is_within_it(page_title: str, feed_title: str, chosen: str) -> None:
    assert choose_title(page_title, feed_title) == chosen


# --- what is no article -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"\x00" * 20, "not_html"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj << /Type /Catalog >>", "not_html"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(64), "not_html"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(64), "not_html"),
        (b"\x1f\x8b\x08\x00" + bytes(64), "not_html"),
        (bytes(range(256)) * 8, "not_html"),
        (b"<html><body></body></html>", "no_text"),
        (b"<html><body><img src=a.png></body></html>", "no_text"),
        (b"<html><body><script>render()</script><div id=app></div></body></html>", "no_text"),
        (b"<p>Short.</p>", "no_text"),
        (b"<", "no_text"),
        (b'{"title": "x"}', "no_text"),
    ],
)
def test_what_holds_no_article_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(ExtractError) as caught:
        extract_article(body, url="https://herald.example/1")
    assert (caught.value.reason, caught.value.subject) == (reason, "https://herald.example/1")


@pytest.mark.parametrize(
    "kind", ["application/pdf", "image/png", "video/mp4", "application/json", "application/rss+xml"]
)
def test_another_kind_of_file_is_refused_by_its_header(kind: str) -> None:
    assert outcome(page("Twelve freed", STORY), content_type=kind) == "not_html"


@pytest.mark.parametrize(
    "kind",
    ["", "text/html", "TEXT/HTML;charset=utf-8", "application/xhtml+xml", "text/plain", "application/octet-stream"],
)
def test_the_kinds_that_servers_send_pages_as_are_read(kind: str) -> None:
    assert outcome(page("Twelve freed", STORY), content_type=kind) == "article"


# --- walls ------------------------------------------------------------------------------------------------------------

BOT_WALLS = {
    "waiting": ("Just a moment...", "Enable JavaScript and cookies to continue"),
    "blocked": (
        "Attention Required! | Cloudflare",
        "Sorry, you have been blocked\nYou are unable to access herald.example\nThis website is using a security service to "
        "protect itself from online attacks. The action you just performed triggered the security solution. There are several "
        "actions that could trigger this block including submitting a certain word or phrase, a SQL command or malformed data.\n"
        "You can email the site owner to let them know you were blocked. Please include what you were doing when this page came "
        "up and the Ray ID found at the bottom of this page.",
    ),
    "automation": (
        "Access to this page has been denied.",
        "Access to this page has been denied because we believe you are using automation tools to browse the website.\n"
        "This may happen as a result of the following: Javascript is disabled or blocked by an extension (ad blockers for "
        "example). Your browser does not support cookies.\nPlease make sure that Javascript and cookies are enabled on your "
        "browser and that you are not blocking them from loading. Reference ID: #a1b2c3",
    ),
    "denied": ("Access Denied", "You don't have permission to access this page on this server. Reference #18.2d351ab8"),
    "captcha": ("Herald", "We have detected unusual traffic from your network. Please complete the captcha to go on."),
    "robot": ("Security check", "Please tick the box below: I'm not a robot. Then you will be taken to the page."),
    "en title only": (
        "Pardon Our Interruption",
        "As you were browsing, something about your browser looked odd to us.",
    ),
    "ru": ("Проверка браузера", "Подтвердите, что вы не робот, чтобы продолжить. Это займёт несколько секунд."),
    "ru denied": (
        "Доступ ограничен",
        "Запросы с вашего устройства похожи на автоматические. Введите символы с картинки.",
    ),
    "uk": ("Перевірка", "Підтвердьте, що ви не робот, щоб перейти до сайту новин."),
    "es": ("Un momento…", "Verificando que eres humano. Esto puede tardar unos segundos."),
    "fr": ("Un instant…", "Vérifiez que vous êtes humain en effectuant l’action ci-dessous, s’il vous plaît."),
    "de": ("Nur einen Moment…", "Bestätigen Sie, dass Sie ein Mensch sind. Das dauert nur wenige Sekunden."),
    "pt": ("Só um momento…", "Verifique se você é humano. Isso pode levar alguns segundos."),
    "it": ("Herald", "Verifica di essere un essere umano. Potrebbe richiedere alcuni secondi."),
    "tr": ("Bir dakika lütfen...", "İnsan olduğunuz doğrulanıyor. Bu birkaç saniye sürebilir."),
    "pl": ("Jeszcze chwila…", "Potwierdź, że jesteś człowiekiem. Może to potrwać kilka sekund."),
    "cs": ("Přístup odepřen", "K zobrazení této stránky nemáte dostatečné oprávnění."),
    "zh": ("请稍候…", "正在验证您是否是真人。这可能需要几秒钟时间。"),
}
LOGIN_WALLS = {
    "en": (
        "Sign in",
        "Sign in to continue to the Herald.\nForgot your password?\nDon't have an account? Create a free account.",
    ),
    "en teaser": (
        "Five held in raid",
        "Police held five men on Tuesday after a raid on a brick kiln in the south.\n"
        "Subscribe to continue reading. Already a subscriber? Log in here.",
    ),
    "en long teaser": (
        "Twelve freed from kiln",
        f"{STORY}\nSubscribe to keep reading.\nAlready a subscriber? Please log in.",
    ),
    "ru": ("Вход", "Чтобы продолжить чтение, войдите или зарегистрируйтесь на сайте.\nЗабыли пароль?"),
    "es": ("Suscríbete", "Suscríbete para seguir leyendo esta noticia.\n¿Ya eres suscriptor? Inicia sesión"),
    "fr": ("Le Héraut", "Cet article est réservé aux abonnés du journal.\nDéjà abonné ? Connectez-vous"),
    "de": ("Anmelden", "Bitte melden Sie sich an, um diesen Artikel weiterzulesen.\nPasswort vergessen?"),
    "pt": ("Entrar", "Inicie a sessão para continuar a ler esta notícia.\nEsqueceu a senha?"),
    "it": ("Accedi", "Accedi al sito per continuare a leggere questo articolo.\nPassword dimenticata?"),
}
CONSENT_WALLS = {
    "en": (
        "Before you continue",
        "Before you continue to the Herald\nWe use cookies and data to deliver our services and ads.",
    ),
    "en partners": (
        "Your privacy choices",
        "We and our 842 partners store and access information on a device, such as cookies, and process personal data.\nAccept all",
    ),
    "ru": ("Новости", "Наш сайт использует файлы cookie, чтобы сделать работу с ним удобнее. Принять все"),
    "es": (
        "Privacidad",
        "Este sitio web utiliza cookies propias y de terceros para mejorar la experiencia.\nAceptar todo",
    ),
    "fr": (
        "Vie privée",
        "Nous utilisons des cookies pour mesurer l'audience et proposer des publicités.\nTout accepter",
    ),
    "de": (
        "Datenschutz",
        "Wir verwenden Cookies und ähnliche Techniken, um unsere Seiten zu verbessern.\nAlle akzeptieren",
    ),
    "pt": ("Privacidade", "Utilizamos cookies para melhorar a sua experiência neste site.\nAceitar todos"),
    "it": ("Privacy", "Noi e i nostri partner utilizziamo i cookie per migliorare la tua esperienza.\nAccetta tutti"),
    "nl": (
        "Privacy",
        "Wij gebruiken cookies om onze website te verbeteren en advertenties te tonen.\nAlles accepteren",
    ),
    "pl": ("Prywatność", "Używamy plików cookie, aby poprawić działanie serwisu.\nZaakceptuj wszystko"),
}


@pytest.mark.parametrize(("title", "text"), BOT_WALLS.values(), ids=BOT_WALLS)
def test_a_check_against_robots_is_no_article(title: str, text: str) -> None:
    assert outcome(page(title, text)) == "bot_wall"


@pytest.mark.parametrize(("title", "text"), LOGIN_WALLS.values(), ids=LOGIN_WALLS)
def test_a_call_to_log_in_or_subscribe_is_no_article(title: str, text: str) -> None:
    assert outcome(page(title, text)) == "login_wall"


@pytest.mark.parametrize(("title", "text"), CONSENT_WALLS.values(), ids=CONSENT_WALLS)
def test_a_question_about_cookies_is_no_article(title: str, text: str) -> None:
    assert outcome(page(title, text)) == "consent_wall"


@pytest.mark.parametrize(
    "source",
    [
        "<script>window._cf_chl_opt={cvId:'3'}</script>",
        "<script src='/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1'></script>",
        "<script src='https://ct.captcha-delivery.com/c.js'></script>",
        "<div id='px-captcha'></div>",
    ],
)
def test_a_wall_without_words_is_known_by_its_scripts(source: str) -> None:
    assert outcome(f"<html><head><title>herald.example</title></head><body>{source}</body></html>") == "bot_wall"


def test_a_login_form_under_few_words_is_a_wall() -> None:
    html = page("Herald Plus", "To read this story, log in to your account or go back.", after="<input type=password>")
    assert outcome(html) == "login_wall"


CAPTCHAS = (
    "Workers freed from a scam compound said on Tuesday that they had been made to solve captchas for fourteen hours a day. "
    "“I clicked ‘I am not a robot’ ten thousand times,” one of them told the court. Those who missed their quota were denied "
    "food. The accounts made in this way were sold to gangs, prosecutors said.\n"
    "Access to the site has been denied to reporters. Cloudflare, whose service guards many sites against automated visits, "
    "did not answer a request for comment. Whoever asked to rest was told to solve the captcha first, she said."
)
PASSWORDS = (
    "Traffickers took their phones and made the women sign in to their bank accounts, a court in Osh heard on Monday. "
    "Anyone who said she had forgotten her password was beaten, and one of them died of it in March.\n"
    "The gang would create an account in the name of each victim and log in to it from abroad, the prosecutor said. "
    "The trial continues; verdicts are expected in December."
)
COOKIES = (
    "The data protection authority fined a job portal 2 million euros because its cookie consent gave visitors no choice "
    "but to accept all. The portal, which lured workers with false offers, sold what its cookies collected.\n"
    "Its cookie policy was a single sentence, the authority said: “We use cookies.” The company has a month to appeal. "
    "It did not answer questions on Thursday; its site was still at work in the evening, with a banner twice as long."
)
RUSSIAN = (
    "Суд в Бишкеке приговорил троих мужчин к семи годам за торговлю людьми. Доступ к их сайту ограничен с марта, сообщила "
    "прокуратура. Пострадавших заставляли вводить капчу и пароли от чужих счетов по четырнадцать часов в сутки.\n"
    "Один из них рассказал, что программа просила доказать, что он человек, а не робот. Приговор ещё не вступил в силу."
)
SPANISH = (
    "El Gobierno accedió a la petición de las víctimas y abrió una oficina en la frontera, informó el fiscal el lunes. "
    "La banda les quitaba los documentos y la contraseña del banco.\n"
    "Las mujeres debían iniciar sesión en páginas de citas y aceptar cookies de cada sitio, según la sentencia."
)
FRENCH = (
    "Le tribunal a condamné lundi trois passeurs à sept ans de prison. Ils exigeaient le mot de passe du compte bancaire de "
    "chaque famille avant le départ, selon le parquet.\n"
    "Leur site, qui déposait des cookies sans consentement, demandait aux clients de se connecter pour suivre le bateau."
)
GERMAN = (
    "Das Gericht verurteilte am Montag drei Schleuser zu sieben Jahren Haft. Sie verlangten von jeder Familie das Passwort "
    "ihres Kontos; Kunden mussten sich auf einer Seite anmelden, um das Boot zu verfolgen.\n"
    "Den Helfern wurde der Zugriff auf das Lager verweigert, wie eine Sprecherin mitteilte."
)
ARTICLES = {
    "captchas": ("Captcha farms held hundreds in bondage", CAPTCHAS),
    "captchas in brief": ("Captcha workers freed", CAPTCHAS.partition("\n")[0]),
    "access denied": ("Access denied: aid workers turned away at the border", STORY),
    "a moment": ("‘Just a moment of courage’: how a cook freed twelve", STORY),
    "robots": ("Are you a robot? No, a slave: inside a click farm", STORY),
    "passwords": ("Gang forced victims to log in to their banks", PASSWORDS),
    "passwords in brief": ("Passwords beaten out of victims", PASSWORDS.partition("\n")[0]),
    "sign in": ("Sign in the window led police to twelve captives", STORY),
    "a backlog": (
        "Asylum backlog in Toronto doubles",
        STORY.replace("at a brick kiln", "amid the asylum backlog in Toronto"),
    ),
    "cookies": ("Fine for a cookie policy of one sentence", COOKIES),
    "russian": ("Семь лет за торговлю людьми", RUSSIAN),
    "russian access": ("Доступ ограничен: как закрывают приюты", RUSSIAN),
    "spanish": ("El Gobierno accede a la petición de las víctimas", SPANISH),
    "french": ("Trois passeurs condamnés", FRENCH),
    "german": ("Zugriff verweigert wird Helfern seit März", GERMAN),
}
FURNITURE = (
    "<header><a href=/login>Log in</a><form><input type=email><input type=password><a>Forgot your password?</a></form></header>"
    "<script src='/cdn-cgi/challenge-platform/scripts/jsd/main.js'></script><div class='g-recaptcha'></div>",
    "<div id=cookie-banner>We use cookies. <a>Cookie policy</a> <button>Accept all</button></div><footer>Subscribe</footer>",
)


@pytest.mark.parametrize(("title", "text"), ARTICLES.values(), ids=ARTICLES)
def test_an_article_that_speaks_of_captchas_passwords_or_cookies_is_an_article(title: str, text: str) -> None:
    before, after = FURNITURE
    article = extract_article(page(title, text, before=before, after=after))
    assert article.text.startswith(text[:60])


@pytest.mark.parametrize("text", [CAPTCHAS, PASSWORDS, RUSSIAN, SPANISH, FRENCH, GERMAN])
@pytest.mark.parametrize("title", ["", "Herald"])
def test_no_paragraph_of_such_an_article_is_taken_for_a_wall(title: str, text: str) -> None:
    assert [wall_reason(title, part) for part in text.split("\n")] == [None, None]


def test_a_long_text_is_never_a_wall() -> None:
    assert wall_reason("Just a moment...", "Verify you are human. I'm not a robot. " * 50) is None


def test_a_wall_in_the_title_of_the_page_counts_where_the_heading_hides_it() -> None:
    shown = "The action you just performed triggered the security solution of this site."
    assert wall_reason("Sorry", shown, "<title>Attention Required! | Cloudflare</title>") == "bot_wall"


# --- hostile pages ----------------------------------------------------------------------------------------------------

ATTRIBUTES = " ".join(f"a{i}=1" for i in range(100_000))
LD_JSON = '<script type="application/ld+json">'
HOSTILE = {
    "100,000 attributes in one tag": (page("T", STORY, before=f"<div {ATTRIBUTES}></div>"), "article"),
    "100,000 attributes in a tag that never ends": (page("T", STORY, after=f"<div {ATTRIBUTES}"), "article"),
    "an attribute of a megabyte": (page("T", STORY, before=f"<img src='data:{'A' * 1_000_000}'>"), "article"),
    "200,000 spans": (page("T", STORY, before="<span>x</span>" * 200_000), "too_complex"),
    "100,000 nested divs": ("<div>" * 100_000 + STORY, "too_complex"),
    "29,000 nested divs": ("<div>" * 29_000 + STORY, "no_text"),
    "5 MB of ld+json": (page("T", STORY, head=f'{LD_JSON}{{"a": "{"x" * 5_000_000}"}}</script>'), "article"),
    "ld+json nested 40,000 deep": (page("T", STORY, head=LD_JSON + '{"a":' * 40_000 + "</script>"), "article"),
    "ld+json of other shapes": (
        page("T", STORY, head=LD_JSON + '[null,{"@type":5,"author":[[]]}]</script>'),
        "article",
    ),
    "20,000 scripts that never end": (page("T", STORY, after="<script>" * 20_000 + "x" * 1_000_000), "article"),
    "9 MB of text": ("<p>" + STORY * 25_000, "too_large"),
    "a million brackets": ("<" * 1_000_000, "too_complex"),
    "a comment that never ends": (page("T", STORY, after="<!--" + "x" * 1_000_000), "article"),
    "a title of a megabyte": (page("T" * 1_000_000, STORY), "article"),
    "100,000 entities": (page("T", STORY + "&nbsp;&#0;&#xD800;&bogus;" * 25_000), "article"),
    "a form feed in every word": (page("T", STORY.replace(" ", "\x0c")), "article"),
    "an entity bomb": ('<!DOCTYPE html [<!ENTITY a "&b;&b;"><!ENTITY b "&a;">]>' + page("T", STORY + "&a;"), "article"),
    "a table of 5,000 cells": (page("T", STORY, after="<table>" + "<tr><td>x" * 5_000 + "</table>"), "article"),
}


@pytest.mark.parametrize(("html", "expected"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_page_ends_soon_with_the_right_outcome(html: str, expected: str) -> None:
    assert outcome(html.encode()) == expected


def test_zeros_in_a_page_are_passed_over() -> None:
    html = page("Twelve freed", STORY)
    assert extract_article(html.replace("workers", "wor\x00kers").encode()).text == STORY
    assert extract_article(html.replace("workers", "wor\x00kers")).text == STORY


def test_a_lone_surrogate_in_a_page_does_no_harm() -> None:
    article = extract_article(page("Twelve\ud800 freed", STORY))
    assert (article.title, article.text) == ("Twelve? freed", STORY)


@given(st.binary(max_size=400), st.sampled_from(["", "text/html; charset=utf-8", "text/html; charset=shift_jis"]))
@settings(deadline=None)
def test_any_bytes_are_an_article_or_a_refusal(noise: bytes, kind: str) -> None:
    assert outcome(noise, content_type=kind)
    assert outcome(page("T", STORY).encode().replace(b"</p>", noise, 1), content_type=kind)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_a_torn_page_is_an_article_or_a_refusal(data: st.DataObject) -> None:
    whole = page("Twelve freed", STORY, head=LD_JSON + '{"@type": "NewsArticle", "author": {"name": "A"}}</script>')
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    assert outcome(whole[:start] + whole[end:] + whole[start:end])


# --- real pages -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif("NEWSWATCH_EVAL" not in os.environ, reason="NEWSWATCH_EVAL names no folder of real data")
def test_no_real_article_is_taken_for_a_wall_or_refused() -> None:
    pages = sorted(Path(os.environ["NEWSWATCH_EVAL"], "extraction", "html").glob("*.html.gz"))
    assert pages
    refused = {
        path.name: reason for path in pages if (reason := outcome(gzip.decompress(path.read_bytes()))) != "article"
    }
    assert refused == {}

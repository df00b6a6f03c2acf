"""The commands that need no storage: classify, extract, group."""

from __future__ import annotations

import gzip
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from newswatch.config import Settings
from newswatch.exceptions import InputError, NewswatchError
from newswatch.records import Article, Extraction, Page, TextFrom

__all__ = ["classify", "extract", "group", "network_options", "with_network"]

_MOST_TEXT = 5_000_000
_MOST_LINE = 20_000_000
_BATCH = 64
_Command = TypeVar("_Command", bound=Callable[..., Any])


def network_options(command: _Command) -> _Command:
    """Options for commands that make requests."""
    command = click.option(
        "--allow-private",
        multiple=True,
        metavar="NET",
        help="Also reach this non-public network, as 127.0.0.0/8. Repeatable.",
    )(command)
    return click.option("--proxy", metavar="URL", help="Send all requests through this HTTP proxy.")(command)


def with_network(ctx: click.Context, allow_private: tuple[str, ...], proxy: str | None) -> None:
    settings: Settings = ctx.obj.settings
    if allow_private:
        settings = replace(settings, allow_private=(*settings.allow_private, *allow_private))
    if proxy:
        settings = replace(settings, proxy=proxy)
    if settings.proxy:
        ctx.obj.say(
            f"newswatch: requests go through {settings.proxy}, which resolves names: addresses are not checked here"
        )
    ctx.obj.settings = settings


# --- reading what users hand in ---------------------------------------------------------------------------------------


def _read_bytes(stream: IO[bytes] | gzip.GzipFile, name: str, most: int = _MOST_TEXT) -> bytes:
    data = stream.read(most + 1)
    if len(data) > most:
        raise InputError(
            f"{name} is larger than {most / 1e6:g} MB; cut it, or hand in a page's article only", subject=name
        )
    return data


def _read_text(data: bytes, name: str) -> str:
    """Text from bytes, by BOM, UTF-8, then a guess; binary and empty input is refused."""
    from newswatch.text import looks_binary

    if not data.strip():
        raise InputError(f"{name} is empty", subject=name)
    if looks_binary(data):
        raise InputError(f"{name} is no text (binary data); hand in plain text or an HTML page", subject=name)
    for encoding in ("utf-8-sig", "utf-16"):
        if encoding == "utf-16" and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
            continue
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    from charset_normalizer import from_bytes

    best = from_bytes(data[:200_000]).best()
    if best is None:
        raise InputError(f"{name} is in no encoding that could be told; save it as UTF-8", subject=name)
    return data.decode(best.encoding, errors="replace")


def _file_bytes(path: str, most: int = _MOST_TEXT) -> bytes:
    try:
        with open(path, "rb") as stream:
            return _read_bytes(stream, path, most)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path!r}: {getattr(error, 'strerror', None) or error}", subject=path) from None


def _open_lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Numbered lines of a JSONL file, gzip or not; ``-`` is standard input."""
    if path == "-":
        stream: IO[bytes] = sys.stdin.buffer
    else:
        try:
            stream = open(path, "rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}", subject=path) from None
    try:
        if path != "-" and stream.read(2) == b"\x1f\x8b":
            stream.seek(0)
            stream = gzip.open(stream, "rb")  # type: ignore[assignment]  # noqa: SIM115
        elif path != "-":
            stream.seek(0)
        number = 0
        while line := stream.readline(_MOST_LINE):
            number += 1
            if line.strip():
                yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {path}: {error}", subject=path) from None
    finally:
        if path != "-":
            stream.close()


def _records(path: str) -> Iterator[dict[str, Any] | NewswatchError]:
    """The objects of a JSONL file; a line that is none comes as an error that names it."""
    found = False
    for number, line in _open_lines(path):
        found = True
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield InputError(f"{path}, line {number}: no JSON: {error}"[:300], subject=path)
            continue
        if not isinstance(row, dict) or not isinstance(row.get("id"), str | int) or isinstance(row["id"], bool):
            yield InputError(f"{path}, line {number}: no object with an id", subject=path)
            continue
        yield row
    if not found:
        raise InputError(f"{path} holds no lines", subject=path)


def _string(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"{row['id']}: {name} must be a string, not {type(value).__name__}", subject=str(row["id"]))
    return value


def _say(row: dict[str, Any]) -> None:
    # Lone surrogates, which JSON can spell, cannot be printed.
    click.echo(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace").decode())


def _each(
    path: str, work: Callable[[Sequence[dict[str, Any]]], list[dict[str, Any] | NewswatchError]], size: int = _BATCH
) -> None:
    """Answer each line of a file with a line, in order; exit code 3 where some failed."""
    failed = 0
    batch: list[dict[str, Any] | NewswatchError] = []

    def flush() -> int:
        good = [row for row in batch if isinstance(row, dict)]
        answers = iter(work(good)) if good else iter(())
        bad = 0
        for row in batch:
            answer = next(answers) if isinstance(row, dict) else row
            if isinstance(answer, NewswatchError):
                bad += 1
                _say({"id": row["id"] if isinstance(row, dict) else None, "error": str(answer)})
            else:
                _say(answer)
        batch.clear()
        return bad

    for record in _records(path):
        batch.append(record)
        if len(batch) >= size:
            failed += flush()
    failed += flush()
    if failed:
        click.echo(f"newswatch: {failed} lines failed", err=True)
        sys.exit(3)


# --- classify ---------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("text", required=False)
@click.option("--file", "file", metavar="F", help="Tag the text or HTML page in a file.")
@click.option("--url", metavar="U", help="Fetch a page and tag its article.")
@click.option("--jsonl", metavar="F", help="Tag each line {id, title, text, lang?} of a file, - for standard input.")
@click.option("--explain", is_flag=True, help="Show the sentence that carried each tag.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--model", metavar="DIR", help="Use the model in this folder.")
@network_options
@click.pass_context
def classify(
    ctx: click.Context,
    text: str | None,
    file: str | None,
    url: str | None,
    jsonl: str | None,
    explain: bool,
    as_json: bool,
    model: str | None,
    allow_private: tuple[str, ...],
    proxy: str | None,
) -> None:
    """Tag a text: TIP, SOM, policy, funding.

    TEXT is the text itself, or - for standard input.
    """
    from newswatch.report import render_tagging, tagging_row
    from newswatch.tagging import load_tagger

    with_network(ctx, allow_private, proxy)
    settings: Settings = ctx.obj.settings
    if sum(option is not None for option in (text, file, url, jsonl)) > 1:
        raise click.UsageError("give one of TEXT, --file, --url and --jsonl")
    if jsonl is not None:
        _classify_lines(jsonl, load_tagger(model or settings.model or None))
        return
    title, body, language = _text_to_tag(ctx, text, file, url)
    tagging = load_tagger(model or settings.model or None).tag(
        body, title=title, language=language or None, explain=explain
    )
    if as_json:
        _say(tagging_row(tagging, explain=explain))
    else:
        click.echo(render_tagging(tagging, explain=explain))


def _text_to_tag(ctx: click.Context, text: str | None, file: str | None, url: str | None) -> tuple[str, str, str]:
    if url is not None:
        article = read_article(ctx.obj.settings, ctx.obj.fetch(url))
        return article.title, article.text, article.language
    if file is not None and file != "-":
        data, name = _file_bytes(file), file
    elif file == "-" or text == "-" or text is None:
        if text is None and file is None and sys.stdin.isatty():
            raise click.UsageError("nothing to tag: give TEXT, --file, --url, or pipe a text in")
        data, name = _read_bytes(sys.stdin.buffer, "standard input"), "standard input"
    else:
        if len(text) > _MOST_TEXT:
            raise InputError("the text is larger than 5 MB", subject="TEXT")
        if not text.strip():
            raise InputError("the text is empty", subject="TEXT")
        if len(text) < 500 and not any(char.isspace() for char in text) and Path(text).is_file():
            raise click.UsageError(f"{text} is a file; to tag what is in it: newswatch classify --file {text}")
        return "", text, ""
    body = _read_text(data, name)
    head = body[:2000].lower()
    if "<html" in head or "<!doctype html" in head:
        article = read_article(ctx.obj.settings, Page(url="", final_url="", status=200, body=data))
        return article.title, article.text, article.language
    return "", body, ""


def _classify_lines(path: str, tagger: Any) -> None:
    def work(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any] | NewswatchError]:
        answers: list[dict[str, Any] | NewswatchError] = []
        texts: list[tuple[str, str, str | None]] = []
        for row in rows:
            try:
                title, text = _string(row, "title"), _string(row, "text")
                if not (title.strip() or text.strip()):
                    raise InputError(f"{row['id']}: title and text are empty", subject=str(row["id"]))
                texts.append((title, text, _string(row, "lang") or None))
                answers.append({"id": row["id"]})
            except NewswatchError as error:
                answers.append(error)
        taggings = iter(tagger.tag_many(texts))
        for answer in answers:
            if isinstance(answer, dict):
                tagging = next(taggings)
                answer |= {
                    "tags": list(tagging.tags),
                    "scores": dict(tagging.scores),
                    "language": tagging.language,
                    "unsure": list(tagging.unsure),
                }
        return answers

    _each(path, work)


# --- extract ----------------------------------------------------------------------------------------------------------


def _prepare() -> None:
    import trafilatura  # noqa: F401

    from newswatch.language import detect_language

    detect_language("Police freed twelve workers from a brick kiln on Tuesday.")


def _extract_page(page: Page) -> Extraction:
    from newswatch.extract import extract_article

    return extract_article(page.body, url=page.final_url, content_type=page.headers.get("content-type", ""))


def read_article(settings: Settings, page: Page) -> Extraction:
    """Extract one page in a worker process, within its bounds.

    Raises:
        InputError: no article on it.
    """
    article: Extraction = _read_articles(settings, [page])[0]
    return article


def _read_articles(settings: Settings, pages: Sequence[Page]) -> list[Any]:
    from newswatch.workers import ItemError, Workers

    workers = Workers(
        min(max(settings.workers, 1), len(pages)),
        seconds=settings.page_s,
        memory_mb=settings.page_memory_mb,
        prepare=_prepare,
    )
    results = workers.run(_extract_page, pages)
    for result, page in zip(results, pages, strict=True):
        if isinstance(result, ItemError) and len(pages) == 1:
            raise InputError(f"{page.url or 'the page'}: {result.detail}", subject=page.url, reason=result.reason)
    return results


def _extraction_row(article: Extraction) -> dict[str, Any]:
    from newswatch.report import iso

    return {
        "url": article.url,
        "title": article.title,
        "text": article.text,
        "authors": list(article.authors),
        "published": iso(article.published),
        "language": article.language,
        "site": article.site,
    }


@click.command()
@click.argument("source", metavar="FILE|URL", required=False)
@click.option("--url", metavar="U", default="", help="The address that a file was fetched from.")
@click.option("--jsonl", metavar="F", help="Extract each line {id, path, url?} of a file, - for standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@network_options
@click.pass_context
def extract(
    ctx: click.Context,
    source: str | None,
    url: str,
    jsonl: str | None,
    as_json: bool,
    allow_private: tuple[str, ...],
    proxy: str | None,
) -> None:
    """Read the article of an HTML page: a file, an address, or - for standard input."""
    with_network(ctx, allow_private, proxy)
    settings: Settings = ctx.obj.settings
    if (source is None) == (jsonl is None):
        raise click.UsageError("give FILE, URL or --jsonl")
    if jsonl is not None:
        _each(jsonl, lambda rows: _extract_lines(rows, settings), size=32)
        return
    assert source is not None
    if source.lower().startswith(("http://", "https://")):
        page = ctx.obj.fetch(source)
    elif source == "-":
        page = Page(url=url, final_url=url, status=200, body=_read_bytes(sys.stdin.buffer, "standard input"))
    else:
        page = Page(url=url, final_url=url, status=200, body=_file_bytes(source))
    if not page.body.strip():
        raise InputError(f"{source} is empty", subject=source)
    article = read_article(settings, page)
    if as_json:
        _say(_extraction_row(article))
        return
    click.echo(article.title + "\n")
    click.echo(article.text)


def _extract_lines(rows: Sequence[dict[str, Any]], settings: Settings) -> list[dict[str, Any] | NewswatchError]:
    from newswatch.workers import ItemError

    answers: list[dict[str, Any] | NewswatchError] = []
    pages: list[Page] = []
    for row in rows:
        path = ""
        try:
            path, url = _string(row, "path"), _string(row, "url")
            if not path:
                raise InputError(f"{row['id']}: no path", subject=str(row["id"]))
            data = _file_bytes(path)
            if data.startswith(b"\x1f\x8b"):
                with gzip.open(io.BytesIO(data)) as stream:
                    data = _read_bytes(stream, path)
            pages.append(Page(url=url, final_url=url, status=200, body=data))
            answers.append({"id": row["id"]})
        except (NewswatchError, OSError, EOFError, zlib.error) as error:
            answers.append(error if isinstance(error, NewswatchError) else InputError(f"cannot read {path}: {error}"))
    results = iter(_read_articles(settings, pages) if len(pages) != 1 else _one_result(settings, pages[0]))
    finished: list[dict[str, Any] | NewswatchError] = []
    for answer in answers:
        if isinstance(answer, dict):
            result = next(results)
            finished.append(
                InputError(result.detail, reason=result.reason)
                if isinstance(result, ItemError)
                else answer | _extraction_row(result)
            )
        else:
            finished.append(answer)
    return finished


def _one_result(settings: Settings, page: Page) -> list[Any]:
    from newswatch.workers import ItemError

    try:
        return _read_articles(settings, [page])
    except InputError as error:
        return [ItemError(error.reason, str(error), expected=True)]


# --- group ------------------------------------------------------------------------------------------------------------


@click.command()
@click.option("--jsonl", metavar="F", required=True, help="Articles, a line each, in order of time; gzip or not.")
@click.pass_context
def group(ctx: click.Context, jsonl: str) -> None:
    """Group articles by event: a line in {id, title, text, published, lang?}, a line out {id, event}."""
    from newswatch.grouping import EventGrouper

    settings: Settings = ctx.obj.settings
    grouper = EventGrouper(window_days=settings.event_window_days)
    seen: set[str] = set()
    clock = datetime(2000, 1, 1, tzinfo=UTC)

    def work(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any] | NewswatchError]:
        nonlocal clock
        answers: list[dict[str, Any] | NewswatchError] = []
        for row in rows:
            identity = str(row["id"])
            try:
                if identity in seen:
                    raise InputError(f"{identity}: the id stands twice", subject=identity)
                published = _moment(_string(row, "published"), identity)
                article = Article(
                    id=identity,
                    url=_string(row, "url"),
                    title=_string(row, "title"),
                    text=_string(row, "text"),
                    feed="",
                    source=_string(row, "source"),
                    text_from=TextFrom.PAGE,
                    first_seen=published or clock,
                    published=published,
                    language=_string(row, "lang"),
                )
            except NewswatchError as error:
                answers.append(error)
                continue
            clock = published or clock
            seen.add(identity)
            answers.append({"id": row["id"], "event": grouper.add(article).event})
        return answers

    _each(jsonl, work)


def _moment(text: str, identity: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(f"{identity}: published {text!r} is no ISO 8601 date", subject=identity) from None

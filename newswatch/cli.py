"""The command line. A thin face: one command is one method of `newswatch.watch.Watch`, or of `newswatch.cli_text`."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from newswatch._version import __version__
from newswatch.cli_text import classify, extract, group, network_options, with_network
from newswatch.config import Settings, load_settings
from newswatch.exceptions import ConfigError, InputError, NewswatchError
from newswatch.records import ArticleFilter, Event, FeedLink, Page, PollResult, RoundSummary
from newswatch.report import count_of

if TYPE_CHECKING:
    from newswatch.watch import Watch

__all__ = ["main"]

log = logging.getLogger("newswatch")

_Command = TypeVar("_Command", bound=Callable[..., Any])
_SPAN = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|m|h|d|w)$", re.IGNORECASE)
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(slots=True)
class _Context:
    """What the commands share."""

    settings: Settings
    quiet: bool = False

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        from newswatch.watch import Watch

        with Watch(settings=self.settings) as watch:
            yield watch

    def fetch(self, url: str) -> Page:
        """Fetch one page for a person, without a storage."""
        from newswatch.watch import fetch_page

        return fetch_page(url, self.settings, max_mb=self.settings.page_max_mb)

    def say(self, text: str) -> None:
        """Words for a person, on standard error."""
        if not self.quiet:
            click.echo(text, err=True)


def _span_s(text: str, name: str) -> float:
    match = _SPAN.match(text.strip())
    if not match or float(match.group(1)) <= 0:
        raise click.BadParameter(f"{text!r} is no span of time; write 90s, 15m, 2h or 1d", param_hint=name)
    return float(match.group(1)) * _UNIT_S[match.group(2).lower()]


def _moment(text: str | None, name: str) -> datetime | None:
    """A moment from ``2d`` (ago) or ISO 8601."""
    if text is None:
        return None
    if _SPAN.match(text.strip()):
        return datetime.now(UTC) - timedelta(seconds=_span_s(text, name))
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time; write 2d, 2026-11-01 or 2026-11-01T08:00Z", param_hint=name
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _filter_options(command: _Command) -> _Command:
    for option in (
        click.option(
            "--limit", type=click.IntRange(min=0), default=50, show_default=True, help="Most rows; 0 for all."
        ),
        click.option("--feed", metavar="URL", help="Only what this feed brought."),
        click.option("--language", metavar="CODE", help="Only this language, as en."),
        click.option("--until", metavar="WHEN", help="Before this time."),
        click.option("--since", metavar="WHEN", help="From this time: 2d (ago), or ISO 8601."),
        click.option("--tag", metavar="TAG", help="Only with this tag."),
    ):
        command = option(command)
    return command


def _filter(options: dict[str, Any], watch: Watch) -> ArticleFilter:
    language = options["language"]
    if language is not None and not (2 <= len(language) <= 3 and language.isalpha()):
        raise click.BadParameter(f"{language!r} is no code of a language; write en, ru, ky", param_hint="--language")
    tag, known = options["tag"], watch.storage.known_tags()
    if tag is not None and known:
        by_lower = {one.lower(): one for one in known}
        if tag.lower() not in by_lower:
            raise click.BadParameter(
                f"no article was ever scored for {tag!r}; known: {', '.join(known)}", param_hint="--tag"
            )
        tag = by_lower[tag.lower()]
    return ArticleFilter(
        tag=tag,
        since=_moment(options["since"], "--since"),
        until=_moment(options["until"], "--until"),
        language=language.lower() if language else None,
        feed=options["feed"],
        limit=options["limit"],
    )


_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object a line.")


def _print_rows(rows: Iterable[dict[str, Any]]) -> None:
    for row in rows:
        click.echo(json.dumps(row, ensure_ascii=False))


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--storage", metavar="URL", help="The storage: a path or sqlite:///PATH.")
@click.option("--config", metavar="FILE", help="Settings in TOML.")
@click.option("-v", "--verbose", is_flag=True, help="Say more of what is done.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--allow-private", multiple=True, metavar="NET", help="Also reach this non-public network. Repeatable.")
@click.version_option(__version__, prog_name="newswatch", message="%(prog)s %(version)s")
@click.pass_context
def cli(
    ctx: click.Context,
    storage: str | None,
    config: str | None,
    verbose: bool,
    quiet: bool,
    allow_private: tuple[str, ...],
) -> None:
    """Watch the news on human trafficking and migrant smuggling.

    Polls news feeds, reads the articles, tags them (TIP: trafficking in persons, SOM: smuggling of migrants, policy,
    funding) and groups what reports one event. Begin with: newswatch demo
    """
    logging.basicConfig(
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(message)s",
        level=logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING,
    )
    settings = load_settings(config, storage=storage)
    if allow_private:
        settings = replace(settings, allow_private=(*settings.allow_private, *allow_private))
    ctx.obj = _Context(settings, quiet)


cli.add_command(classify)
cli.add_command(extract)
cli.add_command(group)


# --- feeds ------------------------------------------------------------------------------------------------------------


@cli.command()
@click.argument("sources", nargs=-1, required=True, metavar="URL... | FILE.opml")
@click.pass_obj
def add(context: _Context, sources: tuple[str, ...]) -> None:
    """Subscribe to feeds: addresses, or OPML files. Makes no request."""
    from newswatch.opml import read_opml

    links: list[FeedLink] = []
    for source in sources:
        if source.lower().startswith(("http://", "https://")):
            links.append(FeedLink(url=source))
            continue
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            hint = f"; did you mean https://{source}?" if "." in source and "://" not in source else ""
            raise InputError(
                f"{source} is no http(s) address, and no file to read: {error.strerror}{hint}", subject=source
            ) from None
        links += read_opml(data, name=source)
    with context.watch() as watch:
        added, bad = 0, 0
        for link in links:
            try:
                url, is_new = watch.add_feeds([link])[0]
            except InputError as error:
                bad += 1
                click.echo(f"newswatch: left out: {error}", err=True)
                continue
            added += is_new
            context.say(f"{'added' if is_new else 'known'}: {url}")
        known = f", {len(links) - added - bad} known before" if len(links) - added - bad else ""
        context.say(f"{count_of(added, 'feed')} added{known}. Next: newswatch poll")
    if bad:
        sys.exit(3 if bad < len(links) else 1)


@cli.command()
@_JSON
@click.option("--opml", is_flag=True, help="Print the feeds as OPML.")
@click.pass_obj
def feeds(context: _Context, as_json: bool, opml: bool) -> None:
    """List the feeds with their health."""
    from newswatch.opml import write_opml
    from newswatch.report import feed_row, render_feeds

    with context.watch() as watch:
        found = watch.feeds()
    if opml:
        links = [FeedLink(url=feed.url, title=feed.title, site_url=feed.site_url) for feed in found]
        click.echo(write_opml(links).decode("utf-8"), nl=False)
    elif as_json:
        _print_rows(feed_row(feed) for feed in found)
    elif found:
        click.echo(render_feeds(found))


@cli.command()
@click.argument("url")
@click.pass_obj
def remove(context: _Context, url: str) -> None:
    """Unsubscribe from a feed. What it brought is kept."""
    with context.watch() as watch:
        watch.remove_feed(url)
    context.say(f"removed: {url}")


@cli.command()
@click.argument("url")
@_JSON
@network_options
@click.pass_context
def discover(ctx: click.Context, url: str, as_json: bool, allow_private: tuple[str, ...], proxy: str | None) -> None:
    """Find the feeds that a page names."""
    from newswatch.watch import find_feeds_at

    with_network(ctx, allow_private, proxy)
    if "://" not in url:
        url = f"https://{url}"
    found = find_feeds_at(url, ctx.obj.settings)
    if as_json:
        _print_rows({"url": link.url, "title": link.title} for link in found)
    else:
        for link in found:
            click.echo(f"{link.url}  {link.title}".rstrip())
    if not found:
        ctx.obj.say(f"no feed found on {url}")
        sys.exit(1)


# --- polling ----------------------------------------------------------------------------------------------------------


class _Stop(BaseException):
    """SIGTERM came. No ``Exception``: whatever survives those must not survive this."""


class _Progress:
    """A line on the terminal that says how far a round is; nothing where standard error is none."""

    _WORDS = {"poll": "feeds polled", "fetch": "articles", "group": "grouping"}  # noqa: RUF012

    def __init__(self, shown: bool) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._last = 0.0

    def __call__(self, phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if self._shown and (done == total or now - self._last > 0.1):
            self._last = now
            count = f" {done} of {total}" if total else ""
            click.echo(f"\r\x1b[K{self._WORDS[phase]}{count} ", nl=False, err=True)

    def clear(self) -> None:
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)


@cli.command()
@click.option("--every", metavar="SPAN", help="Run on, with a round every so often, as 15m.")
@click.option("--force", is_flag=True, help="Poll before our own due times; never before a server's Retry-After.")
@_JSON
@network_options
@click.pass_context
def poll(
    ctx: click.Context, every: str | None, force: bool, as_json: bool, allow_private: tuple[str, ...], proxy: str | None
) -> None:
    """Poll the feeds that are due, fetch, tag and group their articles.

    A feed is due by its server's word and our own rules, an hour after the last time at the earliest.
    """
    gap_s = _span_s(every, "--every") if every is not None else None
    with_network(ctx, allow_private, proxy)
    context: _Context = ctx.obj
    with _terminated_cleanly() as stopping, context.watch() as watch:
        if gap_s is None:
            failed = _round(context, watch, force, as_json)
            sys.exit(3 if failed else 0)
        with suppress(_Stop, KeyboardInterrupt):
            _run_on(context, watch, gap_s, force, as_json, stopping)
        context.say("newswatch: stopped")


def _run_on(
    context: _Context, watch: Watch, gap_s: float, force: bool, as_json: bool, stopping: threading.Event
) -> None:
    context.say(f"newswatch: a round every {gap_s:g} s; stop with Ctrl-C or SIGTERM")
    # An exception from a signal may come where Python drops it (in a destructor), so the event is looked at too.
    while not stopping.is_set():
        began = time.monotonic()
        try:
            _round(context, watch, force, as_json)
        except NewswatchError as error:
            log.error("the round failed: %s", error)
        except Exception:
            log.exception("the round failed; the next one follows")
        stopping.wait(max(0.0, gap_s - (time.monotonic() - began)))


def _round(context: _Context, watch: Watch, force: bool, as_json: bool) -> bool:
    """One round, told as it goes: whether anything failed."""
    progress = _Progress(not context.quiet)
    watch.last_round = None
    for result in watch.poll(force=force, progress=progress):
        progress.clear()
        if as_json:
            _print_rows([_result_row(result)])
        else:
            click.echo(_result_line(result))
    progress.clear()
    summary = watch.last_round or RoundSummary()
    context.say(_summary_line(summary, watch))
    return bool(summary.failed_feeds or summary.failed_articles)


def _result_row(result: PollResult) -> dict[str, Any]:
    return {
        "feed": result.feed_url,
        "status": result.status,
        "new_entries": result.new_entries,
        "new_articles": result.new_articles,
        "failed_articles": result.failed_articles,
        "error": result.error,
        "note": result.note,
    }


def _result_line(result: PollResult) -> str:
    if result.error:
        return f"{result.feed_url}: failed: {result.error}"
    failed = f", {result.failed_articles} with a failure" if result.failed_articles else ""
    note = f" ({result.note})" if result.note else ""
    return f"{result.feed_url}: {result.new_articles} new articles{failed}{note}"


def _summary_line(summary: RoundSummary, watch: Watch) -> str:
    if not summary.feeds and not summary.articles:
        due = min((feed.next_due for feed in watch.feeds() if feed.next_due), default=None)
        if due is None and not watch.feeds():
            return "newswatch: no feeds; add some with: newswatch add URL"
        return "newswatch: no feed is due" + (f"; the next one at {due:%Y-%m-%d %H:%M} UTC" if due else "")
    failed = f" ({summary.failed_feeds} failed)" if summary.failed_feeds else ""
    trouble = (
        f", {summary.failed_articles} with a failure (newswatch status --failures)" if summary.failed_articles else ""
    )
    return (
        f"newswatch: {summary.feeds} feeds polled{failed}, {summary.entries} new entries, {summary.articles} new articles"
        f"{trouble}, {summary.grouped} grouped, in {summary.seconds:.1f} s"
    )


@contextmanager
def _terminated_cleanly() -> Iterator[threading.Event]:
    """Make SIGTERM stop the work as Ctrl-C does: leases are given back and the storage is closed.

    Yields:
        An event that is set once the signal came.
    """
    stopping = threading.Event()

    def stop(signum: int, frame: object) -> None:
        if not stopping.is_set():
            stopping.set()
            raise _Stop

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        yield stopping
        return
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGTERM, before)


@cli.command()
@click.option("--poll/--no-poll", "then_poll", default=True, help="Poll at once (default), or only mark.")
@network_options
@click.pass_context
def retry(ctx: click.Context, then_poll: bool, allow_private: tuple[str, ...], proxy: str | None) -> None:
    """Try everything that failed again."""
    with_network(ctx, allow_private, proxy)
    context: _Context = ctx.obj
    with _terminated_cleanly(), context.watch() as watch:
        count = watch.retry()
        context.say(f"newswatch: {count} failed items to try again")
        if then_poll and count:
            sys.exit(3 if _round(context, watch, False, False) else 0)


# --- looking ----------------------------------------------------------------------------------------------------------


@cli.command()
@_filter_options
@_JSON
@click.pass_obj
def articles(context: _Context, /, as_json: bool, **options: Any) -> None:
    """List articles, newest first."""
    from newswatch.report import article_row, render_articles

    with context.watch() as watch:
        wanted = _filter(options, watch)
        if as_json:
            _print_rows(article_row(article) for article in watch.iter_articles(wanted))
        else:
            _show(render_articles(list(watch.iter_articles(wanted))))


@cli.command()
@_filter_options
@click.option("--all", "all_events", is_flag=True, help="Also events without a tag.")
@_JSON
@click.pass_obj
def events(context: _Context, /, as_json: bool, all_events: bool, **options: Any) -> None:
    """List events with a tag, the latest first."""
    from newswatch.report import event_row, render_events

    with context.watch() as watch:
        found = watch.storage.events(_filter(options, watch), all_events=all_events)
    if as_json:
        _print_rows(event_row(event) for event in found)
    else:
        _show(render_events(found))


@cli.command()
@click.argument("query")
@_filter_options
@_JSON
@click.pass_obj
def search(context: _Context, /, query: str, as_json: bool, **options: Any) -> None:
    """Find articles that hold all words of QUERY; "words in quotes" are a phrase."""
    from newswatch.report import article_row, render_articles

    with context.watch() as watch:
        found = watch.search(query, _filter(options, watch))
    if as_json:
        _print_rows(article_row(article) for article in found)
    else:
        _show(render_articles(found))


@cli.command()
@click.argument("id")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_obj
def show(context: _Context, id: str, as_json: bool) -> None:
    """Show an article or an event."""
    from newswatch.report import article_row, event_row, render_article, render_event

    with context.watch() as watch:
        found = watch.show(id)
    if as_json:
        _print_rows([event_row(found) if isinstance(found, Event) else article_row(found)])
    else:
        _show(render_event(found) if isinstance(found, Event) else render_article(found))


def _show(text: str) -> None:
    if text:
        click.echo(text)


@cli.command()
@click.option("--failures", is_flag=True, help="List what failed, and why.")
@_JSON
@click.pass_obj
def status(context: _Context, failures: bool, as_json: bool) -> None:
    """Counts and last runs. Exit code 3 where polling has stopped."""
    from newswatch.report import iso, render_failures, render_status

    with context.watch() as watch:
        found = watch.status()
        failed = watch.failures() if failures else []
    if as_json:
        row = {name: getattr(found, name) for name in found.__slots__}
        row["last_poll"], row["feeds_by_state"] = iso(found.last_poll), dict(found.feeds_by_state)
        if failures:
            row["failures"] = [{name: str(getattr(one, name)) for name in one.__slots__} for one in failed]
        _print_rows([row])
    else:
        _show(render_status(found))
        _show(render_failures(failed))
    if found.overdue:
        context.say(f"newswatch: {found.overdue} feeds are long overdue; is newswatch poll running?")
        sys.exit(3)


@cli.command()
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv"]), required=True)
@click.option("--output", metavar="F", default="-", show_default=True, help="The file to write; - for standard output.")
@click.option("--full-text", is_flag=True, help="With the articles' texts, which may be under copyright.")
@_filter_options
@click.pass_obj
def export(context: _Context, /, kind: str, output: str, full_text: bool, **options: Any) -> None:
    """Write articles to a file: all of them, unless --limit says fewer."""
    from newswatch.report import article_row, csv_lines, jsonl_lines

    source = click.get_current_context().get_parameter_source("limit")
    if source is click.core.ParameterSource.DEFAULT:
        options["limit"] = 0
    with context.watch() as watch:
        wanted = _filter(options, watch)
        rows = (article_row(article, full_text=full_text) for article in watch.iter_articles(wanted))
        lines = csv_lines(rows) if kind == "csv" else jsonl_lines(rows)
        if output == "-":
            for line in lines:
                click.echo(line, nl=False)
            return
        count = _write_whole(Path(output), lines, bom=kind == "csv")
    context.say(f"newswatch: {count} articles written to {output}")


def _write_whole(path: Path, lines: Iterable[str], *, bom: bool) -> int:
    """Write a file beside its place and put it there when whole, so that a broken run leaves the old one.

    What is no plain file (a pipe, a device) is written to as it is.
    """
    special = path.exists() and not path.is_file()
    part = path if special else path.with_name(path.name + ".part")
    count = 0
    try:
        # Spreadsheets tell UTF-8 by its mark.
        with open(part, "w", encoding="utf-8-sig" if bom else "utf-8", newline="") as stream:
            for line in lines:
                stream.write(line)
                count += 1
        if not special:
            os.replace(part, path)
    except OSError as error:
        if not special:
            part.unlink(missing_ok=True)
        raise InputError(f"cannot write {path}: {error.strerror or error}", subject=str(path)) from None
    return count


# --- demo -------------------------------------------------------------------------------------------------------------


@cli.command()
@click.option("--keep", is_flag=True, help="Work in the storage named by --storage, and leave it.")
@_JSON
@click.pass_obj
def demo(context: _Context, keep: bool, as_json: bool) -> None:
    """Run the whole job on a small made-up news site; needs no network, leaves nothing behind."""
    import tempfile

    from newswatch.report import event_row, render_events
    from newswatch.watch import run_demo

    if keep and not context.settings.storage:
        raise click.UsageError(
            "--keep works in a storage of its own; name one: newswatch --storage demo.db demo --keep"
        )
    with tempfile.TemporaryDirectory(prefix="newswatch-demo-") as folder:
        place = context.settings.storage if keep else str(Path(folder) / "demo.db")
        progress = _Progress(not context.quiet)
        found, summary = run_demo(replace(context.settings, storage=place), progress)
        progress.clear()
    context.say(
        f"A made-up site of {summary.feeds} outlets was polled: {summary.articles} articles, {len(found)} events with a tag.\n"
    )
    if as_json:
        _print_rows(event_row(event) for event in found)
    else:
        _show(render_events(found))
    if keep:
        context.say(f"Kept in {place}. Look on with: newswatch --storage {place} events")
    else:
        context.say("Next: newswatch add URL, newswatch poll, newswatch events")


def main() -> NoReturn:
    """Run the command line; never a traceback for a user's mistake."""
    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt, _Stop):
        click.echo("newswatch: stopped", err=True)
        sys.exit(130)
    except ConfigError as error:
        click.echo(f"newswatch: {error}", err=True)
        sys.exit(2)
    except NewswatchError as error:
        click.echo(f"newswatch: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)

"""Every example runs as it stands."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from newswatch import load_settings, read_opml

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("[0-9]*.py")), ids=lambda path: path.name)
def test_it_runs(path: Path) -> None:
    done = subprocess.run([sys.executable, "-W", "error", path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_grouping_example_joins_what_belongs_together() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "04_group_articles.py"], capture_output=True, text=True, timeout=60
    )
    first, second, third = (line.split()[0] for line in done.stdout.splitlines())
    assert first == second != third


def test_the_opml_holds_feeds_of_the_field() -> None:
    links = read_opml((EXAMPLES / "feeds.opml").read_bytes())
    assert len(links) >= 20
    assert all(link.url.startswith("http") and link.title for link in links)
    assert len({link.url for link in links}) == len(links)


def test_the_settings_file_is_accepted() -> None:
    assert load_settings(EXAMPLES / "newswatch.toml", environ={}).host_delay_s == 2.0


def test_the_cron_line_names_an_existing_command() -> None:
    [line] = [line for line in (EXAMPLES / "newswatch.cron").read_text().splitlines() if line and line[0] != "#"]
    command = line.split(None, 5)[5].partition(">>")[0]
    done = subprocess.run(
        [sys.executable, "-m", "newswatch", *shlex.split(command)[1:], "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_systemd_units_are_valid() -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", EXAMPLES / "newswatch.timer"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "newswatch.timer:" not in done.stderr, done.stderr

"""What users import, and what importing costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import newswatch

PUBLIC = """
Article ArticleFilter Assignment ConfigError Entry Event EventGrouper Evidence ExtractError Extraction Failure Feed
FeedError FeedInfo FeedLink FeedState FetchError InputError MissingExtraError ModelError NewswatchError NotFoundError
Page ParsedFeed Poll PollResult RoundSummary Settings Stage Storage StorageError StorageStatus Tagger Tagging TextFrom
Verdict Watch __version__ extract_article load_settings open_storage parse_feed read_opml write_opml
""".split()

HEAVY = (
    "sklearn",
    "scipy",
    "numpy",
    "trafilatura",
    "lxml",
    "sqlalchemy",
    "aiohttp",
    "joblib",
    "py3langid",
    "feedparser",
)


def test_the_public_names_are_pinned_and_sorted() -> None:
    assert newswatch.__all__ == sorted(newswatch.__all__)
    assert newswatch.__all__ == PUBLIC


def test_every_public_name_is_there_with_a_docstring() -> None:
    for name in newswatch.__all__:
        value = getattr(newswatch, name)
        assert name == "__version__" or (value.__doc__ or "").strip(), name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        newswatch.no_such_name  # noqa: B018


def _loaded_after(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_importing_newswatch_loads_nothing_heavy() -> None:
    assert _loaded_after("import newswatch") == set()


def test_help_loads_nothing_heavy() -> None:
    code = "from newswatch.cli import cli\ncli.main(['--help'], standalone_mode=False)"
    assert _loaded_after(code) == set()


def test_listing_loads_neither_scikit_learn_nor_trafilatura(tmp_path) -> None:
    code = f"from newswatch.cli import cli\ncli.main(['--storage', {str(tmp_path / 'n.db')!r}, 'feeds'], standalone_mode=False)"
    assert not {"sklearn", "trafilatura"} & _loaded_after(code)

"""newswatch: watch the news on human trafficking and migrant smuggling.

Everything public is named here, and loaded when it is first used, so that ``import newswatch`` stays quick.

Example:
    >>> from newswatch import Tagger
    >>> Tagger.load().tag("Police freed 12 workers held in debt bondage at a brick kiln.").tags
    ('TIP',)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from newswatch._version import __version__

if TYPE_CHECKING:
    from newswatch.config import Settings, load_settings
    from newswatch.exceptions import (
        ConfigError,
        ExtractError,
        FeedError,
        FetchError,
        InputError,
        MissingExtraError,
        ModelError,
        NewswatchError,
        NotFoundError,
        StorageError,
    )
    from newswatch.extract import extract_article
    from newswatch.feeds import parse_feed
    from newswatch.grouping import EventGrouper
    from newswatch.opml import read_opml, write_opml
    from newswatch.records import (
        Article,
        ArticleFilter,
        Assignment,
        Entry,
        Event,
        Evidence,
        Extraction,
        Failure,
        Feed,
        FeedInfo,
        FeedLink,
        FeedState,
        Page,
        ParsedFeed,
        Poll,
        PollResult,
        RoundSummary,
        Stage,
        StorageStatus,
        Tagging,
        TextFrom,
        Verdict,
    )
    from newswatch.storage import Storage, open_storage
    from newswatch.tagging import Tagger
    from newswatch.watch import Watch

__all__ = [
    "Article",
    "ArticleFilter",
    "Assignment",
    "ConfigError",
    "Entry",
    "Event",
    "EventGrouper",
    "Evidence",
    "ExtractError",
    "Extraction",
    "Failure",
    "Feed",
    "FeedError",
    "FeedInfo",
    "FeedLink",
    "FeedState",
    "FetchError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "NewswatchError",
    "NotFoundError",
    "Page",
    "ParsedFeed",
    "Poll",
    "PollResult",
    "RoundSummary",
    "Settings",
    "Stage",
    "Storage",
    "StorageError",
    "StorageStatus",
    "Tagger",
    "Tagging",
    "TextFrom",
    "Verdict",
    "Watch",
    "__version__",
    "extract_article",
    "load_settings",
    "open_storage",
    "parse_feed",
    "read_opml",
    "write_opml",
]

_RECORDS = (
    "Article ArticleFilter Assignment Entry Event Evidence Extraction Failure Feed FeedInfo FeedLink FeedState Page "
    "ParsedFeed Poll PollResult RoundSummary Stage StorageStatus Tagging TextFrom Verdict"
)
_HOMES = {
    **dict.fromkeys(_RECORDS.split(), "records"),
    **dict.fromkeys([name for name in __all__ if name.endswith("Error")], "exceptions"),
    "EventGrouper": "grouping",
    "Settings": "config",
    "Storage": "storage",
    "Tagger": "tagging",
    "Watch": "watch",
    "extract_article": "extract",
    "load_settings": "config",
    "open_storage": "storage",
    "parse_feed": "feeds",
    "read_opml": "opml",
    "write_opml": "opml",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'newswatch' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"newswatch.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

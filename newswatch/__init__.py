"""newswatch: watch the news on human trafficking and migrant smuggling.

Everything public is named here and loaded when first used, so that ``import newswatch`` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from newswatch._version import __version__

if TYPE_CHECKING:
    from newswatch.config import Settings as Settings
    from newswatch.config import load_settings as load_settings

_HOMES: dict[str, str] = {}

__all__ = ["__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'newswatch' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value

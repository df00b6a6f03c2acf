"""Settings: one frozen dataclass, filled from defaults, a TOML file and the environment, in this order."""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from newswatch.exceptions import ConfigError
from newswatch.urls import parse_networks

__all__ = ["Settings", "default_storage", "load_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, with its unit in its name. In TOML ``x_y = ...``, in the environment ``NEWSWATCH_X_Y``.

    Attributes:
        storage: a path or ``sqlite:///PATH``; empty for the user's data folder.
        contact: a URL or address put into the User-Agent, so that a server's owner can reach you.
        host_delay_s: least seconds between two requests to one host.
        request_total_s: longest one exchange may take from connect to last byte (at most 60).
        connect_s, read_s: longest wait for a connection, and between two pieces of a body.
        feed_max_mb, page_max_mb: largest body after decompression.
        redirects_max: most redirects followed.
        connections_max: most requests under way at once.
        poll_gap_min_s: least seconds between two polls of one feed.
        poll_gap_unvalidated_s: the same for a feed whose server gives neither ETag nor Last-Modified.
        poll_gap_max_s: longest gap that back-off may reach.
        workers: processes for extraction and tagging, 64 at most; 0 does it in this process.
        page_s: longest time one page may take to extract and tag.
        page_memory_mb: how far one page may swell a worker above its idle size (where the system can hold it).
        entries_max: most entries taken from one feed in one poll.
        allow_private: networks of non-public addresses that may be reached.
        proxy: an HTTP proxy for all requests; it then resolves names, and the address check is void.
        event_window_days: how long an event stays open after its last article.
        model: folder of another tag model; empty for the shipped one.
    """

    storage: str = ""
    contact: str = ""
    host_delay_s: float = 1.0
    request_total_s: float = 30.0
    connect_s: float = 10.0
    read_s: float = 15.0
    feed_max_mb: float = 10.0
    page_max_mb: float = 3.0
    redirects_max: int = 5
    connections_max: int = 100
    poll_gap_min_s: int = 3600
    poll_gap_unvalidated_s: int = 86400
    poll_gap_max_s: int = 604800
    workers: int = 2
    page_s: float = 5.0
    page_memory_mb: int = 256
    entries_max: int = 5000
    allow_private: tuple[str, ...] = ()
    proxy: str = ""
    event_window_days: int = 30
    model: str = ""

    def __post_init__(self) -> None:
        for name in _POSITIVE:
            if not getattr(self, name) > 0:  # so written, it refuses NaN too
                raise ConfigError(f"{name} must be above zero, not {getattr(self, name)}", subject=name)
        for name in ("host_delay_s", "redirects_max", "workers"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} cannot be below zero, nor {getattr(self, name)}", subject=name)
        if self.workers > _MOST_WORKERS:
            raise ConfigError(f"workers can be {_MOST_WORKERS} at most, not {self.workers}", subject="workers")
        if self.request_total_s > 60:
            raise ConfigError(
                f"request_total_s can be 60 at most, not {self.request_total_s:g}", subject="request_total_s"
            )
        parse_networks(self.allow_private)


# Each is a process of some 150 MB; more than a large machine's cores only fight each other.
_MOST_WORKERS = 64
_POSITIVE = (
    "request_total_s", "connect_s", "read_s", "feed_max_mb", "page_max_mb", "connections_max", "poll_gap_min_s",
    "poll_gap_unvalidated_s", "poll_gap_max_s", "page_s", "page_memory_mb", "entries_max", "event_window_days",
)  # fmt: skip


def load_settings(
    path: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    **given: Any,
) -> Settings:
    """Settings from a TOML file, the environment and arguments; the later wins.

    Args:
        path: a TOML file of ``name = value`` lines, or ``None``.
        environ: the environment, by default the process's own.
        given: settings by name; ``None`` counts as not given.

    Raises:
        ConfigError: the file cannot be read, a name is unknown, or a value is of the wrong kind.

    Example:
        >>> load_settings(environ={"NEWSWATCH_HOST_DELAY_S": "2.5"}).host_delay_s
        2.5
    """
    kinds = {spec.name: type(spec.default) for spec in fields(Settings)}
    known = f"known are {', '.join(sorted(kinds))}"
    values: dict[str, Any] = {}
    if path is not None:
        try:
            loaded = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read settings from {path}: {error}", subject=str(path)) from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is no valid TOML: {error}", subject=str(path)) from None
        for name, value in loaded.items():
            if name not in kinds:
                raise ConfigError(f"{path}: there is no setting {name!r}; {known}", subject=name)
            values[name] = _converted(name, value, kinds[name], str(path))
    for key, text in (os.environ if environ is None else environ).items():
        name = key.removeprefix("NEWSWATCH_").lower()
        if key.startswith("NEWSWATCH_") and name in kinds:
            values[name] = _from_text(name, text, kinds[name], key)
    for name, value in given.items():
        if name not in kinds:
            raise ConfigError(f"there is no setting {name!r}; {known}", subject=name)
        if value is not None:
            values[name] = _converted(name, value, kinds[name], "argument")
    return replace(Settings(), **values)


def _converted(name: str, value: object, kind: type, place: str) -> object:
    if kind is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if kind is tuple and isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind is not tuple and isinstance(value, kind) and not isinstance(value, bool):
        return value
    wanted = {tuple: "a list of strings", str: "a string", int: "a whole number", float: "a number"}[kind]
    raise ConfigError(f"{place}: {name} must be {wanted}, not {value!r}", subject=name)


def _from_text(name: str, text: str, kind: type, place: str) -> object:
    if kind is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{place}: {name} cannot be {text!r}", subject=name) from None


def default_storage(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """Where the storage lies when none is named: ``news.db`` in the user's data folder for newswatch."""
    env = os.environ if environ is None else environ
    home = Path(env.get("HOME") or env.get("USERPROFILE") or Path.home())
    if platform == "win32":
        base = Path(env.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(env.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "newswatch" / "news.db"

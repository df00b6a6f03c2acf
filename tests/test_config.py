"""Settings from defaults, file, environment and arguments."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from newswatch.config import Settings, default_storage, load_settings
from newswatch.exceptions import ConfigError

NAMES = [spec.name for spec in fields(Settings)]


def toml(folder: Path, text: str) -> Path:
    path = folder / "newswatch.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_are_polite() -> None:
    settings = load_settings(environ={})
    assert settings.host_delay_s == 1
    assert settings.request_total_s == 30
    assert settings.allow_private == ()
    assert settings.proxy == ""


def test_the_environment_wins_over_the_file_and_arguments_over_both(tmp_path: Path) -> None:
    path = toml(tmp_path, "workers = 3\npage_s = 3\nread_s = 3\n")
    environ = {"NEWSWATCH_PAGE_S": "4", "NEWSWATCH_READ_S": "4"}
    settings = load_settings(path, environ=environ, read_s=5)
    assert (settings.workers, settings.page_s, settings.read_s) == (3, 4, 5)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_can_come_from_file_and_environment(tmp_path: Path, name: str) -> None:
    default = getattr(Settings(), name)
    if isinstance(default, tuple):
        value, written, text = ("10.0.0.0/8",), '["10.0.0.0/8"]', "10.0.0.0/8"
    elif isinstance(default, str):
        value, written, text = "x", '"x"', "x"
    else:
        value, written, text = type(default)(7), "7", "7"
    assert getattr(load_settings(toml(tmp_path, f"{name} = {written}"), environ={}), name) == value
    assert getattr(load_settings(environ={f"NEWSWATCH_{name.upper()}": text}), name) == value


def test_a_list_in_the_environment_is_parted_by_commas() -> None:
    environ = {"NEWSWATCH_ALLOW_PRIVATE": "127.0.0.0/8, fd00::/8,"}
    assert load_settings(environ=environ).allow_private == ("127.0.0.0/8", "fd00::/8")


def test_other_variables_are_none_of_our_business() -> None:
    assert load_settings(environ={"NEWSWATCH_EVAL": "/data", "HOST_DELAY_S": "9", "WORKERS": "9"}) == Settings()


def test_an_argument_of_none_is_not_given() -> None:
    assert load_settings(environ={"NEWSWATCH_WORKERS": "5"}, workers=None).workers == 5


def test_a_path_may_be_given_for_the_storage(tmp_path: Path) -> None:
    assert load_settings(environ={}, storage=tmp_path / "news.db").storage == str(tmp_path / "news.db")


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "notepad.toml"
    path.write_bytes(b"\xef\xbb\xbfworkers = 4\r\n")
    assert load_settings(path, environ={}).workers == 4


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("wrokers = 2", "wrokers"),
        ('workers = "2"', "workers"),
        ("workers = 2.5", "workers"),
        ("workers = true", "workers"),
        ("host_delay_s = true", "host_delay_s"),
        ("storage = 5", "storage"),
        ('allow_private = "10.0.0.0/8"', "allow_private"),
        ("allow_private = [10]", "allow_private"),
        ('allow_private = ["home"]', "home"),
        ("[fetch]\nworkers = 2", "fetch"),
    ],
)
def test_a_wrong_line_of_the_file_is_named(tmp_path: Path, text: str, subject: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(toml(tmp_path, text), environ={})
    assert caught.value.subject == subject


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("workers", "two"),
        ("workers", "2.5"),
        ("workers", ""),
        ("page_s", "5s"),
        ("page_s", "nan"),
        ("allow_private", "home"),
    ],
)
def test_a_wrong_variable_is_refused(name: str, text: str) -> None:
    with pytest.raises(ConfigError):
        load_settings(environ={f"NEWSWATCH_{name.upper()}": text})


@pytest.mark.parametrize(
    "given", [{"workers": "2"}, {"page_s": "5"}, {"no_such_setting": 1}, {"allow_private": "10.0.0.0/8"}]
)
def test_a_wrong_argument_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ={}, **given)
    assert caught.value.subject in given


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("request_total_s", 60.5), ("request_total_s", 0), ("request_total_s", float("nan")), ("host_delay_s", -0.1),
        ("host_delay_s", float("nan")), ("workers", -1), ("redirects_max", -1), ("feed_max_mb", 0), ("page_s", -5),
        ("entries_max", 0), ("poll_gap_min_s", 0), ("event_window_days", 0),
    ],
)  # fmt: skip
def test_a_value_out_of_bounds_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(**{name: value})
    assert caught.value.subject == name
    assert name in str(caught.value)


def test_a_minute_for_a_request_and_no_delay_or_worker_at_all_are_within_bounds() -> None:
    Settings(request_total_s=60, host_delay_s=0, workers=0, redirects_max=0)


@pytest.mark.parametrize("content", [b"workers = ", b"workers = 1\nworkers = 2", b"\xff\xfe", b"a = '\x00'"])
def test_a_file_that_is_no_toml_is_refused_by_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ={})
    assert caught.value.subject == str(path)


def test_a_missing_file_and_a_folder_are_refused_by_path(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError) as caught:
            load_settings(path, environ={})
        assert caught.value.subject == str(path)


@pytest.mark.parametrize(
    ("platform", "environ", "place"),
    [
        ("linux", {"HOME": "/home/u"}, "/home/u/.local/share/newswatch/news.db"),
        ("linux", {"HOME": "/home/u", "XDG_DATA_HOME": "/data"}, "/data/newswatch/news.db"),
        ("darwin", {"HOME": "/Users/u"}, "/Users/u/Library/Application Support/newswatch/news.db"),
        ("win32", {"USERPROFILE": "/Users/u", "LOCALAPPDATA": "/Users/u/L"}, "/Users/u/L/newswatch/news.db"),
        ("win32", {"USERPROFILE": "/Users/u"}, "/Users/u/AppData/Local/newswatch/news.db"),
    ],
)
def test_the_storage_lies_in_the_data_folder_of_the_user(platform: str, environ: dict[str, str], place: str) -> None:
    assert default_storage(environ, platform) == Path(place)

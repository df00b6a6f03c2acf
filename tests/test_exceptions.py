"""The error tree."""

from __future__ import annotations

import copy
import pickle

import pytest

from newswatch import exceptions
from newswatch.exceptions import ConfigError, ExtractError, FeedError, FetchError, InputError, NewswatchError

TREE = [getattr(exceptions, name) for name in exceptions.__all__]


@pytest.mark.parametrize("kind", TREE)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_crosses_to_another_process_whole(kind: type[NewswatchError], protocol: int) -> None:
    error = kind("no 'quotes' lost\nhere", subject="https://example.org/", reason="timeout")
    back = pickle.loads(pickle.dumps(error, protocol))
    assert type(back) is kind
    assert str(back) == str(error)
    assert back.args == error.args
    assert (back.subject, back.reason) == ("https://example.org/", "timeout")


def test_an_error_keeps_what_only_it_carries() -> None:
    error = FetchError("busy", subject="u", reason="http_503", status=503, temporary=True)
    error.add_note("while polling")
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert (back.status, back.temporary, back.__notes__) == (503, True, ["while polling"])


def test_an_error_of_a_users_own_with_another_signature_crosses_too() -> None:
    back = pickle.loads(pickle.dumps(QuotaError(7)))
    assert str(back) == "7 left"
    assert back.left == 7


class QuotaError(NewswatchError):
    def __init__(self, left: int) -> None:
        super().__init__(f"{left} left", subject="quota")
        self.left = left


@pytest.mark.parametrize("kind", TREE)
def test_every_error_is_of_one_tree_and_says_what_it_is_about(kind: type[NewswatchError]) -> None:
    assert issubclass(kind, NewswatchError)
    assert kind("x").subject == kind("x").reason == ""


@pytest.mark.parametrize("kind", [ConfigError, InputError, FeedError, ExtractError])
def test_a_wrong_value_can_be_caught_as_one(kind: type[NewswatchError]) -> None:
    assert issubclass(kind, ValueError)


def test_what_python_has_a_name_for_can_be_caught_by_it() -> None:
    assert issubclass(exceptions.NotFoundError, LookupError)
    assert issubclass(exceptions.MissingExtraError, ImportError)

"""The error tree. Every error names what it is about: a URL, a path or an id."""

from __future__ import annotations

__all__ = [
    "ConfigError",
    "ExtractError",
    "FeedError",
    "FetchError",
    "InputError",
    "MissingExtraError",
    "ModelError",
    "NewswatchError",
    "NotFoundError",
    "StorageError",
]


class NewswatchError(Exception):
    """Base of every error that newswatch raises on purpose.

    Attributes:
        subject: what the error is about (a URL, a path, an id), or ``""``.
        reason: a short stable word for the cause, as kept in storage (``"timeout"``).
    """

    def __init__(self, message: str, *, subject: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.subject = subject
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), str(self), dict(self.__dict__))


def _rebuild(kind: type[NewswatchError], message: str, state: dict[str, object]) -> NewswatchError:
    """Rebuild an error that crossed a process boundary, whatever its signature."""
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(state)
    return error


class ConfigError(NewswatchError, ValueError):
    """A setting, option or file of settings cannot be used."""


class InputError(NewswatchError, ValueError):
    """Text, a file or a line handed in by the user cannot be used."""


class FeedError(NewswatchError, ValueError):
    """The bytes are not a feed, or not one that can be read."""


class FetchError(NewswatchError):
    """A request did not end in a usable response.

    Attributes:
        status: the HTTP status where one came, else ``None``.
        temporary: whether trying again later may help.
    """

    def __init__(
        self,
        message: str,
        *,
        subject: str = "",
        reason: str = "",
        status: int | None = None,
        temporary: bool = True,
    ) -> None:
        super().__init__(message, subject=subject, reason=reason)
        self.status = status
        self.temporary = temporary


class ExtractError(NewswatchError, ValueError):
    """A page holds no article: a bot wall, a log-in page, no text, or too costly to read."""


class ModelError(NewswatchError):
    """A model cannot be loaded: missing, not vouched for, or made for other versions."""


class StorageError(NewswatchError):
    """The storage cannot be opened, read or written."""


class NotFoundError(NewswatchError, LookupError):
    """No feed, article or event of that name is in the storage."""


class MissingExtraError(NewswatchError, ImportError):
    """A feature needs a package that the default install leaves out; the message names the extra."""

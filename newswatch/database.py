"""The database under a storage: connections, transactions, migrations, leases.

Two processes on one storage do not do the same work twice: what one works on it leases for a while, and the lease of a
process that is gone is taken over.
"""

from __future__ import annotations

import logging
import os
import platform
import secrets
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as upsert

from newswatch import schema
from newswatch.exceptions import ConfigError, InputError, StorageError

__all__ = ["Database"]

log = logging.getLogger(__name__)

_MIGRATIONS = Path(__file__).with_name("migrations")
# Alembic's context is one for the whole process.
_migrating = threading.Lock()
# The owners of the storages open in this process.
_open_owners: set[str] = set()


class Database:
    """A database of newswatch's tables, brought to the present schema when it is opened.

    Args:
        location: a path, ``sqlite:///PATH`` or ``sqlite://`` (in memory).
        now: the clock, for leases.
    """

    def __init__(self, location: str | os.PathLike[str], *, now: Callable[[], datetime]) -> None:
        self._now = now
        self.owner = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}"
        url = _engine_url(location)
        self.path: Path | None = Path(url.database) if url.database and url.database != ":memory:" else None
        if self.path is not None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(
                    f"cannot make the folder {self.path.parent}: {error}", subject=str(location)
                ) from None
        # In memory the one connection is the database: threads take turns.
        alone = {"poolclass": sa.pool.QueuePool, "pool_size": 1, "max_overflow": 0}
        options: dict[str, Any] = {"pool_timeout": 60} | ({} if self.path else alone)
        self._engine = sa.create_engine(url, connect_args={"timeout": 60, "check_same_thread": False}, **options)
        sa.event.listen(self._engine, "connect", _on_connect)
        sa.event.listen(self._engine, "begin", _on_begin)
        try:
            self.schema = self._migrate()
        except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
            self._engine.dispose()
            cause = getattr(error, "orig", None) or error
            raise StorageError(f"cannot open the storage {location}: {cause}", subject=str(location)) from None
        except BaseException:
            self._engine.dispose()
            raise
        _open_owners.add(self.owner)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back what this process leased, and close all connections."""
        try:
            self.release_leases()
        except (StorageError, sa.exc.SQLAlchemyError):
            log.warning("leases could not be given back; they lapse by themselves")
        _open_owners.discard(self.owner)
        self._engine.dispose()

    # --- transactions and migrations --------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._translated(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._translated(), self._engine.connect() as bare:
            connection = bare.execution_options(newswatch_write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise StorageError(f"the storage failed: {error.orig}", subject=str(self.path or "")) from error
        except sa.exc.TimeoutError as error:
            raise StorageError(f"the storage is busy: {error}", subject=str(self.path or "")) from error
        except sa.exc.StatementError as error:
            if isinstance(error.orig, ValueError):
                raise InputError(f"this cannot be stored or looked for: {error.orig}") from error
            raise
        except UnicodeEncodeError as error:
            raise InputError(f"this cannot be stored or looked for: {error}") from error

    def _migrate(self) -> str:
        """Bring the storage to the present schema; copy it first where it holds anything."""
        known = sorted(path.stem.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
        with self._engine.connect() as connection:
            current = self._revision(connection)
        if current is not None and current not in known:
            raise StorageError(
                f"the storage {self.path} was written by a newer newswatch (schema {current}, known here up to {known[-1]}); "
                "update newswatch, or name another storage",
                subject=str(self.path),
            )
        with self._engine.connect() as bare:
            # Kept by the file from then on, and done only now: a database that is not ours stays as it is.
            bare.connection.cursor().execute("PRAGMA journal_mode=WAL").close()
        if current == known[-1]:
            return current
        from alembic import command
        from alembic.config import Config

        settings = Config()
        settings.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        with _migrating, self._engine.connect() as bare:
            connection = bare.execution_options(newswatch_write=True)
            with connection.begin():
                # Asked again now that nobody else can write: another process may have migrated it meanwhile.
                current = self._revision(connection)
                if current not in (None, known[-1]) and self.path is not None:
                    self._copy_to(self.path.with_name(f"{self.path.name}.before-{known[-1]}"))
                settings.attributes["connection"] = connection
                command.upgrade(settings, "head")
        return known[-1]

    def _revision(self, connection: sa.Connection) -> str | None:
        names = set(sa.inspect(connection).get_table_names())
        if {"alembic_version", "articles", "feeds"} <= names:
            return str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar())
        if names:
            raise StorageError(f"{self.path} is a database, but no newswatch storage", subject=str(self.path))
        return None

    def _copy_to(self, target: Path) -> None:
        assert self.path is not None
        log.info("copying the storage to %s before its migration", target)
        part = target.with_name(f"{target.name}.part")
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(part)) as copy:
            source.backup(copy)
        part.replace(target)

    # --- leases -----------------------------------------------------------------------------------------------------

    def _free(self, connection: sa.Connection, table: sa.Table, now: datetime) -> sa.ColumnElement[bool]:
        """The condition that a row is leased by nobody who is still there."""
        live = sa.and_(table.c.lease_until.is_not(None), table.c.lease_until > now)
        owners = connection.execute(sa.select(table.c.lease_owner).where(live).distinct()).scalars()
        dead = [owner for owner in owners if self._is_gone(owner)]
        return sa.or_(sa.not_(live), table.c.lease_until.is_(None), table.c.lease_owner.in_(dead))

    def _is_gone(self, owner: str) -> bool:
        """Whether the process behind a lease has surely ended. Of other machines nothing is known."""
        host, _, rest = owner.rpartition(":")[0].rpartition(":")
        if not rest.isdigit() or host != platform.node() or owner == self.owner:
            return False
        pid = int(rest)
        if pid == os.getpid():
            return owner not in _open_owners  # an earlier process of a container had our number
        if sys.platform == "win32":
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False

    def renew_leases(self, *, hold_s: float) -> None:
        """Prolong all that this process leased."""
        until = self._now() + timedelta(seconds=hold_s)
        with self._writing() as connection:
            for table in (schema.feeds, schema.pending):
                connection.execute(sa.update(table).where(table.c.lease_owner == self.owner).values(lease_until=until))
            leases = schema.leases
            connection.execute(sa.update(leases).where(leases.c.owner == self.owner).values(until=until))

    def release_leases(self) -> None:
        """Give back all that this process leased."""
        with self._writing() as connection:
            for table in (schema.feeds, schema.pending):
                connection.execute(
                    sa.update(table).where(table.c.lease_owner == self.owner).values(lease_owner="", lease_until=None)
                )
            connection.execute(sa.delete(schema.leases).where(schema.leases.c.owner == self.owner))

    def acquire(self, name: str, *, hold_s: float) -> bool:
        """Take or prolong a named lease; ``False`` where another living process holds it."""
        now = self._now()
        table = schema.leases
        with self._writing() as connection:
            row = connection.execute(sa.select(table).where(table.c.name == name)).mappings().first()
            if (
                row
                and row["owner"] != self.owner
                and row["until"]
                and row["until"] > now
                and not self._is_gone(row["owner"])
            ):
                return False
            values = {"owner": self.owner, "until": now + timedelta(seconds=hold_s)}
            connection.execute(
                upsert(table).values(name=name, **values).on_conflict_do_update(index_elements=["name"], set_=values)
            )
            return True

    def release(self, name: str) -> None:
        """Give a named lease back."""
        table = schema.leases
        with self._writing() as connection:
            connection.execute(sa.delete(table).where(table.c.name == name, table.c.owner == self.owner))


def _engine_url(location: str | os.PathLike[str]) -> sa.URL:
    text = os.fspath(location)
    if "://" not in text:
        return sa.URL.create("sqlite", database=str(Path(text).expanduser()))
    scheme = text.partition("://")[0].lower()
    if scheme != "sqlite":
        raise ConfigError(
            f"storages are SQLite files in this version: give a path or sqlite:///PATH, not {scheme}://", subject=text
        )
    url = sa.engine.make_url(text)
    return (
        url.set(database=str(Path(url.database).expanduser())) if url.database and url.database != ":memory:" else url
    )


def _on_connect(connection: Any, record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not guessed by the driver
    cursor = connection.cursor()
    for pragma in (
        "synchronous=NORMAL",
        "foreign_keys=ON",
        "busy_timeout=60000",
        "cache_size=-32000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_begin(connection: sa.Connection) -> None:
    writes = connection.get_execution_options().get("newswatch_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

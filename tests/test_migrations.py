"""newswatch.migrations: every storage comes to the present schema, whole or not at all, and is copied before."""

import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from newswatch import database, schema
from newswatch.exceptions import StorageError
from newswatch.records import FeedLink
from newswatch.storage import open_storage

NOW = datetime(2031, 3, 3, 8, 0, tzinfo=UTC)
FULL_TEXT_TABLES = "articles_fts"

NEXT_STEP = """
import os
import sqlalchemy as sa
from alembic import op
revision = "0002"
down_revision = "0001"
def upgrade():
    op.create_table("notes", sa.Column("text", sa.Text()))
    op.add_column("feeds", sa.Column("mood", sa.Text(), server_default="calm"))
"""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "news.db"


@pytest.fixture
def filled(path) -> Path:
    """A storage of the present schema with one feed."""
    with open_storage(path) as opened:
        opened.add_feeds([FeedLink(url="https://example.org/rss")], NOW)
    return path


def later_version(tmp_path: Path, step: str = NEXT_STEP) -> Path:
    """The migrations of a newswatch that is one step further."""
    folder = Path(shutil.copytree(database._MIGRATIONS, tmp_path / "migrations"))
    (folder / "versions" / "0002_next.py").write_text(step)
    return folder


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def run_at_once(script: str, count: int, *arguments: object) -> None:
    """Run a script in several processes that begin together; each gets its number as its first argument."""
    head = "import sys; number = sys.argv[1]; print('ready', flush=True); sys.stdin.readline()\n"
    command = [sys.executable, "-c", "import newswatch.storage, alembic.command\n" + head + textwrap.dedent(script)]
    processes = [
        subprocess.Popen(
            [*command, str(number), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    ends = [(*process.communicate(timeout=120), process.returncode) for process in processes]
    assert [(errors, code) for _, errors, code in ends] == [("", 0)] * count


def test_migrating_from_nothing_gives_the_tables_of_the_schema(path):
    open_storage(path).close()

    def ours(name: object, kind: str, parent: object) -> bool:
        return not (kind == "table" and str(name).startswith(FULL_TEXT_TABLES))

    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_name": ours})
        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_columns_keys_and_defaults_are_those_of_the_schema_too(path, tmp_path):
    # What the comparison above passes over.
    open_storage(path).close()
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    schema.metadata.create_all(engine)
    engine.dispose()
    for table in schema.metadata.tables:
        for pragma in ("table_info", "foreign_key_list", "index_list"):
            described = [
                sorted(row[1:] for row in rows(one, f"PRAGMA {pragma}({table})"))
                for one in (path, tmp_path / "other.db")
            ]
            assert described[0] == described[1]


def test_the_full_text_index_is_made(path):
    open_storage(path).close()
    assert rows(path, "SELECT name FROM sqlite_master WHERE name = 'articles_fts'") == [("articles_fts",)]
    assert rows(path, "SELECT count(*) FROM articles_fts WHERE articles_fts MATCH 'word'") == [(0,)]


def test_a_storage_of_the_present_schema_is_neither_migrated_nor_copied(filled):
    with open_storage(filled) as opened:
        assert opened.schema == rows(filled, "SELECT version_num FROM alembic_version")[0][0]
    assert [one.name for one in filled.parent.iterdir()] == ["news.db"]


def test_an_older_storage_is_copied_and_then_migrated(filled, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "_MIGRATIONS", later_version(tmp_path))
    with open_storage(filled) as opened:
        assert opened.schema == "0002"
        assert [feed.url for feed in opened.feeds()] == ["https://example.org/rss"]
    assert rows(filled, "SELECT url, mood FROM feeds") == [("https://example.org/rss", "calm")]
    copy = tmp_path / "news.db.before-0002"
    assert rows(copy, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert rows(copy, "SELECT url FROM feeds") == [("https://example.org/rss",)]
    assert rows(copy, "SELECT name FROM sqlite_master WHERE name = 'notes'") == []
    assert not (tmp_path / "news.db.before-0002.part").exists()


def test_the_copy_is_a_storage_that_the_older_version_opens(filled, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(database, "_MIGRATIONS", later_version(tmp_path))
        open_storage(filled).close()
    with open_storage(tmp_path / "news.db.before-0002") as older:
        assert [feed.url for feed in older.feeds()] == ["https://example.org/rss"]


def test_a_copy_cut_short_is_made_anew(filled, tmp_path, monkeypatch):
    (tmp_path / "news.db.before-0002.part").write_bytes(b"SQLite format 3\0 and no more")
    monkeypatch.setattr(database, "_MIGRATIONS", later_version(tmp_path))
    open_storage(filled).close()
    assert rows(tmp_path / "news.db.before-0002", "SELECT url FROM feeds") == [("https://example.org/rss",)]


def test_a_migration_that_fails_leaves_the_storage_as_it_was(filled, tmp_path, monkeypatch):
    broken = later_version(tmp_path, NEXT_STEP + "    op.execute('SELECT 1 FROM nowhere')\n")
    with monkeypatch.context() as patched:
        patched.setattr(database, "_MIGRATIONS", broken)
        with pytest.raises(StorageError, match="nowhere"):
            open_storage(filled)
    assert rows(filled, "SELECT name FROM sqlite_master WHERE name = 'notes'") == []
    with open_storage(filled) as opened:
        assert opened.schema == "0001"
        assert len(opened.feeds()) == 1


def test_a_process_killed_amid_a_migration_leaves_the_storage_as_it_was(filled, tmp_path):
    folder = later_version(tmp_path, NEXT_STEP + "    os._exit(9)\n")
    script = """
        import sys
        from pathlib import Path
        from newswatch import database, storage
        database._MIGRATIONS = Path(sys.argv[2])
        storage.open_storage(sys.argv[1])
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(script), filled, folder], timeout=60)
    assert ended.returncode == 9
    with open_storage(filled) as opened:
        assert opened.schema == "0001"
        assert len(opened.feeds()) == 1
    assert rows(filled, "SELECT name FROM sqlite_master WHERE name = 'notes'") == []


def test_a_storage_of_a_newer_schema_is_refused_and_left_alone(filled, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(database, "_MIGRATIONS", later_version(tmp_path))
        open_storage(filled).close()
    before = filled.read_bytes()
    with pytest.raises(StorageError, match=r"written by a newer newswatch \(schema 0002, known here up to 0001\)"):
        open_storage(filled)
    assert filled.read_bytes() == before


def test_a_storage_in_memory_is_migrated_too():
    with open_storage("sqlite://") as opened:
        assert opened.schema == "0001"
        assert opened.feeds() == []


def test_several_processes_may_be_the_first_to_open_a_storage(path):
    script = """
        from datetime import UTC, datetime
        from newswatch.records import FeedLink
        from newswatch.storage import open_storage
        with open_storage(sys.argv[2]) as opened:
            opened.add_feeds([FeedLink(url=f"https://example.org/{number}")], datetime.now(UTC))
    """
    run_at_once(script, 4, path)
    with open_storage(path) as opened:
        assert [feed.url for feed in opened.feeds()] == [f"https://example.org/{number}" for number in range(4)]
    assert rows(path, "SELECT count(*) FROM alembic_version") == [(1,)]
    assert [one.name for one in path.parent.iterdir()] == ["news.db"]


def test_several_processes_may_migrate_at_once_and_the_copy_is_of_the_older_schema(filled, tmp_path):
    script = """
        from pathlib import Path
        from newswatch import database, storage
        database._MIGRATIONS = Path(sys.argv[3])
        with storage.open_storage(sys.argv[2]) as opened:
            assert opened.schema == "0002"
    """
    run_at_once(script, 4, filled, later_version(tmp_path))
    assert rows(filled, "SELECT url, mood FROM feeds") == [("https://example.org/rss", "calm")]
    assert rows(tmp_path / "news.db.before-0002", "SELECT version_num FROM alembic_version") == [("0001",)]


def test_threads_may_open_several_storages_at_once(tmp_path):
    together = threading.Barrier(6)
    found: dict[int, list[str]] = {}

    def work(number: int) -> None:
        together.wait()
        with open_storage(tmp_path / f"{number // 2}.db") as opened:
            opened.add_feeds([FeedLink(url=f"https://example.org/{number}")], NOW)
            found[number] = [feed.url for feed in opened.feeds()]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(f"https://example.org/{number}" in found[number] for number in range(6))
    for number in range(3):
        with open_storage(tmp_path / f"{number}.db") as opened:
            assert len(opened.feeds()) == 2

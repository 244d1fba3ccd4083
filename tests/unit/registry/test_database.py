from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from unit.registry.world import HERE, World, ref

from lambda_home.bundled import bundled
from lambda_home.errors import LambdaHomeError
from lambda_home.registry.database import Database
from lambda_home.registry.tables import METADATA, SCHEMA


def schema(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE name <> 'alembic_version'")
        found = {" ".join(row[0].split()) for row in rows if row[0]}
    connection.close()
    return found


def pragma(database: Database, name: str) -> object:
    with database.read() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def test_open_makes_the_folder_and_brings_the_file_to_the_described_shape(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er 100%?#" / "l.db"
    Database.open(path).close()
    described = tmp_path / "described.db"
    engine = create_engine(f"sqlite:///{described}")
    METADATA.create_all(engine)
    engine.dispose()
    assert schema(path) - {"alembic_version"} == schema(described)


def at_revision(path: Path, revision: str) -> Path:
    """A file as the release that ended at `revision` left it."""
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(bundled("migrations")))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()
    return path


REVISIONS = [
    script.revision
    for script in ScriptDirectory(str(bundled("migrations"))).walk_revisions()
    if script.revision != SCHEMA
]


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_older_file_is_brought_to_the_shape_of_a_new_one(tmp_path: Path, revision: str) -> None:
    older = at_revision(tmp_path / "older.db", revision)
    Database.open(older).close()
    newer = tmp_path / "newer.db"
    Database.open(newer).close()
    assert {without_order(line) for line in schema(older)} == {
        without_order(line) for line in schema(newer)
    }


def without_order(sql: str) -> tuple[str, ...]:
    """A statement whose columns may stand in any order: added ones come last."""
    head, _, rest = sql.partition("(")
    return head, *sorted(part.strip() for part in rest.rstrip(") ").split(", "))


def test_the_newest_migration_is_the_one_that_open_looks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(bundled("migrations")))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA


def test_a_new_file_and_one_of_the_newest_schema_need_no_alembic(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    script = (
        "import sys; from pathlib import Path\n"
        "from lambda_home.registry.database import Database\n"
        "Database.open(Path(sys.argv[1])).close()\n"
        "Database.open(Path(sys.argv[1])).close()\n"
        "print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout == b"False\n"


def test_commits_are_durable_and_foreign_keys_hold(world: World) -> None:
    assert pragma(world.database, "journal_mode") == "wal"
    assert pragma(world.database, "synchronous") == 2
    assert pragma(world.database, "foreign_keys") == 1
    assert pragma(world.database, "busy_timeout") == 10_000


@pytest.mark.parametrize("content", [b"not a database, by far" * 99, b"SQLite format 3\0" * 99])
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "l.db"
    path.write_bytes(content)
    with pytest.raises(LambdaHomeError) as caught:
        Database.open(path)
    assert str(caught.value).startswith(f"Cannot open the database {path}: ")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE functions (id)")
    other.close()
    with pytest.raises(LambdaHomeError, match="is not a database of lambda_home"):
        Database.open(path)
    assert schema(path) == {"CREATE TABLE functions (id)"}


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    Database.open(path).close()
    newer = sqlite3.connect(path)
    newer.execute("UPDATE alembic_version SET version_num = '9999'")
    newer.commit()
    newer.close()
    with pytest.raises(LambdaHomeError, match=r"schema 9999, written by a newer lambda_home"):
        Database.open(path)


def test_a_path_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LambdaHomeError, match="Cannot make the folder"):
        Database.open(tmp_path / "file" / "sub" / "l.db")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LambdaHomeError, match="unable to open database file"):
        Database.open(tmp_path)


def test_a_database_in_memory_is_refused() -> None:
    with pytest.raises(LambdaHomeError, match="must be a file"):
        Database.open(Path(":memory:"))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write read-only files."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.mark.parametrize("folder_mode", [0o555, 0o777])
def test_a_read_only_file_is_refused(folder_mode: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "l.db"
        Database.open(path).close()
        path.chmod(0o444)
        Path(folder).chmod(folder_mode)
        with unprivileged(), pytest.raises(LambdaHomeError) as caught:
            Database.open(path)
        Path(folder).chmod(0o700)
    assert str(caught.value) == (
        f"Cannot open the database {path}: attempt to write a readonly database."
    )


def test_a_failed_migration_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "migrations"
    (broken / "versions").mkdir(parents=True)
    source = bundled("migrations")
    (broken / "env.py").write_text((source / "env.py").read_text())
    (broken / "versions" / "0001_first.py").write_text("revision, down_revision = '0001', None\n")
    (broken / "versions" / "0002_half.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        "revision, down_revision = '0002', '0001'\n"
        "def upgrade():\n"
        "    op.create_table('half', sa.Column('x', sa.Integer))\n"
        "    op.execute('nonsense')\n"
    )
    path = at_revision(tmp_path / "l.db", "0001")
    before = schema(path)
    with monkeypatch.context() as patched:
        patched.setattr("lambda_home.registry.database.bundled", lambda name: tmp_path / name)
        with pytest.raises(LambdaHomeError, match="syntax error"):
            Database.open(path)
    assert schema(path) == before
    Database.open(path).close()


def test_readers_go_on_while_a_transaction_is_written(world: World) -> None:
    active = world.active()
    entered, leave = Event(), Event()

    def hold() -> None:
        with world.database.write() as connection:
            connection.exec_driver_sql("UPDATE functions SET reserved = 5")
            entered.set()
            leave.wait(10)

    writer = Thread(target=hold)
    writer.start()
    assert entered.wait(10)
    try:
        assert world.registry.get(ref()) == active
        assert world.registry.reserved(HERE) == {}
    finally:
        leave.set()
        writer.join()
    assert world.registry.reserved(HERE) == {"fn": 5}


def test_an_exception_undoes_the_transaction(world: World) -> None:
    world.active()

    def fail() -> None:
        with world.database.write() as connection:
            connection.exec_driver_sql("UPDATE functions SET reserved = 5")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert world.registry.reserved(HERE) == {}


def test_two_databases_on_one_file_wait_for_each_other(world: World, tmp_path: Path) -> None:
    world.active()
    second = World(tmp_path / "lhome.db")
    threads = [
        Thread(target=each.registry.put_reserved, args=(ref(), value, 1000))
        for each in (world, second)
        for value in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.changes) + len(second.changes) == 2 + len(threads)
    second.close()

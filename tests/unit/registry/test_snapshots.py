from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lambda_home.arns import Scope
from lambda_home.errors import LambdaHomeError
from lambda_home.registry import snapshots
from lambda_home.registry.changes import Change
from lambda_home.registry.clearing import Clearing
from lambda_home.registry.database import Database
from lambda_home.registry.events import EventStore, StoredEvent
from lambda_home.registry.resources import ResourceKind, Resources
from lambda_home.registry.tables import SCHEMA

HERE, THERE = Scope("000000000000", "us-east-1"), Scope("111111111111", "eu-west-1")


def as_old(path: Path, version: str) -> None:
    """Let a registry's file say that it has another schema."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "lhome.db"
    Database.open(found).close()
    return found


def test_a_sound_registry_is_told_with_its_schema_and_nothing_is_left_beside_it(path: Path) -> None:
    assert snapshots.inspect(path) == snapshots.Inspected(SCHEMA)
    assert [each.name for each in path.parent.iterdir()] == ["lhome.db"]


def test_what_is_no_registry_or_is_damaged_is_told(tmp_path: Path, path: Path) -> None:
    assert snapshots.inspect(tmp_path / "none").fault
    (tmp_path / "text").write_text("no database " * 100)
    assert snapshots.inspect(tmp_path / "text").fault
    with closing(sqlite3.connect(tmp_path / "other")) as other:
        other.execute("CREATE TABLE x (y)")
    assert "not a database of lambda_home" in snapshots.inspect(tmp_path / "other").fault
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xaa" * (len(whole) - 4096))
    assert snapshots.inspect(path).fault


def test_before_a_migration_the_file_is_copied_as_it_was(path: Path) -> None:
    as_old(path, "0001")
    with pytest.raises(Exception, match=r"."):  # the tables are newer than it says
        Database.open(path).close()
    copy = path.with_name("lhome.db.0001.bak")
    assert snapshots.inspect(copy) == snapshots.Inspected("0001")


def test_only_the_two_newest_copies_are_kept(path: Path) -> None:
    for version in ("0001", "0002", "0003"):
        snapshots.before_migration(path, version)
    copies = sorted(each.name for each in path.parent.glob("*.bak"))
    assert copies == ["lhome.db.0002.bak", "lhome.db.0003.bak"]


def test_a_newer_schema_is_refused_in_one_line_without_a_copy(path: Path) -> None:
    as_old(path, "9999")
    with pytest.raises(LambdaHomeError, match=r"schema 9999.*Upgrade lambda_home"):
        Database.open(path)
    assert not list(path.parent.glob("*.bak"))
    assert snapshots.inspect(path).is_newer


def test_a_copy_that_cannot_be_written_leaves_nothing(path: Path, tmp_path: Path) -> None:
    with pytest.raises(LambdaHomeError, match="Cannot copy"):
        snapshots.snapshot(path, tmp_path / "no such folder" / "copy")
    assert [each.name for each in tmp_path.iterdir()] == ["lhome.db"]


# -------------------------------------------------------------------------------------- clearing


def event(scope: Scope) -> StoredEvent:
    return StoredEvent(scope.account, scope, "f", None, b"{}", accepted_at=1.0)


@pytest.mark.parametrize("account", [None, HERE.account])
def test_clearing_takes_all_of_an_account_or_of_all_but_access_keys(
    path: Path, account: str | None
) -> None:
    database = Database.open(path)
    told: list[Change] = []
    resources, events = Resources(database), EventStore(database)
    for scope in (HERE, THERE):
        for kind in (ResourceKind.ROUTE, ResourceKind.SECRET, ResourceKind.ACCESS_KEY):
            resources.change(scope, kind, "x", lambda _: {"some": "thing"})
    events.write([event(HERE), event(THERE)])
    cleared = Clearing(database, told.append).clear(account)
    assert (cleared.resources, cleared.events) == ((4, 2) if account is None else (2, 1))
    assert len(resources.everywhere(ResourceKind.ACCESS_KEY)) == 2
    left = {scope for scope, _ in resources.everywhere(ResourceKind.SECRET)}
    assert left == (set() if account is None else {THERE})
    assert events.count() == (0 if account is None else 1)
    assert Clearing(database, told.append).clear(account).resources == 0
    database.close()


def test_clearing_tells_of_each_function_that_went(path: Path) -> None:
    database = Database.open(path)
    with database.write() as connection:
        for number, name in enumerate(("a", "b")):
            connection.exec_driver_sql(
                "INSERT INTO functions (account, region, name, last_version) VALUES (?, ?, ?, ?)",
                (HERE.account, HERE.region, name, number),
            )
    told: list[Change] = []
    cleared = Clearing(database, told.append).clear()
    assert {(change.scope, change.name) for change in told} == {(HERE, "a"), (HERE, "b")}
    assert set(cleared.functions) == {(HERE, "a"), (HERE, "b")}
    database.close()

"""Log groups and log streams in the log store's file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping

from lambda_home.arns import Scope
from lambda_home.logs.events import (
    LogGroup,
    LogNameTaken,
    LogStream,
    NoSuchLogGroup,
    NoSuchLogStream,
)
from lambda_home.logs.file import LogFile

_GROUP = (
    "SELECT name, created_ms, retention_days, bytes, settings FROM groups"
    " WHERE account = ? AND region = ?"
)
_STREAM = "SELECT name, created_ms, first_ms, last_ms, ingested_ms, bytes FROM streams"


class Catalogue:
    """Reads and changes groups and streams; `now_ms` dates new ones."""

    def __init__(self, file: LogFile, now_ms: Callable[[], int]) -> None:
        self._file = file
        self._now_ms = now_ms

    def group_id(self, connection: sqlite3.Connection, scope: Scope, group: str) -> int:
        """The number of a group. Raises NoSuchLogGroup."""
        row = connection.execute(
            "SELECT id FROM groups WHERE account = ? AND region = ? AND name = ?",
            (scope.account, scope.region, group),
        ).fetchone()
        if row is None:
            raise NoSuchLogGroup("The specified log group does not exist.")
        return int(row[0])

    def create_group(self, scope: Scope, group: str, settings: Mapping[str, object]) -> None:
        """Make a group. Raises LogNameTaken."""
        with self._file.write() as connection:
            made = connection.execute(
                "INSERT OR IGNORE INTO groups (account, region, name, created_ms, settings)"
                " VALUES (?, ?, ?, ?, ?)",
                (scope.account, scope.region, group, self._now_ms(), _text(settings)),
            )
            if made.rowcount == 0:
                raise LogNameTaken("The specified log group already exists")

    def group(self, scope: Scope, group: str) -> LogGroup:
        """One group. Raises NoSuchLogGroup."""
        with self._file.read() as connection:
            row = connection.execute(
                f"{_GROUP} AND name = ?", (scope.account, scope.region, group)
            ).fetchone()
        if row is None:
            raise NoSuchLogGroup("The specified log group does not exist.")
        return _group(row)

    def groups(self, scope: Scope, prefix: str, after: str, limit: int) -> list[LogGroup]:
        """Groups by name."""
        with self._file.read() as connection:
            rows = connection.execute(
                f"{_GROUP} AND name > ? AND name >= ? AND substr(name, 1, ?) = ?"
                " ORDER BY name LIMIT ?",
                (scope.account, scope.region, after, prefix, len(prefix), prefix, limit),
            ).fetchall()
        return [_group(row) for row in rows]

    def delete_group(self, scope: Scope, group: str) -> None:
        """Delete a group and all in it. Raises NoSuchLogGroup."""
        with self._file.write() as connection:
            number = self.group_id(connection, scope, group)
            connection.execute("DELETE FROM chunks WHERE group_id = ?", (number,))
            connection.execute("DELETE FROM streams WHERE group_id = ?", (number,))
            connection.execute("DELETE FROM groups WHERE id = ?", (number,))

    def clear(self, account: str | None) -> None:
        """Delete all groups of an account, or of all accounts (None), and all in them."""
        with self._file.write() as connection:
            if account is None:
                for table in ("chunks", "streams", "groups"):
                    connection.execute(f"DELETE FROM {table}")  # noqa: S608  names from above
                return
            ours = "(SELECT id FROM groups WHERE account = ?)"
            for table in ("chunks", "streams"):
                statement = f"DELETE FROM {table} WHERE group_id IN {ours}"  # noqa: S608  as above
                connection.execute(statement, (account,))
            connection.execute("DELETE FROM groups WHERE account = ?", (account,))

    def put_retention(self, scope: Scope, group: str, days: int | None) -> None:
        """Set how long events are kept. Raises NoSuchLogGroup."""
        with self._file.write() as connection:
            number = self.group_id(connection, scope, group)
            connection.execute("UPDATE groups SET retention_days = ? WHERE id = ?", (days, number))

    def put_settings(self, scope: Scope, group: str, settings: Mapping[str, object]) -> None:
        """Replace the settings. Raises NoSuchLogGroup."""
        with self._file.write() as connection:
            number = self.group_id(connection, scope, group)
            connection.execute(
                "UPDATE groups SET settings = ? WHERE id = ?", (_text(settings), number)
            )

    def create_stream(self, scope: Scope, group: str, stream: str) -> None:
        """Make a stream. Raises NoSuchLogGroup, LogNameTaken."""
        with self._file.write() as connection:
            number = self.group_id(connection, scope, group)
            made = connection.execute(
                "INSERT OR IGNORE INTO streams (group_id, name, created_ms) VALUES (?, ?, ?)",
                (number, stream, self._now_ms()),
            )
            if made.rowcount == 0:
                raise LogNameTaken("The specified log stream already exists")

    def stream(self, scope: Scope, group: str, stream: str) -> LogStream:
        """One stream. Raises NoSuchLogGroup, NoSuchLogStream."""
        with self._file.read() as connection:
            number = self.group_id(connection, scope, group)
            row = connection.execute(
                f"{_STREAM} WHERE group_id = ? AND name = ?", (number, stream)
            ).fetchone()
        if row is None:
            raise NoSuchLogStream("The specified log stream does not exist.")
        return LogStream(*row)

    def streams(self, scope: Scope, group: str, prefix: str) -> list[LogStream]:
        """Streams by name. Raises NoSuchLogGroup."""
        with self._file.read() as connection:
            number = self.group_id(connection, scope, group)
            rows = connection.execute(
                f"{_STREAM} WHERE group_id = ? AND substr(name, 1, ?) = ? ORDER BY name",
                (number, len(prefix), prefix),
            ).fetchall()
        return [LogStream(*row) for row in rows]

    def delete_stream(self, scope: Scope, group: str, stream: str) -> None:
        """Delete a stream and its events. Raises NoSuchLogGroup, NoSuchLogStream."""
        with self._file.write() as connection:
            group_id = self.group_id(connection, scope, group)
            row = connection.execute(
                "SELECT id, bytes FROM streams WHERE group_id = ? AND name = ?", (group_id, stream)
            ).fetchone()
            if row is None:
                raise NoSuchLogStream("The specified log stream does not exist.")
            connection.execute("DELETE FROM chunks WHERE stream_id = ?", (row[0],))
            connection.execute("DELETE FROM streams WHERE id = ?", (row[0],))
            connection.execute(
                "UPDATE groups SET bytes = bytes - ? WHERE id = ?", (row[1], group_id)
            )


def _group(row: tuple[str, int, int | None, int, str]) -> LogGroup:
    name, created_ms, days, size, settings = row
    return LogGroup(name, created_ms, days, max(0, size), json.loads(settings))


def _text(settings: Mapping[str, object]) -> str:
    return json.dumps(dict(settings))

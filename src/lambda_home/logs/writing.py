"""Writes events into the log store's file, a batch in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from lambda_home.arns import Scope
from lambda_home.logs import retention
from lambda_home.logs.chunks import Run, chunks_of
from lambda_home.logs.events import LogLimits
from lambda_home.logs.file import LogFile

StreamKey = tuple[Scope, str, str]
"""Scope, group and stream."""

_MOST_KNOWN = 10_000


class BatchWriter:
    """Stores runs of events by stream; makes groups and streams that are missing.

    `now_ms` tells the moment of ingestion.
    """

    def __init__(self, file: LogFile, limits: LogLimits, now_ms: Callable[[], int]) -> None:
        self._file = file
        self._limits = limits
        self._now_ms = now_ms
        self._known: dict[StreamKey, tuple[int, int]] = {}
        self._generation = file.generation

    def store(self, batch: Mapping[StreamKey, Sequence[Run]]) -> int:
        """Store a batch, all or nothing; answers the moment of ingestion.

        Raises LogStoreUnavailable.
        """
        now_ms = self._now_ms()
        with self._file.lock:
            try:
                with self._file.write() as connection:
                    if self._generation != self._file.generation:
                        self.forget()
                    groups = {
                        self._store_stream(connection, key, runs, now_ms)
                        for key, runs in batch.items()
                    }
                    for group_id in groups:
                        retention.trim_group(connection, group_id, self._limits.group_bytes)
            except BaseException:
                self.forget()  # rows made in the transaction are gone again
                raise
        return now_ms

    def forget(self) -> None:
        """Numbers of groups and streams may have changed."""
        with self._file.lock:
            self._known.clear()
            self._generation = self._file.generation

    def sweep(self) -> None:
        """Let go what is too old or too much; some of it, when it is a lot.

        Raises LogStoreUnavailable.
        """
        with self._file.lock:
            now_ms = self._now_ms()
            with self._file.write() as connection:
                retention.trim_store(connection, self._limits.store_bytes)
                retention.expire(connection, now_ms, self._limits.retention_days)
                if retention.forget_empty_streams(connection, now_ms):
                    self.forget()
            with self._file.read() as connection:
                crowded = retention.is_crowded(connection)
            if crowded:
                self._file.shrink(retention.VACUUM_PAGES)

    def make_room(self) -> None:
        """The disk is full: let a tenth of everything go, whose pages are then used again.

        Raises LogStoreUnavailable.
        """
        with self._file.write() as connection:
            size = retention.stored_bytes(connection)
            retention.trim_store(connection, size * 9 // 10)

    def _store_stream(
        self, connection: sqlite3.Connection, key: StreamKey, runs: Sequence[Run], now_ms: int
    ) -> int:
        group_id, stream_id = self._ids(connection, key, now_ms)
        size, first_ms, last_ms = 0, runs[0].timestamp_ms, runs[0].timestamp_ms
        for chunk in chunks_of(runs):
            connection.execute(
                "INSERT INTO chunks"
                " (group_id, stream_id, first_ms, last_ms, ingested_ms, size, data)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    group_id,
                    stream_id,
                    chunk.first_ms,
                    chunk.last_ms,
                    now_ms,
                    chunk.size,
                    chunk.data,
                ),
            )
            size += chunk.size
            first_ms, last_ms = min(first_ms, chunk.first_ms), max(last_ms, chunk.last_ms)
        connection.execute(
            "UPDATE streams SET first_ms = MIN(COALESCE(first_ms, ?1), ?1),"
            " last_ms = MAX(COALESCE(last_ms, ?2), ?2), ingested_ms = ?3, bytes = bytes + ?4"
            " WHERE id = ?5",
            (first_ms, last_ms, now_ms, size, stream_id),
        )
        connection.execute("UPDATE groups SET bytes = bytes + ? WHERE id = ?", (size, group_id))
        return group_id

    def _ids(self, connection: sqlite3.Connection, key: StreamKey, now_ms: int) -> tuple[int, int]:
        found = self._known.get(key)
        if found is not None:
            return found
        scope, group, stream = key
        group_id = _made(
            connection,
            "SELECT id FROM groups WHERE account = ? AND region = ? AND name = ?",
            "INSERT INTO groups (account, region, name, created_ms) VALUES (?, ?, ?, ?)",
            (scope.account, scope.region, group),
            now_ms,
        )
        stream_id = _made(
            connection,
            "SELECT id FROM streams WHERE group_id = ? AND name = ?",
            "INSERT INTO streams (group_id, name, created_ms) VALUES (?, ?, ?)",
            (group_id, stream),
            now_ms,
        )
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = (group_id, stream_id)
        return group_id, stream_id


def _made(
    connection: sqlite3.Connection,
    find: str,
    make: str,
    values: tuple[object, ...],
    now_ms: int,
) -> int:
    row = connection.execute(find, values).fetchone()
    if row is not None:
        return int(row[0])
    number = connection.execute(make, (*values, now_ms)).lastrowid
    if number is None:
        raise AssertionError("SQLite gave no number to a new row")
    return number

"""The SQLite file of the log store: opening it, one writer, readers beside it, damage.

Events are not worth a `fsync` for each batch: after a power cut the last moments may be missing,
after a crash of the server alone nothing that was written is. A damaged file is put aside as
`logs.db.damaged` and a new one begun: logs never keep the server from its work.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from lambda_home.logs.events import LogStoreUnavailable

_SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 10.0
_IDLE_READERS = 4
_PRIMARY_CODE = 0xFF
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_SCHEMA = """
CREATE TABLE groups (
    id INTEGER PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    created_ms INTEGER NOT NULL, retention_days INTEGER, bytes INTEGER NOT NULL DEFAULT 0,
    settings TEXT NOT NULL DEFAULT '{}', UNIQUE (account, region, name));
CREATE TABLE streams (
    id INTEGER PRIMARY KEY, group_id INTEGER NOT NULL, name TEXT NOT NULL,
    created_ms INTEGER NOT NULL, first_ms INTEGER, last_ms INTEGER, ingested_ms INTEGER,
    bytes INTEGER NOT NULL DEFAULT 0, UNIQUE (group_id, name));
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, group_id INTEGER NOT NULL, stream_id INTEGER NOT NULL,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, ingested_ms INTEGER NOT NULL,
    size INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX chunks_of_group ON chunks (group_id, first_ms, id);
CREATE INDEX chunks_of_group_back ON chunks (group_id, last_ms, id);
CREATE INDEX chunks_of_stream ON chunks (stream_id, first_ms, id);
CREATE INDEX chunks_of_stream_back ON chunks (stream_id, last_ms, id);
"""


class LogFile:
    """A log store's file; usable from several threads. It is made when first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lock = threading.RLock()
        """Who holds it is the one writer."""
        self.generation = 0
        """Grows when a damaged file is replaced: numbers of rows mean nothing any more."""
        self._writer: sqlite3.Connection | None = None
        self._readers: list[tuple[int, sqlite3.Connection]] = []

    @property
    def in_use(self) -> bool:
        """Whether it has been needed."""
        return self._writer is not None

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed at the end, rolled back on an exception.

        Raises LogStoreUnavailable; after damage the next one has a new file.
        """
        with self.lock:
            try:
                connection = self._writing()
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._undo()
                raise self._unavailable("written", error) from error
            except BaseException:
                self._undo()
                raise

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one moment and must not write. Raises LogStoreUnavailable."""
        connection: sqlite3.Connection | None = None
        generation = self.generation
        try:
            with self.lock:
                self._writing()  # a reader needs the tables
                generation = self.generation
                kept = self._readers.pop() if self._readers else None
            connection = kept[1] if kept is not None else self._connect()
            connection.execute("BEGIN")
            yield connection
        except sqlite3.Error as error:
            raise self._unavailable("read", error) from error
        finally:
            if connection is not None:
                self._give_back(generation, connection)

    def shrink(self, pages: int) -> None:
        """Give so many unused pages back to the system. Raises LogStoreUnavailable."""
        with self.lock:
            try:
                self._writing().execute(f"PRAGMA incremental_vacuum({pages})").fetchall()
            except sqlite3.Error as error:
                raise self._unavailable("shrunk", error) from error

    def size(self) -> int:
        """Bytes of the file on the disk."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def close(self) -> None:
        """Close all connections; the last one folds the write-ahead log into the file."""
        with self.lock:
            readers, self._readers = self._readers, []
            writer, self._writer = self._writer, None
            for connection in (*(connection for _, connection in readers), writer):
                if connection is not None:
                    with suppress(sqlite3.Error):
                        connection.close()

    def _writing(self) -> sqlite3.Connection:
        if self._writer is None:
            try:
                self._writer = self._open()
            except sqlite3.Error as error:
                if not _is_damage(error):
                    raise
                self._put_aside(str(error))
                self._writer = self._open()
        return self._writer

    def _open(self) -> sqlite3.Connection:
        with suppress(OSError):  # else SQLite says that it cannot open the file
            self._path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = self._connect()
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                connection.execute("PRAGMA page_size=8192")
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            connection.execute("PRAGMA journal_mode=WAL")
            if version == 0:
                connection.executescript(
                    f"BEGIN;{_SCHEMA}PRAGMA user_version={_SCHEMA_VERSION};COMMIT"
                )
            elif version != _SCHEMA_VERSION:
                self._put_aside(f"it has schema {version}, this server knows {_SCHEMA_VERSION}")
                connection.close()
                return self._open()
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA journal_size_limit=16777216")
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, generation: int, connection: sqlite3.Connection) -> None:
        try:
            connection.rollback()
        except sqlite3.Error:
            generation = -1
        with self.lock:
            if (
                self._writer is not None
                and generation == self.generation
                and len(self._readers) < _IDLE_READERS
            ):
                self._readers.append((generation, connection))
                return
        connection.close()

    def _undo(self) -> None:
        if self._writer is not None and self._writer.in_transaction:
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")

    def _unavailable(self, what: str, error: sqlite3.Error) -> LogStoreUnavailable:
        if _is_damage(error):
            with self.lock:
                self._put_aside(str(error))
        return LogStoreUnavailable(f"The log store {self._path} could not be {what}: {error}.")

    def _put_aside(self, reason: str) -> None:
        """Begin anew; what a damaged file still has can be looked for by hand."""
        self.close()
        self.generation += 1
        aside = self._path.with_name(f"{self._path.name}.damaged")
        with suppress(OSError):
            self._path.replace(aside)
        for ending in ("-wal", "-shm"):
            with suppress(OSError):
                self._path.with_name(self._path.name + ending).unlink()
        structlog.get_logger(__name__).warning(
            "the log store was put aside and a new one begun", file=str(aside), reason=reason
        )


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & _PRIMARY_CODE) in _DAMAGED

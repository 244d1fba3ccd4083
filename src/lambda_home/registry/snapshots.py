"""Copies of SQLite files that others may be writing, and what a file holds, without changing it.

Source: "SQLite Backup API", https://www.sqlite.org/backup.html: a copy made with it is one moment
of the database, however long it takes and whoever writes meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lambda_home.errors import LambdaHomeError
from lambda_home.registry.tables import SCHEMA

_BUSY_TIMEOUT_S = 10.0
_PAGES_AT_ONCE = 4096
_KEPT = 2
_SIDES = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Inspected:
    """What is known of a registry's file. `schema` None: it is no registry; `fault` "" if sound."""

    schema: str | None
    fault: str = ""

    @property
    def is_newer(self) -> bool:
        """Whether a newer lambda_home wrote it."""
        return self.schema is not None and self.schema > SCHEMA


def snapshot(source: Path, target: Path) -> None:
    """Copy a SQLite file as it is at one moment; `target` is there in full or not at all.

    Raises LambdaHomeError, with one line.
    """
    beside = target.with_name(f".{target.name}.part")
    try:
        with _opened(source) as original, closing(sqlite3.connect(beside)) as copy:
            copy.execute("PRAGMA synchronous=OFF")  # it is synced below, as a whole
            original.backup(copy, pages=_PAGES_AT_ONCE)
            copy.execute("PRAGMA journal_mode=DELETE")
        _sync(beside)
        beside.replace(target)
        _sync(target.parent)
    except (sqlite3.Error, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LambdaHomeError(f"Cannot copy {source} to {target}: {reason}.") from error
    finally:
        for side in ("", *_SIDES):
            beside.with_name(beside.name + side).unlink(missing_ok=True)


def inspect(path: Path) -> Inspected:
    """Read a registry's schema and check the file (`PRAGMA quick_check`); leaves nothing behind."""
    try:
        with _opened(path) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
            if "alembic_version" not in tables:
                return Inspected(None, "it is not a database of lambda_home")
            (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except (sqlite3.Error, TypeError) as error:
        return Inspected(None, str(error))
    return Inspected(str(version), "" if said == "ok" else str(said))


def code_keys_in(path: Path) -> frozenset[str]:
    """The keys of all packages that the functions and layers of a registry's file need.

    Raises LambdaHomeError if the file cannot be read.
    """
    try:
        with _opened(path) as connection:
            rows = connection.execute(
                "SELECT code_key FROM versions UNION SELECT code_key FROM layer_versions"
            ).fetchall()
    except sqlite3.Error as error:
        raise LambdaHomeError(f"Cannot read the database {path}: {error}.") from error
    return frozenset(row[0] for row in rows)


def has_secrets(path: Path) -> bool:
    """Whether a registry's file holds what only the key of the secrets can decrypt."""
    query = "SELECT 1 FROM resources WHERE kind IN ('secret', 'access_key') LIMIT 1"
    try:
        with _opened(path) as connection:
            return connection.execute(query).fetchone() is not None
    except sqlite3.Error as error:
        raise LambdaHomeError(f"Cannot read the database {path}: {error}.") from error


def before_migration(path: Path, version: str) -> Path:
    """Keep a copy of a registry that is about to be migrated; only the two newest copies stay.

    Raises LambdaHomeError: then nothing must be migrated.
    """
    target = path.with_name(f"{path.name}.{version}.bak")
    snapshot(path, target)
    copies = sorted(path.parent.glob(f"{path.name}.*.bak"), key=lambda copy: copy.name)
    for old in copies[:-_KEPT]:
        old.unlink(missing_ok=True)
    return target


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for reading.

    A file without a write-ahead log is read as one that nobody changes: opening it otherwise would
    make files beside it. Where those cannot be made, reading without them is the best there is.
    """
    if not path.is_file():
        raise sqlite3.OperationalError("there is no such file")
    wal = path.with_name(f"{path.name}-wal")
    mode = "mode=rw" if wal.exists() and os.access(path, os.W_OK) else "mode=ro&immutable=1"
    uri = f"file:{quote(str(path))}?{mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S)
    try:
        yield connection
    finally:
        connection.close()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

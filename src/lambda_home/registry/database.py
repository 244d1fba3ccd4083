"""The SQLite file: opening, migrating, reading side by side and writing one at a time.

WAL lets readers go on while one writer commits, `synchronous=FULL` makes a commit survive a power
cut. A write transaction starts with `BEGIN IMMEDIATE`: a deferred one that reads first can fail to
become a writer, whatever the busy timeout (https://www.sqlite.org/isolation.html).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import ConnectionPoolEntry

from lambda_home.bundled import bundled
from lambda_home.errors import LambdaHomeError, ServiceException
from lambda_home.registry import snapshots
from lambda_home.registry.tables import METADATA, SCHEMA

BUSY_TIMEOUT_MS = 10_000
_POOLED = 8
_PRAGMAS = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)


class Database:
    """An open, migrated registry file; usable from several threads.

    Make one with `Database.open`, end it with `close`.
    """

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self._engine = engine
        self._writing = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> Database:
        """Open the file at `path`, making it and its folder where missing, and migrate it.

        Before a migration the file is copied to `NAME.<its schema>.bak` beside it.

        Raises LambdaHomeError, with one line that says what to do, if the file is no database of
        this project, is damaged, cannot be written or was written by a newer version.
        """
        if path.name == ":memory:":
            raise LambdaHomeError(
                "The database must be a file, not :memory:; for a throw-away one name a path in a"
                " temporary folder."
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise LambdaHomeError(f"Cannot make the folder {path.parent}: {reason}.") from error
        database = cls(path, _engine(path))
        try:
            database._prepare()
        except DatabaseError as error:
            database.close()
            raise LambdaHomeError(f"Cannot open the database {path}: {error.orig}.") from error
        except BaseException:
            database.close()
            raise
        return database

    def close(self) -> None:
        """Close every idle connection; the last one folds the write-ahead log into the file."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection whose reads all see the same moment; it must not write.

        Raises ServiceException if the file cannot be read.
        """
        try:
            with self._engine.connect() as connection:
                yield connection
        except DatabaseError as error:
            raise ServiceException(f"The registry could not be read: {error.orig}.") from error

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The one write transaction: committed, durably, at the end; rolled back on an exception.

        Raises ServiceException if the file cannot be written (disk full, for instance); nothing
        has changed then.
        """
        try:
            with self._writing, self._transaction() as connection:
                yield connection
        except IntegrityError:
            raise
        except DatabaseError as error:
            raise ServiceException(f"The registry could not be written: {error.orig}.") from error

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._engine.connect() as connection:
            connection.execution_options(lambda_home_writes=True)
            with connection.begin():
                yield connection

    def _prepare(self) -> None:
        """Bring the schema up to date; imports alembic only if there is something to do."""
        with self._engine.connect() as connection:
            version = _version(connection, self.path)
        if version == SCHEMA:
            self._refuse_read_only()
            return
        if version is not None and version > SCHEMA:
            raise LambdaHomeError(
                f"The database {self.path} has schema {version}, written by a newer lambda_home;"
                f" this one knows {SCHEMA}. Upgrade lambda_home or use another database."
            )
        if version is not None:
            snapshots.before_migration(self.path, version)
        with self._writing, self._transaction() as connection:
            found = _version(connection, self.path)
            if found is None:
                _make(connection)
            elif found != SCHEMA:
                _migrate(connection)

    def _refuse_read_only(self) -> None:
        # BEGIN IMMEDIATE succeeds on a read-only file, only a write tells; it is rolled back.
        with self._engine.connect() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = version_num")
            connection.rollback()


def _engine(path: Path) -> Engine:
    # Threads are bounded by the caller (asyncio.to_thread), so connections need no bound here.
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(url, pool_size=_POOLED, max_overflow=-1)

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        del entry
        connection.isolation_level = None  # sqlite3 must not begin transactions of its own
        cursor = connection.cursor()
        try:
            for pragma in _PRAGMAS:
                cursor.execute(pragma)
        finally:
            cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("lambda_home_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _version(connection: Connection, path: Path) -> str | None:
    """The schema's revision; None for an empty file."""
    tables = set(
        connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars()
    )
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise LambdaHomeError(f"{path} is not a database of lambda_home. Use another path.")
    version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if version is None else str(version)


def _make(connection: Connection) -> None:
    """A new file gets the newest schema as it is; a test holds that migrating ends in the same.

    That saves a new server alembic, which is 90 ms of its first start and 9 MB for good.
    """
    METADATA.create_all(connection)
    connection.exec_driver_sql(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL,"
        " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (SCHEMA,))


def _migrate(connection: Connection) -> None:
    # Costs about 100 ms, and is needed once per file and release.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(bundled("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

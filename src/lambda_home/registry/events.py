"""Asynchronous invokes that were accepted (202) and are not done: they survive a restart.

The caller decides what is written together (a commit costs an fsync, whatever it holds) and keeps
track of the events it has in hand; an event stays here until it is removed. Rows go in and out in
one statement, as many as there are: the sqlite3 module gives up the interpreter's lock at every
step of a statement, and with a busy event loop getting it back is what costs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, func, select

from lambda_home.arns import Scope
from lambda_home.registry.database import Database
from lambda_home.registry.tables import EVENTS

T = TypeVar("T")

_COLUMNS = (
    "request_id",
    "account",
    "region",
    "name",
    "qualifier",
    "payload",
    "client_context",
    "trace_id",
    "accepted_at",
    "attempt",
    "throttles",
    "not_before",
    "tenant_id",
    "deliveries",
    "parcels",
)
_MOST_ROWS = 500  # SQLite takes 32,766 parameters
_ADD = f"INSERT OR IGNORE INTO events ({', '.join(_COLUMNS)}) VALUES "  # noqa: S608  no input
_ROW = f"({', '.join('?' * len(_COLUMNS))})"
_CHANGE = (
    "UPDATE events SET attempt = ?, throttles = ?, not_before = ?, deliveries = ?, parcels = ?"
    " WHERE request_id = ?"
)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One accepted event; its id is the request id.

    Times are seconds since 1970. `attempt` counts from 1, `throttles` the times it was put off
    because there was no capacity; it is not to be run before `not_before`. With `parcels` (a text
    that only its writer understands) the last try has ended, and they are to be delivered, which
    has failed `deliveries` times.
    """

    request_id: str
    scope: Scope
    name: str
    qualifier: str | None
    payload: bytes
    accepted_at: float
    client_context: str = ""
    trace_id: str = ""
    attempt: int = 1
    throttles: int = 0
    not_before: float = 0.0
    tenant_id: str = ""
    deliveries: int = 0
    parcels: str = ""


class EventStore:
    """The durable queue; synchronous and usable from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(
        self,
        added: Sequence[StoredEvent] = (),
        changed: Collection[StoredEvent] = (),
        removed: Collection[str] = (),
    ) -> None:
        """Add, change and remove events in one transaction; durable on return.

        A known id is not added again; what changes is everything that a try or a delivery changes.
        Unknown ids are fine. Raises ServiceException, with nothing done, if the file cannot be
        written.
        """
        if not (added or changed or removed):
            return
        with self._database.write() as connection:
            for group in _groups(list(added)):
                values = tuple(value for event in group for value in _encode(event))
                connection.exec_driver_sql(_ADD + ", ".join([_ROW] * len(group)), values)
            if changed:
                connection.exec_driver_sql(_CHANGE, [_changes(event) for event in changed])
            for ids in _groups(list(removed)):
                marks = ", ".join("?" * len(ids))
                statement = f"DELETE FROM events WHERE request_id IN ({marks})"  # noqa: S608
                connection.exec_driver_sql(statement, tuple(ids))

    def waiting(self) -> list[tuple[float, str]]:
        """When each event is due, and its id; in the order of their time, then of arrival."""
        query = select(EVENTS.c.not_before, EVENTS.c.request_id).order_by(
            EVENTS.c.not_before, EVENTS.c.id
        )
        with self._database.read() as connection:
            return [(row.not_before, row.request_id) for row in connection.execute(query)]

    def load(self, request_ids: Sequence[str]) -> list[StoredEvent]:
        """The events with these ids that there are, in the order of their arrival."""
        with self._database.read() as connection:
            return [
                event for ids in _groups(list(request_ids)) for event in _select(connection, ids)
            ]

    def count(self) -> int:
        """How many events are stored."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(EVENTS)).scalar_one()

    def oldest_age(self, now: float) -> float:
        """Seconds since the oldest event was accepted; 0 if there are none."""
        with self._database.read() as connection:
            oldest = connection.execute(select(func.min(EVENTS.c.accepted_at))).scalar()
        return 0.0 if oldest is None else max(0.0, now - oldest)


def _groups(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), _MOST_ROWS):
        yield items[start : start + _MOST_ROWS]


def _select(connection: Connection, ids: Sequence[str]) -> Iterator[StoredEvent]:
    query = select(EVENTS).where(EVENTS.c.request_id.in_(ids)).order_by(EVENTS.c.id)
    return (_decode(row) for row in connection.execute(query).all())


def _encode(event: StoredEvent) -> tuple[object, ...]:
    """The values of `_COLUMNS`."""
    return (
        event.request_id,
        event.scope.account,
        event.scope.region,
        event.name,
        event.qualifier,
        event.payload,
        event.client_context,
        event.trace_id,
        event.accepted_at,
        event.attempt,
        event.throttles,
        event.not_before,
        event.tenant_id,
        event.deliveries,
        event.parcels,
    )


def _changes(event: StoredEvent) -> tuple[object, ...]:
    """The parameters of `_CHANGE`."""
    return (
        event.attempt,
        event.throttles,
        event.not_before,
        event.deliveries,
        event.parcels,
        event.request_id,
    )


def _decode(row: Row[Any]) -> StoredEvent:
    return StoredEvent(
        request_id=row.request_id,
        scope=Scope(row.account, row.region),
        name=row.name,
        qualifier=row.qualifier,
        payload=row.payload,
        accepted_at=row.accepted_at,
        client_context=row.client_context,
        trace_id=row.trace_id,
        attempt=row.attempt,
        throttles=row.throttles,
        not_before=row.not_before,
        tenant_id=row.tenant_id,
        deliveries=row.deliveries,
        parcels=row.parcels,
    )

"""Asynchronous invokes that were accepted (202) and are not done: they survive a restart.

The caller decides which events are written together (a commit costs an fsync, whatever it holds)
and keeps track of those it has in hand; an event stays here until it is removed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, select, update

from lambda_home.arns import Scope
from lambda_home.registry.database import Database
from lambda_home.registry.tables import EVENTS

_ADD = insert(EVENTS).prefix_with("OR IGNORE")
_REMOVE = delete(EVENTS).where(EVENTS.c.request_id == bindparam("gone"))


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One accepted event; its id is the request id.

    Times are seconds since 1970. `attempt` counts from 1, `throttles` the times it was put off
    because there was no capacity; it is not to be run before `not_before`.
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


class EventStore:
    """The durable queue; synchronous and usable from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_many(self, events: Sequence[StoredEvent]) -> None:
        """Store `events` in one transaction; durable on return. A known id is left as it is.

        Raises ServiceException, with none stored, if the file cannot be written.
        """
        if not events:
            return
        with self._database.write() as connection:
            connection.execute(_ADD, [_encode(event) for event in events])

    def due(self, now: float, limit: int, skip: Collection[str] = ()) -> list[StoredEvent]:
        """At most `limit` events to be run at `now`, the longest due first, without ids in `skip`.

        `skip` holds the ids that the caller has in hand.
        """
        query = (
            select(EVENTS)
            .where(EVENTS.c.not_before <= now)
            .order_by(EVENTS.c.not_before, EVENTS.c.id)
            .limit(limit + len(skip))
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [_decode(row) for row in rows if row.request_id not in skip][:limit]

    def next_due(self) -> float | None:
        """The earliest `not_before` of all events; None if there are none."""
        with self._database.read() as connection:
            return connection.execute(select(func.min(EVENTS.c.not_before))).scalar()

    def reschedule(
        self, request_id: str, attempt: int, not_before: float, throttles: int | None = None
    ) -> None:
        """Put an event off; `throttles` stays as it is where none is given."""
        values: dict[str, object] = {"attempt": attempt, "not_before": not_before}
        if throttles is not None:
            values["throttles"] = throttles
        changed = update(EVENTS).where(EVENTS.c.request_id == request_id).values(values)
        with self._database.write() as connection:
            connection.execute(changed)

    def remove_many(self, request_ids: Collection[str]) -> None:
        """Forget events, in one transaction; unknown ids are fine."""
        if not request_ids:
            return
        with self._database.write() as connection:
            connection.execute(_REMOVE, [{"gone": request_id} for request_id in request_ids])

    def count(self) -> int:
        """How many events are stored."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(EVENTS)).scalar_one()

    def oldest_age(self, now: float) -> float:
        """Seconds since the oldest event was accepted; 0 if there are none."""
        with self._database.read() as connection:
            oldest = connection.execute(select(func.min(EVENTS.c.accepted_at))).scalar()
        return 0.0 if oldest is None else max(0.0, now - oldest)


def _encode(event: StoredEvent) -> dict[str, object]:
    return {
        "request_id": event.request_id,
        "account": event.scope.account,
        "region": event.scope.region,
        "name": event.name,
        "qualifier": event.qualifier,
        "payload": event.payload,
        "client_context": event.client_context,
        "trace_id": event.trace_id,
        "accepted_at": event.accepted_at,
        "attempt": event.attempt,
        "throttles": event.throttles,
        "not_before": event.not_before,
    }


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
    )

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from unit.registry.world import ELSEWHERE, HERE, World

from lambda_home.errors import ServiceException
from lambda_home.registry.database import Database
from lambda_home.registry.events import EventStore, StoredEvent


def event(request_id: str, *, at: float = 10.0, not_before: float = 0.0) -> StoredEvent:
    return StoredEvent(request_id, HERE, "fn", None, b"{}", at, not_before=not_before)


def ids(events: list[StoredEvent]) -> list[str]:
    return [each.request_id for each in events]


def test_events_come_back_whole_after_a_restart(tmp_path: Path) -> None:
    full = StoredEvent(
        request_id="r1",
        scope=ELSEWHERE,
        name="fn",
        qualifier="live",
        payload=b"\x00\xff",
        accepted_at=12.5,
        client_context="{}",
        trace_id="Root=1",
        attempt=2,
        throttles=3,
        not_before=11.25,
    )
    first = Database.open(tmp_path / "db")
    EventStore(first).add_many([full, event("r2", not_before=99)])
    first.close()
    second = Database.open(tmp_path / "db")
    store = EventStore(second)
    assert store.due(20, 10) == [full]
    assert store.count() == 2
    second.close()


def test_due_events_come_in_the_order_of_their_time_then_of_arrival(world: World) -> None:
    store = EventStore(world.database)
    store.add_many([event("late", not_before=5), event("b"), event("a"), event("c")])
    assert ids(store.due(5, 10)) == ["b", "a", "c", "late"]
    assert ids(store.due(4.9, 2)) == ["b", "a"]
    assert ids(store.due(4.9, 2, skip={"b", "late"})) == ["a", "c"]


def test_an_event_put_off_is_due_later(world: World) -> None:
    store = EventStore(world.database)
    store.add_many([event("a")])
    store.reschedule("a", 2, 70.0)
    assert store.due(69, 10) == []
    assert store.next_due() == 70.0
    assert store.due(70, 10) == [replace(event("a"), attempt=2, not_before=70.0)]
    store.reschedule("a", 2, 71.0, throttles=4)
    store.reschedule("a", 2, 72.0)
    assert store.due(72, 10)[0].throttles == 4


def test_removed_events_are_gone_and_unknown_ids_are_fine(world: World) -> None:
    store = EventStore(world.database)
    store.add_many([event(str(number)) for number in range(5)])
    store.remove_many(["1", "3", "unknown"])
    store.remove_many([])
    assert ids(store.due(0, 10)) == ["0", "2", "4"]


def test_the_oldest_age_is_that_of_the_first_accepted(world: World) -> None:
    store = EventStore(world.database)
    assert (store.oldest_age(100), store.next_due()) == (0.0, None)
    store.add_many([event("a", at=50), event("b", at=40, not_before=500)])
    assert store.oldest_age(100) == 60
    assert store.oldest_age(30) == 0.0


def test_a_known_request_id_is_kept_and_does_not_spoil_its_group(world: World) -> None:
    store = EventStore(world.database)
    store.add_many([event("a")])
    store.add_many([replace(event("a"), payload=b"other"), event("b")])
    assert [each.payload for each in store.due(0, 10)] == [b"{}", b"{}"]


def test_a_full_disk_stores_none_of_a_group_and_recovers(world: World) -> None:
    store = EventStore(world.database)
    with world.database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    big = replace(event("big"), payload=bytes(100_000))
    with pytest.raises(ServiceException, match="could not be written"):
        store.add_many([event("small"), big])
    assert store.count() == 0
    with world.database.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    store.add_many([event("small"), big])
    assert store.count() == 2

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from unit.registry.world import ELSEWHERE, HERE, World

from lambda_home.errors import ServiceException
from lambda_home.registry.database import Database
from lambda_home.registry.events import EventStore, StoredEvent


def event(request_id: str, *, at: float = 10.0, not_before: float = 0.0) -> StoredEvent:
    return StoredEvent(request_id, HERE, "fn", None, b"{}", at, not_before=not_before)


def ids(store: EventStore) -> list[str]:
    return [request_id for _, request_id in store.waiting()]


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
        tenant_id="blue",
        deliveries=4,
        parcels="[é]",
    )
    first = Database.open(tmp_path / "db")
    EventStore(first).write([full, event("r2", not_before=99)])
    first.close()
    second = Database.open(tmp_path / "db")
    store = EventStore(second)
    assert store.waiting() == [(11.25, "r1"), (99, "r2")]
    assert store.load(["unknown", "r1"]) == [full]
    assert store.count() == 2
    second.close()


def test_events_wait_in_the_order_of_their_time_then_of_arrival(world: World) -> None:
    store = EventStore(world.database)
    store.write([event("late", not_before=5), event("b"), event("a"), event("c")])
    assert ids(store) == ["b", "a", "c", "late"]


def test_what_a_try_or_a_delivery_changes_is_kept_and_nothing_else(world: World) -> None:
    store = EventStore(world.database)
    store.write([event("a"), event("other")])
    changed = replace(
        event("a"), attempt=2, throttles=3, not_before=70.0, deliveries=1, parcels="[]"
    )
    store.write(changed=[replace(changed, payload=b"never"), event("unknown")])
    assert store.load(["a"]) == [changed]
    assert store.load(["other"]) == [event("other")]


def test_removed_events_are_gone_and_unknown_ids_are_fine(world: World) -> None:
    store = EventStore(world.database)
    store.write([event(str(number)) for number in range(5)])
    store.write(removed={"1", "3", "unknown"})
    store.write()
    assert ids(store) == ["0", "2", "4"]


def test_more_events_than_a_statement_takes_are_written_loaded_and_removed(world: World) -> None:
    store = EventStore(world.database)
    events = [event(f"{number:04}") for number in range(1203)]
    store.write(events)
    names = [each.request_id for each in events]
    assert store.load(names) == events
    store.write(removed=names[1:])
    assert ids(store) == ["0000"]


def test_one_write_adds_changes_and_removes_in_this_order(world: World) -> None:
    store = EventStore(world.database)
    both = [event("a"), event("b")]
    store.write(both, [replace(event("a"), attempt=2)], ["b"])
    assert store.load(["a", "b"]) == [replace(event("a"), attempt=2)]


def test_the_oldest_age_is_that_of_the_first_accepted(world: World) -> None:
    store = EventStore(world.database)
    assert store.oldest_age(100) == 0.0
    store.write([event("a", at=50), event("b", at=40, not_before=500)])
    assert store.oldest_age(100) == 60
    assert store.oldest_age(30) == 0.0


def test_a_known_request_id_is_kept_and_does_not_spoil_its_group(world: World) -> None:
    store = EventStore(world.database)
    store.write([event("a")])
    store.write([replace(event("a"), payload=b"other"), event("b")])
    assert [each.payload for each in store.load(["a", "b"])] == [b"{}", b"{}"]


def test_a_full_disk_stores_none_of_a_group_and_recovers(world: World) -> None:
    store = EventStore(world.database)
    with world.database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")
    big = replace(event("big"), payload=bytes(100_000))
    with pytest.raises(ServiceException, match="could not be written"):
        store.write([event("small"), big])
    assert store.count() == 0
    with world.database.read() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    store.write([event("small"), big])
    assert store.count() == 2


ACKNOWLEDGE_WHEN_ASKED = """
import sys
from pathlib import Path
from lambda_home.arns import Scope
from lambda_home.registry.database import Database
from lambda_home.registry.events import EventStore, StoredEvent

store = EventStore(Database.open(Path(sys.argv[1])))
log = Path(sys.argv[1] + "-wal")
number = 0
for _ in sys.stdin:
    group = [
        StoredEvent(str(number + n), Scope("0" * 12, "us-east-1"), "fn", None, b"x" * 900, 1.0)
        for n in range(5)
    ]
    store.write(group)
    number += 5
    print(number, log.stat().st_size, flush=True)
"""


def test_a_power_cut_loses_no_acknowledged_event(tmp_path: Path) -> None:
    """Bytes of the write-ahead log that came after the last acknowledged sync are lost or torn."""
    path = tmp_path / "l.db"
    Database.open(path).close()
    process = subprocess.Popen(
        [sys.executable, "-c", ACKNOWLEDGE_WHEN_ASKED, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    chance = random.Random(7)
    acknowledged = synced = 0
    with process.stdin as orders, process.stdout as output:
        for number in range(8):
            for _ in range(chance.randrange(1, 4)):
                orders.write("\n")
                acknowledged, synced = (int(word) for word in output.readline().split())
            orders.write("\n")  # the power goes while this one is being written
            cut = tmp_path / f"cut-{number}.db"
            shutil.copy(path, cut)
            shutil.copy(f"{path}-wal", f"{cut}-wal")
            lose_what_was_not_synced(Path(f"{cut}-wal"), synced, chance)
            check_after_the_cut(cut, acknowledged)
            acknowledged, synced = (int(word) for word in output.readline().split())
    assert process.wait() == 0


def lose_what_was_not_synced(log: Path, synced: int, chance: random.Random) -> None:
    tail = log.stat().st_size - synced
    assert tail >= 0
    with log.open("r+b") as file:
        file.truncate(synced + chance.randint(0, tail))
        file.seek(synced)
        file.write(chance.randbytes(chance.randrange(600)))


def check_after_the_cut(cut: Path, acknowledged: int) -> None:
    database = Database.open(cut)
    found = {int(name) for name in ids(EventStore(database))}
    assert found >= set(range(acknowledged))
    assert len(found) % 5 == 0, "part of a group"
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    database.close()

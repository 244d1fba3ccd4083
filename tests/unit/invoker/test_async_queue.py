"""Asynchronous invokes on a real store, with an invoker told how to end and a hand-turned clock."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes import HERE, HandTurnedClock, until

from lambda_home.arns import FunctionRef, Scope
from lambda_home.errors import (
    InvalidParameterValueException,
    RecursiveInvocationException,
    ResourceNotFoundException,
    ServiceException,
    ServiceUnavailableException,
    ThrottleReason,
    TooManyRequestsException,
)
from lambda_home.invocations import InvocationRequest, InvocationResult
from lambda_home.invoker.async_queue import AsyncQueue
from lambda_home.invoker.delivery import Deliverer, DeliveryError
from lambda_home.invoker.destinations import Parcel
from lambda_home.invoker.event_settings import EventSettings, InForce
from lambda_home.invoker.invoker import Invoker
from lambda_home.invoker.retries import DELIVERY_TRIES, Policy
from lambda_home.registry.database import Database
from lambda_home.registry.events import EventStore, StoredEvent

REF = FunctionRef(HERE, "hello", "live")
POLICY = Policy(base_s=60, max_age_s=21_600)
QUEUE = "arn:aws:sqs:us-east-1:123456789012:failed"
DEAD = "arn:aws:sqs:us-east-1:123456789012:dead"
START = 1_700_000_000.0

OK = None
FAILED = "Unhandled"
THROTTLED = TooManyRequestsException(ThrottleReason.CONCURRENT)
Ending = str | Exception | None


class ToldInvoker(Invoker):
    """Ends each try of an event as it is told; remembers who was tried when."""

    def __init__(self, clock: HandTurnedClock) -> None:
        self._clock = clock
        self.endings: dict[str, list[Ending]] = defaultdict(list)
        self.tries: list[tuple[str, float]] = []
        self.requests: list[tuple[FunctionRef, InvocationRequest]] = []
        self.running: Counter[str] = Counter()
        self.most_running = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def invoke(self, ref: FunctionRef, request: InvocationRequest) -> InvocationResult:
        name = request.request_id
        self.tries.append((name, self._clock.now() - START))
        self.requests.append((ref, request))
        self.running[name] += 1
        self.most_running = max(self.most_running, self.running.total())
        assert self.running[name] == 1, "run twice at once"
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.running[name] -= 1
        ending = self.endings[name].pop(0) if self.endings[name] else OK
        if isinstance(ending, Exception):
            raise ending
        return InvocationResult(name, b"{}", "1", ending)

    def times(self, name: str) -> list[float]:
        return [at for tried, at in self.tries if tried == name]


class WatchedStore(EventStore):
    """Counts the events added by each commit; `fail` makes the next so many commits fail."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.groups: list[int] = []
        self.loaded: list[str] = []
        self.fail = 0
        self.gate = threading.Event()
        self.gate.set()

    def write(
        self,
        added: Sequence[StoredEvent] = (),
        changed: Collection[StoredEvent] = (),
        removed: Collection[str] = (),
    ) -> None:
        assert self.gate.wait(10)
        if self.fail:
            self.fail -= 1
            raise ServiceException("The registry could not be written: disk full.")
        super().write(added, changed, removed)
        if added:
            self.groups.append(len(added))

    def load(self, request_ids: Sequence[str]) -> list[StoredEvent]:
        self.loaded += request_ids
        return super().load(request_ids)


class GivenSettings(EventSettings):
    """What is configured is what a test says."""

    def __init__(self) -> None:
        self.now = InForce(POLICY)

    async def of(self, ref: FunctionRef) -> InForce:
        assert ref == REF
        return self.now


class ToldDeliverer(Deliverer):
    """Fails as often as it is told; remembers what arrived when."""

    def __init__(self, clock: HandTurnedClock) -> None:
        self._clock = clock
        self.failures: Counter[str] = Counter()
        self.tries: list[tuple[str, float]] = []
        self.arrived: list[Parcel] = []
        self.broken: Exception = DeliveryError("no answer")

    async def deliver(self, parcel: Parcel, sender: Scope) -> None:
        assert sender == HERE
        self.tries.append((parcel.target, self._clock.now() - START))
        await asyncio.sleep(0)
        if self.failures[parcel.target]:
            self.failures[parcel.target] -= 1
            raise self.broken
        self.arrived.append(parcel)

    @property
    def conditions(self) -> list[str]:
        return [json.loads(parcel.body)["requestContext"]["condition"] for parcel in self.arrived]


@dataclass
class Stage:
    """A queue and what it is made of."""

    database: Database
    workers: int = 8
    clock: HandTurnedClock = field(default_factory=lambda: HandTurnedClock(START))

    def __post_init__(self) -> None:
        self.store = WatchedStore(self.database)
        self.invoker = ToldInvoker(self.clock)
        self.settings = GivenSettings()
        self.deliverer = ToldDeliverer(self.clock)
        self.queue = AsyncQueue(
            self.store, self.invoker, self.clock, self.settings, self.deliverer, self.workers
        )

    async def put(self, name: str, *endings: Ending) -> None:
        self.invoker.endings[name] = list(endings)
        await self.queue.put(REF, InvocationRequest(b'{"n":1}', request_id=name))

    async def turn(self, seconds: float) -> None:
        """Turn the clock and wait until the queue has looked and has nothing in hand."""
        self.clock.turn(seconds)
        await self.settle()

    async def settle(self) -> None:
        """Wait until what is due has been run and delivered."""
        queue = self.queue
        queue.wake()

        def settled() -> bool:
            due = queue._heap and queue._heap[0][0] <= self.clock.now()  # noqa: SLF001
            return not (due or queue._running)  # noqa: SLF001

        await until(settled, "the end of what is due")

    async def emptied(self) -> None:
        await until(lambda: self.store.count() == 0, "an empty store")


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("queue") / "migrated.db"
    Database.open(path).close()
    return path.read_bytes()


@pytest.fixture
def database(tmp_path: Path, migrated: bytes) -> Iterator[Database]:
    (tmp_path / "lhome.db").write_bytes(migrated)
    made = Database.open(tmp_path / "lhome.db")
    yield made
    made.close()


@asynccontextmanager
async def opened(database: Database, workers: int = 8) -> AsyncIterator[Stage]:
    stage = Stage(database, workers)
    await stage.queue.open()
    try:
        yield stage
    finally:
        await stage.queue.close()


def play(
    database: Database, scene: Callable[[Stage], Awaitable[None]], *, workers: int = 8
) -> None:
    async def main() -> None:
        async with opened(database, workers) as stage:
            await scene(stage)

    asyncio.run(main())


def test_an_event_is_durable_before_it_is_accepted(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.invoker.gate.clear()
        stage.store.gate.clear()
        accepted = asyncio.get_running_loop().create_task(stage.put("a"))
        await asyncio.sleep(0.01)
        assert not accepted.done()
        stage.store.gate.set()
        await accepted
        elsewhere = Database.open(database.path)
        assert EventStore(elsewhere).count() == 1
        elsewhere.close()
        stage.invoker.gate.set()

    play(database, scene)


def test_an_event_is_run_once_as_it_was_put_and_forgotten(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        request = InvocationRequest(
            b"[1]", client_context='{"c":1}', trace_id="Root=1", request_id="a"
        )
        await stage.queue.put(REF, request)
        await stage.emptied()
        await stage.turn(30_000)
        assert stage.invoker.requests == [(REF, request)]

    play(database, scene)


def test_events_that_come_during_a_commit_share_the_next(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.store.gate.clear()
        loop = asyncio.get_running_loop()
        first = loop.create_task(stage.put("first"))
        await asyncio.sleep(0.01)
        others = [loop.create_task(stage.put(f"{n}")) for n in range(50)]
        await asyncio.sleep(0)
        stage.store.gate.set()
        await asyncio.gather(first, *others)
        assert stage.store.groups == [1, 50]

    play(database, scene)


def test_an_event_that_cannot_be_stored_is_not_accepted_and_the_next_is(
    database: Database,
) -> None:
    async def scene(stage: Stage) -> None:
        stage.store.fail = 1
        with pytest.raises(ServiceException, match="disk full"):
            await stage.put("a")
        await stage.put("b")
        await stage.settle()
        assert [name for name, _ in stage.invoker.tries] == ["b"]

    play(database, scene)


def test_a_failing_function_is_tried_again_after_one_and_two_minutes_then_dropped(
    database: Database,
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", FAILED, FAILED, FAILED, FAILED)
        await stage.settle()
        for seconds in (59, 1, 119, 1, 10_000):
            await stage.turn(seconds)
        assert stage.invoker.times("a") == [0, 60, 180]
        await stage.emptied()

    play(database, scene)


@pytest.mark.parametrize("leap", [3600.0, -3600.0])
def test_a_leap_of_the_wall_clock_neither_hurries_nor_holds_up_a_retry(
    database: Database, leap: float
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", FAILED, OK)
        await stage.settle()
        stage.clock.leap(leap)
        stage.clock.turn(59)
        stage.queue.wake()  # starts at once what is due
        await asyncio.sleep(0)
        assert len(stage.invoker.times("a")) == 1
        stage.clock.turn(1)
        stage.queue.wake()
        await until(lambda: len(stage.invoker.times("a")) == 2)
        await stage.emptied()

    play(database, scene)


def test_a_retry_that_succeeds_is_the_last(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", FAILED, OK, FAILED)
        await stage.settle()
        for _ in range(3):
            await stage.turn(60)
        assert stage.invoker.times("a") == [0, 60]
        await stage.emptied()

    play(database, scene)


@pytest.mark.parametrize(
    "refusal", [THROTTLED, ServiceException("x"), ServiceUnavailableException("x")]
)
def test_what_the_platform_could_not_run_comes_back_and_has_all_its_tries(
    database: Database, refusal: Exception
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", refusal, refusal, FAILED, FAILED, FAILED)
        await stage.settle()
        for seconds in (1, 2, 60, 120, 10_000):
            await stage.turn(seconds)
        assert stage.invoker.times("a") == [0, 1, 3, 63, 183]

    play(database, scene)


def test_an_event_throttled_until_it_is_too_old_is_dropped(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", *[THROTTLED] * 100)
        await stage.settle()
        await stage.turn(21_599.5)
        assert stage.invoker.times("a") == [0, 21_599.5]
        await stage.emptied()

    play(database, scene)


def test_an_event_of_a_deleted_function_is_dropped(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", ResourceNotFoundException("gone"))
        await stage.emptied()
        await stage.turn(10_000)
        assert stage.invoker.times("a") == [0]

    play(database, scene)


def test_an_event_that_aws_refuses_counts_as_a_failed_try(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", InvalidParameterValueException("bad"))
        await stage.settle()
        await stage.turn(60)
        assert stage.invoker.times("a") == [0, 60]

    play(database, scene)


def test_no_more_run_at_a_time_than_there_are_workers(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.invoker.gate.clear()
        await asyncio.gather(*(stage.put(f"{n}") for n in range(10)))
        await until(lambda: stage.invoker.running.total() == 3)
        stage.invoker.gate.set()
        await stage.emptied()
        assert stage.invoker.most_running == 3
        assert sorted(name for name, _ in stage.invoker.tries) == sorted(map(str, range(10)))

    play(database, scene, workers=3)


def test_a_reopened_queue_runs_what_the_former_left(database: Database) -> None:
    async def main() -> None:
        async with opened(database) as stage:
            await stage.put("failed", FAILED)
            await stage.settle()
            stage.invoker.gate.clear()
            await stage.put("running")
            await until(lambda: stage.invoker.running["running"])
        assert stage.store.count() == 2
        async with opened(database) as stage:
            await until(lambda: stage.invoker.times("running"))
            await stage.turn(59)
            assert stage.invoker.times("failed") == []
            await stage.turn(1)
            assert stage.invoker.times("failed") == [60]
            await stage.emptied()

    asyncio.run(main())


def test_what_ended_just_before_the_queue_closed_is_not_run_again(database: Database) -> None:
    async def main() -> None:
        async with opened(database) as stage:
            await stage.put("a")
            await until(lambda: stage.invoker.times("a") and not stage.queue._running)  # noqa: SLF001
        assert stage.store.count() == 0

    asyncio.run(main())


def test_closing_answers_those_whose_events_are_being_stored(database: Database) -> None:
    async def main() -> None:
        async with opened(database) as stage:
            stage.store.gate.clear()
            accepted = asyncio.get_running_loop().create_task(stage.put("a"))
            await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(0.05, stage.store.gate.set)
        await asyncio.wait_for(accepted, 0.2)
        assert stage.store.count() == 1

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_or_run_twice_at_once_however_tries_end(
    database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    names = [f"e{number}" for number in range(40)]
    endings: dict[str, list[Ending]] = {
        name: chance.choices([OK, FAILED, THROTTLED], [2, 3, 2], k=12) for name in names
    }

    async def scene(stage: Stage) -> None:
        await asyncio.gather(*(stage.put(name, *endings[name]) for name in names))
        for _ in range(60):
            if stage.queue.backlog == 0:
                break
            await stage.turn(400)
        await stage.emptied()
        for name in names:
            failed = ended = tries = 0
            while not ended:  # what must have happened, from the endings alone
                ending = endings[name][tries]
                tries += 1
                failed += ending is FAILED
                ended = ending is OK or failed == 3 or tries == 12
            assert len(stage.invoker.times(name)) == tries

    play(database, scene)


# ------------------------------------------------------------------------------------ the settings


def test_the_configuration_in_force_when_a_try_ends_counts(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.invoker.gate.clear()
        await stage.put("a", FAILED, FAILED, FAILED)
        await until(lambda: stage.invoker.running["a"])
        stage.settings.now = InForce(Policy(10, 21_600, 1), on_failure=QUEUE)
        stage.invoker.gate.set()
        await stage.settle()
        await stage.turn(10)
        assert stage.invoker.times("a") == [0, 10]
        await stage.emptied()
        assert stage.deliverer.conditions == ["RetriesExhausted"]

    play(database, scene)


def test_no_retries_and_no_delay_can_be_configured(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(Policy(60, 21_600, 0), on_failure=QUEUE)
        await stage.put("a", FAILED, FAILED)
        await stage.emptied()
        stage.settings.now = InForce(Policy(0, 21_600))
        await stage.put("b", FAILED, FAILED, FAILED, FAILED)
        await stage.emptied()
        assert stage.invoker.times("a") == [0]
        assert stage.invoker.times("b") == [0, 0, 0]

    play(database, scene)


def test_an_event_too_old_for_another_try_ends_with_its_last_answer(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(Policy(60, 90), on_failure=QUEUE)
        await stage.put("a", FAILED, FAILED, FAILED)
        await stage.settle()
        await stage.turn(60)
        await stage.emptied()
        assert stage.invoker.times("a") == [0, 60]
        (parcel,) = stage.deliverer.arrived
        body = json.loads(parcel.body)
        assert body["requestContext"]["condition"] == "EventAgeExceeded"
        assert body["requestContext"]["approximateInvokeCount"] == 2
        assert body["responseContext"]["functionError"] == "Unhandled"

    play(database, scene)


def test_an_event_that_waited_too_long_is_not_run(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(Policy(60, 90), on_failure=QUEUE)
        stage.invoker.gate.clear()
        await stage.put("first")
        await stage.put("second")
        await until(lambda: stage.invoker.running["first"])
        stage.clock.turn(91)
        stage.invoker.gate.set()
        await stage.emptied()
        assert stage.invoker.times("second") == []
        (parcel,) = stage.deliverer.arrived
        context = json.loads(parcel.body)["requestContext"]
        assert (context["requestId"], context["approximateInvokeCount"]) == ("second", 0)
        assert context["condition"] == "EventAgeExceeded"

    play(database, scene, workers=1)


def test_throttled_until_too_old_says_so_without_having_run(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(Policy(60, 60), on_failure=QUEUE, dead_letter=DEAD)
        await stage.put("a", *[THROTTLED] * 100)
        await stage.settle()
        for _ in range(6):
            await stage.turn(32)
        await stage.emptied()
        record, dead = stage.deliverer.arrived
        body = json.loads(record.body)
        assert body["requestContext"]["condition"] == "EventAgeExceeded"
        assert body["requestContext"]["approximateInvokeCount"] == 0
        assert body["responseContext"] == {"statusCode": 429}
        assert dead.attributes["ErrorCode"] == ("Number", "429")

    play(database, scene)


def test_reserved_concurrency_of_0_goes_to_the_destination_at_once(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(POLICY, on_failure=QUEUE, stopped=True)
        await stage.put("a", THROTTLED, THROTTLED)
        await stage.emptied()
        assert stage.invoker.times("a") == [0]
        body = json.loads(stage.deliverer.arrived[0].body)
        assert body["requestContext"]["condition"] == "ZeroReservedConcurrency"
        assert body["requestContext"]["approximateInvokeCount"] == 0
        assert "responseContext" not in body

    play(database, scene)


def test_a_recursive_loop_is_not_tried_again(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(POLICY, on_failure=QUEUE)
        await stage.put("a", RecursiveInvocationException("loop"), OK)
        await stage.emptied()
        assert stage.invoker.times("a") == [0]
        assert stage.deliverer.conditions == ["RecursiveInvocation"]

    play(database, scene)


# ----------------------------------------------------------------------------------- destinations


def test_three_failures_a_minute_and_two_apart_then_destination_and_dead_letter(
    database: Database,
) -> None:
    """Row 25 of the contract: exactly three tries, then the exact envelopes."""

    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(POLICY, on_failure=QUEUE, dead_letter=DEAD)
        await stage.put("a", FAILED, FAILED, FAILED)
        await stage.settle()
        for seconds in (59, 1, 119, 1):
            assert stage.deliverer.arrived == []
            await stage.turn(seconds)
        await stage.emptied()
        assert stage.invoker.times("a") == [0, 60, 180]
        record, dead = stage.deliverer.arrived
        assert json.loads(record.body) == {
            "version": "1.0",
            "timestamp": "2023-11-14T22:16:20.000Z",
            "requestContext": {
                "requestId": "a",
                "functionArn": REF.qualified_arn,
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            },
            "requestPayload": {"n": 1},
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "1",
                "functionError": "Unhandled",
            },
            "responsePayload": {},
        }
        assert record.target == QUEUE
        assert (dead.target, dead.body) == (DEAD, '{"n":1}')
        assert dead.attributes == {
            "RequestID": ("String", "a"),
            "ErrorCode": ("Number", "200"),
            "ErrorMessage": ("String", "{}"),
        }

    play(database, scene)


def test_a_success_goes_to_its_destination_and_to_no_other(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(
            POLICY, on_success="arn:aws:sqs:r:a:good", on_failure=QUEUE, dead_letter=DEAD
        )
        await stage.put("a")
        await stage.emptied()
        assert [parcel.target for parcel in stage.deliverer.arrived] == ["arn:aws:sqs:r:a:good"]
        assert stage.deliverer.conditions == ["Success"]

    play(database, scene)


@pytest.mark.parametrize("broken", [DeliveryError("x"), RuntimeError("a defect")])
def test_a_delivery_that_fails_is_tried_again_without_running_the_function_again(
    database: Database, broken: Exception
) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(Policy(60, 21_600, 0), on_failure=QUEUE, dead_letter=DEAD)
        stage.deliverer.broken = broken
        stage.deliverer.failures[QUEUE] = 2
        await stage.put("a", FAILED)
        await stage.settle()
        assert stage.store.count() == 1
        for seconds in (1, 2, 1000):
            await stage.turn(seconds)
        await stage.emptied()
        assert stage.invoker.times("a") == [0]
        assert stage.deliverer.tries == [(QUEUE, 0), (DEAD, 0), (QUEUE, 1), (QUEUE, 3)]

    play(database, scene)


def test_a_delivery_that_always_fails_is_given_up(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(POLICY, on_success=QUEUE)
        stage.deliverer.failures[QUEUE] = 1000
        await stage.put("a")
        await stage.settle()
        for _ in range(DELIVERY_TRIES):
            await stage.turn(60)
        await stage.emptied()
        assert len(stage.deliverer.tries) == DELIVERY_TRIES

    play(database, scene)


def test_what_was_not_delivered_is_delivered_by_the_next_server(database: Database) -> None:
    async def main() -> None:
        async with opened(database) as stage:
            stage.settings.now = InForce(POLICY, on_success=QUEUE)
            stage.deliverer.failures[QUEUE] = 1
            await stage.put("a")
            await stage.settle()
        assert stage.store.count() == 1
        async with opened(database) as stage:
            stage.clock.turn(1)
            await stage.settle()
            await stage.emptied()
            assert stage.invoker.times("a") == []
            assert stage.deliverer.conditions == ["Success"]

    asyncio.run(main())


# ------------------------------------------------------------------------------------- the journal


def test_an_event_that_cannot_be_removed_is_not_run_again(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.invoker.gate.clear()
        await stage.put("a")
        await until(lambda: stage.invoker.running["a"])
        stage.store.fail = 1
        stage.invoker.gate.set()
        await until(lambda: not stage.store.fail)
        await stage.turn(100)
        await stage.emptied()
        assert stage.invoker.times("a") == [0]

    play(database, scene)


def test_a_backlog_too_big_for_memory_is_read_back_in_order(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lambda_home.invoker.async_queue._MOST_BYTES_HELD", 5000)

    async def scene(stage: Stage) -> None:
        stage.invoker.gate.clear()
        names = [f"{number:03}" for number in range(200)]
        for name in names:
            await stage.put(name)
        stage.invoker.gate.set()
        await stage.emptied()
        assert [name for name, _ in stage.invoker.tries] == names
        assert len(stage.store.loaded) > 150

    play(database, scene, workers=1)


def test_events_emptied_out_of_the_store_behind_its_back_are_forgotten(database: Database) -> None:
    async def main() -> None:
        async with opened(database) as stage:
            await stage.put("gone", FAILED)
            await stage.settle()
        async with opened(database) as stage:
            stage.store.write(removed=["gone"])
            stage.clock.turn(60)
            await stage.put("other")
            await stage.settle()
            await stage.emptied()
            assert [name for name, _ in stage.invoker.tries] == ["other"]
            assert stage.queue.backlog == 0

    asyncio.run(main())


def test_a_burst_starts_few_at_a_time_and_slow_functions_make_room(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.invoker.gate.clear()
        stage.store.gate.clear()
        loop = asyncio.get_running_loop()
        puts = [loop.create_task(stage.put(f"{number}")) for number in range(60)]
        await asyncio.sleep(0)
        stage.store.gate.set()
        await asyncio.gather(*puts)
        await until(lambda: stage.invoker.running)
        assert stage.invoker.running.total() < 10
        await until(lambda: stage.invoker.running.total() == 20, "all workers at work")
        stage.invoker.gate.set()
        await stage.emptied()
        assert stage.invoker.most_running == 20

    play(database, scene, workers=20)

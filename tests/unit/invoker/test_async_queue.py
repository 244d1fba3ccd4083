"""Asynchronous invokes on a real store, with an invoker told how to end and a hand-turned clock."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes import HERE, HandTurnedClock, until

from lambda_home.arns import FunctionRef
from lambda_home.errors import (
    InvalidParameterValueException,
    ResourceNotFoundException,
    ServiceException,
    ServiceUnavailableException,
    ThrottleReason,
    TooManyRequestsException,
)
from lambda_home.invocations import InvocationRequest, InvocationResult
from lambda_home.invoker.async_queue import AsyncQueue
from lambda_home.invoker.invoker import Invoker
from lambda_home.invoker.retries import Policy
from lambda_home.registry.database import Database
from lambda_home.registry.events import EventStore, StoredEvent

REF = FunctionRef(HERE, "hello", "live")
POLICY = Policy(base_s=60, max_age_s=21_600)
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
    """Counts commits and looks; `fail_adds` makes the next so many adds fail."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.groups: list[int] = []
        self.looks = 0
        self.fail_adds = 0
        self.gate = threading.Event()
        self.gate.set()

    def add_many(self, events: Sequence[StoredEvent]) -> None:
        assert self.gate.wait(10)
        if self.fail_adds:
            self.fail_adds -= 1
            raise ServiceException("The registry could not be written: disk full.")
        super().add_many(events)
        self.groups.append(len(events))

    def due(self, now: float, limit: int, skip: Collection[str] = ()) -> list[StoredEvent]:
        found = super().due(now, limit, skip)
        self.looks += 1
        return found


@dataclass
class Stage:
    """A queue and what it is made of."""

    database: Database
    workers: int = 8
    clock: HandTurnedClock = field(default_factory=lambda: HandTurnedClock(START))

    def __post_init__(self) -> None:
        self.store = WatchedStore(self.database)
        self.invoker = ToldInvoker(self.clock)
        self.queue = AsyncQueue(self.store, self.invoker, self.clock, POLICY, self.workers)

    async def put(self, name: str, *endings: Ending) -> None:
        self.invoker.endings[name] = list(endings)
        await self.queue.put(REF, InvocationRequest(b'{"n":1}', request_id=name))

    async def turn(self, seconds: float) -> None:
        """Turn the clock and wait until the queue has looked and has nothing in hand."""
        self.clock.turn(seconds)
        await self.settle()

    async def _look_after(self, looks: int) -> None:
        await until(lambda: self.store.looks > looks, "a look at the store")

    async def settle(self) -> None:
        for _ in range(2):
            looks = self.store.looks
            self.queue.wake()
            await self._look_after(looks)
            await until(lambda: not self.queue._running, "the end of what runs")  # noqa: SLF001


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
        await until(lambda: stage.store.count() == 0)
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
        stage.store.fail_adds = 1
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
        await until(lambda: stage.store.count() == 0)

    play(database, scene)


def test_a_retry_that_succeeds_is_the_last(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", FAILED, OK, FAILED)
        await stage.settle()
        for _ in range(3):
            await stage.turn(60)
        assert stage.invoker.times("a") == [0, 60]
        await until(lambda: stage.store.count() == 0)

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
        await until(lambda: stage.store.count() == 0)

    play(database, scene)


def test_an_event_of_a_deleted_function_is_dropped(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", ResourceNotFoundException("gone"))
        await until(lambda: stage.store.count() == 0)
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
        await until(lambda: stage.store.count() == 0)
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
            await until(lambda: stage.store.count() == 0)

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
            if stage.store.count() == 0:
                break
            await stage.turn(400)
        assert stage.store.count() == 0
        for name in names:
            failed = ended = tries = 0
            while not ended:  # what must have happened, from the endings alone
                ending = endings[name][tries]
                tries += 1
                failed += ending is FAILED
                ended = ending is OK or failed == 3 or tries == 12
            assert len(stage.invoker.times(name)) == tries

    play(database, scene)

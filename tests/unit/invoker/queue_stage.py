"""A queue on a stage: an invoker told how to end, a real store, time turned by hand."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fakes import HERE, HandTurnedClock, until

from lambda_home.arns import FunctionRef, Scope
from lambda_home.errors import (
    ServiceException,
    ThrottleReason,
    TooManyRequestsException,
)
from lambda_home.invocations import InvocationRequest, InvocationResult
from lambda_home.invoker.async_queue import AsyncQueue
from lambda_home.invoker.delivery import Deliverer, DeliveryError
from lambda_home.invoker.destinations import Parcel
from lambda_home.invoker.event_settings import EventSettings, InForce
from lambda_home.invoker.invoker import Invoker
from lambda_home.invoker.retries import Policy
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

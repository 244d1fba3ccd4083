"""A scheduler on a stage: callers, a sandbox that plays along, and time turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fakes import (
    VERSION,
    FakeRuntime,
    HandTurnedClock,
    QuietSandbox,
    ReadyPreparer,
    RememberingLogs,
    invocation,
    until,
)

from lambda_home.functions import FunctionVersion
from lambda_home.metrics import Metrics
from lambda_home.scheduler.environments import Delivery, Outcome
from lambda_home.scheduler.machinery import Machinery
from lambda_home.scheduler.pool import EnvironmentState, PoolLimits
from lambda_home.scheduler.scheduler import Scheduler
from lambda_home.scheduler.spares import SpareLimits


@dataclass
class Stage:
    """A scheduler and what it is made of; `run` starts a caller."""

    sandbox: QuietSandbox = field(default_factory=QuietSandbox)
    preparer: ReadyPreparer = field(default_factory=ReadyPreparer)
    limits: PoolLimits = field(default_factory=PoolLimits)
    starts: int = 8
    spares: SpareLimits = field(default_factory=SpareLimits)
    clock: HandTurnedClock = field(default_factory=HandTurnedClock)
    logs: RememberingLogs = field(default_factory=RememberingLogs)
    secrets: Mapping[str, str] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)
    callers: list[asyncio.Task[Outcome]] = field(default_factory=list)

    def __post_init__(self) -> None:
        made_of = Machinery(
            self.sandbox,
            self.preparer,
            self.logs,
            self.clock,
            self.limits,
            self.starts,
            self.spares,
            secrets=lambda _, names: {n: v for n, v in self.secrets.items() if n in names},
            metrics=self.metrics,
        )
        self.scheduler = Scheduler(made_of)

    def run(
        self, request_id: str, function: FunctionVersion = VERSION, *, tail: bool = False
    ) -> asyncio.Task[Outcome]:
        work = self.scheduler.run(invocation(request_id, function, tail=tail))
        self.callers.append(asyncio.get_running_loop().create_task(work))
        return self.callers[-1]

    async def runtimes(self, count: int = 1) -> list[FakeRuntime]:
        """The runtimes of all environments, of which there must come to be `count`."""
        await until(lambda: len(self.sandbox.running) == count, f"{count} environments")
        return [FakeRuntime(self.scheduler, spec) for spec in self.sandbox.running.values()]

    async def poll(self, runtime: FakeRuntime) -> asyncio.Task[Delivery | None]:
        """Park a runtime's poll."""
        task = asyncio.get_running_loop().create_task(runtime.next())
        await asyncio.sleep(0)
        return task

    async def warm(self) -> tuple[FakeRuntime, asyncio.Task[Delivery | None]]:
        """An idle environment that has served one invocation, and its parked poll."""
        caller = self.run("warm-up")
        (runtime,) = await self.runtimes()
        assert await runtime.next() is not None
        assert runtime.respond("warm-up")
        await caller
        return runtime, await self.poll(runtime)

    def states(self) -> dict[EnvironmentState, int]:
        return dict(self.scheduler.pool.states(VERSION.run_key))


@asynccontextmanager
async def opened(stage: Stage) -> AsyncIterator[Stage]:
    await stage.scheduler.open()
    try:
        yield stage
    finally:
        try:
            await stage.scheduler.close(0)
        finally:
            for caller in stage.callers:
                caller.cancel()
            await asyncio.gather(*stage.callers, return_exceptions=True)
        assert stage.scheduler.in_flight == 0


def play(scene: Callable[[Stage], Awaitable[None]], **made_of: object) -> None:
    """Run a scene on a stage made within the event loop; a sandbox is given by its class."""

    async def main() -> None:
        ready = {name: part() if callable(part) else part for name, part in made_of.items()}
        async with opened(Stage(**ready)) as stage:  # type: ignore[arg-type]
            await scene(stage)

    asyncio.run(main())

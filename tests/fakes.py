"""Stand-ins for what the server is made of, named by how they behave.

Clocks are turned by hand; sandboxes start nothing but say that they did.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lambda_home.arns import Scope
from lambda_home.functions import READY, Code, FunctionVersion
from lambda_home.invocations import Invocation
from lambda_home.logs import LogStore, LogText
from lambda_home.sandboxes.base import (
    Exit,
    Package,
    Prepared,
    SandboxError,
    SandboxObserver,
    SandboxSpec,
)
from lambda_home.scheduler.environments import Delivery, Environment, RuntimeAnswer
from lambda_home.scheduler.events import FleetPlan
from lambda_home.scheduler.scheduler import Scheduler

HERE = Scope("123456789012", "us-east-1")
VERSION = FunctionVersion(
    scope=HERE,
    name="hello",
    version="$LATEST",
    runtime="python3.12",
    handler="index.handler",
    role="arn:aws:iam::123456789012:role/r",
    code=Code("key", "sha", 1),
    revision_id="revision",
    last_modified="2026-11-21T00:00:00.000+0000",
    status=READY,
    run_key="run-key",
)


def invocation(
    request_id: str, function: FunctionVersion = VERSION, *, tail: bool = False
) -> Invocation:
    return Invocation(request_id, function, b'{"n":1}', function.arn, tail=tail)


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait for a condition; give up after a time that no busy machine needs."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 60
    while not condition():
        if loop.time() > deadline:
            raise AssertionError(f"did not come about in time: {what or condition}")
        await asyncio.sleep(0.001)


class HandTurnedClock:
    """Time goes on only by `turn`."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._leapt = 0.0

    def now(self) -> float:
        return self._now + self._leapt

    def leap(self, seconds: float) -> None:
        """Somebody sets the wall clock; the other one only goes on."""
        self._leapt += seconds

    def monotonic(self) -> float:
        return self._now

    def outside(self) -> float:
        return self.now()

    def turn(self, seconds: float) -> None:
        self._now += seconds


class RememberingLogs(LogStore):
    """Keeps lines in memory; its writer ends at once."""

    def __init__(self) -> None:
        super().__init__(Path(tempfile.gettempdir()) / "never-made.db")
        self.close()
        self.kept: list[LogText] = []

    def append(self, text: LogText) -> None:
        self.kept.append(text)

    @property
    def lines(self) -> list[str]:
        return [line for text in self.kept for line in text.text.decode().split("\n")]


class ReadyPreparer:
    """Everything is prepared already."""

    warning: str | None = None

    async def prepare(self, package: Package) -> Prepared:
        return Prepared(f"{package.runtime}:{package.code_key}", ",".join(package.layer_keys))

    async def runs(self, architecture: str) -> bool:
        return bool(architecture)

    async def resolve_image(self, uri: str) -> None:
        del uri

    async def bare(self, runtime: str) -> str | None:
        return runtime

    async def unpack(self, package: Package) -> Prepared | None:
        return await self.prepare(package)

    async def prepare_ahead(self, package: Package) -> None:
        await self.prepare(package)

    def warning_for(self, package: Package) -> str | None:
        del package
        return self.warning

    async def discard_except(self, code_keys: frozenset[str]) -> None:
        del code_keys


class FailingPreparer(ReadyPreparer):
    """The runtime cannot run here."""

    async def prepare(self, package: Package) -> Prepared:
        raise SandboxError(f"install {package.runtime} for {package.code_key}")


class QuietSandbox:
    """Starts environments whose runtimes never say anything by themselves."""

    name = "quiet"

    def __init__(self) -> None:
        self.running: dict[str, SandboxSpec] = {}
        self.verbs: list[str] = []
        self.observer: SandboxObserver | None = None

    async def open(self, observer: SandboxObserver) -> None:
        self.observer = observer

    async def start(self, spec: SandboxSpec) -> None:
        self.verbs.append("start")
        self.running[spec.id] = spec

    async def place(
        self, environment_id: str, package: Prepared, environment: Mapping[str, str]
    ) -> Mapping[str, str]:
        self.verbs.append(f"place {package.code}")
        if environment_id not in self.running:
            raise SandboxError("not running")
        return environment

    async def stop(self, environment_id: str, grace_s: float = 0) -> None:
        del grace_s
        await asyncio.sleep(0)
        if environment_id in self.running:
            self.verbs.append("stop")
            self.die(Exit(environment_id, signal=9))

    def die(self, how: Exit) -> None:
        """An environment ends, by itself or not."""
        del self.running[how.id]
        if self.observer is None:
            raise AssertionError("never opened")
        self.observer.exited(how)

    async def freeze(self, environment_id: str, *, frozen: bool) -> None:
        del environment_id
        self.verbs.append("freeze" if frozen else "thaw")

    async def reach(self, environment_id: str, port: int) -> tuple[str, int] | None:
        return ("127.0.0.1", port) if environment_id in self.running else None

    def collect(self, environment_id: str) -> None:
        del environment_id

    def peak_memory_mb(self, environment_id: str) -> int:
        del environment_id
        return 42

    async def close(self) -> None:
        for environment_id in list(self.running):
            await self.stop(environment_id)


class BrokenSandbox(QuietSandbox):
    """Cannot start the first `failures` environments, for the reason given."""

    def __init__(self, failures: int = 1_000, error: Exception | None = None) -> None:
        super().__init__()
        self._failures = failures
        self._error = error or SandboxError("no space left")

    async def start(self, spec: SandboxSpec) -> None:
        await asyncio.sleep(0)
        if self._failures > 0:
            self._failures -= 1
            self.verbs.append("fail")
            raise self._error
        await super().start(spec)


class SlowSandbox(QuietSandbox):
    """Starts end only when the gate is opened; knows how many went on side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.starting = 0
        self.most_starting = 0

    async def start(self, spec: SandboxSpec) -> None:
        self.starting += 1
        self.most_starting = max(self.most_starting, self.starting)
        await self.gate.wait()
        self.starting -= 1
        await super().start(spec)


class SlowlyFreezingSandbox(QuietSandbox):
    """Freezing takes until the gate is opened; thawing is immediate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def freeze(self, environment_id: str, *, frozen: bool) -> None:
        if frozen:
            await self.gate.wait()
        await super().freeze(environment_id, frozen=frozen)


class EchoingSandbox(QuietSandbox):
    """Its runtimes answer each event with the request id, `pause_s` later."""

    def __init__(self, pause_s: float = 0) -> None:
        super().__init__()
        self._pause_s = pause_s
        self._runtimes: set[asyncio.Task[None]] = set()

    async def start(self, spec: SandboxSpec) -> None:
        await super().start(spec)
        self._runtimes.add(asyncio.get_running_loop().create_task(self._run(spec)))

    async def _run(self, spec: SandboxSpec) -> None:
        if not isinstance(self.observer, Scheduler):
            raise TypeError("only a scheduler has a runtime's side")
        runtime = FakeRuntime(self.observer, spec)
        while (delivery := await runtime.next()) is not None:
            await asyncio.sleep(self._pause_s)
            request_id = delivery.invocation.request_id
            runtime.respond(request_id, request_id.encode())

    async def close(self) -> None:
        await super().close()
        for runtime in self._runtimes:
            runtime.cancel()
        for runtime in self._runtimes:
            with suppress(asyncio.CancelledError):
                await runtime


class WaitingPoll:
    """A parked poll that somebody awaits."""

    restores = False

    def __init__(self, runtime: FakeRuntime) -> None:
        self._runtime = runtime
        self.future: asyncio.Future[Delivery | None] = asyncio.get_running_loop().create_future()

    @property
    def gone(self) -> bool:
        return self._runtime.gone

    @property
    def answered(self) -> bool:
        return self.future.done()

    def deliver(self, delivery: Delivery | None) -> None:
        self.future.set_result(delivery)


@dataclass
class FakeStanding:
    available: int = 0
    allocated: int = 0
    failure: str | None = None


@dataclass
class FakeFleets:
    """Remembers plans; environments stand as the test says."""

    plans: dict[str, FleetPlan] = field(default_factory=dict)
    stands: dict[str, FakeStanding] = field(default_factory=dict)
    prewarmed: list[tuple[str, int]] = field(default_factory=list)

    def plan(self, version: FunctionVersion, plan: FleetPlan) -> None:
        self.plans[version.run_key] = plan

    def standing(self, version: FunctionVersion) -> FakeStanding:
        return self.stands.get(version.version, FakeStanding())

    def prewarm(self, version: FunctionVersion, count: int) -> None:
        self.prewarmed.append((version.version, count))


@dataclass
class FakeRuntime:
    """The runtime's side of one environment, without HTTP."""

    scheduler: Scheduler
    spec: SandboxSpec
    gone: bool = False
    environment: Environment = field(init=False)

    def __post_init__(self) -> None:
        found = self.scheduler.environment_at(self.spec.host)
        if found is None:
            raise AssertionError("the environment has no host name")
        self.environment = found

    @classmethod
    def at(cls, scheduler: Scheduler, host: str) -> FakeRuntime:
        """The runtime of an environment of which only the host name is known."""
        return cls(scheduler, SandboxSpec("", host, "", "", {}, 128, 512, {}))

    async def next(self, init_ms: float | None = None) -> Delivery | None:
        poll = WaitingPoll(self)
        self.scheduler.park(self.environment, poll, init_ms)
        return await poll.future

    def respond(self, request_id: str, payload: bytes = b"{}", fence: bool | None = False) -> bool:  # noqa: FBT001
        return self.scheduler.answer(
            self.environment, request_id, RuntimeAnswer(payload, fence=fence)
        )

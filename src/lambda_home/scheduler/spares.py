"""Spares: environments that are started and preloaded, and wait for a function.

A spare is used by one function version only and never given to another. How many wait is decided
by `stock`, purely; `SpareKeeper` starts them, one after the other while nothing else starts, and
hands them out. A size of which no spare can be started rests for a minute.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import structlog

from lambda_home.clock import Clock
from lambda_home.functions import FunctionVersion
from lambda_home.sandboxes.base import CodePreparer, Exit, Sandbox, SandboxError, SandboxSpec
from lambda_home.scheduler.variables import spare_variables

READY_WITHIN_S = 20.0
_REST_S = 60.0
_REFILL_AFTER_S = 0.02
_BUSY_LOOK_S = 0.05
HOST_SUFFIX = "lambda-home.internal"

_log = structlog.get_logger(__name__)

Give = Callable[[dict[str, str] | None], None]
Spawn = Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]]


def new_host() -> str:
    """An unguessable host name: the credential of one environment."""
    return f"{secrets.token_hex(16)}.{HOST_SUFFIX}"


class SpareSize(NamedTuple):
    """What must be right about a spare before it is known whose it will be."""

    runtime: str
    memory_mb: int
    tmp_mb: int

    @classmethod
    def of(cls, version: FunctionVersion) -> SpareSize:
        """The size that a function version needs."""
        return cls(version.runtime, version.memory_mb, version.tmp_mb)


@dataclass(frozen=True, slots=True)
class SpareLimits:
    """`per_size` spares wait for each size in use (0: none at all), `most` of all sizes."""

    per_size: int = 0
    most: int = 0


def stock(
    limits: SpareLimits, functions: Mapping[SpareSize, int], cold: Mapping[SpareSize, int]
) -> dict[SpareSize, int]:
    """How many spares of each size should wait.

    `functions` counts the functions of a size, `cold` those without an environment: each of them
    may be called next. Every size gets its `per_size` first, sizes with many functions before
    others; what is left of `most` goes to sizes with more cold functions than spares.
    """
    wanted: dict[SpareSize, int] = {}
    left = limits.most if limits.per_size > 0 else 0
    sizes = sorted((size for size in functions if functions[size] > 0), key=lambda s: -functions[s])
    for size in sizes:
        wanted[size] = min(limits.per_size, left)
        left -= wanted[size]
    for size in sizes:
        more = min(max(0, cold.get(size, 0) - wanted[size]), left)
        wanted[size] += more
        left -= more
    return {size: count for size, count in wanted.items() if count > 0}


@dataclass(slots=True, eq=False)
class Spare:
    """One spare; `ready` is resolved when its runtime waits, or fails when it never will."""

    id: str
    host: str
    size: SpareSize
    ready: asyncio.Future[None]
    started: bool = False
    give: Give | None = None
    gone: Callable[[], bool] = field(default=lambda: False)
    ended: Exit | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it can be given a function at once."""
        waits = self.started and self.give is not None
        return waits and self.ended is None and not self.gone()

    def look(self) -> None:
        """Tell whoever waits for it, once it is ready."""
        if self.is_ready and not self.ready.done():
            self.ready.set_result(None)


@dataclass(frozen=True, slots=True)
class SpareParts:
    """What spares are made with. `busy` says whether something more urgent is starting."""

    sandbox: Sandbox
    preparer: CodePreparer
    clock: Clock
    limits: SpareLimits
    spawn: Spawn
    busy: Callable[[], bool]


class SpareKeeper:
    """Keeps spares in stock between `use` and `close`."""

    def __init__(self, parts: SpareParts) -> None:
        self._with = parts
        self._waiting: dict[str, Spare] = {}
        self._by_host: dict[str, Spare] = {}
        self._functions: Mapping[SpareSize, int] = {}
        self._held: Mapping[SpareSize, int] = {}
        self._warm: Callable[[], Mapping[SpareSize, int]] = dict
        self._resting: dict[SpareSize, float] = {}
        self._impossible: set[str] = set()
        self._refilling = False
        self._closing = False

    @property
    def on(self) -> bool:
        """Whether there are spares at all."""
        return self._with.limits.per_size > 0 and not self._closing

    def counts(self) -> tuple[int, int]:
        """How many are ready, and how many starting."""
        ready = sum(spare.is_ready for spare in self._waiting.values())
        return ready, len(self._waiting) - ready

    def missing(self) -> int:
        """How many more should wait."""
        return sum((self._wanted() - self._have()).values())

    def use(
        self, functions: Mapping[SpareSize, int], warm: Callable[[], Mapping[SpareSize, int]]
    ) -> None:
        """The sizes of all functions; `warm` counts those of a size that have an environment."""
        self._functions, self._warm = {**self._held, **functions}, warm
        self.refill()

    def hold(self) -> None:
        """Keep spares of the sizes now in use, though all functions go: others will come."""
        self._held = dict.fromkeys(self._functions, 1)

    def take(self, size: SpareSize, *, starting: bool = False) -> Spare | None:
        """A spare that is ready (with `starting` one that will be); it is the caller's now."""
        found = [spare for spare in self._waiting.values() if spare.size == size]
        best = next((s for s in found if s.is_ready), None)
        if best is None and starting:
            best = next((s for s in found if not s.ready.done() and s.ended is None), None)
        if best is not None:
            del self._waiting[best.id]
            self.refill()
        return best

    async def start(self, size: SpareSize, *, kept: bool = False) -> Spare:
        """Start a spare; one that is not `kept` is the caller's. Raises SandboxError."""
        code = await self._with.preparer.bare(size.runtime)
        if code is None:
            self._impossible.add(size.runtime)
            raise SandboxError(f"No spare of {size.runtime} can be made here.")
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ready.add_done_callback(_look)
        spare = Spare(secrets.token_hex(16), new_host(), size, ready)
        self._by_host[spare.host] = spare
        if kept:
            self._waiting[spare.id] = spare
        spec = SandboxSpec(
            id=spare.id,
            host=spare.host,
            runtime=size.runtime,
            code=code,
            environment=spare_variables(size.runtime, size.memory_mb),
            memory_mb=size.memory_mb,
            tmp_mb=size.tmp_mb,
            labels={"function": "spare"},
            spare=True,
        )
        try:
            await self._with.sandbox.start(spec)
        except BaseException:
            self._forget(spare)
            raise
        spare.started = True
        spare.look()
        return spare

    async def until_ready(self, spare: Spare) -> None:
        """Wait for a spare that is starting. Raises SandboxError if it will never be ready."""
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                await asyncio.shield(spare.ready)
        except TimeoutError:
            await self.discard(spare)
            raise SandboxError("A spare did not get ready in time.") from None

    async def discard(self, spare: Spare) -> None:
        """Stop a spare that nobody can use."""
        self._forget(spare)
        await self._with.sandbox.stop(spare.id)

    def possible(self, runtime: str) -> bool:
        """Whether spares of a runtime can be had here, as far as is known."""
        return self.on and runtime not in self._impossible

    # ------------------------------------------------------------------------- the spares' side

    def at(self, host: str) -> Spare | None:
        """The spare that was given this host name."""
        return self._by_host.get(host)

    def named(self, environment_id: str) -> Spare | None:
        """The spare with this id."""
        return next((s for s in self._by_host.values() if s.id == environment_id), None)

    def wait_for_function(
        self, spare: Spare, sees: str, give: Give, gone: Callable[[], bool]
    ) -> None:
        """A spare's runtime is ready. What it `sees` in its task root proves that code can come."""
        if spare.id not in sees.split(","):
            _log.warning(
                "spares do not see their folder: functions run from images of their own instead",
                runtime=spare.size.runtime,
            )
            self._impossible.add(spare.size.runtime)
            self._fail(spare, "a spare does not see its folder")
            give(None)
            return
        spare.give, spare.gone = give, gone
        spare.look()

    def exited(self, how: Exit) -> None:
        """An environment is gone; if it was a spare, its place is free."""
        spare = self.named(how.id)
        if spare is None:
            return
        spare.ended = how
        if spare.give is None:
            self._fail(spare, "a spare ended while it started")
        self._forget(spare)
        self.refill()

    def claimed(self, spare: Spare) -> None:
        """A spare has become somebody's environment."""
        self._by_host.pop(spare.host, None)

    # ----------------------------------------------------------------------------------- refilling

    def refill(self) -> None:
        """Start what is missing, in the background."""
        if not self._refilling and self.on:
            self._refilling = True
            self._with.spawn(self._refill)

    def close(self) -> None:
        """Start no more, and let those go that wait."""
        self._closing = True
        for spare in list(self._waiting.values()):
            if spare.give is not None:
                spare.give(None)

    async def _refill(self) -> None:
        try:
            await asyncio.sleep(_REFILL_AFTER_S)
            while True:
                size = self._next_missing()
                if size is None:
                    await self._stop_surplus()
                    if self._next_missing() is None:  # a need for it may have come meanwhile
                        return
                elif self._with.busy():
                    await asyncio.sleep(_BUSY_LOOK_S)
                else:
                    await self._start_kept(size)
        finally:
            self._refilling = False

    async def _start_kept(self, size: SpareSize) -> None:
        try:
            await self.until_ready(await self.start(size, kept=True))
        except SandboxError as error:
            self._resting[size] = self._with.clock.monotonic() + _REST_S
            if self.possible(size.runtime):
                _log.warning("a spare could not be started", size=size, reason=str(error))

    async def _stop_surplus(self) -> None:
        surplus = self._have() - self._wanted()
        for spare in list(self._waiting.values()):
            if surplus[spare.size] > 0 and spare.is_ready:
                surplus[spare.size] -= 1
                await self.discard(spare)

    def _next_missing(self) -> SpareSize | None:
        if self._closing:
            return None
        now = self._with.clock.monotonic()
        for size in self._wanted() - self._have():
            if self.possible(size.runtime) and self._resting.get(size, now) <= now:
                return size
        return None

    def _wanted(self) -> Counter[SpareSize]:
        warm = self._warm()
        cold = {size: count - warm.get(size, 0) for size, count in self._functions.items()}
        return Counter(stock(self._with.limits, self._functions, cold))

    def _have(self) -> Counter[SpareSize]:
        return Counter(spare.size for spare in self._waiting.values())

    def _fail(self, spare: Spare, why: str) -> None:
        if not spare.ready.done():
            spare.ready.set_exception(SandboxError(f"Not possible: {why}."))

    def _forget(self, spare: Spare) -> None:
        self._waiting.pop(spare.id, None)
        self._by_host.pop(spare.host, None)


def _look(ready: asyncio.Future[None]) -> None:
    """Nobody may be waiting for a spare that fails."""
    if not ready.cancelled():
        ready.exception()

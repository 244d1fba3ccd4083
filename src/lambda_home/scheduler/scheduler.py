"""The one place that turns the pool's instructions into awaitables.

Both sides of the rendezvous meet here and nowhere else: callers waiting for an outcome (`run`) and
runtimes parked in `next`. Everything runs on one event loop; the pool decides, this performs.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import structlog

from lambda_home.errors import ApiError, ServiceException, ServiceUnavailableException
from lambda_home.functions import FunctionVersion
from lambda_home.invocations import Invocation
from lambda_home.sandboxes.base import EntrypointError, Exit, SandboxError
from lambda_home.scheduler import events as on
from lambda_home.scheduler import telling
from lambda_home.scheduler.environments import (
    Delivery,
    Environment,
    Outcome,
    Pending,
    Poll,
    RuntimeAnswer,
)
from lambda_home.scheduler.extended import Extended
from lambda_home.scheduler.extensions import ShutdownReason
from lambda_home.scheduler.finishing import Finisher
from lambda_home.scheduler.forecasts import Forecasts
from lambda_home.scheduler.machinery import Machinery, Standing, Work, logged, settle
from lambda_home.scheduler.making import new_environment
from lambda_home.scheduler.outcomes import INVALID_ENTRYPOINT
from lambda_home.scheduler.pool import EnvironmentState, Pool
from lambda_home.scheduler.restoring import Restoring
from lambda_home.scheduler.shutdown import ShutdownPhase, settle_reason
from lambda_home.scheduler.spares import Spare, SpareKeeper, SpareParts, SpareSize
from lambda_home.scheduler.starting import Starter
from lambda_home.scheduler.streamed import StreamedAnswer

TICK_S = 0.05

_log = structlog.get_logger(__name__)

_UNKNOWN_FAILURE = "The execution environment could not be started."


class Scheduler:
    """Runs invocations in execution environments; is the sandbox's observer."""

    def __init__(self, machinery: Machinery) -> None:
        self._made_of = machinery
        self._clock = machinery.clock
        self._pool = Pool(machinery.limits, lambda: secrets.token_hex(16))
        self._versions: dict[str, FunctionVersion] = {}
        self._plans: dict[str, on.FleetPlan] = {}
        self._failures: dict[str, str] = {}
        self._forecasts = Forecasts(on=machinery.forecasting)
        self._environments: dict[str, Environment] = {}
        self._by_host: dict[str, Environment] = {}
        self._in_sandbox: dict[str, Environment] = {}
        self._pending: dict[str, Pending] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._starts = asyncio.Semaphore(machinery.max_parallel_starts)
        self._closing = False
        self._finisher = Finisher(self._clock, machinery.sandbox, machinery.observers)
        self.restoring = Restoring(self._clock, self.plan, self._on_deliver, self._reject)
        self._shutdown = ShutdownPhase(machinery.sandbox, machinery.clock)
        self.extended = Extended(
            self._clock,
            machinery.sandbox,
            self._finisher,
            self._spawn,
            self._handle,
            self._end,
            self._init_went,
        )
        made_of = (machinery.sandbox, machinery.preparer, machinery.clock)
        self.spares = SpareKeeper(
            SpareParts(*made_of, machinery.spares, self._spawn, self._is_starting)
        )
        telling = (machinery.secrets, machinery.own_endpoint, machinery.credentials)
        self._starter = Starter(*made_of, self.spares, self._adopt, self.extended.expect, *telling)
        self._perform: dict[type, Callable[..., None]] = {
            on.Start: self._on_start,
            on.Deliver: self._on_deliver,
            on.Complete: self._on_complete,
            on.Fail: self._on_fail,
            on.Freeze: self._on_freeze,
            on.Thaw: self._on_thaw,
            on.Stop: self._on_stop,
        }

    # -------------------------------------------------------------------------------- life cycle

    async def open(self) -> None:
        """Open the sandbox and start the clockwork. Raises SandboxError."""
        await self._made_of.sandbox.open(self)
        self._spawn(self._tick_forever)

    async def close(self, grace_s: float) -> None:
        """Take no more invocations, let running ones finish for `grace_s`, then end everything."""
        self._closing = True
        self.spares.close()
        until = self._clock.monotonic() + grace_s
        while self._pending and self._clock.monotonic() < until:  # noqa: ASYNC110  by our clock
            await asyncio.sleep(TICK_S)
        for pending in list(self._pending.values()):
            self._reject(pending, ServiceUnavailableException("The server is shutting down."))
        await self._shutdown.stop_extended(list(self._environments.values()))
        tasks = list(self._tasks)
        for environment in list(self._environments.values()):
            environment.dismiss()
        await self._made_of.sandbox.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """Do what has come due by the clock: timeouts, freezing, removal, starts ahead."""
        now = self._clock.monotonic()
        if self._versions:
            self._handle(on.Tick(now))
        for key, count in self._forecasts.due(now):
            if key in self._versions:
                self._handle(on.Prewarm(key, count, self._versions[key].timeout_s, now))
        for key in self._versions.keys() - {*self._pool.keys(), *self._forecasts.keys()}:
            del self._versions[key]

    # ---------------------------------------------------------------------------- callers' side

    async def run(self, invocation: Invocation) -> Outcome:
        """Run an admitted invocation to its end; raises what `begin` tells or raises."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.begin(invocation, partial(settle, future))
        return await future

    def begin(self, invocation: Invocation, told: Callable[[Outcome | Exception], None]) -> None:
        """Begin an admitted invocation; `told` hears how it ended, perhaps at once.

        It hears of a ServiceException if no environment could be started, and of a
        ServiceUnavailableException if the server stops, which is raised if it is stopping already.
        """
        if self._closing:
            raise ServiceUnavailableException("The server is shutting down.")
        version = invocation.function
        now = self._clock.monotonic()
        key = version.run_key
        if invocation.tenant_id:
            key = self._tenant_fleet(version, invocation.tenant_id, now)
        self._pending[invocation.request_id] = Pending(invocation, key, told, arrived_at=now)
        self._versions[key] = version
        self._forecasts.arrived(key, now)
        self._handle(on.Queued(invocation.request_id, key, version.timeout_s, now))

    def plan(self, version: FunctionVersion, plan: on.FleetPlan) -> None:
        """Have so many environments of a version from now on."""
        key = version.run_key
        self._plans[key] = plan
        if plan == on.FleetPlan():
            del self._plans[key]
            self._failures.pop(key, None)
        self._versions[key] = version
        self._handle(on.Planned(key, plan, version.timeout_s, self._clock.monotonic()))

    def standing(self, version: FunctionVersion) -> Standing:
        """How far the plan of a version is."""
        key = version.run_key
        ready, allocated = self._pool.provisioned_ready(key), self._pool.provisioned_allocated(key)
        return Standing(ready, allocated, self._failures.get(key))

    def prewarm(self, version: FunctionVersion, count: int) -> None:
        """Start environments ahead, which go as any others when they stay idle."""
        key = version.run_key
        self._versions[key] = version
        self._handle(on.Prewarm(key, count, version.timeout_s, self._clock.monotonic()))

    def _tenant_fleet(self, version: FunctionVersion, tenant_id: str, now: float) -> str:
        """The fleet of one tenant, which no other shares; it has the plan's upper limits."""
        key = f"{version.run_key} {tenant_id}"
        plan = self._plans.get(version.run_key)
        if plan is not None and key not in self._versions:
            limits = replace(plan, minimum=0, provisioned=0)
            self._handle(on.Planned(key, limits, version.timeout_s, now))
        return key

    def retire_except(self, arn: str, run_keys: frozenset[str]) -> None:
        """Let environments of a function finish and stop, but for those of these run keys."""
        for key, version in list(self._versions.items()):
            if version.arn == arn and version.run_key not in run_keys:
                self._forecasts.forget(key)
                self._plans.pop(key, None)
                self._handle(on.Retired(key))

    def code_keys(self) -> frozenset[str]:
        """Keys of the code that environments run, which must not be removed."""
        return frozenset().union(*(e.version.code_keys for e in self._environments.values()))

    @property
    def in_flight(self) -> int:
        """Invocations that wait or run."""
        return len(self._pending)

    def look(self) -> tuple[list[Environment], Mapping[str, FunctionVersion]]:
        """All environments, and the version that each fleet of the pool runs."""
        return list(self._environments.values()), dict(self._versions)

    @property
    def pool(self) -> Pool:
        """The pool, to look at."""
        return self._pool

    # --------------------------------------------------------------------------- runtimes' side

    def environment_at(self, host: str) -> Environment | None:
        """The environment that was given this host name; the name is its credential."""
        return self._by_host.get(host)

    def environment(self, environment_id: str) -> Environment | None:
        """The environment that has this name in the sandbox."""
        return self._in_sandbox.get(environment_id)

    def park(
        self,
        environment: Environment,
        poll: Poll,
        init_ms: float | None,
        *,
        init_fence: bool = False,
    ) -> None:
        """Keep a runtime's request until there is an invocation, or the environment is over.

        The first one tells how long the init phase was, and whether its output ends with a fence.
        """
        environment.park(poll)
        if self.restoring.goes_on(environment):
            return
        if environment.init_ms is None:
            if init_fence:
                self._finisher.await_init(environment)
            self.extended.runtime_asks(environment, init_ms)
            self.restoring.parked(environment, poll)
        if self._environments.get(environment.id) is not environment:
            environment.dismiss()
        elif environment.extensions or environment.init_ms is None:
            self.extended.go_on(environment)
        else:
            self._handle(on.Polled(environment.id, self._clock.monotonic()))

    def answer(self, environment: Environment, request_id: str, answer: RuntimeAnswer) -> bool:
        """Take a runtime's answer; False if it is late or not this environment's to give."""
        pending = self._pending.get(request_id)
        if pending is None or pending.environment is not environment:
            return False
        pending.answer = answer
        now = self._clock.monotonic()
        accepted = self._handle(on.Answered(environment.id, request_id, now))
        if not accepted:
            pending.answer = None
        elif environment.slots == 1 and environment.polls:
            self.extended.go_on(environment)  # it polled before it answered
        return accepted

    def answer_begins(
        self, environment: Environment, request_id: str, content_type: str
    ) -> StreamedAnswer | None:
        """A runtime begins to stream its answer; None if it is late or not its own to give."""
        pending = self._pending.get(request_id)
        if pending is None or pending.environment is not environment:
            return None
        finish = partial(self.answer, environment, request_id)
        return StreamedAnswer(pending, content_type, finish)

    def init_failed(self, environment: Environment, answer: RuntimeAnswer) -> None:
        """The runtime could not load the function."""
        environment.init_error = answer
        self._finisher.tell_init(environment, answer.error_type or "Runtime.Unknown")
        self._failures[environment.version.run_key] = "FUNCTION_ERROR_INIT_FAILURE"
        self._handle(on.InitFailed(environment.id, self._clock.monotonic()))

    # ---------------------------------------------------------------------- the sandbox observer

    def output(self, environment_id: str, chunk: bytes) -> None:
        """Bytes of an environment's output."""
        environment = self._in_sandbox.get(environment_id)
        if environment is not None:
            environment.write(chunk)

    def exited(self, how: Exit) -> None:
        """An environment is gone."""
        environment = self._in_sandbox.get(how.id)
        if environment is None:
            self.spares.exited(how)
            return
        environment.exit = how
        self._handle(on.Exited(environment.id, self._clock.monotonic()))
        environment.close_log()
        self._forget(environment)

    # ------------------------------------------------------------------------------ instructions

    def _handle(self, event: on.Event) -> bool:
        """Feed the pool and perform what it asks for; True if it asked for anything."""
        instructions = self._pool.handle(event)
        for instruction in instructions:
            self._perform[type(instruction)](instruction)
        return bool(instructions)

    def _on_start(self, start: on.Start) -> None:
        version = self._versions[start.key]
        environment, stream = new_environment(start, version, self._made_of)
        self._environments[environment.id] = environment
        self._by_host[environment.host] = environment
        self._in_sandbox[environment.sandbox_id] = environment
        environment.start = self._spawn(partial(self._start, environment, stream))

    async def _start(self, environment: Environment, stream: str) -> None:
        try:
            if not await self._starter.claim(environment, stream):
                async with self._starts:
                    if not self._still_wanted(environment):
                        return
                    await self._starter.start(environment, stream)
        except EntrypointError as error:
            self._finisher.tell_init(environment, INVALID_ENTRYPOINT)
            self.exited(Exit(environment.sandbox_id, unstartable=str(error)))
            return
        except Exception as error:
            if not isinstance(error, (SandboxError, ApiError)):
                _log.exception("an environment could not be started")
            environment.start_error = error
            self._failures[environment.version.run_key] = str(error)
            self._handle(on.StartFailed(environment.id, self._clock.monotonic()))
            self._forget(environment)
            return
        self._handle(on.Started(environment.id, self._clock.monotonic()))

    def _still_wanted(self, environment: Environment) -> bool:
        """A start may begin now, if by this time the environment is still needed."""
        self._handle(on.SlotFree(environment.id, self._clock.monotonic()))
        state = self._pool.state_of(environment.id)
        if self._closing or state is not EnvironmentState.STARTING:
            self._handle(on.Exited(environment.id, self._clock.monotonic()))
            self._forget(environment)
            return False
        return True

    def _adopt(self, environment: Environment, spare: Spare) -> None:
        """A spare becomes this environment: its name and its credential are the spare's."""
        self._by_host.pop(environment.host, None)
        self._in_sandbox.pop(environment.sandbox_id, None)
        environment.host, environment.sandbox_id = spare.host, spare.id
        self._by_host[spare.host] = environment
        self._in_sandbox[spare.id] = environment

    def _init_went(self, key: str, failure: str) -> None:
        """Remember why no environment of a fleet could be had, or forget it."""
        if failure:
            self._failures[key] = failure
        else:
            self._failures.pop(key, None)
            self.restoring.initialised(key)

    def _is_starting(self) -> bool:
        """Whether an invocation waits for an environment that is being started."""
        return any(s is EnvironmentState.STARTING for _, _, s in self._pool.environments())

    def _warm_sizes(self) -> Counter[SpareSize]:
        """How many functions of each size have an environment."""
        found = {(e.version.arn, SpareSize.of(e.version)) for e in self._environments.values()}
        return Counter(size for _, size in found)

    def use_sizes(self, functions: Mapping[SpareSize, int]) -> None:
        """How many functions there are of each size, for which spares may wait."""
        self.spares.use(functions, self._warm_sizes)

    def _on_deliver(self, deliver: on.Deliver) -> None:
        environment = self._environments[deliver.environment]
        pending = self._pending.get(deliver.invocation)
        if pending is None:  # turned away while the server stops
            return
        invocation = pending.invocation
        now = self._clock.monotonic()
        poll = environment.take_poll()
        if poll is None:
            self._handle(on.Undelivered(environment.id, invocation.request_id, now))
            return
        environment.give(pending)
        if poll.restores:
            self.restoring.begin(pending, deliver, poll)
            return
        pending.delivered_at = now
        request_id = invocation.request_id
        start_line = environment.system.start(request_id, environment.version, self._clock.now())
        pending.log = environment.log.begin(request_id, start_line, tail=invocation.tail)
        deadline_ms = int((self._clock.outside() + deliver.deadline - now) * 1000)
        if environment.telemetry is not None:
            telling.started(environment, pending, self._clock.now())
        poll.deliver(Delivery(invocation, deadline_ms))
        environment.extensions.invoked(invocation, deadline_ms)

    def _on_complete(self, complete: on.Complete) -> None:
        pending = self._take(complete.invocation)
        if pending is not None and pending.answer is not None:  # else turned away at the end
            self._finisher.complete(self._environments[complete.environment], pending)

    def _on_fail(self, fail: on.Fail) -> None:
        pending = self._take(fail.invocation)
        if pending is None:  # turned away while the server stops
            return
        environment = self._environments[fail.environment]
        if fail.cause is on.Cause.TIMED_OUT:
            environment.extensions.reason = ShutdownReason.TIMEOUT
            if self.restoring.timed_out(environment):
                return
        if fail.cause is on.Cause.NOT_STARTED:
            error = environment.start_error
            if not isinstance(error, ApiError):
                known = isinstance(error, SandboxError)
                error = ServiceException(str(error) if known else _UNKNOWN_FAILURE)
            environment.meter.unstarted += 1
            self._reject(pending, error)
        else:
            self._finisher.fail(environment, pending, fail.cause)

    def _on_freeze(self, freeze: on.Freeze) -> None:
        self._spawn(partial(self._freeze, freeze.environment, frozen=True))

    def _on_thaw(self, thaw: on.Thaw) -> None:
        self._spawn(partial(self._freeze, thaw.environment, frozen=False))

    async def _freeze(self, environment_id: str, *, frozen: bool) -> None:
        environment = self._environments.get(environment_id)
        if environment is None:
            return
        async with environment.freezer:  # a thaw never overtakes the freeze before it
            if frozen and environment.telemetry is not None:
                await environment.telemetry.drained()  # nobody takes it while frozen
            try:
                await self._made_of.sandbox.freeze(environment.sandbox_id, frozen=frozen)
            except SandboxError as error:
                _log.warning("freezing failed", container_id=environment_id, reason=str(error))

    def _on_stop(self, stop: on.Stop) -> None:
        self._end(self._environments[stop.environment])

    def _end(self, environment: Environment) -> None:
        environment.ending = True
        settle_reason(environment)
        if not environment.extensions.close():  # else it talks to the server to its end
            self._by_host.pop(environment.host, None)
            environment.dismiss()
        self._spawn(partial(self._stop, environment))

    async def _stop(self, environment: Environment) -> None:
        if environment.start is not None:
            await asyncio.wait([environment.start])  # never stop what is half started
        await self._shutdown.stop(environment)

    # --------------------------------------------------------------------------------- the rest

    def _take(self, request_id: str) -> Pending | None:
        """An invocation is over: nobody else has it from here on."""
        pending = self._pending.pop(request_id, None)
        if pending is not None:
            self._forecasts.ended(pending.key)
        return pending

    def _reject(self, pending: Pending, error: Exception) -> None:
        self._take(pending.invocation.request_id)
        pending.tell(error)

    def _forget(self, environment: Environment) -> None:
        self._environments.pop(environment.id, None)
        self._by_host.pop(environment.host, None)
        self._in_sandbox.pop(environment.sandbox_id, None)
        environment.dismiss()
        self.restoring.gone(environment)
        environment.extensions.gone()
        self._made_of.credentials.end(environment.id)
        self.spares.refill()

    def _spawn(self, work: Work) -> asyncio.Task[None]:
        """Run something beside; awaited at close. A failure is logged and ends nothing else."""
        task = asyncio.get_running_loop().create_task(logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

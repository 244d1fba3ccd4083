"""The one place that turns the pool's instructions into awaitables.

Both sides of the rendezvous meet here and nowhere else: callers waiting for an outcome (`run`) and
runtimes parked in `next`. Everything runs on one event loop; the pool decides, this performs.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog

from lambda_home.clock import Clock
from lambda_home.errors import ServiceException, ServiceUnavailableException
from lambda_home.functions import FunctionVersion
from lambda_home.invocations import Invocation
from lambda_home.logs import LogEvent, LogStore
from lambda_home.sandboxes.base import CodePreparer, Exit, Sandbox, SandboxError, SandboxSpec
from lambda_home.scheduler import events as on
from lambda_home.scheduler import outcomes
from lambda_home.scheduler.environment_log import EnvironmentLog
from lambda_home.scheduler.environments import (
    Delivery,
    Environment,
    Outcome,
    Pending,
    Poll,
    RuntimeAnswer,
)
from lambda_home.scheduler.pool import EnvironmentState, Pool, PoolLimits
from lambda_home.scheduler.variables import log_group_of, variables

TICK_S = 0.05
# How long a log stays open for output that arrives after the answer: of a runtime client without
# fences, and of one whose fence was lost (the function closed its output).
QUIET_S = 0.02
LOST_FENCE_S = 1.0
HOST_SUFFIX = "lambda-home.internal"

_log = structlog.get_logger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Machinery:
    """What environments are made of and seen by."""

    sandbox: Sandbox
    preparer: CodePreparer
    logs: LogStore
    clock: Clock
    limits: PoolLimits
    max_parallel_starts: int


class Scheduler:
    """Runs invocations in execution environments; is the sandbox's observer."""

    def __init__(self, machinery: Machinery) -> None:
        self._made_of = machinery
        self._clock = machinery.clock
        self._pool = Pool(machinery.limits, lambda: secrets.token_hex(16))
        self._versions: dict[str, FunctionVersion] = {}
        self._environments: dict[str, Environment] = {}
        self._by_host: dict[str, Environment] = {}
        self._pending: dict[str, Pending] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._starts = asyncio.Semaphore(machinery.max_parallel_starts)
        self._closing = False
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
        until = self._clock.monotonic() + grace_s
        while self._pending and self._clock.monotonic() < until:
            await asyncio.wait([p.future for p in self._pending.values()], timeout=TICK_S)
        tasks = list(self._tasks)
        for environment in list(self._environments.values()):
            if environment.poll is not None and not environment.poll.future.done():
                environment.poll.future.set_result(None)
        for pending in list(self._pending.values()):
            self._reject(pending, ServiceUnavailableException("The server is shutting down."))
        await self._made_of.sandbox.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tick_forever(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._environments or self._pending:
                self._handle(on.Tick(self._clock.monotonic()))
            for key in self._versions.keys() - set(self._pool.keys()):
                del self._versions[key]

    # ---------------------------------------------------------------------------- callers' side

    async def run(self, invocation: Invocation) -> Outcome:
        """Run an admitted invocation to its end.

        Raises ServiceException if no environment could be started, ServiceUnavailableException
        while the server stops.
        """
        if self._closing:
            raise ServiceUnavailableException("The server is shutting down.")
        version = invocation.function
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._pending[invocation.request_id] = Pending(invocation, future)
        self._versions[version.run_key] = version
        now = self._clock.monotonic()
        self._handle(on.Queued(invocation.request_id, version.run_key, version.timeout_s, now))
        return await future

    def retire_except(self, arn: str, run_keys: frozenset[str]) -> None:
        """Let environments of a function finish and stop, but for those of these run keys."""
        for key, version in list(self._versions.items()):
            if version.arn == arn and key not in run_keys:
                self._handle(on.Retired(key))

    def code_keys(self) -> frozenset[str]:
        """Keys of the code that environments run, which must not be removed."""
        return frozenset(e.version.code.key for e in self._environments.values())

    @property
    def in_flight(self) -> int:
        """Invocations that wait or run."""
        return len(self._pending)

    @property
    def pool(self) -> Pool:
        """The pool, to look at."""
        return self._pool

    # --------------------------------------------------------------------------- runtimes' side

    def environment_at(self, host: str) -> Environment | None:
        """The environment that was given this host name; the name is its credential."""
        return self._by_host.get(host)

    def environment(self, environment_id: str) -> Environment | None:
        """The environment with this id."""
        return self._environments.get(environment_id)

    async def next(
        self, environment: Environment, gone: Callable[[], bool], init_ms: float | None
    ) -> Delivery | None:
        """Park until there is an invocation for this environment; None when it is over."""
        now = self._clock.monotonic()
        if environment.init_ms is None:
            started = environment.started_at if environment.started_at is not None else now
            environment.init_ms = init_ms if init_ms is not None else (now - started) * 1000
        previous = environment.poll
        if previous is not None and not previous.future.done():
            previous.future.set_result(None)  # the runtime reconnected: its newest poll counts
        future: asyncio.Future[Delivery | None] = asyncio.get_running_loop().create_future()
        environment.poll = Poll(future, gone)
        self._handle(on.Polled(environment.id, now))
        return await future

    def answer(self, environment: Environment, request_id: str, answer: RuntimeAnswer) -> bool:
        """Take a runtime's answer; False if it is late or not this environment's to give."""
        pending = self._pending.get(request_id)
        if pending is None:
            return False
        pending.answer = answer
        now = self._clock.monotonic()
        accepted = self._handle(on.Answered(environment.id, request_id, now))
        if not accepted:
            pending.answer = None  # another environment's to give
        if accepted and environment.poll is not None and not environment.poll.future.done():
            self._handle(on.Polled(environment.id, now))  # it polled before it answered
        return accepted

    def init_failed(self, environment: Environment, answer: RuntimeAnswer) -> None:
        """The runtime could not load the function."""
        environment.init_error = answer
        self._handle(on.InitFailed(environment.id, self._clock.monotonic()))

    # ---------------------------------------------------------------------- the sandbox observer

    def output(self, environment_id: str, chunk: bytes) -> None:
        """Bytes of an environment's output."""
        environment = self._environments.get(environment_id)
        if environment is not None:
            environment.log.write(chunk)

    def exited(self, how: Exit) -> None:
        """An environment is gone."""
        environment = self._environments.get(how.id)
        if environment is None:
            return
        environment.exit = how
        self._handle(on.Exited(how.id, self._clock.monotonic()))
        environment.log.close()
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
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        stream = f"{now:%Y/%m/%d}/[{version.version}]{start.environment}"
        group, scope, logs = log_group_of(version), version.scope, self._made_of.logs

        def emit(line: str) -> None:
            logs.append(LogEvent(scope, group, stream, self._clock.now(), line))

        host = f"{secrets.token_hex(16)}.{HOST_SUFFIX}"
        environment = Environment(start.environment, host, version, EnvironmentLog(emit))
        self._environments[environment.id] = environment
        self._by_host[host] = environment
        environment.start = self._spawn(partial(self._start, environment, stream))

    async def _start(self, environment: Environment, stream: str) -> None:
        version = environment.version
        try:
            async with self._starts:
                self._handle(on.SlotFree(environment.id, self._clock.monotonic()))
                state = self._pool.state_of(environment.id)
                if self._closing or state is not EnvironmentState.STARTING:
                    self._handle(on.Exited(environment.id, self._clock.monotonic()))
                    self._forget(environment)
                    return
                code = await self._made_of.preparer.prepare(version.code.key, version.runtime)
                environment.log.platform(f"INIT_START Runtime Version: {version.runtime}")
                warning = self._made_of.preparer.warning_for(version.runtime)
                if warning:
                    environment.log.platform(f"[WARNING] lambda_home: {warning}")
                environment.started_at = self._clock.monotonic()
                await self._made_of.sandbox.start(
                    SandboxSpec(
                        id=environment.id,
                        host=environment.host,
                        runtime=version.runtime,
                        code=code,
                        environment=variables(version, stream=stream),
                        memory_mb=version.memory_mb,
                        tmp_mb=version.tmp_mb,
                        labels={"function": version.name, "version": version.version},
                    )
                )
        except Exception as error:
            if not isinstance(error, SandboxError):
                _log.exception("an environment could not be started")
            environment.start_error = str(error)
            self._handle(on.StartFailed(environment.id, self._clock.monotonic()))
            self._forget(environment)
            return
        self._handle(on.Started(environment.id, self._clock.monotonic()))

    def _on_deliver(self, deliver: on.Deliver) -> None:
        environment = self._environments[deliver.environment]
        pending = self._pending.get(deliver.invocation)
        if pending is None:  # turned away while the server stops
            return
        invocation = pending.invocation
        now = self._clock.monotonic()
        poll, environment.poll = environment.poll, None
        if poll is None or poll.future.done() or poll.gone():
            self._handle(on.Undelivered(environment.id, invocation.request_id, now))
            return
        pending.delivered_at = now
        request_id = invocation.request_id
        start_line = outcomes.start_line(request_id, environment.version.version)
        pending.log = environment.log.begin(request_id, start_line, tail=invocation.tail)
        deadline_ms = int((self._clock.now() + deliver.deadline - now) * 1000)
        poll.future.set_result(Delivery(invocation, deadline_ms))

    def _on_complete(self, complete: on.Complete) -> None:
        environment = self._environments[complete.environment]
        pending = self._pending.pop(complete.invocation, None)
        if pending is None or (answer := pending.answer) is None:
            return  # turned away while the server stops
        outcome = Outcome(answer.payload, answer.error_type)
        self._finish(environment, pending, outcome, fence=answer.fence)

    def _on_fail(self, fail: on.Fail) -> None:
        environment = self._environments[fail.environment]
        pending = self._pending.pop(fail.invocation, None)
        if pending is None:  # turned away while the server stops
            return
        request_id = fail.invocation
        if fail.cause is on.Cause.NOT_STARTED:
            self._reject(pending, ServiceException(environment.start_error))
            return
        if pending.log is None:  # it waited for an environment whose init failed
            start_line = outcomes.start_line(request_id, environment.version.version)
            init_output = environment.log.init_output
            pending.log = environment.log.begin(
                request_id, start_line, tail=pending.invocation.tail
            )
            if pending.log.tail is not None:
                pending.log.tail[:0] = init_output
            pending.delivered_at = self._clock.monotonic()
        if fail.cause is on.Cause.TIMED_OUT:
            timeout_s = environment.version.timeout_s
            payload = outcomes.timed_out_payload(request_id, timeout_s)
            outcome = Outcome(payload, "Sandbox.Timedout")
            at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="milliseconds")
            message = outcomes.timed_out_message(timeout_s)
            note = f"{at.replace('+00:00', 'Z')} {request_id} {message}"
            # The environment is being killed: its end, not a fence, closes the log.
            self._finish(environment, pending, outcome, fence=True, notes=[note, ""])
        elif fail.cause is on.Cause.INIT_FAILED and environment.init_error is not None:
            error = environment.init_error
            outcome = Outcome(error.payload, error.error_type or "Runtime.Unknown")
            self._finish(environment, pending, outcome, fence=error.fence)
        else:
            message = outcomes.exit_message(environment.exit)
            outcome = Outcome(
                outcomes.exit_payload(request_id, environment.exit), "Runtime.ExitError"
            )
            note = f"RequestId: {request_id} Error: {message}"
            self._finish(environment, pending, outcome, fence=False, notes=[note])

    def _finish(
        self,
        environment: Environment,
        pending: Pending,
        outcome: Outcome,
        *,
        fence: bool | None,
        notes: list[str] | None = None,
    ) -> None:
        """Tell the caller, at once or, if the tail of the log is wanted, when the log is whole."""
        log = pending.log
        if log is None:
            raise AssertionError("finished before it was delivered")
        closing = [*(notes or ()), outcomes.end_line(log.request_id)]
        closing.append(self._report(environment, pending, outcome))
        if pending.invocation.tail:

            def tell() -> None:
                self._tell(pending, Outcome(outcome.payload, outcome.error_type, log.last_4_kb()))

            environment.log.finish(log, closing, fence=fence, on_done=tell)
        else:
            self._tell(pending, outcome)
            environment.log.finish(log, closing, fence=fence)
        if not log.done:
            patience = QUIET_S if fence is None else LOST_FENCE_S
            asyncio.get_running_loop().call_later(patience, environment.log.release, log)

    def _report(self, environment: Environment, pending: Pending, outcome: Outcome) -> str:
        answer = pending.answer
        peak_mb = answer.peak_mb if answer is not None else 0
        init_ms = None if environment.init_reported else environment.init_ms
        environment.init_reported = True
        line = outcomes.report_line(
            pending.invocation.request_id,
            duration_ms=(self._clock.monotonic() - pending.delivered_at) * 1000,
            memory_mb=environment.version.memory_mb,
            peak_mb=peak_mb or self._made_of.sandbox.peak_memory_mb(environment.id),
            init_ms=init_ms,
        )
        if outcome.error_type == "Sandbox.Timedout":
            return f"{line}Status: timeout"
        if outcome.error_type is not None and outcome.error_type.startswith("Runtime."):
            return f"{line}Status: error\tError Type: {outcome.error_type}"
        return line

    def _on_freeze(self, freeze: on.Freeze) -> None:
        self._spawn(partial(self._freeze, freeze.environment, frozen=True))

    def _on_thaw(self, thaw: on.Thaw) -> None:
        self._spawn(partial(self._freeze, thaw.environment, frozen=False))

    async def _freeze(self, environment_id: str, *, frozen: bool) -> None:
        environment = self._environments.get(environment_id)
        if environment is None:
            return
        async with environment.freezer:  # a thaw never overtakes the freeze before it
            try:
                await self._made_of.sandbox.freeze(environment_id, frozen=frozen)
            except SandboxError as error:
                _log.warning("freezing failed", container_id=environment_id, reason=str(error))

    def _on_stop(self, stop: on.Stop) -> None:
        environment = self._environments[stop.environment]
        self._by_host.pop(environment.host, None)
        if environment.poll is not None and not environment.poll.future.done():
            environment.poll.future.set_result(None)
        self._spawn(partial(self._stop, environment))

    async def _stop(self, environment: Environment) -> None:
        if environment.start is not None:
            await asyncio.wait([environment.start])  # never stop what is half started
        await self._made_of.sandbox.stop(environment.id)

    # --------------------------------------------------------------------------------- the rest

    @staticmethod
    def _tell(pending: Pending, outcome: Outcome) -> None:
        if not pending.future.done():
            pending.future.set_result(outcome)

    def _reject(self, pending: Pending, error: Exception) -> None:
        self._pending.pop(pending.invocation.request_id, None)
        if not pending.future.done():
            pending.future.set_exception(error)

    def _forget(self, environment: Environment) -> None:
        self._environments.pop(environment.id, None)
        self._by_host.pop(environment.host, None)
        if environment.poll is not None and not environment.poll.future.done():
            environment.poll.future.set_result(None)

    def _spawn(self, work: Work) -> asyncio.Task[None]:
        """Run something beside; awaited at close. A failure is logged and ends nothing else."""
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _logged(work: Work) -> None:
    try:
        await work()
    except Exception:
        _log.exception("a task of the scheduler failed")

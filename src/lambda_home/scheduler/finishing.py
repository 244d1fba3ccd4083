"""The end of an invocation: what its caller is told, and the last lines of its log."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import NamedTuple

from lambda_home.clock import Clock
from lambda_home.invocations import Ended, EndObserver
from lambda_home.sandboxes.base import Sandbox
from lambda_home.scheduler import outcomes, telling
from lambda_home.scheduler.environment_log import InvocationLog
from lambda_home.scheduler.environments import Environment, Outcome, Pending
from lambda_home.scheduler.events import Cause
from lambda_home.scheduler.system_log import Report

# How long a log stays open for output that arrives after the answer: of a runtime client without
# fences, and of one whose fence was lost (the function closed its output).
QUIET_S = 0.02
LOST_FENCE_S = 1.0
_TIMED_OUT = "Sandbox.Timedout"


class _Figures(NamedTuple):
    """What an invocation took; `init_ms` where it is the first to report its environment's init."""

    ended_at: float
    duration_ms: float
    peak_mb: int
    init_ms: float | None


class Finisher:
    """Resolves pending invocations. `observers` hear of each that has run, after its caller."""

    def __init__(
        self, clock: Clock, sandbox: Sandbox, observers: tuple[EndObserver, ...] = ()
    ) -> None:
        self._clock = clock
        self._sandbox = sandbox
        self._observers = observers

    def await_init(self, environment: Environment) -> None:
        """The init phase is over; its output may still be on its way."""
        log = environment.log.await_init()
        if log is not None:
            asyncio.get_running_loop().call_later(LOST_FENCE_S, environment.log.release, log)

    def tell_init(self, environment: Environment, error_type: str | None = None) -> None:
        """Write how the init phase went, where that has lines of its own."""
        now = self._clock.now()
        init_ms = environment.init_ms
        if init_ms is None:
            began = environment.started_at
            init_ms = 0.0 if began is None else (self._clock.monotonic() - began) * 1000
        for line in environment.system.init_end(
            init_ms, error_type, provisioned=environment.provisioned, now=now
        ):
            environment.log.platform(line)

    def complete(self, environment: Environment, pending: Pending) -> None:
        """The runtime has answered."""
        answer = pending.answer
        if answer is None:
            raise AssertionError("completed without an answer")
        outcome = Outcome(answer.payload, answer.error_type)
        self._finish(environment, pending, outcome, fence=answer.fence)

    def fail(self, environment: Environment, pending: Pending, cause: Cause) -> None:
        """The invocation ends without an answer, for any cause but a start that failed."""
        request_id = pending.invocation.request_id
        if pending.log is None:  # it waited for an environment whose init failed
            pending.log = self._begin(environment, pending)
        if environment.failure is not None:
            error_type, message = environment.failure
            said = f"RequestId: {request_id} Error: {message}"
            outcome = Outcome(outcomes.error_payload(error_type, said), error_type)
            self._finish(environment, pending, outcome, fence=False, notes=[said, error_type])
        elif cause is Cause.TIMED_OUT:
            timeout_s = environment.version.timeout_s
            outcome = Outcome(outcomes.timed_out_payload(request_id, timeout_s), _TIMED_OUT)
            at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(timespec="milliseconds")
            message = outcomes.timed_out_message(timeout_s)
            note = f"{at.replace('+00:00', 'Z')} {request_id} {message}"
            # The environment is being killed: its end, not a fence, closes the log. Where
            # extensions make that end late, nobody waits for it.
            fence = None if environment.extensions else True
            self._finish(environment, pending, outcome, fence=fence, notes=[note, ""])
        elif cause is Cause.INIT_FAILED and environment.init_error is not None:
            error = environment.init_error
            outcome = Outcome(error.payload, error.error_type or "Runtime.Unknown")
            shared = environment.slots > 1
            if shared:  # no fence ends what it wrote, only its own end does
                environment.log.give_init_output(pending.log)
            self._finish(environment, pending, outcome, fence=shared or error.fence)
        else:
            message = outcomes.exit_message(environment.exit)
            payload = outcomes.exit_payload(request_id, environment.exit)
            notes = [f"RequestId: {request_id} Error: {message}"]
            outcome = Outcome(payload, outcomes.exit_type(environment.exit))
            if environment.exit is not None and environment.exit.unstartable:
                notes.append(outcomes.exit_type(environment.exit))
            self._finish(environment, pending, outcome, fence=False, notes=notes)

    def _begin(self, environment: Environment, pending: Pending) -> InvocationLog:
        request_id, tail = pending.invocation.request_id, pending.invocation.tail
        start_line = environment.system.start(request_id, environment.version, self._clock.now())
        init_output = environment.log.init_output
        log = environment.log.begin(request_id, start_line, tail=tail)
        if log.tail is not None:
            log.tail[:0] = init_output
        pending.delivered_at = self._clock.monotonic()
        environment.give(pending)
        return log

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
        figures = self._measure(environment, pending)
        report = Report(
            log.request_id,
            figures.duration_ms,
            environment.version.memory_mb,
            figures.peak_mb,
            figures.init_ms,
            outcome.error_type,
            environment.restore_ms,
        )
        environment.restore_ms = None
        closing = environment.system.end(report, notes or (), self._clock.now())
        on_done = None
        if pending.invocation.tail or environment.telemetry is not None:

            def on_done() -> None:
                if pending.invocation.tail:
                    pending.tell(Outcome(outcome.payload, outcome.error_type, log.last_4_kb()))
                produced = len(outcome.payload)
                telling.ended(environment, pending, report, produced, self._clock.now())

        if not pending.invocation.tail:
            pending.tell(outcome)
        environment.log.finish(log, closing, fence=fence, on_done=on_done)
        self._count(environment, pending, outcome, figures)
        if not log.done:  # what it wrote is there: whoever asks for its log now finds it whole
            self._sandbox.collect(environment.sandbox_id)
        if not log.done:
            patience = QUIET_S if fence is None else LOST_FENCE_S
            asyncio.get_running_loop().call_later(patience, environment.log.release, log)

    def _measure(self, environment: Environment, pending: Pending) -> _Figures:
        answer = pending.answer
        peak_mb = answer.peak_mb if answer is not None else 0
        if environment.extensions.supervised:  # a runtime knows of itself alone
            peak_mb = max(peak_mb, self._sandbox.peak_memory_mb(environment.sandbox_id))
        init_ms = None if environment.init_reported else environment.init_ms
        environment.init_reported = True
        environment.used_at = now = self._clock.monotonic()
        return _Figures(
            now,
            (now - pending.delivered_at) * 1000,
            peak_mb or self._sandbox.peak_memory_mb(environment.sandbox_id),
            init_ms,
        )

    def _count(
        self, environment: Environment, pending: Pending, outcome: Outcome, figures: _Figures
    ) -> None:
        failed = outcome.error_type is not None
        now, duration_ms = figures.ended_at, figures.duration_ms
        environment.meter.ended(duration_ms, now, failed=failed, cold=pending.cold)
        ended: Ended | None = None
        for observer in self._observers:
            if observer.wanted:
                ended = ended or _ended(environment, pending, outcome, figures)
                observer(ended, self._clock.now())


def _ended(
    environment: Environment, pending: Pending, outcome: Outcome, figures: _Figures
) -> Ended:
    return Ended(
        pending.invocation,
        environment.sandbox_id,
        outcome.error_type,
        pending.arrived_at,
        pending.delivered_at,
        figures.ended_at,
        figures.duration_ms,
        outcomes.billed_ms(figures.duration_ms, figures.init_ms),
        figures.peak_mb,
        pending.cold,
        environment.asked_at,
        environment.ready_at,
        environment.init_ms or 0.0,
    )

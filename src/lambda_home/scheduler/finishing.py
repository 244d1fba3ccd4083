"""The end of an invocation: what its caller is told, and the last lines of its log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from lambda_home.clock import Clock
from lambda_home.scheduler import outcomes
from lambda_home.scheduler.environment_log import InvocationLog
from lambda_home.scheduler.environments import Environment, Outcome, Pending
from lambda_home.scheduler.events import Cause

# How long a log stays open for output that arrives after the answer: of a runtime client without
# fences, and of one whose fence was lost (the function closed its output).
QUIET_S = 0.02
LOST_FENCE_S = 1.0
_TIMED_OUT = "Sandbox.Timedout"


class Finisher:
    """Resolves pending invocations. `peak_memory_mb` asks the sandbox, by an environment's name."""

    def __init__(self, clock: Clock, peak_memory_mb: Callable[[str], int]) -> None:
        self._clock = clock
        self._peak_memory_mb = peak_memory_mb

    def await_init(self, environment: Environment) -> None:
        """The init phase is over; its output may still be on its way."""
        log = environment.log.await_init()
        if log is not None:
            asyncio.get_running_loop().call_later(LOST_FENCE_S, environment.log.release, log)

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
        if cause is Cause.TIMED_OUT:
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
            note = f"RequestId: {request_id} Error: {message}"
            outcome = Outcome(payload, "Runtime.ExitError")
            self._finish(environment, pending, outcome, fence=False, notes=[note])

    def _begin(self, environment: Environment, pending: Pending) -> InvocationLog:
        request_id, tail = pending.invocation.request_id, pending.invocation.tail
        start_line = outcomes.start_line(request_id, environment.version.version)
        init_output = environment.log.init_output
        log = environment.log.begin(request_id, start_line, tail=tail)
        if log.tail is not None:
            log.tail[:0] = init_output
        pending.delivered_at = self._clock.monotonic()
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
        closing = [*(notes or ()), outcomes.end_line(log.request_id)]
        closing.append(self._report(environment, pending, outcome))
        if pending.invocation.tail:

            def told() -> None:
                pending.tell(Outcome(outcome.payload, outcome.error_type, log.last_4_kb()))

            environment.log.finish(log, closing, fence=fence, on_done=told)
        else:
            pending.tell(outcome)
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
            peak_mb=peak_mb or self._peak_memory_mb(environment.sandbox_id),
            init_ms=init_ms,
        )
        if outcome.error_type == _TIMED_OUT:
            return f"{line}Status: timeout"
        if outcome.error_type is not None and outcome.error_type.startswith("Runtime."):
            return f"{line}Status: error\tError Type: {outcome.error_type}"
        return line

"""SnapStart: environments that wait, initialised, until their first invocation restores them.

A published version with SnapStart is initialised once before it is Active. What is kept of that is
not an image of memory but the environment itself: at least one of each version stays, and when more
are needed at a time they go through init like any others. A runtime that knows SnapStart asks for
`restore/next` after its init (and its hooks before the snapshot); with the first invocation it goes
on, runs its hooks after the restore, and asks for the invocation. See docs/decisions/0016.

Sources: "Improving startup performance with Lambda SnapStart" and its monitoring page in the
Developer Guide; AWS's runtime clients.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from lambda_home.clock import Clock
from lambda_home.errors import SnapStartException, SnapStartTimeoutException
from lambda_home.functions import FunctionVersion
from lambda_home.scheduler import outcomes, telling
from lambda_home.scheduler.environments import Delivery, Environment, Pending, Poll, Restore
from lambda_home.scheduler.events import Deliver, FleetPlan

INIT_S: Final = 130.0
"""How long the init of a version with SnapStart may take (AWS: at least 130 seconds)."""

PLAN: Final = FleetPlan(minimum=1, init_s=INIT_S)
_NO_PLAN = FleetPlan()
_AFTER_RESTORE = "Runtime.AfterRestoreError"
_TIMED_OUT = "Init timed out"

Plan = Callable[[FunctionVersion, FleetPlan], None]


@dataclass(slots=True)
class Restoring:
    """Takes versions through their first init, and environments through their restore.

    `plan` says how many environments of a version there are to be, `deliver` gives an invocation to
    an environment that was restored, `reject` tells an invocation of its error.
    """

    clock: Clock
    plan: Plan
    deliver: Callable[[Deliver], None]
    reject: Callable[[Pending, Exception], None]
    _waiting: dict[str, asyncio.Future[str]] = field(default_factory=dict)

    # --------------------------------------------------------------------- a version's first init

    async def take(self, version: FunctionVersion) -> str:
        """Initialise a version and keep the environment; "" or why that failed."""
        key = version.run_key
        if key not in self._waiting:
            self._waiting[key] = asyncio.get_running_loop().create_future()
            self.plan(version, PLAN)
        try:
            why = await asyncio.shield(self._waiting[key])
        finally:
            self._waiting.pop(key, None)
        if why:
            self.plan(version, _NO_PLAN)
        return why

    def initialised(self, key: str) -> None:
        """An environment of a fleet has come through its init phase."""
        self._settle(key, "")

    def gone(self, environment: Environment) -> None:
        """An environment is gone; if it was to be the first, that is how the init went."""
        key = environment.version.run_key
        if environment.init_ms is None and key in self._waiting:
            self._settle(key, _why(environment))

    def _settle(self, key: str, why: str) -> None:
        waiting = self._waiting.get(key)
        if waiting is not None and not waiting.done():
            waiting.set_result(why)

    # -------------------------------------------------------------------- an environment's restore

    def parked(self, environment: Environment, poll: Poll) -> None:
        """A runtime asks for something: the first time it may be the restore."""
        if poll.restores and not environment.restored:
            environment.restored = True
            environment.init_reported = True  # it is in a line of its own, not in a REPORT
            if line := environment.system.init_report(environment.init_ms or 0.0):
                environment.log.platform(line)

    def begin(self, pending: Pending, deliver: Deliver, poll: Poll) -> None:
        """The first invocation has come: let the runtime go on. It may have waited for the init."""
        environment = pending.environment
        if environment is None:
            raise AssertionError("restored for nobody")
        waited_ms = (environment.init_ms or 0.0) if pending.cold else 0.0
        environment.restore = Restore(pending, deliver, self.clock.monotonic(), waited_ms)
        for line in environment.system.restore_start(environment.version, self.clock.now()):
            environment.log.platform(line)
        telling.restore_begun(environment, self.clock.now())
        poll.deliver(Delivery(pending.invocation, 0))

    def goes_on(self, environment: Environment) -> bool:
        """The runtime asks for its invocation; False if there was no restore before."""
        restore = self._finish(environment)
        if restore is not None:
            self.deliver(restore.deliver)
        return restore is not None

    def _finish(self, environment: Environment, error_type: str = "") -> Restore | None:
        restore, environment.restore = environment.restore, None
        if restore is None:
            return None
        hooks_ms = (self.clock.monotonic() - restore.began) * 1000
        figures = (restore.waited_ms + hooks_ms, hooks_ms)
        environment.restore_ms = figures
        for line in environment.system.restore_end(figures[0], error_type, self.clock.now()):
            environment.log.platform(line)
        telling.restore_ended(environment, figures[0], error_type, self.clock.now())
        return restore

    def failed(self, environment: Environment) -> None:
        """A hook after the restore failed, and with it the invocation; the runtime will end."""
        restore = self._finish(environment, _AFTER_RESTORE)
        if restore is not None:
            error = SnapStartException(
                "The afterRestore() runtime hook encountered an error. For more information, check"
                " the Amazon CloudWatch logs."
            )
            self.reject(restore.pending, error)

    def timed_out(self, environment: Environment) -> bool:
        """An invocation's time is over; False if that was not while it waited for a restore."""
        restore = self._finish(environment, "Runtime.RestoreTimeout")
        if restore is not None:
            error = SnapStartTimeoutException(
                "Lambda couldn't restore the snapshot within the timeout limit."
            )
            self.reject(restore.pending, error)
        return restore is not None


def _why(environment: Environment) -> str:
    """Why an init failed, for a version's StateReason."""
    if environment.start_error is not None:
        return str(environment.start_error)
    if environment.init_error is not None:
        kind, message = environment.init_error.error_type, ""
        with suppress(ValueError, LookupError, TypeError):
            message = str(json.loads(environment.init_error.payload)["errorMessage"])
        return f"{kind}: {message}" if message else str(kind)
    if environment.failure is not None:
        return f"{environment.failure.error_type}: {environment.failure.message}"
    if environment.ending:
        return _TIMED_OUT
    return outcomes.exit_message(environment.exit)

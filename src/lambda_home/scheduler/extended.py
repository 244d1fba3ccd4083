"""When an environment may go on that has extensions, and how it ends when one of them does.

The pool hears that a runtime asks for work only once its extensions do, too: in the init phase all
of them, later those that hear of invocations. Until then an invocation's timeout goes on. Without
extensions nothing is held back. See `extensions` for the rules.

A function with external extensions is always started for itself, never from a spare: a spare's
runtime waits already, and extensions come before the runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from lambda_home.clock import Clock
from lambda_home.sandboxes.base import Sandbox
from lambda_home.scheduler import events as on
from lambda_home.scheduler import outcomes, telling
from lambda_home.scheduler.environments import Environment
from lambda_home.scheduler.extension_lines import ExtensionLines
from lambda_home.scheduler.extensions import (
    CRASH,
    LAUNCH_ERROR,
    MOST_EXTENSIONS,
    Failure,
    ShutdownReason,
)
from lambda_home.scheduler.finishing import Finisher
from lambda_home.scheduler.spares import Spawn
from lambda_home.telemetry.hub import Telemetry
from lambda_home.telemetry.subscriptions import Subscription

_INIT_FAILED = "FUNCTION_ERROR_INIT_FAILURE"
_LAUNCHING = {
    "PermissionDenied": "permission denied",
    "ExecFormatError": "exec format error",
    "NoSuchFile": "no such file or directory",
}
_TOO_MANY = "TooManyExtensions"
_UNKNOWN = "UnknownError"
_WRITTEN = frozenset({"PermissionDenied", _TOO_MANY})

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Extended:
    """Environments with extensions, and those that may get some.

    `handle` feeds the pool, `end` stops an environment that the pool has let go, `init_went` hears
    how the init phase of a fleet's environment went: "" or why it failed.
    """

    clock: Clock
    sandbox: Sandbox
    finisher: Finisher
    spawn: Spawn
    handle: Callable[[on.Event], bool]
    end: Callable[[Environment], None]
    init_went: Callable[[str, str], None]

    # ------------------------------------------------------------------------------ beginning

    def expect(self, environment: Environment, names: Sequence[str]) -> None:
        """The supervisor is about to start these external extensions, and then the runtime."""
        environment.extensions.expect(names)
        environment.marked = ExtensionLines()
        self.listen(environment)

    def listen(self, environment: Environment) -> None:
        """It has extensions, which may subscribe to its telemetry."""
        if environment.telemetry is not None:
            return

        async def reach(port: int) -> tuple[str, int] | None:
            return await self.sandbox.reach(environment.sandbox_id, port)

        telemetry = environment.telemetry = Telemetry(
            reach, self.spawn, self.clock.now, json_lines=environment.system.is_json
        )
        began = environment.started_at
        ago = 0.0 if began is None else self.clock.monotonic() - began
        telling.init_start(environment, telemetry, self.clock.now() - ago)

    def subscribe(self, environment: Environment, name: str, wants: Subscription) -> None:
        """An extension subscribes to the telemetry. Raises SubscriptionRefusedError."""
        self.listen(environment)
        if environment.telemetry is not None:
            state = environment.telemetry.subscribe(name, wants)
            now = self.clock.now()
            api, types = wants.api.value, wants.types
            if line := environment.system.subscribed(api, name, state, types, now):
                environment.log.platform(line)

    # ------------------------------------------------------------------------------- going on

    def runtime_asks(self, environment: Environment, init_ms: float | None) -> None:
        """The runtime has polled for the first time, after `init_ms` if it knows."""
        if environment.asked_init_ms is None:
            now = self.clock.monotonic()
            environment.asked_init_ms = init_ms if init_ms is not None else _since(environment, now)
            environment.extensions.close()
            telling.runtime_ready(environment, None, self.clock.now())

    def go_on(self, environment: Environment) -> None:
        """A runtime or an extension has polled: tell the pool if that was all that was missing."""
        now = self.clock.monotonic()
        extensions = environment.extensions
        if environment.init_ms is None:
            if environment.asked_init_ms is None or extensions.behind:
                return
            self._init_over(environment, now)
            polls = len(environment.polls)
        else:
            if environment.slots == 1 and extensions.behind:
                return
            polls = min(1, len(environment.polls))
        if environment.to_report is not None:
            telling.extensions_done(environment, self.clock.now())
        for _ in range(polls):
            self.handle(on.Polled(environment.id, now))

    def _init_over(self, environment: Environment, now: float) -> None:
        init_ms = environment.asked_init_ms or 0.0
        if environment.extensions:
            init_ms = max(init_ms, _since(environment, now))
        environment.is_ready(now, init_ms)
        self.finisher.tell_init(environment)
        telling.init_over(environment, init_ms, None, self.clock.now())
        self.init_went(environment.version.run_key, "")

    # --------------------------------------------------------------------------- going wrong

    def not_started(self, environment: Environment, index: int, why: str) -> None:
        """The supervisor could not start an external extension."""
        known = why if why in _WRITTEN else _UNKNOWN
        name = environment.extensions.not_started(index, known)
        if name:
            reason = f"fork/exec /opt/extensions/{name}: {_LAUNCHING.get(why, why)}"
            too_many = why == _TOO_MANY
            failure = Failure(LAUNCH_ERROR, "ErrTooManyExtensions" if too_many else reason)
            self.fail(environment, failure)

    def runtime_waits(self, environment: Environment, start: Callable[[], None]) -> None:
        """The supervisor has started the extensions: `start` lets it go on with the runtime."""
        if len(environment.extensions.standings()) > MOST_EXTENSIONS:
            self.not_started(environment, MOST_EXTENSIONS, _TOO_MANY)
        else:
            environment.extensions.when_registered(start)

    def extension_ended(self, environment: Environment, index: int, code: int) -> None:
        """The process of an external extension has ended: while the environment lives, a crash."""
        extensions = environment.extensions
        if extensions.exited(index) and not environment.ending:
            error_type = extensions.first_error or CRASH
            self.fail(environment, Failure(error_type, outcomes.process_end(code)))

    def runtime_ended(self, environment: Environment, code: int) -> None:
        """The runtime has ended, and its supervisor and the extensions live on."""
        if environment.extensions.runtime_ended() and not environment.ending:
            environment.exit = outcomes.exit_of(environment.sandbox_id, code)
            self._bring_down(environment, outcomes.exit_type(environment.exit))

    def fail(self, environment: Environment, failure: Failure) -> None:
        """An extension ends its environment: whatever runs or waits in it fails with that."""
        if not environment.ending:
            _log.warning(
                "an extension ended its environment",
                type=failure.error_type,
                reason=failure.message,
                container_id=environment.id,
            )
            environment.failure = failure
            self._bring_down(environment, failure.error_type)

    def _bring_down(self, environment: Environment, error_type: str) -> None:
        environment.extensions.reason = ShutdownReason.FAILURE
        now = self.clock.monotonic()
        if environment.init_ms is None:
            self.finisher.tell_init(environment, error_type)
            if environment.asked_init_ms is None:
                telling.runtime_ready(environment, error_type, self.clock.now())
            init_ms = _since(environment, now)
            telling.init_over(environment, init_ms, error_type, self.clock.now())
            self.init_went(environment.version.run_key, _INIT_FAILED)
        self.handle(on.Exited(environment.id, now))
        self.end(environment)


def _since(environment: Environment, now: float) -> float:
    """How long the init phase has taken (ms)."""
    began = environment.started_at
    return 0.0 if began is None else (now - began) * 1000

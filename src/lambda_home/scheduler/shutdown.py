"""The end of an environment: at once, or after the shutdown phase of its extensions.

Without extensions it is killed. With internal ones alone the processes get SIGTERM and 500 ms. With
external ones there are 2,000 ms: the runtime gets SIGTERM and three tenths of them, then those that
registered for SHUTDOWN hear of it, and whoever is left at the end is killed. One that has done its
work exits, or polls again.
Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html; the share of
the runtime is that of AWS's runtime interface emulator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from lambda_home.clock import Clock
from lambda_home.sandboxes.base import Sandbox, SandboxError
from lambda_home.scheduler import telling
from lambda_home.scheduler.environments import Environment
from lambda_home.scheduler.extensions import INTERNAL_S, RUNTIME_SHARE, ShutdownReason


@dataclass(frozen=True, slots=True)
class ShutdownPhase:
    """Stops environments. `scale` makes tests shorter."""

    sandbox: Sandbox
    clock: Clock
    scale: float = 1.0

    async def stop(self, environment: Environment) -> None:
        """End an environment; returns when it is gone. May be called again while it goes on."""
        sigterm_s = 0.0
        environment.ending = True
        if environment.extensions:
            settle_reason(environment)
            await self._thaw(environment)
            grace_s = environment.extensions.grace_s * self.scale
            if grace_s <= INTERNAL_S * self.scale:
                sigterm_s = grace_s
            else:
                await self._phases(environment, grace_s)
        environment.dismiss()
        await self.sandbox.stop(environment.sandbox_id, sigterm_s)

    async def stop_extended(self, environments: Iterable[Environment]) -> None:
        """End those that have extensions, all at the same time."""
        extended = [e for e in environments if e.extensions.close()]
        await asyncio.gather(*(self.stop(e) for e in extended), return_exceptions=True)

    async def _thaw(self, environment: Environment) -> None:
        async with environment.freezer:
            with suppress(SandboxError):  # it has ended meanwhile, or is killed when time is up
                await self.sandbox.freeze(environment.sandbox_id, frozen=False)

    async def _phases(self, environment: Environment, grace_s: float) -> None:
        extensions = environment.extensions
        deadline_s = self.clock.outside() + grace_s
        with suppress(TimeoutError):
            await asyncio.wait_for(self._runtime_ends(environment), grace_s * RUNTIME_SHARE)
        telling.extensions_done(environment, self.clock.now())
        if environment.telemetry is not None:
            environment.telemetry.flush()
        over = asyncio.Event()
        extensions.shut_down(int(deadline_s * 1000), over.set)
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), max(0.0, deadline_s - self.clock.outside()))

    async def _runtime_ends(self, environment: Environment) -> None:
        """Have the supervisor end the runtime; where it has started none there is none to end."""
        extensions = environment.extensions
        if not extensions.supervised or not extensions.all_registered:
            return
        gone = asyncio.Event()
        extensions.when_runtime_gone(gone.set)
        extensions.end_runtime()
        await gone.wait()


def settle_reason(environment: Environment) -> None:
    """Why the environment ends, unless that is known already."""
    extensions = environment.extensions
    if extensions.reason is not ShutdownReason.SPINDOWN:
        return
    if environment.init_error is not None:
        extensions.reason = ShutdownReason.FAILURE
    elif environment.init_ms is None or (environment.slots == 1 and extensions.behind):
        extensions.reason = ShutdownReason.TIMEOUT

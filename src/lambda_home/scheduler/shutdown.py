"""The end of an environment: at once, or after the shutdown phase of its extensions.

Without extensions it is killed. Those that registered for SHUTDOWN get the event and 2,000 ms to
say that they are done; where all registered for INVOKE only, the processes get SIGTERM and 500 ms.
Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html

The server does not see single processes: an extension says that it is done by polling again, by
reporting an error, or by taking the environment along as it exits. One that exits beside a runtime
that lives on is waited for until the time is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from lambda_home.clock import Clock
from lambda_home.sandboxes.base import Sandbox, SandboxError
from lambda_home.scheduler.environments import Environment
from lambda_home.scheduler.extensions import INTERNAL_S, ShutdownReason


@dataclass(frozen=True, slots=True)
class ShutdownPhase:
    """Stops environments. `scale` makes tests shorter."""

    sandbox: Sandbox
    clock: Clock
    scale: float = 1.0

    async def stop(self, environment: Environment) -> None:
        """End an environment; returns when it is gone. May be called again while it goes on."""
        sigterm_s = 0.0
        if environment.extensions:
            await self._thaw(environment)
            grace_s = environment.extensions.grace_s * self.scale
            if grace_s <= INTERNAL_S * self.scale:
                sigterm_s = grace_s
            else:
                await self._extensions_end(environment, grace_s)
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

    async def _extensions_end(self, environment: Environment, grace_s: float) -> None:
        over = asyncio.Event()
        deadline_ms = int((self.clock.outside() + grace_s) * 1000)
        environment.extensions.shut_down(_reason(environment), deadline_ms, over.set)
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), grace_s)


def _reason(environment: Environment) -> ShutdownReason:
    if environment.extensions.timed_out:
        return ShutdownReason.TIMEOUT
    if environment.init_error is not None:
        return ShutdownReason.FAILURE
    return ShutdownReason.SPINDOWN

"""Reset: a running server without anything in it, in milliseconds, as tests want it.

Environments of deleted functions end in the background: names are free at once, because every
environment belongs to one version of one function, whatever comes to have its name. Spares stay,
access keys stay, settings stay.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from lambda_home.registry.clearing import Cleared, Clearing


class Keeping(Protocol):
    """Who keeps spares."""

    def hold(self) -> None:
        """Keep the spares that there are."""


class Waiting(Protocol):
    """Who has events in hand."""

    async def forget_removed(self) -> None:
        """Give up those that are not in the store any more."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Empties a server. `clear_logs` and `reload_routes` block; `reset_companion` need not wait.

    `clear_logs` is told whose logs go: an account's, or None for all.
    """

    clearing: Clearing
    spares: Keeping
    events: Waiting
    clear_logs: Callable[[str | None], None]
    reload_routes: Callable[[], None]
    reset_companion: Callable[[], Awaitable[None]]

    async def __call__(self, account: str | None = None) -> Cleared:
        """Delete everything of one account, or of all and the companion's; answers what there was.

        On return nothing of it is found any more. Raises ServiceException, with nothing deleted,
        if the registry cannot be written.
        """
        self.spares.hold()
        cleared = await asyncio.to_thread(self.clearing.clear, account)
        rest = asyncio.to_thread(self._rest, account)
        companion = [self.reset_companion()] if account is None else []
        await asyncio.gather(self.events.forget_removed(), rest, *companion)
        # What was told of each function is heard before anything that is called from here on.
        await asyncio.sleep(0)
        return cleared

    def _rest(self, account: str | None) -> None:
        self.reload_routes()
        self.clear_logs(account)

"""The companion that the settings name, if they name one."""

from __future__ import annotations

from typing import Final

from lambda_home.access.callers import Callers
from lambda_home.arns import Scope
from lambda_home.companion.calling import Inner, WithCompanion, new_host
from lambda_home.companion.child import MotoServer
from lambda_home.companion.forwarding import Companion, Elsewhere, Forwarder
from lambda_home.config import Settings

MOTO: Final = "moto"


class Beside:
    """Made first, because others need its address; `start` it once our functions can be called.

    Raises ConfigurationError where moto is asked for and not installed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._moto: MotoServer | None = None
        companion: Companion | None = None
        named = settings.aws.companion
        if named == MOTO:
            here = Scope(settings.aws.account_id, settings.aws.region)
            companion = self._moto = MotoServer(here)
        elif named:
            companion = Elsewhere(named)
        self._companion = companion
        self._host = new_host()
        self.forwarder = Forwarder(companion)

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports of this machine that nobody but the server should reach."""
        return (self._moto.port,) if self._moto is not None else ()

    @property
    def settings(self) -> Settings:
        """The settings, with the companion as endpoint of what has no other."""
        aws = self._settings.aws
        if self._companion is None or aws.endpoint_url:
            return self._settings
        there = aws.model_copy(update={"endpoint_url": self._companion.url})
        return self._settings.model_copy(update={"aws": there})

    def known(self, inner: Inner) -> Inner:
        """Who uses the runtime API's port: those whom `inner` knows, and the companion."""
        if self._moto is None:
            return inner
        here = Scope(self._settings.aws.account_id, self._settings.aws.region)
        return WithCompanion(inner, self._host, Callers(here))

    def start(self, functions_url: str) -> None:
        """Start what is ours to start; returns at once.

        It calls functions at `functions_url`, which must be the runtime API's (see `known`).
        """
        if self._moto is not None:
            self._moto.start(functions_url, self._host)

    async def reset(self) -> None:
        """Empty our own moto, if it is up; another's server is none of our business."""
        if self._moto is not None:
            await self._moto.reset()

    async def close(self) -> None:
        """End what was started."""
        if self._moto is not None:
            await self._moto.close()
        await self.forwarder.close()

"""How an environment comes to be: from a spare where one fits, else by a start of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lambda_home.clock import Clock
from lambda_home.sandboxes.base import (
    CodePreparer,
    Package,
    Prepared,
    Sandbox,
    SandboxError,
    SandboxSpec,
)
from lambda_home.scheduler.environments import Environment
from lambda_home.scheduler.spares import Spare, SpareKeeper, SpareSize
from lambda_home.scheduler.variables import fits_spare, variables


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts environments. `adopted` is told when one has taken over a spare's name and host."""

    sandbox: Sandbox
    preparer: CodePreparer
    clock: Clock
    spares: SpareKeeper
    adopted: Callable[[Environment, Spare], None]

    async def claim(self, environment: Environment, stream: str) -> bool:
        """Make a waiting spare this environment; False if there is none that fits.

        Raises SandboxError if the code cannot be unpacked.
        """
        package = await self._placeable(environment)
        if package is None:
            return False
        size = SpareSize.of(environment.version)
        while (spare := self.spares.take(size)) is not None:
            if await self._give(environment, spare, package, stream):
                return True
        return False

    async def start(self, environment: Environment, stream: str) -> None:
        """Start an environment where no spare waits. Raises SandboxError."""
        package = await self._placeable(environment)
        if package is not None:
            size = SpareSize.of(environment.version)
            try:
                spare = self.spares.take(size, starting=True) or await self.spares.start(size)
                await self.spares.until_ready(spare)
                if await self._give(environment, spare, package, stream):
                    return
            except SandboxError:
                if self.spares.possible(size.runtime):
                    raise
        await self._start_alone(environment, stream)

    async def _placeable(self, environment: Environment) -> Prepared | None:
        version = environment.version
        if not self.spares.possible(version.runtime) or not fits_spare(version):
            return None
        return await self.preparer.unpack(Package.of(version))

    async def _give(
        self, environment: Environment, spare: Spare, package: Prepared, stream: str
    ) -> bool:
        """Hand the function over; False if the spare is gone."""
        whole = self._variables(environment, stream)
        try:
            seen = await self.sandbox.place(spare.id, package, whole)
        except BaseException:
            await self.spares.discard(spare)
            raise
        if spare.give is None or not spare.is_ready:
            await self.spares.discard(spare)
            return False
        self.spares.claimed(spare)
        self.adopted(environment, spare)
        self._announce(environment)
        environment.started_at = self.clock.monotonic()
        spare.give(dict(seen))
        return True

    async def _start_alone(self, environment: Environment, stream: str) -> None:
        version = environment.version
        prepared = await self.preparer.prepare(Package.of(version))
        self._announce(environment)
        environment.started_at = self.clock.monotonic()
        await self.sandbox.start(
            SandboxSpec(
                id=environment.sandbox_id,
                host=environment.host,
                runtime=version.runtime,
                code=prepared.code,
                opt=prepared.opt,
                environment=self._variables(environment, stream),
                memory_mb=version.memory_mb,
                tmp_mb=version.tmp_mb,
                labels={"function": version.name, "version": version.version},
            )
        )

    @staticmethod
    def _variables(environment: Environment, stream: str) -> dict[str, str]:
        kind = "provisioned-concurrency" if environment.provisioned else "on-demand"
        whole = variables(environment.version, stream=stream, initialization_type=kind)
        if environment.slots > 1:
            whole["AWS_LAMBDA_MAX_CONCURRENCY"] = str(environment.slots)
        return whole

    def _announce(self, environment: Environment) -> None:
        version = environment.version
        environment.log.platform(f"INIT_START Runtime Version: {version.runtime}")
        warning = self.preparer.warning_for(Package.of(version))
        if warning:
            environment.log.platform(f"[WARNING] lambda_home: {warning}")

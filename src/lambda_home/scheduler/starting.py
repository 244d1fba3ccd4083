"""How an environment comes to be: from a spare where one fits, else by a start of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lambda_home.clock import Clock
from lambda_home.errors import KMSInvalidStateException, KMSNotFoundException
from lambda_home.packager.image_program import launch_error
from lambda_home.sandboxes.base import (
    OWN_ENDPOINT,
    CodePreparer,
    EntrypointError,
    Package,
    Prepared,
    Sandbox,
    SandboxError,
    SandboxSpec,
)
from lambda_home.scheduler.environments import Environment
from lambda_home.scheduler.machinery import Credentials, SecretValues
from lambda_home.scheduler.spares import Spare, SpareKeeper, SpareSize
from lambda_home.scheduler.variables import (
    fits_spare,
    secret_references,
    variables,
    with_image_variables,
)
from lambda_home.vault import VaultError


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts environments. `adopted` is told when one has taken over a spare's name and host.

    `extended` hears of the external extensions that are about to be started in an environment.
    """

    sandbox: Sandbox
    preparer: CodePreparer
    clock: Clock
    spares: SpareKeeper
    adopted: Callable[[Environment, Spare], None]
    extended: Callable[[Environment, Sequence[str]], None]
    secrets: SecretValues
    own_endpoint: bool
    credentials: Credentials

    async def claim(self, environment: Environment, stream: str) -> bool:
        """Make a waiting spare this environment; False if there is none that fits.

        Raises SandboxError if the code cannot be unpacked, KMSNotFoundException and
        KMSInvalidStateException for a secret that cannot be had.
        """
        package = await self._placeable(environment)
        if package is None:
            return False
        whole = await self._variables(environment, stream)
        size = SpareSize.of(environment.version)
        while (spare := self.spares.take(size)) is not None:
            if await self._give(environment, spare, package, whole):
                return True
        return False

    async def start(self, environment: Environment, stream: str) -> None:
        """Start an environment where no spare waits. Raises as `claim`."""
        whole = await self._variables(environment, stream)
        package = await self._placeable(environment)
        if package is not None:
            size = SpareSize.of(environment.version)
            try:
                spare = self.spares.take(size, starting=True) or await self.spares.start(size)
                await self.spares.until_ready(spare)
                if await self._give(environment, spare, package, whole):
                    return
            except SandboxError:
                if self.spares.possible(size.runtime):
                    raise
        await self._start_alone(environment, whole)

    async def _placeable(self, environment: Environment) -> Prepared | None:
        version = environment.version
        if not self.spares.possible(version.runtime) or not fits_spare(version):
            return None
        prepared = await self.preparer.unpack(Package.of(version))
        # Extensions start before the runtime, and a spare's runs already.
        return None if prepared is None or prepared.extensions else prepared

    async def _give(
        self,
        environment: Environment,
        spare: Spare,
        package: Prepared,
        whole: Mapping[str, str],
    ) -> bool:
        """Hand the function over; False if the spare is gone."""
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

    async def _start_alone(self, environment: Environment, whole: Mapping[str, str]) -> None:
        version = environment.version
        prepared = await self.preparer.prepare(Package.of(version))
        self._announce(environment)
        environment.started_at = self.clock.monotonic()
        program = prepared.program
        if program is not None:
            whole = with_image_variables(whole, program.variables)
        if prepared.unstartable:
            if program is not None:
                environment.log.platform(launch_error(program, prepared.unstartable))
            raise EntrypointError(prepared.unstartable)
        if prepared.extensions:
            self.extended(environment, prepared.extensions)
        await self.sandbox.start(
            SandboxSpec(
                id=environment.sandbox_id,
                host=environment.host,
                runtime=version.runtime,
                code=prepared.code,
                opt=prepared.opt,
                environment=whole,
                memory_mb=version.memory_mb,
                tmp_mb=version.tmp_mb,
                labels={"function": version.name, "version": version.version},
                extensions=prepared.extensions,
                program=program,
            )
        )

    async def _variables(self, environment: Environment, stream: str) -> dict[str, str]:
        """What the environment finds in its variables; the values of secrets are today's."""
        version = environment.version
        kind = "provisioned-concurrency" if environment.provisioned else "on-demand"
        if version.is_snap_started:
            kind = "snap-start"
        whole = variables(version, stream=stream, initialization_type=kind)
        whole |= self.credentials.begin(environment.id, version)
        references = secret_references(version)
        if references:
            whole |= await self._resolved(environment, references)
        if self.own_endpoint:
            whole.setdefault("AWS_ENDPOINT_URL", OWN_ENDPOINT)
        if environment.slots > 1:
            whole["AWS_LAMBDA_MAX_CONCURRENCY"] = str(environment.slots)
        return whole

    async def _resolved(
        self, environment: Environment, references: Mapping[str, str]
    ) -> dict[str, str]:
        """The values of variables that refer to secrets, `references` by variable."""
        scope, names = environment.version.scope, frozenset(references.values())
        try:
            values = await asyncio.to_thread(self.secrets, scope, names)
        except VaultError as error:
            raise KMSInvalidStateException(
                "Lambda was unable to decrypt the environment variables because a secret that"
                f" {', '.join(references)} refers to cannot be read. {error}"
            ) from error
        for variable, name in references.items():
            if name not in values:
                raise KMSNotFoundException(
                    f"Lambda was unable to decrypt the environment variables because {variable}"
                    f" refers to the secret {name}, which does not exist in {scope.region} of"
                    f" account {scope.account}. Please create it, or correct the variable."
                )
        return {variable: values[name] for variable, name in references.items()}

    def _announce(self, environment: Environment) -> None:
        version = environment.version
        lines = environment.system.init_start(
            version, provisioned=environment.provisioned, now=self.clock.now()
        )
        for line in lines:
            environment.log.platform(line)
        warning = self.preparer.warning_for(Package.of(version))
        if warning:
            environment.log.platform(f"[WARNING] lambda_home: {warning}")

"""Which functions are under a debugger, and what that makes of them.

A function under a debugger is another version to all that runs it: one environment, which is
started at once, with a debugger in it that listens before any code of the function is loaded. The
registry and what people are told stay as they are. Sessions end with the server.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from lambda_home.arns import FunctionRef, Scope
from lambda_home.clock import Clock
from lambda_home.debugging.adapter import debugpy_layer
from lambda_home.debugging.forwarding import Forwarder, Target
from lambda_home.debugging.launching import (
    PYTHON,
    Attachable,
    family_of,
    launch_configuration,
)
from lambda_home.errors import InvalidParameterValueException, ResourceNotFoundException
from lambda_home.functions import FunctionVersion, Layer
from lambda_home.invoker.provisioning import slots_of
from lambda_home.packager.store import CodeStore
from lambda_home.registry.changes import Change, ChangeKind
from lambda_home.registry.database import Database
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.scheduler import events as on
from lambda_home.scheduler.environments import Environment
from lambda_home.scheduler.scheduler import Scheduler
from lambda_home.scheduler.variables import DEBUGGER

_ADAPTER_MB = 256
"""What debugpy takes besides the function, in its process and in one of its own."""
_LISTENS_WITHIN_S = 30.0
_LOOK_S = 0.02
_ARN = "arn:aws:lambda:us-east-1:000000000000:layer:lambda-home-debugger:1"


@dataclass(frozen=True, slots=True)
class Session:
    """A function under a debugger; `bind` is the address that it listens on in its sandbox."""

    id: str
    ref: FunctionRef
    family: str
    layers: tuple[Layer, ...]
    bind: str

    def of(self, version: FunctionVersion) -> FunctionVersion:
        """A version as it runs under the debugger."""
        python = self.family == PYTHON
        return replace(
            version,
            run_key=f"{version.run_key}-{self.id}",
            memory_mb=version.memory_mb + (_ADAPTER_MB if python else 0),
            layers=(*version.layers, *self.layers),
            environment={**(version.environment or {}), DEBUGGER: f"{self.bind}:0"},
        )


class Sessions:
    """All sessions; may be asked in any thread."""

    def __init__(self) -> None:
        self._by_name: dict[tuple[Scope, str], Session] = {}

    def get(self, ref: FunctionRef) -> Session | None:
        """The session of a function, None if there is none."""
        return self._by_name.get((ref.scope, ref.name))

    def put(self, ref: FunctionRef, session: Session | None) -> None:
        """Begin or end a session."""
        if session is None:
            self._by_name.pop((ref.scope, ref.name), None)
        else:
            self._by_name[ref.scope, ref.name] = session

    def of(self, version: FunctionVersion) -> FunctionVersion:
        """What runs of a version: published ones are never debugged."""
        session = self._by_name.get((version.scope, version.name))
        if session is None or not version.is_latest or not _has(version, session.family):
            return version
        return session.of(version)

    def code_keys(self) -> frozenset[str]:
        """The keys of what debuggers are made of."""
        found = [layer.key for each in list(self._by_name.values()) for layer in each.layers]
        return frozenset(found)


class RunningFunctions(FunctionRegistry):
    """The registry as those who run functions see it: with debuggers."""

    def __init__(
        self, database: Database, on_change: Callable[[Change], None], sessions: Sessions
    ) -> None:
        super().__init__(database, on_change)
        self._sessions = sessions

    def get(self, ref: FunctionRef) -> FunctionVersion:
        """As the registry's."""
        return self._sessions.of(super().get(ref))

    def versions(self, scope: Scope, name: str) -> list[FunctionVersion]:
        """As the registry's."""
        return [self._sessions.of(version) for version in super().versions(scope, name)]

    def run_keys(self, scope: Scope, name: str) -> frozenset[str]:
        """As the registry's."""
        if self._sessions.get(FunctionRef(scope, name)) is None:
            return super().run_keys(scope, name)
        return frozenset(version.run_key for version in self.versions(scope, name))


@dataclass(frozen=True, slots=True)
class Running:
    """Where environments run; `own_network`: not in this machine's own."""

    scheduler: Scheduler
    clock: Clock
    own_network: bool


class Debugging:
    """Begins and ends sessions. `told` hears that what runs of a function has changed."""

    def __init__(
        self,
        sessions: Sessions,
        registry: FunctionRegistry,
        store: CodeStore,
        running: Running,
        told: Callable[[Change], None],
    ) -> None:
        self._sessions = sessions
        self._registry = registry
        self._store = store
        self._scheduler = running.scheduler
        self._clock = running.clock
        self._told = told
        # Where environments share this machine's network, nobody else's needs to reach them.
        self._bind = "0.0.0.0" if running.own_network else "127.0.0.1"  # noqa: S104
        self._ports: dict[str, tuple[Forwarder, int]] = {}
        self._changing = asyncio.Lock()

    async def begin(self, ref: FunctionRef, port: int = 0) -> None:
        """Put a function under a debugger that listens on a port, or any free one.

        One that is already keeps its session, and its port unless another is asked for. Raises
        ResourceNotFoundException, InvalidParameterValueException.
        """
        async with self._changing:
            version = await asyncio.to_thread(self._registry.get, ref)
            family = family_of("" if version.is_image else version.runtime)
            if slots_of(version) > 1:
                raise InvalidParameterValueException(
                    "A function that takes several invocations at once cannot be debugged here:"
                    " let it take one (AWS_LAMBDA_MAX_CONCURRENCY, or its capacity provider)."
                )
            known = self._sessions.get(ref)
            if known is not None:
                if known.family == family and port in (0, self._ports[known.id][1]):
                    return
                await self._end(ref, known)
            layers = await asyncio.to_thread(self._layers, family)
            session = Session(secrets.token_hex(4), ref, family, layers, self._bind)
            forwarder = Forwarder(family, partial(self._target, session), self._attached)
            self._ports[session.id] = (forwarder, await forwarder.open(port))
            self._sessions.put(ref, session)
            await self._tell(ref)

    async def end(self, ref: FunctionRef) -> bool:
        """Run a function without a debugger again; False if it had none."""
        async with self._changing:
            session = self._sessions.get(ref)
            if session is not None:
                await self._end(ref, session)
            return session is not None

    async def close(self) -> None:
        """End all ports."""
        ports, self._ports = self._ports, {}
        await asyncio.gather(*(forwarder.close() for forwarder, _ in ports.values()))

    async def look(self, ref: FunctionRef, here: str) -> dict[str, Any]:
        """How a session goes, and how to attach; `here` is where the code lies for its author.

        Raises ResourceNotFoundException for a function without a debugger.
        """
        version = await asyncio.to_thread(self._registry.get, ref)
        session = self._sessions.get(ref)
        if session is None:
            raise ResourceNotFoundException(f"No debugger is on for: {ref.arn}")
        forwarder, port = self._ports[session.id]
        environment = self._listening(session)
        there = environment.debugger.task_root if environment and environment.debugger else ""
        attachable = Attachable(version.name, session.family, port, here, there or "/var/task")
        return {
            "FunctionArn": version.arn,
            "Port": port,
            "State": "Listening" if environment is not None else "Starting",
            "Attached": forwarder.attached,
            "LaunchConfiguration": launch_configuration(attachable),
        }

    def code_keys(self) -> frozenset[str]:
        """What must not be removed: the code that environments run, and debuggers."""
        return self._scheduler.code_keys() | self._sessions.code_keys()

    # --------------------------------------------------------------------------------------------

    async def _end(self, ref: FunctionRef, session: Session) -> None:
        self._sessions.put(ref, None)
        forwarder, _ = self._ports.pop(session.id)
        await forwarder.close()
        await self._tell(ref)

    async def _tell(self, ref: FunctionRef) -> None:
        """From a thread, as the registry does: whoever hears of it is through before the caller."""
        change = Change(ref.scope, ref.name, ChangeKind.CONFIGURED)
        await asyncio.to_thread(self._told, change)

    def _layers(self, family: str) -> tuple[Layer, ...]:
        if family != PYTHON:
            return ()
        code = self._store.put(debugpy_layer())
        return (Layer(_ARN, code.key, code.size),)

    async def _target(self, session: Session) -> Target | None:
        """Where the session's debugger listens; waits for it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + _LISTENS_WITHIN_S
        while loop.time() < until and session.id in self._ports:
            environment = self._listening(session)
            if environment is not None and environment.debugger is not None:
                found = environment.debugger
                return Target(environment.id, found.host, found.port)
            await asyncio.sleep(_LOOK_S)
        return None

    def _listening(self, session: Session) -> Environment | None:
        """The newest environment of a session whose debugger listens."""
        environments, _ = self._scheduler.look()
        for environment in reversed(environments):
            is_its = environment.version.run_key.endswith(f"-{session.id}")
            if is_its and environment.debugger is not None:
                return environment
        return None

    def _attached(self, environment_id: str, attached: bool) -> None:  # noqa: FBT001
        event = on.DebuggerAttached(environment_id, attached, self._clock.monotonic())
        self._scheduler.pool.handle(event)  # nothing is to be performed then


def _has(version: FunctionVersion, family: str) -> bool:
    """Whether a version still is of the family that the session began with."""
    return not version.is_image and version.runtime.startswith(family)

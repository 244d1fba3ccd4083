"""What an invocation needs to know of its function, held in memory for the warm path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from lambda_home.arns import LATEST, LATEST_PUBLISHED, FunctionRef, Scope, function_arn
from lambda_home.errors import (
    ResourceConflictException,
    ResourceNotFoundException,
    SnapStartNotReadyException,
)
from lambda_home.functions import FunctionVersion, State
from lambda_home.invoker.admission import Admission
from lambda_home.invoker.provisioning import Provisioner, Sources, spread
from lambda_home.invoker.rate_limits import RateLimits, TokenBucket
from lambda_home.invoker.recursion import identity
from lambda_home.invoker.routing import Route
from lambda_home.packager.deployer import Deployer
from lambda_home.registry.aliases import weights_of
from lambda_home.registry.changes import Change, ChangeKind, ConfigKind
from lambda_home.registry.rows import number_of

_Key = tuple[Scope, str]
_ALL_BUT_CAPACITY = (ChangeKind.CREATED, ChangeKind.UPDATED, ChangeKind.SETTLED)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A function under one qualifier.

    `identity` is its name in lineages, `bucket` its rate limit, None without one; `loops_allowed`
    and `per_tenant` say whether it may be invoked in a loop and has environments for each tenant.
    """

    route: Route
    identity: str
    bucket: TokenBucket | None
    loops_allowed: bool
    per_tenant: bool


class Resolver:
    """Looks functions up; keeps what it found until the registry tells of a change."""

    def __init__(
        self,
        sources: Sources,
        deployer: Deployer,
        admission: Admission,
        provisioner: Provisioner,
        monotonic: Callable[[], float],
        *,
        strict_states: bool = False,
    ) -> None:
        self._sources = sources
        self._deployer = deployer
        self._admission = admission
        self._provisioner = provisioner
        self._monotonic = monotonic
        self._strict_states = strict_states
        self._limits = RateLimits()
        self._found: dict[_Key, dict[str | None, Resolved]] = {}
        self._generation: dict[_Key, int] = {}
        self._outdated: set[Scope] = set()
        self._loading = asyncio.Lock()
        self.hits = self.misses = self.forgotten = 0

    def at_hand(self, ref: FunctionRef) -> Resolved | None:
        """What is known of a function; None if it must be looked up."""
        found = self._found.get((ref.scope, ref.name), {}).get(ref.qualifier)
        if found is not None:
            self.hits += 1
        return found

    @property
    def size(self) -> int:
        """How many functions, each under a qualifier, are held."""
        return sum(map(len, self._found.values()))

    async def look_up(self, ref: FunctionRef) -> Resolved:
        """Read a function, wait until it can run, and keep what was found.

        Raises ResourceNotFoundException, ResourceConflictException if it cannot run.
        """
        self.misses += 1
        key = (ref.scope, ref.name)
        # AWS names $LATEST in the error of an invoke without a qualifier.
        qualified = replace(ref, qualifier=ref.qualifier or LATEST)
        while True:
            generation = self._generation.get(key, 0)
            route, limit, loops_allowed = await asyncio.to_thread(
                self._read, qualified, named=ref.qualifier is not None
            )
            versions = [v for v in (route.main, route.other) if v is not None]
            for each in versions:
                _refuse_unrunnable(each, strict=self._strict_states)
            busy = [v for v in versions if v.status.busy]
            if not busy:
                break
            for version in busy:
                await self._deployer.when_settled(replace(ref, qualifier=version.version))
        for version in versions:
            await self._deployer.check_runtime(version)
        await self.load_capacity(ref.scope)
        await self._provisioner.settle(ref.scope, ref.name)
        resolved = Resolved(
            route,
            identity(function_arn(ref.scope, ref.name)),
            self._limits.set(key, limit, self._monotonic()),
            loops_allowed,
            per_tenant=_is_per_tenant(route.main),
        )
        if generation == self._generation.get(key, 0):  # nothing changed while we looked
            self._found.setdefault(key, {})[ref.qualifier] = resolved
        return resolved

    def forget(self, change: Change) -> None:
        """Forget what was found of a function, at once."""
        key = (change.scope, change.name)
        self.forgotten += len(self._found.pop(key, {}))
        self._generation[key] = self._generation.get(key, 0) + 1
        if change.kind not in _ALL_BUT_CAPACITY:
            self._outdated.add(change.scope)

    async def load_capacity(self, scope: Scope) -> None:
        """Read what functions have for themselves again if it changed, or was never read."""
        async with self._loading:  # whoever comes while it is read waits for the new value
            while scope in self._outdated or not self._admission.knows(scope):
                self._outdated.discard(scope)
                reserved, provisioned = await asyncio.to_thread(self._capacity, scope)
                if scope not in self._outdated:  # else it changed while we read
                    self._admission.configure(scope, reserved, provisioned)

    # --------------------------------------------------------------------------------------------

    def _read(self, ref: FunctionRef, *, named: bool) -> tuple[Route, int | None, bool]:
        """The versions, invocations per second where limited, and whether loops are allowed.

        A function on managed instances whose qualifier is not `named` runs `$LATEST.PUBLISHED`, if
        that was published. Source: "$LATEST.PUBLISHED version" in the Developer Guide.
        """
        route = self._route(ref)
        if not named and "CapacityProviderConfig" in route.main.documents:
            with suppress(ResourceNotFoundException):
                route = self._route(replace(ref, qualifier=LATEST_PUBLISHED))
        limit = self._sources.configs.get(ref, ConfigKind.RATE_LIMIT)
        recursion = self._sources.configs.get(ref, ConfigKind.RECURSION)
        per_second = None if limit is None else int(limit["per_second"])
        return route, per_second, (recursion or {}).get("RecursiveLoop") == "Allow"

    def _route(self, ref: FunctionRef) -> Route:
        registry = self._sources.registry
        if number_of(ref.qualifier) is not None:
            return Route(registry.get(ref))
        alias = self._sources.aliases.of(ref).get(ref.qualifier or "")
        if alias is None:
            return Route(registry.get(ref))  # which says that there is none
        main = registry.get(replace(ref, qualifier=alias["FunctionVersion"]))
        for version, weight in weights_of(alias).items():
            return Route(main, registry.get(replace(ref, qualifier=version)), weight)
        return Route(main)

    def _capacity(self, scope: Scope) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
        """Reserved concurrency by function, provisioned by function and version."""
        registry = self._sources.registry
        provisioned = {
            name: spread(counts, self._sources.aliases.of(FunctionRef(scope, name)))
            for name, counts in registry.provisioned(scope).items()
        }
        return registry.reserved(scope), provisioned


def _refuse_unrunnable(version: FunctionVersion, *, strict: bool) -> None:
    """Raise ResourceConflictException if it cannot run, if `strict` also if it cannot run yet."""
    prefix = "The operation cannot be performed at this time."
    state = version.status.state
    if strict and state is State.PENDING and version.is_snap_started:
        raise SnapStartNotReadyException(
            "Lambda is initializing your function. You can invoke the function when the function"
            " state becomes Active."
        )
    if state is State.FAILED or (strict and state is State.PENDING):
        reason = f". {version.status.reason}" if state is State.FAILED else ""
        raise ResourceConflictException(
            f"{prefix} The function is currently in the following state: {state}{reason}"
        )


def _is_per_tenant(version: FunctionVersion) -> bool:
    config = version.documents.get("TenancyConfig")
    return isinstance(config, Mapping) and config.get("TenantIsolationMode") == "PER_TENANT"

"""Keeps the scheduler's plans in line with what is configured: how many environments, how filled.

A plan comes from the provisioned concurrency of a version and its aliases, from its scaling
configuration, and from how many invocations one environment takes at a time.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html,
https://docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances.html
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, Self

import structlog

from lambda_home.arns import LATEST, LATEST_PUBLISHED, FunctionRef, Scope
from lambda_home.errors import ResourceNotFoundException
from lambda_home.functions import FunctionVersion, State
from lambda_home.invoker.routing import shares
from lambda_home.registry.aliases import Aliases, weights_of
from lambda_home.registry.changes import Change, ChangeKind, ConfigKind
from lambda_home.registry.configs import FunctionConfigs
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.scheduler.events import FleetPlan
from lambda_home.scheduler.restoring import INIT_S
from lambda_home.scheduler.variables import DEBUGGER

MAX_CONCURRENCY_VARIABLE = "AWS_LAMBDA_MAX_CONCURRENCY"
MOST_SLOTS = 1600
_DEBUGGER_S = 120.0  # for loading a debugger
_NO_PLAN = FleetPlan()
_CONFIGURED = (ConfigKind.PROVISIONED, ConfigKind.SCALING, ConfigKind.ALIAS)
_Key = tuple[Scope, str]

_log = structlog.get_logger(__name__)


class Standing(Protocol):
    """How far a fleet's provisioned environments are."""

    @property
    def available(self) -> int:
        """Environments that are ready for work, or at it."""

    @property
    def allocated(self) -> int:
        """Environments that have been started."""

    @property
    def failure(self) -> str | None:
        """Why no more can be started; None while all goes well."""


class Fleets(Protocol):
    """What a scheduler does with plans."""

    def plan(self, version: FunctionVersion, plan: FleetPlan) -> None:
        """Have so many environments of a version from now on."""

    def standing(self, version: FunctionVersion) -> Standing:
        """How far the plan of a version is."""

    def prewarm(self, version: FunctionVersion, count: int) -> None:
        """Start environments ahead, which go as any others when they stay idle."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the configuration of functions is."""

    registry: FunctionRegistry
    configs: FunctionConfigs
    aliases: Aliases


@dataclass(frozen=True, slots=True)
class Allocation:
    """What became of provisioned concurrency that was asked for."""

    allocated: int
    available: int
    status: str
    reason: str | None = None


class Provisioner:
    """Plans the fleets of functions whenever something changes, and at the start.

    As a context manager it follows changes while it is entered.
    """

    def __init__(
        self,
        sources: Sources,
        fleets: Fleets,
        *,
        prewarm_on_create: bool,
        most_environments: int,
    ) -> None:
        self._sources = sources
        self._fleets = fleets
        self._prewarm_on_create = prewarm_on_create
        self._most = most_environments
        self._planned: dict[_Key, dict[str, tuple[FunctionVersion, FleetPlan]]] = {}
        self._changed: set[_Key] = set()
        self._new: set[_Key] = set()
        self._wake = asyncio.Event()
        self._busy = False
        self._order: defaultdict[_Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Plan what was configured before, and from then on what changes."""
        for kind in (ConfigKind.PROVISIONED, ConfigKind.SCALING):
            found = await asyncio.to_thread(self._sources.configs.everywhere, kind)
            self._changed.update((scope, name) for scope, name, _ in found)
        self._wake.set()
        self._task = asyncio.get_running_loop().create_task(self._run())
        return self

    async def __aexit__(self, *ended: object) -> None:
        """Plan nothing any more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def behind(self) -> bool:
        """Whether there are changes that no plan follows yet."""
        return bool(self._changed) or self._wake.is_set() or self._busy

    def changed(self, change: Change) -> None:
        """Follow a change of a function."""
        if change.kind is ChangeKind.CREATED:
            self._new.add((change.scope, change.name))
        elif change.kind is ChangeKind.DELETED:
            self._new.discard((change.scope, change.name))
        self._changed.add((change.scope, change.name))
        self._wake.set()

    async def settle(self, scope: Scope, name: str) -> None:
        """Plan the fleets of one function now."""
        async with self._order[scope, name]:
            versions, wanted = await asyncio.to_thread(self._read, scope, name)
            before = self._planned.pop((scope, name), {})
            now = {}
            for version in versions:
                plan = wanted[version.version]
                old = before.pop(version.run_key, (version, _NO_PLAN))[1]
                if plan != old:
                    self._fleets.plan(version, plan)
                if plan != _NO_PLAN:
                    now[version.run_key] = (version, plan)
            for gone, _ in before.values():
                self._fleets.plan(gone, _NO_PLAN)
            if now:
                self._planned[scope, name] = now

    def created(self, version: FunctionVersion) -> None:
        """A new function can run: start an environment ahead, where that is wanted."""
        if self._prewarm_on_create:
            self._fleets.prewarm(version, 1)

    async def allocation(self, ref: FunctionRef, requested: int) -> Allocation:
        """What became of the `requested` environments of the version or alias that `ref` names."""
        aliases = await asyncio.to_thread(self._sources.aliases.of, ref)
        own = spread({ref.qualifier or "": requested}, aliases)
        planned = self._planned.get((ref.scope, ref.name), {})
        allocated = available = 0
        failure: str | None = None
        for version, plan in planned.values():
            count = own.get(version.version, 0)
            if count and plan.provisioned:
                standing = self._fleets.standing(version)
                allocated += min(count, standing.allocated * plan.slots)
                available += min(count, standing.available * plan.slots)
                failure = failure or standing.failure
        if available >= requested:
            return Allocation(allocated, available, "READY")
        if failure is not None:
            return Allocation(allocated, available, "FAILED", failure)
        return Allocation(allocated, available, "IN_PROGRESS")

    # --------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._busy = True
            while self._changed:
                scope, name = self._changed.pop()
                try:
                    await self.settle(scope, name)
                    if (scope, name) in self._new:
                        await self._greet(scope, name)
                except ResourceNotFoundException:  # deleted meanwhile
                    self._new.discard((scope, name))
                except Exception:  # one function's trouble must not keep the others waiting
                    _log.exception("the fleets of a function could not be planned", function=name)
            self._busy = False

    def _read(self, scope: Scope, name: str) -> tuple[list[FunctionVersion], dict[str, FleetPlan]]:
        """All versions that can run, and the plan of each."""
        ref = FunctionRef(scope, name)
        versions = self._sources.registry.versions(scope, name)
        try:
            asked, scaling, aliases = self._sources.configs.all_of_kinds(ref, _CONFIGURED)
        except ResourceNotFoundException:
            return [], {}
        counts = {qualifier: document["Requested"] for qualifier, document in asked.items()}
        wanted = plans(versions, spread(counts, aliases), scaling, self._most, targets(aliases))
        return [version for version in versions if _can_run(version)], wanted

    async def _greet(self, scope: Scope, name: str) -> None:
        latest = await asyncio.to_thread(self._sources.registry.get, FunctionRef(scope, name))
        if _can_run(latest):
            self._new.discard((scope, name))
            self.created(latest)


def plans(
    versions: Sequence[FunctionVersion],
    provisioned: Mapping[str, int],
    scaling: Mapping[str, Mapping[str, Any]],
    most_environments: int,
    named: frozenset[str] = frozenset(),
) -> dict[str, FleetPlan]:
    """The plan of each version of a function.

    `provisioned` is concurrency by version, `scaling` the scaling configurations by version,
    `$LATEST` or `$LATEST.PUBLISHED`, which is the newest published version unless it has its own.
    No version keeps more than `most_environments` ready: its account could not use them. Of
    versions with SnapStart the newest and those that aliases have (`named`) keep an environment.
    """
    numbered = [version.version for version in versions if not version.is_latest]
    found = dict(scaling)
    newest = found.pop(LATEST_PUBLISHED, None)
    if newest is not None and numbered:
        found.setdefault(numbered[-1], newest)
    made = {}
    for version in versions:
        if DEBUGGER in (version.environment or {}):
            made[version.version] = FleetPlan(minimum=1, maximum=1, init_s=_DEBUGGER_S)
            continue
        slots = slots_of(version)
        ahead = math.ceil(provisioned.get(version.version, 0) / slots)
        bounds = found.get(version.version, {})
        kept = version.is_snap_started and version.version in {*numbered[-1:], *named}
        least = max(bounds.get("MinExecutionEnvironments", 0), int(kept))
        most = bounds.get("MaxExecutionEnvironments")
        made[version.version] = FleetPlan(
            slots=slots,
            minimum=max(min(least, most_environments), ahead),
            maximum=None if most is None else max(most, ahead),
            provisioned=ahead,
            init_s=INIT_S if version.is_snap_started else None,
        )
    return made


def targets(aliases: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """The versions that aliases lead to."""
    found = [[alias["FunctionVersion"], *weights_of(alias)] for alias in aliases.values()]
    return frozenset(version for versions in found for version in versions)


def spread(counts: Mapping[str, int], aliases: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Provisioned concurrency by qualifier, an alias too, as that of versions."""
    totals: Counter[str] = Counter()
    for qualifier, count in counts.items():
        if qualifier in aliases:
            alias = aliases[qualifier]
            totals.update(shares(count, alias["FunctionVersion"], weights_of(alias)))
        elif qualifier.isdigit():
            totals[qualifier] += count
    totals.pop(LATEST, None)  # an alias may have moved there, which has no provisioned concurrency
    return {version: count for version, count in totals.items() if count}


def slots_of(version: FunctionVersion) -> int:
    """How many invocations of a version run in one environment at a time.

    From its capacity provider configuration, else from AWS_LAMBDA_MAX_CONCURRENCY in its
    environment if that is a number from 1 to 1600, else 1.
    """
    config = version.documents.get("CapacityProviderConfig")
    if isinstance(config, Mapping):
        instances = config.get("LambdaManagedInstancesCapacityProviderConfig", {})
        most = instances.get("PerExecutionEnvironmentMaxConcurrency")
        if isinstance(most, int):
            return most
    text = (version.environment or {}).get(MAX_CONCURRENCY_VARIABLE, "")
    if text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= MOST_SLOTS:
        return int(text[:5])
    return 1


def _can_run(version: FunctionVersion) -> bool:
    return version.status.state is State.ACTIVE and not version.status.busy

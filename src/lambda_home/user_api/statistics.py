"""What the server looks up about itself when somebody asks: readings for metrics, statistics."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from lambda_home.arns import FunctionRef
from lambda_home.functions import FunctionVersion, State
from lambda_home.invoker.async_queue import AsyncQueue
from lambda_home.invoker.resolution import Resolver
from lambda_home.metrics import Metrics, Readings, Version
from lambda_home.registry.functions import FunctionRegistry
from lambda_home.scheduler.pool import EnvironmentState
from lambda_home.scheduler.scheduler import Scheduler

_S = EnvironmentState
_SEED_STATES: Final = {
    _S.STARTING: "Initializing",
    _S.IDLE: "WarmIdle",
    _S.FROZEN: "Stopped",
    _S.BUSY: "Active",
    _S.ANSWERED: "Active",
    _S.STOPPING: "Stopping",
}
"""States in Lambda@Home's words; it stops idle containers where this server freezes them."""

_MB_PER_CPU: Final = 1769
_NO_CACHE: Final = {"hits": 0, "misses": 0, "evictions": 0, "invalidations": 0}


class Dropping(Protocol):
    """A log store that says how many lines it could not keep."""

    @property
    def dropped(self) -> int:
        """How many."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The parts of the server that are looked at; `docker` asks the daemon, where there is one."""

    registry: FunctionRegistry
    scheduler: Scheduler
    events: AsyncQueue
    resolver: Resolver
    logs: Dropping
    sandbox: str
    docker: Callable[[], Awaitable[dict[str, Any] | None]]


class Statistics:
    """Answers from the parts; everything runs on the event loop, but for what reads a file."""

    def __init__(self, metrics: Metrics, parts: Observed, monotonic: Callable[[], float]) -> None:
        self._metrics = metrics
        self._parts = parts
        self._monotonic = monotonic

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """All metrics and their content type; series of functions that are gone go first."""
        parts = self._parts
        known = set(self._metrics.versions())
        existing = {
            (entry.scope, entry.name, entry.version)
            for entry in await asyncio.to_thread(parts.registry.overview)
        }
        self._metrics.drop(known - existing)
        oldest_s = await asyncio.to_thread(parts.events.oldest_age_s)
        readings = self._readings(oldest_s)

        def written() -> tuple[bytes, str]:
            from lambda_home.exposition import exposition  # noqa: PLC0415  see that module

            return exposition(self._metrics, readings, accept)

        return await asyncio.to_thread(written)

    async def pool_of(self, ref: FunctionRef) -> dict[str, Any]:
        """The environments of a function (of one version, if `ref` has a qualifier).

        Raises ResourceNotFoundException.
        """
        found = await asyncio.to_thread(self._parts.registry.get, ref)
        now = self._monotonic()
        environments, _ = self._parts.scheduler.look()
        entries: list[dict[str, Any]] = []
        for environment in environments:
            version = environment.version
            state = self._parts.scheduler.pool.state_of(environment.id)
            same = (version.scope, version.name) == (ref.scope, ref.name)
            if (
                not same
                or state is None
                or (ref.qualifier is not None and version.version != found.version)
            ):
                continue
            idle = state in (_S.IDLE, _S.FROZEN)
            entries.append(
                {
                    "container_id": environment.sandbox_id,
                    "state": _SEED_STATES[state],
                    "idle_for_ms": int((now - environment.used_at) * 1000) if idle else 0,
                }
            )
        states = Counter(entry["state"] for entry in entries)
        return {
            "total": len(entries),
            "warm_idle": states["WarmIdle"],
            "active": states["Active"],
            "stopped": states["Stopped"],
            "entries": entries,
        }

    async def service(self) -> dict[str, Any]:
        """Lambda@Home's statistics of the service: functions, environments, the last 24 hours."""
        functions = [
            entry
            for entry in await asyncio.to_thread(self._parts.registry.overview)
            if entry.is_latest
        ]
        states = Counter(entry.state for entry in functions)
        memory = [entry.memory_mb for entry in functions if entry.state is State.ACTIVE]
        environments = Counter(
            state
            for environment in self._parts.scheduler.look()[0]
            if (state := self._parts.scheduler.pool.state_of(environment.id)) is not None
        )
        active = environments[_S.BUSY] + environments[_S.ANSWERED]
        idle = environments[_S.IDLE] + environments[_S.FROZEN]
        day = self._metrics.day.sum(self._monotonic())
        return {
            "total_functions": len(functions),
            "active_functions": states[State.ACTIVE],
            "stopped_functions": states[State.INACTIVE],
            "failed_functions": states[State.FAILED],
            "total_memory_mb": sum(memory),
            "total_cpu_cores": sum(-(-each // _MB_PER_CPU) for each in memory),
            "warm_containers": active + idle,
            "active_containers": active,
            "idle_containers": idle,
            "total_invocations_24h": day.count,
            "successful_invocations_24h": day.count - day.failed,
            "failed_invocations_24h": day.failed,
            "avg_duration_ms": day.total_ms / day.count if day.count else 0.0,
            "max_duration_ms": day.most_ms,
            "min_duration_ms": day.least_ms if day.count else 0.0,
        }

    async def docker(self) -> dict[str, Any]:
        """The daemon's own figures (null where functions run as processes), and our cache's.

        Of Lambda@Home's four caches there is one: settings, variables and secrets are read when
        they are needed, never from a cache.
        """
        parts = self._parts
        said = await parts.docker()
        resolver = parts.resolver
        asked = resolver.hits + resolver.misses
        functions = {
            "hits": resolver.hits,
            "misses": resolver.misses,
            "evictions": 0,
            "invalidations": resolver.forgotten,
            "hit_rate": resolver.hits / asked if asked else 0.0,
            "size": resolver.size,
        }
        none = {**_NO_CACHE, "hit_rate": 0.0, "size": 0}
        others = dict.fromkeys(("concurrency", "env_vars", "secrets"), none)
        return {
            **(said or {"system_info": None, "disk_usage": None, "version": None}),
            "cache_stats": {"functions": functions, **others},
        }

    def _readings(self, oldest_s: float) -> Readings:
        parts = self._parts
        pool = parts.scheduler.pool
        queued: Counter[Version] = Counter()
        states: dict[Version, Counter[str]] = defaultdict(lambda: Counter(dict.fromkeys(_S, 0)))
        environments, versions = parts.scheduler.look()
        for key, version in versions.items():
            queued[_key(version)] += pool.queued(key)
        for environment in environments:
            state = pool.state_of(environment.id)
            if state is not None:
                states[_key(environment.version)][state] += 1
        ready, starting = parts.scheduler.spares.counts()
        missing = parts.scheduler.spares.missing()
        return Readings(
            queued,
            states,
            {"ready": ready, "starting": starting, "missing": missing},
            in_flight=parts.scheduler.in_flight,
            async_backlog=parts.events.backlog,
            async_oldest_s=oldest_s,
            dropped_log_events=parts.logs.dropped,
            sandbox=parts.sandbox,
        )


def _key(version: FunctionVersion) -> Version:
    return version.scope, version.name, version.version

"""Figures of the server: plain numbers that callbacks add to, read by a scrape (`exposition`).

All is added on the event loop, so nothing needs a lock; a scrape reads in a thread, where a figure
may be one ahead of another. An environment holds the meter of its function version; one invocation
costs a few additions. The first six families are those that
Lambda@Home names; they mean what AWS's metrics of the same kind mean
(https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html): an invocation that was
throttled or that no environment could be started for is none, and has a counter of its own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from lambda_home.arns import Scope
from lambda_home.errors import ThrottleReason
from lambda_home.functions import FunctionVersion

BOUNDS_MS: Final = (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000,
                    300_000, 900_000)  # fmt: skip
_NAMES: Final = (*(str(float(bound)) for bound in BOUNDS_MS), "+Inf")
_REASONS: Final = (
    ThrottleReason.CONCURRENT,
    ThrottleReason.RESERVED_CONCURRENT,
    ThrottleReason.RATE,
)
_MINUTES_A_DAY: Final = 1440
_MINUTE_S: Final = 60

Version = tuple[Scope, str, str]
"""Scope, function and version: what a series is about."""


class Distribution:
    """How many values lie below each of BOUNDS_MS, and their sum (milliseconds)."""

    __slots__ = ("counts", "total_ms")

    def __init__(self) -> None:
        self.counts = [0] * len(_NAMES)
        self.total_ms = 0.0

    def add(self, value_ms: float) -> None:
        """Count a value."""
        self.counts[bisect_left(BOUNDS_MS, value_ms)] += 1
        self.total_ms += value_ms

    def buckets(self) -> list[tuple[str, float]]:
        """Prometheus's buckets: how many are at most as large as each bound."""
        return list(zip(_NAMES, map(float, accumulate(self.counts)), strict=True))


@dataclass(slots=True)
class Minute:
    """What ended in one minute; durations in milliseconds."""

    number: int
    count: int = 0
    failed: int = 0
    total_ms: float = 0.0
    least_ms: float = float("inf")
    most_ms: float = 0.0


class Day:
    """The invocations of the last 24 hours, minute by minute; `now` is monotonic."""

    __slots__ = ("_minutes",)

    def __init__(self) -> None:
        self._minutes = [Minute(-_MINUTES_A_DAY)] * _MINUTES_A_DAY

    def add(self, duration_ms: float, now: float, *, failed: bool) -> None:
        """Count an invocation that ends."""
        number = int(now / _MINUTE_S)
        minute = self._minutes[number % _MINUTES_A_DAY]
        if minute.number != number:
            minute = self._minutes[number % _MINUTES_A_DAY] = Minute(number)
        minute.count += 1
        minute.failed += failed
        minute.total_ms += duration_ms
        minute.most_ms = max(minute.most_ms, duration_ms)
        minute.least_ms = min(minute.least_ms, duration_ms)

    def sum(self, now: float) -> Minute:
        """All of the last 24 hours together."""
        first = int(now / _MINUTE_S) - _MINUTES_A_DAY
        whole = Minute(first)
        for minute in self._minutes:
            if minute.count and minute.number > first:
                whole.count += minute.count
                whole.failed += minute.failed
                whole.total_ms += minute.total_ms
                whole.least_ms = min(whole.least_ms, minute.least_ms)
                whole.most_ms = max(whole.most_ms, minute.most_ms)
        return whole


class Meter:
    """The figures of one function version."""

    __slots__ = ("cold_starts", "day", "durations", "errors", "inits", "throttles", "unstarted")

    def __init__(self, day: Day | None = None) -> None:
        self.day = day or Day()
        self.errors = self.cold_starts = self.unstarted = 0
        self.durations = Distribution()
        self.inits = Distribution()
        self.throttles: dict[str, int] = dict.fromkeys(_REASONS, 0)

    def ended(self, duration_ms: float, now: float, *, failed: bool, cold: bool) -> None:
        """An invocation is over; `cold` if it had to wait for its environment's start."""
        self.durations.add(duration_ms)
        self.errors += failed
        self.cold_starts += cold
        self.day.add(duration_ms, now, failed=failed)

    def throttled(self, reason: str) -> None:
        """An invocation was refused."""
        self.throttles[reason] = self.throttles.get(reason, 0) + 1


@dataclass(slots=True)
class Readings:
    """What is looked up for a scrape instead of counted; ages in seconds."""

    queued: Mapping[Version, int]
    environments: Mapping[Version, Mapping[str, int]]
    spares: Mapping[str, int]
    in_flight: int = 0
    async_backlog: int = 0
    async_oldest_s: float = 0.0
    dropped_log_events: int = 0
    sandbox: str = ""


@dataclass(slots=True)
class Metrics:
    """All figures that are counted. `statuses` are the front's answers by their first digit."""

    day: Day = field(default_factory=Day)
    statuses: list[int] = field(default_factory=lambda: [0] * 10)
    _meters: dict[tuple[Scope, str], dict[str, Meter]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def meter(self, version: FunctionVersion) -> Meter:
        """The meter of a version, to be kept by whoever adds to it often."""
        meters = self._meters[version.scope, version.name]
        found = meters.get(version.version)
        if found is None:
            found = meters[version.version] = Meter(self.day)
        return found

    def throttled(self, version: FunctionVersion, reason: str) -> None:
        """An invocation was refused."""
        self.meter(version).throttled(reason)

    def forget(self, scope: Scope, name: str) -> None:
        """A function is gone, and its series with it."""
        self._meters.pop((scope, name), None)

    def versions(self) -> list[Version]:
        """What there are meters of."""
        return [(scope, name, v) for (scope, name), of in self._meters.items() for v in of]

    def meters(self) -> list[tuple[Version, Meter]]:
        """All meters; usable from any thread."""
        return [
            ((scope, name, version), meter)
            for (scope, name), of in list(self._meters.items())
            for version, meter in list(of.items())
        ]

    def drop(self, versions: Iterable[Version]) -> None:
        """Forget the meters of these versions, which are gone."""
        for scope, name, version in versions:
            meters = self._meters.get((scope, name), {})
            meters.pop(version, None)
            if not meters:
                self.forget(scope, name)

"""The numbers that lambda_home promises (SPECIFICATION.md), by row and figure. Pure.

They hold for two cores with everything on, in a full run of `make bench`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.figures import Better, Figure, Row


@dataclass(frozen=True, slots=True)
class Target:
    """A figure of a row may be at most (`lower`) or must be at least (`higher`) `limit`."""

    row: str
    figure: str
    limit: float
    better: Better = "lower"

    def share(self, value: float) -> float:
        """How much of what is allowed is used: 1 is the limit itself, more is a miss."""
        if self.better == "higher":
            return self.limit / value if value > 0 else float("inf")
        if self.limit == 0:
            return 0.0 if value <= 0 else float("inf")
        return value / self.limit

    def met(self, value: float) -> bool:
        """Whether `value` keeps the promise."""
        return self.share(value) <= 1


def _cold(sandbox: str, p50_ms: float, p99_ms: float) -> list[Target]:
    return [
        Target(f"cold.spare.{sandbox}.{family}", figure, limit)
        for family in ("python", "nodejs")
        for figure, limit in (("p50", p50_ms), ("p99", p99_ms), ("errors", 0))
    ]


TARGETS: tuple[Target, ...] = (
    Target("warm.docker.python.1", "p50", 0.30),
    Target("warm.docker.python.1", "of floor p50", 1.7),
    Target("warm.docker.python.16", "rate", 6000, "higher"),
    Target("warm.docker.python.16", "of floor rate", 0.60, "higher"),
    Target("warm.docker.python.16", "p99", 6),
    Target("front.route", "added", 0.15),
    Target("front.route", "errors", 0),
    Target("soak.docker.python.16", "errors", 0),
    *_cold("docker", 15, 60),
    *_cold("process", 10, 40),
    Target("cold.bare.docker.python", "of docker run", 1.3),
    Target("cold.bare.docker.nodejs", "of docker run", 1.3),
    Target("burst.docker", "total", 2),
    Target("burst.docker", "errors", 0),
    Target("burst.process", "total", 2),
    Target("burst.process", "errors", 0),
    Target("create.docker", "p50", 150),
    Target("create.process", "p50", 150),
    Target("dev.reload.docker.few", "p50", 300),
    Target("dev.reload.docker.few", "errors", 0),
    Target("dev.reload.docker.many", "p50", 300),
    Target("dev.reload.process.few", "p50", 300),
    Target("dev.reload.process.few", "errors", 0),
    Target("dev.reload.process.many", "p50", 300),
    Target("registry.list", "p95", 50),
    Target("registry.list.all", "p95", 50),
    Target("registry.versions", "p95", 50),
    Target("registry.get", "p95", 10),
    Target("registry.create.docker", "p95", 30),
    Target("registry.create.process", "p95", 30),
    Target("async.16", "rate", 2000, "higher"),
    Target("async.16", "lost", 0),
    Target("logs.warm", "p50 of that without logging", 1.2),
    Target("logs.warm", "lost", 0),
    Target("logs.warm", "errors", 0),
    *(
        Target(f"logs.page.{page}", "p99", 100)
        for page in ("rare-term", "JSON", "JSON-without-a-hit", "newest", "one-request")
    ),
    Target("reset", "p50", 50),
    Target("reset", "errors", 0),
    Target("streaming.20", "growth", 50),
    Target("streaming.20", "errors", 0),
    Target("memory.idle", "resident", 90),
    Target("memory.load", "growth in an hour", 10),
    Target("start.docker.second", "p50", 600),
    Target("start.process.second", "p50", 600),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A target and what was measured."""

    target: Target
    row: Row
    figure: Figure

    @property
    def met(self) -> bool:
        """Whether the promise is kept."""
        return self.target.met(self.figure.value)

    @property
    def limit(self) -> str:
        """The limit in words."""
        sign = ">=" if self.target.better == "higher" else "<="
        return f"{sign} {self.target.limit:g} {self.figure.unit}".strip()


def judge(rows: Iterable[Row]) -> list[Judged]:
    """Every target whose row was measured, in the order of TARGETS."""
    found = {row.key: row for row in rows}
    return [
        Judged(target, found[target.row], figure)
        for target in TARGETS
        if target.row in found and (figure := found[target.row].figure(target.figure)) is not None
    ]

"""Pools for tables: environments are named e1, e2, ... in the order of their start."""

from __future__ import annotations

from itertools import count

from lambda_home.scheduler.events import (
    Answered,
    Deliver,
    FleetPlan,
    Instruction,
    Planned,
    Polled,
    Queued,
    Start,
)
from lambda_home.scheduler.pool import Pool, PoolLimits

KEY = "fleet"
TIMEOUT_S = 3.0


def new_pool(**limits: float) -> Pool:
    numbers = count(1)
    return Pool(PoolLimits(**limits), lambda: f"e{next(numbers)}")


def queue(
    pool: Pool, *names: str, now: float = 0.0, timeout_s: float = TIMEOUT_S
) -> list[Instruction]:
    return [i for n in names for i in pool.handle(Queued(n, KEY, timeout_s, now))]


def plan(pool: Pool, now: float = 0.0, **numbers: int) -> list[Instruction]:
    """Give the fleet a plan."""
    return pool.handle(Planned(KEY, FleetPlan(**numbers), TIMEOUT_S, now))


def poll(pool: Pool, *environments: str, now: float = 0.0) -> list[Instruction]:
    return [i for e in environments for i in pool.handle(Polled(e, now))]


def answer(
    pool: Pool, environment: str, *names: str, now: float = 0.0, again: bool = True
) -> list[Instruction]:
    """Answer invocations, and poll after each."""
    instructions = []
    for name in names:
        instructions += pool.handle(Answered(environment, name, now))
        if again:
            instructions += pool.handle(Polled(environment, now))
    return instructions


def started(instructions: list[Instruction]) -> list[str]:
    """The environments that are to be started."""
    return [i.environment for i in instructions if isinstance(i, Start)]


def warm(pool: Pool, environments: int = 1) -> None:
    """Leave `environments` idle environments of one slot, e1 the first to have become idle."""
    names = [f"warm{n}" for n in range(environments)]
    queue(pool, *names)
    for n in range(1, environments + 1):
        assert poll(pool, f"e{n}") == [Deliver(f"e{n}", f"warm{n - 1}", TIMEOUT_S)]
    for n in range(1, environments + 1):
        answer(pool, f"e{n}", f"warm{n - 1}")

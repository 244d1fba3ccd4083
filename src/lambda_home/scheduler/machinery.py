"""What a scheduler is made of, and what it says about itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TypeVar

from lambda_home.clock import Clock
from lambda_home.logs import LogStore
from lambda_home.sandboxes.base import CodePreparer, Sandbox
from lambda_home.scheduler.pool import PoolLimits
from lambda_home.scheduler.spares import SpareLimits

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Machinery:
    """What environments are made of and seen by."""

    sandbox: Sandbox
    preparer: CodePreparer
    logs: LogStore
    clock: Clock
    limits: PoolLimits
    max_parallel_starts: int
    spares: SpareLimits = field(default_factory=SpareLimits)
    forecasting: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a fleet's provisioned environments are; `failure` says why no more can be had."""

    available: int
    allocated: int
    failure: str | None


def settle(future: asyncio.Future[T], outcome: T | Exception) -> None:
    """Resolve a future that somebody may have given up."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)

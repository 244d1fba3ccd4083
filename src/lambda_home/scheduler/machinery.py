"""What a scheduler is made of, and what it says about itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import structlog

from lambda_home.arns import Scope
from lambda_home.clock import Clock
from lambda_home.functions import FunctionVersion
from lambda_home.invocations import EndObserver
from lambda_home.logs import LogStore
from lambda_home.metrics import Metrics
from lambda_home.sandboxes.base import CodePreparer, Sandbox
from lambda_home.scheduler.pool import PoolLimits
from lambda_home.scheduler.spares import SpareLimits

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, None]]

_log = structlog.get_logger(__name__)

SecretValues = Callable[[Scope, frozenset[str]], Mapping[str, str]]
"""The values of those secrets that exist; called in a thread of its own. May raise VaultError."""


class Credentials(Protocol):
    """Gives environments credentials of their own."""

    def begin(self, environment_id: str, version: FunctionVersion) -> Mapping[str, str]:
        """The variables that hold them, the same whenever asked."""

    def end(self, environment_id: str) -> None:
        """The environment is gone."""


class NoCredentials:
    """For a server that believes everybody: what `variables` has is as good as any."""

    def begin(self, environment_id: str, version: FunctionVersion) -> Mapping[str, str]:
        """No variables."""
        del environment_id, version
        return {}

    def end(self, environment_id: str) -> None:
        """Nothing to end."""


def _no_secrets(scope: Scope, names: frozenset[str]) -> Mapping[str, str]:
    del scope, names
    return {}


@dataclass(frozen=True, slots=True)
class Machinery:
    """What environments are made of and seen by.

    With `own_endpoint` they find the server's AWS APIs in AWS_ENDPOINT_URL. `most_logged_mb` is for
    one invocation; 0: no limit.
    """

    sandbox: Sandbox
    preparer: CodePreparer
    logs: LogStore
    clock: Clock
    limits: PoolLimits
    max_parallel_starts: int
    spares: SpareLimits = field(default_factory=SpareLimits)
    forecasting: bool = False
    secrets: SecretValues = _no_secrets
    credentials: Credentials = field(default_factory=NoCredentials)
    own_endpoint: bool = False
    metrics: Metrics = field(default_factory=Metrics)
    observers: tuple[EndObserver, ...] = ()
    most_logged_mb: int = 0


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


async def logged(work: Work) -> None:
    """Do work that nobody awaits: its failure is logged."""
    try:
        await work()
    except Exception:
        _log.exception("a task of the scheduler failed")

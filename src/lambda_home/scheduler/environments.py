"""The scheduler's records of execution environments and pending invocations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from lambda_home.functions import FunctionVersion
from lambda_home.invocations import Invocation
from lambda_home.sandboxes.base import Exit
from lambda_home.scheduler.environment_log import EnvironmentLog, InvocationLog


@dataclass(slots=True)
class RuntimeAnswer:
    """What a runtime posted for an invocation.

    `error_type` is None for a response. `fence`: whether a fence line follows in the output; None
    from a runtime client that knows no fences. `peak_mb` is the peak memory it reports, or 0.
    """

    payload: bytes
    error_type: str | None = None
    fence: bool | None = None
    peak_mb: int = 0


@dataclass(slots=True)
class Delivery:
    """An invocation handed to a runtime; `deadline_ms` is epoch milliseconds."""

    invocation: Invocation
    deadline_ms: int


@dataclass(slots=True)
class Poll:
    """A runtime's parked request for its next invocation; `gone()` if its connection was lost."""

    future: asyncio.Future[Delivery | None]
    gone: Callable[[], bool]


@dataclass(slots=True)
class Outcome:
    """How an invocation ended; `error_type` None means that the function returned."""

    payload: bytes
    error_type: str | None = None
    log_tail: bytes | None = None


@dataclass(slots=True, eq=False)
class Environment:
    """One execution environment."""

    id: str
    host: str
    version: FunctionVersion
    log: EnvironmentLog
    poll: Poll | None = None
    start: asyncio.Task[None] | None = None
    started_at: float | None = None
    init_ms: float | None = None
    init_reported: bool = False
    init_error: RuntimeAnswer | None = None
    start_error: str = ""
    exit: Exit | None = None
    freezer: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True, eq=False)
class Pending:
    """An invocation between its admission and its outcome."""

    invocation: Invocation
    future: asyncio.Future[Outcome]
    delivered_at: float = 0.0
    log: InvocationLog | None = None
    answer: RuntimeAnswer | None = None

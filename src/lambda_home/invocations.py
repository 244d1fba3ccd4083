"""What an invocation is, and how it ended.

Sources: API_Invoke, https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, AWS's runtime
interface emulator (6 MiB + 100 bytes).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from lambda_home.functions import FunctionVersion
from lambda_home.trace_headers import TraceContext

SYNC_PAYLOAD_LIMIT = 6 * 1024 * 1024 + 100
ASYNC_PAYLOAD_LIMIT = 1024 * 1024
RESPONSE_LIMIT = 6 * 1024 * 1024 + 100
STREAM_LIMIT = 200 * 1024 * 1024
LOG_TAIL_LIMIT = 4096
UNHANDLED = "Unhandled"


class ResponseSink(Protocol):
    """Where a response goes that its caller reads while the function writes it."""

    def begin(self, version: str, content_type: str) -> None:
        """The response begins; `version` of the function makes it."""

    def feed(self, data: bytes, on_room: Callable[[], None]) -> bool:
        """Take a piece. False: enough for now, `on_room` is called when there is room again."""


class InvocationType(StrEnum):
    """`X-Amz-Invocation-Type`."""

    REQUEST_RESPONSE = "RequestResponse"
    EVENT = "Event"
    DRY_RUN = "DryRun"


@dataclass(frozen=True, slots=True)
class InvocationRequest:
    """What a caller asks for, beside the function itself.

    `payload` is the event's JSON text, `client_context` the decoded JSON text of
    `X-Amz-Client-Context`, `trace_id` the `X-Amzn-Trace-Id` to continue; empty where absent. With a
    `sink` a streamed response goes there while it comes.
    """

    payload: bytes
    invocation_type: InvocationType = InvocationType.REQUEST_RESPONSE
    tail: bool = False
    client_context: str = ""
    cognito_identity: str = ""
    trace_id: str = ""
    request_id: str = ""
    tenant_id: str = ""
    sink: ResponseSink | None = None


@dataclass(slots=True, eq=False)
class Invocation:
    """One invocation on its way through the scheduler; `invoked_arn` is as the caller named it."""

    request_id: str
    function: FunctionVersion
    payload: bytes
    invoked_arn: str
    tail: bool = False
    client_context: str = ""
    cognito_identity: str = ""
    trace_id: str = ""
    tenant_id: str = ""
    sink: ResponseSink | None = None
    trace: TraceContext | None = None


@dataclass(slots=True, eq=False)
class Ended:
    """What an invocation that is over leaves behind; times are monotonic seconds.

    `error_type` is None where the function returned. `cold`: it waited for its environment, which
    was `asked_at` some time and whose init phase of `init_ms` milliseconds was over at `ready_at`;
    None if it failed.
    """

    invocation: Invocation
    container_id: str
    error_type: str | None
    arrived_at: float
    delivered_at: float
    ended_at: float
    duration_ms: float
    billed_ms: int
    peak_mb: int
    cold: bool
    asked_at: float
    ready_at: float | None
    init_ms: float


class EndObserver(Protocol):
    """Who hears of invocations that are over, once their callers have."""

    @property
    def wanted(self) -> bool:
        """Whether it wants to hear of them now."""

    def __call__(self, ended: Ended, now: float) -> None:
        """One is over; `now` is seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """How an invocation ended, as the caller sees it.

    `function_error` is "Unhandled" where the function failed, else None; `log_tail` the last 4 KB
    of exactly this invocation's log where it was asked for. `status` is 200, 202 or 204,
    `error_type` what kind of error a failed function gave.
    """

    request_id: str
    payload: bytes
    executed_version: str
    function_error: str | None = None
    log_tail: bytes | None = None
    status: int = 200
    error_type: str | None = None

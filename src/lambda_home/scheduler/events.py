"""What the pool is told (events) and what it asks for (instructions).

Invocations are named by request id, environments by environment id, fleets (all environments of one
function version) by run key. Times are seconds on any one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why an invocation failed without an answer from its runtime."""

    TIMED_OUT = "timed out"
    EXITED = "environment exited"
    INIT_FAILED = "init failed"
    NOT_STARTED = "environment could not be started"


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """How many environments a fleet may and must have, and how much each takes.

    `slots` invocations run in one environment at a time. `minimum` environments are kept whether
    there is work or not, `maximum` are never exceeded (None: no limit of its own). `provisioned`
    are started ahead as provisioned concurrency; they count towards `minimum`. Where the numbers
    contradict each other `maximum` wins. `init_s`: how long init may take, where that is not as
    usual.
    """

    slots: int = 1
    minimum: int = 0
    maximum: int | None = None
    provisioned: int = 0
    init_s: float | None = None


# ------------------------------------------------------------------------------------------ events


@dataclass(slots=True)
class Queued:
    """An admitted invocation wants an environment of fleet `key`."""

    invocation: str
    key: str
    timeout_s: float
    now: float


@dataclass(slots=True)
class Planned:
    """Fleet `key` is to have this plan from now on, whether it has had work or not."""

    key: str
    plan: FleetPlan
    timeout_s: float
    now: float


@dataclass(slots=True)
class Prewarm:
    """`count` environments of fleet `key` should be starting or idle, for work that will come."""

    key: str
    count: int
    timeout_s: float
    now: float


@dataclass(slots=True)
class SlotFree:
    """A start may begin now; by this time the environment may no longer be needed."""

    environment: str
    now: float


@dataclass(slots=True)
class Started:
    """The environment's process exists; its init phase begins."""

    environment: str
    now: float


@dataclass(slots=True)
class StartFailed:
    """The sandbox could not start the environment; there is nothing to stop."""

    environment: str
    now: float


@dataclass(slots=True)
class Polled:
    """The runtime asked for its next invocation: one slot of the environment is free.

    A poll of an environment all of whose slots are taken or free already (a runtime that
    reconnected, or polls before it answers) changes nothing.
    """

    environment: str
    now: float


@dataclass(slots=True)
class Undelivered:
    """A delivery did not reach the runtime, whose connection had gone."""

    environment: str
    invocation: str
    now: float


@dataclass(slots=True)
class Answered:
    """The runtime posted a response or an error for the invocation."""

    environment: str
    invocation: str
    now: float


@dataclass(slots=True)
class InitFailed:
    """The runtime posted an init error."""

    environment: str
    now: float


@dataclass(slots=True)
class Exited:
    """The environment is gone."""

    environment: str
    now: float


@dataclass(slots=True)
class DebuggerAttached:
    """A debugger is attached to the environment, whose timeouts rest; or no more."""

    environment: str
    attached: bool
    now: float


@dataclass(slots=True)
class Retired:
    """No new invocation will come for fleet `key`: its code or configuration was replaced."""

    key: str


@dataclass(slots=True)
class Tick:
    """Time has passed."""

    now: float


Event = (
    Queued
    | Planned
    | Prewarm
    | SlotFree
    | Started
    | StartFailed
    | Polled
    | Undelivered
    | Answered
    | InitFailed
    | Exited
    | DebuggerAttached
    | Retired
    | Tick
)

# ------------------------------------------------------------------------------------ instructions


@dataclass(slots=True)
class Start:
    """Start an environment of fleet `key` under this new id, to run `slots` invocations at once.

    `provisioned`: it is started ahead, as a part of provisioned concurrency.
    """

    environment: str
    key: str
    provisioned: bool = False
    slots: int = 1


@dataclass(slots=True)
class Deliver:
    """Answer the environment's parked poll with the invocation; `deadline` is when it times out."""

    environment: str
    invocation: str
    deadline: float


@dataclass(slots=True)
class Complete:
    """The answer of the runtime is the invocation's result."""

    environment: str
    invocation: str


@dataclass(slots=True)
class Fail:
    """The invocation ends without an answer; `environment` is the one to blame."""

    environment: str
    invocation: str
    cause: Cause


@dataclass(slots=True)
class Freeze:
    """Pause an idle environment."""

    environment: str


@dataclass(slots=True)
class Thaw:
    """Resume a frozen environment; a Deliver to it may follow."""

    environment: str


@dataclass(slots=True)
class Stop:
    """End the environment; `Exited` will follow."""

    environment: str


Instruction = Start | Deliver | Complete | Fail | Freeze | Thaw | Stop

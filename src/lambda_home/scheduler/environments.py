"""The scheduler's records of execution environments and pending invocations."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lambda_home.functions import FunctionVersion
from lambda_home.invocations import Invocation
from lambda_home.metrics import Meter
from lambda_home.sandboxes.base import Exit
from lambda_home.scheduler.environment_log import AnyLog, InvocationLog
from lambda_home.scheduler.events import Deliver
from lambda_home.scheduler.extension_lines import ExtensionLines
from lambda_home.scheduler.extensions import Extensions, Failure
from lambda_home.scheduler.system_log import TEXT, SystemLog
from lambda_home.telemetry.hub import Telemetry
from lambda_home.telemetry.records import Category


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


class Poll(Protocol):
    """A runtime's parked request for its next invocation."""

    @property
    def gone(self) -> bool:
        """Whether its connection was lost."""

    @property
    def answered(self) -> bool:
        """Whether `deliver` was called."""

    @property
    def restores(self) -> bool:
        """Whether it asks for SnapStart's restore: an invocation comes with the next poll."""

    def deliver(self, delivery: Delivery | None) -> None:
        """Answer it; None says that the environment is over.

        To a restore it only says that there is an invocation.
        """


@dataclass(slots=True)
class Outcome:
    """How an invocation ended; `error_type` None means that the function returned."""

    payload: bytes
    error_type: str | None = None
    log_tail: bytes | None = None


@dataclass(frozen=True, slots=True)
class Debugger:
    """Where an environment's debugger listens, as the server reaches it, and where the code is."""

    host: str
    port: int
    task_root: str


@dataclass(frozen=True, slots=True)
class Restore:
    """A restore under way since `began`; its invocation waited `waited_ms` for the init before."""

    pending: Pending
    deliver: Deliver
    began: float
    waited_ms: float


@dataclass(slots=True, eq=False)
class Environment:
    """One execution environment.

    `sandbox_id` is its name in the sandbox, which was given to it before it was known whose it
    would be, if it began as a spare. `slots` invocations run in it at a time; each takes one of
    the parked `polls`. It was `asked_at` a time by our clock, its init was over at `ready_at`, and
    its last invocation at `used_at` (else it is the same). `used`: it was given an invocation.

    `asked_init_ms` is how long the runtime took until its first poll; `init_ms` has the time of the
    extensions, too. `failure`: an extension has ended it. `ending`: it is being stopped. `marked`
    tells the lines of external extensions from the function's; `to_report` is what subscribers
    still have to hear of the last invocation, called with the time.

    `restored`: its runtime knows SnapStart's restore; `restore` is under way; `restore_ms` has what
    the next REPORT says of it: all of its time, and that of its hooks.
    """

    id: str
    sandbox_id: str
    host: str
    version: FunctionVersion
    log: AnyLog
    slots: int = 1
    provisioned: bool = False
    polls: list[Poll] = field(default_factory=list)
    start: asyncio.Task[None] | None = None
    meter: Meter = field(default_factory=Meter)
    asked_at: float = 0.0
    ready_at: float | None = None
    used_at: float = 0.0
    used: bool = False
    started_at: float | None = None
    init_ms: float | None = None
    init_reported: bool = False
    init_error: RuntimeAnswer | None = None
    start_error: Exception | None = None
    exit: Exit | None = None
    freezer: asyncio.Lock = field(default_factory=asyncio.Lock)
    extensions: Extensions = field(default_factory=Extensions)
    system: SystemLog = TEXT
    asked_init_ms: float | None = None
    failure: Failure | None = None
    ending: bool = False
    marked: ExtensionLines | None = None
    telemetry: Telemetry | None = None
    to_report: Callable[[float], None] | None = None
    debugger: Debugger | None = None
    restored: bool = False
    restore: Restore | None = None
    restore_ms: tuple[float, float] | None = None

    def write(self, chunk: bytes) -> None:
        """Output of the environment, cut anywhere."""
        if self.marked is not None:
            chunk, lines = self.marked.split(chunk)
            if lines:
                text = b"\n".join(lines)
                self.log.platform(text.decode(errors="replace"))
                if self.telemetry is not None:
                    self.telemetry.lines(text, Category.EXTENSION)
        if chunk:
            self.log.write(chunk)

    def close_log(self) -> None:
        """The environment is gone, and nothing more comes from it."""
        if self.marked is not None:
            self.log.write(self.marked.rest())
        self.log.close()
        if self.telemetry is not None:
            self.telemetry.close()

    def is_ready(self, now: float, init_ms: float) -> None:
        """The init phase is over."""
        self.init_ms = init_ms
        self.ready_at = self.used_at = now
        self.meter.inits.add(init_ms)

    def give(self, pending: Pending) -> None:
        """An invocation is given to it: the first one may have waited for its start."""
        pending.environment = self
        if not self.used:
            self.used = True
            pending.cold = self.ready_at is None or pending.arrived_at < self.ready_at

    def park(self, poll: Poll) -> None:
        """Keep a poll; where all slots are taken by polls already, the oldest is let go."""
        self.polls = [kept for kept in self.polls if not kept.answered and not kept.gone]
        if len(self.polls) >= self.slots:
            self.polls.pop(0).deliver(None)  # the runtime reconnected: its newest poll counts
        self.polls.append(poll)

    def take_poll(self) -> Poll | None:
        """A parked poll that can still be answered."""
        while self.polls:
            poll = self.polls.pop()
            if not poll.answered and not poll.gone:
                return poll
        return None

    def dismiss(self) -> None:
        """Tell all parked polls that the environment is over."""
        polls, self.polls = self.polls, []
        for poll in polls:
            if not poll.answered:
                poll.deliver(None)


@dataclass(slots=True, eq=False)
class Pending:
    """An invocation between its admission and its outcome; `environment` has it.

    `told` hears of the outcome, once, by `tell`; `key` is the fleet that it waits in. `cold`: it
    waited for its environment's start.
    """

    invocation: Invocation
    key: str
    told: Callable[[Outcome | Exception], None]
    over: bool = False
    cold: bool = False
    arrived_at: float = 0.0
    delivered_at: float = 0.0
    environment: Environment | None = None
    log: InvocationLog | None = None
    answer: RuntimeAnswer | None = None

    def tell(self, outcome: Outcome | Exception) -> None:
        """Say how it ended, unless that was said before."""
        if not self.over:
            self.over = True
            self.told(outcome)

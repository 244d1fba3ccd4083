"""The warm pool: pure decisions about which environment runs what, and when one starts or stops.

`Pool.handle(event)` returns the instructions that follow; nothing here waits, sleeps or reads a
clock. The lifecycle of an environment is the table TRANSITIONS:

    STARTING -> IDLE -> BUSY -> ANSWERED -> IDLE ...     any -> STOPPING -> gone
                  |      ^
                  v      |
                FROZEN --+

ANSWERED (has replied, has not polled again) keeps an environment from being given work that it
cannot take yet. Rules:

- one environment runs one invocation at a time, and serves one fleet for its whole life;
- the environment used last is used first (LIFO), a frozen one before a new one is started;
- a new one is started only where the queue is longer than what is starting or about to poll;
- idle environments freeze after `soft_s` and stop after `hard_s`; a busy one stops only by its own
  timeout;
- a retired fleet finishes what was queued, then stops.

Sources: Lambda@Home's scheduling rule (need = queued - idle, restart stopped first), AWS's init and
invoke phases (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from lambda_home.scheduler.events import (
    Answered,
    Cause,
    Complete,
    Deliver,
    Event,
    Exited,
    Fail,
    Freeze,
    InitFailed,
    Instruction,
    Polled,
    Queued,
    Retired,
    SlotFree,
    Start,
    Started,
    StartFailed,
    Stop,
    Thaw,
    Tick,
    Undelivered,
)

# A runtime that has answered polls again within microseconds; one that takes longer than this is
# not counted on any more when deciding whether to start another environment.
POLL_PATIENCE_S = 0.1


class EnvironmentState(StrEnum):
    """Where an environment is in its life."""

    STARTING = "starting"
    IDLE = "idle"
    FROZEN = "frozen"
    BUSY = "busy"
    ANSWERED = "answered"
    STOPPING = "stopping"


_S = EnvironmentState
TRANSITIONS: dict[EnvironmentState, frozenset[EnvironmentState]] = {
    _S.STARTING: frozenset({_S.IDLE, _S.STOPPING}),
    _S.IDLE: frozenset({_S.BUSY, _S.FROZEN, _S.STOPPING}),
    _S.FROZEN: frozenset({_S.BUSY, _S.STOPPING}),
    _S.BUSY: frozenset({_S.ANSWERED, _S.STOPPING}),
    _S.ANSWERED: frozenset({_S.IDLE, _S.STOPPING}),
    _S.STOPPING: frozenset(),
}


class IllegalTransition(Exception):
    """A bug in the pool: says which environment, both states and the event."""


@dataclass(slots=True)
class PoolLimits:
    """Seconds: idle times before freezing and stopping, and the limit of the init phase."""

    soft_s: float = 45.0
    hard_s: float = 300.0
    init_s: float = 10.0


@dataclass(slots=True)
class _Environment:
    id: str
    fleet: _Fleet
    state: EnvironmentState
    since: float
    invocation: str | None = None
    deadline: float | None = None
    begun: bool = False
    # Set where init is redone under the function's own timeout, which then covers init and invoke.
    extended: bool = False
    invoke_by: float | None = None


@dataclass(slots=True)
class _Fleet:
    key: str
    timeout_s: float
    queue: deque[str] = field(default_factory=deque)
    idle: list[_Environment] = field(default_factory=list)
    frozen: list[_Environment] = field(default_factory=list)
    members: dict[str, _Environment] = field(default_factory=dict)
    starting: int = 0
    answered: int = 0
    retired: bool = False


class Pool:
    """All fleets of one server. `new_id` names environments."""

    def __init__(self, limits: PoolLimits, new_id: Callable[[], str]) -> None:
        self._limits = limits
        self._new_id = new_id
        self._fleets: dict[str, _Fleet] = {}
        self._environments: dict[str, _Environment] = {}
        self._handlers: dict[type, Callable[..., list[Instruction]]] = {
            Queued: self._queued,
            SlotFree: self._slot_free,
            Started: self._started,
            StartFailed: self._ended,
            Polled: self._polled,
            Undelivered: self._undelivered,
            Answered: self._answered,
            InitFailed: self._init_failed,
            Exited: self._ended,
            Retired: self._retired,
            Tick: self._tick,
        }

    def handle(self, event: Event) -> list[Instruction]:
        """Take one event; return what must happen now, in order."""
        return self._handlers[type(event)](event)

    # ------------------------------------------------------------------------------------- views

    def states(self, key: str) -> Counter[EnvironmentState]:
        """How many environments of a fleet are in each state."""
        fleet = self._fleets.get(key)
        return Counter(e.state for e in fleet.members.values()) if fleet else Counter()

    def state_of(self, environment: str) -> EnvironmentState | None:
        """Where one environment is, or None if it is gone or unknown."""
        found = self._environments.get(environment)
        return found.state if found else None

    def queued(self, key: str) -> int:
        """How many invocations of a fleet wait for an environment."""
        fleet = self._fleets.get(key)
        return len(fleet.queue) if fleet else 0

    def environments(self) -> Iterator[tuple[str, str, EnvironmentState]]:
        """All environments as (id, fleet key, state)."""
        return ((e.id, e.fleet.key, e.state) for e in list(self._environments.values()))

    def keys(self) -> list[str]:
        """The fleets that exist."""
        return list(self._fleets)

    # ------------------------------------------------------------------------------------ events

    def _queued(self, event: Queued) -> list[Instruction]:
        fleet = self._fleets.get(event.key)
        if fleet is None:
            fleet = self._fleets[event.key] = _Fleet(event.key, event.timeout_s)
        if fleet.idle:
            return [self._deliver(fleet.idle.pop(), event.invocation, event.now)]
        if fleet.frozen:
            environment = fleet.frozen.pop()
            deliver = self._deliver(environment, event.invocation, event.now)
            return [Thaw(environment.id), deliver]
        fleet.queue.append(event.invocation)
        return self._start_needed(fleet, event.now, fleet.answered)

    def _slot_free(self, event: SlotFree) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is None or environment.state is not _S.STARTING:
            return []
        fleet = environment.fleet
        begun = sum(e.begun and e.state is _S.STARTING for e in fleet.members.values())
        if len(fleet.queue) <= begun:
            self._remove(environment)
        else:
            environment.begun = True
        return []

    def _started(self, event: Started) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is not None and environment.state is _S.STARTING:
            fleet = environment.fleet
            limit = fleet.timeout_s if environment.extended else self._limits.init_s
            environment.deadline = event.now + limit
            environment.invoke_by = environment.deadline if environment.extended else None
        return []

    def _polled(self, event: Polled) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is None or environment.state not in (_S.STARTING, _S.ANSWERED):
            return []  # a repeated poll of an idle runtime, or one that is being stopped
        fleet = environment.fleet
        self._move(environment, _S.IDLE, event.now)
        if fleet.queue:
            return [self._deliver(environment, fleet.queue.popleft(), event.now)]
        if fleet.retired:
            return self._stop(environment, event.now)
        environment.deadline = None
        fleet.idle.append(environment)
        return []

    def _answered(self, event: Answered) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if (
            environment is None
            or environment.state is not _S.BUSY
            or environment.invocation != event.invocation
        ):
            return []  # late, or not its own: the caller has had another answer
        self._move(environment, _S.ANSWERED, event.now)
        environment.invocation = None
        return [Complete(environment.id, event.invocation)]

    def _undelivered(self, event: Undelivered) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is None or environment.invocation != event.invocation:
            return []
        fleet = environment.fleet
        environment.invocation = None
        stop = self._stop(environment, event.now)
        if fleet.idle:
            return [*stop, self._deliver(fleet.idle.pop(), event.invocation, event.now)]
        fleet.queue.appendleft(event.invocation)
        return [*stop, *self._start_needed(fleet, event.now, fleet.answered)]

    def _init_failed(self, event: InitFailed) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is None or environment.state is not _S.STARTING:
            return []
        failed = self._blame(environment, Cause.INIT_FAILED)
        return [*failed, *self._stop(environment, event.now)]

    def _ended(self, event: Exited | StartFailed) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is None:
            return []
        fleet = environment.fleet
        instructions: list[Instruction] = []
        if environment.state is _S.BUSY and environment.invocation is not None:
            instructions.append(Fail(environment.id, environment.invocation, Cause.EXITED))
        elif environment.state is _S.STARTING:
            cause = Cause.NOT_STARTED if isinstance(event, StartFailed) else Cause.EXITED
            instructions.extend(self._blame(environment, cause))
        self._remove(environment)
        return [*instructions, *self._start_needed(fleet, event.now, fleet.answered)]

    def _retired(self, event: Retired) -> list[Instruction]:
        fleet = self._fleets.get(event.key)
        if fleet is None:
            return []
        fleet.retired = True
        instructions: list[Instruction] = []
        spare_starting = fleet.starting - len(fleet.queue)
        for environment in list(fleet.members.values()):
            if environment.state in (_S.IDLE, _S.FROZEN):
                instructions.extend(self._stop(environment, environment.since))
            elif environment.state is _S.STARTING and spare_starting > 0:
                spare_starting -= 1
                instructions.extend(self._stop(environment, environment.since))
        self._drop_if_done(fleet)
        return instructions

    def _tick(self, event: Tick) -> list[Instruction]:
        now = event.now
        instructions: list[Instruction] = []
        for environment in list(self._environments.values()):
            if environment.deadline is not None and now >= environment.deadline:
                instructions.extend(self._overdue(environment, now))
            elif environment.state in (_S.IDLE, _S.FROZEN):
                instructions.extend(self._idled(environment, now))
        for fleet in self._fleets.values():
            if fleet.queue:
                patient = sum(
                    e.state is _S.ANSWERED and now - e.since < POLL_PATIENCE_S
                    for e in fleet.members.values()
                )
                instructions.extend(self._start_needed(fleet, now, patient))
        return instructions

    # ----------------------------------------------------------------------------------- actions

    def _overdue(self, environment: _Environment, now: float) -> list[Instruction]:
        if environment.state is _S.BUSY and environment.invocation is not None:
            failed: list[Instruction] = [
                Fail(environment.id, environment.invocation, Cause.TIMED_OUT)
            ]
            environment.invocation = None
            return [*failed, *self._stop(environment, now)]
        if environment.state is not _S.STARTING:
            return self._stop(environment, now)  # has answered, but never asks for more
        if environment.extended:
            return [*self._blame(environment, Cause.TIMED_OUT), *self._stop(environment, now)]
        # AWS: init over its limit is done again inside the first invoke, under its timeout.
        fleet = environment.fleet
        stop = self._stop(environment, now)
        if len(fleet.queue) > fleet.starting:
            return [*stop, self._start(fleet, now, extended=True)]
        return stop

    def _idled(self, environment: _Environment, now: float) -> list[Instruction]:
        idle_for = now - environment.since
        if idle_for >= self._limits.hard_s:
            return self._stop(environment, now)
        if environment.state is _S.IDLE and idle_for >= self._limits.soft_s:
            fleet = environment.fleet
            fleet.idle.remove(environment)
            fleet.frozen.append(environment)
            # Not by _move: `since` stays the time of the last use, from which hard_s counts.
            environment.state = _S.FROZEN
            return [Freeze(environment.id)]
        return []

    def _blame(self, environment: _Environment, cause: Cause) -> list[Instruction]:
        """Fail the invocation that has waited longest, as it caused this environment's start."""
        queue = environment.fleet.queue
        return [Fail(environment.id, queue.popleft(), cause)] if queue else []

    def _deliver(self, environment: _Environment, invocation: str, now: float) -> Deliver:
        self._move(environment, _S.BUSY, now)
        deadline = now + environment.fleet.timeout_s
        if environment.invoke_by is not None:
            deadline = min(deadline, environment.invoke_by)
            environment.invoke_by = None
        environment.deadline = deadline
        environment.invocation = invocation
        return Deliver(environment.id, invocation, deadline)

    def _start_needed(self, fleet: _Fleet, now: float, about_to_poll: int) -> list[Instruction]:
        missing = len(fleet.queue) - fleet.starting - about_to_poll
        return [self._start(fleet, now) for _ in range(missing)]

    def _start(self, fleet: _Fleet, now: float, *, extended: bool = False) -> Start:
        environment = _Environment(self._new_id(), fleet, _S.STARTING, now, extended=extended)
        self._environments[environment.id] = environment
        fleet.members[environment.id] = environment
        fleet.starting += 1
        return Start(environment.id, fleet.key)

    def _stop(self, environment: _Environment, now: float) -> list[Instruction]:
        if environment.state is _S.STOPPING:
            return []
        self._forget_place(environment)
        self._move(environment, _S.STOPPING, now)
        environment.deadline = None
        return [Stop(environment.id)]

    def _remove(self, environment: _Environment) -> None:
        """The environment is gone."""
        self._forget_place(environment)
        self._count(environment, environment.state, -1)
        del self._environments[environment.id]
        del environment.fleet.members[environment.id]
        self._drop_if_done(environment.fleet)

    def _forget_place(self, environment: _Environment) -> None:
        """Take the environment out of the list that its state has put it in."""
        fleet = environment.fleet
        places = {_S.IDLE: fleet.idle, _S.FROZEN: fleet.frozen}
        place = places.get(environment.state)
        if place is not None and environment in place:
            place.remove(environment)

    def _move(self, environment: _Environment, to: EnvironmentState, now: float) -> None:
        if to not in TRANSITIONS[environment.state]:
            raise IllegalTransition(f"{environment.id}: {environment.state} -> {to} at {now}")
        self._count(environment, environment.state, -1)
        self._count(environment, to, +1)
        environment.state = to
        environment.since = now

    @staticmethod
    def _count(environment: _Environment, state: EnvironmentState, by: int) -> None:
        if state is _S.STARTING:
            environment.fleet.starting += by
        elif state is _S.ANSWERED:
            environment.fleet.answered += by

    def _drop_if_done(self, fleet: _Fleet) -> None:
        if not fleet.members and not fleet.queue:
            self._fleets.pop(fleet.key, None)

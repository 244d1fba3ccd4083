"""The pool's records: environments with their slots, and fleets with their places and counts.

An environment has `slots`, each of which runs one invocation at a time. A slot is running, free
(its poll is parked), returning (has answered, is expected to poll), or blocked (its invocation has
timed out, or its poll was lost; it comes back with the next poll). The environment's state follows
from its slots: BUSY while one runs, else IDLE if one is free, else ANSWERED; with none of all three
nothing can come of it any more and it is stopped. With one slot that is the plain life of an
environment: a timeout stops it at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from lambda_home.scheduler.autoscaling import Backoff
from lambda_home.scheduler.events import (
    Cause,
    Deliver,
    Fail,
    FleetPlan,
    Instruction,
    Start,
    Stop,
    Thaw,
)


class EnvironmentState(StrEnum):
    """Where an environment is in its life."""

    STARTING = "starting"
    IDLE = "idle"
    FROZEN = "frozen"
    BUSY = "busy"
    ANSWERED = "answered"
    STOPPING = "stopping"


DEBUGGED_S = 86_400.0
"""The timeout of what is under a debugger: a day."""
_S = EnvironmentState
TRANSITIONS: dict[EnvironmentState, frozenset[EnvironmentState]] = {
    _S.STARTING: frozenset({_S.IDLE, _S.STOPPING}),
    _S.IDLE: frozenset({_S.BUSY, _S.FROZEN, _S.STOPPING}),
    _S.FROZEN: frozenset({_S.BUSY, _S.IDLE, _S.STOPPING}),
    _S.BUSY: frozenset({_S.ANSWERED, _S.STOPPING}),
    _S.ANSWERED: frozenset({_S.IDLE, _S.STOPPING}),
    _S.STOPPING: frozenset(),
}


class IllegalTransition(Exception):
    """A bug in the pool: says which environment, both states and the event."""


@dataclass(slots=True)
class PoolLimits:
    """Seconds: idle times before freezing and stopping, and the limits of the init phase."""

    soft_s: float = 45.0
    hard_s: float = 300.0
    init_s: float = 10.0
    provisioned_init_s: float = 900.0


@dataclass(slots=True, eq=False)
class Environment:
    """One environment. `deadline` is the next time at which something of it is overdue."""

    id: str
    fleet: Fleet
    state: EnvironmentState
    since: float
    slots: int = 1
    provisioned: bool = False
    # Why it exists: started with nobody waiting for it; wanted by Prewarm, work or not.
    ahead: bool = False
    prewarmed: bool = False
    begun: bool = False
    # Set where init is redone under the function's own timeout, which then covers init and invoke.
    extended: bool = False
    invoke_by: float | None = None
    # The first poll.
    ready_at: float | None = None
    # Beyond a maximum that was lowered: finishes what runs, takes nothing new.
    draining: bool = False
    deadline: float | None = None
    # A debugger is attached: nothing of it is overdue meanwhile.
    debugged: bool = False
    running: dict[str, float] = field(default_factory=dict)
    free: int = 0
    returning: int = 0
    # When slots that have not polled again become blocked, and until when they are counted on.
    return_by: float = 0.0
    counted_until: float = 0.0
    blocked: list[str] = field(default_factory=list)

    def move(self, to: EnvironmentState, now: float) -> None:
        """Enter a state. Raises IllegalTransition."""
        if to not in TRANSITIONS[self.state]:
            raise IllegalTransition(f"{self.id}: {self.state} -> {to} at {now}")
        self.state = to
        self.since = now

    def next_due(self) -> float | None:
        """The next time at which a slot is overdue."""
        times = list(self.running.values())
        if self.returning:
            times.append(self.return_by)
        return min(times, default=None)


@dataclass(frozen=True, slots=True)
class Common:
    """What all fleets of a pool share."""

    limits: PoolLimits
    new_id: Callable[[], str]
    environments: dict[str, Environment]


@dataclass(slots=True, eq=False)
class Fleet:
    """All environments of one function version, its queue and its plan.

    `ready`, `idle` and `frozen` are stacks, the environment used last on top: provisioned ones,
    others, frozen ones. `partial` are busy ones with a free slot. `starting` and `returning` count
    slots, `alive` and `provisioned` environments that are not being stopped.
    """

    key: str
    timeout_s: float
    common: Common
    plan: FleetPlan = field(default_factory=FleetPlan)
    queue: deque[str] = field(default_factory=deque)
    ready: list[Environment] = field(default_factory=list)
    idle: list[Environment] = field(default_factory=list)
    frozen: list[Environment] = field(default_factory=list)
    partial: list[Environment] = field(default_factory=list)
    members: dict[str, Environment] = field(default_factory=dict)
    starting: int = 0
    returning: int = 0
    alive: int = 0
    provisioned: int = 0
    retired: bool = False
    backoff: Backoff = field(default_factory=Backoff)

    # -------------------------------------------------------------------------------- numbers

    @property
    def floor(self) -> int:
        """How many environments are kept whether there is work or not."""
        floor = max(self.plan.minimum, self.plan.provisioned)
        return floor if self.plan.maximum is None else min(floor, self.plan.maximum)

    @property
    def active(self) -> int:
        """How many environments are there and not frozen."""
        return self.alive - len(self.frozen)

    @property
    def short(self) -> bool:
        """Whether there are fewer environments than are to be kept."""
        return self.active < self.floor or self.provisioned < self.plan.provisioned

    @property
    def done(self) -> bool:
        """Whether nothing would be lost with this record."""
        idle = not self.members and not self.queue
        return idle and (self.retired or self.plan == FleetPlan())

    def room(self, wanted: int) -> int:
        """How many of the wanted environments may be started."""
        if self.plan.maximum is None:
            return max(0, wanted)
        return max(0, min(wanted, self.plan.maximum - self.alive))

    # --------------------------------------------------------------------------------- places

    def take(self) -> Environment | None:
        """The environment that should run the next invocation at once.

        Environments that run something are filled up before another is used, the fullest first,
        so that the fewest are needed and the others may go. Provisioned ones come before others.
        """
        if self.partial or self.ready:
            fullest = min(self.partial, key=_fill_order, default=None)
            if fullest is not None and (fullest.provisioned or not self.ready):
                return fullest
            return self.ready.pop()
        return self.idle.pop() if self.idle else None

    def show(self, environment: Environment) -> None:
        """Bring `partial` in line with what the environment can take."""
        fits = environment.state is _S.BUSY and environment.free > 0 and not environment.draining
        if fits and environment not in self.partial:
            self.partial.append(environment)
        elif not fits and environment in self.partial:
            self.partial.remove(environment)

    # ------------------------------------------------------------------------------ deliveries

    def deliver(self, environment: Environment, invocation: str, now: float) -> Deliver:
        """Run an invocation in a free slot; its timeout runs from now."""
        if environment.state is not _S.BUSY:
            environment.move(_S.BUSY, now)
        deadline = now + (DEBUGGED_S if environment.debugged else self.timeout_s)
        if environment.invoke_by is not None:
            deadline = min(deadline, environment.invoke_by)
            environment.invoke_by = None
        environment.running[invocation] = deadline
        environment.free -= 1
        if environment.slots == 1:
            environment.deadline = deadline
        else:
            environment.deadline = environment.next_due()
            self.show(environment)
        return Deliver(environment.id, invocation, deadline)

    def debug(self, environment: Environment, now: float, init_s: float) -> None:
        """A debugger came or went: what runs has no timeout meanwhile, and a whole one then."""
        starts = environment.state is _S.STARTING
        limit = init_s if starts else self.timeout_s
        due = now + (DEBUGGED_S if environment.debugged else limit)
        environment.running = dict.fromkeys(environment.running, due)
        if environment.invoke_by is not None:
            environment.invoke_by = due
        if environment.returning:
            environment.return_by = due
        if starts and environment.deadline is not None:
            environment.deadline = due
        elif not starts:
            environment.deadline = environment.next_due()

    def pump(self, now: float) -> list[Instruction]:
        """Deliver what waits to what is free."""
        instructions: list[Instruction] = []
        while self.queue:
            environment = self.take()
            if environment is None and self.frozen:
                environment = self.frozen.pop()
                instructions.append(Thaw(environment.id))
            if environment is None:
                break
            instructions.append(self.deliver(environment, self.queue.popleft(), now))
        return instructions

    def first_poll(self, environment: Environment, now: float, patience_s: float) -> None:
        """Init is over; the other slots are expected to poll, too."""
        self.starting -= environment.slots
        environment.ready_at = now
        self.backoff.succeeded(now)
        environment.returning = environment.slots - 1
        self.returning += environment.returning
        environment.return_by = now + self.common.limits.init_s
        environment.counted_until = now + patience_s

    def settle(self, environment: Environment, now: float) -> list[Instruction]:
        """Bring an environment's state in line with its slots after one of them has changed."""
        if environment.running:
            self.show(environment)
            return []
        if not environment.free and not environment.returning:
            return self.stop(environment, now)
        if environment.state is _S.IDLE or environment.state is _S.FROZEN:
            return []
        if environment.state is _S.BUSY:
            environment.move(_S.ANSWERED, now)
            self.show(environment)
        if not environment.free:
            return []
        environment.move(_S.IDLE, now)
        surplus = environment.provisioned and self.provisioned > self.plan.provisioned
        if self.retired or environment.draining or surplus:
            return self.stop(environment, now)
        environment.deadline = environment.return_by if environment.returning else None
        environment.invoke_by = None
        (self.ready if environment.provisioned else self.idle).append(environment)
        return []

    def block_overdue(self, environment: Environment, now: float) -> list[Instruction]:
        """Fail what has timed out, and count no more on slots that do not poll again."""
        overdue = [i for i, deadline in environment.running.items() if now >= deadline]
        for invocation in overdue:
            del environment.running[invocation]
        environment.blocked.extend(overdue)
        if environment.returning and now >= environment.return_by:
            environment.blocked.extend([""] * environment.returning)
            self.returning -= environment.returning
            environment.returning = 0
        environment.deadline = environment.next_due()
        failed = [Fail(environment.id, invocation, Cause.TIMED_OUT) for invocation in overdue]
        return [*failed, *self.settle(environment, now)]

    def blame(self, environment: Environment, cause: Cause) -> list[Instruction]:
        """Fail those that waited for this environment, which does not start: the longest waiting.

        They are those for whom nothing else starts or is about to poll; at least one, if it was
        an invocation that had this environment started.
        """
        others = self.starting - environment.slots + self.returning
        waiting = max(len(self.queue) - others, 0 if environment.ahead else 1)
        count = min(waiting, environment.slots, len(self.queue))
        return [Fail(environment.id, self.queue.popleft(), cause) for _ in range(count)]

    # ------------------------------------------------------------------------- begin and end

    def start(self, now: float, *, provisioned: bool = False, ahead: bool = False) -> Start:
        """Start one more environment."""
        environment = Environment(
            self.common.new_id(),
            self,
            _S.STARTING,
            now,
            slots=self.plan.slots,
            provisioned=provisioned,
            ahead=ahead,
        )
        self.common.environments[environment.id] = environment
        self.members[environment.id] = environment
        self.starting += environment.slots
        self.alive += 1
        self.provisioned += provisioned
        return Start(environment.id, self.key, provisioned, environment.slots)

    def thaw(self, now: float) -> Thaw:
        """Have the frozen environment used last wait for work."""
        environment = self.frozen.pop()
        environment.move(_S.IDLE, now)
        (self.ready if environment.provisioned else self.idle).append(environment)
        return Thaw(environment.id)

    def stop(self, environment: Environment, now: float) -> list[Instruction]:
        """Stop an environment; nothing runs in it."""
        if environment.state is _S.STOPPING:
            return []
        self._withdraw(environment)
        environment.move(_S.STOPPING, now)
        return [Stop(environment.id)]

    def remove(self, environment: Environment) -> None:
        """The environment is gone."""
        if environment.state is not _S.STOPPING:
            self._withdraw(environment)
        del self.common.environments[environment.id]
        del self.members[environment.id]

    def _withdraw(self, environment: Environment) -> None:
        """Take the environment out of every place and count."""
        places = {
            _S.IDLE: self.ready if environment.provisioned else self.idle,
            _S.FROZEN: self.frozen,
            _S.BUSY: self.partial,
            _S.ANSWERED: self.partial,
        }
        place = places.get(environment.state)
        if place is not None and environment in place:
            place.remove(environment)
        if environment.state is _S.STARTING:
            self.starting -= environment.slots
        self.returning -= environment.returning
        self.alive -= 1
        self.provisioned -= environment.provisioned
        environment.free = environment.returning = 0
        environment.blocked.clear()
        environment.deadline = None


def _fill_order(environment: Environment) -> tuple[bool, int]:
    return (not environment.provisioned, environment.free)

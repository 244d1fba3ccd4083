"""The warm pool: pure decisions about which environment runs what, and when one starts or stops.

`Pool.handle(event)` returns the instructions that follow; nothing here waits, sleeps or reads a
clock. The lifecycle of an environment is the table TRANSITIONS:

    STARTING -> IDLE -> BUSY -> ANSWERED -> IDLE ...     any -> STOPPING -> gone
                 ^|      ^
                 |v      |
                FROZEN --+

ANSWERED (has replied, has not polled again) keeps an environment from being given work that it
cannot take yet. Rules:

- one slot runs one invocation at a time; an environment has one slot, or as many as its fleet's
  plan said when it started, and serves one fleet for its whole life;
- one with a free slot that runs something is used first, the fullest before others; then the idle
  one used last (LIFO), then a frozen one; a new one is started only where the queue is longer than
  the slots that are starting or about to poll. Provisioned ones come before others of their kind;
- an invocation that times out fails alone and blocks its slot until the runtime polls again; an
  environment all of whose slots are blocked is stopped, nothing else stops one at work;
- idle environments freeze after `soft_s` and stop after `hard_s`, but for those the plan keeps;
- never more than the plan's maximum; what waits beyond it waits for a slot;
- a retired fleet finishes what was queued, then stops.

Records and slots are in `fleets`, how many environments there are in `fleet_size`.

Sources: Lambda@Home's scheduling rule (need = queued - idle, restart stopped first), AWS's init and
invoke phases (https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from lambda_home.scheduler import fleet_size
from lambda_home.scheduler.autoscaling import STEADY_S
from lambda_home.scheduler.events import (
    Answered,
    Cause,
    Complete,
    DebuggerAttached,
    Event,
    Exited,
    Fail,
    InitFailed,
    Instruction,
    Planned,
    Polled,
    Prewarm,
    Queued,
    Retired,
    SlotFree,
    Started,
    StartFailed,
    Thaw,
    Tick,
    Undelivered,
)
from lambda_home.scheduler.fleets import (
    TRANSITIONS,
    Common,
    Environment,
    EnvironmentState,
    Fleet,
    IllegalTransition,
    PoolLimits,
)

__all__ = [
    "POLL_PATIENCE_S",
    "SLOT_PATIENCE_S",
    "TRANSITIONS",
    "EnvironmentState",
    "IllegalTransition",
    "Pool",
    "PoolLimits",
]

# A runtime that has answered polls again within microseconds; one that takes longer than this is
# not counted on any more when deciding whether to start another environment. The workers of an
# environment with several slots load the function one by one, and are given longer for that.
POLL_PATIENCE_S = 0.1
SLOT_PATIENCE_S = 1.0

_S = EnvironmentState


class Pool:
    """All fleets of one server. `new_id` names environments."""

    def __init__(self, limits: PoolLimits, new_id: Callable[[], str]) -> None:
        self._limits = limits
        self._fleets: dict[str, Fleet] = {}
        self._environments: dict[str, Environment] = {}
        self._common = Common(limits, new_id, self._environments)
        self._handlers: dict[type, Callable[..., list[Instruction]]] = {
            Queued: self._queued,
            Planned: self._planned,
            Prewarm: self._prewarm,
            SlotFree: self._slot_free,
            Started: self._started,
            StartFailed: self._ended,
            Polled: self._polled,
            Undelivered: self._undelivered,
            Answered: self._answered,
            InitFailed: self._init_failed,
            Exited: self._ended,
            DebuggerAttached: self._debugger_attached,
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
        """The fleets that exist: those with environments, a queue, or a plan of their own."""
        return list(self._fleets)

    def provisioned_allocated(self, key: str) -> int:
        """How many of a fleet's planned provisioned environments exist, ready or starting."""
        fleet = self._fleets.get(key)
        return min(fleet.provisioned, fleet.plan.provisioned) if fleet else 0

    def provisioned_ready(self, key: str) -> int:
        """How many of a fleet's planned provisioned environments are through with their init."""
        fleet = self._fleets.get(key)
        if fleet is None:
            return 0
        not_ready = (_S.STARTING, _S.STOPPING)
        ready = sum(e.provisioned and e.state not in not_ready for e in fleet.members.values())
        return min(ready, fleet.plan.provisioned)

    # ---------------------------------------------------------------------- what callers bring

    def _queued(self, event: Queued) -> list[Instruction]:
        fleet = self._fleets.get(event.key)
        if fleet is None:
            fleet = self._new_fleet(event.key, event.timeout_s)
        environment = fleet.take()
        if environment is not None:
            return [fleet.deliver(environment, event.invocation, event.now)]
        if fleet.frozen:
            environment = fleet.frozen.pop()
            deliver = fleet.deliver(environment, event.invocation, event.now)
            return [Thaw(environment.id), deliver]
        fleet.queue.append(event.invocation)
        return fleet_size.demand(fleet, event.now, fleet.returning)

    def _planned(self, event: Planned) -> list[Instruction]:
        fleet = self._fleets.get(event.key) or self._new_fleet(event.key, event.timeout_s)
        fleet.timeout_s = event.timeout_s
        stopped = fleet_size.adopt_plan(fleet, event.plan, event.now)
        instructions = [*stopped, *fleet_size.serve(fleet, event.now)]
        self._drop_if_done(fleet)
        return instructions

    def _prewarm(self, event: Prewarm) -> list[Instruction]:
        fleet = self._fleets.get(event.key) or self._new_fleet(event.key, event.timeout_s)
        instructions = [] if fleet.retired else fleet_size.prewarm(fleet, event.count, event.now)
        self._drop_if_done(fleet)
        return instructions

    def _retired(self, event: Retired) -> list[Instruction]:
        fleet = self._fleets.get(event.key)
        if fleet is None:
            return []
        instructions = fleet_size.retire(fleet)
        self._drop_if_done(fleet)
        return instructions

    # ----------------------------------------------------------------------- starts and their end

    def _slot_free(self, event: SlotFree) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is not None and environment.state is _S.STARTING:
            if fleet_size.is_wanted(environment):
                environment.begun = True
            else:
                self._remove(environment)
        return []

    def _started(self, event: Started) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is not None and environment.state is _S.STARTING:
            environment.deadline = event.now + self._init_limit(environment)
            environment.invoke_by = environment.deadline if environment.extended else None
        return []

    def _debugger_attached(self, event: DebuggerAttached) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is not None and environment.state is not _S.STOPPING:
            environment.debugged = event.attached
            environment.fleet.debug(environment, event.now, self._init_limit(environment))
        return []

    def _init_limit(self, environment: Environment) -> float:
        if environment.fleet.plan.init_s is not None:
            return environment.fleet.plan.init_s
        if environment.extended:
            return environment.fleet.timeout_s
        if environment.provisioned:
            return self._limits.provisioned_init_s
        return self._limits.init_s

    def _init_failed(self, event: InitFailed) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is None or environment.state is not _S.STARTING:
            return []
        fleet = environment.fleet
        fleet.backoff.failed(event.now)
        failed = fleet.blame(environment, Cause.INIT_FAILED)
        stop = fleet.stop(environment, event.now)
        return [*failed, *stop, *fleet_size.serve(fleet, event.now)]

    def _ended(self, event: Exited | StartFailed) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is None:
            return []
        fleet = environment.fleet
        instructions: list[Instruction] = [
            Fail(environment.id, invocation, Cause.EXITED) for invocation in environment.running
        ]
        if environment.state is _S.STARTING:
            cause = Cause.NOT_STARTED if isinstance(event, StartFailed) else Cause.EXITED
            instructions.extend(fleet.blame(environment, cause))
            fleet.backoff.failed(event.now)
        elif _died_young(environment, event.now):
            fleet.backoff.failed(event.now)
        self._remove(environment)
        return [*instructions, *fleet_size.serve(fleet, event.now)]

    # ------------------------------------------------------------------------- what runtimes bring

    def _polled(self, event: Polled) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is None:
            return []
        fleet = environment.fleet
        if environment.returning:
            environment.returning -= 1
            fleet.returning -= 1
        elif environment.state is _S.STARTING:
            fleet.first_poll(environment, event.now, SLOT_PATIENCE_S)
        elif environment.blocked:
            environment.blocked.pop(0)
        else:
            return []  # a repeated poll, or one of an environment that is being stopped
        environment.free += 1
        if fleet.queue and not environment.draining:
            if environment.state is not _S.BUSY:
                environment.move(_S.IDLE, event.now)
            return [fleet.deliver(environment, fleet.queue.popleft(), event.now)]
        return fleet.settle(environment, event.now)

    def _answered(self, event: Answered) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is None:
            return []
        deadline = environment.running.pop(event.invocation, None)
        if deadline is None:
            return self._answered_late(environment, event)
        now = event.now
        fleet = environment.fleet
        environment.returning += 1
        fleet.returning += 1
        environment.return_by = deadline
        complete = Complete(environment.id, event.invocation)
        if environment.slots == 1:
            environment.counted_until = now + POLL_PATIENCE_S
            environment.move(_S.ANSWERED, now)
            return [complete]
        environment.counted_until = max(environment.counted_until, now + POLL_PATIENCE_S)
        return [complete, *fleet.settle(environment, now)]

    @staticmethod
    def _answered_late(environment: Environment, event: Answered) -> list[Instruction]:
        """Late, or not its own: the caller has had another answer. A blocked slot is working."""
        if event.invocation not in environment.blocked:
            return []
        environment.blocked.remove(event.invocation)
        environment.returning += 1
        environment.fleet.returning += 1
        environment.return_by = event.now + environment.fleet.timeout_s
        environment.deadline = environment.next_due()
        return []

    def _undelivered(self, event: Undelivered) -> list[Instruction]:
        environment = self._environments.get(event.environment)
        if environment is None or event.invocation not in environment.running:
            return []
        fleet = environment.fleet
        del environment.running[event.invocation]
        environment.blocked.append("")
        fleet.queue.appendleft(event.invocation)
        settled = fleet.settle(environment, event.now)
        return [*settled, *fleet_size.serve(fleet, event.now)]

    # -------------------------------------------------------------------------------------- time

    def _tick(self, event: Tick) -> list[Instruction]:
        now = event.now
        instructions: list[Instruction] = []
        for environment in list(self._environments.values()):
            if environment.deadline is not None and now >= environment.deadline:
                instructions.extend(self._overdue(environment, now))
            if environment.state is _S.IDLE or environment.state is _S.FROZEN:
                instructions.extend(fleet_size.idled(environment, now))
        for fleet in self._fleets.values():
            if fleet.short:
                instructions.extend(fleet_size.replenish(fleet, now))
            if fleet.queue:
                members = fleet.members.values()
                counted_on = sum(e.returning for e in members if now < e.counted_until)
                instructions.extend(fleet_size.demand(fleet, now, counted_on))
        return instructions

    def _overdue(self, environment: Environment, now: float) -> list[Instruction]:
        fleet = environment.fleet
        if environment.state is not _S.STARTING:
            return fleet.block_overdue(environment, now)
        fleet.backoff.failed(now)
        if environment.extended:
            blamed = fleet.blame(environment, Cause.TIMED_OUT)
            return [*blamed, *fleet.stop(environment, now)]
        # AWS: init over its limit is done again inside the first invoke, under its timeout.
        stop = fleet.stop(environment, now)
        if len(fleet.queue) > fleet.starting:
            again = fleet.start(now)
            fleet.members[again.environment].extended = True
            return [*stop, again]
        return stop

    # ----------------------------------------------------------------------------------- records

    def _new_fleet(self, key: str, timeout_s: float) -> Fleet:
        fleet = self._fleets[key] = Fleet(key, timeout_s, self._common)
        return fleet

    def _remove(self, environment: Environment) -> None:
        environment.fleet.remove(environment)
        self._drop_if_done(environment.fleet)

    def _drop_if_done(self, fleet: Fleet) -> None:
        if fleet.done:
            self._fleets.pop(fleet.key, None)


def _died_young(environment: Environment, now: float) -> bool:
    """Whether it went right after its init, without having been used: as good as not started."""
    unused = environment.state in (_S.IDLE, _S.FROZEN) and environment.since == environment.ready_at
    return unused and now - environment.since < STEADY_S

"""How many environments a fleet gets: for its queue, for its plan, for work that is expected.

Everything here obeys the plan's maximum, and thaws frozen environments before it creates new ones.
Environments that are kept without work are not created again and again where they fail to start:
the fleet's back-off spaces the attempts out. Starts for waiting invocations need none, as each
failure fails an invocation.
"""

from __future__ import annotations

from dataclasses import replace

from lambda_home.scheduler.autoscaling import plan_scale
from lambda_home.scheduler.events import FleetPlan, Freeze, Instruction
from lambda_home.scheduler.fleets import Environment, EnvironmentState, Fleet

_S = EnvironmentState
_WORKING = (_S.BUSY, _S.ANSWERED)
_WAITING = (_S.IDLE, _S.FROZEN)


def demand(fleet: Fleet, now: float, about_to_poll: int) -> list[Instruction]:
    """Start what the queue needs beyond the slots that are starting or about to poll."""
    _, slots = plan_scale(len(fleet.queue), fleet.starting + about_to_poll, 0)
    environments = -(-slots // fleet.plan.slots)
    return [fleet.start(now) for _ in range(fleet.room(environments))]


def serve(fleet: Fleet, now: float) -> list[Instruction]:
    """Deliver what waits, keep what is to be kept, start what is missing."""
    delivered = fleet.pump(now)
    kept = replenish(fleet, now)
    return [*delivered, *kept, *demand(fleet, now, fleet.returning)]


def replenish(fleet: Fleet, now: float) -> list[Instruction]:
    """Start the environments that are to be kept and are missing."""
    if not fleet.short:
        return []
    instructions: list[Instruction] = []
    may_start = fleet.backoff.allows(now)
    missing = fleet.plan.provisioned - fleet.provisioned
    if missing > 0 and may_start:
        instructions.extend(_make_room(fleet, missing, now))
        room = range(fleet.room(missing))
        instructions.extend(fleet.start(now, provisioned=True, ahead=True) for _ in room)
    restart, create = plan_scale(fleet.floor, fleet.active, len(fleet.frozen))
    instructions.extend(fleet.thaw(now) for _ in range(restart))
    if may_start:
        instructions.extend(fleet.start(now, ahead=True) for _ in range(fleet.room(create)))
    return instructions


def prewarm(fleet: Fleet, count: int, now: float) -> list[Instruction]:
    """Have `count` environments start or idle."""
    starting = [e for e in fleet.members.values() if e.state is _S.STARTING]
    idle = len(fleet.idle) + len(fleet.ready)
    for environment in starting[: max(0, count - idle)]:
        environment.prewarmed = True
    restart, create = plan_scale(count, idle + len(starting), len(fleet.frozen))
    instructions: list[Instruction] = [fleet.thaw(now) for _ in range(restart)]
    if fleet.backoff.allows(now):
        for _ in range(fleet.room(create)):
            start = fleet.start(now, ahead=True)
            fleet.members[start.environment].prewarmed = True
            instructions.append(start)
    return instructions


def adopt_plan(fleet: Fleet, plan: FleetPlan, now: float) -> list[Instruction]:
    """Change the plan; stop what is beyond it and does not work. `serve` starts what it asks for.

    Environments at work that are beyond a lowered maximum finish and take nothing new. A retired
    fleet is taken into service again by a plan that keeps environments.
    """
    fleet.plan = plan
    if fleet.floor > 0:
        fleet.retired = False
    for environment in fleet.members.values():
        if environment.draining:
            environment.draining = False
            fleet.show(environment)
    return [*_stop_surplus_provisioned(fleet, now), *_stop_excess(fleet, now)]


def retire(fleet: Fleet) -> list[Instruction]:
    """Keep nothing any more; stop what is idle, or starts and is not waited for."""
    fleet.retired = True
    fleet.plan = replace(fleet.plan, minimum=0, provisioned=0)
    instructions: list[Instruction] = []
    spare = fleet.starting - len(fleet.queue)
    for environment in list(fleet.members.values()):
        if environment.state in _WAITING:
            instructions.extend(fleet.stop(environment, environment.since))
        elif environment.state is _S.STARTING and spare >= environment.slots:
            spare -= environment.slots
            instructions.extend(fleet.stop(environment, environment.since))
    return instructions


def is_wanted(environment: Environment) -> bool:
    """Whether a start that may begin now still has a purpose."""
    fleet = environment.fleet
    begun = sum(e.slots for e in fleet.members.values() if e.begun and e.state is _S.STARTING)
    kept = environment.provisioned and fleet.provisioned <= fleet.plan.provisioned
    return len(fleet.queue) > begun or environment.prewarmed or kept or fleet.alive <= fleet.floor


def idled(environment: Environment, now: float) -> list[Instruction]:
    """Freeze or stop what has been idle for long, down to what is to be kept."""
    fleet = environment.fleet
    limits = fleet.common.limits
    idle_for = now - environment.since
    if idle_for < limits.soft_s or environment.provisioned:
        return []
    if environment.state is _S.IDLE and fleet.active <= fleet.floor:
        return []
    if idle_for >= limits.hard_s:
        return fleet.stop(environment, now)
    if environment.state is _S.IDLE:
        fleet.idle.remove(environment)
        fleet.frozen.append(environment)
        # Not by move: `since` stays the time of the last use, from which hard_s counts.
        environment.state = _S.FROZEN
        return [Freeze(environment.id)]
    return []


def _make_room(fleet: Fleet, wanted: int, now: float) -> list[Instruction]:
    """Let environments without work go where they are in the way of provisioned ones."""
    lacking = wanted - fleet.room(wanted)
    in_the_way = [*fleet.frozen, *fleet.idle][:lacking]
    return [stop for environment in in_the_way for stop in fleet.stop(environment, now)]


def _stop_surplus_provisioned(fleet: Fleet, now: float) -> list[Instruction]:
    instructions: list[Instruction] = []
    surplus = fleet.provisioned - fleet.plan.provisioned
    for environment in reversed(list(fleet.members.values())):
        if surplus > 0 and environment.provisioned and _is_dispensable(environment):
            surplus -= 1
            instructions.extend(fleet.stop(environment, now))
    return instructions


def _is_dispensable(environment: Environment) -> bool:
    """Whether nothing runs in it and nobody waits for it."""
    fleet = environment.fleet
    if environment.state is _S.STARTING:
        return fleet.starting - environment.slots >= len(fleet.queue)
    return environment.state in _WAITING


def _stop_excess(fleet: Fleet, now: float) -> list[Instruction]:
    instructions: list[Instruction] = []
    excess = fleet.alive - fleet.plan.maximum if fleet.plan.maximum is not None else 0
    alive = [e for e in fleet.members.values() if e.state is not _S.STOPPING]
    for environment in sorted(alive, key=_dispensable_first)[: max(0, excess)]:
        if environment.state in _WORKING:
            environment.draining = True
            fleet.show(environment)
        else:
            instructions.extend(fleet.stop(environment, now))
    return instructions


def _dispensable_first(environment: Environment) -> tuple[bool, bool, int]:
    by_state = {_S.STARTING: 0, _S.FROZEN: 1, _S.IDLE: 2}
    rank = by_state.get(environment.state, len(environment.running))
    return environment.state in _WORKING, environment.provisioned, rank

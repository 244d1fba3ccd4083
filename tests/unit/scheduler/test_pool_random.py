"""The pool under random events: whatever comes, its promises hold.

A simulated world performs the instructions, badly: starts fail, runtimes crash, hang, answer late,
poll twice, connections break. Fleets have plans that change at any time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lambda_home.scheduler.events import (
    Answered,
    Cause,
    Complete,
    Deliver,
    Event,
    Exited,
    Fail,
    FleetPlan,
    Freeze,
    InitFailed,
    Planned,
    Polled,
    Prewarm,
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
from lambda_home.scheduler.fleets import Fleet
from lambda_home.scheduler.pool import EnvironmentState as State
from lambda_home.scheduler.pool import Pool, PoolLimits

FLEETS = ("a", "b")
TIMEOUT_S = 5.0
LIMITS = PoolLimits(soft_s=20.0, hard_s=60.0, init_s=8.0, provisioned_init_s=30.0)
WORKING = (State.BUSY, State.ANSWERED)

plans = st.builds(
    FleetPlan,
    slots=st.integers(1, 4),
    minimum=st.integers(0, 3),
    maximum=st.none() | st.integers(1, 5),
    provisioned=st.integers(0, 2),
)


@dataclass
class Runtime:
    """What is in an environment: workers, each away, parked, running, or hung past its timeout."""

    key: str
    slots: int
    provisioned: bool
    parked: int = 0
    running: set[str] = field(default_factory=set)
    hung: set[str] = field(default_factory=set)

    @property
    def away(self) -> int:
        """Workers that may come to poll."""
        return self.slots - self.parked - len(self.running) - len(self.hung)


class World(RuleBasedStateMachine):
    """Environments and callers as the pool has made them believe."""

    def __init__(self) -> None:
        super().__init__()
        ids = count(1)
        self.pool = Pool(LIMITS, lambda: f"e{next(ids)}")
        self.invocations = count(1)
        self.now = 0.0
        self.open: dict[str, str] = {}  # invocation -> fleet, not answered yet
        self.ended: Counter[str] = Counter()
        self.used: set[str] = set()
        self.alive: dict[str, Runtime] = {}  # environments that exist in the sandbox
        self.stopping: set[str] = set()
        self.frozen: set[str] = set()
        self.known: list[tuple[str, str]] = []  # deliveries ever made, for late answers

    def tell(self, event: Event) -> None:
        instructions = self.pool.handle(event)
        started = {i.key for i in instructions if isinstance(i, Start)}
        for key in started:
            maximum = self.plan_of(key).maximum
            assert maximum is None or self.not_stopping(key) <= maximum, "started beyond maximum"
        for instruction in instructions:
            getattr(self, f"do_{type(instruction).__name__.lower()}")(instruction)

    def plan_of(self, key: str) -> FleetPlan:
        fleet = self.fleet(key)
        return fleet.plan if fleet else FleetPlan()

    def fleet(self, key: str) -> Fleet | None:
        return self.pool._fleets.get(key)  # noqa: SLF001  its counts are checked here

    def not_stopping(self, key: str) -> int:
        states = self.pool.states(key)
        return states.total() - states[State.STOPPING]

    # -- performing ---------------------------------------------------------------------------

    def do_start(self, start: Start) -> None:
        assert start.environment not in self.used, "an id was used twice"
        self.used.add(start.environment)
        self.alive[start.environment] = Runtime(start.key, start.slots, start.provisioned)

    def do_deliver(self, deliver: Deliver) -> None:
        e, i = deliver.environment, deliver.invocation
        runtime = self.alive[e]
        assert runtime.parked > 0, "delivered to a runtime that is not polling"
        assert e not in self.stopping, "delivered to an environment that is being stopped"
        assert e not in self.frozen, "delivered to a frozen environment"
        assert self.open[i] == runtime.key, "delivered to another function"
        assert i not in self.all_running(), "delivered twice"
        assert self.now < deliver.deadline <= self.now + TIMEOUT_S
        runtime.parked -= 1
        runtime.running.add(i)
        self.known.append((e, i))

    def do_complete(self, complete: Complete) -> None:
        self._end(complete.invocation)
        self.alive[complete.environment].running.remove(complete.invocation)

    def do_fail(self, fail: Fail) -> None:
        self._end(fail.invocation)
        runtime = self.alive.get(fail.environment)
        if runtime and fail.invocation in runtime.running:
            assert fail.cause is Cause.TIMED_OUT
            runtime.running.remove(fail.invocation)
            runtime.hung.add(fail.invocation)

    def do_freeze(self, freeze: Freeze) -> None:
        runtime = self.alive[freeze.environment]
        assert runtime.parked, "froze an environment at work"
        assert not runtime.running, "froze an environment at work"
        assert freeze.environment not in self.frozen
        self.frozen.add(freeze.environment)
        fleet = self.fleet(runtime.key)
        assert fleet is not None
        assert fleet.active >= fleet.floor, "froze what is to be kept"

    def do_thaw(self, thaw: Thaw) -> None:
        self.frozen.remove(thaw.environment)

    def do_stop(self, stop: Stop) -> None:
        assert stop.environment in self.alive
        assert not self.alive[stop.environment].running, "stopped with an unanswered invocation"
        assert stop.environment not in self.stopping, "stopped twice"
        self.stopping.add(stop.environment)
        self.frozen.discard(stop.environment)  # a sandbox stops frozen environments too

    def all_running(self) -> set[str]:
        return {i for runtime in self.alive.values() for i in runtime.running}

    def _end(self, invocation: str) -> None:
        assert invocation in self.open, "answered twice, or never asked"
        del self.open[invocation]
        self.ended[invocation] += 1

    def _gone(self, environment: str) -> None:
        del self.alive[environment]
        self.stopping.discard(environment)
        self.frozen.discard(environment)

    def _pick(self, data: Any, among: set[str] | list[str]) -> str | None:
        return data.draw(st.sampled_from(sorted(among))) if among else None

    def _in_state(self, *states: State) -> set[str]:
        return {e for e in self.alive if self.pool.state_of(e) in states}

    # -- what can happen ----------------------------------------------------------------------

    @rule(key=st.sampled_from(FLEETS), calls=st.sampled_from([1, 1, 1, 6]))
    def queue(self, key: str, calls: int) -> None:
        for _ in range(calls):
            name = f"i{next(self.invocations)}"
            self.open[name] = key
            self.tell(Queued(name, key, TIMEOUT_S, self.now))

    @rule(key=st.sampled_from(FLEETS), plan=plans)
    def plan(self, key: str, plan: FleetPlan) -> None:
        self.tell(Planned(key, plan, TIMEOUT_S, self.now))
        assert self.plan_of(key) == plan

    @rule(key=st.sampled_from(FLEETS), number=st.integers(0, 4))
    def prewarm(self, key: str, number: int) -> None:
        self.tell(Prewarm(key, number, TIMEOUT_S, self.now))

    @rule(data=st.data())
    def slot(self, data: Any) -> None:
        environment = self._pick(data, self._in_state(State.STARTING))
        if environment:
            self.tell(SlotFree(environment, self.now))
            if self.pool.state_of(environment) is None:
                self._gone(environment)

    @rule(data=st.data())
    def started(self, data: Any) -> None:
        environment = self._pick(data, set(self.alive))
        if environment:
            self.tell(Started(environment, self.now))

    @rule(data=st.data(), init_error=st.booleans())
    def start_goes_wrong(self, data: Any, init_error: bool) -> None:  # noqa: FBT001
        environment = self._pick(data, self._in_state(State.STARTING))
        if environment:
            if init_error:
                self.tell(InitFailed(environment, self.now))
            else:
                self._gone(environment)
                self.tell(StartFailed(environment, self.now))

    @rule(data=st.data())
    def poll(self, data: Any) -> None:
        away = {e for e in set(self.alive) - self.stopping - self.frozen if self.alive[e].away}
        environment = self._pick(data, away)
        if environment:
            self._poll(environment)

    @rule(data=st.data())
    def all_poll(self, data: Any) -> None:
        away = {e for e in set(self.alive) - self.stopping - self.frozen if self.alive[e].away}
        environment = self._pick(data, away)
        while environment and environment not in self.stopping and self.alive[environment].away:
            self._poll(environment)

    def _poll(self, environment: str) -> None:
        self.alive[environment].parked += 1
        self.tell(Polled(environment, self.now))

    @rule(data=st.data())
    def poll_beyond_the_slots(self, data: Any) -> None:
        full = {e for e, r in self.alive.items() if not r.away and not r.hung}
        environment = self._pick(data, full)
        if environment:
            assert self.pool.handle(Polled(environment, self.now)) == []

    @rule(data=st.data())
    def answer(self, data: Any) -> None:
        invocation = self._pick(data, self.all_running())
        if invocation:
            environment = next(e for e, r in self.alive.items() if invocation in r.running)
            self.tell(Answered(environment, invocation, self.now))

    @rule(data=st.data(), polls=st.booleans())
    def a_hung_worker_comes_back(self, data: Any, polls: bool) -> None:  # noqa: FBT001
        environment = self._pick(data, {e for e, r in self.alive.items() if r.hung})
        if environment:
            runtime = self.alive[environment]
            invocation = runtime.hung.pop()
            if polls and environment not in self.stopping | self.frozen:
                self._poll(environment)
            else:
                assert self.pool.handle(Answered(environment, invocation, self.now)) == []

    @rule(data=st.data())
    def answer_late_or_wrong(self, data: Any) -> None:
        if self.known:
            environment, invocation = data.draw(st.sampled_from(self.known))
            runtime = self.alive.get(environment)
            if runtime is None or invocation not in runtime.running | runtime.hung:
                instructions = self.pool.handle(Answered(environment, invocation, self.now))
                assert instructions == []

    @rule(data=st.data())
    def connection_was_lost(self, data: Any) -> None:
        invocation = self._pick(data, self.all_running())
        if invocation:
            environment = next(e for e, r in self.alive.items() if invocation in r.running)
            self.alive[environment].running.remove(invocation)
            self.tell(Undelivered(environment, invocation, self.now))

    @rule(data=st.data())
    def exit(self, data: Any) -> None:
        environment = self._pick(data, set(self.alive))
        if environment:
            running = set(self.alive[environment].running)
            self._gone(environment)
            self.tell(Exited(environment, self.now))
            assert not running & set(self.open), "the dead environment's invocations still wait"

    @rule(data=st.data())
    def stop_is_done(self, data: Any) -> None:
        environment = self._pick(data, self.stopping)
        if environment:
            self._gone(environment)
            self.tell(Exited(environment, self.now))

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.2, 1.0, 3.0, 30.0, 3600.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.tell(Tick(self.now))
        environments = set(self.alive)
        self.tell(Tick(self.now))
        assert set(self.alive) == environments, "time stood still, yet more was started"
        for fleet in filter(None, map(self.fleet, FLEETS)):
            missing = fleet.alive < fleet.floor
            assert not missing or not fleet.backoff.allows(self.now), "less than is to be kept"

    @rule(key=st.sampled_from(FLEETS))
    def retire(self, key: str) -> None:
        self.tell(Retired(key))

    # -- what always holds --------------------------------------------------------------------

    @invariant()
    def the_pool_agrees_with_the_world(self) -> None:
        states = {e: s for e, _, s in self.pool.environments()}
        assert set(states) == set(self.alive)
        for environment, state in states.items():
            runtime = self.alive[environment]
            assert (state is State.BUSY) == bool(runtime.running)
            assert (state is State.FROZEN) == (environment in self.frozen)
            assert (state is State.STOPPING) == (environment in self.stopping)
            assert runtime.parked + len(runtime.running) <= runtime.slots
        for key in FLEETS:
            waiting = {i for i, k in self.open.items() if k == key} - self.all_running()
            assert self.pool.queued(key) == len(waiting)

    @invariant()
    def nobody_waits_while_there_is_a_free_slot(self) -> None:
        for key in FLEETS:
            fleet = self.fleet(key)
            if fleet and fleet.queue:
                states = self.pool.states(key)
                assert states[State.IDLE] == states[State.FROZEN] == 0
                for environment in fleet.members.values():
                    assert environment.draining or not environment.free

    @invariant()
    def beyond_a_maximum_there_is_only_what_finishes(self) -> None:
        for key in FLEETS:
            maximum = self.plan_of(key).maximum
            excess = self.not_stopping(key) - maximum if maximum is not None else 0
            if excess > 0:
                fleet = self.fleet(key)
                assert fleet is not None
                draining = [e for e in fleet.members.values() if e.draining]
                assert len([e for e in draining if e.state in WORKING]) >= excess

    @invariant()
    def the_counts_are_right(self) -> None:
        for key in FLEETS:
            fleet = self.fleet(key)
            if fleet is None:
                continue
            members = fleet.members.values()
            alive = [e for e in members if e.state is not State.STOPPING]
            assert fleet.alive == len(alive)
            assert fleet.provisioned == sum(e.provisioned for e in alive)
            assert fleet.starting == sum(e.slots for e in alive if e.state is State.STARTING)
            assert fleet.returning == sum(e.returning for e in members)
            idle = {e.id for e in alive if e.state is State.IDLE}
            assert sorted(e.id for e in [*fleet.idle, *fleet.ready]) == sorted(idle)
            assert all(e.provisioned for e in fleet.ready)
            assert not any(e.provisioned for e in fleet.idle)
            assert {e.id for e in fleet.frozen} == {e.id for e in alive if e.state is State.FROZEN}
            fits = {e.id for e in alive if e.state is State.BUSY and e.free and not e.draining}
            assert sorted(e.id for e in fleet.partial) == sorted(fits)
            for environment in alive:
                if environment.state is not State.STARTING:
                    taken = len(environment.running) + len(environment.blocked)
                    assert environment.free + environment.returning + taken == environment.slots
            assert self.pool.provisioned_ready(key) <= self.pool.provisioned_allocated(key)

    def teardown(self) -> None:
        """Let everything that is open run to its end: nothing is lost, and plans are met."""
        for _ in range(400):
            if not self.open and all(map(self._planned_is_there, FLEETS)):
                break
            for environment in sorted(self.stopping):
                self._gone(environment)
                self.tell(Exited(environment, self.now))
            for environment, runtime in sorted(self.alive.items()):
                for invocation in sorted(runtime.running):
                    self.tell(Answered(environment, invocation, self.now))
                runtime.hung.clear()
            for environment in sorted(set(self.alive) - self.stopping - self.frozen):
                while environment not in self.stopping and self.alive[environment].away:
                    self._poll(environment)
            self.now += 0.2
            self.tell(Tick(self.now))
        assert not self.open, "an invocation was lost"
        assert set(self.ended.values()) <= {1}, "an invocation was answered twice"
        assert all(map(self._planned_is_there, FLEETS)), "a plan was not met"

    def _planned_is_there(self, key: str) -> bool:
        fleet = self.fleet(key)
        if fleet is None:
            return True
        most = fleet.plan.maximum
        wanted = fleet.plan.provisioned if most is None else min(most, fleet.plan.provisioned)
        ready = self.pool.provisioned_ready(key)
        return fleet.active >= fleet.floor and ready >= wanted


World.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestWorld = World.TestCase

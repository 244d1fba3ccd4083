"""The pool under random events: whatever comes, its promises hold.

A simulated world performs the instructions, badly: starts fail, runtimes crash, hang, answer late,
poll twice, connections break.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lambda_home.scheduler.events import (
    Answered,
    Complete,
    Deliver,
    Event,
    Exited,
    Fail,
    Freeze,
    InitFailed,
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
from lambda_home.scheduler.pool import EnvironmentState, Pool, PoolLimits

FLEETS = ("a", "b")
TIMEOUT_S = 5.0
LIMITS = PoolLimits(soft_s=20.0, hard_s=60.0, init_s=8.0)


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
        self.fleet_of: dict[str, str] = {}
        self.alive: set[str] = set()  # environments that exist in the sandbox
        self.parked: set[str] = set()  # environments with a parked poll
        self.running: dict[str, str] = {}  # environment -> invocation
        self.stopping: set[str] = set()
        self.frozen: set[str] = set()
        self.known: list[tuple[str, str]] = []  # deliveries ever made, for late answers

    def tell(self, event: Event) -> None:
        for instruction in self.pool.handle(event):
            getattr(self, f"do_{type(instruction).__name__.lower()}")(instruction)

    # -- performing ---------------------------------------------------------------------------

    def do_start(self, start: Start) -> None:
        assert start.environment not in self.fleet_of, "an id was used twice"
        self.fleet_of[start.environment] = start.key
        self.alive.add(start.environment)

    def do_deliver(self, deliver: Deliver) -> None:
        e, i = deliver.environment, deliver.invocation
        assert e in self.parked, "delivered to a runtime that is not polling"
        assert e not in self.running, "two invocations in one environment"
        assert e not in self.stopping, "delivered to an environment that is being stopped"
        assert e not in self.frozen, "delivered to a frozen environment"
        assert self.open[i] == self.fleet_of[e], "delivered to another function"
        assert i not in self.running.values(), "delivered twice"
        assert self.now < deliver.deadline <= self.now + TIMEOUT_S
        self.parked.discard(e)
        self.running[e] = i
        self.known.append((e, i))

    def do_complete(self, complete: Complete) -> None:
        self._end(complete.invocation)
        assert self.running.pop(complete.environment) == complete.invocation

    def do_fail(self, fail: Fail) -> None:
        self._end(fail.invocation)
        self.running.pop(fail.environment, None)

    def do_freeze(self, freeze: Freeze) -> None:
        assert freeze.environment in self.parked, "froze an environment at work"
        assert freeze.environment not in self.frozen
        self.frozen.add(freeze.environment)

    def do_thaw(self, thaw: Thaw) -> None:
        self.frozen.remove(thaw.environment)

    def do_stop(self, stop: Stop) -> None:
        assert stop.environment in self.alive
        assert stop.environment not in self.running, "stopped with an unanswered invocation"
        assert stop.environment not in self.stopping, "stopped twice"
        self.stopping.add(stop.environment)
        self.frozen.discard(stop.environment)  # a sandbox stops frozen environments too

    def _end(self, invocation: str) -> None:
        assert invocation in self.open, "answered twice, or never asked"
        del self.open[invocation]
        self.ended[invocation] += 1

    def _gone(self, environment: str) -> None:
        self.alive.discard(environment)
        self.parked.discard(environment)
        self.stopping.discard(environment)
        self.frozen.discard(environment)

    def _pick(self, data: Any, among: set[str] | list[str]) -> str | None:
        return data.draw(st.sampled_from(sorted(among))) if among else None

    # -- what can happen ----------------------------------------------------------------------

    @rule(key=st.sampled_from(FLEETS))
    def queue(self, key: str) -> None:
        name = f"i{next(self.invocations)}"
        self.open[name] = key
        self.tell(Queued(name, key, TIMEOUT_S, self.now))

    @rule(data=st.data())
    def slot(self, data: Any) -> None:
        environment = self._pick(data, self.alive - self.parked)
        if environment and self.pool.state_of(environment) is EnvironmentState.STARTING:
            self.tell(SlotFree(environment, self.now))
            if self.pool.state_of(environment) is None:
                self._gone(environment)

    @rule(data=st.data())
    def started(self, data: Any) -> None:
        environment = self._pick(data, self.alive)
        if environment:
            self.tell(Started(environment, self.now))

    @rule(data=st.data(), init_error=st.booleans())
    def start_goes_wrong(self, data: Any, init_error: bool) -> None:  # noqa: FBT001
        environment = self._pick(data, self.alive)
        if environment and self.pool.state_of(environment) is EnvironmentState.STARTING:
            if init_error:
                self.tell(InitFailed(environment, self.now))
            else:
                self._gone(environment)
                self.tell(StartFailed(environment, self.now))

    @rule(data=st.data())
    def poll(self, data: Any) -> None:
        environment = self._pick(data, self.alive - set(self.running) - self.stopping)
        if environment:
            self.parked.add(environment)
            self.tell(Polled(environment, self.now))

    @rule(data=st.data())
    def answer(self, data: Any) -> None:
        environment = self._pick(data, set(self.running))
        if environment:
            self.tell(Answered(environment, self.running[environment], self.now))

    @rule(data=st.data())
    def answer_late_or_wrong(self, data: Any) -> None:
        if self.known:
            environment, invocation = data.draw(st.sampled_from(self.known))
            if self.running.get(environment) != invocation:
                assert self.pool.handle(Answered(environment, invocation, self.now)) == []

    @rule(data=st.data())
    def connection_was_lost(self, data: Any) -> None:
        environment = self._pick(data, set(self.running))
        if environment:
            invocation = self.running.pop(environment)
            self.tell(Undelivered(environment, invocation, self.now))

    @rule(data=st.data())
    def exit(self, data: Any) -> None:
        environment = self._pick(data, self.alive)
        if environment:
            self._gone(environment)
            self.tell(Exited(environment, self.now))
            assert environment not in self.running

    @rule(data=st.data())
    def stop_is_done(self, data: Any) -> None:
        environment = self._pick(data, self.stopping)
        if environment:
            self._gone(environment)
            self.tell(Exited(environment, self.now))

    @rule(seconds=st.sampled_from([0.01, 0.2, 3.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.tell(Tick(self.now))

    @rule(key=st.sampled_from(FLEETS))
    def retire(self, key: str) -> None:
        self.tell(Retired(key))

    # -- what always holds --------------------------------------------------------------------

    @invariant()
    def the_pool_agrees_with_the_world(self) -> None:
        states = {e: s for e, _, s in self.pool.environments()}
        assert set(states) == self.alive
        for environment, state in states.items():
            assert (state is EnvironmentState.BUSY) == (environment in self.running)
            assert (state is EnvironmentState.FROZEN) == (environment in self.frozen)
            assert (state is EnvironmentState.STOPPING) == (environment in self.stopping)
        for key in FLEETS:
            waiting = {i for i, k in self.open.items() if k == key} - set(self.running.values())
            assert self.pool.queued(key) == len(waiting)

    @invariant()
    def nobody_waits_while_an_environment_is_idle(self) -> None:
        for key in FLEETS:
            states = self.pool.states(key)
            if self.pool.queued(key):
                assert states[EnvironmentState.IDLE] == 0
                assert states[EnvironmentState.FROZEN] == 0

    def teardown(self) -> None:
        """Let everything that is open run to its end: nothing is lost."""
        for _ in range(10_000):
            if not self.open:
                break
            for environment in sorted(self.stopping):
                self._gone(environment)
                self.tell(Exited(environment, self.now))
            for environment, invocation in sorted(self.running.items()):
                self.tell(Answered(environment, invocation, self.now))
            for environment in sorted(self.alive - set(self.running) - self.stopping):
                self.parked.add(environment)
                self.tell(Polled(environment, self.now))
            self.now += 0.2
            self.tell(Tick(self.now))
        assert not self.open, "an invocation was lost"
        assert set(self.ended.values()) <= {1}, "an invocation was answered twice"


World.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestWorld = World.TestCase

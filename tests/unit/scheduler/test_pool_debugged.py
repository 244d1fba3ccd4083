"""Timeouts rest while a debugger is attached."""

from __future__ import annotations

from unit.scheduler.pools import KEY, new_pool, queue, warm

from lambda_home.scheduler.events import (
    Cause,
    DebuggerAttached,
    Deliver,
    Fail,
    FleetPlan,
    Planned,
    Start,
    Started,
    Stop,
    Tick,
)


def test_an_invocation_under_a_debugger_has_no_timeout_and_then_a_whole_one() -> None:
    pool = new_pool()
    warm(pool, 1)
    assert queue(pool, "i", now=10.0) == [Deliver("e1", "i", 13.0)]
    assert pool.handle(DebuggerAttached("e1", attached=True, now=12.0)) == []
    assert pool.handle(Tick(5000.0)) == []
    assert pool.handle(DebuggerAttached("e1", attached=False, now=5000.0)) == []
    assert pool.handle(Tick(5002.9)) == []
    assert Fail("e1", "i", Cause.TIMED_OUT) in pool.handle(Tick(5003.1))


def test_an_invocation_that_comes_while_one_is_attached_has_a_day() -> None:
    pool = new_pool()
    warm(pool, 1)
    pool.handle(DebuggerAttached("e1", attached=True, now=1.0))
    assert queue(pool, "i", now=10.0) == [Deliver("e1", "i", 10.0 + 86_400)]


def test_init_under_a_debugger_is_not_overdue() -> None:
    pool = new_pool()
    queue(pool, "i")
    pool.handle(Started("e1", 0.0))
    pool.handle(DebuggerAttached("e1", attached=True, now=1.0))
    assert pool.handle(Tick(500.0)) == []
    pool.handle(DebuggerAttached("e1", attached=False, now=500.0))
    assert pool.handle(Tick(509.0)) == []
    assert Stop("e1") in pool.handle(Tick(510.1))


def test_a_debugger_of_an_environment_that_is_gone_is_nothing() -> None:
    assert new_pool().handle(DebuggerAttached("e1", attached=True, now=1.0)) == []


def test_a_plan_may_give_init_more_time() -> None:
    pool = new_pool()
    plan = FleetPlan(minimum=1, maximum=1, init_s=120.0)
    assert pool.handle(Planned(KEY, plan, 3.0, 0.0)) == [Start("e1", KEY)]
    pool.handle(Started("e1", 0.0))
    assert pool.handle(Tick(119.0)) == []
    assert Stop("e1") in pool.handle(Tick(120.1))

"""Prewarming, and how long a fleet and its plan live, by tables."""

from __future__ import annotations

from unit.scheduler.pools import KEY, answer, new_pool, plan, poll, queue, started, warm

from lambda_home.scheduler.events import (
    Answered,
    Complete,
    Deliver,
    Exited,
    Freeze,
    Polled,
    Prewarm,
    Retired,
    SlotFree,
    Start,
    StartFailed,
    Stop,
    Thaw,
    Tick,
)
from lambda_home.scheduler.pool import EnvironmentState as State

# ------------------------------------------------------------------------------------------ prewarm


def test_prewarm_has_environments_ready_before_the_first_call() -> None:
    pool = new_pool()
    assert pool.handle(Prewarm(KEY, 2, 3.0, 0.0)) == [Start("e1", KEY), Start("e2", KEY)]
    assert pool.handle(SlotFree("e1", 0.0)) == []
    assert poll(pool, "e1") == []
    assert queue(pool, "i1") == [Deliver("e1", "i1", 3.0)]


def test_prewarm_counts_what_is_starting_and_idle() -> None:
    pool = new_pool()
    warm(pool, 1)
    queue(pool, "i1", "i2")
    # e1 is busy, e2 starts
    assert pool.handle(Prewarm(KEY, 1, 3.0, 0.0)) == []
    assert pool.handle(Prewarm(KEY, 2, 3.0, 0.0)) == [Start("e3", KEY)]
    assert pool.handle(Prewarm(KEY, 2, 3.0, 0.0)) == []


def test_a_start_that_is_wanted_by_prewarm_goes_on_without_its_invocation() -> None:
    pool = new_pool()
    warm(pool, 1)
    queue(pool, "i1", "i2")
    pool.handle(Prewarm(KEY, 1, 3.0, 0.0))
    answer(pool, "e1", "i1", "i2")
    plan(pool)
    pool.handle(Exited("e1", 1.0))
    pool.handle(SlotFree("e2", 1.0))
    assert pool.state_of("e2") is State.STARTING


def test_prewarm_obeys_the_maximum_and_thaws_before_it_creates() -> None:
    pool = new_pool(soft_s=45.0)
    warm(pool, 1)
    pool.handle(Tick(46.0))
    plan(pool, maximum=2)
    assert pool.handle(Prewarm(KEY, 5, 3.0, 50.0)) == [Thaw("e1"), Start("e2", KEY)]


def test_prewarmed_environments_go_by_the_idle_rules() -> None:
    pool = new_pool(soft_s=45.0, hard_s=300.0)
    pool.handle(Prewarm(KEY, 1, 3.0, 0.0))
    poll(pool, "e1", now=1.0)
    assert pool.handle(Tick(46.0)) == [Freeze("e1")]
    assert pool.handle(Tick(301.0)) == [Stop("e1")]
    pool.handle(Exited("e1", 302.0))
    assert pool.keys() == []


def test_prewarm_of_nothing_leaves_nothing() -> None:
    pool = new_pool()
    assert pool.handle(Prewarm(KEY, 0, 3.0, 0.0)) == []
    assert pool.keys() == []


def test_a_prewarmed_start_that_fails_fails_nobody_and_is_not_repeated_at_once() -> None:
    pool = new_pool()
    pool.handle(Prewarm(KEY, 1, 3.0, 0.0))
    plan(pool, maximum=5)
    assert pool.handle(StartFailed("e1", 0.1)) == []
    assert pool.handle(Prewarm(KEY, 1, 3.0, 0.2)) == []
    assert pool.handle(Prewarm(KEY, 1, 3.0, 1.1)) == [Start("e2", KEY)]


# ----------------------------------------------------------------------------------- a fleet's life


def test_a_plan_outlives_its_environments() -> None:
    pool = new_pool()
    plan(pool, maximum=1)
    queue(pool, "i1")
    pool.handle(StartFailed("e1", 0.0))
    assert pool.keys() == [KEY]
    assert len(started(queue(pool, "i2", "i3"))) == 1


def test_a_plan_that_asks_for_nothing_leaves_nothing() -> None:
    pool = new_pool()
    plan(pool, maximum=1)
    plan(pool)
    assert pool.keys() == []


def test_a_retired_fleet_keeps_nothing() -> None:
    pool = new_pool()
    plan(pool, provisioned=1)
    poll(pool, "e1")
    assert pool.handle(Retired(KEY)) == [Stop("e1")]
    assert pool.handle(Tick(1.0)) == []
    assert pool.handle(Prewarm(KEY, 3, 3.0, 1.0)) == []
    assert pool.handle(Exited("e1", 1.0)) == []
    assert pool.keys() == []


def test_a_retired_fleet_is_taken_into_service_by_a_plan_that_keeps_environments() -> None:
    pool = new_pool()
    plan(pool, provisioned=1)
    poll(pool, "e1")
    queue(pool, "i1")
    pool.handle(Retired(KEY))
    plan(pool)
    plan(pool, minimum=1)
    assert pool.handle(Answered("e1", "i1", 1.0)) == [Complete("e1", "i1")]
    # surplus as provisioned, but not for being retired; the minimum is kept by another
    assert pool.handle(Polled("e1", 1.0)) == [Stop("e1")]
    assert pool.handle(Tick(1.0)) == [Start("e2", KEY)]
    assert poll(pool, "e2", now=1.0) == []


def test_a_plan_changes_the_timeout_of_its_fleet() -> None:
    pool = new_pool()
    queue(pool, "i1", timeout_s=900.0)
    plan(pool, maximum=1)
    assert poll(pool, "e1") == [Deliver("e1", "i1", 3.0)]

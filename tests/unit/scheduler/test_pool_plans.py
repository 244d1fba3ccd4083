"""Plans of fleets by tables: maximum, minimum, provisioned, prewarming."""

from __future__ import annotations

import pytest
from unit.scheduler.pools import KEY, answer, new_pool, plan, poll, queue, started, warm

from lambda_home.scheduler.events import (
    Cause,
    Complete,
    Deliver,
    Exited,
    Fail,
    Freeze,
    InitFailed,
    SlotFree,
    Start,
    Started,
    StartFailed,
    Stop,
    Thaw,
    Tick,
    Undelivered,
)
from lambda_home.scheduler.pool import EnvironmentState as State
from lambda_home.scheduler.pool import Pool

AHEAD_1 = Start("e1", KEY, provisioned=True)
AHEAD_2 = Start("e2", KEY, provisioned=True)


def provisioned(count: int = 1) -> Pool:
    """A pool with so many provisioned environments, idle."""
    pool = new_pool(soft_s=45.0, hard_s=300.0)
    plan(pool, provisioned=count)
    for n in range(1, count + 1):
        pool.handle(Started(f"e{n}", 0.0))
        assert poll(pool, f"e{n}") == []
    return pool


# ------------------------------------------------------------------------------------------ maximum


def test_no_more_environments_than_the_maximum_are_started() -> None:
    pool = new_pool()
    assert plan(pool, maximum=2) == []
    assert queue(pool, "i1", "i2", "i3") == [Start("e1", KEY), Start("e2", KEY)]
    assert pool.handle(Tick(1.0)) == []
    assert pool.queued(KEY) == 3


def test_what_waits_beyond_the_maximum_runs_when_an_environment_is_free() -> None:
    pool = new_pool()
    plan(pool, maximum=1)
    queue(pool, "i1", "i2")
    poll(pool, "e1")
    assert answer(pool, "e1", "i1", now=1.0) == [Complete("e1", "i1"), Deliver("e1", "i2", 4.0)]


def test_a_crash_makes_room_at_once() -> None:
    pool = new_pool()
    plan(pool, maximum=1)
    queue(pool, "i1", "i2")
    poll(pool, "e1")
    assert pool.handle(Exited("e1", 1.0)) == [Fail("e1", "i1", Cause.EXITED), Start("e2", KEY)]


def test_an_environment_that_is_being_stopped_makes_room() -> None:
    pool = new_pool()
    plan(pool, maximum=1)
    queue(pool, "i1", "i2")
    poll(pool, "e1")
    assert pool.handle(Tick(3.0)) == [
        Fail("e1", "i1", Cause.TIMED_OUT),
        Stop("e1"),
        Start("e2", KEY),
    ]


def test_an_init_error_at_the_maximum_starts_one_for_the_next_in_line() -> None:
    pool = new_pool()
    plan(pool, maximum=1)
    queue(pool, "i1", "i2")
    assert pool.handle(InitFailed("e1", 1.0)) == [
        Fail("e1", "i1", Cause.INIT_FAILED),
        Stop("e1"),
        Start("e2", KEY),
    ]


def test_a_raised_maximum_starts_what_waits() -> None:
    pool = new_pool()
    plan(pool, maximum=1)
    queue(pool, "i1", "i2", "i3")
    assert plan(pool, maximum=2) == [Start("e2", KEY)]
    assert plan(pool) == [Start("e3", KEY)]


def test_a_lowered_maximum_stops_idle_environments_at_once() -> None:
    pool = new_pool()
    warm(pool, 3)
    assert plan(pool, maximum=1) == [Stop("e1"), Stop("e2")]


def test_a_lowered_maximum_lets_work_finish_and_gives_no_more() -> None:
    pool = new_pool()
    warm(pool, 2)
    queue(pool, "i1", "i2")
    assert plan(pool, maximum=1) == []
    queue(pool, "i3")
    assert answer(pool, "e1", "i2") == [Complete("e1", "i2"), Stop("e1")]
    assert answer(pool, "e2", "i1") == [Complete("e2", "i1"), Deliver("e2", "i3", 3.0)]


def test_a_maximum_lowered_and_raised_again_takes_draining_environments_back() -> None:
    pool = new_pool()
    warm(pool, 2)
    queue(pool, "i1", "i2")
    plan(pool, maximum=1)
    plan(pool, maximum=2)
    assert answer(pool, "e1", "i2") == [Complete("e1", "i2")]
    assert pool.state_of("e1") is State.IDLE


def test_a_lowered_maximum_drops_starts_first() -> None:
    pool = new_pool()
    queue(pool, "i1")
    poll(pool, "e1")
    queue(pool, "i2")
    assert plan(pool, maximum=1) == [Stop("e2")]
    assert answer(pool, "e1", "i1", now=1.0) == [Complete("e1", "i1"), Deliver("e1", "i2", 4.0)]


# ------------------------------------------------------------------------------------------ minimum


def test_a_minimum_is_started_without_work() -> None:
    pool = new_pool()
    assert plan(pool, minimum=2) == [Start("e1", KEY), Start("e2", KEY)]
    assert plan(pool, minimum=2) == pool.handle(Tick(1.0)) == []
    assert plan(pool, minimum=3) == [Start("e3", KEY)]


def test_the_first_invocations_use_what_the_minimum_has_started() -> None:
    pool = new_pool()
    plan(pool, minimum=2)
    assert queue(pool, "i1", "i2") == []
    assert queue(pool, "i3") == [Start("e3", KEY)]
    assert poll(pool, "e2") == [Deliver("e2", "i1", 3.0)]


def test_a_minimum_start_is_not_dropped_for_lack_of_work() -> None:
    pool = new_pool()
    plan(pool, minimum=1)
    pool.handle(SlotFree("e1", 0.0))
    assert pool.state_of("e1") is State.STARTING


def test_a_minimum_beyond_the_maximum_is_the_maximum() -> None:
    pool = new_pool()
    assert len(started(plan(pool, minimum=5, maximum=2))) == 2
    assert pool.handle(Tick(1.0)) == []


def test_the_minimum_is_neither_frozen_nor_stopped() -> None:
    pool = new_pool(soft_s=45.0, hard_s=300.0)
    warm(pool, 3)
    plan(pool, minimum=2)
    assert pool.handle(Tick(50.0)) == [Freeze("e1")]
    assert pool.handle(Tick(301.0)) == [Stop("e1")]
    assert pool.handle(Tick(3600.0)) == []


def test_a_lowered_minimum_lets_the_idle_go_by_the_ordinary_rules() -> None:
    pool = new_pool(soft_s=45.0, hard_s=300.0)
    plan(pool, minimum=2)
    poll(pool, "e1", "e2")
    assert plan(pool, now=10.0) == []
    assert pool.handle(Tick(45.0)) == [Freeze("e1"), Freeze("e2")]


def test_frozen_environments_are_thawed_to_fill_a_minimum() -> None:
    pool = new_pool(soft_s=45.0, hard_s=300.0)
    warm(pool, 1)
    pool.handle(Tick(50.0))
    assert plan(pool, now=60.0, minimum=2) == [Thaw("e1"), Start("e2", KEY)]
    assert pool.state_of("e1") is State.IDLE


def test_an_environment_of_the_minimum_that_crashes_is_replaced() -> None:
    pool = new_pool()
    plan(pool, minimum=1)
    poll(pool, "e1")
    queue(pool, "i1")
    assert pool.handle(Exited("e1", 1.0)) == [Fail("e1", "i1", Cause.EXITED), Start("e2", KEY)]


def test_an_environment_of_the_minimum_that_goes_while_idle_is_replaced() -> None:
    pool = new_pool()
    plan(pool, minimum=1)
    poll(pool, "e1")
    assert pool.handle(Exited("e1", 20.0)) == [Start("e2", KEY)]


@pytest.mark.parametrize("how", [InitFailed, StartFailed, Exited])
def test_starts_of_a_minimum_that_fail_back_off(how: type) -> None:
    pool = new_pool()
    plan(pool, minimum=1)
    now = 0.0
    for n, wait_s in enumerate((1, 2, 4, 8, 16, 32, 60, 60), start=1):
        assert started(pool.handle(how(f"e{n}", now))) == []
        pool.handle(Exited(f"e{n}", now))
        assert started(pool.handle(Tick(now + wait_s - 0.01))) == []
        now += wait_s
        assert started(pool.handle(Tick(now))) == [f"e{n + 1}"]
        assert pool.handle(Tick(now)) == []


def test_environments_that_die_right_after_their_init_back_off_too() -> None:
    pool = new_pool()
    plan(pool, minimum=1)
    poll(pool, "e1", now=0.0)
    assert pool.handle(Exited("e1", 0.1)) == []
    assert pool.handle(Tick(1.1)) == [Start("e2", KEY)]
    poll(pool, "e2", now=1.2)
    assert pool.handle(Exited("e2", 1.3)) == pool.handle(Tick(3.2)) == []
    assert pool.handle(Tick(3.3)) == [Start("e3", KEY)]


def test_a_start_that_lasts_ends_the_backoff() -> None:
    pool = new_pool()
    plan(pool, minimum=1)
    pool.handle(StartFailed("e1", 0.0))
    pool.handle(Tick(1.0))
    pool.handle(StartFailed("e2", 1.0))
    pool.handle(Tick(3.0))
    poll(pool, "e3", now=3.0)
    assert pool.handle(Exited("e3", 10.0)) == [Start("e4", KEY)]
    pool.handle(StartFailed("e4", 10.0))
    assert pool.handle(Tick(11.0)) == [Start("e5", KEY)]


def test_a_backoff_does_not_hold_up_invocations() -> None:
    pool = new_pool()
    plan(pool, minimum=1)
    pool.handle(StartFailed("e1", 0.0))
    assert queue(pool, "i1", now=0.1) == [Start("e2", KEY)]


def test_a_late_tick_makes_one_attempt_not_all_it_has_missed() -> None:
    pool = new_pool()
    plan(pool, minimum=1)
    pool.handle(StartFailed("e1", 0.0))
    assert pool.handle(Tick(3600.0)) == [Start("e2", KEY)]
    assert pool.handle(Tick(7200.0)) == []


# -------------------------------------------------------------------------------------- provisioned


def test_provisioned_environments_are_started_and_counted() -> None:
    pool = new_pool()
    assert plan(pool, provisioned=2) == [AHEAD_1, AHEAD_2]
    assert (pool.provisioned_allocated(KEY), pool.provisioned_ready(KEY)) == (2, 0)
    poll(pool, "e1")
    assert (pool.provisioned_allocated(KEY), pool.provisioned_ready(KEY)) == (2, 1)
    poll(pool, "e2")
    queue(pool, "i1")
    assert (pool.provisioned_allocated(KEY), pool.provisioned_ready(KEY)) == (2, 2)
    pool.handle(Exited("e1", 20.0))
    assert (pool.provisioned_allocated(KEY), pool.provisioned_ready(KEY)) == (2, 1)


def test_an_unknown_fleet_has_nothing_provisioned() -> None:
    pool = new_pool()
    assert (pool.provisioned_allocated(KEY), pool.provisioned_ready(KEY)) == (0, 0)


def test_provisioned_environments_count_towards_the_minimum() -> None:
    pool = new_pool()
    assert plan(pool, provisioned=1, minimum=2) == [AHEAD_1, Start("e2", KEY)]


def test_work_prefers_provisioned_environments_and_spills_over() -> None:
    pool = new_pool()
    warm(pool, 1)
    plan(pool, provisioned=1)
    poll(pool, "e2")
    warm_ones = queue(pool, "i1", "i2", "i3")
    assert warm_ones == [Deliver("e2", "i1", 3.0), Deliver("e1", "i2", 3.0), Start("e3", KEY)]


def test_on_demand_environments_do_not_stand_in_for_provisioned_ones() -> None:
    pool = new_pool()
    warm(pool, 2)
    assert plan(pool, provisioned=1) == [Start("e3", KEY, provisioned=True)]


def test_a_provisioned_start_is_not_dropped_for_idle_on_demand_environments() -> None:
    pool = new_pool()
    warm(pool, 2)
    plan(pool, provisioned=1)
    pool.handle(SlotFree("e3", 0.0))
    assert pool.state_of("e3") is State.STARTING


def test_provisioned_environments_stay() -> None:
    pool = provisioned(2)
    assert pool.handle(Tick(3600.0)) == []


def test_on_demand_environments_beside_provisioned_ones_go() -> None:
    pool = provisioned(1)
    queue(pool, "i1", "i2")
    poll(pool, "e2")
    answer(pool, "e2", "i2")
    answer(pool, "e1", "i1")
    assert pool.handle(Tick(46.0)) == [Freeze("e2")]


def test_surplus_provisioned_environments_stop_when_idle() -> None:
    pool = provisioned(3)
    queue(pool, "i1")
    assert plan(pool, provisioned=1) == [Stop("e2"), Stop("e1")]
    assert plan(pool) == []
    assert answer(pool, "e3", "i1") == [Complete("e3", "i1"), Stop("e3")]
    assert pool.provisioned_allocated(KEY) == 0


def test_a_surplus_provisioned_environment_still_serves_what_waits() -> None:
    pool = new_pool()
    plan(pool, provisioned=1, maximum=1)
    poll(pool, "e1")
    queue(pool, "i1", "i2")
    assert plan(pool, maximum=1) == []
    assert answer(pool, "e1", "i1") == [Complete("e1", "i1"), Deliver("e1", "i2", 3.0)]


def test_a_surplus_provisioned_start_goes_on_where_an_invocation_waits_for_it() -> None:
    pool = new_pool()
    plan(pool, provisioned=2)
    queue(pool, "i1")
    assert plan(pool) == [Stop("e2")]
    assert poll(pool, "e1") == [Deliver("e1", "i1", 3.0)]


def test_idle_on_demand_environments_make_room_for_provisioned_ones() -> None:
    pool = new_pool()
    warm(pool, 2)
    assert plan(pool, provisioned=1, maximum=2) == [Stop("e1"), Start("e3", KEY, provisioned=True)]


def test_busy_on_demand_environments_make_room_once_they_are_idle() -> None:
    pool = new_pool()
    warm(pool, 1)
    queue(pool, "i1")
    assert plan(pool, provisioned=1, maximum=1) == []
    answer(pool, "e1", "i1", now=1.0)
    assert pool.handle(Tick(1.0)) == [Stop("e1"), Start("e2", KEY, provisioned=True)]


def test_a_provisioned_init_may_take_fifteen_minutes() -> None:
    pool = new_pool()
    plan(pool, provisioned=1)
    pool.handle(Started("e1", 0.0))
    assert pool.handle(Tick(899.0)) == []
    assert pool.handle(Tick(900.0)) == [Stop("e1")]
    assert pool.handle(Tick(901.0)) == [AHEAD_2]


@pytest.mark.parametrize(
    ("queued", "failed"),
    [([], []), (["i1"], ["i1"]), (["i1", "i2"], ["i1"])],
)
def test_a_provisioned_init_error_fails_only_an_invocation_that_waits_for_it(
    queued: list[str], failed: list[str]
) -> None:
    pool = new_pool()
    plan(pool, provisioned=1, maximum=1)
    queue(pool, *queued)
    instructions = pool.handle(InitFailed("e1", 1.0))
    assert [i for i in instructions if isinstance(i, Fail)] == [
        Fail("e1", name, Cause.INIT_FAILED) for name in failed
    ]


def test_a_provisioned_init_error_leaves_those_alone_whom_another_start_will_serve() -> None:
    pool = new_pool()
    plan(pool, provisioned=2)
    queue(pool, "i1")
    assert pool.handle(InitFailed("e1", 1.0)) == [Stop("e1")]
    assert poll(pool, "e2") == [Deliver("e2", "i1", 3.0)]


def test_an_undelivered_invocation_leaves_the_provisioned_number_whole() -> None:
    pool = provisioned(1)
    queue(pool, "i1", now=5.0)
    assert pool.handle(Undelivered("e1", "i1", 5.0)) == [Stop("e1"), AHEAD_2]

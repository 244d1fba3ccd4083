"""Environments that run several invocations at once, by tables."""

from __future__ import annotations

import pytest
from unit.scheduler.pools import KEY, answer, new_pool, plan, poll, queue, started

from lambda_home.scheduler.events import (
    Answered,
    Cause,
    Complete,
    Deliver,
    Exited,
    Fail,
    Freeze,
    InitFailed,
    Retired,
    SlotFree,
    Start,
    Started,
    Stop,
    Thaw,
    Tick,
    Undelivered,
)
from lambda_home.scheduler.pool import POLL_PATIENCE_S, SLOT_PATIENCE_S, Pool
from lambda_home.scheduler.pool import EnvironmentState as State


def pool_of(slots: int, environments: int = 1, **limits: float) -> Pool:
    """A pool with so many environments idle since a while, all of whose slots are free."""
    pool = new_pool(**limits)
    plan(pool, slots=slots, minimum=environments)
    for n in range(1, environments + 1):
        poll(pool, *[f"e{n}"] * slots, now=-10.0)
    plan(pool, slots=slots)
    return pool


def delivered(instructions: list[object]) -> list[tuple[str, str]]:
    return [(i.environment, i.invocation) for i in instructions if isinstance(i, Deliver)]


@pytest.mark.parametrize(
    ("calls", "slots", "maximum", "environments"),
    [
        (100, 1, None, 100),
        (100, 10, None, 10),
        (101, 10, None, 11),
        (1, 10, None, 1),
        (100, 3, None, 34),
        (100, 10, 4, 4),
        (100, 1, 7, 7),
    ],
)
def test_a_burst_of_first_calls_starts_no_more_environments_than_it_needs(
    calls: int, slots: int, maximum: int | None, environments: int
) -> None:
    pool = new_pool()
    numbers = {"slots": slots} if maximum is None else {"slots": slots, "maximum": maximum}
    plan(pool, **numbers)
    names = [f"i{n}" for n in range(calls)]
    assert queue(pool, *names) == [
        Start(f"e{n}", KEY, slots=slots) for n in range(1, environments + 1)
    ]
    for n in range(1, environments + 1):
        pool.handle(SlotFree(f"e{n}", 0.0))
        pool.handle(Started(f"e{n}", 0.1))
    running = poll(pool, *[f"e{n}" for n in range(1, environments + 1)] * slots, now=0.2)
    assert [name for _, name in delivered(list(running))] == names[: environments * slots]
    assert pool.handle(Tick(0.3)) == []


def test_each_parked_poll_is_one_free_slot_up_to_the_number_of_slots() -> None:
    pool = new_pool()
    plan(pool, slots=2)
    queue(pool, "i1", "i2", "i3", "i4", "i5")
    assert delivered(list(poll(pool, "e1", "e1", "e1"))) == [("e1", "i1"), ("e1", "i2")]


def test_an_environment_at_work_is_filled_up_before_an_idle_one_is_used() -> None:
    pool = pool_of(2, environments=2)
    assert delivered(list(queue(pool, "i1", "i2", "i3"))) == [
        ("e2", "i1"),
        ("e2", "i2"),
        ("e1", "i3"),
    ]


def test_the_fullest_environment_at_work_is_filled_up_first() -> None:
    pool = pool_of(3, environments=2)
    queue(pool, "i1", "i2", "i3", "i4")
    # e2 runs i1, i2, i3; e1 runs i4
    answer(pool, "e2", "i1")
    assert delivered(list(queue(pool, "i5", "i6"))) == [("e2", "i5"), ("e1", "i6")]


def test_a_provisioned_environment_is_filled_up_before_others() -> None:
    pool = pool_of(2, environments=1)
    queue(pool, "i1")
    plan(pool, slots=2, provisioned=1)
    poll(pool, "e2", "e2")
    assert delivered(list(queue(pool, "i2", "i3", "i4"))) == [
        ("e2", "i2"),
        ("e2", "i3"),
        ("e1", "i4"),
    ]


def test_invocations_in_one_environment_end_in_any_order() -> None:
    pool = pool_of(3)
    queue(pool, "i1", "i2", "i3")
    assert answer(pool, "e1", "i2", "i3", "i1") == [
        Complete("e1", "i2"),
        Complete("e1", "i3"),
        Complete("e1", "i1"),
    ]
    assert pool.state_of("e1") is State.IDLE


def test_an_answered_slot_is_waited_for_before_another_environment_is_started() -> None:
    pool = pool_of(2)
    queue(pool, "i1", "i2")
    answer(pool, "e1", "i1", again=False)
    assert queue(pool, "i3") == []
    assert pool.handle(Tick(POLL_PATIENCE_S - 0.01)) == []
    assert started(pool.handle(Tick(POLL_PATIENCE_S))) == ["e2"]


def test_slots_that_load_the_function_after_the_first_are_waited_for() -> None:
    pool = new_pool()
    plan(pool, slots=3)
    queue(pool, "i1", "i2", "i3")
    poll(pool, "e1", now=1.0)
    assert pool.handle(Tick(1.0 + SLOT_PATIENCE_S - 0.01)) == []
    # the runtime has but one worker: what waits needs another environment
    assert started(pool.handle(Tick(1.0 + SLOT_PATIENCE_S))) == ["e2"]


def test_slots_that_load_the_function_are_waited_for_while_the_first_one_works() -> None:
    pool = new_pool()
    plan(pool, slots=3)
    queue(pool, "i1", "i2", "i3")
    poll(pool, "e1", now=1.0)
    answer(pool, "e1", "i1", now=1.05)
    assert pool.handle(Tick(1.5)) == []


def test_slots_that_never_poll_are_not_counted_on_after_the_init_limit() -> None:
    pool = new_pool(init_s=10.0)
    plan(pool, slots=2, minimum=1)
    poll(pool, "e1", now=0.0)
    assert pool.handle(Tick(10.0)) == []
    assert queue(pool, "i1", "i2", now=11.0) == [
        Deliver("e1", "i1", 14.0),
        Start("e2", KEY, slots=2),
    ]


def test_a_leap_of_the_clock_ends_the_wait_for_slots_and_idleness_at_once() -> None:
    pool = new_pool(init_s=10.0, hard_s=300.0)
    plan(pool, slots=2)
    queue(pool, "i1")
    poll(pool, "e1", now=0.0)
    answer(pool, "e1", "i1", now=0.1)
    assert pool.handle(Tick(3600.0)) == [Stop("e1")]


def test_a_slot_that_answers_late_and_never_polls_is_not_counted_on_for_ever() -> None:
    pool = pool_of(2)
    queue(pool, "i1", now=0.0)
    pool.handle(Tick(3.0))
    pool.handle(Answered("e1", "i1", 3.2))
    pool.handle(Tick(6.2))
    assert started(queue(pool, "i2", "i3", now=7.0)) == ["e2"]


def test_a_timeout_fails_alone_and_blocks_its_slot() -> None:
    pool = pool_of(2)
    queue(pool, "i1", now=0.0)
    queue(pool, "i2", now=1.0)
    assert pool.handle(Tick(3.0)) == [Fail("e1", "i1", Cause.TIMED_OUT)]
    assert answer(pool, "e1", "i2", now=3.5) == [Complete("e1", "i2")]
    assert delivered(list(queue(pool, "i3", now=3.6))) == [("e1", "i3")]
    assert started(queue(pool, "i4", now=3.6)) == ["e2"]


def test_each_invocation_has_a_deadline_of_its_own() -> None:
    pool = pool_of(3)
    for n in range(3):
        assert queue(pool, f"i{n}", now=float(n)) == [Deliver("e1", f"i{n}", n + 3.0)]
    answer(pool, "e1", "i1", now=2.5)
    assert pool.handle(Tick(3.0)) == [Fail("e1", "i0", Cause.TIMED_OUT)]
    assert pool.handle(Tick(4.9)) == []
    assert pool.handle(Tick(5.0)) == [Fail("e1", "i2", Cause.TIMED_OUT)]


def test_an_environment_is_stopped_when_all_slots_are_blocked() -> None:
    pool = pool_of(2)
    queue(pool, "i1", now=0.0)
    queue(pool, "i2", now=1.0)
    assert pool.handle(Tick(3.0)) == [Fail("e1", "i1", Cause.TIMED_OUT)]
    assert pool.handle(Tick(4.0)) == [Fail("e1", "i2", Cause.TIMED_OUT), Stop("e1")]


def test_slots_that_answer_but_never_poll_again_are_blocked_too() -> None:
    pool = pool_of(2)
    queue(pool, "i1", "i2")
    answer(pool, "e1", "i1", "i2", again=False)
    assert pool.handle(Tick(3.0)) == [Stop("e1")]


@pytest.mark.parametrize("answers_late", [True, False])
def test_a_blocked_slot_works_again_after_a_late_answer_or_a_poll(*, answers_late: bool) -> None:
    pool = pool_of(2)
    queue(pool, "i1", now=0.0)
    queue(pool, "i2", now=1.0)
    pool.handle(Tick(3.0))
    if answers_late:
        assert pool.handle(Answered("e1", "i1", 3.2)) == []
        assert queue(pool, "i3", now=3.2) == []
    else:
        assert started(queue(pool, "i3", now=3.2)) == ["e2"]
    assert poll(pool, "e1", now=3.3) == [Deliver("e1", "i3", 6.3)]


def test_an_environment_with_a_blocked_slot_goes_by_the_idle_rules() -> None:
    pool = pool_of(2, soft_s=45.0, hard_s=300.0)
    queue(pool, "i1")
    pool.handle(Tick(3.0))
    assert pool.state_of("e1") is State.IDLE
    assert pool.handle(Tick(48.0)) == [Freeze("e1")]
    assert queue(pool, "i2", now=50.0) == [Thaw("e1"), Deliver("e1", "i2", 53.0)]


def test_an_exit_fails_every_invocation_of_the_environment() -> None:
    pool = pool_of(2, environments=2)
    queue(pool, "i1", "i2", "i3")
    assert pool.handle(Exited("e2", 1.0)) == [
        Fail("e2", "i1", Cause.EXITED),
        Fail("e2", "i2", Cause.EXITED),
    ]
    assert answer(pool, "e1", "i3") == [Complete("e1", "i3")]


def test_a_lost_connection_costs_its_slot_not_the_environment() -> None:
    pool = pool_of(2)
    queue(pool, "i1", "i2")
    assert pool.handle(Undelivered("e1", "i2", 0.1)) == [Start("e2", KEY, slots=2)]
    assert answer(pool, "e1", "i1", now=0.2) == [Complete("e1", "i1"), Deliver("e1", "i2", 3.2)]


def test_an_environment_that_has_lost_all_connections_is_stopped() -> None:
    pool = pool_of(2)
    queue(pool, "i1", "i2")
    pool.handle(Undelivered("e1", "i1", 0.1))
    assert pool.handle(Undelivered("e1", "i2", 0.1)) == [Stop("e1")]
    assert delivered(list(poll(pool, "e2", "e2", now=0.2))) == [("e2", "i2"), ("e2", "i1")]


@pytest.mark.parametrize(("queued", "failed"), [(1, 1), (3, 3), (4, 3), (5, 3)])
def test_a_failed_start_fails_those_that_waited_for_its_slots(queued: int, failed: int) -> None:
    pool = new_pool()
    plan(pool, slots=3, maximum=1)
    queue(pool, *[f"i{n}" for n in range(queued)])
    instructions = pool.handle(InitFailed("e1", 1.0))
    assert [i for i in instructions if isinstance(i, Fail)] == [
        Fail("e1", f"i{n}", Cause.INIT_FAILED) for n in range(failed)
    ]
    assert len(started(instructions)) == (queued > failed)


def test_a_start_is_dropped_where_those_that_have_begun_have_slots_enough() -> None:
    pool = new_pool()
    plan(pool, slots=2)
    queue(pool, "i1", "i2", "i3")
    pool.handle(SlotFree("e1", 0.0))
    pool.handle(SlotFree("e2", 0.0))
    assert pool.state_of("e2") is State.STARTING
    queue(pool, "i4", "i5")
    poll(pool, "e1", "e1", now=1.0)
    answer(pool, "e1", "i1", now=1.1)
    pool.handle(SlotFree("e3", 1.2))
    assert pool.state_of("e3") is None


def test_a_retired_environment_stops_after_the_last_of_its_invocations() -> None:
    pool = pool_of(2)
    queue(pool, "i1", "i2")
    assert pool.handle(Retired(KEY)) == []
    assert answer(pool, "e1", "i1") == [Complete("e1", "i1")]
    assert pool.handle(Answered("e1", "i2", 1.0)) == [Complete("e1", "i2"), Stop("e1")]


def test_a_draining_environment_takes_nothing_into_its_free_slots() -> None:
    pool = pool_of(2, environments=2)
    queue(pool, "i1", "i2", "i3")
    assert plan(pool, slots=2, maximum=1) == []
    # e1 runs one, e2 two: the one with less work goes
    assert queue(pool, "i4") == []
    assert answer(pool, "e1", "i3", again=False) == [Complete("e1", "i3"), Stop("e1")]
    assert answer(pool, "e2", "i1") == [Complete("e2", "i1"), Deliver("e2", "i4", 3.0)]


def test_a_draining_environment_that_is_taken_back_uses_its_free_slots() -> None:
    pool = pool_of(2, environments=2)
    queue(pool, "i1", "i2", "i3")
    plan(pool, slots=2, maximum=1)
    queue(pool, "i4")
    assert plan(pool, slots=2, maximum=2) == [Deliver("e1", "i4", 3.0)]


def test_a_retired_fleet_stops_no_start_any_of_whose_slots_is_waited_for() -> None:
    pool = new_pool()
    plan(pool, slots=2)
    queue(pool, "i1", "i2", "i3")
    assert pool.handle(Retired(KEY)) == []


def test_environments_keep_their_slots_when_the_plan_changes() -> None:
    pool = pool_of(1)
    plan(pool, slots=2)
    assert delivered(list(queue(pool, "i1", "i2", "i3"))) == [("e1", "i1")]
    assert delivered(list(poll(pool, "e1", "e2", "e2"))) == [("e2", "i2"), ("e2", "i3")]

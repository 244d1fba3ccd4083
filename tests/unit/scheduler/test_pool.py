"""The pool by tables: events in, instructions out."""

from __future__ import annotations

import pytest
from unit.scheduler.pools import KEY, answer, new_pool, poll, queue, warm

from lambda_home.scheduler.events import (
    Answered,
    Cause,
    Complete,
    Deliver,
    Exited,
    Fail,
    Freeze,
    InitFailed,
    Polled,
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
from lambda_home.scheduler.pool import (
    POLL_PATIENCE_S,
    TRANSITIONS,
    EnvironmentState,
    IllegalTransition,
)


def test_first_invocation_starts_an_environment_and_runs_when_it_polls() -> None:
    pool = new_pool()
    assert queue(pool, "i1") == [Start("e1", KEY)]
    assert pool.handle(Started("e1", 0.2)) == []
    assert pool.handle(Polled("e1", 0.5)) == [Deliver("e1", "i1", 3.5)]
    assert pool.handle(Answered("e1", "i1", 0.6)) == [Complete("e1", "i1")]
    assert pool.handle(Polled("e1", 0.6)) == []
    assert pool.state_of("e1") is EnvironmentState.IDLE


def test_the_environment_used_last_is_used_first() -> None:
    pool = new_pool()
    warm(pool, 3)
    assert queue(pool, "i") == [Deliver("e3", "i", 3.0)]


def test_a_burst_starts_one_environment_each_and_not_more() -> None:
    pool = new_pool()
    starts = queue(pool, *[f"i{n}" for n in range(100)])
    assert starts == [Start(f"e{n}", KEY) for n in range(1, 101)]
    assert pool.handle(Tick(0.05)) == []


def test_a_start_whose_work_is_gone_by_the_time_it_could_begin_is_dropped() -> None:
    pool = new_pool()
    queue(pool, "i1", "i2")
    pool.handle(SlotFree("e1", 0.0))
    pool.handle(Started("e1", 0.0))
    pool.handle(Polled("e1", 0.1))
    pool.handle(Answered("e1", "i1", 0.2))
    assert pool.handle(Polled("e1", 0.2)) == [Deliver("e1", "i2", 3.2)]
    assert pool.handle(SlotFree("e2", 0.3)) == []
    assert pool.state_of("e2") is None


def test_an_environment_about_to_poll_is_waited_for() -> None:
    pool = new_pool()
    warm(pool)
    queue(pool, "i1")
    pool.handle(Answered("e1", "i1", 1.0))
    assert queue(pool, "i2", now=1.0) == []
    assert pool.handle(Polled("e1", 1.5)) == [Deliver("e1", "i2", 4.5)]


def test_an_environment_that_is_slow_to_poll_is_not_waited_for() -> None:
    pool = new_pool()
    warm(pool)
    queue(pool, "i1")
    pool.handle(Answered("e1", "i1", 1.0))
    queue(pool, "i2", now=1.0)
    assert pool.handle(Tick(1.0 + POLL_PATIENCE_S)) == [Start("e2", KEY)]


def test_timeout_fails_the_invocation_and_stops_the_environment() -> None:
    pool = new_pool()
    warm(pool)
    queue(pool, "i1", now=10.0)
    assert pool.handle(Tick(12.9)) == []
    assert pool.handle(Tick(13.0)) == [Fail("e1", "i1", Cause.TIMED_OUT), Stop("e1")]


def test_late_answer_after_timeout_is_ignored() -> None:
    pool = new_pool()
    warm(pool)
    queue(pool, "i1")
    pool.handle(Tick(3.0))
    assert pool.handle(Answered("e1", "i1", 3.1)) == []
    assert pool.handle(Polled("e1", 3.1)) == []


def test_an_answer_for_another_environments_invocation_is_ignored() -> None:
    pool = new_pool()
    warm(pool, 2)
    queue(pool, "i1", "i2")
    assert pool.handle(Answered("e1", "i1", 0.1)) == []
    assert pool.handle(Answered("e1", "i2", 0.1)) == [Complete("e1", "i2")]
    assert pool.handle(Answered("e1", "i2", 0.2)) == []


def test_the_timeout_runs_from_delivery_not_from_queueing() -> None:
    pool = new_pool()
    queue(pool, "i1", now=0.0)
    pool.handle(Started("e1", 8.0))
    assert pool.handle(Polled("e1", 9.0)) == [Deliver("e1", "i1", 12.0)]


def test_a_crash_fails_only_its_own_invocation() -> None:
    pool = new_pool()
    warm(pool, 2)
    queue(pool, "i1", "i2")
    assert pool.handle(Exited("e2", 0.1)) == [Fail("e2", "i1", Cause.EXITED)]
    assert pool.handle(Answered("e1", "i2", 0.2)) == [Complete("e1", "i2")]


def test_an_environment_that_dies_idle_is_replaced_by_the_next_invocation() -> None:
    pool = new_pool()
    warm(pool)
    assert pool.handle(Exited("e1", 1.0)) == []
    assert queue(pool, "i", now=1.0) == [Start("e2", KEY)]


def test_an_undelivered_invocation_goes_to_another_environment() -> None:
    pool = new_pool()
    warm(pool, 2)
    queue(pool, "i")
    assert pool.handle(Undelivered("e2", "i", 0.1)) == [Stop("e2"), Deliver("e1", "i", 3.1)]


def test_an_undelivered_invocation_without_another_environment_is_first_in_line() -> None:
    pool = new_pool()
    warm(pool)
    queue(pool, "i")
    assert pool.handle(Undelivered("e1", "i", 0.1)) == [Stop("e1"), Start("e2", KEY)]
    assert pool.handle(Polled("e2", 0.2)) == [Deliver("e2", "i", 3.2)]


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        (InitFailed("e1", 0.3), Cause.INIT_FAILED),
        (Exited("e1", 0.3), Cause.EXITED),
        (StartFailed("e1", 0.3), Cause.NOT_STARTED),
    ],
)
def test_a_failed_start_fails_the_invocation_that_waited_longest(
    event: InitFailed | Exited | StartFailed, cause: Cause
) -> None:
    pool = new_pool()
    queue(pool, "i1", "i2")
    instructions = pool.handle(event)
    assert instructions[0] == Fail("e1", "i1", cause)
    assert Start("e3", KEY) not in instructions
    assert pool.handle(Polled("e2", 0.4)) == [Deliver("e2", "i2", 3.4)]


def test_init_over_its_limit_is_done_again_under_the_functions_timeout() -> None:
    pool = new_pool(init_s=10.0)
    queue(pool, "i1", timeout_s=30.0)
    pool.handle(Started("e1", 0.0))
    assert pool.handle(Tick(10.0)) == [Stop("e1"), Start("e2", KEY)]
    pool.handle(Started("e2", 10.2))
    # init and invoke share the function's 30 seconds
    assert pool.handle(Polled("e2", 25.2)) == [Deliver("e2", "i1", 40.2)]


def test_init_that_outlasts_the_functions_timeout_too_times_out() -> None:
    pool = new_pool(init_s=10.0)
    queue(pool, "i1", timeout_s=3.0)
    pool.handle(Started("e1", 0.0))
    pool.handle(Tick(10.0))
    pool.handle(Started("e2", 10.0))
    assert pool.handle(Tick(13.0)) == [Fail("e2", "i1", Cause.TIMED_OUT), Stop("e2")]


def test_idle_environments_freeze_then_stop() -> None:
    pool = new_pool(soft_s=45.0, hard_s=300.0)
    warm(pool)
    assert pool.handle(Tick(44.9)) == []
    assert pool.handle(Tick(45.0)) == [Freeze("e1")]
    assert pool.handle(Tick(299.0)) == []
    assert pool.handle(Tick(300.0)) == [Stop("e1")]


def test_a_frozen_environment_is_resumed_before_a_new_one_is_started() -> None:
    pool = new_pool(soft_s=45.0)
    warm(pool)
    pool.handle(Tick(46.0))
    assert queue(pool, "i1", "i2", now=50.0) == [
        Thaw("e1"),
        Deliver("e1", "i1", 53.0),
        Start("e2", KEY),
    ]


def test_a_busy_environment_is_never_stopped_for_idleness() -> None:
    pool = new_pool(soft_s=1.0, hard_s=2.0)
    warm(pool)
    queue(pool, "i1", now=0.0, timeout_s=900.0)
    pool_key_timeout = pool.handle(Tick(2.5))
    assert pool_key_timeout == []


def test_a_retired_fleet_stops_what_is_idle_and_lets_what_runs_finish() -> None:
    pool = new_pool()
    warm(pool, 2)
    queue(pool, "i1")
    assert pool.handle(Retired(KEY)) == [Stop("e1")]
    assert pool.handle(Answered("e2", "i1", 1.0)) == [Complete("e2", "i1")]
    assert pool.handle(Polled("e2", 1.0)) == [Stop("e2")]
    pool.handle(Exited("e1", 1.1))
    pool.handle(Exited("e2", 1.1))
    assert pool.keys() == []


def test_a_start_of_a_retired_fleet_that_comes_up_with_nothing_to_do_is_counted_once() -> None:
    pool = new_pool()
    queue(pool, "i1", "i2")
    pool.handle(Retired(KEY))
    poll(pool, "e1")
    answer(pool, "e1", "i1")
    assert poll(pool, "e2") == [Stop("e2")]
    assert queue(pool, "i3", "i4") == [Start("e3", KEY), Start("e4", KEY)]


def test_a_retired_fleet_still_serves_what_was_queued_before() -> None:
    pool = new_pool()
    queue(pool, "i1")
    assert pool.handle(Retired(KEY)) == []
    assert pool.handle(Polled("e1", 0.5)) == [Deliver("e1", "i1", 3.5)]


def test_a_timeout_of_a_redone_init_does_not_outlive_it() -> None:
    pool = new_pool(init_s=10.0)
    queue(pool, "i1")
    pool.handle(Started("e1", 0.0))
    pool.handle(Tick(10.0))
    pool.handle(Started("e2", 10.0))
    queue(pool, "i2", now=10.1)
    pool.handle(Polled("e3", 10.2))
    pool.handle(Answered("e3", "i1", 10.3))
    pool.handle(Polled("e3", 10.3))
    pool.handle(Answered("e3", "i2", 10.4))
    assert pool.handle(Polled("e2", 10.5)) == []
    assert queue(pool, "i3", now=60.0) == [Deliver("e2", "i3", 63.0)]


def test_an_undelivered_invocation_resumes_a_frozen_environment() -> None:
    pool = new_pool(soft_s=45.0)
    warm(pool, 2)
    queue(pool, "i1", now=44.0)
    pool.handle(Tick(46.0))
    assert pool.handle(Undelivered("e2", "i1", 46.1)) == [
        Stop("e2"),
        Thaw("e1"),
        Deliver("e1", "i1", 49.1),
    ]


def test_time_that_stands_still_or_leaps_causes_nothing_twice() -> None:
    pool = new_pool(soft_s=45.0, hard_s=300.0)
    warm(pool, 2)
    queue(pool, "i1", timeout_s=900.0)
    an_hour_later = pool.handle(Tick(3600.0))
    assert an_hour_later == [Stop("e1"), Fail("e2", "i1", Cause.TIMED_OUT), Stop("e2")]
    assert pool.handle(Tick(3600.0)) == []
    assert pool.handle(Tick(0.0)) == []


def test_a_runtime_that_answers_but_never_polls_again_is_stopped_at_its_timeout() -> None:
    pool = new_pool()
    warm(pool)
    queue(pool, "i1")
    pool.handle(Answered("e1", "i1", 1.0))
    assert pool.handle(Tick(3.0)) == [Stop("e1")]


def test_every_state_has_its_transitions_and_stopping_is_final() -> None:
    assert set(TRANSITIONS) == set(EnvironmentState)
    assert TRANSITIONS[EnvironmentState.STOPPING] == frozenset()


def test_an_illegal_transition_tells_its_story() -> None:
    pool = new_pool()
    queue(pool, "i1")
    environment = pool._environments["e1"]  # noqa: SLF001  no event leads there
    with pytest.raises(IllegalTransition, match="e1: starting -> answered"):
        environment.move(EnvironmentState.ANSWERED, 1.0)

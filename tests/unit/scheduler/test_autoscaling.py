"""Scaling rules as tables, and the pool's agreement with them."""

from __future__ import annotations

import pytest
from unit.scheduler.pools import KEY, answer, new_pool, poll, queue, started, warm

from lambda_home.scheduler.autoscaling import (
    MOST_IDLE,
    Backoff,
    Predictor,
    desired,
    plan_scale,
    smoothed,
)
from lambda_home.scheduler.events import Freeze, Prewarm, Thaw, Tick

# queued, idle, stopped -> restart, create
LAMBDA_AT_HOME = [
    (0, 0, 0, 0, 0),
    (0, 3, 0, 0, 0),
    (0, 0, 3, 0, 0),
    (1, 0, 0, 0, 1),
    (1, 1, 0, 0, 0),
    (1, 0, 1, 1, 0),
    (1, 1, 1, 0, 0),
    (3, 1, 1, 1, 1),
    (3, 1, 2, 2, 0),
    (3, 1, 5, 2, 0),
    (2, 5, 5, 0, 0),
    (100, 0, 20, 20, 80),
]


@pytest.mark.parametrize(("queued", "idle", "stopped", "restart", "create"), LAMBDA_AT_HOME)
def test_what_waits_beyond_the_idle_restarts_the_stopped_before_more_are_created(
    queued: int, idle: int, stopped: int, restart: int, create: int
) -> None:
    assert plan_scale(queued, idle, stopped) == (restart, create)


@pytest.mark.parametrize(("queued", "idle", "stopped", "restart", "create"), LAMBDA_AT_HOME)
def test_the_pool_scales_as_the_rule_says(
    queued: int, idle: int, stopped: int, restart: int, create: int
) -> None:
    pool = new_pool(soft_s=45.0)
    warm(pool, idle + stopped)
    # the stack's top `idle` environments are used again, the others freeze
    names = [f"w{n}" for n in range(idle)]
    used = [d.environment for d in queue(pool, *names, now=40.0, timeout_s=9.0)]
    for environment, name in zip(used, names, strict=True):
        answer(pool, environment, name, now=41.0)
    assert len(pool.handle(Tick(46.0))) == stopped
    asked = queue(pool, *[f"i{n}" for n in range(queued)], now=50.0)
    assert sum(isinstance(i, Thaw) for i in asked) == restart
    assert len(started(asked)) == create


def test_what_is_being_created_is_not_created_again() -> None:
    pool = new_pool()
    assert len(started(queue(pool, "i1", "i2"))) == 2
    assert pool.handle(Tick(0.05)) == pool.handle(Tick(5.0)) == []
    assert len(started(queue(pool, "i3"))) == 1


@pytest.mark.parametrize(
    ("average", "arrivals", "expected"),
    [
        (None, 20, 20.0),
        (None, 0, 0.0),
        # no surprise: the weight is 0.2
        (10.0, 10, 10.0),
        # dev 5, s 5/11, weight 0.2 + 0.8 * 5/11
        (10.0, 15, 10 + 5 * (0.2 + 0.8 * 5 / 11)),
        (10.0, 5, 10 - 5 * (0.2 + 0.8 * 5 / 11)),
        # dev 90, s 90/11: the weight is held to 0.95
        (10.0, 100, 0.95 * 100 + 0.05 * 10),
        (0.0, 1, 0.95),
        # dev 20, s 20/21, weight 0.2 + 0.8 * 20/21 = 0.9619 is held to 0.95
        (20.0, 0, 1.0),
    ],
)
def test_the_average_is_glambdars(average: float | None, arrivals: int, expected: float) -> None:
    assert smoothed(average, arrivals) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("average", "environments"), [(0.0, 1), (4.9, 1), (5.0, 1), (9.99, 1), (10.0, 2), (52.0, 10)]
)
def test_the_number_of_environments_is_glambdars(average: float, environments: int) -> None:
    assert desired(average) == environments


def test_a_predictor_follows_its_arrivals_interval_by_interval() -> None:
    predictor = Predictor(0.0)
    for second in range(20):
        predictor.observe(float(second))
    assert predictor.target(29.9) == 0, "the interval is not over"
    assert predictor.target(30.0) == 4
    predictor.observe(31.0, 30)
    weight = 0.2 + 0.8 * 10 / 21
    assert predictor.target(60.0) == 5
    assert predictor.average == pytest.approx(weight * 30 + (1 - weight) * 20)


def test_a_predictor_reaches_zero_without_work_and_comes_back() -> None:
    predictor = Predictor(0.0)
    predictor.observe(1.0, 20)
    targets = [predictor.target(30.0 * n) for n in range(1, 5)]
    assert targets == [4, 1, 0, 0]
    predictor.observe(125.0, 10)
    assert predictor.target(150.0) == 2


def test_steady_work_once_in_an_interval_keeps_one_environment() -> None:
    predictor = Predictor(0.0)
    for n in range(10):
        predictor.observe(30.0 * n + 1)
        assert predictor.target(30.0 * (n + 1)) == 1


def test_a_prediction_is_held_to_the_most_idle_environments() -> None:
    predictor = Predictor(0.0)
    predictor.observe(1.0, 10_000)
    assert predictor.target(30.0) == MOST_IDLE


def test_a_leap_of_the_clock_is_so_many_empty_intervals_and_takes_no_time() -> None:
    predictor = Predictor(0.0)
    predictor.observe(1.0, 1000)
    assert predictor.target(1e12) == 0
    assert predictor.target(1e12) == 0
    predictor.observe(1e12, 10)
    assert predictor.target(1e12 + 30) == 2


def test_arrivals_of_an_interval_long_past_are_not_taken_for_recent_ones() -> None:
    predictor = Predictor(0.0)
    predictor.observe(1.0, 20)
    predictor.observe(301.0, 5)
    assert predictor.average == 0.0
    assert predictor.target(330.0) == 1


def test_a_second_burst_within_the_hard_idle_time_needs_no_cold_start() -> None:
    pool = new_pool(soft_s=45.0, hard_s=300.0)
    predictor = Predictor(0.0)
    names = [f"a{n}" for n in range(20)]
    assert len(started(queue(pool, *names))) == 20
    predictor.observe(0.0, 20)
    poll(pool, *[f"e{n}" for n in range(1, 21)], now=0.1)
    for n, name in enumerate(names, start=1):
        answer(pool, f"e{n}", name, now=0.2)
    for now in (30.0, 60.0, 90.0, 120.0, 150.0, 180.0, 210.0, 240.0):
        pool.handle(Tick(now))
        assert started(pool.handle(Prewarm(KEY, predictor.target(now), 3.0, now))) == []
    assert started(queue(pool, *[f"b{n}" for n in range(20)], now=299.0)) == []


def test_prediction_keeps_so_many_thawed() -> None:
    pool = new_pool(soft_s=20.0)
    warm(pool, 8)
    assert sum(isinstance(i, Freeze) for i in pool.handle(Tick(25.0))) == 8
    assert pool.handle(Prewarm(KEY, 2, 3.0, 30.0)) == [Thaw("e8"), Thaw("e7")]


def test_failures_back_off_from_one_second_to_sixty() -> None:
    backoff, now, waits = Backoff(), 0.0, []
    for _ in range(9):
        assert backoff.allows(now)
        backoff.failed(now)
        assert backoff.retry_at is not None
        waits.append(backoff.retry_at - now)
        now = backoff.retry_at
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_attempts_that_fail_together_count_once() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.failed(0.0)
    assert backoff.retry_at == 1.0


@pytest.mark.parametrize(("lasted_s", "next_wait_s"), [(0.5, 4.0), (1.0, 1.0), (60.0, 1.0)])
def test_a_success_ends_the_series_if_it_lasts(lasted_s: float, next_wait_s: float) -> None:
    backoff = Backoff()
    backoff.failed(0.0)
    backoff.failed(1.0)
    backoff.succeeded(10.0)
    backoff.failed(10.0 + lasted_s)
    assert backoff.retry_at == 10.0 + lasted_s + next_wait_s


def test_a_backoff_of_many_days_does_not_overflow() -> None:
    backoff, now = Backoff(), 0.0
    for _ in range(2000):
        backoff.failed(now)
        now += 61.0
    assert backoff.allows(now)

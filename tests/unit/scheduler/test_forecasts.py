"""What the predictors of all fleets ask for, once an interval."""

from __future__ import annotations

from lambda_home.scheduler.autoscaling import INTERVAL_S
from lambda_home.scheduler.forecasts import Forecasts


def burst(forecasts: Forecasts, count: int, now: float, key: str = "f") -> None:
    """So many at once, all of which end."""
    for _ in range(count):
        forecasts.arrived(key, now)
    for _ in range(count):
        forecasts.ended(key)


def test_after_a_burst_the_average_says_how_many_stay_ready() -> None:
    forecasts = Forecasts(on=True)
    burst(forecasts, 20, 1.0)
    targets = [list(forecasts.due(1.0 + n * INTERVAL_S)) for n in range(1, 5)]
    assert targets == [[("f", 4)], [("f", 1)], [], []]
    assert forecasts.keys() == frozenset()


def test_a_steady_load_on_one_environment_asks_for_no_other() -> None:
    forecasts = Forecasts(on=True)
    for n in range(3000):
        burst(forecasts, 1, 1.0 + n * INTERVAL_S / 3000)
    assert list(forecasts.due(1.0 + INTERVAL_S)) == [("f", 1)]


def test_environments_at_work_count() -> None:
    forecasts = Forecasts(on=True)
    for _ in range(16):
        forecasts.arrived("f", 1.0)
    burst(forecasts, 5000, 1.0, "g")
    assert list(forecasts.due(1.0 + INTERVAL_S)) == [("g", 10)]
    assert forecasts.keys() == {"f", "g"}


def test_it_is_asked_once_an_interval() -> None:
    forecasts = Forecasts(on=True)
    burst(forecasts, 20, 1.0)
    assert list(forecasts.due(1.0 + INTERVAL_S))
    assert not list(forecasts.due(1.0 + INTERVAL_S + 1))


def test_switched_off_it_knows_nothing() -> None:
    forecasts = Forecasts(on=False)
    burst(forecasts, 20, 1.0)
    assert not list(forecasts.due(1.0 + INTERVAL_S))
    assert forecasts.keys() == frozenset()


def test_a_retired_fleet_is_forgotten() -> None:
    forecasts = Forecasts(on=True)
    burst(forecasts, 20, 1.0)
    forecasts.forget("f")
    forecasts.ended("f")
    assert not list(forecasts.due(1.0 + INTERVAL_S))

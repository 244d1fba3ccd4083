"""Aliases that split their traffic, or their provisioned concurrency."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import VERSION
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.invoker.routing import EvenDraws, Route, shares

ONE, TWO = replace(VERSION, version="1"), replace(VERSION, version="2")


@pytest.mark.parametrize("weight", [0.1, 0.3, 0.5, 0.97])
def test_a_thousand_invocations_split_as_the_weight_says(weight: float) -> None:
    for start in (0.0, 0.123, 0.9):
        draw, route = EvenDraws(start), Route(ONE, TWO, weight)
        taken = [route.pick(draw()).version for _ in range(1000)]
        for part in (taken, taken[::2], taken[1::3]):  # a caller that comes every so often
            assert abs(part.count("2") / len(part) - weight) <= 0.03


@pytest.mark.parametrize(
    ("route", "draw", "version"),
    [
        (Route(ONE), 0.0, "1"),
        (Route(ONE, TWO, 0.0), 0.0, "1"),
        (Route(ONE, TWO, 1.0), 0.999999, "2"),
        (Route(ONE, TWO, 0.5), 0.5, "1"),
        (Route(ONE, TWO, 0.5), 0.499, "2"),
    ],
)
def test_the_edges_of_a_weight(route: Route, draw: float, version: str) -> None:
    assert route.pick(draw).version == version


@pytest.mark.parametrize(
    ("count", "weight", "main", "other"),
    [(10, 0.2, 8, 2), (1, 0.5, 0, 1), (1, 0.4, 1, 0), (3, 0.5, 1, 2), (5, 1.0, 0, 5)],
)
def test_environments_are_shared_as_the_traffic_is(
    count: int, weight: float, main: int, other: int
) -> None:
    assert shares(count, "1", {"2": weight}) == {"1": main, "2": other}


@given(st.integers(0, 500), st.floats(0, 1))
def test_no_environment_is_lost_or_made_up(count: int, weight: float) -> None:
    parts = shares(count, "1", {"2": weight})
    assert sum(parts.values()) == count
    assert min(parts.values()) >= 0

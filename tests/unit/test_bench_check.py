"""bench/check.py: when a run is worse than the accepted one."""

from __future__ import annotations

from typing import Any

import pytest

from bench.check import (
    Compared,
    better_of,
    compare,
    section_of,
    sections_to_repeat,
    verdict,
    why_not_accept,
)
from bench.figures import Better, Figure, Row


def results(*rows: Row, sections: tuple[str, ...] = ("warm",)) -> dict[str, Any]:
    return {
        "sections": list(sections),
        "section_of": {row.key: row.key.split(".")[0] for row in rows},
        "rows": [row.as_json() for row in rows],
    }


def row(value: float, *, key: str = "warm.a", errors: int = 0, better: Better = "lower") -> Row:
    figures = (
        Figure("of floor", value, "x", better, compared=True),
        Figure("p50", value * 7, "ms"),
    )
    return Row(key, "a row", 10, errors, figures)


@pytest.mark.parametrize(
    ("before", "after", "better", "failed"),
    [
        (1.0, 1.24, "lower", False),
        (1.0, 1.25, "lower", True),
        (1.0, 0.1, "lower", False),
        (0.8, 0.61, "higher", False),
        (0.8, 0.6, "higher", True),
        (0.8, 4.0, "higher", False),
        (0.0, 0.0, "lower", False),
        (0.0, 1.0, "lower", True),
        (0.0, 1.0, "higher", False),
        (1.0, None, "higher", True),
    ],
)
def test_a_figure_fails_from_a_quarter_worse_on(
    before: float, after: float | None, better: Better, *, failed: bool
) -> None:
    assert Compared("row", "figure", before, after, better).failed is failed


def test_only_figures_that_no_machine_changes_are_compared() -> None:
    compared = compare(results(row(1.0)), results(row(1.1)))
    assert [(one.figure, one.before, one.after) for one in compared] == [
        ("of floor", 1.0, 1.1),
        ("errors", 0.0, 0.0),
    ]


def test_errors_where_there_were_none_fail() -> None:
    compared = compare(results(row(1.0)), results(row(1.0, errors=1)))
    assert [one.figure for one in compared if one.failed] == ["errors"]


def test_errors_that_were_accepted_are_not_compared() -> None:
    compared = compare(results(row(1.0, errors=3)), results(row(1.0, errors=9)))
    assert [one.figure for one in compared] == ["of floor"]


def test_a_row_that_vanished_fails_but_not_one_of_a_section_that_was_not_run() -> None:
    accepted = results(row(1.0), row(1.0, key="cold.b"), sections=("warm", "cold"))
    assert {one.row for one in compare(accepted, results(sections=("warm",)))} == {"warm.a"}
    assert all(one.failed for one in compare(accepted, results(sections=("warm",))))
    assert compare(accepted, results(sections=())) == []


def test_what_only_the_new_run_has_is_no_regression() -> None:
    new = results(row(1.0), row(9.0, key="warm.new", errors=1))
    assert {one.row for one in compare(results(row(1.0)), new)} == {"warm.a"}


def test_what_is_worse_once_and_good_the_second_time_is_not_worse() -> None:
    accepted = results(row(1.0))
    first = compare(accepted, results(row(2.0)))
    assert [one.failed for one in better_of(first, compare(accepted, results(row(1.1))))] == [
        False,
        False,
    ]
    assert better_of(first, compare(accepted, results(row(3.0)))) == first
    assert better_of(first, []) == first


def test_only_sections_in_which_something_failed_are_repeated() -> None:
    accepted = results(row(1.0), row(1.0, key="cold.b"), sections=("warm", "cold"))
    new = results(row(1.0), row(2.0, key="cold.b"), sections=("warm", "cold"))
    assert sections_to_repeat(accepted, compare(accepted, new)) == ["cold"]
    assert sections_to_repeat(accepted, compare(accepted, accepted)) == []
    assert section_of(accepted, row(1.0, key="unknown")) == ""


def test_the_verdict_names_what_failed_first() -> None:
    accepted = results(row(1.0), row(1.0, key="warm.b"))
    said = verdict(compare(accepted, results(row(1.0), row(1.5, key="warm.b")))).splitlines()
    assert said[1].split() == ["warm.b", "of", "floor", "1.000", "1.500", "+50%", "FAILED"]
    assert said[-1] == "bench-check: 1 of 4 figures are worse by 25% or more"
    good = verdict(compare(accepted, accepted))
    assert "FAILED" not in good
    assert good.endswith("none of 4 figures is worse by 25% or more")
    assert "missing" in verdict(compare(accepted, results()))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"failed": ["cold: TimeoutError"]}, "something failed in it: cold: TimeoutError"),
        ({"seconds": 2.0}, "it was a short one (BENCH_SECONDS=2)"),
        ({"sections": ["warm"]}, "it lacks cold"),
    ],
)
def test_only_a_full_run_without_a_failure_is_accepted(
    change: dict[str, Any], why: str | None
) -> None:
    run = {"failed": [], "seconds": 5.0, "sections": ["warm", "cold"], **change}
    assert why_not_accept(run, ("warm", "cold"), 5.0) == why

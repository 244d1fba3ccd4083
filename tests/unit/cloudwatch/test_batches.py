"""PutLogEvents: what is kept of a batch, what is not, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_home.cloudwatch.batches import checked, newest_that_fit, oldest_that_fit
from lambda_home.errors import InvalidParameterException

NOW = 1_795_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR


def batch(*ages: int, message: str = "m") -> list[dict[str, Any]]:
    return [{"timestamp": NOW - age, "message": message} for age in ages]


@pytest.mark.parametrize(
    ("ages", "retention_days", "kept", "rejected"),
    [
        ((0,), None, 1, None),
        ((14 * DAY,), None, 1, None),
        ((14 * DAY + 1,), None, 0, {"tooOldLogEventEndIndex": 1}),
        ((30 * DAY, 20 * DAY, 1), None, 1, {"tooOldLogEventEndIndex": 2}),
        ((0, -2 * HOUR), None, 2, None),
        ((0, -2 * HOUR - 1), None, 1, {"tooNewLogEventStartIndex": 1}),
        ((-3 * HOUR,), None, 0, {"tooNewLogEventStartIndex": 0}),
        ((2 * DAY, 1), 1, 1, {"expiredLogEventEndIndex": 1}),
        ((1 * DAY, 1), 1, 2, None),
        (
            (15 * DAY, 2 * DAY, 0, -3 * HOUR),
            1,
            1,
            {
                "tooOldLogEventEndIndex": 1,
                "expiredLogEventEndIndex": 2,
                "tooNewLogEventStartIndex": 3,
            },
        ),
        ((15 * DAY,), 30, 0, {"tooOldLogEventEndIndex": 1}),
        ((5, 5, 5), None, 3, None),
    ],
)
def test_events_too_old_or_too_new_are_told_of_and_the_others_kept(
    ages: tuple[int, ...], retention_days: int | None, kept: int, rejected: object
) -> None:
    found = checked(batch(*ages), NOW, retention_days)
    assert (len(found.kept), found.rejected) == (kept, rejected)


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (batch(0, 1), "must be in chronological order"),
        (batch(DAY + 1, 0), "cannot span more than 24 hours"),
        (
            batch(0, message="x" * 1_048_551),
            "Log event too large: 1048577 bytes exceeds limit of 1048576",
        ),
        (
            batch(0, 0, message="x" * 524_263),
            "Upload too large: 1048578 bytes exceeds limit of 1048576",
        ),
        (batch(0, message="ü" * 524_276), "Log event too large"),
    ],
)
def test_a_batch_is_refused_as_a_whole(events: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(InvalidParameterException, match=said):
        checked(events, NOW, None)


@pytest.mark.parametrize(
    "events",
    [
        batch(0, message="x" * 1_048_550),
        batch(0, 0, message="x" * 524_262),
        batch(DAY, 0),
        batch(20 * DAY, 0),
    ],
)
def test_a_batch_at_its_limits_is_taken(events: list[dict[str, Any]]) -> None:
    assert checked(events, NOW, None).kept


@pytest.mark.parametrize(
    ("sizes", "oldest", "newest"),
    [([], 0, 0), ([9], 1, 1), ([1, 2, 3], 2, 1), ([4, 0, 0], 3, 3), ([9, 9], 1, 1), ([2, 2], 2, 2)],
)
def test_a_page_has_what_fits_and_at_least_one(sizes: list[int], oldest: int, newest: int) -> None:
    assert oldest_that_fit(sizes, 4) == oldest
    assert newest_that_fit(sizes, 4) == newest

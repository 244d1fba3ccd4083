"""Moments as AWS writes them, and pages whose marker is an identifier."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from lambda_home.user_api.dates import microseconds, milliseconds
from lambda_home.user_api.pages import page_from

MOMENT = datetime(2026, 11, 21, 10, 15, 30, 7_089, UTC)
ELSEWHERE = MOMENT.astimezone(timezone(timedelta(hours=2)))


@pytest.mark.parametrize("moment", [MOMENT, ELSEWHERE])
def test_moments_are_written_in_utc_whatever_their_zone(moment: datetime) -> None:
    assert milliseconds(moment) == "2026-11-21T10:15:30.007+0000"
    assert microseconds(moment) == "2026-11-21T10:15:30.007089Z"


@pytest.mark.parametrize(
    ("marker", "limit", "expected"),
    [
        (None, 3, (["a", "b", "d"], None)),
        ("", 2, (["a", "b"], "d")),
        ("b", 1, (["b"], "d")),
        ("c", 1, (["d"], None)),  # what the marker named has gone meanwhile
        ("e", 1, ([], None)),
    ],
)
def test_a_marker_is_the_key_of_the_next_item(
    marker: str | None, limit: int, expected: tuple[list[str], str | None]
) -> None:
    assert page_from(["a", "b", "d"], str, marker, limit) == expected

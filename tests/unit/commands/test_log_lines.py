from __future__ import annotations

from typing import Any

import pytest

from lambda_home.commands.failures import WrongUse
from lambda_home.commands.log_lines import (
    OfRequest,
    Shown,
    Unseen,
    of_cloudwatch,
    sent_events,
    start_of,
)

NOW_MS = 1_000_000_000


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("30s", NOW_MS - 30_000),
        ("10m", NOW_MS - 600_000),
        ("2h", NOW_MS - 7_200_000),
        ("1d", NOW_MS - 86_400_000),
        ("9w", 0),
        ("1970-01-02T00:00:00Z", 86_400_000),
        ("1970-01-02", 86_400_000),
        ("1970-01-02T01:00:00+01:00", 86_400_000),
        ("1960-01-01", 0),
    ],
)
def test_since_is_a_time_before_now_or_a_moment(since: str, expected: int) -> None:
    assert start_of(since, NOW_MS) == expected


@pytest.mark.parametrize("since", ["", "10", "m", "-5m", "5 m", "yesterday", "5y"])
def test_other_times_are_refused(since: str) -> None:
    with pytest.raises(WrongUse, match="--since"):
        start_of(since, NOW_MS)


def event(message: str, stream: str = "s", number: int = 0, at: int = 0) -> dict[str, Any]:
    return {
        "id": str(number),
        "timestamp": at,
        "stream": stream,
        "request_id": None,
        "message": message,
    }


def test_lines_between_start_and_report_of_the_stream_are_of_the_invocation() -> None:
    events = [
        event("START RequestId: ab-1 Version: $LATEST"),
        event("START RequestId: ab-2 Version: $LATEST", "t"),
        event("mine"),
        event("not mine", "t"),
        event("END RequestId: ab-1"),
        event("REPORT RequestId: ab-1\tDuration: 1 ms"),
        event("between"),
        event("START RequestId: ab-3 Version: $LATEST"),
        event("of the third"),
        event("Task AB-1 remembered", "t"),
    ]
    messages = [found["message"].split()[0] for found in OfRequest("ab-1").pick(events)]
    assert messages == ["START", "mine", "END", "REPORT", "Task"]


def test_an_invocation_that_was_killed_ends_where_the_next_one_starts() -> None:
    pick = OfRequest("ab-1")
    first = [event("START RequestId: ab-1"), event("mine")]
    second = [event("still mine"), event("START RequestId: ab-2"), event("other")]
    assert [found["message"] for found in pick.pick(first)] == ["START RequestId: ab-1", "mine"]
    assert [found["message"] for found in pick.pick(second)] == ["still mine"]


def test_the_json_format_is_understood() -> None:
    events = [
        event('{"type":"platform.start","record":{"requestId":"ab-1"}}'),
        event("plain text of a library"),
        event('{"type":"platform.report","record":{"requestId":"ab-1"}}'),
        event("later"),
    ]
    assert list(OfRequest("ab-1").pick(events)) == events[:3]


def test_each_event_is_shown_once_and_late_ones_are_not_missed() -> None:
    unseen = Unseen(0)
    one, two = event("a", number=1, at=100_000), event("b", number=2, at=99_000)
    assert unseen.of([one]) == [one]
    assert unseen.start_ms == 95_000
    assert unseen.of([two, one]) == [two]
    assert unseen.of([two, one]) == []
    three = event("c", number=3, at=200_000)
    assert unseen.of([one, two, three]) == [three]
    assert unseen.start_ms == 195_000


def test_what_was_read_already_is_not_shown_again_when_the_tail_brings_it() -> None:
    twice = event("same")
    shown = Shown([twice, event("other", number=3)])
    live = {**twice, "id": None}
    assert [shown.is_new(found) for found in (live, live, event("other"), event("new"))] == [
        False,
        True,
        False,
        True,
    ]


def test_events_of_cloudwatch_have_our_form() -> None:
    given = {"eventId": "7", "timestamp": 5, "logStreamName": "s", "message": "m", "more": 1}
    assert of_cloudwatch(given) == event("m", number=7, at=5)


def test_server_sent_events_are_read_line_by_line() -> None:
    lines = [": following", "", "event: log", 'data: {"a":', "data:1}", "", "id: 1", "", "data: 2"]
    assert list(sent_events(lines)) == [("", "following"), ("log", {"a": 1})]

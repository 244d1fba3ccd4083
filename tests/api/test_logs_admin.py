"""`/api/admin/logs` of a live server: what it refuses, and pages of what functions logged."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from functions_under_test import create, fresh_name, invoke
from live import LiveServer

pytestmark = pytest.mark.process

SOURCE = "def handler(event, context):\n    print('line', event['n'])\n"


def get(server: LiveServer, name: str, **query: Any) -> httpx.Response:
    return httpx.get(f"{server.url}/api/admin/logs/{name}", params=query, timeout=60)


@pytest.fixture(scope="module")
def called(process_server: LiveServer) -> tuple[str, list[str]]:
    """A function that was called five times, and the ids of those requests."""
    client = process_server.client()
    name = create(client, SOURCE)
    # With the end of its log an answer waits until all of it has come.
    calls = [invoke(client, name, {"n": n}, LogType="Tail") for n in range(5)]
    return name, [call.request_id for call in calls]


BAD = [
    ({"limit": "0"}, "limit must be a number from 1 to 10000."),
    ({"limit": "10001"}, "limit must be a number from 1 to 10000."),
    ({"limit": "ten"}, "limit must be a number from 1 to 10000."),
    ({"since": "yesterday"}, "since must be milliseconds"),
    ({"since": "-1"}, "since must be milliseconds"),
    ({"since": "5w"}, "since must be milliseconds"),
    ({"before": "x"}, "The specified token"),
    ({"filter": "{ $.a = }"}, "Invalid filter pattern"),
]


@pytest.mark.parametrize(("query", "message"), BAD)
def test_bad_queries_get_one_line_that_says_what_is_wrong(
    process_server: LiveServer, called: tuple[str, list[str]], query: dict[str, str], message: str
) -> None:
    answer = get(process_server, called[0], **query)
    assert answer.status_code == 400
    assert answer.headers["x-amzn-errortype"] == "InvalidParameterValueException"
    assert message in answer.json()["message"]


@pytest.mark.parametrize("ending", ["", "/live"])
def test_a_function_that_does_not_exist_has_no_logs(
    process_server: LiveServer, ending: str
) -> None:
    answer = get(process_server, fresh_name("none") + ending)
    assert answer.status_code == 404
    assert answer.headers["x-amzn-errortype"] == "ResourceNotFoundException"


def test_a_function_that_never_ran_has_logged_nothing(process_server: LiveServer) -> None:
    name = create(process_server.client(), SOURCE)
    assert get(process_server, name).json() == {"events": [], "more": None}


def test_events_are_found_by_request_filter_time_and_in_pages(
    process_server: LiveServer, called: tuple[str, list[str]]
) -> None:
    name, requests = called
    everything = get(process_server, name).json()["events"]
    assert [e["message"] for e in everything if e["message"].startswith("line")] == [
        f"line {n}" for n in range(5)
    ]
    for number, request_id in enumerate(requests):
        mine = get(process_server, name, request_id=request_id).json()["events"]
        assert {e["request_id"] for e in mine} == {request_id}
        assert f"line {number}" in [e["message"] for e in mine]
    filtered = get(process_server, name, filter="line").json()["events"]
    assert len(filtered) == 5
    later = str(int((time.time() + 60) * 1000))  # noqa: TID251  the server's clock
    assert get(process_server, name, since=later).json()["events"] == []
    assert get(process_server, name, since="1h").json()["events"] == everything
    pages: list[Any] = []
    before: str | None = ""
    while before is not None:
        page = get(process_server, name, limit=4, before=before).json()
        pages = [*page["events"], *pages]
        before = page["more"]
    assert pages == everything

"""Time that passes when a test says so: what hangs on it has happened when the call returns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from live import LiveServer

from lambda_home.clock import VirtualClock
from lambda_home.errors import ResourceConflictException
from lambda_home.testing.functions import DeployedFunction, deploy
from lambda_home.testing.server import Clock, LocalServer, LocalServerError, ServerOptions
from lambda_home.user_api.clock_admin import Passage

pytestmark = pytest.mark.process

REMEMBERING = """
    seen = []

    def handler(event, context):
        if event != "tell":
            told = event["requestContext"]
            seen.append([told["condition"], told["approximateInvokeCount"]])
        return seen
"""
FAILING = "def handler(event, context):\n    raise RuntimeError('no')\n"
WHO = """
    import uuid

    me = str(uuid.uuid4())

    def handler(event, context):
        return [me, context.get_remaining_time_in_millis()]
"""


@pytest.fixture(scope="module")
def home() -> Iterator[LocalServer]:
    with LocalServer(ServerOptions("process")) as server:
        yield server


@pytest.fixture(scope="module")
def clock(home: LocalServer) -> Clock:
    return Clock(home)


def failing(home: LocalServer, **config: Any) -> tuple[DeployedFunction, DeployedFunction]:
    """A function that fails, and the one that hears of it."""
    told, made = deploy(home, REMEMBERING), deploy(home, FAILING)
    destination = {"OnFailure": {"Destination": told.arn}}
    made.client.put_function_event_invoke_config(
        FunctionName=made.name, DestinationConfig=destination, **config
    )
    return made, told


def test_both_retries_happen_within_one_advance(home: LocalServer, clock: Clock) -> None:
    made, told = failing(home)
    began = time.monotonic()
    made.send("x")
    clock.advance(180)
    assert told.invoke("tell") == [["RetriesExhausted", 3]]
    assert time.monotonic() - began < 90, "the retries took their real time"


def test_no_retry_comes_before_its_time(home: LocalServer, clock: Clock) -> None:
    made, told = failing(home, MaximumRetryAttempts=1)
    made.send("x")
    clock.advance(20)
    assert told.invoke("tell") == []
    clock.advance(40)
    assert told.invoke("tell") == [["RetriesExhausted", 2]]


def test_an_event_gets_too_old(home: LocalServer, clock: Clock) -> None:
    made, told = failing(home, MaximumEventAgeInSeconds=90)
    made.send("x")
    clock.advance(200)
    assert told.invoke("tell") == [["EventAgeExceeded", 2]]


def test_idle_environments_are_removed_and_deadlines_stay_real(
    home: LocalServer, clock: Clock
) -> None:
    made = deploy(home, WHO, Timeout=7)
    first, left_ms = made.invoke()
    assert left_ms <= 7000
    clock.advance(200)  # frozen
    again, left_ms = made.invoke()
    assert again == first
    assert left_ms <= 7000
    clock.advance(301)  # removed
    assert made.invoke()[0] != first


def test_log_events_grow_too_old(home: LocalServer, clock: Clock) -> None:
    made = deploy(home, "def handler(event, context):\n    print('told', event)\n")
    made.invoke("x")
    assert made.logs()
    home.client("logs").put_retention_policy(
        logGroupName=f"/aws/lambda/{made.name}", retentionInDays=1
    )
    clock.advance(86_000)
    assert "told x" in [line.strip() for line in made.logs()]
    clock.advance(500)
    assert made.logs(until="") == []


@pytest.mark.parametrize(
    "body",
    [{}, {"advance_s": -1}, {"advance_s": "1"}, {"advance_s": True}, {"advance_s": 1, "x": 1}]
    + [{"advance_s": value} for value in (float("nan"), float("inf"), 366 * 86_400 + 1)],
)
def test_a_bad_advance_is_refused_and_moves_nothing(
    home: LocalServer, clock: Clock, body: dict[str, Any]
) -> None:
    before = clock.now()
    with pytest.raises(LocalServerError, match="answered 400"):
        home.admin("POST", "/api/admin/clock", body)
    assert clock.now() - before < 30


def test_a_server_without_the_setting_has_no_such_clock(process_server: LiveServer) -> None:
    other = LocalServer(ServerOptions())
    other.facts["user API"] = process_server.url
    with pytest.raises(LocalServerError, match="answered 404"):
        other.admin("POST", "/api/admin/clock", {"advance_s": 1})


def test_time_does_not_pass_while_something_runs() -> None:
    clock, swept = VirtualClock(), ["old"]
    events = SimpleNamespace(at_rest=True, next_due=None, wake=lambda: None)
    pool = SimpleNamespace(environments=lambda: iter(()))
    scheduler = SimpleNamespace(in_flight=1, pool=pool, tick=lambda: None)
    passage = Passage(clock, cast("Any", events), cast("Any", scheduler), swept.clear, 0.01)
    with pytest.raises(ResourceConflictException, match="still runs after"):
        asyncio.run(passage.advance(10))
    assert clock.ahead_s == 0
    scheduler.in_flight = 0
    asyncio.run(passage.advance(10))
    assert clock.ahead_s == 10
    assert not swept

"""SnapStart: how the first init of a version goes, and an environment's restore."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from fakes import VERSION, invocation

from lambda_home.clock import SystemClock
from lambda_home.errors import SnapStartException, SnapStartTimeoutException
from lambda_home.functions import FunctionVersion
from lambda_home.sandboxes.base import Exit
from lambda_home.scheduler.environment_log import EnvironmentLog
from lambda_home.scheduler.environments import (
    Delivery,
    Environment,
    Outcome,
    Pending,
    RuntimeAnswer,
)
from lambda_home.scheduler.events import Deliver, FleetPlan
from lambda_home.scheduler.restoring import PLAN, Restoring

SNAP = replace(VERSION, version="1", documents={"SnapStart": {"ApplyOn": "PublishedVersions"}})


class Plans:
    """What was planned."""

    def __init__(self) -> None:
        self.made: list[FleetPlan] = []

    def __call__(self, version: FunctionVersion, plan: FleetPlan) -> None:
        assert version.run_key == VERSION.run_key
        self.made.append(plan)


def no_delivery(deliver: Deliver) -> None:
    raise AssertionError(deliver)


def no_error(pending: Pending, error: Exception) -> None:
    raise AssertionError(pending, error)


class RestorePoll:
    """A runtime that waits for its restore."""

    restores = True
    gone = False

    def __init__(self) -> None:
        self.delivered: list[Delivery | None] = []

    @property
    def answered(self) -> bool:
        return bool(self.delivered)

    def deliver(self, delivery: Delivery | None) -> None:
        self.delivered.append(delivery)


def environment(lines: list[str] | None = None) -> Environment:
    def emit(text: bytes, request_id: str) -> None:
        assert request_id == ""
        if lines is not None:
            lines.append(text.decode())

    return Environment("e", "e", "host", SNAP, EnvironmentLog(emit))


def test_a_version_is_taken_once_and_keeps_its_environment() -> None:
    async def main() -> None:
        plans = Plans()
        restoring = Restoring(SystemClock(), plans, no_delivery, no_error)
        taking = [asyncio.create_task(restoring.take(SNAP)) for _ in range(2)]
        await asyncio.sleep(0)
        restoring.initialised("another")
        assert not taking[0].done()
        restoring.initialised(SNAP.run_key)
        assert await asyncio.gather(*taking) == ["", ""]
        assert plans.made == [PLAN]

    asyncio.run(main())


ANSWER = RuntimeAnswer(b'{"errorMessage": "m"}', "T")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"init_error": ANSWER}, "T: m"),
        ({"init_error": RuntimeAnswer(b"no JSON", "T")}, "T"),
        ({"start_error": ValueError("no room")}, "no room"),
        ({"exit": Exit("e", code=3)}, "Runtime exited with error: exit status 3"),
        ({"exit": Exit("e", unstartable="fork/exec x")}, "fork/exec x"),
        ({"ending": True}, "Init timed out"),
    ],
)
def test_why_an_init_failed_is_told_and_nothing_is_kept(
    changes: dict[str, object], why: str
) -> None:
    async def main() -> None:
        plans = Plans()
        restoring = Restoring(SystemClock(), plans, no_delivery, no_error)
        taking = asyncio.create_task(restoring.take(SNAP))
        await asyncio.sleep(0)
        gone = environment()
        for name, value in changes.items():
            setattr(gone, name, value)
        restoring.gone(gone)
        assert await taking == why
        assert plans.made == [PLAN, FleetPlan()]

    asyncio.run(main())


class Restored:
    """An environment whose restore has begun, and what became of it."""

    def __init__(self, *, cold: bool = False) -> None:
        self.lines: list[str] = []
        self.delivered: list[Deliver] = []
        self.errors: list[Outcome | Exception] = []
        self.environment, self.poll = environment(self.lines), RestorePoll()
        self.environment.init_ms = 5000.0
        self.restoring = Restoring(SystemClock(), Plans(), self.delivered.append, Pending.tell)
        self.restoring.parked(self.environment, self.poll)
        told = self.errors.append
        pending = Pending(
            invocation("r", SNAP), "key", told, cold=cold, environment=self.environment
        )
        self.restoring.begin(pending, Deliver("e", "r", 100.0), self.poll)


@pytest.mark.parametrize("cold", [False, True])
def test_a_restore_goes_on_to_its_invocation_and_counts_an_init_that_was_waited_for(
    *, cold: bool
) -> None:
    one = Restored(cold=cold)
    assert [said.invocation.request_id for said in one.poll.delivered if said] == ["r"]
    assert one.restoring.goes_on(one.environment)
    assert not one.restoring.goes_on(one.environment)
    assert (one.delivered, one.errors) == ([Deliver("e", "r", 100.0)], [])
    assert one.environment.restore_ms is not None
    whole, hooks = one.environment.restore_ms
    assert (whole >= 5000) is cold
    assert hooks < 5000
    assert one.environment.init_reported
    text = "\n".join(one.lines)
    for start in ("INIT_REPORT Init Duration: 5000.00", "RESTORE_START", "RESTORE_REPORT Restore"):
        assert start in text


def test_what_goes_wrong_in_a_restore_has_errors_of_its_own() -> None:
    one = Restored()
    one.restoring.failed(one.environment)
    one.restoring.failed(one.environment)
    assert [type(error) for error in one.errors] == [SnapStartException]
    assert not one.restoring.timed_out(one.environment)
    late = Restored()
    assert late.restoring.timed_out(late.environment)
    assert [type(error) for error in late.errors] == [SnapStartTimeoutException]
    assert one.delivered == late.delivered == []

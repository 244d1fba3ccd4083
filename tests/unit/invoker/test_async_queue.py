"""Asynchronous invokes on a real store, with an invoker told how to end and a hand-turned clock."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from fakes import until
from unit.invoker.queue_stage import (
    DEAD,
    FAILED,
    OK,
    POLICY,
    QUEUE,
    REF,
    THROTTLED,
    Ending,
    Stage,
    opened,
    play,
)

from lambda_home.errors import (
    InvalidParameterValueException,
    RecursiveInvocationException,
    ResourceNotFoundException,
    ServiceException,
    ServiceUnavailableException,
)
from lambda_home.invocations import InvocationRequest
from lambda_home.invoker.event_settings import InForce
from lambda_home.invoker.retries import Policy
from lambda_home.registry.database import Database
from lambda_home.registry.events import EventStore


def test_an_event_is_durable_before_it_is_accepted(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.invoker.gate.clear()
        stage.store.gate.clear()
        accepted = asyncio.get_running_loop().create_task(stage.put("a"))
        await asyncio.sleep(0.01)
        assert not accepted.done()
        stage.store.gate.set()
        await accepted
        elsewhere = Database.open(database.path)
        assert EventStore(elsewhere).count() == 1
        elsewhere.close()
        stage.invoker.gate.set()

    play(database, scene)


def test_an_event_is_run_once_as_it_was_put_and_forgotten(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        request = InvocationRequest(
            b"[1]", client_context='{"c":1}', trace_id="Root=1", request_id="a"
        )
        await stage.queue.put(REF, request)
        await stage.emptied()
        await stage.turn(30_000)
        assert stage.invoker.requests == [(REF, request)]

    play(database, scene)


def test_events_that_come_during_a_commit_share_the_next(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.store.gate.clear()
        loop = asyncio.get_running_loop()
        first = loop.create_task(stage.put("first"))
        await asyncio.sleep(0.01)
        others = [loop.create_task(stage.put(f"{n}")) for n in range(50)]
        await asyncio.sleep(0)
        stage.store.gate.set()
        await asyncio.gather(first, *others)
        assert stage.store.groups == [1, 50]

    play(database, scene)


def test_an_event_that_cannot_be_stored_is_not_accepted_and_the_next_is(
    database: Database,
) -> None:
    async def scene(stage: Stage) -> None:
        stage.store.fail = 1
        with pytest.raises(ServiceException, match="disk full"):
            await stage.put("a")
        await stage.put("b")
        await stage.settle()
        assert [name for name, _ in stage.invoker.tries] == ["b"]

    play(database, scene)


def test_a_failing_function_is_tried_again_after_one_and_two_minutes_then_dropped(
    database: Database,
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", FAILED, FAILED, FAILED, FAILED)
        await stage.settle()
        for seconds in (59, 1, 119, 1, 10_000):
            await stage.turn(seconds)
        assert stage.invoker.times("a") == [0, 60, 180]
        await stage.emptied()

    play(database, scene)


@pytest.mark.parametrize("leap", [3600.0, -3600.0])
def test_a_leap_of_the_wall_clock_neither_hurries_nor_holds_up_a_retry(
    database: Database, leap: float
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", FAILED, OK)
        await stage.settle()
        stage.clock.leap(leap)
        stage.clock.turn(59)
        stage.queue.wake()  # starts at once what is due
        await asyncio.sleep(0)
        assert len(stage.invoker.times("a")) == 1
        stage.clock.turn(1)
        stage.queue.wake()
        await until(lambda: len(stage.invoker.times("a")) == 2)
        await stage.emptied()

    play(database, scene)


def test_a_retry_that_succeeds_is_the_last(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", FAILED, OK, FAILED)
        await stage.settle()
        for _ in range(3):
            await stage.turn(60)
        assert stage.invoker.times("a") == [0, 60]
        await stage.emptied()

    play(database, scene)


@pytest.mark.parametrize(
    "refusal", [THROTTLED, ServiceException("x"), ServiceUnavailableException("x")]
)
def test_what_the_platform_could_not_run_comes_back_and_has_all_its_tries(
    database: Database, refusal: Exception
) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", refusal, refusal, FAILED, FAILED, FAILED)
        await stage.settle()
        for seconds in (1, 2, 60, 120, 10_000):
            await stage.turn(seconds)
        assert stage.invoker.times("a") == [0, 1, 3, 63, 183]

    play(database, scene)


def test_an_event_throttled_until_it_is_too_old_is_dropped(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", *[THROTTLED] * 100)
        await stage.settle()
        await stage.turn(21_599.5)
        assert stage.invoker.times("a") == [0, 21_599.5]
        await stage.emptied()

    play(database, scene)


def test_an_event_of_a_deleted_function_is_dropped(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", ResourceNotFoundException("gone"))
        await stage.emptied()
        await stage.turn(10_000)
        assert stage.invoker.times("a") == [0]

    play(database, scene)


def test_an_event_that_aws_refuses_counts_as_a_failed_try(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        await stage.put("a", InvalidParameterValueException("bad"))
        await stage.settle()
        await stage.turn(60)
        assert stage.invoker.times("a") == [0, 60]

    play(database, scene)


def test_no_more_run_at_a_time_than_there_are_workers(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.invoker.gate.clear()
        await asyncio.gather(*(stage.put(f"{n}") for n in range(10)))
        await until(lambda: stage.invoker.running.total() == 3)
        stage.invoker.gate.set()
        await stage.emptied()
        assert stage.invoker.most_running == 3
        assert sorted(name for name, _ in stage.invoker.tries) == sorted(map(str, range(10)))

    play(database, scene, workers=3)


def test_a_reopened_queue_runs_what_the_former_left(database: Database) -> None:
    async def main() -> None:
        async with opened(database) as stage:
            await stage.put("failed", FAILED)
            await stage.settle()
            stage.invoker.gate.clear()
            await stage.put("running")
            await until(lambda: stage.invoker.running["running"])
        assert stage.store.count() == 2
        async with opened(database) as stage:
            await until(lambda: stage.invoker.times("running"))
            await stage.turn(59)
            assert stage.invoker.times("failed") == []
            await stage.turn(1)
            assert stage.invoker.times("failed") == [60]
            await stage.emptied()

    asyncio.run(main())


def test_what_ended_just_before_the_queue_closed_is_not_run_again(database: Database) -> None:
    async def main() -> None:
        async with opened(database) as stage:
            await stage.put("a")
            await until(lambda: stage.invoker.times("a") and not stage.queue._running)  # noqa: SLF001
        assert stage.store.count() == 0

    asyncio.run(main())


def test_closing_answers_those_whose_events_are_being_stored(database: Database) -> None:
    async def main() -> None:
        async with opened(database) as stage:
            stage.store.gate.clear()
            accepted = asyncio.get_running_loop().create_task(stage.put("a"))
            await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(0.05, stage.store.gate.set)
        await asyncio.wait_for(accepted, 20)
        assert stage.store.count() == 1

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_or_run_twice_at_once_however_tries_end(
    database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    names = [f"e{number}" for number in range(40)]
    endings: dict[str, list[Ending]] = {
        name: chance.choices([OK, FAILED, THROTTLED], [2, 3, 2], k=12) for name in names
    }

    async def scene(stage: Stage) -> None:
        await asyncio.gather(*(stage.put(name, *endings[name]) for name in names))
        for _ in range(60):
            if stage.queue.backlog == 0:
                break
            await stage.turn(400)
        await stage.emptied()
        for name in names:
            failed = ended = tries = 0
            while not ended:  # what must have happened, from the endings alone
                ending = endings[name][tries]
                tries += 1
                failed += ending is FAILED
                ended = ending is OK or failed == 3 or tries == 12
            assert len(stage.invoker.times(name)) == tries

    play(database, scene)


# ------------------------------------------------------------------------------------ the settings


def test_the_configuration_in_force_when_a_try_ends_counts(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.invoker.gate.clear()
        await stage.put("a", FAILED, FAILED, FAILED)
        await until(lambda: stage.invoker.running["a"])
        stage.settings.now = InForce(Policy(10, 21_600, 1), on_failure=QUEUE)
        stage.invoker.gate.set()
        await stage.settle()
        await stage.turn(10)
        assert stage.invoker.times("a") == [0, 10]
        await stage.emptied()
        assert stage.deliverer.conditions == ["RetriesExhausted"]

    play(database, scene)


def test_no_retries_and_no_delay_can_be_configured(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(Policy(60, 21_600, 0), on_failure=QUEUE)
        await stage.put("a", FAILED, FAILED)
        await stage.emptied()
        stage.settings.now = InForce(Policy(0, 21_600))
        await stage.put("b", FAILED, FAILED, FAILED, FAILED)
        await stage.emptied()
        assert stage.invoker.times("a") == [0]
        assert stage.invoker.times("b") == [0, 0, 0]

    play(database, scene)


def test_an_event_too_old_for_another_try_ends_with_its_last_answer(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(Policy(60, 90), on_failure=QUEUE)
        await stage.put("a", FAILED, FAILED, FAILED)
        await stage.settle()
        await stage.turn(60)
        await stage.emptied()
        assert stage.invoker.times("a") == [0, 60]
        (parcel,) = stage.deliverer.arrived
        body = json.loads(parcel.body)
        assert body["requestContext"]["condition"] == "EventAgeExceeded"
        assert body["requestContext"]["approximateInvokeCount"] == 2
        assert body["responseContext"]["functionError"] == "Unhandled"

    play(database, scene)


def test_an_event_that_waited_too_long_is_not_run(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(Policy(60, 90), on_failure=QUEUE)
        stage.invoker.gate.clear()
        await stage.put("first")
        await stage.put("second")
        await until(lambda: stage.invoker.running["first"])
        stage.clock.turn(91)
        stage.invoker.gate.set()
        await stage.emptied()
        assert stage.invoker.times("second") == []
        (parcel,) = stage.deliverer.arrived
        context = json.loads(parcel.body)["requestContext"]
        assert (context["requestId"], context["approximateInvokeCount"]) == ("second", 0)
        assert context["condition"] == "EventAgeExceeded"

    play(database, scene, workers=1)


def test_throttled_until_too_old_says_so_without_having_run(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(Policy(60, 60), on_failure=QUEUE, dead_letter=DEAD)
        await stage.put("a", *[THROTTLED] * 100)
        await stage.settle()
        for _ in range(6):
            await stage.turn(32)
        await stage.emptied()
        record, dead = stage.deliverer.arrived
        body = json.loads(record.body)
        assert body["requestContext"]["condition"] == "EventAgeExceeded"
        assert body["requestContext"]["approximateInvokeCount"] == 0
        assert body["responseContext"] == {"statusCode": 429}
        assert dead.attributes["ErrorCode"] == ("Number", "429")

    play(database, scene)


def test_reserved_concurrency_of_0_goes_to_the_destination_at_once(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(POLICY, on_failure=QUEUE, stopped=True)
        await stage.put("a", THROTTLED, THROTTLED)
        await stage.emptied()
        assert stage.invoker.times("a") == [0]
        body = json.loads(stage.deliverer.arrived[0].body)
        assert body["requestContext"]["condition"] == "ZeroReservedConcurrency"
        assert body["requestContext"]["approximateInvokeCount"] == 0
        assert "responseContext" not in body

    play(database, scene)


def test_a_recursive_loop_is_not_tried_again(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(POLICY, on_failure=QUEUE)
        await stage.put("a", RecursiveInvocationException("loop"), OK)
        await stage.emptied()
        assert stage.invoker.times("a") == [0]
        assert stage.deliverer.conditions == ["RecursiveInvocation"]

    play(database, scene)


# ----------------------------------------------------------------------------------- destinations


def test_an_event_that_cannot_be_removed_is_not_run_again(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.invoker.gate.clear()
        await stage.put("a")
        await until(lambda: stage.invoker.running["a"])
        stage.store.fail = 1
        stage.invoker.gate.set()
        await until(lambda: not stage.store.fail)
        await stage.turn(100)
        await stage.emptied()
        assert stage.invoker.times("a") == [0]

    play(database, scene)


def test_a_backlog_too_big_for_memory_is_read_back_in_order(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lambda_home.invoker.async_queue._MOST_BYTES_HELD", 5000)

    async def scene(stage: Stage) -> None:
        stage.invoker.gate.clear()
        names = [f"{number:03}" for number in range(200)]
        for name in names:
            await stage.put(name)
        stage.invoker.gate.set()
        await stage.emptied()
        assert [name for name, _ in stage.invoker.tries] == names
        assert len(stage.store.loaded) > 150

    play(database, scene, workers=1)


def test_events_emptied_out_of_the_store_behind_its_back_are_forgotten(database: Database) -> None:
    async def main() -> None:
        async with opened(database) as stage:
            await stage.put("gone", FAILED)
            await stage.settle()
        async with opened(database) as stage:
            stage.store.write(removed=["gone"])
            stage.clock.turn(60)
            await stage.put("other")
            await stage.settle()
            await stage.emptied()
            assert [name for name, _ in stage.invoker.tries] == ["other"]
            assert stage.queue.backlog == 0

    asyncio.run(main())


def test_a_burst_starts_few_at_a_time_and_slow_functions_make_room(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.invoker.gate.clear()
        stage.store.gate.clear()
        loop = asyncio.get_running_loop()
        puts = [loop.create_task(stage.put(f"{number}")) for number in range(60)]
        await asyncio.sleep(0)
        stage.store.gate.set()
        await asyncio.gather(*puts)
        await until(lambda: stage.invoker.running)
        assert stage.invoker.running.total() < 10
        await until(lambda: stage.invoker.running.total() == 20, "all workers at work")
        stage.invoker.gate.set()
        await stage.emptied()
        assert stage.invoker.most_running == 20

    play(database, scene, workers=20)

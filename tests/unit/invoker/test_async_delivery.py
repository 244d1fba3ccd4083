"""Destinations and dead letters of asynchronous invokes: sent once, again, or given up."""

from __future__ import annotations

import asyncio
import json

import pytest
from unit.invoker.queue_stage import (
    DEAD,
    FAILED,
    POLICY,
    QUEUE,
    REF,
    Stage,
    opened,
    play,
)

from lambda_home.invoker.delivery import DeliveryError
from lambda_home.invoker.event_settings import InForce
from lambda_home.invoker.retries import DELIVERY_TRIES, Policy
from lambda_home.registry.database import Database


def test_three_failures_a_minute_and_two_apart_then_destination_and_dead_letter(
    database: Database,
) -> None:
    """Row 25 of the contract: exactly three tries, then the exact envelopes."""

    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(POLICY, on_failure=QUEUE, dead_letter=DEAD)
        await stage.put("a", FAILED, FAILED, FAILED)
        await stage.settle()
        for seconds in (59, 1, 119, 1):
            assert stage.deliverer.arrived == []
            await stage.turn(seconds)
        await stage.emptied()
        assert stage.invoker.times("a") == [0, 60, 180]
        record, dead = stage.deliverer.arrived
        assert json.loads(record.body) == {
            "version": "1.0",
            "timestamp": "2023-11-14T22:16:20.000Z",
            "requestContext": {
                "requestId": "a",
                "functionArn": REF.qualified_arn,
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            },
            "requestPayload": {"n": 1},
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "1",
                "functionError": "Unhandled",
            },
            "responsePayload": {},
        }
        assert record.target == QUEUE
        assert (dead.target, dead.body) == (DEAD, '{"n":1}')
        assert dead.attributes == {
            "RequestID": ("String", "a"),
            "ErrorCode": ("Number", "200"),
            "ErrorMessage": ("String", "{}"),
        }

    play(database, scene)


def test_a_success_goes_to_its_destination_and_to_no_other(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(
            POLICY, on_success="arn:aws:sqs:r:a:good", on_failure=QUEUE, dead_letter=DEAD
        )
        await stage.put("a")
        await stage.emptied()
        assert [parcel.target for parcel in stage.deliverer.arrived] == ["arn:aws:sqs:r:a:good"]
        assert stage.deliverer.conditions == ["Success"]

    play(database, scene)


@pytest.mark.parametrize("broken", [DeliveryError("x"), RuntimeError("a defect")])
def test_a_delivery_that_fails_is_tried_again_without_running_the_function_again(
    database: Database, broken: Exception
) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(Policy(60, 21_600, 0), on_failure=QUEUE, dead_letter=DEAD)
        stage.deliverer.broken = broken
        stage.deliverer.failures[QUEUE] = 2
        await stage.put("a", FAILED)
        await stage.settle()
        assert stage.store.count() == 1
        for seconds in (1, 2, 1000):
            await stage.turn(seconds)
        await stage.emptied()
        assert stage.invoker.times("a") == [0]
        assert stage.deliverer.tries == [(QUEUE, 0), (DEAD, 0), (QUEUE, 1), (QUEUE, 3)]

    play(database, scene)


def test_a_delivery_that_always_fails_is_given_up(database: Database) -> None:
    async def scene(stage: Stage) -> None:
        stage.settings.now = InForce(POLICY, on_success=QUEUE)
        stage.deliverer.failures[QUEUE] = 1000
        await stage.put("a")
        await stage.settle()
        for _ in range(DELIVERY_TRIES):
            await stage.turn(60)
        await stage.emptied()
        assert len(stage.deliverer.tries) == DELIVERY_TRIES

    play(database, scene)


def test_what_was_not_delivered_is_delivered_by_the_next_server(database: Database) -> None:
    async def main() -> None:
        async with opened(database) as stage:
            stage.settings.now = InForce(POLICY, on_success=QUEUE)
            stage.deliverer.failures[QUEUE] = 1
            await stage.put("a")
            await stage.settle()
        assert stage.store.count() == 1
        async with opened(database) as stage:
            stage.clock.turn(1)
            await stage.settle()
            await stage.emptied()
            assert stage.invoker.times("a") == []
            assert stage.deliverer.conditions == ["Success"]

    asyncio.run(main())


# ------------------------------------------------------------------------------------- the journal

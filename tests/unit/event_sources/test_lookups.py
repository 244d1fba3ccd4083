"""Whether a source exists, asked at the service that has it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from lambda_home.arns import Scope
from lambda_home.errors import ApiError
from lambda_home.event_sources.kinds import Kind
from lambda_home.event_sources.lookups import check_source
from lambda_home.services import ServiceCallError

HERE = Scope("000000000000", "us-east-1")
QUEUE = "arn:aws:sqs:us-east-1:111111111111:queue"
KINESIS = "arn:aws:kinesis:us-east-1:000000000000:stream/name/consumer/c:1"
DYNAMODB = "arn:aws:dynamodb:us-east-1:000000000000:table/t/stream/2025"
NO_QUEUE = (
    "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue."
    " SQS Error Message: The specified queue does not exist."
)


class FakeServices:
    """Services of one endpoint, which answer what they are told to, and note what they got."""

    def __init__(self, *services: str, error: ServiceCallError | None = None) -> None:
        self._services = services
        self._error = error
        self.calls: list[tuple[Scope, str, Mapping[str, Any]]] = []

    def reaches(self, service: str) -> bool:
        return service in self._services

    async def call(
        self, scope: Scope, service: str, operation: str, params: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        self.calls.append((scope, f"{service}.{operation}", params))
        if self._error:
            raise self._error
        return {"QueueUrl": "url", "Attributes": {"VisibilityTimeout": "30"}}


def check(services: FakeServices, kind: Kind, arn: str, timeout_s: int = 3) -> None:
    asyncio.run(check_source(services, HERE, kind, arn, timeout_s))


def test_each_kind_is_asked_where_it_lives() -> None:
    services = FakeServices("sqs", "kinesis", "dynamodbstreams")
    check(services, Kind.SQS, QUEUE, 30)
    check(services, Kind.KINESIS, KINESIS)
    check(services, Kind.DYNAMODB, DYNAMODB)
    check(services, Kind.MQ, "arn:aws:mq:us-east-1:000000000000:broker:name:b-1")
    owner = Scope("111111111111", "us-east-1")
    assert services.calls == [
        (owner, "sqs.GetQueueUrl", {"QueueName": "queue"}),
        (
            owner,
            "sqs.GetQueueAttributes",
            {"QueueUrl": "url", "AttributeNames": ["VisibilityTimeout"]},
        ),
        (HERE, "kinesis.DescribeStreamSummary", {"StreamName": "name"}),
        (HERE, "dynamodbstreams.DescribeStream", {"StreamArn": DYNAMODB}),
    ]


def test_without_an_endpoint_nothing_is_asked() -> None:
    services = FakeServices("s3")
    check(services, Kind.SQS, QUEUE, 900)
    check(services, Kind.KINESIS, KINESIS)
    check(services, Kind.DYNAMODB, DYNAMODB)
    assert services.calls == []


@pytest.mark.parametrize(
    ("kind", "arn", "error", "code", "message"),
    [
        (Kind.SQS, QUEUE, ServiceCallError("?", "QueueDoesNotExist"), 400, NO_QUEUE),
        (
            Kind.SQS_FIFO,
            QUEUE,
            ServiceCallError("?", "AWS.SimpleQueueService.NonExistentQueue", "gone"),
            400,
            NO_QUEUE,
        ),
        (
            Kind.SQS,
            QUEUE,
            ServiceCallError("?", "AccessDenied", "no"),
            400,
            (
                "Error occurred while ReceiveMessage. SQS Error Code: AccessDenied. SQS Error"
                " Message: no"
            ),
        ),
        (
            Kind.KINESIS,
            KINESIS,
            ServiceCallError("?", "ResourceNotFoundException"),
            400,
            f"Stream not found: {KINESIS}",
        ),
        (
            Kind.DYNAMODB,
            DYNAMODB,
            ServiceCallError("?", "ResourceNotFoundException"),
            400,
            f"Stream not found: {DYNAMODB}",
        ),
        (Kind.SQS, QUEUE, ServiceCallError("no connection"), 500, "no connection"),
        (Kind.KINESIS, KINESIS, ServiceCallError("no connection"), 500, "no connection"),
    ],
)
def test_what_the_service_answers_becomes_an_error_of_lambda(
    kind: Kind, arn: str, error: ServiceCallError, code: int, message: str
) -> None:
    services = FakeServices("sqs", "kinesis", "dynamodbstreams", error=error)
    with pytest.raises(ApiError) as refused:
        check(services, kind, arn)
    assert (refused.value.status, refused.value.message) == (code, message)


def test_a_service_that_cannot_tell_refuses_no_stream() -> None:
    error = ServiceCallError("?", "UnknownOperationException", "?")
    check(FakeServices("kinesis", error=error), Kind.KINESIS, KINESIS)


def test_messages_must_stay_hidden_for_as_long_as_the_function_may_run() -> None:
    with pytest.raises(ApiError) as refused:
        check(FakeServices("sqs"), Kind.SQS, QUEUE, 31)
    assert refused.value.message == (
        "Queue visibility timeout: 30 seconds is less than Function timeout: 31 seconds"
    )

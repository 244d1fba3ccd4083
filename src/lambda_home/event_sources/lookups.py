"""Whether the source of a mapping exists, asked at the service that has it.

Nothing is asked where no endpoint is configured for that service.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambda_home.arns import Scope
from lambda_home.errors import InvalidParameterValueException, ServiceException
from lambda_home.event_sources.kinds import QUEUES, Kind
from lambda_home.services import ServiceCallError, Services

_NO_QUEUE = "AWS.SimpleQueueService.NonExistentQueue"
_NO_QUEUE_CODES = frozenset({_NO_QUEUE, "QueueDoesNotExist"})


async def check_source(
    services: Services, scope: Scope, kind: Kind, arn: str, function_timeout_s: int
) -> None:
    """Check that a source exists, and that messages of a queue stay hidden while a function runs.

    Raises InvalidParameterValueException in AWS's words, ServiceException if the service that has
    the source cannot be reached. Sources of the other kinds are not looked at.
    """
    if kind in QUEUES and services.reaches("sqs"):
        await _check_queue(services, scope, arn, function_timeout_s)
    elif kind is Kind.KINESIS and services.reaches("kinesis"):
        await _check_stream(services, scope, arn, "kinesis", "DescribeStreamSummary")
    elif kind is Kind.DYNAMODB and services.reaches("dynamodbstreams"):
        await _check_stream(services, scope, arn, "dynamodbstreams", "DescribeStream")


async def _check_queue(services: Services, scope: Scope, arn: str, timeout_s: int) -> None:
    _, _, _, region, account, name = arn.split(":", 5)
    queue = Scope(account or scope.account, region or scope.region)
    try:
        url = await services.call(queue, "sqs", "GetQueueUrl", {"QueueName": name})
        wanted = {"QueueUrl": url["QueueUrl"], "AttributeNames": ["VisibilityTimeout"]}
        found = await services.call(queue, "sqs", "GetQueueAttributes", wanted)
    except ServiceCallError as error:
        if not error.code:
            raise ServiceException(str(error)) from error
        missing = error.code in _NO_QUEUE_CODES
        code = _NO_QUEUE if missing else error.code
        detail = "The specified queue does not exist." if missing else error.detail
        raise InvalidParameterValueException(
            f"Error occurred while ReceiveMessage. SQS Error Code: {code}. SQS Error Message:"
            f" {detail}"
        ) from error
    attributes: Mapping[str, str] = found.get("Attributes", {})
    hidden_s = int(attributes.get("VisibilityTimeout", timeout_s))
    if hidden_s < timeout_s:
        raise InvalidParameterValueException(
            f"Queue visibility timeout: {hidden_s} seconds is less than Function timeout:"
            f" {timeout_s} seconds"
        )


async def _check_stream(
    services: Services, scope: Scope, arn: str, service: str, operation: str
) -> None:
    _, _, _, region, account, resource = arn.split(":", 5)
    stream = Scope(account or scope.account, region or scope.region)
    params: dict[str, Any] = {"StreamArn": arn}
    if service == "kinesis":
        params = {"StreamName": resource.split("/")[1]}
    try:
        await services.call(stream, service, operation, params)
    except ServiceCallError as error:
        if error.code == "ResourceNotFoundException":
            raise InvalidParameterValueException(f"Stream not found: {arn}") from error
        if not error.code:
            raise ServiceException(str(error)) from error
        # A service that answers but cannot tell (an emulator without streams) refuses nothing.

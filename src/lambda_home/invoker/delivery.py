"""Sends what `destinations` has written to where it belongs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from lambda_home.arns import FunctionRef, Scope
from lambda_home.errors import ApiError, LambdaHomeError
from lambda_home.invocations import InvocationRequest, InvocationType
from lambda_home.invoker.destinations import Parcel
from lambda_home.invoker.invoker import Invoker
from lambda_home.services import ServiceCallError, Services

_log = structlog.get_logger(__name__)


class DeliveryError(LambdaHomeError):
    """A parcel did not arrive; it may be sent again."""


class Deliverer:
    """Functions get parcels as events through the invoker, other services through `services`."""

    def __init__(self, invoker: Invoker, services: Services) -> None:
        self._invoker = invoker
        self._services = services
        self._queue_urls: dict[str, str] = {}

    async def deliver(self, parcel: Parcel, sender: Scope) -> None:
        """Send `parcel` from a function of `sender`.

        Raises DeliveryError if it did not arrive. What is for a service without an endpoint is
        dropped with a warning.
        """
        scope = _scope(parcel.target, sender)
        service = parcel.service
        send = {"sqs": self._sqs, "sns": self._sns, "events": self._events, "s3": self._s3}
        try:
            if service == "lambda":
                await self._invoke(parcel, scope)
            elif service not in send or not self._services.reaches(service):
                _log.warning(
                    "no endpoint for a destination: set aws.endpoint_url or aws.endpoints",
                    target=parcel.target,
                )
            else:
                await send[service](parcel, scope)
        except (ApiError, ServiceCallError) as error:
            raise DeliveryError(f"{parcel.target}: {error}") from error

    async def _invoke(self, parcel: Parcel, scope: Scope) -> None:
        request = InvocationRequest(
            parcel.body.encode(), InvocationType.EVENT, trace_id=parcel.trace_id
        )
        await self._invoker.invoke(FunctionRef.parse(scope, parcel.target), request)

    async def _sqs(self, parcel: Parcel, scope: Scope) -> None:
        url = self._queue_urls.get(parcel.target)
        if url is None:
            name = parcel.target.rsplit(":", 1)[1]
            found = await self._services.call(scope, "sqs", "GetQueueUrl", {"QueueName": name})
            url = self._queue_urls[parcel.target] = found["QueueUrl"]
        params: dict[str, Any] = {"QueueUrl": url, "MessageBody": parcel.body}
        if parcel.attributes:
            params["MessageAttributes"] = _attributes(parcel)
        if parcel.trace_id:
            trace = {"DataType": "String", "StringValue": parcel.trace_id}
            params["MessageSystemAttributes"] = {"AWSTraceHeader": trace}
        try:
            await self._services.call(scope, "sqs", "SendMessage", params)
        except ServiceCallError:
            self._queue_urls.pop(parcel.target, None)  # the queue may be another one by now
            raise

    async def _sns(self, parcel: Parcel, scope: Scope) -> None:
        params: dict[str, Any] = {"TopicArn": parcel.target, "Message": parcel.body}
        if parcel.attributes:
            params["MessageAttributes"] = _attributes(parcel)
        await self._services.call(scope, "sns", "Publish", params)

    async def _events(self, parcel: Parcel, scope: Scope) -> None:
        entry = {
            "EventBusName": parcel.target,
            "Source": "lambda",
            "DetailType": parcel.detail_type,
            "Detail": parcel.body,
            "Resources": list(parcel.resources),
            "Time": datetime.fromtimestamp(parcel.at, UTC),
        }
        answer = await self._services.call(scope, "events", "PutEvents", {"Entries": [entry]})
        if answer.get("FailedEntryCount"):
            raise ServiceCallError(json.dumps(answer.get("Entries")))

    async def _s3(self, parcel: Parcel, scope: Scope) -> None:
        params = {
            "Bucket": parcel.target.rsplit(":", 1)[1],
            "Key": parcel.key,
            "Body": parcel.body.encode(),
            "ContentType": "application/json",
        }
        await self._services.call(scope, "s3", "PutObject", params)


def _scope(target: str, sender: Scope) -> Scope:
    """Account and region of an ARN; the sender's where it has none, as an S3 bucket's."""
    parts = target.split(":")
    region, account = parts[3:5] if len(parts) > 5 else ("", "")  # noqa: PLR2004
    return Scope(account or sender.account, region or sender.region)


def _attributes(parcel: Parcel) -> Mapping[str, Mapping[str, str]]:
    return {
        name: {"DataType": kind, "StringValue": value}
        for name, (kind, value) in parcel.attributes.items()
    }

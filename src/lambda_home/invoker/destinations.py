"""What AWS sends when an asynchronous invocation has ended: pure, exact records.

Destinations get a record of the invocation, dead-letter queues the event itself. Sources:
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html and records that
were recorded on AWS.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from lambda_home.invoker.retries import Condition

MAXIMUM_ERROR_MESSAGE = 1024
RATE_EXCEEDED = "Rate Exceeded."
# AWS's spelling.
NOT_INVOKED = "Function not invoked. Function isconfigured with zero reserved concurrent executions"


@dataclass(frozen=True, slots=True)
class Response:
    """How the last try was answered.

    `status` is 200 where the function ran, whatever it did, else that of the refusal; then there is
    neither `version` nor `payload`.
    """

    status: int
    version: str = ""
    error: str | None = None
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """An event and how it ended; `function_arn` has the qualifier, `response` is the last try's."""

    request_id: str
    function_arn: str
    condition: Condition
    invoke_count: int
    payload: bytes
    ended_at: float
    response: Response | None = None
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One thing to send to one ARN. `attributes` are names with data type and value.

    `key` is the name of an S3 object; `detail_type` and `resources` are for an event bus.
    """

    target: str
    body: str
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    key: str = ""
    detail_type: str = ""
    resources: Sequence[str] = ()
    at: float = 0.0
    trace_id: str = ""

    @property
    def service(self) -> str:
        """The service part of the target's ARN, "" where it is no ARN."""
        parts = self.target.split(":", 5)
        return parts[2] if len(parts) == 6 else ""  # noqa: PLR2004  the parts of an ARN


def record(ending: Ending) -> str:
    """The record that a destination gets, as JSON; payloads stand in it as they were sent."""
    members = [
        '"version":"1.0"',
        f'"timestamp":"{_timestamp(ending.ended_at)}"',
        '"requestContext":'
        + _dumps(
            {
                "requestId": ending.request_id,
                "functionArn": ending.function_arn,
                "condition": str(ending.condition),
                "approximateInvokeCount": ending.invoke_count,
            }
        ),
        f'"requestPayload":{_fragment(ending.payload)}',
    ]
    response = ending.response
    if response is not None:
        context: dict[str, Any] = {"statusCode": response.status}
        if response.version:
            context["executedVersion"] = response.version
        if response.error is not None:
            context["functionError"] = response.error
        members.append(f'"responseContext":{_dumps(context)}')
        if response.payload is not None:
            members.append(f'"responsePayload":{_fragment(response.payload)}')
    return "{" + ",".join(members) + "}"


def destination_parcel(ending: Ending, target: str, parcel_id: str) -> Parcel:
    """The record of `ending` for `target`; `parcel_id` makes the name of an S3 object unique."""
    outcome = "Success" if ending.condition is Condition.SUCCESS else "Failure"
    name = ending.function_arn.split(":")[6]
    moment = datetime.fromtimestamp(ending.ended_at, UTC)
    return Parcel(
        target,
        record(ending),
        key=f"aws/lambda/async/{name}/{moment:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{parcel_id}",
        detail_type=f"Lambda Function Invocation Result - {outcome}",
        resources=(target, ending.function_arn),
        at=ending.ended_at,
        trace_id=ending.trace_id,
    )


def dead_letter_parcel(ending: Ending, target: str) -> Parcel:
    """The event itself, with why it failed as attributes."""
    attributes = {
        "RequestID": ("String", ending.request_id),
        "ErrorMessage": ("String", _error_message(ending)[:MAXIMUM_ERROR_MESSAGE] or "-"),
    }
    if ending.response is not None:
        attributes["ErrorCode"] = ("Number", str(ending.response.status))
    body = ending.payload.decode("utf-8", "replace")
    return Parcel(target, body, attributes, at=ending.ended_at, trace_id=ending.trace_id)


def pack(parcels: Sequence[Parcel]) -> str:
    """Parcels as a text to be stored."""
    return json.dumps([asdict(parcel) for parcel in parcels], separators=(",", ":"))


def unpack(text: str) -> list[Parcel]:
    """The parcels of `pack`."""
    return [
        Parcel(**{**members, "attributes": {k: tuple(v) for k, v in members["attributes"].items()}})
        for members in json.loads(text)
    ]


def _timestamp(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def _dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _fragment(data: bytes) -> str:
    """A payload as it is; as a JSON text where it is no JSON (a runtime of one's own wrote it)."""
    try:
        text = data.decode("utf-8")
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return _dumps(data.decode("utf-8", "replace"))
    return text


def _error_message(ending: Ending) -> str:
    response = ending.response
    if response is None:
        stopped = ending.condition is Condition.ZERO_RESERVED_CONCURRENCY
        return NOT_INVOKED if stopped else str(ending.condition)
    if response.payload is None:
        return RATE_EXCEEDED if response.status == 429 else str(ending.condition)  # noqa: PLR2004
    text = response.payload.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return text
    message = document.get("errorMessage") if isinstance(document, dict) else None
    return message if isinstance(message, str) else text

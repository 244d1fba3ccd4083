"""From an operation's result or an error to status, headers and body.

Lambda answers JSON: timestamps are seconds since the epoch, blobs base64, members that are None are
left out. `InvokeWithResponseStream` has a framing of its own, which is not done here: its result
gives status and headers only.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import Any

from lambda_home.errors import ApiError, TooManyRequestsException
from lambda_home.user_api.protocol.model import Operation, Shape, operation

Answer = tuple[int, dict[str, str], bytes]
Writer = Callable[[Any], Any]
_JSON = {"content-type": "application/json"}
_MICROSECONDS = 6


def serialize(operation_name: str, result: Mapping[str, Any] | None = None) -> Answer:
    """Write the result of an operation: status, headers, body.

    The status is the operation's `StatusCode` member where the result has one, else the model's.
    Raises TypeError for a member that the operation's output does not have.
    """
    model = operation(operation_name)
    status = model.status
    headers: dict[str, str] = {}
    document: dict[str, Any] = {}
    payload: bytes | None = None
    for name, value in (result or {}).items():
        member = model.output.members.get(name)
        if member is None:
            raise TypeError(f"{operation_name} has no output member {name}")
        if value is None:
            continue
        if name == model.output_payload:
            payload = value
        elif member.location == "statusCode":
            status = int(value)
        elif member.location == "header":
            headers[member.wire] = str(value)
        else:
            document[member.wire] = _writer(member.shape)(value)
    if model.output_payload is not None:
        return _payload_answer(model, status, headers, payload)
    if status == HTTPStatus.NO_CONTENT:
        return status, headers, b""
    return status, {**_JSON, **headers}, _encode(document)


def _payload_answer(
    model: Operation, status: int, headers: dict[str, str], payload: bytes | None
) -> Answer:
    shape = model.output.members[model.output_payload or ""].shape
    if shape.kind != "blob":
        return status, headers, b""
    return status, {**_JSON, **headers}, payload or b""


def serialize_error(error: ApiError) -> Answer:
    """Write an error: AWS's code goes into a header, 429 says when to come back."""
    headers = {**_JSON, "x-amzn-ErrorType": error.code}
    if isinstance(error, TooManyRequestsException):
        headers["Retry-After"] = str(error.retry_after_s)
    return error.status, headers, _encode(error.body())


def document_of(shape: Shape, value: Mapping[str, Any]) -> dict[str, Any]:
    """A structure as its JSON document. Raises TypeError for a member that the shape has not."""
    document: dict[str, Any] = _writer(shape)(value)
    return document


def _encode(document: Mapping[str, Any]) -> bytes:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace")


@cache
def _writer(shape: Shape) -> Writer:
    match shape.kind:
        case "structure":
            return _structure_writer(shape)
        case "list" | "map" if shape.element is not None:
            return _collection_writer(shape, _writer(shape.element))
        case "blob":
            return lambda value: base64.b64encode(value).decode("ascii")
        case "timestamp":
            return _epoch
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _structure_writer(shape: Shape) -> Writer:
    members = {
        member.name: (member.wire, _writer(member.shape)) for member in shape.members.values()
    }

    def write(value: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, item in value.items():
            if item is not None:
                if name not in members:
                    raise TypeError(f"{shape.name} has no member {name}")
                wire, writer = members[name]
                found[wire] = writer(item)
        return found

    return write


def _collection_writer(shape: Shape, writer: Writer) -> Writer:
    if shape.key is not None:
        return lambda value: {key: writer(item) for key, item in value.items()}
    return lambda value: [writer(item) for item in value]


def _epoch(value: datetime | float) -> float:
    """Seconds since the epoch: an integer where they are whole, as AWS writes them."""
    seconds = value.timestamp() if isinstance(value, datetime) else value
    rounded = round(seconds, _MICROSECONDS)
    return int(rounded) if rounded == int(rounded) else rounded

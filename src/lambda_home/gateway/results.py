"""What a function gives, as an HTTP response; pure.

Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
(format 1.0), https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
(format 2.0), https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html (function URLs).
Plain strings, and objects with a `body` alone, are taken in format 1.0 as Lambda@Home takes them.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from lambda_home.gateway.errors import (
    TIMED_OUT,
    MalformedResponseError,
    PayloadFormat,
    bad_gateway,
    error_response,
    timed_out,
)
from lambda_home.gateway.messages import HttpResponse, TextFields
from lambda_home.invocations import InvocationResult

PRELUDE_TYPE: Final = "application/vnd.awslambda.http-integration-response"
PRELUDE_END: Final = b"\0" * 8

_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_HTTP_API_TEXT: Final = "text/plain;charset=UTF-8"
_STREAM: Final = "application/octet-stream"
_STATUS = re.compile(r"[1-5]\d\d")
_LOWEST, _HIGHEST = 100, 599


def to_response(
    outcome: InvocationResult | Exception,
    payload_format: PayloadFormat,
    default_type: str | None = None,
) -> HttpResponse:
    """What a caller gets for an outcome.

    `default_type` is the content type of a body whose function names none (None: as API Gateway has
    it in this format). Raises MalformedResponseError for a result that is no response.
    """
    if isinstance(outcome, Exception):
        return error_response(outcome, payload_format)
    if outcome.error_type is not None or outcome.function_error is not None:
        is_late = outcome.error_type == TIMED_OUT
        return timed_out(payload_format) if is_late else bad_gateway(payload_format)
    if payload_format is PayloadFormat.V1:
        return response_v1(outcome.payload, default_type or _JSON)
    return response_v2(outcome.payload, default_type or _HTTP_API_TEXT)


def response_v1(payload: bytes, default_type: str = _JSON) -> HttpResponse:
    """The response that a result of format 1.0 describes."""
    given = _read(payload)
    if isinstance(given, HttpResponse):
        return given
    if isinstance(given, str):
        return HttpResponse(200, [("content-type", _TEXT)], _utf8(given))
    if isinstance(given, dict) and "statusCode" in given:
        return described(given, default_type)
    if isinstance(given, dict) and "body" in given:
        body = given["body"]
        text = body if body is None or isinstance(body, str) else json.dumps(body)
        return described({**given, "body": text}, default_type)
    return HttpResponse(200, [("content-type", _JSON)], payload)


def response_v2(payload: bytes, default_type: str = _HTTP_API_TEXT) -> HttpResponse:
    """The response that a result of format 2.0 describes; without `statusCode` it is the body."""
    given = _read(payload)
    if isinstance(given, HttpResponse):
        return given
    if isinstance(given, dict) and "statusCode" in given:
        return described(given, default_type)
    body = _utf8(given) if isinstance(given, str) else payload
    return HttpResponse(200, [("content-type", _JSON)], body)


def described(given: Mapping[str, Any], default_type: str) -> HttpResponse:
    """The response that an object with `statusCode`, `headers`, `body` and so on describes."""
    fields = _fields(given)
    body = _body(given)
    if body and not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("content-type", default_type))
    return HttpResponse(_status(given), fields, body)


def stream_response(content_type: str, prelude: bytes | None) -> HttpResponse:
    """The head of a streamed response: by its prelude, else by the content type of the stream."""
    if prelude is None:
        return HttpResponse(200, [("content-type", content_type or _STREAM)])
    try:
        given = json.loads(prelude)
    except (ValueError, RecursionError):
        raise MalformedResponseError("The prelude of the response is not JSON.") from None
    if not isinstance(given, dict):
        raise MalformedResponseError("The prelude of the response is not a JSON object.")
    fields = _fields(given)
    if not any(name.lower() == "content-type" for name, _ in fields):
        fields.append(("content-type", _STREAM))
    return HttpResponse(_status(given), fields)


def _read(payload: bytes) -> Any:
    """A result as JSON, or the response that was streamed to nobody who reads along."""
    if not payload:
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        prelude, found, body = payload.partition(PRELUDE_END)
        if not found:
            raise MalformedResponseError("The result is not JSON.") from None
    response = stream_response("", prelude)
    response.body = body
    return response


def _status(given: Mapping[str, Any]) -> int:
    status = given.get("statusCode", 200)
    if isinstance(status, str) and _STATUS.fullmatch(status):
        return int(status)
    if isinstance(status, bool) or not isinstance(status, int | float):
        raise MalformedResponseError("statusCode is not a number.")
    if not _LOWEST <= status <= _HIGHEST or status != int(status):
        raise MalformedResponseError(f"statusCode is no whole number from {_LOWEST} to {_HIGHEST}.")
    return int(status)


def _fields(given: Mapping[str, Any]) -> TextFields:
    several: TextFields = []
    for name, values in _members(given, "multiValueHeaders"):
        if not isinstance(values, list):
            raise MalformedResponseError("A value in multiValueHeaders is not a list.")
        several.extend((name, _text(value)) for value in values if value is not None)
    single = [
        (name, _text(value)) for name, value in _members(given, "headers") if value is not None
    ]
    if several:
        # Both are merged; what is in both counts once.
        known = {(name.lower(), value) for name, value in several}
        single = [pair for pair in single if (pair[0].lower(), pair[1]) not in known]
    return single + several + [("set-cookie", cookie) for cookie in _cookies(given)]


def _members(given: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    members = given.get(name)
    if members is None:
        return []
    if not isinstance(members, dict):
        raise MalformedResponseError(f"{name} is not an object.")
    return list(members.items())


def _cookies(given: Mapping[str, Any]) -> list[str]:
    cookies = given.get("cookies")
    if cookies is None:
        return []
    if not isinstance(cookies, list) or not all(isinstance(cookie, str) for cookie in cookies):
        raise MalformedResponseError("cookies is not a list of strings.")
    return cookies


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise MalformedResponseError("The value of a header is neither text nor a number.")


def _body(given: Mapping[str, Any]) -> bytes:
    body, is_base64 = given.get("body"), given.get("isBase64Encoded")
    if is_base64 is not None and not isinstance(is_base64, bool):
        raise MalformedResponseError("isBase64Encoded is neither true nor false.")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise MalformedResponseError("body is not a string.")
    if not is_base64:
        return _utf8(body)
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedResponseError("body is not base64.") from None


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")

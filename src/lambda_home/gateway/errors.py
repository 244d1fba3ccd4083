"""What goes wrong between a caller and a function, in API Gateway's words; pure.

Sources: https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
and answers of API Gateway as its users report them. Where HTTP APIs say 500 for a broken function
or 503 for a slow one, the statuses here are those of REST APIs, 502 and 504, which tell more.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Final

from lambda_home.errors import (
    ApiError,
    LambdaHomeError,
    RequestEntityTooLargeException,
    RequestTooLargeException,
    ResourceNotFoundException,
    ServiceException,
    ServiceUnavailableException,
    TooManyRequestsException,
)
from lambda_home.gateway.messages import HttpResponse

TIMED_OUT: Final = "Sandbox.Timedout"
_UNAUTHORIZED, _FORBIDDEN = 401, 403


class PayloadFormat(StrEnum):
    """How events and results look: REST APIs' way (1.0), or that of HTTP APIs (2.0)."""

    V1 = "1.0"
    V2 = "2.0"


class MalformedResponseError(LambdaHomeError):
    """What a function gave is no HTTP response; the message says why, for the log."""


class IntegrationTimeoutError(LambdaHomeError):
    """The function took longer than its route waits."""


class RouteNotFoundError(LambdaHomeError):
    """Neither a route nor a function has this path."""


def message_response(status: int, message: str) -> HttpResponse:
    """`{"message": ...}` with a status, as API Gateway answers whatever it answers itself."""
    body = json.dumps({"message": message}, ensure_ascii=False).encode("utf-8", "replace")
    return HttpResponse(status, [("content-type", "application/json")], body)


def error_response(error: Exception, payload_format: PayloadFormat) -> HttpResponse:
    """What a caller is told of anything but a result."""
    status, message = _status_and_message(error, payload_format)
    response = message_response(status, message)
    if isinstance(error, TooManyRequestsException):
        response.fields.append(("retry-after", str(error.retry_after_s)))
    return response


def bad_gateway(payload_format: PayloadFormat) -> HttpResponse:
    """What a caller is told of a function that failed."""
    return message_response(502, _internal(payload_format))


def timed_out(payload_format: PayloadFormat) -> HttpResponse:
    """What a caller is told of a function that took too long."""
    del payload_format
    return message_response(504, "Endpoint request timed out")


def _status_and_message(error: Exception, payload_format: PayloadFormat) -> tuple[int, str]:
    for kinds, status, message in (
        (RouteNotFoundError, 404, "Not Found"),
        (IntegrationTimeoutError, 504, "Endpoint request timed out"),
        (TooManyRequestsException, 429, "Too Many Requests"),
        ((RequestTooLargeException, RequestEntityTooLargeException), 413, _long(payload_format)),
        (ServiceUnavailableException, 503, "Service Unavailable"),
    ):
        if isinstance(error, kinds):
            return status, message
    if isinstance(error, ApiError) and error.status in {_UNAUTHORIZED, _FORBIDDEN}:
        fallback = "Forbidden" if error.status == _FORBIDDEN else "Unauthorized"
        return error.status, error.message or fallback
    is_ours = isinstance(error, ServiceException) or not isinstance(error, LambdaHomeError)
    return (500 if is_ours else 502), _internal(payload_format)


def is_no_such_function(error: Exception) -> bool:
    """Whether a function that was named does not exist."""
    return isinstance(error, ResourceNotFoundException)


def _internal(payload_format: PayloadFormat) -> str:
    is_rest = payload_format is PayloadFormat.V1
    return "Internal server error" if is_rest else "Internal Server Error"


def _long(payload_format: PayloadFormat) -> str:
    is_rest = payload_format is PayloadFormat.V1
    return "Request Too Long" if is_rest else "Request Entity Too Large"

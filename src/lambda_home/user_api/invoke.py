"""Invoke: the one operation that is a bare ASGI endpoint, because it is the hot path.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
import uuid

import structlog

from lambda_home.errors import ApiError, ServiceException
from lambda_home.http_io import ClientGone, Headers, Receive, Scope, Send, answer
from lambda_home.invocations import InvocationResult
from lambda_home.invoker.invoker import Invoker
from lambda_home.user_api.callers import Callers
from lambda_home.user_api.invoke_requests import (
    named_function,
    read_function,
    read_request,
    send_error,
)

PREFIX = b"/2015-03-31/functions/"
SUFFIX = b"/invocations"

_log = structlog.get_logger(__name__)


def invoked_function(scope: Scope) -> str | None:
    """The function name of an Invoke request, percent-decoded; None for any other request."""
    return named_function(scope, PREFIX, SUFFIX)


class InvokeEndpoint:
    """Reads an Invoke request, calls the invoker and writes the answer."""

    def __init__(self, invoker: Invoker, callers: Callers) -> None:
        self._invoker = invoker
        self._callers = callers

    async def __call__(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id = str(uuid.uuid4())
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            caller = self._callers.scope_of(headers.get(b"authorization"))
            ref = read_function("Invoke", name, scope, headers, caller)
            request = await read_request(request_id, headers, receive)
            result = await self._invoker.invoke(ref, request)
        except ApiError as error:
            await send_error(send, error, request_id)
        except ClientGone:
            return
        except Exception:
            _log.exception("an invoke failed", function=name, req_id=request_id)
            failure = ServiceException("The service encountered an internal error.")
            await send_error(send, failure, request_id)
        else:
            await answer(send, result.status, result.payload, _headers(result))


def _headers(result: InvocationResult) -> Headers:
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"x-amzn-requestid", result.request_id.encode()),
    ]
    if result.status == 200:  # noqa: PLR2004  the only status with an executed version
        headers.append((b"x-amz-executed-version", result.executed_version.encode()))
    if result.function_error is not None:
        headers.append((b"x-amz-function-error", result.function_error.encode()))
    if result.log_tail is not None:
        headers.append((b"x-amz-log-result", base64.b64encode(result.log_tail)))
    return headers

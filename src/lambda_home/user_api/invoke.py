"""Invoke: the one operation that is a bare ASGI endpoint, because it is the hot path.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import uuid
from urllib.parse import parse_qs, unquote

import structlog

from lambda_home.arns import FunctionRef
from lambda_home.arns import Scope as CallerScope
from lambda_home.errors import ApiError, InvalidRequestContentException, ServiceException
from lambda_home.http_io import (
    BodyTooLarge,
    ClientGone,
    Headers,
    Receive,
    Scope,
    Send,
    answer,
    discard_rest,
    read_body,
)
from lambda_home.invocations import (
    SYNC_PAYLOAD_LIMIT,
    InvocationRequest,
    InvocationResult,
    InvocationType,
)
from lambda_home.invoker.invoker import Invoker
from lambda_home.invoker.payloads import payload_too_large
from lambda_home.user_api.callers import Callers
from lambda_home.user_api.protocol import Answer, serialize_error, validate

PREFIX = b"/2015-03-31/functions/"
SUFFIX = b"/invocations"
_PLAIN_NAME = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_TYPES = {kind.value.encode(): kind for kind in InvocationType}
_MOST_DISCARDED = 64 * 1024 * 1024

_log = structlog.get_logger(__name__)


def invoked_function(scope: Scope) -> str | None:
    """The function name of an Invoke request, percent-decoded; None for any other request."""
    if scope["method"] != "POST":
        return None
    path: bytes = scope["raw_path"]
    if not path.startswith(PREFIX):
        return None
    path = path.removesuffix(b"/")
    if not path.endswith(SUFFIX):
        return None
    name = path[len(PREFIX) : -len(SUFFIX)]
    return None if b"/" in name or not name else unquote(name.decode("latin-1"))


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
            ref = self._function(name, scope, headers, caller)
            request = await self._request(request_id, headers, receive)
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

    @staticmethod
    def _function(
        name: str, scope: Scope, headers: dict[bytes, bytes], caller: CallerScope
    ) -> FunctionRef:
        query: bytes = scope["query_string"]
        given_type = headers.get(b"x-amz-invocation-type")
        if not query and _PLAIN_NAME.fullmatch(name) and (given_type or b"Event") in _TYPES:
            return FunctionRef(caller, name)
        values = parse_qs(query.decode("latin-1"), keep_blank_values=True)
        qualifier = values["Qualifier"][0] if "Qualifier" in values else None
        params: dict[str, object] = {"FunctionName": name}
        if qualifier is not None:
            params["Qualifier"] = qualifier
        if given_type is not None:
            params["InvocationType"] = given_type.decode("latin-1")
        validate("Invoke", params)
        return FunctionRef.parse(caller, name, qualifier)

    @staticmethod
    async def _request(
        request_id: str, headers: dict[bytes, bytes], receive: Receive
    ) -> InvocationRequest:
        try:
            payload = await read_body(receive, SYNC_PAYLOAD_LIMIT)
        except BodyTooLarge as refused:
            await discard_rest(refused, receive, _MOST_DISCARDED)
            raise payload_too_large() from None
        context = headers.get(b"x-amz-client-context")
        return InvocationRequest(
            payload,
            _TYPES[headers.get(b"x-amz-invocation-type", b"RequestResponse")],
            tail=headers.get(b"x-amz-log-type") == b"Tail",
            client_context=_client_context(context) if context else "",
            trace_id=headers.get(b"x-amzn-trace-id", b"").decode("latin-1"),
            request_id=request_id,
        )


def _client_context(value: bytes) -> str:
    try:
        text = base64.b64decode(value, validate=True).decode("utf-8")
        json.loads(text)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidRequestContentException(
            "Client context must be a valid Base64-encoded JSON object."
        ) from error
    return text


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


async def send_error(send: Send, error: ApiError, request_id: str) -> None:
    """Write an error in AWS's shape."""
    await send_answer(send, serialize_error(error), request_id)


async def send_answer(send: Send, given: Answer, request_id: str) -> None:
    """Write what the wire codec has made of a result or an error."""
    status, headers, body = given
    wire: Headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    wire.append((b"x-amzn-requestid", request_id.encode()))
    await answer(send, status, body, wire)

"""What the operations that invoke functions read and write in the same way."""

from __future__ import annotations

import base64
import binascii
import json
import re
from urllib.parse import parse_qs, unquote

from lambda_home.arns import FunctionRef
from lambda_home.arns import Scope as CallerScope
from lambda_home.errors import ApiError, InvalidRequestContentException
from lambda_home.http_io import (
    BodyTooLarge,
    Headers,
    Receive,
    Scope,
    Send,
    answer,
    discard_rest,
    read_body,
)
from lambda_home.invocations import SYNC_PAYLOAD_LIMIT, InvocationRequest, InvocationType
from lambda_home.invoker.payloads import payload_too_large
from lambda_home.user_api.protocol import Answer, serialize_error, validate

_PLAIN_NAME = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_TYPES = {kind.value.encode(): kind for kind in InvocationType}
_MOST_DISCARDED = 64 * 1024 * 1024


def named_function(scope: Scope, prefix: bytes, suffix: bytes) -> str | None:
    """The function name between two parts of a path, percent-decoded; None for another path."""
    if scope["method"] != "POST":
        return None
    path: bytes = scope["raw_path"]
    if not path.startswith(prefix):
        return None
    path = path.removesuffix(b"/")
    if not path.endswith(suffix):
        return None
    name = path[len(prefix) : -len(suffix)]
    return None if b"/" in name or not name else unquote(name.decode("latin-1"))


def read_function(
    operation: str,
    name: str,
    scope: Scope,
    headers: dict[bytes, bytes],
    caller: CallerScope,
) -> FunctionRef:
    """The function that is invoked. Raises ApiError in the words of `operation`'s model."""
    query: bytes = scope["query_string"]
    given_type = headers.get(b"x-amz-invocation-type")
    tenant = headers.get(b"x-amz-tenant-id")
    usual = operation == "Invoke" and not query and tenant is None
    if usual and _PLAIN_NAME.fullmatch(name) and (given_type or b"Event") in _TYPES:
        return FunctionRef(caller, name)
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    qualifier = values["Qualifier"][0] if "Qualifier" in values else None
    params: dict[str, object] = {"FunctionName": name}
    if qualifier is not None:
        params["Qualifier"] = qualifier
    if given_type is not None:
        params["InvocationType"] = given_type.decode("latin-1")
    if tenant is not None:
        params["TenantId"] = tenant.decode("latin-1")
    validate(operation, params)
    return FunctionRef.parse(caller, name, qualifier)


async def read_request(
    request_id: str, headers: dict[bytes, bytes], receive: Receive
) -> InvocationRequest:
    """What is asked for, with its whole payload. Raises ApiError and ClientGone."""
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
        tenant_id=headers.get(b"x-amz-tenant-id", b"").decode("latin-1"),
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


async def send_error(send: Send, error: ApiError, request_id: str) -> None:
    """Write an error in AWS's shape."""
    await send_answer(send, serialize_error(error), request_id)


async def send_answer(send: Send, given: Answer, request_id: str) -> None:
    """Write what the wire codec has made of a result or an error."""
    status, headers, body = given
    wire: Headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    wire.append((b"x-amzn-requestid", request_id.encode()))
    await answer(send, status, body, wire)

"""What the operations that invoke functions read and write in the same way."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from urllib.parse import parse_qs, unquote

from lambda_home.arns import FunctionRef, Scope
from lambda_home.errors import InvalidRequestContentException
from lambda_home.invocations import InvocationRequest, InvocationType
from lambda_home.trace_headers import of_traceparent
from lambda_home.user_api.protocol import validate

_PLAIN_NAME = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_TYPES = {kind.value.encode(): kind for kind in InvocationType}
_LOG_TYPES = frozenset({None, b"", b"None", b"Tail"})


def named_function(path: bytes, prefix: bytes, suffix: bytes) -> str | None:
    """The function name between two parts of a raw path, decoded; None for another path."""
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
    query: bytes,
    headers: dict[bytes, bytes],
    caller: Scope,
) -> FunctionRef:
    """The function that is invoked, of whatever account.

    Raises ApiError in the words of `operation`'s model.
    """
    given_type = headers.get(b"x-amz-invocation-type")
    tenant = headers.get(b"x-amz-tenant-id")
    log_type = headers.get(b"x-amz-log-type")
    usual = operation == "Invoke" and not query and tenant is None and log_type in _LOG_TYPES
    if usual and _PLAIN_NAME.fullmatch(name) and (given_type or b"Event") in _TYPES:
        return FunctionRef(caller, name)
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    qualifier = values["Qualifier"][0] if "Qualifier" in values else None
    params: dict[str, object] = {"FunctionName": name}
    if qualifier is not None:
        params["Qualifier"] = qualifier
    if given_type is not None:
        params["InvocationType"] = given_type.decode("latin-1")
    if log_type:
        params["LogType"] = log_type.decode("latin-1")
    if tenant is not None:
        params["TenantId"] = tenant.decode("latin-1")
    validate(operation, params)
    return FunctionRef.anywhere(caller, name, qualifier)


def request_of(request_id: str, headers: dict[bytes, bytes], payload: bytes) -> InvocationRequest:
    """What is asked for. Raises ApiError."""
    context = headers.get(b"x-amz-client-context")
    return InvocationRequest(
        payload,
        _TYPES[headers.get(b"x-amz-invocation-type") or b"RequestResponse"],
        tail=headers.get(b"x-amz-log-type") == b"Tail",
        client_context=_client_context(context) if context else "",
        trace_id=trace_of(headers),
        request_id=request_id,
        tenant_id=headers.get(b"x-amz-tenant-id", b"").decode("latin-1"),
    )


def trace_of(headers: dict[bytes, bytes]) -> str:
    """The trace that a caller continues, as an X-Ray header; empty if there is none."""
    own = headers.get(b"x-amzn-trace-id")
    if own:
        return own.decode("latin-1")
    w3c = headers.get(b"traceparent")
    return of_traceparent(w3c.decode("latin-1")) if w3c else ""


def new_request_id() -> str:
    """A random UUID (version 4) in the usual form, quicker than by way of a UUID object."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def _client_context(value: bytes) -> str:
    try:
        text = base64.b64decode(value, validate=True).decode("utf-8")
        json.loads(text)
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidRequestContentException(
            "Client context must be a valid Base64-encoded JSON object."
        ) from error
    return text

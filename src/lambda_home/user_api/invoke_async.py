"""InvokeAsync, the older way to invoke asynchronously.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_InvokeAsync.html
"""

from __future__ import annotations

from http import HTTPStatus

from lambda_home.errors import RequestTooLargeException
from lambda_home.invocations import InvocationRequest, InvocationType
from lambda_home.user_api.invoke_requests import new_request_id
from lambda_home.user_api.operations import Backend, Call, Result, operation

PAYLOAD_LIMIT = 262_144
"""Bytes; "Lambda quotas" of the Developer Guide as they were for this operation."""


@operation("InvokeAsync")
async def invoke_async(backend: Backend, call: Call) -> Result:
    """Queue an event. Raises as an Invoke of type Event does."""
    payload: bytes = call.params["InvokeArgs"]
    if len(payload) > PAYLOAD_LIMIT:
        raise RequestTooLargeException(
            f"{len(payload)} byte payload is too large for the InvokeAsync operation (limit"
            f" {PAYLOAD_LIMIT} bytes)"
        )
    request = InvocationRequest(
        payload, InvocationType.EVENT, request_id=call.request_id or new_request_id()
    )
    result = await backend.invoker.invoke(call.ref(), request)
    return {"Status": HTTPStatus(result.status)}

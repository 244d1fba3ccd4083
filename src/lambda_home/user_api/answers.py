"""Answers in AWS's shapes, written to ASGI."""

from __future__ import annotations

from lambda_home.errors import ApiError
from lambda_home.http_io import Headers, Send, answer
from lambda_home.user_api.protocol import Answer, serialize_error


async def send_error(send: Send, error: ApiError, request_id: str) -> None:
    """Write an error in AWS's shape."""
    await send_answer(send, serialize_error(error), request_id)


async def send_answer(send: Send, given: Answer, request_id: str) -> None:
    """Write what the wire codec has made of a result or an error."""
    status, headers, body = given
    wire: Headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    wire.append((b"x-amzn-requestid", request_id.encode()))
    await answer(send, status, body, wire)

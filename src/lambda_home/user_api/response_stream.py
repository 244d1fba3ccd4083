"""InvokeWithResponseStream: the response as an event stream, while the function writes it.

Sources: https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html,
https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from typing import Any

import structlog

from lambda_home.access.callers import caller_in
from lambda_home.access.cross_account import CrossAccount
from lambda_home.access.gate import Gate
from lambda_home.errors import ApiError, ServiceException
from lambda_home.http_io import (
    BodyTooLarge,
    ClientGone,
    Headers,
    Receive,
    Scope,
    Send,
    answer,
    discard_rest,
    is_gone,
    read_body,
    refuse_length,
)
from lambda_home.invocations import SYNC_PAYLOAD_LIMIT, InvocationResult, InvocationType
from lambda_home.invoker.invoker import Invoker
from lambda_home.invoker.payloads import payload_too_large
from lambda_home.invoker.response_streams import ResponseStream
from lambda_home.user_api.answers import send_error
from lambda_home.user_api.invoke_requests import (
    named_function,
    new_request_id,
    read_function,
    request_of,
)
from lambda_home.user_api.protocol.event_stream import invoke_complete, payload_chunk

_PREFIX = b"/2021-11-15/functions/"
_SUFFIX = b"/response-streaming-invocations"
_OPERATION = "InvokeWithResponseStream"
_LARGEST_CHUNK = 64 * 1024

_log = structlog.get_logger(__name__)


def streamed_function(scope: Scope) -> str | None:
    """The function name of such a request, percent-decoded; None for any other request."""
    if scope["method"] != "POST":
        return None
    return named_function(scope["raw_path"], _PREFIX, _SUFFIX)


class ResponseStreamEndpoint:
    """Serves InvokeWithResponseStream; functions that do not stream are answered all the same."""

    def __init__(self, invoker: Invoker, gate: Gate, others: CrossAccount) -> None:
        self._invoker = invoker
        self._gate = gate
        self._others = others

    async def __call__(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id = new_request_id()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        stream = ResponseStream()
        invoking: asyncio.Task[InvocationResult] | None = None
        try:
            caller = caller_in(scope)
            ref = read_function(_OPERATION, name, scope["query_string"], headers, caller.scope)
            self._gate.allow(caller, _OPERATION, ref.qualified_arn)
            if ref.scope.account != caller.scope.account:
                await self._others.check(caller.arn, ref, _OPERATION)
            request = request_of(request_id, headers, await _payload(scope, receive))
            asked = replace(request, sink=stream)
            invoking = asyncio.get_running_loop().create_task(self._invoker.invoke(ref, asked))
            either: set[asyncio.Future[Any]] = {invoking, stream.begun}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if request.invocation_type is InvocationType.DRY_RUN:
                result = await invoking
                await answer(send, result.status, b"", _plain_headers(result))
                return
            await self._stream(stream, invoking, request_id, receive, send)
        except ApiError as error:
            await send_error(send, error, request_id)
        except ClientGone:
            return
        except Exception:
            _log.exception("a streaming invoke failed", function=name, req_id=request_id)
            failure = ServiceException("The service encountered an internal error.")
            await send_error(send, failure, request_id)
        finally:
            stream.abandon()
            if invoking is not None and not invoking.done():
                await asyncio.wait({invoking})

    @staticmethod
    async def _stream(
        stream: ResponseStream,
        invoking: asyncio.Task[InvocationResult],
        request_id: str,
        receive: Receive,
        send: Send,
    ) -> None:
        if stream.begun.done():
            version, content_type = stream.begun.result()
        else:  # it failed, or answered as a whole
            version, content_type = (await invoking).executed_version, "application/json"
        headers: Headers = [
            (b"content-type", b"application/vnd.amazon.eventstream"),
            (b"transfer-encoding", b"chunked"),
            (b"x-amzn-requestid", request_id.encode()),
            (b"x-amz-executed-version", version.encode()),
            (b"x-amzn-remapped-content-type", content_type.encode("latin-1", "replace")),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while data := await stream.read(invoking):
            await _send_pieces(send, data)
            if is_gone(receive):
                return
        try:
            result = await invoking
        except ApiError as error:  # the answer has begun: only its last event can tell
            details = json.dumps(error.body())
            await _send(send, invoke_complete(type(error).__name__, details), more=False)
            return
        if result.error_type is None:
            await _send_pieces(send, result.payload)
        await _send(send, _complete(result), more=False)


async def _payload(scope: Scope, receive: Receive) -> bytes:
    try:
        refuse_length(scope["headers"], SYNC_PAYLOAD_LIMIT)
        return await read_body(receive, SYNC_PAYLOAD_LIMIT)
    except BodyTooLarge as refused:
        await discard_rest(refused, receive)
        raise payload_too_large() from None


async def _send_pieces(send: Send, data: bytes) -> None:
    for at in range(0, len(data), _LARGEST_CHUNK):
        await _send(send, payload_chunk(data[at : at + _LARGEST_CHUNK]))


async def _send(send: Send, data: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


def _complete(result: InvocationResult) -> bytes:
    failed = result.error_type is not None
    tail = None if result.log_tail is None else base64.b64encode(result.log_tail).decode()
    details = result.payload.decode("utf-8", "replace") if failed else None
    return invoke_complete(result.error_type, details, tail)


def _plain_headers(result: InvocationResult) -> Headers:
    return [(b"x-amzn-requestid", result.request_id.encode())]

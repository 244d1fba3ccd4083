"""The CloudWatch Logs API as an ASGI app; the gate has let the caller in, and at the operation."""

from __future__ import annotations

import asyncio
import uuid
from typing import Final

import structlog

from lambda_home.access.callers import caller_in
from lambda_home.clock import Clock
from lambda_home.cloudwatch import (
    events,
    groups,
    streams,
    subscription_filters,
    tags,
    wire,
)
from lambda_home.cloudwatch.identifiers import no_group
from lambda_home.cloudwatch.live_tail import LiveTails
from lambda_home.cloudwatch.names import REQUEST_LIMIT, operation_of
from lambda_home.cloudwatch.operations import LogsBackend, LogsCall, perform
from lambda_home.errors import (
    ApiError,
    ServiceUnavailableException,
    UnknownOperationException,
)
from lambda_home.http_io import (
    BodyTooLarge,
    ClientGone,
    Receive,
    Scope,
    Send,
    answer,
    discard_rest,
    read_body,
    refuse_length,
)
from lambda_home.logs.events import LogStoreUnavailable, NoSuchLogGroup

OPERATION_MODULES: Final = (events, groups, streams, subscription_filters, tags)
"""Modules whose operations are registered by being imported."""

RESOURCE: Final = "lambda_home.resource"
"""Where an ASGI scope says what a request was about, once it was read."""

_RESOURCES: Final = ("logGroupName", "logGroupIdentifier", "resourceArn")
_GZIPPED: Final = (b"content-encoding", b"gzip")
_TAIL: Final = "StartLiveTail"
_log = structlog.get_logger(__name__)


class LogsApi:
    """Serves operations of CloudWatch Logs; `close` it before the server stops."""

    def __init__(self, backend: LogsBackend, clock: Clock) -> None:
        self._backend = backend
        self._clock = clock
        self._tails = LiveTails(backend, clock.monotonic)

    def close(self) -> None:
        """End what would go on for hours."""
        self._tails.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id = str(uuid.uuid4())
        try:
            await self._serve(scope, receive, send, request_id)
        except ApiError as error:
            await send_error(send, error, request_id)
        except ClientGone:
            return
        except LogStoreUnavailable as error:
            _log.warning("the log store cannot be used", why=str(error))
            unavailable = ServiceUnavailableException(str(error))
            await send_error(send, unavailable, request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        name = operation_of(dict(scope["headers"]))
        if name is None or scope["method"] != "POST":
            raise UnknownOperationException(
                "CloudWatch Logs is asked by POST, and for an operation by X-Amz-Target."
            )
        body = await _read(scope, receive)
        if name == _TAIL:
            call = await asyncio.to_thread(self._read_call, name, body, scope)
            try:
                await self._tails.serve(call, request_id, receive, send)
            except NoSuchLogGroup:
                raise no_group() from None
            return
        content = await asyncio.to_thread(self._perform, name, body, scope)
        headers = [wire.CONTENT_TYPE, (b"x-amzn-requestid", request_id.encode())]
        await answer(send, 200, content, headers)

    def _read_call(self, name: str, body: bytes, scope: Scope) -> LogsCall:
        if _GZIPPED in scope["headers"]:
            body = wire.unpacked(body)
        params = wire.read(name, body)
        named = (params.get(member) for member in _RESOURCES)
        scope[RESOURCE] = next((value for value in named if value), "*")
        return LogsCall(caller_in(scope).scope, params, int(self._clock.now() * 1000))

    def _perform(self, name: str, body: bytes, scope: Scope) -> bytes:
        """The answer's body; blocks."""
        call = self._read_call(name, body, scope)
        try:
            return wire.write(name, perform(name, self._backend, call))
        except (ApiError, LogStoreUnavailable):
            raise
        except Exception:
            _log.exception("an operation on logs failed", operation=name)
            failed = "The service cannot complete the request."
            raise ServiceUnavailableException(failed) from None


async def send_error(send: Send, error: ApiError, request_id: str) -> None:
    """Answer with an error in the service's protocol."""
    status, headers, body = wire.write_error(error)
    await answer(send, status, body, [*headers, (b"x-amzn-requestid", request_id.encode())])


async def _read(scope: Scope, receive: Receive) -> bytes:
    try:
        refuse_length(scope["headers"], REQUEST_LIMIT)
        return await read_body(receive, REQUEST_LIMIT)
    except BodyTooLarge as refused:
        await discard_rest(refused, receive)
        raise wire.too_large() from None

"""Invoke: the one operation that is served past ASGI, because it is the hot path.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import asyncio
import base64
from http import HTTPStatus

import structlog

from lambda_home.access.cross_account import CrossAccount
from lambda_home.access.gate import Entry, Gate
from lambda_home.arns import FunctionRef
from lambda_home.direct_http import Body, BoundedBody, Fields, Head, Reply
from lambda_home.errors import ApiError, ServiceException
from lambda_home.http_io import declared_length, is_worth_reading
from lambda_home.invocations import SYNC_PAYLOAD_LIMIT, InvocationRequest, InvocationResult
from lambda_home.invoker.invoker import Invoker
from lambda_home.invoker.payloads import payload_too_large
from lambda_home.user_api.invoke_requests import (
    named_function,
    new_request_id,
    read_function,
    request_of,
)
from lambda_home.user_api.protocol import serialize_error

_PREFIX = b"/2015-03-31/functions/"
_SUFFIX = b"/invocations"
_MOST_DISCARDED = 64 * 1024 * 1024
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}

_log = structlog.get_logger(__name__)


class InvokeRoutes:
    """Serves Invoke; see `direct_http.Routes`."""

    def __init__(self, invoker: Invoker, gate: Gate, others: CrossAccount) -> None:
        self._invoker = invoker
        self._gate = gate
        self._others = others
        self._waiting: set[asyncio.Task[None]] = set()

    def begin(self, head: Head, reply: Reply) -> Body | None:
        """Take an Invoke's head; None for any other request."""
        if head.method != b"POST":
            return None
        name = named_function(head.path, _PREFIX, _SUFFIX)
        if name is None:
            return None
        try:
            entry = self._gate.enter(head)
        except ApiError as error:
            return Refused(error, head, reply)
        if declared_length(head.headers) > SYNC_PAYLOAD_LIMIT:
            return Refused(payload_too_large(), head, reply)
        return _Payload(self, name, head, entry, reply)

    def invoke(self, name: str, head: Head, entry: Entry, payload: bytes, reply: Reply) -> None:
        """A whole request has come."""
        request_id = new_request_id()
        try:
            caller = entry.prove(payload)
            payload = entry.content(payload)
            ref = read_function("Invoke", name, head.query, head.headers, caller.scope)
            self._gate.allow(caller, "Invoke", ref.qualified_arn)
            request = request_of(request_id, head.headers, payload)

            def told(outcome: InvocationResult | Exception) -> None:
                answer(reply, outcome, request_id)

            is_own = ref.scope.account == caller.scope.account
            if not (is_own and self._invoker.begin(ref, request, told)):
                waiting = self._wait(ref, request, reply, None if is_own else caller.arn)
                task = asyncio.get_running_loop().create_task(waiting)
                self._waiting.add(task)
                task.add_done_callback(self._waiting.discard)
        except Exception as error:
            answer(reply, error, request_id)

    async def _wait(
        self, ref: FunctionRef, request: InvocationRequest, reply: Reply, stranger: str | None
    ) -> None:
        """Invoke; `stranger` is the principal, if it is one of another account."""
        try:
            if stranger is not None:
                await self._others.check(stranger, ref, "Invoke")
            outcome: InvocationResult | Exception = await self._invoker.invoke(ref, request)
        except Exception as error:
            outcome = error
        answer(reply, outcome, request.request_id)


class _Payload(BoundedBody):
    """An Invoke's body; over the limit it is read on for a while, and refused."""

    __slots__ = ("_entry", "_head", "_name", "_reply", "_routes")

    def __init__(
        self, routes: InvokeRoutes, name: str, head: Head, entry: Entry, reply: Reply
    ) -> None:
        super().__init__(SYNC_PAYLOAD_LIMIT, _MOST_DISCARDED)
        self._routes = routes
        self._name = name
        self._head = head
        self._entry = entry
        self._reply = reply

    def far_too_large(self) -> None:
        """Read no further."""
        answer(self._reply, payload_too_large(), new_request_id(), close=True)

    def end(self, trailers: Fields) -> None:
        """Invoke."""
        del trailers
        payload = self.whole()
        if payload is None:
            answer(self._reply, payload_too_large(), new_request_id())
        else:
            self._routes.invoke(self._name, self._head, self._entry, payload, self._reply)


class Refused(BoundedBody):
    """A request that is refused once its body has come, so that its client hears of it.

    It is refused at once if the client waits to be told to go on, or announces far too much.
    """

    __slots__ = ("_error", "_reply")

    def __init__(self, error: ApiError, head: Head, reply: Reply) -> None:
        super().__init__(0, _MOST_DISCARDED)
        self._error = error
        self._reply = reply
        if not is_worth_reading(head.headers):
            answer(reply, error, new_request_id(), close=True)

    def far_too_large(self) -> None:
        """Read no further."""
        answer(self._reply, self._error, new_request_id(), close=True)

    def end(self, trailers: Fields) -> None:
        """Refuse."""
        del trailers
        answer(self._reply, self._error, new_request_id())


def answer(
    reply: Reply, outcome: InvocationResult | Exception, request_id: str, *, close: bool = False
) -> None:
    """Answer with a result, or with an error in AWS's shape."""
    if isinstance(outcome, InvocationResult):
        reply.send(_answered(outcome), close=close)
        return
    if not isinstance(outcome, ApiError):
        _log.error("an invoke failed", req_id=request_id, exc_info=outcome)
        outcome = ServiceException("The service encountered an internal error.")
    status, headers, body = serialize_error(outcome)
    lines = "".join(f"{name.lower()}: {value}\r\n" for name, value in headers.items())
    reply.send(_response(status, request_id, lines, body), close=close)


def _answered(result: InvocationResult) -> bytes:
    lines = "content-type: application/json\r\n"
    if result.status == 200:  # noqa: PLR2004  the only status with an executed version
        lines += f"x-amz-executed-version: {result.executed_version}\r\n"
    if result.function_error is not None:
        lines += f"x-amz-function-error: {result.function_error}\r\n"
    if result.log_tail is not None:
        lines += f"x-amz-log-result: {base64.b64encode(result.log_tail).decode()}\r\n"
    return _response(result.status, result.request_id, lines, result.payload)


def _response(status: int, request_id: str, lines: str, body: bytes) -> bytes:
    head = (
        f"{_STATUS_LINES[status]}{lines}x-amzn-requestid: {request_id}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body

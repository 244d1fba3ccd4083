"""What runtimes ask for and say, 2018-06-01.

Who is calling is told by the host name alone (each environment has an unguessable one of its own),
or by the port where a sandbox cannot map names. No environment can ask for another's work.
Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

    GET  /2018-06-01/runtime/invocation/next
    POST /2018-06-01/runtime/invocation/{request id}/response
    POST /2018-06-01/runtime/invocation/{request id}/error
    POST /2018-06-01/runtime/init/error
    GET  /2018-06-01/runtime/restore/next               SnapStart: its init is over
    POST /2018-06-01/runtime/restore/error
    GET  /2018-06-01/runtime/lambda-home/function       a spare environment waits here for its own
    POST /2018-06-01/runtime/lambda-home/debugger       where the environment's debugger listens
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Callable

from lambda_home.direct_http import Body, BoundedBody, Fields, Head, Reply
from lambda_home.functions import FunctionVersion
from lambda_home.invocations import RESPONSE_LIMIT
from lambda_home.runtime_api.endpoints import RuntimeEndpoints
from lambda_home.runtime_api.refusals import Refusals
from lambda_home.scheduler import outcomes
from lambda_home.scheduler.environments import (
    Debugger,
    Delivery,
    Environment,
    Poll,
    RuntimeAnswer,
)
from lambda_home.scheduler.scheduler import Scheduler
from lambda_home.scheduler.spares import Spare
from lambda_home.scheduler.streamed import StreamedAnswer
from lambda_home.scheduler.variables import DEBUGGER

_PREFIX = b"/2018-06-01/runtime/"
_INVOCATION = "/2018-06-01/runtime/invocation/"
_NEXT = "/2018-06-01/runtime/invocation/next"
_INIT_ERROR = "/2018-06-01/runtime/init/error"
_RESTORE = "/2018-06-01/runtime/restore/next"
_RESTORE_ERROR = "/2018-06-01/runtime/restore/error"
_FUNCTION = "/2018-06-01/runtime/lambda-home/function"
_DEBUGGER = "/2018-06-01/runtime/lambda-home/debugger"
# A response over the limit is read on up to here before the connection is given up.
_MOST_DISCARDED = 64 * 1024 * 1024
_EXIT_SHOWS_S = 3.0
_MOST_DIGITS = 15
_MOST_PORT = 65535
_CONTROL = dict.fromkeys(range(32), " ") | {127: " "}
_PHRASES = {200: b"OK", 202: b"Accepted", 400: b"Bad Request", 403: b"Forbidden"}
_PHRASES |= {404: b"Not Found", 410: b"Gone", 413: b"Payload Too Large"}


def response(status: int, body: bytes, headers: bytes = b"") -> bytes:
    """A whole JSON response; `headers` are lines, each with its end."""
    return b"HTTP/1.1 %d %b\r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        _PHRASES[status],
        headers,
        len(body),
        body,
    )


ACCEPTED = response(202, b'{"status":"OK"}\n')


class RuntimeRoutes:
    """Serves environments; see `direct_http.Routes`."""

    def __init__(
        self,
        scheduler: Scheduler,
        endpoints: RuntimeEndpoints,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scheduler = scheduler
        self._endpoints = endpoints
        self.refusals = Refusals(now)

    def begin(self, head: Head, reply: Reply) -> Body | None:
        """Take a request's head; says who takes its body."""
        if not head.path.startswith(_PREFIX):
            return None
        method, headers, port = head.method, head.headers, head.port
        path = head.path.decode("latin-1")
        environment = self.caller(headers, port)
        if environment is None:
            if method == b"GET" and path == _FUNCTION and (spare := self._spare(headers, port)):
                return Asking(lambda: self._function(spare, headers, reply))
            self.refusals.log("runtime API called by an unknown host", path=path, by=head.client)
            return Refusing(reply, 403, "Runtime.UnknownEnvironment", "No such environment.")
        if method == b"POST":
            taken = self._post(environment, path, head, reply)
            if taken is not None:
                return taken
        elif method == b"GET" and path in (_NEXT, _RESTORE):
            restores = path == _RESTORE and environment.version.is_snap_started
            if restores or path == _NEXT:
                poll = _RestorePoll(reply) if restores else _Poll(reply)
                return Asking(lambda: self._next(environment, headers, reply, poll))
        message = f"No such resource: {method.decode('latin-1')} {path}"
        return Refusing(reply, 404, "Runtime.NotFound", message)

    def caller(self, headers: Fields, port: int) -> Environment | None:
        """The environment that a request comes from, if it is one's."""
        found = self._scheduler.environment_at(_host(headers))
        if found is not None:
            return found
        environment_id = self._endpoints.environment_on(port)
        return self._scheduler.environment(environment_id) if environment_id else None

    def version_at(self, head: Head) -> FunctionVersion | None:
        """The function version whose environment sends a request, if one's does."""
        environment = self.caller(head.headers, head.port)
        return environment.version if environment is not None else None

    def _spare(self, headers: Fields, port: int) -> Spare | None:
        spares = self._scheduler.spares
        environment_id = self._endpoints.environment_on(port)
        return spares.at(_host(headers)) or (
            spares.named(environment_id) if environment_id else None
        )

    def _next(self, environment: Environment, headers: Fields, reply: Reply, poll: Poll) -> None:
        reply.gathers = True
        init = headers.get(b"lambda-home-init-micros", b"")
        init_ms = int(init) / 1000 if _is_number(init) else None
        fence = headers.get(b"lambda-home-fence") == b"1"
        self._scheduler.park(environment, poll, init_ms, init_fence=fence)

    def _function(self, spare: Spare, headers: Fields, reply: Reply) -> None:
        seen = headers.get(b"lambda-home-sees", b"").decode("latin-1")

        def give(variables: dict[str, str] | None) -> None:
            if variables is None:
                refuse(reply, 410, "Runtime.Stopping", "This environment is being stopped.")
            else:
                reply.send(response(200, json.dumps({"environment": variables}).encode()))

        self._scheduler.spares.wait_for_function(spare, seen, give, lambda: reply.gone)

    def _of_init(self, environment: Environment, head: Head, reply: Reply) -> Body:
        """What a runtime says while it starts: that it cannot, or where its debugger listens."""
        path = head.path.decode("latin-1")

        def failed(given: RuntimeAnswer, *, whole: bool) -> None:
            if path == _RESTORE_ERROR:
                self._scheduler.restoring.failed(environment)
            else:
                self._scheduler.init_failed(environment, given)
            reply.send(ACCEPTED) if whole else refuse_size(reply)

        def listens() -> None:
            port = head.headers.get(b"lambda-home-debugger-port", b"")
            root = head.headers.get(b"lambda-home-task-root", b"/var/task").decode(errors="replace")
            is_wanted = DEBUGGER in (environment.version.environment or {})
            if is_wanted and _is_number(port) and 0 < int(port) <= _MOST_PORT:
                environment.debugger = Debugger(head.client, int(port), root)
            reply.send(ACCEPTED)

        if head.path == _DEBUGGER.encode():
            return Asking(listens)
        return _Collecting(head.headers, reply, error=True, then=failed)

    def _post(self, environment: Environment, path: str, head: Head, reply: Reply) -> Body | None:
        headers = head.headers
        if path in (_INIT_ERROR, _RESTORE_ERROR, _DEBUGGER):
            return self._of_init(environment, head, reply)
        if not path.startswith(_INVOCATION):
            return None
        request_id, _, kind = path[len(_INVOCATION) :].partition("/")
        if kind not in ("response", "error"):
            return None
        if kind == "response" and _comes_in_pieces(headers):
            stream = self._scheduler.answer_begins(environment, request_id, _content_type(headers))
            if stream is None:
                return Refusing(reply, *self._late(environment, request_id))
            return _Streaming(headers, reply, stream)

        def answered(given: RuntimeAnswer, *, whole: bool) -> None:
            accepted = self._scheduler.answer(environment, request_id, given)
            if not whole:
                refuse_size(reply)
            elif accepted:
                reply.send(ACCEPTED)
            else:
                refuse(reply, *self._late(environment, request_id))

        return _Collecting(headers, reply, error=kind == "error", then=answered)

    def _late(self, environment: Environment, request_id: str) -> tuple[int, str, str]:
        self.refusals.log(
            "answer refused: late, or another environment's",
            req_id=request_id,
            container_id=environment.id,
        )
        return 400, "InvalidRequestID", f"Invalid request ID: {request_id}"


class _Poll:
    """A parked request for the next invocation."""

    __slots__ = ("_reply",)
    restores = False

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    @property
    def gone(self) -> bool:
        return self._reply.gone

    @property
    def answered(self) -> bool:
        return self._reply.data is not None

    def deliver(self, delivery: Delivery | None) -> None:
        if delivery is None:
            refuse(self._reply, 410, "Runtime.Stopping", "This environment is being stopped.")
        else:
            self._reply.send(_delivered(delivery))


class _RestorePoll(_Poll):
    """A parked request for SnapStart's restore."""

    __slots__ = ()
    restores = True

    def deliver(self, delivery: Delivery | None) -> None:
        if delivery is None:
            super().deliver(None)
        else:
            self._reply.send(response(200, b""))


def _delivered(delivery: Delivery) -> bytes:
    invocation = delivery.invocation
    head = (
        f"lambda-runtime-aws-request-id: {invocation.request_id}\r\n"
        f"lambda-runtime-deadline-ms: {delivery.deadline_ms}\r\n"
        f"lambda-runtime-invoked-function-arn: {invocation.invoked_arn}\r\n"
        f"lambda-runtime-trace-id: {_line(invocation.trace_id)}\r\n"
    )
    if invocation.client_context:
        context = json.dumps(json.loads(invocation.client_context))  # one line, ASCII
        head += f"lambda-runtime-client-context: {context}\r\n"
    if invocation.cognito_identity:
        head += f"lambda-runtime-cognito-identity: {_line(invocation.cognito_identity)}\r\n"
    if invocation.tenant_id:
        head += f"lambda-runtime-aws-tenant-id: {_line(invocation.tenant_id)}\r\n"
    return response(200, invocation.payload, head.encode("latin-1", "replace"))


def _line(value: str) -> str:
    """`value` without what would end a header."""
    return value if value.isprintable() else value.translate(_CONTROL)


class Asking:
    """A request without a body worth reading."""

    __slots__ = ("_ask",)

    def __init__(self, ask: Callable[[], None]) -> None:
        self._ask = ask

    def feed(self, data: bytes) -> None:
        """Ignored."""

    def end(self, trailers: Fields) -> None:
        """Now it can be answered."""
        del trailers
        self._ask()

    def lost(self) -> None:
        """Nobody is told."""


class Refusing(Asking):
    """A request that nobody takes: answered at its end, so that its sender is not cut off."""

    __slots__ = ("_reply", "_size")

    def __init__(self, reply: Reply, status: int, error_type: str, message: str) -> None:
        super().__init__(lambda: refuse(reply, status, error_type, message))
        self._reply = reply
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Not kept; what is far too large ends the connection."""
        self._size += len(data)
        if self._size > _MOST_DISCARDED:
            refuse_size(self._reply, close=True)


class _Collecting(BoundedBody):
    """An answer that is taken as a whole; over the limit it says only that it was."""

    __slots__ = ("_error", "_headers", "_reply", "_then")

    def __init__(
        self, headers: Fields, reply: Reply, *, error: bool, then: Callable[..., None]
    ) -> None:
        super().__init__(RESPONSE_LIMIT, _MOST_DISCARDED)
        self._headers = headers
        self._reply = reply
        self._error = error
        self._then = then

    def far_too_large(self) -> None:
        self._reply.closes = True
        self.end({})

    def end(self, trailers: Fields) -> None:
        del trailers
        if self._reply.data is not None:
            return
        body = self.whole()
        if body is not None:
            self._then(_answer(self._headers, body, error=self._error), whole=True)
        else:
            given = _answer(self._headers, outcomes.too_large_payload(), error=True)
            if not self._error:
                given.error_type = outcomes.TOO_LARGE
            self._then(given, whole=False)


class _Streaming:
    """An answer that goes on to its caller while it comes."""

    __slots__ = ("_headers", "_held", "_reply", "_stream")

    def __init__(self, headers: Fields, reply: Reply, stream: StreamedAnswer) -> None:
        self._headers = headers
        self._reply = reply
        self._stream = stream
        stream.on_room = self._go_on

    def feed(self, data: bytes) -> None:
        if self._reply.data is not None:
            return
        if self._stream.over:
            self._stream.end(_answer(self._headers, b"", error=True))
            refuse_size(self._reply, close=True)  # the runtime must not send for ever
        elif not self._stream.feed(data):
            self._reply.hold_back(held=True)

    def end(self, trailers: Fields) -> None:
        if self._reply.data is not None:
            return
        error_type = trailers.get(b"lambda-runtime-function-error-type")
        given = _answer(self._headers, b"", error=error_type is not None)
        if error_type is not None:
            given.error_type = error_type.decode("latin-1")
            given.payload = _error_body(trailers.get(b"lambda-runtime-function-error-body", b""))
        accepted = self._stream.end(given)
        self._reply.send(ACCEPTED if accepted else response(400, b"{}"))

    def lost(self) -> None:
        # If the runtime has died its exit is what the caller should hear of, and it comes soon.
        asyncio.get_running_loop().call_later(_EXIT_SHOWS_S, self._stream.torn)

    def _go_on(self) -> None:
        self._reply.hold_back(held=False)


def _comes_in_pieces(headers: Fields) -> bool:
    """Whether an answer is streamed; AWS's Go library says so by nothing but its encoding."""
    mode = headers.get(b"lambda-runtime-function-response-mode", b"")
    encoding = headers.get(b"transfer-encoding", b"")
    return mode.lower() == b"streaming" or encoding.lower() == b"chunked"


def _error_body(encoded: bytes) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return b""


def _host(headers: Fields) -> str:
    return headers.get(b"host", b"").decode("latin-1").partition(":")[0].lower()


def _is_number(said: bytes) -> bool:
    return said.isdigit() and len(said) <= _MOST_DIGITS


def _content_type(headers: Fields) -> str:
    return headers.get(b"content-type", b"application/octet-stream").decode("latin-1")


def _answer(headers: Fields, body: bytes, *, error: bool) -> RuntimeAnswer:
    fence = headers.get(b"lambda-home-fence")
    peak = headers.get(b"lambda-home-peak-kib", b"")
    error_type = None
    if error:
        given = headers.get(b"lambda-runtime-function-error-type", b"").decode("latin-1")
        error_type = given or "Unhandled"
    return RuntimeAnswer(
        body,
        error_type,
        None if fence is None else fence == b"1",
        -(-int(peak) // 1024) if _is_number(peak) else 0,
    )


def refuse(
    reply: Reply, status: int, error_type: str, message: str, *, close: bool = False
) -> None:
    """Answer with an error in AWS's shape."""
    body = json.dumps({"errorMessage": message, "errorType": error_type}).encode()
    reply.send(response(status, body), close=close)


def refuse_size(reply: Reply, *, close: bool = False) -> None:
    """Answer that the body was over the limit."""
    message = f"Exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
    refuse(reply, 413, "RequestEntityTooLarge", message, close=close)

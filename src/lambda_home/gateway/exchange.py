"""One HTTP exchange with a function: invoke it with an event, answer with what it gives.

Shared by the path proxy and by function URLs. A warm function with a small event is invoked in the
call that parses the last byte of the request, as Invoke is; nothing is awaited for it.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html and, for
the prelude of a streamed response, AWS's runtime interface clients.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog

from lambda_home.arns import FunctionRef
from lambda_home.direct_http import Head, Reply
from lambda_home.errors import LambdaHomeError
from lambda_home.gateway.errors import IntegrationTimeoutError, MalformedResponseError
from lambda_home.gateway.messages import (
    LAST_CHUNK,
    BadMessageError,
    HttpRequest,
    HttpResponse,
    chunk,
    render,
    render_stream_head,
)
from lambda_home.gateway.results import PRELUDE_END, PRELUDE_TYPE, stream_response
from lambda_home.invocations import InvocationRequest, InvocationResult
from lambda_home.invoker.invoker import Invoker
from lambda_home.invoker.response_streams import ResponseStream
from lambda_home.trace_headers import of_traceparent

Outcome = InvocationResult | Exception

# What is longer is encoded and decoded in a thread, as it would hold up everybody else.
_INLINE = 64 * 1024
_LONGEST_PRELUDE = 1024 * 1024

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Call:
    """What to invoke, and how its outcome becomes an answer.

    `event` makes the event (in a thread, if the body is long). `to_response` maps a result or an
    exception: an ApiError, IntegrationTimeoutError, MalformedResponseError, or one that was logged
    and is the platform's failure. For a result it may raise MalformedResponseError, and is then
    asked what to answer to that. `finish` may change any answer before it is sent. With `stream` a
    streamed response is handed on while it is written. `timeout_s` is how long the caller waits for
    the answer to begin (None: as long as the function may run).
    """

    ref: FunctionRef
    request: HttpRequest
    event: Callable[[], dict[str, Any]]
    to_response: Callable[[Outcome], HttpResponse]
    finish: Callable[[HttpResponse], None] | None = None
    stream: bool = False
    timeout_s: float | None = None


def request_of(head: Head, body: bytes, time_ms: int, request_id: str) -> HttpRequest:
    """The request as events tell of it, with the headers that AWS's front ends add or replace.

    Those are `x-forwarded-for` (the client's address, after what came in it), `x-forwarded-port`,
    `x-forwarded-proto` and, unless the client sends one, `x-amzn-trace-id`, which continues the
    trace of a `traceparent`.
    """
    forwarded_for = trace = parent = ""
    fields: list[tuple[str, str]] = []
    for raw_name, raw_value in head.fields:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        if name[:2] == "x-":
            if name == "x-forwarded-for":
                forwarded_for = f"{forwarded_for}{value}, "
                continue
            if name in {"x-forwarded-proto", "x-forwarded-port"}:
                continue
            if name == "x-amzn-trace-id":
                trace = value
                continue
        elif name == "traceparent":
            parent = value
        fields.append((name, value))
    fields += (
        ("x-amzn-trace-id", trace or of_traceparent(parent) or _new_trace(time_ms, request_id)),
        ("x-forwarded-for", forwarded_for + head.client),
        ("x-forwarded-port", str(head.port)),
        ("x-forwarded-proto", head.scheme),
    )
    return HttpRequest(
        method=head.method.decode("latin-1"),
        path=head.path.decode("latin-1"),
        query=head.query.decode("latin-1"),
        fields=fields,
        body=body,
        source_ip=head.client,
        host=head.headers.get(b"host", b"").decode("latin-1"),
        time_ms=time_ms,
        request_id=request_id,
        scheme=head.scheme,
    )


class Exchange:
    """Carries calls out; the tasks of those that have to wait are kept until they are done."""

    def __init__(self, invoker: Invoker) -> None:
        self._invoker = invoker
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, call: Call, reply: Reply) -> None:
        """Carry out a call, now or in a task; `reply` is answered whatever happens."""
        answer = _Answer(call, reply)
        if call.stream:
            self._keep(self._stream(call, answer))
            return
        if len(call.request.body) > _INLINE:
            self._keep(self._wait(call, answer))
            return
        try:
            request = _invocation(call)
            if not self._invoker.begin(call.ref, request, partial(self._told, answer)):
                self._keep(self._wait(call, answer, request))
        except Exception as error:
            answer.give(error)

    def _told(self, answer: _Answer, outcome: Outcome) -> None:
        if isinstance(outcome, InvocationResult) and len(outcome.payload) > _INLINE:
            self._keep(answer.give_in_thread(outcome))
        else:
            answer.give(outcome)

    async def _wait(
        self, call: Call, answer: _Answer, request: InvocationRequest | None = None
    ) -> None:
        try:
            if request is None:
                request = await _invocation_of(call)
            outcome: Outcome = await self._invoker.invoke(call.ref, request)
        except Exception as error:
            outcome = error
        if isinstance(outcome, InvocationResult):
            await answer.give_in_thread(outcome)
        else:
            answer.give(outcome)

    async def _stream(self, call: Call, answer: _Answer) -> None:
        stream = ResponseStream()
        invoking: asyncio.Task[InvocationResult] | None = None
        try:
            request = await _invocation_of(call)
            invoking = asyncio.get_running_loop().create_task(
                self._invoker.invoke(call.ref, replace(request, sink=stream))
            )
            either: set[asyncio.Future[Any]] = {invoking, stream.begun}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not stream.begun.done():  # it failed, or answered as a whole
                await answer.give_in_thread(await invoking)
                return
            await _StreamedAnswer(answer, stream, invoking).send(stream.begun.result()[1])
        except Exception as error:
            answer.give(error)
        finally:
            stream.abandon()
            if invoking is not None and not invoking.done():
                await asyncio.wait({invoking})

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Answer:
    """The one answer to a call: the first that is given, or that its time is up."""

    __slots__ = ("_call", "_reply", "_timer", "given")

    def __init__(self, call: Call, reply: Reply) -> None:
        self._call = call
        self._reply = reply
        self.given = False
        self._timer: asyncio.TimerHandle | None = None
        if call.timeout_s is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(call.timeout_s, self.give, IntegrationTimeoutError())

    @property
    def reply(self) -> Reply:
        """Where the answer goes."""
        return self._reply

    @property
    def method(self) -> str:
        """The request's method."""
        return self._call.request.method

    def give(self, outcome: Outcome) -> None:
        """Answer, unless that was done."""
        if not self.given:
            self.put(self.mapped(outcome))

    async def give_in_thread(self, outcome: InvocationResult) -> None:
        """Answer with a result that may be long."""
        if len(outcome.payload) <= _INLINE:
            self.give(outcome)
            return
        response = await asyncio.to_thread(self.mapped, outcome)
        if not self.given:
            self.put(response)

    def begun(self) -> None:
        """The answer is being sent: its time is not up any more."""
        self.given = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def mapped(self, outcome: Outcome) -> HttpResponse:
        """The response to an outcome, whatever the function gave."""
        if isinstance(outcome, Exception) and not isinstance(outcome, LambdaHomeError):
            _log.error("an exchange failed", req_id=self._call.request.request_id, exc_info=outcome)
        try:
            response = self._call.to_response(outcome)
        except MalformedResponseError as error:
            response = self._malformed(error)
        except Exception as error:
            _log.exception("a result could not be mapped", req_id=self._call.request.request_id)
            response = self._call.to_response(error)
        self.finish(response)
        return response

    def put(self, response: HttpResponse) -> None:
        """Send a whole response, or that the function's breaks HTTP."""
        self.begun()
        try:
            data = render(response, self.method)
        except BadMessageError as error:
            malformed = self._malformed(MalformedResponseError(str(error)))
            self.finish(malformed)
            data = render(malformed, self.method)
        self._reply.send(data)

    def finish(self, response: HttpResponse) -> None:
        """Give a response what every answer to this call has."""
        response.fields.append(("x-amzn-requestid", self._call.request.request_id))
        if self._call.finish is not None:
            self._call.finish(response)

    def _malformed(self, error: MalformedResponseError) -> HttpResponse:
        _log.warning(
            "a function's result is no HTTP response",
            function=self._call.ref.name,
            req_id=self._call.request.request_id,
            reason=str(error),
        )
        return self._call.to_response(error)


class _StreamedAnswer:
    """An answer that is sent while the function writes it; a slow reader holds the function back.

    A failure before the head is a whole answer; one that comes later ends the connection before the
    last chunk, so that no client takes half a body for all of it (RFC 9112, section 8).
    """

    def __init__(
        self, answer: _Answer, stream: ResponseStream, invoking: asyncio.Task[InvocationResult]
    ) -> None:
        self._answer = answer
        self._stream = stream
        self._invoking = invoking

    async def send(self, content_type: str) -> None:
        """Send all of it. Raises what keeps the answer from beginning."""
        is_described = content_type.partition(";")[0].strip().lower() == PRELUDE_TYPE
        prelude, data = await self._prelude() if is_described else (None, await self._read())
        if self._answer.given:  # too late
            return
        is_empty = prelude is None and not data
        if is_empty and not await self._succeeded():
            await self._answer.give_in_thread(await self._invoking)
            return
        response = stream_response("" if is_described else content_type, prelude)
        self._answer.finish(response)
        try:
            head, has_body = render_stream_head(response, self._answer.method)
        except BadMessageError as error:
            raise MalformedResponseError(str(error)) from None
        self._answer.begun()
        reply = self._answer.reply
        if not has_body:
            reply.send(head)
            return
        reply.start(head)
        await self._body(data)

    async def _body(self, data: bytes) -> None:
        reply = self._answer.reply
        is_whole = False
        try:
            while (data := data or await self._read()) and not reply.gone:
                await reply.write(chunk(data))
                data = b""
            is_whole = not data and await self._succeeded()
            if is_whole:
                await reply.write(LAST_CHUNK)
        finally:
            reply.end(close=not is_whole)

    async def _succeeded(self) -> bool:
        """Whether the function ended well; waits for its end."""
        try:
            result = await self._invoking
        except Exception:
            _log.warning("a streamed response broke off", exc_info=True)
            return False
        return result.error_type is None

    async def _read(self) -> bytes:
        return await self._stream.read(self._invoking)

    async def _prelude(self) -> tuple[bytes | None, bytes]:
        """The prelude, and what has come of the body."""
        so_far = b""
        while data := await self._read():
            so_far += data
            prelude, found, body = so_far.partition(PRELUDE_END)
            if found:
                return prelude, body
            if len(so_far) > _LONGEST_PRELUDE:
                break
        if so_far and await self._succeeded():
            raise MalformedResponseError("The prelude of the streamed response has no end.")
        return None, b""


async def _invocation_of(call: Call) -> InvocationRequest:
    if len(call.request.body) <= _INLINE:
        return _invocation(call)
    return await asyncio.to_thread(_invocation, call)


def _invocation(call: Call) -> InvocationRequest:
    payload = json.dumps(call.event(), ensure_ascii=False, separators=(",", ":"))
    return InvocationRequest(
        payload.encode("utf-8", "replace"),
        trace_id=call.request.header("x-amzn-trace-id") or "",
        request_id=call.request.request_id,
    )


def _new_trace(time_ms: int, request_id: str) -> str:
    digits = request_id.replace("-", "")
    return f"Root=1-{time_ms // 1000:08x}-{digits[:24]}"

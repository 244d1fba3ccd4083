"""The runtime API, 2018-06-01: what runs inside an execution environment talks to this.

Who is calling is told by the host name alone (each environment has an unguessable one of its own),
or by the port where a sandbox cannot map names. No environment can ask for another's work.
Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html

    GET  /2018-06-01/runtime/invocation/next
    POST /2018-06-01/runtime/invocation/{request id}/response
    POST /2018-06-01/runtime/invocation/{request id}/error
    POST /2018-06-01/runtime/init/error
"""

from __future__ import annotations

import json
from typing import Any

import structlog
from fastapi import FastAPI

from lambda_home import __version__
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
)
from lambda_home.invocations import RESPONSE_LIMIT
from lambda_home.runtime_api.endpoints import RuntimeEndpoints
from lambda_home.scheduler import outcomes
from lambda_home.scheduler.environments import Environment, RuntimeAnswer
from lambda_home.scheduler.scheduler import Scheduler

_INVOCATION = "/2018-06-01/runtime/invocation/"
_NEXT = "/2018-06-01/runtime/invocation/next"
_INIT_ERROR = "/2018-06-01/runtime/init/error"
_JSON: tuple[bytes, bytes] = (b"content-type", b"application/json")
_ACCEPTED = b'{"status":"OK"}\n'
# A response over the limit is read on up to here before the connection is given up.
_MOST_DISCARDED = 64 * 1024 * 1024

_log = structlog.get_logger(__name__)


class RuntimeApi(FastAPI):
    """FastAPI for what people look at, bare ASGI for what runtimes do."""

    def __init__(self, scheduler: Scheduler, endpoints: RuntimeEndpoints) -> None:
        super().__init__(title="lambda_home runtime API", version=__version__, openapi_url=None)
        self._scheduler = scheduler
        self._endpoints = endpoints
        self.router.redirect_slashes = False
        self.add_api_route("/healthz", self._healthz)
        self.add_api_route("/2018-06-01/ping", self._healthz)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a runtime, or pass on to FastAPI."""
        if scope["type"] != "http" or not scope["path"].startswith("/2018-06-01/runtime/"):
            await super().__call__(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        environment = self._caller(scope, headers)
        if environment is None:
            _log.warning("runtime API called by an unknown host", path=scope["path"])
            await _refuse(send, 403, "Runtime.UnknownEnvironment", "No such environment.")
            return
        try:
            await self._serve(environment, scope, headers, receive, send)
        except ClientGone:
            return

    async def _serve(
        self,
        environment: Environment,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
    ) -> None:
        path, method = scope["path"], scope["method"]
        if path == _NEXT and method == "GET":
            await self._next(environment, headers, receive, send)
        elif path == _INIT_ERROR and method == "POST":
            given, whole = await _read_error(headers, receive)
            self._scheduler.init_failed(environment, given)
            await (answer(send, 202, _ACCEPTED, [_JSON]) if whole else _refuse_size(send))
        elif path.startswith(_INVOCATION) and method == "POST":
            request_id, _, kind = path[len(_INVOCATION) :].partition("/")
            if kind == "response":
                await self._response(environment, request_id, headers, receive, send)
            elif kind == "error":
                given, whole = await _read_error(headers, receive)
                if whole:
                    await self._accept(environment, request_id, given, send)
                else:
                    self._scheduler.answer(environment, request_id, given)
                    await _refuse_size(send)
            else:
                await _refuse(send, 404, "Runtime.NotFound", f"No such resource: {path}")
        else:
            await _refuse(send, 404, "Runtime.NotFound", f"No such resource: {method} {path}")

    def _caller(self, scope: Scope, headers: dict[bytes, bytes]) -> Environment | None:
        host = headers.get(b"host", b"").decode("latin-1").partition(":")[0].lower()
        found = self._scheduler.environment_at(host)
        if found is not None:
            return found
        environment_id = self._endpoints.environment_on(scope["server"][1])
        return self._scheduler.environment(environment_id) if environment_id else None

    async def _next(
        self, environment: Environment, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        init = headers.get(b"lambda-home-init-micros", b"")
        init_ms = int(init) / 1000 if init.isdigit() else None
        delivery = await self._scheduler.next(environment, lambda: is_gone(receive), init_ms)
        if delivery is None:
            await _refuse(send, 410, "Runtime.Stopping", "This environment is being stopped.")
            return
        invocation = delivery.invocation
        given: Headers = [
            _JSON,
            (b"lambda-runtime-aws-request-id", invocation.request_id.encode()),
            (b"lambda-runtime-deadline-ms", b"%d" % delivery.deadline_ms),
            (b"lambda-runtime-invoked-function-arn", invocation.invoked_arn.encode()),
            (b"lambda-runtime-trace-id", invocation.trace_id.encode("latin-1", "replace")),
        ]
        if invocation.client_context:
            context = json.dumps(json.loads(invocation.client_context))  # one line, ASCII
            given.append((b"lambda-runtime-client-context", context.encode()))
        if invocation.cognito_identity:
            given.append((b"lambda-runtime-cognito-identity", invocation.cognito_identity.encode()))
        await answer(send, 200, invocation.payload, given)

    async def _response(
        self,
        environment: Environment,
        request_id: str,
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
    ) -> None:
        try:
            body = await read_body(receive, RESPONSE_LIMIT)
        except BodyTooLarge as refused:
            await discard_rest(refused, receive, _MOST_DISCARDED)
            given = _read_answer(headers, outcomes.too_large_payload(), error=True)
            given.error_type = "Function.ResponseSizeTooLarge"
            self._scheduler.answer(environment, request_id, given)
            await _refuse_size(send)
            return
        await self._accept(environment, request_id, _read_answer(headers, body, error=False), send)

    async def _accept(
        self, environment: Environment, request_id: str, given: RuntimeAnswer, send: Send
    ) -> None:
        if self._scheduler.answer(environment, request_id, given):
            await answer(send, 202, _ACCEPTED, [_JSON])
        else:
            _log.info("late answer refused", req_id=request_id, container_id=environment.id)
            await _refuse(send, 400, "InvalidRequestID", f"Invalid request ID: {request_id}")

    async def _healthz(self) -> dict[str, Any]:
        return {"status": "ok"}


async def _read_error(headers: dict[bytes, bytes], receive: Receive) -> tuple[RuntimeAnswer, bool]:
    """An error report, and whether it is whole: over the limit it says only that it was."""
    try:
        body = await read_body(receive, RESPONSE_LIMIT)
    except BodyTooLarge as refused:
        await discard_rest(refused, receive, _MOST_DISCARDED)
        return _read_answer(headers, outcomes.too_large_payload(), error=True), False
    return _read_answer(headers, body, error=True), True


def _read_answer(headers: dict[bytes, bytes], body: bytes, *, error: bool) -> RuntimeAnswer:
    fence = headers.get(b"lambda-home-fence")
    peak = headers.get(b"lambda-home-peak-kib", b"")
    error_type = None
    if error:
        error_type = headers.get(b"lambda-runtime-function-error-type", b"").decode("latin-1")
    return RuntimeAnswer(
        body,
        (error_type or "Unhandled") if error else None,
        None if fence is None else fence == b"1",
        -(-int(peak) // 1024) if peak.isdigit() else 0,
    )


async def _refuse_size(send: Send) -> None:
    message = f"Exceeded maximum allowed payload size ({RESPONSE_LIMIT} bytes)."
    await _refuse(send, 413, "RequestEntityTooLarge", message)


async def _refuse(send: Send, status: int, error_type: str, message: str) -> None:
    body = json.dumps({"errorMessage": message, "errorType": error_type}).encode()
    await answer(send, status, body, [_JSON])

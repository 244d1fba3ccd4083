"""The user API, 2015-03-31 and later dates: what AWS SDKs, the AWS CLI and curl talk to.

FastAPI serves what is ours (health); everything that AWS's model has goes through the wire codec to
a registered operation; Invoke goes straight to its endpoint.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any

import structlog
from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from lambda_home import __version__
from lambda_home.access.callers import caller_in
from lambda_home.access.cross_account import CrossAccount
from lambda_home.access.gate import Gate
from lambda_home.config import DefaultSettings
from lambda_home.errors import (
    ApiError,
    NotImplementedException,
    RequestEntityTooLargeException,
    ServiceException,
    UnknownOperationException,
)
from lambda_home.functions import CREATE_REQUEST_LIMIT
from lambda_home.http_io import (
    BodyTooLarge,
    ClientGone,
    Receive,
    Scope,
    Send,
    discard_rest,
    read_body,
    refuse_length,
)
from lambda_home.user_api import (
    aliases,
    capacity,
    capacity_providers,
    code_signing,
    event_invoke,
    event_sources,
    function_urls,
    functions,
    invoke_async,
    layer_policies,
    layers,
    permissions,
    protocol,
    provisioned,
    recursion,
    resource_policies,
    runtime_management,
    scaling,
    snake_case,
    tags,
)
from lambda_home.user_api.answers import send_answer, send_error
from lambda_home.user_api.code_links import PATH as CODE_PATH
from lambda_home.user_api.limits_admin import rate_limit_routes
from lambda_home.user_api.operations import HANDLERS, Backend, Call
from lambda_home.user_api.response_stream import ResponseStreamEndpoint, streamed_function

_log = structlog.get_logger(__name__)

OPERATION_MODULES = (
    aliases,
    capacity,
    capacity_providers,
    code_signing,
    event_invoke,
    event_sources,
    function_urls,
    functions,
    invoke_async,
    layer_policies,
    layers,
    permissions,
    provisioned,
    recursion,
    resource_policies,
    runtime_management,
    scaling,
    tags,
)
"""Modules whose operations are registered by being imported."""

Health = Callable[[], Awaitable[dict[str, Any]]]


class UserApi(FastAPI):
    """The app that serves the user API's port."""

    def __init__(
        self,
        backend: Backend,
        streaming: ResponseStreamEndpoint,
        gate: Gate,
        defaults: DefaultSettings,
        health: Health,
        now: Callable[[], float],
    ) -> None:
        super().__init__(title="lambda_home user API", version=__version__, openapi_url=None)
        self._backend = backend
        self._streaming = streaming
        self._gate = gate
        self._others = CrossAccount(backend.policies)
        self._defaults = defaults
        self._health = health
        self._now = now
        self.router.redirect_slashes = False
        self.router.default = self._operations
        for path in ("/healthz", "/api/healthz"):
            self.add_api_route(path, self._healthz, response_model=None)
        self.include_router(rate_limit_routes(backend))
        self.add_api_route("/api/admin/spares", self._spares, response_model=None)
        self.add_api_route(CODE_PATH + "{key}", self._code, response_model=None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve an invoke, or pass on to FastAPI."""
        if scope["type"] == "http":
            name = streamed_function(scope)
            if name is not None:
                await self._streaming(name, scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    async def _healthz(self) -> Response:
        found = await self._health()
        return JSONResponse(found, status_code=200 if found["status"] == "ok" else 503)

    async def _spares(self) -> dict[str, int]:
        """How many spares wait for a function, start, and are still to be started."""
        ready, starting = self._backend.spares.counts()
        return {"ready": ready, "starting": starting, "missing": self._backend.spares.missing()}

    async def _code(self, key: str, Expires: str = "", Signature: str = "") -> Response:  # noqa: N803
        store = self._backend.store
        if not self._backend.links.allows(key, Expires, Signature) or not store.has(key):
            return JSONResponse({"message": "The link has expired."}, status_code=403)
        return Response(store.read(key), media_type="application/zip")

    # -------------------------------------------------------------------------------- operations

    async def _operations(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve an operation of AWS's model; errors in AWS's shapes, whatever happens."""
        if scope["type"] != "http":
            return
        request_id = str(uuid.uuid4())
        try:
            performed = await self._perform(scope, receive, request_id)
        except ApiError as error:
            await send_error(send, error, request_id)
        except ClientGone:
            return
        except Exception:
            _log.exception("an operation failed", path=scope["path"], req_id=request_id)
            failure = ServiceException("The service encountered an internal error.")
            await send_error(send, failure, request_id)
        else:
            await send_answer(send, performed, request_id)

    async def _perform(self, scope: Scope, receive: Receive, request_id: str) -> protocol.Answer:
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1")
        match = protocol.match(scope["method"], path, query)
        if match is None:
            raise UnknownOperationException(f"No operation is at {scope['method']} {path}.")
        name = match.operation_name
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        caller = caller_in(scope)
        self._gate.allow(caller, name)
        body = await _read(scope, receive, name)
        document: Any = body
        if name == "CreateFunction":
            document = protocol.read_document(body)
            if snake_case.is_snake_case(document):
                document = snake_case.to_aws(document, self._defaults, caller.scope.account)
        params = protocol.parse(name, match, query, headers, document)
        protocol.validate(name, params, self._today())
        handler = HANDLERS.get(name)
        if handler is None:
            raise NotImplementedException(
                f"{name} is an operation of AWS Lambda that this version of lambda_home does not"
                " perform yet."
            )
        base_url = f"{scope['scheme']}://{headers.get('host', 'localhost')}"
        owner = await self._others.owner(caller.scope, caller.arn, name, params)
        result = await handler(self._backend, Call(owner, params, base_url, request_id))
        return protocol.serialize(name, result)

    def _today(self) -> date:
        """The day by which runtimes are judged."""
        if self._backend.rules.allow_deprecated_runtimes:
            return protocol.NO_END
        return datetime.fromtimestamp(self._now(), UTC).date()


async def _read(scope: Scope, receive: Receive, operation_name: str) -> bytes:
    try:
        refuse_length(scope["headers"], CREATE_REQUEST_LIMIT)
        return await read_body(receive, CREATE_REQUEST_LIMIT)
    except BodyTooLarge as refused:
        await discard_rest(refused, receive)
        raise RequestEntityTooLargeException(
            f"Request must be smaller than {CREATE_REQUEST_LIMIT} bytes for the {operation_name}"
            " operation"
        ) from None

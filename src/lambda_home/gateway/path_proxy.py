"""Plain HTTP to functions by path: routes, else functions by the first segment of the path.

Whoever owns the port sends here only what nobody else takes: AWS's operations, `/api/`, `/admin/`
and the other paths of the server itself never come.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol
from urllib.parse import unquote

from lambda_home.arns import FunctionRef
from lambda_home.clock import Clock
from lambda_home.direct_http import Body, BoundedBody, Fields, Head, Reply
from lambda_home.errors import LambdaHomeError, RequestTooLargeException, ResourceNotFoundException
from lambda_home.gateway.cors import Cors, add_cors, preflight
from lambda_home.gateway.errors import PayloadFormat, RouteNotFoundError
from lambda_home.gateway.events_v1 import event_v1
from lambda_home.gateway.events_v2 import event_v2
from lambda_home.gateway.exchange import Call, Exchange, Outcome, request_of
from lambda_home.gateway.messages import HttpRequest, HttpResponse, RouteContext, render
from lambda_home.gateway.results import to_response
from lambda_home.gateway.route_book import RouteBook
from lambda_home.gateway.routes import Route, without_prefix
from lambda_home.invocations import SYNC_PAYLOAD_LIMIT
from lambda_home.invoker.rate_limits import TokenBucket

API_ID: Final = "lambdahome"
_STAGE: Final = "$default"
_NAMED = re.compile(r"([A-Za-z0-9_-]{1,64})(?::(\$LATEST|[A-Za-z0-9_-]{1,128}))?")
_NAMES = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z, ]*")
# A body over the limit is read on for so long, so that its sender gets to read the answer.
_MOST_DISCARDED = 64 * 1024 * 1024
Identity = Mapping[str, Any]


class Authorizer(Protocol):
    """Who may use a route."""

    def check(
        self, head: Head, body: bytes, ref: FunctionRef, route: Route | None
    ) -> Identity | None:
        """Who it is, for the event; None for nobody in particular. Raises ApiError.

        `route` is None for a function that the path itself names. An identity has `accessKey`,
        `accountId`, `callerId`, `userArn` and `userId`, as function URLs have them.
        """


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a request goes: by a route, or by the name in its path."""

    ref: FunctionRef
    payload_format: PayloadFormat = PayloadFormat.V1
    route: Route | None = None
    parameters: Mapping[str, str] | None = None
    used: int = 0
    bucket: TokenBucket | None = None

    @property
    def cors(self) -> Cors | None:
        return None if self.route is None else self.route.cors

    @property
    def limit(self) -> int:
        limit = None if self.route is None else self.route.max_body_bytes
        return SYNC_PAYLOAD_LIMIT if limit is None else limit

    def path(self, raw: str) -> str:
        """The path that the function sees, raw."""
        strips = self.route is not None and self.route.strip_prefix
        return without_prefix(raw, self.used) if strips else raw


class PathProxy:
    """Serves requests by path; see `direct_http.Routes`, but for that it takes every request."""

    def __init__(
        self, book: RouteBook, exchange: Exchange, authorizer: Authorizer, clock: Clock
    ) -> None:
        self._book = book
        self._exchange = exchange
        self._authorizer = authorizer
        self._clock = clock

    def has_host(self, head: Head) -> bool:
        """Whether a route is for the host name that a request has."""
        return self._book.table.has_host(head.headers.get(b"host", b"").decode("latin-1"))

    def begin(self, head: Head, reply: Reply) -> Body | None:
        """Take a request. None: it is answered already, its body is not needed."""
        path, method = head.path.decode("latin-1"), head.method.decode("latin-1")
        host = head.headers.get(b"host", b"").decode("latin-1")
        if method == "OPTIONS" and self._preflight(head, reply, host, path):
            return None
        target = self._target(host, method, path)
        if target is None:
            return self._refuse(RouteNotFoundError(), None, head, reply)
        length = head.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > target.limit:
            return self._refuse(RequestTooLargeException(), target, head, reply)
        if target.bucket is not None:
            try:
                target.bucket.take(self._clock.monotonic())
            except LambdaHomeError as error:
                return self._refuse(error, target, head, reply)
        return _Request(self, target, head, reply)

    def serve(self, target: _Target, head: Head, body: bytes, reply: Reply) -> None:
        """A whole request has come."""
        try:
            identity = self._authorizer.check(head, body, target.ref, target.route)
        except LambdaHomeError as error:
            self._refuse(error, target, head, reply)
            return
        now_ms = int(self._clock.now() * 1000)
        request = request_of(head, body, now_ms, str(uuid.uuid4()))
        route = target.route
        call = Call(
            ref=target.ref,
            request=request,
            event=partial(_event, request, target, identity),
            to_response=partial(_response, target),
            finish=_finish(target, head),
            stream=route is not None and route.stream,
            timeout_s=None
            if route is None or route.timeout_ms is None
            else route.timeout_ms / 1000,
        )
        self._exchange.begin(call, reply)

    def too_large(self, target: _Target, head: Head, reply: Reply, *, close: bool = False) -> None:
        """More has come than the route takes."""
        reply.send(_error(RequestTooLargeException(), target, head), close=close)

    def _target(self, host: str, method: str, path: str) -> _Target | None:
        match = self._book.table.find(host, method, path)
        if match is not None and (led := self._book.destination(match.route)) is not None:
            route = match.route
            return _Target(
                led.ref, route.payload_format, route, match.parameters, match.used, led.bucket
            )
        first = path[1:].partition("/")[0]
        named = _NAMED.fullmatch(unquote(first) if "%" in first else first)
        if named is None or path[:1] != "/":
            return None
        return _Target(FunctionRef(self._book.scope, named[1], named[2]), used=1)

    def _preflight(self, head: Head, reply: Reply, host: str, path: str) -> bool:
        """Answer a preflight, if the route that it asks about has CORS settings."""
        origin = head.headers.get(b"origin")
        method = head.headers.get(b"access-control-request-method")
        if origin is None or method is None:
            return False
        asked = method.decode("latin-1")
        match = self._book.table.find(host, asked, path)
        if match is None or match.route.cors is None:
            return False
        names = head.headers.get(b"access-control-request-headers", b"").decode("latin-1")
        names = names if _NAMES.fullmatch(names) else ""
        answer = preflight(match.route.cors, origin.decode("latin-1"), asked, names)
        reply.send(render(answer))
        return True

    @staticmethod
    def _refuse(error: Exception, target: _Target | None, head: Head, reply: Reply) -> None:
        """Answer at once; what may still come of the body is read, unless it is far too much."""
        length = head.headers.get(b"content-length", b"0")
        is_bounded = b"transfer-encoding" not in head.headers and length.isdigit()
        close = not is_bounded or int(length) > _MOST_DISCARDED
        reply.send(_error(error, target, head), close=close)


class _Request(BoundedBody):
    """A request's body."""

    __slots__ = ("_head", "_proxy", "_reply", "_target")

    def __init__(self, proxy: PathProxy, target: _Target, head: Head, reply: Reply) -> None:
        super().__init__(target.limit, max(_MOST_DISCARDED, target.limit))
        self._proxy = proxy
        self._target = target
        self._head = head
        self._reply = reply

    def far_too_large(self) -> None:
        """Read no further."""
        self._proxy.too_large(self._target, self._head, self._reply, close=True)

    def end(self, trailers: Fields) -> None:
        """Serve the request."""
        del trailers
        body = self.whole()
        if body is None:
            self._proxy.too_large(self._target, self._head, self._reply)
        else:
            self._proxy.serve(self._target, self._head, body, self._reply)


def _event(request: HttpRequest, target: _Target, identity: Identity | None) -> dict[str, Any]:
    route = target.route
    path = target.path(request.path)
    context = RouteContext(
        account_id=target.ref.scope.account,
        api_id=API_ID,
        stage=_STAGE,
        path=path,
        stage_path=request.path,
        path_parameters=target.parameters,
    )
    if route is not None:
        context.stage_variables = route.stage_variables
        context.resource = route.path
        context.resource_id = route.route_id[:6]
        context.route_key = route.key
    if target.payload_format is PayloadFormat.V1:
        context.identity = _v1_identity(identity)
        return event_v1(request, route=context)
    # HTTP APIs give the decoded path, REST APIs and function URLs the path as it came.
    context.path = unquote(path) if "%" in path else path
    context.authorizer = None if identity is None else {"iam": dict(identity)}
    return event_v2(request, route=context)


def _v1_identity(identity: Identity | None) -> Identity | None:
    if identity is None:
        return None
    return {
        "accessKey": identity.get("accessKey"),
        "accountId": identity.get("accountId"),
        "caller": identity.get("callerId"),
        "user": identity.get("userId"),
        "userArn": identity.get("userArn"),
    }


def _response(target: _Target, outcome: Outcome) -> HttpResponse:
    if target.route is None and isinstance(outcome, ResourceNotFoundException):
        outcome = RouteNotFoundError()
    return to_response(outcome, target.payload_format)


def _error(error: Exception, target: _Target | None, head: Head) -> bytes:
    """An answer that no function was asked for."""
    payload_format = PayloadFormat.V1 if target is None else target.payload_format
    response = to_response(error, payload_format)
    response.fields.append(("x-amzn-requestid", str(uuid.uuid4())))
    if target is not None and (finish := _finish(target, head)) is not None:
        finish(response)
    return render(response, head.method.decode("latin-1"))


def _finish(target: _Target, head: Head) -> Callable[[HttpResponse], None] | None:
    if target.cors is None:
        return None
    origin = head.headers.get(b"origin")
    return partial(
        add_cors,
        cors=target.cors,
        origin=None if origin is None else origin.decode("latin-1"),
    )

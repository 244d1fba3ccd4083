"""What extensions ask for and say, 2020-01-01.

An extension runs inside its environment's sandbox and is told from others by the same host name (or
port) as the runtime, then by the identifier that it got when it registered.
Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html

    POST /2020-01-01/extension/register
    GET  /2020-01-01/extension/event/next
    POST /2020-01-01/extension/init/error
    POST /2020-01-01/extension/exit/error
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from lambda_home.direct_http import Body, BoundedBody, Fields, Head, Reply, Routes
from lambda_home.runtime_api.refusals import Refusals
from lambda_home.runtime_api.routes import (
    ACCEPTED,
    Asking,
    Refusing,
    RuntimeRoutes,
    refuse,
    response,
)
from lambda_home.scheduler.environments import Environment, RuntimeAnswer
from lambda_home.scheduler.extensions import ExtensionRefusedError
from lambda_home.scheduler.scheduler import Scheduler

_PREFIX = b"/2020-01-01/extension/"
_LARGEST_BODY = 1024 * 1024

_log = structlog.get_logger(__name__)


class ExtensionRoutes:
    """Serves extensions; leaves the rest to `runtime`, then to `aws`. See `direct_http.Routes`."""

    def __init__(self, scheduler: Scheduler, runtime: RuntimeRoutes, aws: Routes) -> None:
        self._scheduler = scheduler
        self._runtime = runtime
        self._aws = aws

    def begin(self, head: Head, reply: Reply) -> Body | None:
        """Take a request's head; says who takes its body."""
        if not head.path.startswith(_PREFIX):
            return self._runtime.begin(head, reply) or self._aws.begin(head, reply)
        method, headers, port = head.method, head.headers, head.port
        path = head.path.decode("latin-1")
        environment = self._runtime.caller(headers, port)
        if environment is None:
            event = "extensions API called by an unknown host"
            self._runtime.refusals.log(event, path=path, by=head.client)
            return Refusing(reply, 403, "Runtime.UnknownEnvironment", "No such environment.")
        guard = _Guard(reply, self._runtime.refusals, environment)
        match method, path[len(_PREFIX) :]:
            case b"GET", "event/next":
                return Asking(lambda: guard.doing(lambda: _next(environment, headers, reply)))
            case b"POST", "register":
                return _Body(guard, lambda body: _register(environment, headers, body, reply))
            case b"POST", ("init/error" | "exit/error") as what:
                given = what == "init/error"
                return _Body(
                    guard, lambda body: self._failed(environment, headers, body, reply, init=given)
                )
        message = f"No such resource: {method.decode('latin-1')} {path}"
        return Refusing(reply, 404, "Runtime.NotFound", message)

    def _failed(
        self, environment: Environment, headers: Fields, body: bytes, reply: Reply, *, init: bool
    ) -> None:
        identifier = _identifier(headers)
        error_type = _text(headers, b"lambda-extension-function-error-type")
        if not error_type:
            message = "Lambda-Extension-Function-Error-Type not found"
            raise ExtensionRefusedError(403, "Extension.MissingHeader", message)
        name = environment.extensions.failed(identifier)
        _log.warning(
            "an extension failed", extension=name, type=error_type, container_id=environment.id
        )
        if init and environment.init_ms is None:
            self._scheduler.init_failed(environment, _init_error(name, error_type, body))
        reply.send(ACCEPTED)


@dataclass(slots=True)
class _Guard:
    """Answers, and writes to the log, what an environment's extension is refused."""

    reply: Reply
    refusals: Refusals
    environment: Environment

    def doing(self, call: Callable[[], None]) -> None:
        """Do as `call` does, which may raise ExtensionRefusedError."""
        try:
            call()
        except ExtensionRefusedError as error:
            facts = {"type": error.error_type, "container_id": self.environment.id}
            self.refusals.log("an extension was refused", **facts)
            refuse(self.reply, error.status, error.error_type, str(error))


class _Body(BoundedBody):
    """A small body. `then` may raise ExtensionRefusedError."""

    __slots__ = ("_guard", "_then")

    def __init__(self, guard: _Guard, then: Callable[[bytes], None]) -> None:
        super().__init__(_LARGEST_BODY, _LARGEST_BODY)
        self._guard = guard
        self._then = then

    def far_too_large(self) -> None:
        message = f"Exceeded maximum allowed payload size ({_LARGEST_BODY} bytes)."
        refuse(self._guard.reply, 413, "RequestEntityTooLarge", message, close=True)

    def end(self, trailers: Fields) -> None:
        del trailers
        body = self.whole()
        if body is not None:
            self._guard.doing(lambda: self._then(body))


class _EventPoll:
    """A parked request for the next event."""

    __slots__ = ("_reply",)

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    @property
    def gone(self) -> bool:
        return self._reply.gone

    def deliver(self, event: dict[str, object]) -> None:
        header = f"lambda-extension-event-identifier: {uuid.uuid4()}\r\n"
        self._reply.send(response(200, json.dumps(event).encode(), header.encode()))

    def refuse(self, error: ExtensionRefusedError) -> None:
        refuse(self._reply, error.status, error.error_type, str(error))


def _register(environment: Environment, headers: Fields, body: bytes, reply: Reply) -> None:
    extensions = environment.extensions
    if environment.init_ms is not None:
        extensions.close()
    identifier = str(uuid.uuid4())
    extensions.register(_text(headers, b"lambda-extension-name"), _events(body), identifier)
    version = environment.version
    said = {
        "functionName": version.name,
        "functionVersion": version.version,
        "handler": version.handler,
    }
    features = _text(headers, b"lambda-extension-accept-feature").split(",")
    if "accountId" in (feature.strip() for feature in features):
        said["accountId"] = version.scope.account
    header = f"lambda-extension-identifier: {identifier}\r\n"
    reply.send(response(200, json.dumps(said).encode(), header.encode()))


def _next(environment: Environment, headers: Fields, reply: Reply) -> None:
    environment.extensions.poll(_identifier(headers), _EventPoll(reply))


def _events(body: bytes) -> list[object]:
    """The events that a registration names; without any it hears of nothing."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    events = (given.get("events") or []) if isinstance(given, dict) else None
    if not isinstance(events, list):
        message = "The body is no JSON object with a list of events"
        raise ExtensionRefusedError(400, "InvalidRequestFormat", message)
    return events


def _identifier(headers: Fields) -> str:
    given = _text(headers, b"lambda-extension-identifier")
    if not given:
        message = "Missing Lambda-Extension-Identifier header"
        raise ExtensionRefusedError(403, "Extension.MissingExtensionIdentifier", message)
    try:
        return str(uuid.UUID(given))
    except ValueError:
        message = "Invalid Lambda-Extension-Identifier"
        raise ExtensionRefusedError(403, "Extension.InvalidExtensionIdentifier", message) from None


def _init_error(name: str, error_type: str, body: bytes) -> RuntimeAnswer:
    """What callers get whose environment an extension has failed."""
    try:
        message = str(json.loads(body)["errorMessage"])
    except (ValueError, KeyError, TypeError, RecursionError):
        message = error_type
    said = {"errorMessage": f"Extension {name}: {message}", "errorType": "Extension.InitError"}
    return RuntimeAnswer(json.dumps(said).encode(), "Extension.InitError", fence=False)


def _text(headers: Fields, name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")

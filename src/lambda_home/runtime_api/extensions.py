"""What extensions ask for and say: the Extensions, Telemetry and Logs APIs.

An extension runs inside its environment's sandbox and is told from others by the same host name (or
port) as the runtime, then by the identifier that it got when it registered.
Sources: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html,
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api.html, and for errors AWS's runtime
interface emulator.

    POST /2020-01-01/extension/register
    GET  /2020-01-01/extension/event/next
    POST /2020-01-01/extension/init/error
    POST /2020-01-01/extension/exit/error
    PUT  /2022-07-01/telemetry
    PUT  /2020-08-15/logs
"""

from __future__ import annotations

import json
import uuid

import structlog

from lambda_home.direct_http import Body, Fields, Head, Reply, Routes
from lambda_home.runtime_api.bodies import Guard, SmallBody, identifier_of, text_of
from lambda_home.runtime_api.routes import (
    ACCEPTED,
    Asking,
    Refusing,
    RuntimeRoutes,
    refuse,
    response,
)
from lambda_home.runtime_api.supervision import PREFIX as SUPERVISOR
from lambda_home.runtime_api.supervision import supervision
from lambda_home.scheduler.environments import RuntimeAnswer
from lambda_home.scheduler.extended import Extended
from lambda_home.scheduler.extensions import ExtensionRefusedError, State
from lambda_home.scheduler.scheduler import Scheduler
from lambda_home.telemetry.subscriptions import Api, parse

_EXTENSION = "/2020-01-01/extension/"
_SUBSCRIBING = {"/2022-07-01/telemetry": Api.TELEMETRY, "/2020-08-15/logs": Api.LOGS}
_PREFIXES = (_EXTENSION.encode(), SUPERVISOR, *(path.encode() for path in _SUBSCRIBING))

_log = structlog.get_logger(__name__)


class ExtensionRoutes:
    """Serves extensions; leaves the rest to `runtime`, then to `aws`. See `direct_http.Routes`."""

    def __init__(self, scheduler: Scheduler, runtime: RuntimeRoutes, aws: Routes) -> None:
        self._scheduler = scheduler
        self._runtime = runtime
        self._aws = aws

    def begin(self, head: Head, reply: Reply) -> Body | None:
        """Take a request's head; says who takes its body."""
        if not head.path.startswith(_PREFIXES):
            return self._runtime.begin(head, reply) or self._aws.begin(head, reply)
        path = head.path.decode("latin-1")
        environment = self._runtime.caller(head.headers, head.port)
        if environment is None:
            event = "extensions API called by an unknown host"
            self._runtime.refusals.log(event, path=path, by=head.client)
            return Refusing(reply, 403, "Runtime.UnknownEnvironment", "No such environment.")
        extended = self._scheduler.extended
        if head.path.startswith(SUPERVISOR) and head.method == b"POST":
            return supervision(extended, environment, path[len(SUPERVISOR) :], reply)
        guard = Guard(reply, self._runtime.refusals, environment)
        api = _SUBSCRIBING.get(path.rstrip("/"))
        if api is not None and head.method == b"PUT":
            headers = head.headers
            return SmallBody(guard, lambda body: _subscribe(extended, guard, headers, body, api))
        return self._extension(head, path, guard)

    def _extension(self, head: Head, path: str, guard: Guard) -> Body:
        headers, reply = head.headers, guard.reply
        extended = self._scheduler.extended
        match head.method, path.removeprefix(_EXTENSION):
            case b"GET", "event/next":
                return Asking(lambda: guard.doing(lambda: _next(extended, guard, headers)))
            case b"POST", "register":
                return SmallBody(guard, lambda body: _register(extended, guard, headers, body))
            case b"POST", "init/error":
                return SmallBody(guard, lambda body: self._init_error(guard, headers, body))
            case b"POST", "exit/error":
                return SmallBody(guard, lambda _: _exit_error(guard, headers))
        message = f"No such resource: {head.method.decode('latin-1')} {path}"
        return Refusing(reply, 404, "Runtime.NotFound", message)

    def _init_error(self, guard: Guard, headers: Fields, body: bytes) -> None:
        """An external extension exits then, which ends its environment; with others all is over."""
        environment = guard.environment
        name, external = _failed(guard, headers, State.INIT_ERROR)
        if not external and environment.init_ms is None:
            error_type = text_of(headers, b"lambda-extension-function-error-type")
            self._scheduler.init_failed(environment, _init_error(name, error_type, body))


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


def _register(extended: Extended, guard: Guard, headers: Fields, body: bytes) -> None:
    environment = guard.environment
    identifier = str(uuid.uuid4())
    name = text_of(headers, b"lambda-extension-name")
    environment.extensions.register(name, _events(name, body), identifier)
    extended.listen(environment)
    version = environment.version
    said = {
        "functionName": version.name,
        "functionVersion": version.version,
        "handler": version.handler,
    }
    features = text_of(headers, b"lambda-extension-accept-feature").split(",")
    if "accountId" in (feature.strip() for feature in features):
        said["accountId"] = version.scope.account
    header = f"lambda-extension-identifier: {identifier}\r\n"
    guard.reply.send(response(200, json.dumps(said).encode(), header.encode()))


def _next(extended: Extended, guard: Guard, headers: Fields) -> None:
    guard.environment.extensions.poll(identifier_of(headers), _EventPoll(guard.reply))
    extended.go_on(guard.environment)


def _exit_error(guard: Guard, headers: Fields) -> None:
    _failed(guard, headers, State.EXIT_ERROR)


def _failed(guard: Guard, headers: Fields, state: State) -> tuple[str, bool]:
    """An extension says that it ends with an error; its name, and whether it is external."""
    identifier = identifier_of(headers)
    error_type = text_of(headers, b"lambda-extension-function-error-type")
    if not error_type:
        message = "Lambda-Extension-Function-Error-Type not found"
        raise ExtensionRefusedError(403, "Extension.MissingHeader", message)
    environment = guard.environment
    name, external = environment.extensions.failed(identifier, error_type, state)
    _log.warning(
        "an extension failed", extension=name, type=error_type, container_id=environment.id
    )
    guard.reply.send(ACCEPTED)
    return name, external


def _subscribe(extended: Extended, guard: Guard, headers: Fields, body: bytes, api: Api) -> None:
    name = guard.environment.extensions.name_of(identifier_of(headers))
    extended.subscribe(guard.environment, name, parse(body, api))
    guard.reply.send(response(200, b'"OK"'))


def _events(name: str, body: bytes) -> list[object]:
    """The events that a registration names; without any it hears of nothing."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    events = (given.get("events") or []) if isinstance(given, dict) else None
    if not isinstance(events, list):
        if not name:
            return []  # the name is what is wrong first
        message = "The body is no JSON object with a list of events"
        raise ExtensionRefusedError(403, "InvalidRequestFormat", message)
    if isinstance(given, dict) and given.get("configurationKeys"):
        message = "configurationKeys are deprecated; use environment variables instead"
        raise ExtensionRefusedError(403, "InvalidRequestFormat", message)
    return events


def _init_error(name: str, error_type: str, body: bytes) -> RuntimeAnswer:
    """What callers get whose environment an internal extension has failed."""
    try:
        message = str(json.loads(body)["errorMessage"])
    except (ValueError, KeyError, TypeError, RecursionError):
        message = error_type
    said = {"errorMessage": f"Extension {name}: {message}", "errorType": "Extension.InitError"}
    return RuntimeAnswer(json.dumps(said).encode(), "Extension.InitError", fence=False)

"""What an extension asks of the Telemetry API or the Logs API, checked (pure).

Sources: https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api-reference.html,
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-logs-api.html, and the schema of requests in
AWS's runtime interface emulator. The words of errors are our own, their type is the emulator's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeGuard

from lambda_home.errors import LambdaHomeError
from lambda_home.telemetry.records import Category, Schema

HOSTS: Final = ("sandbox.localdomain", "sandbox")
RESERVED_PORT: Final = 9001
"""The runtime API's on AWS; no listener may use it."""

_URI = re.compile(r"http://([^/?#@\\]*?)(?::([0-9]{1,5}))?(/[!-~]*)?", re.IGNORECASE)
_MOST_PORT: Final = 65535


class Api(StrEnum):
    """The two APIs; the value is what their messages call them."""

    TELEMETRY = "Telemetry"
    LOGS = "Logs"


_SCHEMAS: Final = {
    Api.TELEMETRY: (Schema.TELEMETRY, Schema.TELEMETRY_JSON, Schema.TELEMETRY_INSTANCES),
    Api.LOGS: (Schema.LOGS, Schema.LOGS_DONE),
}


class SubscriptionRefusedError(LambdaHomeError):
    """A subscription is refused with this HTTP status and AWS's type of error."""

    def __init__(self, status: int, error_type: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type


class Buffering(NamedTuple):
    """When a batch is delivered: with so many events, bytes, or after so long."""

    max_items: int = 10_000
    max_bytes: int = 262_144
    timeout_ms: int = 1_000


_LIMITS: Final = {
    "maxItems": (1_000, 10_000),
    "maxBytes": (262_144, 1_048_576),
    "timeoutMs": (25, 30_000),
}


class Destination(NamedTuple):
    """A listener within the environment: HTTP with a path, or TCP where `path` is empty.

    `host` is only what a request says; where it goes is the environment alone.
    """

    port: int
    host: str = HOSTS[0]
    path: str = ""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Subscription:
    """What somebody wants to hear of, and where."""

    api: Api
    schema: Schema
    types: tuple[Category, ...]
    destination: Destination
    buffering: Buffering


def parse(body: bytes, api: Api) -> Subscription:
    """Read the body of a request. Raises SubscriptionRefusedError (400, ValidationError)."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise _invalid("The body must be a JSON object.")
    schemas = _SCHEMAS[api]
    wanted = given.get("schemaVersion", Schema.LOGS if api is Api.LOGS else None)
    schema = next((s for s in schemas if wanted == s), None)
    if schema is None:
        raise _invalid(f"schemaVersion must be one of {', '.join(schemas)}.")
    return Subscription(
        api, schema, _types(given.get("types")), _destination(given), _buffering(given)
    )


def _types(given: object) -> tuple[Category, ...]:
    known = list(Category)
    if not isinstance(given, list) or not given or any(item not in known for item in given):
        raise _invalid(f"types must be a list of one or more of {', '.join(known)}.")
    return tuple(dict.fromkeys(Category(item) for item in given))


def _destination(request: Mapping[str, object]) -> Destination:
    given = request.get("destination")
    if not isinstance(given, dict):
        raise _invalid("destination must be an object with a protocol.")
    match given.get("protocol"):
        case "HTTP":
            return _http(given)
        case "TCP":
            return Destination(_port(given.get("port"), "destination.port"))
    raise _invalid("destination.protocol must be HTTP or TCP.")


def _http(given: Mapping[str, object]) -> Destination:
    uri = given.get("URI")
    match = _URI.fullmatch(uri) if isinstance(uri, str) else None
    if match is None or match[1].lower() not in HOSTS:
        raise _invalid(f"destination.URI must be http://{HOSTS[0]}:PORT, with a path if need be.")
    method = given.get("method", "POST")
    if method not in ("POST", "PUT"):
        raise _invalid("destination.method must be POST or PUT.")
    if given.get("encoding", "JSON") != "JSON":
        raise _invalid("destination.encoding must be JSON.")
    port = _port(int(match[2]) if match[2] else 80, "destination.URI's port")
    return Destination(port, match[1].lower(), match[3] or "/", str(method))


def _port(given: object, name: str) -> int:
    if not _is_integer(given) or not 0 < given <= _MOST_PORT:
        raise _invalid(f"{name} must be a number from 1 to {_MOST_PORT}.")
    if given == RESERVED_PORT:
        raise _invalid(f"{name} must not be {RESERVED_PORT}, which is reserved.")
    return given


def _buffering(request: Mapping[str, object]) -> Buffering:
    given = request.get("buffering")
    if given is None:
        return Buffering()
    if not isinstance(given, dict):
        raise _invalid("buffering must be an object.")
    values = list(Buffering())
    for index, (name, (least, most)) in enumerate(_LIMITS.items()):
        value = given.get(name)
        if value is None:
            continue
        if not _is_integer(value) or not least <= value <= most:
            raise _invalid(f"buffering.{name} must be a number from {least} to {most}.")
        values[index] = value
    return Buffering(*values)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _invalid(message: str) -> SubscriptionRefusedError:
    return SubscriptionRefusedError(400, "ValidationError", message)

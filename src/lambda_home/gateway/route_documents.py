"""Routes as documents, checked; pure. The members are those of `routes.Route`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote

from lambda_home.errors import InvalidParameterValueException
from lambda_home.gateway.cors import ANY, ANY_OF_SCHEME, Cors
from lambda_home.gateway.errors import PayloadFormat
from lambda_home.gateway.routes import Route, Throttle, bare_host, parameter_of, segments_of

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
AUTHORIZATIONS = ("NONE", "AWS_IAM")
LONGEST_PATH = 1024
MOST_PER_SECOND = 1_000_000
LONGEST_TIMEOUT_MS = 900_000
LARGEST_BODY = 64 * 1024 * 1024
_LONGEST_LIST = 100
_LONGEST_MAX_AGE = 86_400
_FIRST_SEGMENTS_OF_OURS = frozenset(
    {
        "2015-03-31",
        "admin",
        "api",
        "docker-stats",
        "healthz",
        "lambda-service-stats",
        "lambda-url",
        "metrics",
    }
)
_AWS_DATE = re.compile(r"20\d\d-\d\d-\d\d")
_LITERAL = re.compile(
    r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2}|[^\x00-\x9f\ud800-\udfff])+"
)
_HOST = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*"
)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._~\[\]:-]+")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,200}")
_FUNCTION = re.compile(r"[A-Za-z0-9:_$-]{1,300}")
_VARIABLE = re.compile(r"[A-Za-z0-9_]{1,64}")
_VALUE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,512}")


def route_of(document: Mapping[str, Any], route_id: str, created_at: str) -> Route:
    """The route that a document describes. Raises InvalidParameterValueException, in one line."""
    unknown = sorted(set(document) - set(_READERS) - {"route_id", "created_at"})
    if unknown:
        known = ", ".join(_READERS)
        raise _bad(f"A route has no member '{unknown[0]}'; it may have {known}.")
    for name in ("path", "function_name"):
        if document.get(name) is None:
            raise _bad(f"A route needs a {name}.")
    members = {
        name: read(document[name])
        for name, read in _READERS.items()
        if document.get(name) is not None
    }
    return Route(route_id=route_id, created_at=created_at, **members)


def document_of(route: Route) -> dict[str, Any]:
    """A route as a document."""
    document = asdict(route)
    first = ("route_id", "path", "method", "function_name", "created_at")
    ordered = {name: document.pop(name) for name in first}
    return ordered | {**document, "stage_variables": dict(route.stage_variables)}


def _path(value: object) -> str:
    path = _text("path", value)
    if not path.startswith("/") or len(path) > LONGEST_PATH:
        raise _bad(
            f"A path begins with a slash and has at most {LONGEST_PATH} characters: {path!r:.80}."
        )
    segments = segments_of(path)
    names = set()
    for at, segment in enumerate(segments):
        parameter = parameter_of(segment)
        if parameter is None:
            _check_literal(path, segment)
        elif parameter[0] in names:
            raise _bad(f"The path {path!r:.80} has two parameters '{parameter[0]}'.")
        elif parameter[1] and at != len(segments) - 1:
            raise _bad(f"In the path {path!r:.80} only the last segment may be '{segment}'.")
        else:
            names.add(parameter[0])
    first = unquote(segments[0]) if segments else ""
    if first in _FIRST_SEGMENTS_OF_OURS or _AWS_DATE.fullmatch(first):
        raise _bad(f"Paths that begin with '/{first}' are the server's own: choose another.")
    return path


def _check_literal(path: str, segment: str) -> None:
    if not _LITERAL.fullmatch(segment) or unquote(segment) in {".", ".."}:
        raise _bad(
            f"The path {path!r:.80} has a segment {segment!r:.40} that no request can have; write"
            " /like/{this} or /like/{this+}, and percent-encode other characters."
        )


def _method(value: object) -> str | None:
    method = _text("method", value).upper()
    if method == "ANY":
        return None
    if method not in METHODS:
        raise _bad(f"method must be ANY or one of {', '.join(METHODS)}.")
    return method


def _host(value: object) -> str:
    given = _text("host", value)
    host, port = bare_host(given), given.rpartition(":")[2]
    if not _HOST.fullmatch(host) or (":" in given and not port.isdecimal()):
        raise _bad("host must be a host name such as api.example.com, without scheme or path.")
    return host


def _function_name(value: object) -> str:
    name = _text("function_name", value)
    if not _FUNCTION.fullmatch(name):
        raise _bad("function_name must be a function's name, name:alias or its ARN.")
    return name


def _payload_format(value: object) -> PayloadFormat:
    try:
        return PayloadFormat(_text("payload_format", value))
    except ValueError:
        raise _bad('payload_format must be "1.0" or "2.0".') from None


def _authorization(value: object) -> str:
    if value not in AUTHORIZATIONS:
        raise _bad(f"authorization must be one of {', '.join(AUTHORIZATIONS)}.")
    return str(value)


def _stage_variables(value: object) -> dict[str, str]:
    members = _object("stage_variables", value)
    for name, text in members.items():
        if not _VARIABLE.fullmatch(name) or not isinstance(text, str) or not _VALUE.fullmatch(text):
            raise _bad(
                "stage_variables must map names of letters, digits and _ to strings of at most 512"
                f" characters; '{name:.64}' does not."
            )
    return members


def _cors(value: object) -> Cors:
    members = _object("cors", value)
    readers: dict[str, Callable[[object], Any]] = {
        "allow_origins": _origins,
        "allow_methods": _cors_methods,
        "allow_headers": _header_names,
        "expose_headers": _header_names,
        "max_age": _number("cors.max_age", 0, _LONGEST_MAX_AGE),
        "allow_credentials": _flag("cors.allow_credentials"),
    }
    for name in members:
        if name not in readers:
            raise _bad(f"cors has no member '{name:.40}'; it may have {', '.join(readers)}.")
    cors = Cors(
        **{name: readers[name](given) for name, given in members.items() if given is not None}
    )
    if cors.allow_credentials and (ANY in cors.allow_origins or ANY in cors.expose_headers):
        raise _bad("cors cannot allow credentials together with '*': name the origins and headers.")
    return cors


def _origins(value: object) -> tuple[str, ...]:
    origins = tuple(text.lower().removesuffix("/") for text in _texts("cors.allow_origins", value))
    for origin in origins:
        if origin not in ANY_OF_SCHEME | {ANY, "null"} and not _ORIGIN.fullmatch(origin):
            raise _bad(
                f"cors.allow_origins has {origin!r:.80}, which is no origin: write https://host."
            )
    return origins


def _cors_methods(value: object) -> tuple[str, ...]:
    methods = tuple(text.upper() for text in _texts("cors.allow_methods", value))
    if any(method not in {*METHODS, ANY} for method in methods):
        raise _bad(f"cors.allow_methods may have * and {', '.join(METHODS)}.")
    return methods


def _header_names(value: object) -> tuple[str, ...]:
    names = tuple(_texts("the headers of cors", value))
    for name in names:
        if not _TOKEN.fullmatch(name):
            raise _bad(f"cors has {name!r:.80}, which is no name of a header.")
    return names


def _throttle(value: object) -> Throttle:
    members = _object("throttle", value)
    if set(members) != {"rate_limit", "burst_limit"}:
        raise _bad('throttle must be {"rate_limit": N, "burst_limit": N}.')
    rate = _number("throttle.rate_limit", 1, MOST_PER_SECOND)(members["rate_limit"])
    burst = _number("throttle.burst_limit", 1, MOST_PER_SECOND)(members["burst_limit"])
    return Throttle(rate, burst)


def _flag(name: str) -> Callable[[object], bool]:
    def read(value: object) -> bool:
        if not isinstance(value, bool):
            raise _bad(f"{name} must be true or false.")
        return value

    return read


def _number(name: str, least: int, most: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _bad(f"{name} must be a whole number from {least} to {most}.")
        return value

    return read


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise _bad(f"{name} must be a string.")
    return value


def _texts(name: str, value: object) -> list[str]:
    given = list(value) if isinstance(value, list | tuple) else [None]
    texts = [text for text in given if isinstance(text, str)]
    if len(texts) != len(given) or len(given) > _LONGEST_LIST:
        raise _bad(f"{name} must be a list of at most {_LONGEST_LIST} strings.")
    return texts


def _object(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _bad(f"{name} must be an object.")
    return dict(value)


def _bad(message: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(message)


_READERS: dict[str, Callable[[object], Any]] = {
    "path": _path,
    "method": _method,
    "function_name": _function_name,
    "host": _host,
    "payload_format": _payload_format,
    "strip_prefix": _flag("strip_prefix"),
    "stream": _flag("stream"),
    "authorization": _authorization,
    "timeout_ms": _number("timeout_ms", 1, LONGEST_TIMEOUT_MS),
    "max_body_bytes": _number("max_body_bytes", 0, LARGEST_BODY),
    "stage_variables": _stage_variables,
    "cors": _cors,
    "throttle": _throttle,
}

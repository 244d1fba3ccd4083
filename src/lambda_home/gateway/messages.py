"""HTTP requests and responses as a gateway sees them, and responses as bytes on the wire; pure.

Sources: RFC 9110 and RFC 9112 (HTTP semantics, HTTP/1.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

TextFields = list[tuple[str, str]]

# What frames a message or concerns one connection is ours to say, not a function's.
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
LAST_CHUNK: Final = b"0\r\n\r\n"

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}
_INFORMATIONAL = 200  # every status below
_BODILESS = frozenset({204, 304})
_LOWEST_STATUS, _HIGHEST_STATUS = 200, 599


class BadMessageError(ValueError):
    """A response that cannot be sent: its status, or a header, would break the connection."""


@dataclass(slots=True)
class HttpRequest:
    """A request as it came.

    `path` and `query` are as sent, not decoded; `fields` all headers in their order, duplicates
    kept, names in lower case; `host` the Host header with its port; `time_ms` when it came, in
    milliseconds since 1970; `source_ip` the client's address.
    """

    method: str
    path: str
    query: str
    fields: TextFields
    body: bytes
    source_ip: str
    host: str
    time_ms: int
    request_id: str
    scheme: str = "http"
    protocol: str = "HTTP/1.1"

    def header(self, name: str) -> str | None:
        """The last header of a (lower-case) name; None if there is none."""
        for given, value in reversed(self.fields):
            if given == name:
                return value
        return None


@dataclass(slots=True)
class HttpResponse:
    """A response to send; `body` is sent as it is."""

    status: int
    fields: TextFields = field(default_factory=list)
    body: bytes = b""


@dataclass(slots=True)
class RouteContext:
    """What an event says of the route that a request took, beside the request itself.

    `route_key` is "GET /pets/{id}" or "$default", `resource` the route's path as REST APIs write
    it. `path` is the path as the function sees it (None: as the request has it), `stage_path` what
    REST APIs put into `requestContext.path` (None: the request's path). `authorizer` is
    `requestContext.authorizer` of format 2.0, `identity` what REST APIs know of the caller.
    """

    account_id: str
    api_id: str
    route_key: str = "$default"
    resource: str = "/{proxy+}"
    resource_id: str = ""
    stage: str = "$default"
    domain_name: str = ""
    domain_prefix: str = ""
    path: str | None = None
    stage_path: str | None = None
    path_parameters: Mapping[str, str] | None = None
    stage_variables: Mapping[str, str] | None = None
    authorizer: Mapping[str, Any] | None = None
    authentication: Mapping[str, Any] | None = None
    identity: Mapping[str, Any] | None = None


def render(response: HttpResponse, method: str = "GET") -> bytes:
    """A whole HTTP/1.1 response. Raises BadMessageError for what must not reach a client.

    HEAD, 204 and 304 have no body; what functions say of the connection is left out.
    """
    status = response.status
    head = _head(status, response.fields)
    if status in _BODILESS:
        return f"{head}\r\n".encode("latin-1")
    head += f"content-length: {len(response.body)}\r\n\r\n"
    encoded = head.encode("latin-1")
    return encoded if method == "HEAD" else encoded + response.body


def render_stream_head(response: HttpResponse, method: str = "GET") -> tuple[bytes, bool]:
    """The head of a response whose body follows in chunks, and whether a body may follow.

    Raises BadMessageError as `render` does.
    """
    head = _head(response.status, response.fields)
    if response.status in _BODILESS:
        return f"{head}\r\n".encode("latin-1"), False
    return f"{head}transfer-encoding: chunked\r\n\r\n".encode("latin-1"), method != "HEAD"


def chunk(data: bytes) -> bytes:
    """A piece of a body as one chunk (RFC 9112, section 7.1); nothing for no data."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def set_fields(response: HttpResponse, fields: Iterable[tuple[str, str]]) -> None:
    """Give a response headers, in place of those of the same (lower-case) names."""
    new = list(fields)
    if new:
        names = {name for name, _ in new}
        response.fields = [pair for pair in response.fields if pair[0].lower() not in names] + new


def _head(status: int, fields: TextFields) -> str:
    if not _LOWEST_STATUS <= status <= _HIGHEST_STATUS:
        raise BadMessageError(f"{status} is no status of a whole response.")
    parts = [_STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n"]
    for name, value in fields:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise BadMessageError(f"The header {name!r} cannot be sent.")
        if name.lower() not in HOP_BY_HOP:
            parts.append(f"{name}: {_latin(value)}\r\n")
    return "".join(parts)


def _latin(value: str) -> str:
    """Text whose latin-1 form is the value's own, or its UTF-8 form where it has none."""
    if value.isascii():
        return value
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode().decode("latin-1")
    return value

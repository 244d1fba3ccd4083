"""Requests as bytes: rest-json as an SDK sends it, and ways in which it can be wrong."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPResponse
from typing import Any, Final
from urllib.parse import quote

from model_requests.answers import Answer
from model_requests.building import ACCOUNT, REGION, operation

_AUTHORIZATION: Final = (
    f"AWS4-HMAC-SHA256 Credential={ACCOUNT}/20260101/{REGION}/lambda/aws4_request,"
    " SignedHeaders=host, Signature=0"
)


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes over the wire."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def encoded(self, host: str) -> bytes:
        """Its bytes."""
        target = self.path + (f"?{self.query}" if self.query else "")
        lines = [f"{self.method} {target} HTTP/1.1", f"Host: {host}"]
        headers = {"Authorization": _AUTHORIZATION, **self.headers}
        headers["Content-Length"] = str(len(self.body))
        lines += [f"{name}: {one}" for name, one in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body

    def shown(self) -> str:
        """How a person would send it again."""
        shown = ascii(self.body[:1500])
        return f"{self.method} {self.path}?{self.query} {dict(self.headers)} {shown}"


def rendered(name: str, params: Mapping[Any, Any]) -> Request:
    """A request for an operation; values of any type are written as well as they can be."""
    model = operation(name)
    path, _, query = model.http["requestUri"].partition("?")
    pairs = [query] if query else []
    headers = {"Content-Type": "application/json"}
    document: dict[Any, Any] = {}
    body: bytes | None = None
    for member, item in params.items():
        known = model.input_shape.members.get(member)
        place = known.serialization if known is not None else {}
        wire = place.get("name", member)
        match place.get("location"):
            case "uri":
                path = path.replace(f"{{{wire}}}", _quoted(item))
            case "querystring":
                items = item if isinstance(item, list) else [item]
                pairs += [f"{_quoted(wire)}={_quoted(one)}" for one in items]
            case "header":
                headers[wire] = _header(item)
            case _ if member == model.input_shape.serialization.get("payload"):
                body = item if isinstance(item, bytes) else _json(item)
            case _:
                document[wire] = item
    if body is None:
        body = _json(document) if document or model.http["method"] != "GET" else b""
    return Request(model.http["method"], path, "&".join(pairs), headers, body)


def _text(item: Any) -> str:
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, bytes):
        return item.decode("latin-1")
    return item if isinstance(item, str) else json.dumps(item, default=_written)


def _quoted(item: Any) -> str:
    return quote(_text(item).encode("utf-8", "surrogatepass"), safe="")


def _header(item: Any) -> str:
    """Without what would end the header, or the request."""
    return "".join(one for one in _text(item)[:4000] if one.isprintable())


def _json(item: Any) -> bytes:
    return json.dumps(item, default=_written).encode()


def _written(item: Any) -> str:
    return base64.b64encode(item).decode() if isinstance(item, bytes) else str(item)


# ------------------------------------------------------------------------------- wrong on the wire


def _body(change: Callable[[bytes], bytes]) -> Callable[[Request], Request]:
    return lambda request: replace(request, body=change(request.body))


def _with_member(text: bytes) -> Callable[[Request], Request]:
    """One more member at the end of the body."""
    return _body(lambda body: body[:-1] + b", " * (len(body) > len(b"{}")) + text + b"}")


def _path(change: Callable[[str], str]) -> Callable[[Request], Request]:
    return lambda request: replace(request, path=change(request.path))


def _query(more: str) -> Callable[[Request], Request]:
    return lambda request: replace(request, query=f"{request.query}&{more}")


def _with(**headers: str) -> Callable[[Request], Request]:
    named = {name.replace("_", "-"): one for name, one in headers.items()}
    return lambda request: replace(request, headers={**request.headers, **named})


def _method(name: str) -> Callable[[Request], Request]:
    return lambda request: replace(request, method=name)


_ELSEWHERE: Final = _AUTHORIZATION.replace(REGION, "eu-west-1").replace(ACCOUNT, "123456789012")

_SPOILED: Final[Mapping[str, Callable[[Request], Request]]] = {
    "body cut off": _body(lambda body: body[: len(body) // 2]),
    "body empty": _body(lambda _: b""),
    "body null": _body(lambda _: b"null"),
    "body list": _body(lambda body: b"[" + body + b"]"),
    "body number": _body(lambda _: b"5"),
    "body text": _body(lambda _: b'"text"'),
    "body no json": _body(lambda _: b"a=1&b=2"),
    "body trailing": _body(lambda body: body + b"}"),
    "body deep lists": _body(lambda _: b"[" * 100_000),
    "body deep objects": _body(lambda _: b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "body deep member": _with_member(b'"Tags": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "body deep list": _with_member(b'"Layers": ' + b"[" * 5000 + b"]" * 5000),
    "body twice": _body(lambda body: body[:-1] + b"," + body[1:]),
    "body same key": _with_member(b'"Description": "a", "Description": {"b": 1}'),
    "body huge number": _with_member(b'"Timeout": 1e999999'),
    "body long number": _with_member(b'"Timeout": ' + b"9" * 5000),
    "body not a number": _with_member(b'"Timeout": NaN, "MaximumRetryAttempts": -Infinity'),
    "body no utf-8": _body(lambda body: body + b"\xff\xfe"),
    "body in utf-16": _body(lambda body: body.decode("latin-1").encode("utf-16")),
    "body marked": _body(lambda body: b"\xef\xbb\xbf" + body),
    "body surrogate": _with_member(b'"Description": "\xed\xa0\x80"'),
    "body escaped surrogate": _with_member(b'"Description": "\\ud800", "Tags": {"\\udc00": "a"}'),
    "body zeros": _body(lambda _: b"\0" * 64),
    "path trailing slash": _path(lambda path: path + "/"),
    "path double slash": _path(lambda path: "/" + path),
    "path dots": _path(lambda path: path + "/../x"),
    "path bad percent": _path(lambda path: path + "%"),
    "path odd percent": _path(lambda path: path + "%zz%"),
    "path zero": _path(lambda path: path + "%00"),
    "path no utf-8": _path(lambda path: path + "%ff%fe"),
    "path unquoted": _path(lambda path: path.replace("%3A", ":").replace("%2F", "/")),
    "path upper": _path(str.upper),
    "path long": _path(lambda path: path + "a" * 8000),
    "path of another version": _path(lambda path: "/2099-12-31/" + path.split("/", 2)[-1]),
    "query twice": lambda request: replace(request, query=f"{request.query}&{request.query}"),
    "query unknown": _query("Unknown=1&=&&"),
    "query bad percent": _query("Qualifier=%&MaxItems=%zz"),
    "query no utf-8": _query("Marker=%ff"),
    "query bare": _query("Qualifier&MaxItems"),
    "query numbers": _query("MaxItems=1&MaxItems=99999999999999999999"),
    "query plus": _query("Marker=+%2B+"),
    "query find": _query("find=LayerVersion&List=ALL"),
    "query long": _query("Marker=" + "a" * 8000),
    "type none": _with(Content_Type=""),
    "type form": _with(Content_Type="application/x-www-form-urlencoded"),
    "type xml": _with(Content_Type="text/xml; charset=utf-16"),
    "type zipped": _with(Content_Encoding="gzip"),
    "caller unknown": _with(Authorization="Basic Og=="),
    "caller odd": _with(Authorization="AWS4-HMAC-SHA256 Credential=////, SignedHeaders=, \xe9"),
    "caller elsewhere": _with(Authorization=_ELSEWHERE),
    "header long": _with(X_Odd="a" * 6000),
    "header context": _with(X_Amz_Client_Context="not base64", X_Amz_Log_Type="Nothing"),
    "method patch": _method("PATCH"),
    "method head": _method("HEAD"),
    "method options": _method("OPTIONS"),
    "method delete": _method("DELETE"),
    "method get": _method("GET"),
    "method post": _method("POST"),
    "method put": _method("PUT"),
}
SPOILS: Final = tuple(_SPOILED)


def spoiled(request: Request, how: str) -> Request:
    """The request, wrong in one of `SPOILS`."""
    return _SPOILED[how](request)


# -------------------------------------------------------------------------------------- connection


class Dropped(Exception):
    """The server ended a connection without an answer."""


class Connection:
    """A kept-alive connection; it is opened anew where the server ends it."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket: socket.socket | None = None

    def send(self, request: Request) -> Answer:
        """Send a request and read its answer; raises Dropped."""
        connected = self._socket
        if connected is None:
            self._socket = connected = socket.create_connection(self._address, timeout=60)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        response = HTTPResponse(connected, method=request.method)
        try:
            connected.sendall(request.encoded(f"{self._address[0]}:{self._address[1]}"))
            response.begin()
            body = response.read()
        except (OSError, HTTPException) as error:
            self.close()
            raise Dropped(repr(error)) from error
        finally:
            response.close()
        headers = {name.lower(): one for name, one in response.getheaders()}
        if response.will_close:
            self.close()
        return Answer(response.status, headers, body)

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

"""From an HTTP request to the parameters of an operation, with AWS's member names.

Members come from the path, the query string, headers, the JSON body or, for a payload member, from
the whole body. Unknown JSON members and query parameters are ignored, JSON null means absent.
Whatever cannot be read as the model's type raises SerializationException in the words that AWS's
services have for it (`STRING_VALUE can not be converted to an Integer`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from lambda_home.errors import SerializationException
from lambda_home.user_api.protocol.model import Member, Operation, operation
from lambda_home.user_api.protocol.readers import read_structure, read_text_value
from lambda_home.user_api.protocol.routing import Match

_UNREADABLE = "Could not parse request body into json: "


def parse(
    operation_name: str,
    match: Match,
    query: str,
    headers: Mapping[str, str],
    body: bytes | Mapping[str, Any],
) -> dict[str, Any]:
    """Read the parameters of a request.

    `query` is the raw query string, the keys of `headers` are in lower case, `body` is the raw body
    or a JSON document that `read_document` has read already. Raises SerializationException.
    """
    model = operation(operation_name)
    parts = _parts(model)
    params: dict[str, Any] = {}
    if parts.body:
        document = body if isinstance(body, Mapping) else read_document(body)
        params.update(read_structure(model.input, document))
    for member in parts.path:
        params[member.name] = read_text_value(match.path_params[member.wire], member.shape)
    if parts.query and query:
        _read_query(parts.query, query, params)
    for member in parts.headers:
        value = headers.get(member.wire.lower())
        if value is not None:
            params[member.name] = read_text_value(value, member.shape)
    if model.input_payload is not None:
        _read_payload(model.input.members[model.input_payload], body, params)
    return params


class _Parts:
    """The members of an operation's input by where they travel."""

    __slots__ = ("body", "headers", "path", "query")

    def __init__(self, model: Operation) -> None:
        members = tuple(model.input.members.values())
        self.path = tuple(member for member in members if member.location == "uri")
        self.query = tuple(member for member in members if member.location == "querystring")
        self.headers = tuple(member for member in members if member.location == "header")
        self.body = model.input_payload is None and any(
            member.location == "body" for member in members
        )


@cache
def _parts(model: Operation) -> _Parts:
    return _Parts(model)


def read_document(body: bytes) -> dict[str, Any]:
    """Read a JSON object; an empty body is an empty object.

    Of duplicate keys the last one counts. A lone surrogate, which no UTF-8 file or database takes,
    becomes `?`, as it does in Java. Raises SerializationException for everything that is not a
    JSON object in UTF-8, `NaN` and nesting beyond the parser's depth included.
    """
    if not body:
        return {}
    try:
        text = body.decode()
        document = json.loads(text, parse_constant=_refuse_constant)
        if r"\ud" in text or r"\uD" in text:
            document = _without_lone_surrogates(document)
    except RecursionError:
        raise SerializationException(f"{_UNREADABLE}the document is nested too deeply") from None
    except ValueError as error:
        raise SerializationException(f"{_UNREADABLE}{error}") from error
    if not isinstance(document, dict):
        raise SerializationException("Expected a JSON object as the request body.")
    return document


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"Non-standard token '{text}'")


def _without_lone_surrogates(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case list():
            return [_without_lone_surrogates(item) for item in value]
        case dict():
            return {
                _without_lone_surrogates(key): _without_lone_surrogates(item)
                for key, item in value.items()
            }
    return value


def _read_query(members: tuple[Member, ...], query: str, params: dict[str, Any]) -> None:
    """Take the first value of each parameter, or all of them where the member is a list."""
    given: dict[str, list[str]] = {}
    for key, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        given.setdefault(key, []).append(value)
    for member in members:
        values = given.get(member.wire)
        if values is None:
            continue
        element = member.shape.element
        params[member.name] = (
            read_text_value(values[0], member.shape)
            if element is None
            else [read_text_value(value, element) for value in values]
        )


def _read_payload(member: Member, body: bytes | Mapping[str, Any], params: dict[str, Any]) -> None:
    if member.shape.kind == "blob":
        if body:
            params[member.name] = body
        return
    document = body if isinstance(body, Mapping) else read_document(body)
    if document:
        params[member.name] = read_structure(member.shape, document)

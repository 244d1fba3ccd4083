"""What is wrong with an answer, by AWS's model: missing members, types, enums, shapes of errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from http import HTTPStatus
from typing import Any

from botocore.parsers import create_parser
from model_requests.building import model, operation

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "timestamp": datetime,
    "blob": bytes,
    "list": list,
    "map": dict,
    "structure": dict,
}

# Codes that AWS sends without modelling them, with their statuses.
UNMODELLED: Mapping[str, frozenset[int]] = {
    "ValidationException": frozenset({400}),
    "SerializationException": frozenset({400}),
    "AccessDeniedException": frozenset({403}),
    "UnknownOperationException": frozenset({404}),
    "RequestEntityTooLargeException": frozenset({413}),
    "NotImplementedException": frozenset({501}),
}

# Values that AWS sends though the model's enum lacks them (recorded: an update in progress).
_MORE_VALUES = {"LastUpdateStatusReasonCode": {"Creating"}}

# Members that the model requires and AWS leaves out (recorded: a function without code signing).
_MAY_MISS = {"GetFunctionCodeSigningConfigResponse": {"CodeSigningConfigArn", "FunctionName"}}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came over the wire; the names of its headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def faults_of_result(name: str, result: Mapping[str, Any]) -> list[str]:
    """What is wrong with a parsed answer of an operation (ResponseMetadata does not count)."""
    found = {key: item for key, item in result.items() if key != "ResponseMetadata"}
    shape = operation(name).output_shape
    if shape is None:
        return [f"has members: {sorted(found)}"] if found else []
    return list(_faults(shape, found, name))


def _faults(shape: Any, given: Any, where: str) -> Iterator[str]:
    if hasattr(given, "read") or shape.serialization.get("eventstream"):
        return
    if not _has_type(shape, given):
        yield f"{where} is {given!r}, which is not of type {shape.type_name}"
        return
    match shape.type_name:
        case "structure":
            yield from _structure_faults(shape, given, where)
        case "list":
            for item in given:
                yield from _faults(shape.member, item, f"{where}[]")
        case "map":
            for key, item in given.items():
                yield from _faults(shape.key, key, f"{where}<key>")
                yield from _faults(shape.value, item, f"{where}.{key}")
        case "string" if not _is_value(shape, given):
            yield f"{where} is {given!r}, which is no value of {shape.name}"


def _has_type(shape: Any, given: Any) -> bool:
    wanted = _TYPES[shape.type_name]
    return isinstance(given, wanted) and (wanted is bool or not isinstance(given, bool))


def _is_value(shape: Any, given: str) -> bool:
    enum = shape.metadata.get("enum")
    return not enum or given in enum or given in _MORE_VALUES.get(shape.name, ())


def _structure_faults(shape: Any, given: Mapping[str, Any], where: str) -> Iterator[str]:
    required = set(shape.required_members) - _MAY_MISS.get(shape.name, set())
    for name in sorted(required - set(given)):
        yield f"{where}.{name} is missing"
    for name, item in given.items():
        if name in shape.members:
            yield from _faults(shape.members[name], item, f"{where}.{name}")
        else:
            yield f"{where}.{name} is no member"


def faults_of_wire(name: str, answer: Answer) -> list[str]:
    """What is wrong with a raw answer to a request for an operation ("" if it was for none)."""
    missing = [] if "x-amzn-requestid" in answer.headers else ["there is no x-amzn-RequestId"]
    if answer.status >= HTTPStatus.BAD_REQUEST:
        return missing + _faults_of_error(answer)
    if not name:
        return missing
    shape = operation(name).output_shape
    if shape is not None and "payload" in shape.serialization:
        return missing
    if answer.status == HTTPStatus.NO_CONTENT:
        return [*missing, "204 has a body"] if answer.body else missing
    try:
        document = json.loads(answer.body or b"{}")
    except ValueError as error:
        return [*missing, f"the body is no JSON: {error}"]
    unknown = set(document) - _wire_names(name)
    if unknown:
        missing.append(f"unknown members {sorted(unknown)}")
    return missing + faults_of_result(name, parsed(name, answer))


def parsed(name: str, answer: Answer) -> dict[str, Any]:
    """An answer as botocore reads it."""
    response = {"status_code": answer.status, "headers": answer.headers, "body": answer.body}
    result: dict[str, Any] = create_parser("rest-json").parse(
        response, operation(name).output_shape
    )
    return result


@cache
def _wire_names(name: str) -> frozenset[str]:
    shape = operation(name).output_shape
    members = {} if shape is None else shape.members
    return frozenset(member.serialization.get("name", key) for key, member in members.items())


@cache
def _errors() -> Mapping[str, tuple[int, str, bool]]:
    """Of every modelled error: its status, how it spells `message`, whether it has a `Type`."""
    found = {}
    for shape in model().error_shapes:
        spelled = next((name for name in shape.members if name.lower() == "message"), "")
        status = shape.metadata.get("error", {}).get("httpStatusCode", 0)
        found[shape.name] = (status, spelled, "Type" in shape.members)
    return found


def _faults_of_error(answer: Answer) -> list[str]:
    code = answer.headers.get("x-amzn-errortype", "")
    if not code:
        return ["there is no x-amzn-ErrorType"]
    if answer.headers.get("content-type", "").split(";")[0] != "application/json":
        return [f"the content type is {answer.headers.get('content-type')}"]
    try:
        document = json.loads(answer.body)
    except ValueError as error:
        return [f"the body is no JSON: {error}"]
    if not isinstance(document, dict):
        return ["the body is no object"]
    return [*_faults_of_code(code, answer.status), *_faults_of_members(code, document)]


def _faults_of_code(code: str, status: int) -> Iterator[str]:
    modelled = _errors().get(code)
    statuses = UNMODELLED.get(code, frozenset()) if modelled is None else frozenset({modelled[0]})
    if status not in statuses:
        yield f"{code} has status {status}, not {sorted(statuses)}"


def _faults_of_members(code: str, document: Mapping[str, Any]) -> Iterator[str]:
    _, spelled, typed = _errors().get(code, (0, "", False))
    present = [name for name in document if name.lower() == "message"]
    if len(present) != 1:
        yield f"{code} has the messages {present}"
        return
    if spelled and present != [spelled]:
        yield f"{code} spells {spelled} as {present[0]}"
    if not isinstance(document[present[0]], str | None):
        yield f"the message of {code} is {document[present[0]]!r}"
    if document.get("Type", "User") not in {"User", "Service"}:
        yield f"{code} has the Type {document['Type']!r}"
    if "Type" in document and not typed:
        yield f"{code} has a Type, which the model does not"

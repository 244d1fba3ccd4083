"""From JSON values and text to Python values of the model's types.

A value that has another type raises SerializationException with the words AWS's services use for
it. Timestamps become aware datetimes in UTC, blobs bytes.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, NoReturn

from lambda_home.errors import SerializationException
from lambda_home.user_api.protocol import deviations
from lambda_home.user_api.protocol.model import Member, Shape

Reader = Callable[[Any], Any]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER = range(-(2**31), 2**31)
_LONG = range(-(2**63), 2**63)
_LONGEST_NUMBER = 400
_STRUCTURE = "Start of structure or map found where not expected."
_LIST = "Start of list found where not expected."
_JAVA_NAMES = {
    "string": "a String",
    "integer": "an Integer",
    "long": "a Long",
    "float": "a Float",
    "double": "a Double",
    "boolean": "a Boolean",
    "timestamp": "a Timestamp",
    "blob": "a Blob",
}


def read_structure(shape: Shape, document: Mapping[str, Any]) -> dict[str, Any]:
    """Read the body members of a structure; raises SerializationException."""
    found: dict[str, Any] = {}
    readers = _member_readers(shape)
    for wire, value in document.items():
        if value is not None and (known := readers.get(wire)) is not None:
            name, reader = known
            found[name] = reader(value)
    return found


def read_text_value(text: str, shape: Shape) -> Any:
    """Read a value that came as text: in the path, the query string or a header."""
    match shape.kind:
        case "string":
            return text
        case "boolean":
            if text.lower() not in {"true", "false"}:
                _refuse(text, shape)
            return text.lower() == "true"
        case "integer" | "long":
            return _integer(_number(text, shape), shape)
        case "timestamp":
            return _timestamp_text(text, shape)
    return _number(text, shape)


@cache
def _member_readers(shape: Shape) -> Mapping[str, tuple[str, Reader]]:
    return {
        member.wire: (member.name, _reader(member.shape))
        for member in shape.members.values()
        if _in_body(member)
    }


def _in_body(member: Member) -> bool:
    return member.location == "body"


@cache
def _reader(shape: Shape) -> Reader:
    make = _READERS.get(shape.kind, _number_reader)
    return make(shape)


def _refuse(value: object, shape: Shape) -> NoReturn:
    """Say what cannot become a value of `shape`, as AWS's JSON reader does."""
    match value:
        case dict():
            raise SerializationException(_STRUCTURE)
        case list():
            raise SerializationException(_LIST)
        case bool():
            found = "TRUE_VALUE" if value else "FALSE_VALUE"
        case str():
            found = "STRING_VALUE"
        case _:
            found = "NUMBER_VALUE"
    target = _JAVA_NAMES.get(shape.kind)
    if target is None:
        raise SerializationException("Unexpected field type")
    raise SerializationException(f"{found} can not be converted to {target}")


def _structure_reader(shape: Shape) -> Reader:
    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            _refuse(value, shape)
        return read_structure(shape, value)

    return read


def _list_reader(shape: Shape) -> Reader:
    reader = _element_reader(shape)
    drops_nulls = shape.element is not None and shape.element.name in deviations.NULLABLE_ELEMENTS

    def read(value: Any) -> list[Any]:
        if not isinstance(value, list):
            _refuse(value, shape)
        given = [item for item in value if item is not None] if drops_nulls else value
        return [None if item is None else reader(item) for item in given]

    return read


def _map_reader(shape: Shape) -> Reader:
    reader = _element_reader(shape)

    def read(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            _refuse(value, shape)
        return {key: None if item is None else reader(item) for key, item in value.items()}

    return read


def _element_reader(shape: Shape) -> Reader:
    if shape.element is None:
        raise TypeError(f"{shape.name} has no element")
    return _reader(shape.element)


def _string_reader(shape: Shape) -> Reader:
    def read(value: Any) -> str:
        return value if isinstance(value, str) else _refuse(value, shape)

    return read


def _boolean_reader(shape: Shape) -> Reader:
    def read(value: Any) -> bool:
        return value if isinstance(value, bool) else _refuse(value, shape)

    return read


def _number_reader(shape: Shape) -> Reader:
    whole = shape.kind in {"integer", "long"}

    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            _refuse(value, shape)
        return _integer(value, shape) if whole else _finite(value, shape)

    return read


def _blob_reader(shape: Shape) -> Reader:
    def read(value: Any) -> bytes:
        if not isinstance(value, str):
            _refuse(value, shape)
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise SerializationException(f"Could not decode a base64 value: {error}") from error

    return read


def _timestamp_reader(shape: Shape) -> Reader:
    def read(value: Any) -> datetime:
        if isinstance(value, str):
            return _timestamp_text(value, shape)
        if isinstance(value, bool) or not isinstance(value, int | float):
            _refuse(value, shape)
        return _timestamp(value, shape)

    return read


def _number(text: str, shape: Shape) -> float:
    """An int where the text is one, else a float; a bound keeps the conversion cheap."""
    if len(text) > _LONGEST_NUMBER or not text.isascii() or "_" in text:
        _refuse(text, shape)
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    _refuse(text, shape)


def _integer(value: float, shape: Shape) -> int:
    """An integer, also from `3.0`; a fraction or a number too big for Java's type is refused."""
    if isinstance(value, float) and not value.is_integer():
        _refuse(value, shape)
    if int(value) not in (_INTEGER if shape.kind == "integer" else _LONG):
        _refuse(value, shape)
    return int(value)


def _finite(value: float, shape: Shape) -> float:
    try:
        number = float(value)
    except OverflowError:
        _refuse(value, shape)
    if not math.isfinite(number):
        _refuse(value, shape)
    return number


def _timestamp(seconds: float, shape: Shape) -> datetime:
    """An instant from seconds since the epoch."""
    try:
        return _EPOCH + timedelta(seconds=_finite(seconds, shape))
    except OverflowError:
        _refuse(seconds, shape)


def _timestamp_text(text: str, shape: Shape) -> datetime:
    """An instant from ISO 8601 (UTC where no offset is given) or from seconds in decimal."""
    if text.removeprefix("-").replace(".", "", 1).isdecimal():
        return _timestamp(_number(text, shape), shape)
    try:
        instant = datetime.fromisoformat(text)
        zoned = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
        return zoned.astimezone(UTC)
    except (ValueError, OverflowError):
        _refuse(text, shape)


_READERS: dict[str, Callable[[Shape], Reader]] = {
    "structure": _structure_reader,
    "list": _list_reader,
    "map": _map_reader,
    "string": _string_reader,
    "boolean": _boolean_reader,
    "blob": _blob_reader,
    "timestamp": _timestamp_reader,
}

"""Pages of versions that stay true while functions come and go.

A marker holds the last (name, number) that the caller saw, not an offset: what is inserted or
deleted before it neither repeats nor hides anything after it.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

from lambda_home.errors import InvalidParameterValueException
from lambda_home.functions import FunctionVersion

PAGE_LIMIT = 50
"""Items per page, even if more are asked for (API_ListFunctions, MaxItems)."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `next_marker` is None on the last."""

    items: tuple[FunctionVersion, ...]
    next_marker: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: a function's name and a version's number (0 is `$LATEST`)."""

    name: str
    number: int


START = Position("", -1)


def page_size(max_items: int | None) -> int:
    """How many items a page holds when the caller asked for `max_items`."""
    return PAGE_LIMIT if max_items is None else max(1, min(max_items, PAGE_LIMIT))


def to_marker(position: Position) -> str:
    """An opaque, URL-safe text."""
    return base64.urlsafe_b64encode(json.dumps([position.name, position.number]).encode()).decode()


def from_marker(marker: str | None) -> Position:
    """Read a marker; raises InvalidParameterValueException if it is none of ours."""
    if not marker:
        return START
    try:
        name, number = json.loads(base64.b64decode(marker, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise InvalidParameterValueException("The provided Marker is not valid.") from error
    if not (isinstance(name, str) and isinstance(number, int) and -1 <= number < 2**62):
        raise InvalidParameterValueException("The provided Marker is not valid.")
    return Position(name, number)

"""The constraints of one shape: as tests of a value, and in AWS's words.

AWS words each constraint the same way wherever it stands, in the order maximum, minimum, pattern or
enum, null: `Member must have length less than or equal to 64`. A list or a map of constrained
members repeats all of them in brackets, whichever was broken.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from lambda_home.user_api.protocol import deviations
from lambda_home.user_api.protocol.model import Shape
from lambda_home.user_api.protocol.patterns import compiled, number_text

Constraint = tuple[Callable[[Any], bool], str]
NOT_NULL = "Member must not be null"
_NUMBERS = frozenset({"integer", "long", "float", "double"})


@cache
def constraints(shape: Shape) -> tuple[Constraint, ...]:
    """Each constraint of `shape` itself: a test that a good value passes, and its text."""
    return (*_bounds(shape), *_format(shape), *_elements(shape))


def satisfied(value: object, shape: Shape) -> bool:
    """True if a value that is not None breaks no constraint of `shape`."""
    return all(test(value) for test, _ in constraints(shape))


def _bounds(shape: Shape) -> list[Constraint]:
    found: list[Constraint] = []
    low, high = shape.minimum, deviations.MAXIMA.get(shape.name, shape.maximum)
    if shape.kind in _NUMBERS:
        if high is not None:
            text = number_text(high, shape)
            found.append(
                (lambda v: v <= high, f"Member must have value less than or equal to {text}")
            )
        if low is not None:
            text = number_text(low, shape)
            found.append(
                (lambda v: v >= low, f"Member must have value greater than or equal to {text}")
            )
        return found
    if high is not None:
        found.append(
            (lambda v: len(v) <= high, f"Member must have length less than or equal to {high}")
        )
    if low is not None:
        found.append(
            (lambda v: len(v) >= low, f"Member must have length greater than or equal to {low}")
        )
    return found


def _format(shape: Shape) -> list[Constraint]:
    found: list[Constraint] = []
    if (pattern := shape.pattern) is not None:
        found.append(
            (
                lambda v: compiled(pattern, ascii_only=v.isascii()).fullmatch(v) is not None,
                f"Member must satisfy regular expression pattern: {pattern}",
            )
        )
    if shape.enum:
        found.append(
            (
                lambda v: v in shape.accepted,
                f"Member must satisfy enum value set: [{', '.join(shape.enum)}]",
            )
        )
    return found


def _elements(shape: Shape) -> list[Constraint]:
    """What a list or a map says about all its members together; structures speak for themselves."""
    element = shape.element
    if element is None or element.kind == "structure":
        return []
    if shape.key is None:
        return [_list_elements(shape, element)]
    found: list[Constraint] = []
    if key_texts := [text for _, text in constraints(shape.key)]:
        found.append(
            (_keys_test(shape.key), f"Map keys must satisfy constraint: {_list(key_texts)}")
        )
    value_texts = [text for _, text in constraints(element)]
    found.append(
        (
            lambda v: all(item is not None and satisfied(item, element) for item in v.values()),
            f"Map value must satisfy constraint: {_list([*value_texts, NOT_NULL])}",
        )
    )
    return found


def _list_elements(shape: Shape, element: Shape) -> Constraint:
    unwrapped = deviations.UNWRAPPED_LISTS.get(shape.name)
    if unwrapped is not None:
        unusable = deviations.LISTED_ONLY_RUNTIMES
        return (
            lambda v: all(item in element.accepted and item not in unusable for item in v),
            unwrapped,
        )
    nullable = element.name in deviations.NULLABLE_ELEMENTS
    texts = [text for _, text in constraints(element)]
    return (
        lambda v: all(nullable if item is None else satisfied(item, element) for item in v),
        f"Member must satisfy constraint: {_list(texts if nullable else [*texts, NOT_NULL])}",
    )


def _keys_test(key: Shape) -> Callable[[Any], bool]:
    return lambda v: all(satisfied(item, key) for item in v)


def _list(texts: list[str]) -> str:
    return f"[{', '.join(texts)}]"

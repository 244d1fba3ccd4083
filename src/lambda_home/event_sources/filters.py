"""The syntax of filter patterns (pure).

A pattern is a JSON object in the language of EventBridge's event patterns. Source:
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html (filter rule syntax),
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from lambda_home.errors import InvalidParameterValueException

MOST_FILTERS = 5
"""Filters of one mapping (Lambda's guide, filter criteria basics)."""

_NUMBER_BOUND = 5_000_000_000
_DEEPEST = 100
_OR = "$or"
_COMPARISONS = frozenset({"=", "<", "<=", ">", ">="})
_LOWER, _UPPER = frozenset({">", ">="}), frozenset({"<", "<="})


def check_filters(criteria: Mapping[str, Any] | None) -> None:
    """Check every pattern of a `FilterCriteria`; raises InvalidParameterValueException."""
    filters = (criteria or {}).get("Filters") or []
    if not all(is_pattern((one or {}).get("Pattern")) for one in filters):
        raise InvalidParameterValueException("Invalid filter pattern definition.")
    if len(filters) > MOST_FILTERS:
        raise InvalidParameterValueException(
            f"The number of filters must not exceed {MOST_FILTERS}."
        )


def is_pattern(text: str | None) -> bool:
    """Whether a text is a pattern that Lambda takes."""
    if not text:
        return False
    try:
        pattern = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return _is_object(pattern, _DEEPEST)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _is_object(value: Any, depth: int) -> bool:
    """Named conditions: an object of conditions, or a list of which one must hold."""
    return (
        isinstance(value, dict)
        and bool(value)
        and depth > 0
        and all(_is_condition(name, inner, depth - 1) for name, inner in value.items())
    )


def _is_condition(name: str, value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return _is_object(value, depth)
    if not isinstance(value, list) or not value:
        return False
    if name == _OR and len(value) > 1 and all(_is_object(one, depth) for one in value):
        return True
    return all(_is_match(one) for one in value)


def _is_match(value: Any) -> bool:
    if isinstance(value, dict):
        return len(value) == 1 and all(
            name in _MATCHERS and _MATCHERS[name](argument) for name, argument in value.items()
        )
    return value is None or isinstance(value, bool | str) or _is_number(value)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and abs(value) <= _NUMBER_BOUND
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_affix(value: Any) -> bool:
    """What a value begins or ends with, with or without regard to case."""
    if isinstance(value, dict):
        return list(value) == ["equals-ignore-case"] and _is_text(value["equals-ignore-case"])
    return isinstance(value, str)


def _is_wildcard(value: Any) -> bool:
    return isinstance(value, str) and "**" not in value


def _is_address_range(value: Any) -> bool:
    if not isinstance(value, str) or "/" not in value:
        return False
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return True


def _is_numeric(value: Any) -> bool:
    """`[op, number]`, or a range: a lower bound and then an upper bound above it."""
    if not isinstance(value, list) or len(value) not in {2, 4}:
        return False
    operators, numbers = value[::2], value[1::2]
    if not all(isinstance(op, str) and op in _COMPARISONS for op in operators):
        return False
    if not all(_is_number(number) for number in numbers):
        return False
    if len(operators) == 1:
        return True
    return operators[0] in _LOWER and operators[1] in _UPPER and bool(numbers[0] < numbers[1])


def _is_excluded(value: Any) -> bool:
    """What a value must not be: a value, several, or one matcher of texts."""
    if isinstance(value, dict):
        if len(value) != 1:
            return False
        ((name, argument),) = value.items()
        of_each = _EXCLUDERS.get(name)
        arguments = argument if isinstance(argument, list) else [argument]
        return of_each is not None and bool(arguments) and all(map(of_each, arguments))
    if isinstance(value, list):
        texts = all(isinstance(one, str) for one in value)
        return bool(value) and (texts or all(_is_number(one) for one in value))
    return isinstance(value, str) or _is_number(value)


_EXCLUDERS: Mapping[str, Callable[[Any], bool]] = {
    "prefix": _is_text,
    "suffix": _is_text,
    "equals-ignore-case": _is_text,
    "wildcard": _is_wildcard,
}
_MATCHERS: Mapping[str, Callable[[Any], bool]] = {
    "exists": lambda value: isinstance(value, bool),
    "prefix": _is_affix,
    "suffix": _is_affix,
    "equals-ignore-case": lambda value: isinstance(value, str),
    "wildcard": _is_wildcard,
    "cidr": _is_address_range,
    "numeric": _is_numeric,
    "anything-but": _is_excluded,
}

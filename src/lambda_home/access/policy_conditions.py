"""Conditions of policy statements, and the patterns of their other elements; pure.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

_Test = Callable[[str, str, "Context"], bool]

_NUMBER = re.compile(r"[+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})")
_VARIABLE = re.compile(r"\$\{\s*([^}'\s]+?)\s*(?:,\s*'([^']*)'\s*)?\}")
_LITERALS: Final = frozenset({"*", "?", "$"})
_ARN_PARTS: Final = 6
_ARN_COLON = re.compile(r":(?![^{]*\})")  # not those inside of variables


class MalformedError(ValueError):
    """A statement that cannot be understood."""


class Context:
    """The condition keys of a request; their names have no case, each has a value or several.

    Policies of the version of 2008 have no variables: for them `variables` is False.
    """

    def __init__(
        self, values: Mapping[str, str | Sequence[str]], *, variables: bool = True
    ) -> None:
        self._values = {
            name.lower(): (value,) if isinstance(value, str) else tuple(value)
            for name, value in values.items()
        }
        self._variables = variables

    def values(self, key: str) -> tuple[str, ...]:
        """The values of a key; none for an absent one."""
        return self._values.get(key.lower(), ())

    def pattern(
        self, text: str, *, wild: bool = True, ignore_case: bool = False
    ) -> re.Pattern[str] | None:
        """A text of a policy with its variables filled in; None if one has no single value.

        Wildcards count if `wild`, and never in what a variable stands for.
        """
        if not self._variables or "${" not in text:
            return pattern(text, wild=wild, ignore_case=ignore_case)
        parts, at = [], 0
        for match in _VARIABLE.finditer(text):
            value = self._variable(match[1], match[2])
            if value is None:
                return None
            parts += [*_parts(text[at : match.start()], wild=wild), re.escape(value)]
            at = match.end()
        return _compiled((*parts, *_parts(text[at:], wild=wild)), ignore_case=ignore_case)

    def _variable(self, name: str, default: str | None) -> str | None:
        if name in _LITERALS:
            return name
        values = self.values(name)
        return values[0] if len(values) == 1 else default


@lru_cache(maxsize=1024)
def pattern(text: str, *, wild: bool = True, ignore_case: bool = False) -> re.Pattern[str]:
    """A text in which `*` stands for any characters and `?` for one, if `wild`."""
    return _compiled(tuple(_parts(text, wild=wild)), ignore_case=ignore_case)


def texts(value: object) -> list[str]:
    """A string or a list of strings, as a list. Raises MalformedError for anything else."""
    listed = list(value) if isinstance(value, list | tuple) else [value]
    found = [one for one in listed if isinstance(one, str)]
    if not found or len(found) < len(listed):
        raise MalformedError("not a string or a list of strings")
    return found


def holds(condition: object, context: Context) -> bool:
    """Whether all conditions of a statement hold. Raises MalformedError."""
    if not isinstance(condition, Mapping):
        raise MalformedError("Condition")
    # All are looked at, so that what is malformed is found whatever else holds.
    found = []
    for operator, keys in condition.items():
        if not isinstance(keys, Mapping) or not keys:
            raise MalformedError(str(operator))
        for key, given in keys.items():
            found.append(_holds(str(operator), _values(given), context.values(str(key)), context))
    return all(found)


# ------------------------------------------------------------------------------------------------


def _holds(operator: str, wanted: list[str], values: tuple[str, ...], context: Context) -> bool:
    quantifier, colon, name = operator.rpartition(":")
    if colon and quantifier not in ("ForAnyValue", "ForAllValues"):
        raise MalformedError(operator)
    if name == "Null":
        return _is_null(wanted, values)
    base = name.removesuffix("IfExists")
    test, negated = _operator(base)
    # All are looked at here, too, a missing key's as well.
    results = [[test(value, one, context) for one in wanted] for value in values or ("",)]
    if not values:
        # A negated operator holds for a key that is not there, and IfExists makes each hold.
        return base != name or quantifier == "ForAllValues" or (negated and not quantifier)
    passed = [any(result) is not negated for result in results]
    if quantifier == "ForAnyValue" or not (quantifier or negated):
        return any(passed)
    return all(passed)


def _operator(name: str) -> tuple[_Test, bool]:
    """The test behind an operator, and whether the operator is its negation."""
    if name in _TESTS:
        return _TESTS[name], False
    kind = next((kind for kind in _NEGATED if name == kind), None)
    if kind is None:
        raise MalformedError(name)
    return _TESTS[_NEGATED[kind]], True


def _is_null(wanted: list[str], values: tuple[str, ...]) -> bool:
    asked = {one.lower() for one in wanted}
    if not asked <= {"true", "false"}:
        raise MalformedError("Null")
    return ("true" if not values else "false") in asked


def _values(given: object) -> list[str]:
    """The values of a condition as strings; JSON's own true, false and numbers count as written."""
    listed = list(given) if isinstance(given, list | tuple) else [given]
    if not listed:
        raise MalformedError("no value")
    found = []
    for one in listed:
        if isinstance(one, bool):
            found.append("true" if one else "false")
        elif isinstance(one, str):
            found.append(one)
        elif isinstance(one, int | float):
            found.append(str(one))
        else:
            raise MalformedError("a value of a condition")
    return found


def _parts(text: str, *, wild: bool) -> list[str]:
    """A text as parts of an expression; `*` is a part of its own."""
    if not wild:
        return [re.escape(text)]
    return [
        part if part == "*" else ".".join(map(re.escape, part.split("?")))
        for part in re.split(r"(\*)", text)
    ]


def _compiled(parts: Sequence[str], *, ignore_case: bool) -> re.Pattern[str]:
    """An expression of parts.

    What follows a star is found where it comes first, once and for all: so no pattern, however many
    stars it has, takes longer than its length times the text's.
    """
    first, *rest = _split_at_stars(parts)
    for number, part in enumerate(rest, start=1):
        first += f".*{part}" if number == len(rest) else f"(?>.*?{part})"
    return re.compile(first, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _split_at_stars(parts: Sequence[str]) -> list[str]:
    found = [""]
    for part in parts:
        if part == "*":
            found.append("")
        else:
            found[-1] += part
    return found


# ----------------------------------------------------------------------------------------------


def _is_equal(value: str, wanted: str, context: Context) -> bool:
    found = context.pattern(wanted, wild=False)
    return found is not None and found.fullmatch(value) is not None


def _is_equal_in_any_case(value: str, wanted: str, context: Context) -> bool:
    found = context.pattern(wanted, wild=False, ignore_case=True)
    return found is not None and found.fullmatch(value) is not None


def _is_like(value: str, wanted: str, context: Context) -> bool:
    found = context.pattern(wanted)
    return found is not None and found.fullmatch(value) is not None


def _is_arn_like(value: str, wanted: str, context: Context) -> bool:
    """Each of the six parts by itself: a wildcard does not reach over a colon of the first five."""
    parts, patterns = value.split(":", _ARN_PARTS - 1), _ARN_COLON.split(wanted, _ARN_PARTS - 1)
    if len(patterns) < _ARN_PARTS:  # a star alone, or a variable that stands for an ARN
        return (wanted == "*" or "${" in wanted) and _is_like(value, wanted, context)
    return len(parts) == _ARN_PARTS and all(
        _is_like(part, each, context) for part, each in zip(parts, patterns, strict=True)
    )


def _is_bool(value: str, wanted: str, context: Context) -> bool:
    del context
    if wanted.lower() not in ("true", "false"):
        raise MalformedError("Bool")
    return value.lower() == wanted.lower()


def _is_in_network(value: str, wanted: str, context: Context) -> bool:
    del context
    try:
        network = ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        raise MalformedError("IpAddress") from None
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address in network


def _compares(
    read: Callable[[str], Decimal | None], accept: Callable[[Decimal, Decimal], bool]
) -> _Test:
    def test(value: str, wanted: str, context: Context) -> bool:
        del context
        limit = read(wanted)
        if limit is None:
            raise MalformedError("a number or a date")
        found = read(value)
        return found is not None and accept(found, limit)

    return test


def _number(text: str) -> Decimal | None:
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def _moment(text: str) -> Decimal | None:
    """Seconds since 1970, of a date in ISO 8601 or of such a number."""
    number = _number(text)
    if number is not None and not re.fullmatch(r"\d{4}", text):
        return number
    try:
        at = datetime.fromisoformat(text + "-01-01" if len(text) == len("2026") else text)
    except ValueError:
        return None
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    return Decimal(str(at.timestamp()))


_COMPARISONS: Final[dict[str, Callable[[Decimal, Decimal], bool]]] = {
    "Equals": lambda value, limit: value == limit,
    "LessThan": lambda value, limit: value < limit,
    "LessThanEquals": lambda value, limit: value <= limit,
    "GreaterThan": lambda value, limit: value > limit,
    "GreaterThanEquals": lambda value, limit: value >= limit,
}

_TESTS: Final[dict[str, _Test]] = {
    "StringEquals": _is_equal,
    "StringEqualsIgnoreCase": _is_equal_in_any_case,
    "StringLike": _is_like,
    "BinaryEquals": _is_equal,
    "ArnEquals": _is_arn_like,
    "ArnLike": _is_arn_like,
    "Bool": _is_bool,
    "IpAddress": _is_in_network,
    **{f"Numeric{name}": _compares(_number, accept) for name, accept in _COMPARISONS.items()},
    **{f"Date{name}": _compares(_moment, accept) for name, accept in _COMPARISONS.items()},
}

_NEGATED: Final = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NotIpAddress": "IpAddress",
    "NumericNotEquals": "NumericEquals",
    "DateNotEquals": "DateEquals",
}

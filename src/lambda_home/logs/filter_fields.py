"""Filter patterns for messages of fields between spaces: `[ip, ..., status = 4* && status != 404]`.

Pure. Fields in quotation marks or brackets are one, without those. Where a message has more fields
than the pattern has names, the last name stands for all that is left (`[level = ERROR, message]`);
"..." stands for any number of fields, so that names after it are those at the message's end.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from lambda_home.logs.filter_conditions import Condition, ConditionParser, refuse_many_regexes
from lambda_home.logs.filter_tokens import BadFilterPattern, Kind, Token, tokens_of
from lambda_home.logs.filter_values import Comparison

_FIELD = re.compile(r'"((?:\\.|[^"\\])*)"(?=\s|$)|\[([^\[\]]*)\](?=\s|$)|(\S+)')
_NAME = re.compile(r"[A-Za-z0-9_$#@.-]+")
_ELLIPSIS = "..."

_Conditions = tuple[Condition | None, ...]
"""What is asked of fields in a row; None: anything will do."""


@dataclass(frozen=True, slots=True)
class FieldsPattern:
    """Conditions on fields: those before and those after "...", or all of them."""

    before: _Conditions
    after: _Conditions | None

    @property
    def needles(self) -> Sequence[str]:
        """Texts that stand in every message that matches."""
        conditions = (*self.before, *(self.after or ()))
        return [needle for condition in conditions if condition for needle in condition.needles]

    def matches(self, message: str) -> bool:
        """Whether the message has the fields that are asked for."""
        before, after = self.before, self.after
        if after is None:
            return _hold(before, _fields_and_rest(message, len(before)))
        fields = _fields(message, len(before) if not after else None)
        if len(fields) < len(before) + len(after):
            return False
        return _hold(before, fields) and _hold(after, fields[len(fields) - len(after) :])


def parse(text: str) -> FieldsPattern:
    """Understand a pattern; `[]` matches everything. Raises BadFilterPattern."""
    tokens = tokens_of(text, "[],=!<>&|()")
    if len(tokens) == 1 or tokens[-1].text != "]" or tokens[-1].kind is not Kind.SYMBOL:
        raise BadFilterPattern("Invalid filter pattern: a bracket has no counterpart.")
    refuse_many_regexes(tokens)
    inner = tokens[1:-1]
    if not inner:
        return FieldsPattern((), ())
    parts: list[_Conditions] = [()]
    for field in _separated(inner):
        if [token.text for token in field] == [_ELLIPSIS]:
            parts.append(())
        else:
            parts[-1] = (*parts[-1], _condition(field))
    if len(parts) > 2:  # noqa: PLR2004  before and after
        raise BadFilterPattern(f"Invalid filter pattern: more than one '{_ELLIPSIS}'.")
    return FieldsPattern(parts[0], parts[1] if len(parts) > 1 else None)


def _fields(message: str, most: int | None = None) -> list[str]:
    """The fields of a message, or so many of them."""
    return [_text(match) for match in islice(_FIELD.finditer(message), most)]


def _fields_and_rest(message: str, count: int) -> list[str]:
    """So many fields of a message; if it has more, the last one has all the rest as it stands."""
    found = list(islice(_FIELD.finditer(message), count + 1))
    if len(found) <= count:
        return [_text(match) for match in found]
    rest = message[found[count - 1].start() :].rstrip()
    return [*(_text(match) for match in found[: count - 1]), rest]


def _text(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None)


def _hold(conditions: _Conditions, fields: Sequence[str]) -> bool:
    """Whether there are as many fields at least, and as asked for."""
    return len(fields) >= len(conditions) and all(
        condition is None or condition.holds(field)
        for condition, field in zip(conditions, fields, strict=False)
    )


def _condition(tokens: Sequence[Token]) -> Condition | None:
    """`name`, or comparisons of one name."""
    if len(tokens) == 1:
        _check_name(tokens[0])
        return None
    parser = _Parser(tokens)
    condition = parser.condition()
    parser.end()
    return condition


@dataclass(frozen=True, slots=True)
class _Compares:
    with_what: Comparison

    @property
    def needles(self) -> list[str]:
        return self.with_what.needles

    def holds(self, subject: str) -> bool:
        return self.with_what.accepts(subject)


class _Parser(ConditionParser):
    """Reads the conditions on one field."""

    def leaf(self) -> Condition:
        """`name = value`, whose name says nothing."""
        token = self.take()
        if token is None:
            raise self.unexpected("the name of a field")
        _check_name(token)
        return _Compares(self.comparison())


def _check_name(token: Token) -> None:
    if token.kind is not Kind.WORD or _NAME.fullmatch(token.text) is None:
        raise BadFilterPattern(f"Invalid filter pattern: '{token.text}' is no name of a field.")


def _separated(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """The parts between commas."""
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if token.kind is Kind.SYMBOL and token.text == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return list(parts)

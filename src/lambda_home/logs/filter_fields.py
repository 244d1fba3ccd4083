"""Filter patterns for messages of fields between spaces: `[ip, ..., status = 4* && status != 404]`.

Pure. Fields in quotation marks or brackets are one, without those. A pattern without "..." matches
only messages of as many fields as it has; with it, "..." stands for any number of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lambda_home.logs.filter_tokens import BadFilterPattern, Kind, Token, tokens_of
from lambda_home.logs.filter_values import OPERATORS, Comparison, comparison

_FIELD = re.compile(r'"((?:\\.|[^"\\])*)"(?=\s|$)|\[([^\]]*)\](?=\s|$)|(\S+)')
_NAME = re.compile(r"[A-Za-z0-9_$#@.-]+")
_ELLIPSIS = "..."
_MOST_REGEXES = 2

_Conditions = tuple[tuple[Comparison, ...], ...]
"""Alternatives of comparisons that must all hold; none at all: anything will do."""


@dataclass(frozen=True, slots=True)
class FieldsPattern:
    """Conditions on fields: those before and those after "...", or all of them."""

    before: tuple[_Conditions, ...]
    after: tuple[_Conditions, ...] | None

    @property
    def needles(self) -> Sequence[str]:
        """Texts that stand in every message that matches."""
        return [
            needle
            for conditions in (*self.before, *(self.after or ()))
            if len(conditions) == 1
            for compared in conditions[0]
            for needle in compared.needles
        ]

    def matches(self, message: str) -> bool:
        """Whether the message has the fields that are asked for."""
        fields = [
            next(group for group in match.groups() if group is not None)
            for match in _FIELD.finditer(message)
        ]
        before, after = self.before, self.after
        if after is None:
            return len(fields) == len(before) and _hold(before, fields)
        if len(fields) < len(before) + len(after):
            return False
        return _hold(before, fields) and _hold(after, fields[len(fields) - len(after) :])


def parse(text: str) -> FieldsPattern:
    """Understand a pattern. Raises BadFilterPattern."""
    tokens = tokens_of(text, "[],=!<>&|()")
    if len(tokens) == 1 or tokens[-1].text != "]" or tokens[-1].kind is not Kind.SYMBOL:
        raise BadFilterPattern("Invalid filter pattern: a bracket has no counterpart.")
    if sum(token.kind is Kind.REGEX for token in tokens) > _MOST_REGEXES:
        raise BadFilterPattern(f"Invalid filter pattern: more than {_MOST_REGEXES} expressions.")
    parts: list[tuple[_Conditions, ...]] = [()]
    for field in _split(tokens[1:-1], ","):
        if [token.text for token in field] == [_ELLIPSIS]:
            parts.append(())
        else:
            parts[-1] = (*parts[-1], _conditions(field))
    if len(parts) > 2:  # noqa: PLR2004  before and after
        raise BadFilterPattern(f"Invalid filter pattern: more than one '{_ELLIPSIS}'.")
    return FieldsPattern(parts[0], parts[1] if len(parts) > 1 else None)


def _hold(conditions: Sequence[_Conditions], fields: Sequence[str]) -> bool:
    return all(
        not alternatives
        or any(all(one.accepts(field) for one in together) for together in alternatives)
        for alternatives, field in zip(conditions, fields, strict=False)
    )


def _conditions(tokens: Sequence[Token]) -> _Conditions:
    """`name`, or comparisons of one name with "&&" and "||" between them."""
    if len(tokens) == 1:
        _name(tokens[0])
        return ()
    bare = [token for token in tokens if token.kind is not Kind.SYMBOL or token.text not in "()"]
    _balanced(tokens)
    return tuple(
        tuple(_compared(part) for part in _split(together, "&&")) for together in _split(bare, "||")
    )


def _compared(tokens: Sequence[Token]) -> Comparison:
    *left, value = tokens or [Token(Kind.SYMBOL, "", 0, 0)]
    operator = "".join(token.text for token in left[1:] if token.kind is Kind.SYMBOL)
    known = operator in OPERATORS and len(left) == len(operator) + 1
    if not known or value.kind is Kind.SYMBOL:
        raise BadFilterPattern(
            "Invalid filter pattern: a field is a name, an operator and a value."
        )
    _name(left[0])
    return comparison(operator, value)


def _name(token: Token) -> None:
    if token.kind is not Kind.WORD or _NAME.fullmatch(token.text) is None:
        raise BadFilterPattern(f"Invalid filter pattern: '{token.text}' is no name of a field.")


def _balanced(tokens: Sequence[Token]) -> None:
    depth = 0
    for token in tokens:
        if token.kind is Kind.SYMBOL:
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth < 0:
            break
    if depth:
        raise BadFilterPattern("Invalid filter pattern: a parenthesis has no counterpart.")


def _split(tokens: Sequence[Token], mark: str) -> list[Sequence[Token]]:
    """The parts between marks, of one or two symbols."""
    parts: list[Sequence[Token]] = []
    start = at = 0
    while at < len(tokens):
        here = tokens[at : at + len(mark)]
        if [t.text for t in here if t.kind is Kind.SYMBOL] == list(mark):
            parts.append(tokens[start:at])
            at += len(mark)
            start = at
        else:
            at += 1
    return [*parts, tokens[start:]]

"""Comparisons in filter patterns: with texts, wildcards, numbers and regular expressions; pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import ge, gt, le, lt
from typing import Final

from lambda_home.logs.filter_regex import Regex
from lambda_home.logs.filter_tokens import BadFilterPattern, Kind, Token

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_ORDERS: Final[dict[str, Callable[[float, float], bool]]] = {"<": lt, ">": gt, "<=": le, ">=": ge}
OPERATORS: Final = ("=", "!=", *_ORDERS)
_SHORTEST_NEEDLE = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a value is held against."""

    operator: str
    text: str
    number: float | None = None
    pieces: tuple[str, ...] | None = None
    regex: Regex | None = None

    @property
    def needles(self) -> list[str]:
        """Texts that stand in whatever this accepts, the same however it is escaped."""
        if self.operator != "=" or self.number is not None:
            return []
        if self.regex is not None:
            return [self.regex.needle] if self.regex.needle else []
        pieces = self.pieces if self.pieces is not None else (self.text,)
        return [p for p in pieces if len(p) >= _SHORTEST_NEEDLE and p.isascii() and p.isalnum()]

    def accepts(self, value: str | float) -> bool:
        """Whether a text, or a number where the message has one, is what is asked for."""
        if self.operator in _ORDERS:
            number = _as_number(value)
            if number is None or self.number is None:
                return False
            return _ORDERS[self.operator](number, self.number)
        return self._equals(value) == (self.operator == "=")

    def _equals(self, value: str | float) -> bool:
        if self.number is not None:
            number = _as_number(value)
            if number is not None:
                return number == self.number
        text = str(value)
        if self.regex is not None:
            return self.regex.found_in(text)
        if self.pieces is not None:
            return _glob(self.pieces, text)
        return text == self.text


def comparison(operator: str, token: Token) -> Comparison:
    """What stands right of an operator. Raises BadFilterPattern."""
    equality = operator in {"=", "!="}
    if token.kind is Kind.REGEX:
        if not equality:
            raise BadFilterPattern(
                f"Invalid filter pattern: {operator} cannot compare with a regular expression."
            )
        return Comparison(operator, token.text, regex=Regex(token.text))
    number = number_of(token.text) if token.kind is Kind.WORD else None
    if not equality and number is None:
        raise BadFilterPattern(
            f"Invalid filter pattern: {operator} compares with a number, not with '{token.text}'."
        )
    pieces = tuple(token.text.split("*")) if "*" in token.text else None
    return Comparison(operator, token.text, number, pieces)


def number_of(text: str) -> float | None:
    """The number that a text is, if it is one."""
    if _NUMBER.fullmatch(text) is None:
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _as_number(value: str | float) -> float | None:
    return number_of(value) if isinstance(value, str) else value


def _glob(pieces: tuple[str, ...], text: str) -> bool:
    """Whether the text is these pieces with anything between them."""
    first, *middle, last = pieces
    if len(text) < len(first) + len(last) or not text.startswith(first):
        return False
    if not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True

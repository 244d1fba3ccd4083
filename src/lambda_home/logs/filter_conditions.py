"""Conditions in filter patterns: comparisons with "&&", "||" and parentheses between them; pure.

What is in parentheses comes first, then "&&", then "||".
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from lambda_home.logs.filter_tokens import BadFilterPattern, Kind, Token
from lambda_home.logs.filter_values import OPERATORS, Comparison, comparison

_DEEPEST: Final = 50
_MOST_REGEXES: Final = 2
_LONGEST_FIRST: Final = sorted(OPERATORS, key=len, reverse=True)


class Condition(Protocol):
    """What is asked of a subject: a JSON document, or one field of a message."""

    @property
    def needles(self) -> list[str]:
        """Texts that stand in every message for which this holds."""

    def holds(self, subject: Any) -> bool:
        """Whether the subject is as asked for."""


@dataclass(frozen=True, slots=True)
class _All:
    parts: tuple[Condition, ...]

    @property
    def needles(self) -> list[str]:
        return [needle for part in self.parts for needle in part.needles]

    def holds(self, subject: Any) -> bool:
        return all(part.holds(subject) for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Any:
    parts: tuple[Condition, ...]

    @property
    def needles(self) -> list[str]:
        return []

    def holds(self, subject: Any) -> bool:
        return any(part.holds(subject) for part in self.parts)


def refuse_many_regexes(tokens: Sequence[Token]) -> None:
    """Raises BadFilterPattern for more regular expressions than one pattern may have."""
    if sum(token.kind is Kind.REGEX for token in tokens) > _MOST_REGEXES:
        raise BadFilterPattern(f"Invalid filter pattern: more than {_MOST_REGEXES} expressions.")


class ConditionParser(ABC):
    """Reads tokens from left to right; `leaf` reads a single comparison.

    All methods raise BadFilterPattern for what is not there and must be.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @abstractmethod
    def leaf(self) -> Condition:
        """A comparison, which comes next."""

    def condition(self, depth: int = 0) -> Condition:
        """Alternatives between "||"; "&&" binds closer."""
        if depth > _DEEPEST:
            raise BadFilterPattern("Invalid filter pattern: too many parentheses.")
        parts = [self._conjunction(depth)]
        while self.takes("||"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else _Any(tuple(parts))

    def symbol(self, text: str) -> None:
        """Exactly these symbols must come next."""
        if not self.takes(text):
            raise self.unexpected(f"'{text}'")

    def end(self) -> None:
        """There must be no more."""
        if self._at < len(self._tokens):
            raise self.unexpected("the end")

    def takes(self, text: str) -> bool:
        """Whether these symbols come next, with nothing between them; if so, they are gone."""
        wanted = self._tokens[self._at : self._at + len(text)]
        together = [token.text for token in wanted if token.kind is Kind.SYMBOL] == list(text)
        if not together or wanted[-1].end - wanted[0].start != len(text):
            return False
        self._at += len(text)
        return True

    def takes_word(self, word: str) -> bool:
        """Whether this word comes next, in any case; if so, it is gone."""
        token = self.peek()
        if token is None or token.kind is not Kind.WORD or token.text.upper() != word:
            return False
        self._at += 1
        return True

    def peek(self) -> Token | None:
        """What comes next; None at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def take(self) -> Token | None:
        """What comes next, which is gone then."""
        token = self.peek()
        self._at += 1 if token is not None else 0
        return token

    def comparison(self) -> Comparison:
        """An operator and a value."""
        for operator in _LONGEST_FIRST:
            if self.takes(operator):
                token = self.peek()
                if token is None or token.kind is Kind.SYMBOL or not self.is_value(token):
                    raise self.unexpected("a value")
                self._at += 1
                return comparison(operator, token)
        raise self.unexpected(f"one of {' '.join(OPERATORS)}")

    def is_value(self, token: Token) -> bool:
        """Whether a token that is no symbol can stand right of an operator."""
        del token
        return True

    def shown(self, token: Token) -> str:
        """A token as the caller wrote it."""
        return token.text

    def unexpected(self, expected: str) -> BadFilterPattern:
        """What is said if something else comes next."""
        token = self.peek()
        found = "the end" if token is None else f"'{self.shown(token)}'"
        return BadFilterPattern(f"Invalid filter pattern: expected {expected}, found {found}.")

    def _conjunction(self, depth: int) -> Condition:
        parts = [self._part(depth)]
        while self.takes("&&"):
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else _All(tuple(parts))

    def _part(self, depth: int) -> Condition:
        if not self.takes("("):
            return self.leaf()
        condition = self.condition(depth + 1)
        self.symbol(")")
        return condition

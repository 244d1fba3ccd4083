"""Filter patterns for messages that are JSON: `{ $.a.b = "x*" && ($.n > 3 || $.m[*] IS NULL) }`.

Pure. A message that is no JSON object or array matches nothing; a comparison holds if one of the
values that its selector finds is as asked for, so not if there is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lambda_home.logs.filter_tokens import BadFilterPattern, Kind, Token, tokens_of
from lambda_home.logs.filter_values import OPERATORS, Comparison, comparison

_SYMBOLS = "{}()=!<>&|"
_STEP = re.compile(
    r"\.?\[(?P<index>\d{1,9}|\*)\]"
    r"|\.?\[(?P<quote>['\"])(?P<quoted>.+?)(?P=quote)\]"
    r"|\.(?P<name>[^.\[\]\s'\"]+)"
)
_SELECTOR = re.compile(
    r"\$(?:\.?\[(?:\d{1,9}|\*|'[^']+'|\"[^\"]+\")\]|\.[^.\[\]\s'\"{}()=!<>&|]+)+"
)
_DEEPEST = 50
_MOST_REGEXES = 2


class _Node(Protocol):
    @property
    def needles(self) -> list[str]: ...

    def holds(self, document: object) -> bool: ...


@dataclass(frozen=True, slots=True)
class JsonPattern:
    """A condition on a JSON document."""

    condition: _Node

    @property
    def needles(self) -> Sequence[str]:
        """What stands in every message that matches, if it uses no escapes."""
        return self.condition.needles

    def matches(self, message: str) -> bool:
        """Whether the message is a document that fulfils the condition."""
        if message.lstrip()[:1] not in ("{", "["):
            return False
        try:
            document = json.loads(message)
        except (ValueError, RecursionError):
            return False
        return self.condition.holds(document)


@dataclass(frozen=True, slots=True)
class _Selector:
    """The way to values: names, indexes, and "*" for all elements."""

    steps: tuple[str | int | None, ...]

    def found_in(self, document: object) -> Iterator[Any]:
        """All values there."""
        values: list[Any] = [document]
        for step in self.steps:
            values = [inner for value in values for inner in _within(value, step)]
        return iter(values)

    @property
    def needles(self) -> list[str]:
        """Names of members that must be there."""
        return [s for s in self.steps if isinstance(s, str) and s.isascii() and s.isalnum()]


@dataclass(frozen=True, slots=True)
class _Compares:
    selector: _Selector
    with_what: Comparison

    @property
    def needles(self) -> list[str]:
        return [*self.selector.needles, *self.with_what.needles]

    def holds(self, document: object) -> bool:
        return any(
            self.with_what.accepts(comparable)
            for value in self.selector.found_in(document)
            if (comparable := _comparable(value)) is not None
        )


@dataclass(frozen=True, slots=True)
class _Is:
    selector: _Selector
    value: bool | None

    @property
    def needles(self) -> list[str]:
        return self.selector.needles

    def holds(self, document: object) -> bool:
        return any(value is self.value for value in self.selector.found_in(document))


@dataclass(frozen=True, slots=True)
class _NotExists:
    selector: _Selector
    needles = list[str]()  # noqa: RUF012  never changed; a message that matches may be anything

    def holds(self, document: object) -> bool:
        return next(self.selector.found_in(document), self) is self


@dataclass(frozen=True, slots=True)
class _All:
    parts: tuple[_Node, ...]

    @property
    def needles(self) -> list[str]:
        return [needle for part in self.parts for needle in part.needles]

    def holds(self, document: object) -> bool:
        return all(part.holds(document) for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Any:
    parts: tuple[_Node, ...]

    @property
    def needles(self) -> list[str]:
        return []

    def holds(self, document: object) -> bool:
        return any(part.holds(document) for part in self.parts)


def parse(text: str) -> JsonPattern:
    """Understand a pattern. Raises BadFilterPattern."""
    selectors: list[str] = []

    def named(match: re.Match[str]) -> str:
        selectors.append(match[0])
        return f" \x00{len(selectors) - 1} "

    # Selectors have brackets, quotes and minus signs of their own: they are taken out first, but
    # not out of quoted texts.
    pieces = re.split(r'("(?:\\.|[^"\\])*"|%(?:\\.|[^%\\])*%)', _bracketed(text, named))
    plain = "".join(
        piece if number % 2 else _SELECTOR.sub(named, piece) for number, piece in enumerate(pieces)
    )
    tokens = tokens_of(plain, _SYMBOLS)
    if sum(token.kind is Kind.REGEX for token in tokens) > _MOST_REGEXES:
        raise BadFilterPattern(f"Invalid filter pattern: more than {_MOST_REGEXES} expressions.")
    parser = _Parser(tokens, selectors)
    parser.symbol("{")
    condition = parser.condition(0)
    parser.symbol("}")
    parser.end()
    return JsonPattern(condition)


def _bracketed(text: str, named: Any) -> str:
    """Take out selectors that have quoted names, whose quotes are no texts."""
    return re.sub(
        r"\$(?:\.?\[(?:\d{1,9}|\*)\]|\.[^.\[\]\s'\"{}()=!<>&|%]+)*"
        r"\.?\[(?:'[^']+'|\"[^\"]+\")\]"
        r"(?:\.?\[(?:\d{1,9}|\*|'[^']+'|\"[^\"]+\")\]|\.[^.\[\]\s'\"{}()=!<>&|%]+)*",
        named,
        text,
    )


class _Parser:
    """Reads tokens from left to right: conditions, of alternatives, of comparisons."""

    def __init__(self, tokens: Sequence[Token], selectors: Sequence[str]) -> None:
        self._tokens = tokens
        self._selectors = selectors
        self._at = 0

    def condition(self, depth: int) -> _Node:
        """Alternatives between "||"; "&&" binds closer."""
        if depth > _DEEPEST:
            raise BadFilterPattern("Invalid filter pattern: too many parentheses.")
        parts = [self._conjunction(depth)]
        while self._takes("||"):
            parts.append(self._conjunction(depth))
        return parts[0] if len(parts) == 1 else _Any(tuple(parts))

    def symbol(self, text: str) -> None:
        """The next token must be this."""
        if not self._takes(text):
            raise self._unexpected(f"'{text}'")

    def end(self) -> None:
        """There must be no more."""
        if self._at < len(self._tokens):
            raise self._unexpected("the end")

    def _conjunction(self, depth: int) -> _Node:
        parts = [self._part(depth)]
        while self._takes("&&"):
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else _All(tuple(parts))

    def _part(self, depth: int) -> _Node:
        if self._takes("("):
            condition = self.condition(depth + 1)
            self.symbol(")")
            return condition
        token = self._next("a selector like $.name")
        if not token.text.startswith("\x00") or token.kind is not Kind.WORD:
            self._at -= 1
            raise self._unexpected("a selector like $.name")
        selector = _selector(self._selectors[int(token.text[1:])])
        if self._word("IS"):
            for word, value in (("NULL", None), ("TRUE", True), ("FALSE", False)):
                if self._word(word):
                    return _Is(selector, value)
            raise self._unexpected("NULL, TRUE or FALSE")
        if self._word("NOT"):
            if self._word("EXISTS"):
                return _NotExists(selector)
            raise self._unexpected("EXISTS")
        for operator in ("<=", ">=", "!=", "=", "<", ">"):
            if self._takes(operator):
                return _Compares(selector, comparison(operator, self._value()))
        raise self._unexpected(f"one of {' '.join(OPERATORS)}")

    def _value(self) -> Token:
        token = self._next("a value")
        if token.kind is Kind.SYMBOL or token.text.startswith("\x00"):
            self._at -= 1
            raise self._unexpected("a value")
        return token

    def _next(self, expected: str) -> Token:
        if self._at >= len(self._tokens):
            raise self._unexpected(expected)
        self._at += 1
        return self._tokens[self._at - 1]

    def _word(self, word: str) -> bool:
        if self._at < len(self._tokens):
            token = self._tokens[self._at]
            if token.kind is Kind.WORD and token.text.upper() == word:
                self._at += 1
                return True
        return False

    def _takes(self, text: str) -> bool:
        """Whether these symbols come next, with nothing between them."""
        wanted = self._tokens[self._at : self._at + len(text)]
        together = [token.text for token in wanted if token.kind is Kind.SYMBOL] == list(text)
        if not together or wanted[-1].end - wanted[0].start != len(text):
            return False
        self._at += len(text)
        return True

    def _unexpected(self, expected: str) -> BadFilterPattern:
        found = "the end"
        if self._at < len(self._tokens):
            text = self._tokens[self._at].text
            found = self._selectors[int(text[1:])] if text.startswith("\x00") else text
            found = f"'{found}'"
        return BadFilterPattern(f"Invalid filter pattern: expected {expected}, found {found}.")


def _selector(text: str) -> _Selector:
    steps: list[str | int | None] = []
    for step in _STEP.finditer(text):
        if step["index"] is not None:
            steps.append(None if step["index"] == "*" else int(step["index"]))
        else:
            steps.append(step["quoted"] or step["name"])
    return _Selector(tuple(steps))


def _within(value: object, step: str | int | None) -> Iterator[Any]:
    if isinstance(value, dict):
        if isinstance(step, str) and step in value:
            yield value[step]
    elif isinstance(value, list):
        if step is None:
            yield from value
        elif isinstance(step, int) and step < len(value):
            yield value[step]


def _comparable(value: object) -> str | float | None:
    """A value as it is compared; objects, arrays and null are not."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return str(value)
    return value if isinstance(value, str) else None

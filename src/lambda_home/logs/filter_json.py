"""Filter patterns for messages that are JSON: `{ $.a.b = "x*" && ($.n > 3 || $.m[*] IS NULL) }`.

Pure. A message that is no JSON object or array matches nothing; a comparison holds if one of the
values that its selector finds is as asked for, so not if there is none. `*` stands for every
element of an array or every member of an object, once in a selector.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lambda_home.logs.filter_conditions import Condition, ConditionParser, refuse_many_regexes
from lambda_home.logs.filter_tokens import BadFilterPattern, Kind, Token, tokens_of
from lambda_home.logs.filter_values import Comparison

_SYMBOLS = "{}()=!<>&|"
_STEP = re.compile(
    r"\.?\[(?P<index>\d{1,9}|\*)\]"
    r"|\.?\[(?P<quote>['\"])(?P<quoted>.+?)(?P=quote)\]"
    r"|\.(?P<name>[^.\[\]\s'\"]+)"
)
_SELECTOR = re.compile(
    r"\$(?:\.?\[(?:\d{1,9}|\*|'[^']+'|\"[^\"]+\")\]|\.[^.\[\]\s'\"{}()=!<>&|]+)+"
)
_MOST_WILDCARDS: Final = 3
_SELECTED: Final = "\x00"
"""Begins a word that stands for a selector."""


@dataclass(frozen=True, slots=True)
class JsonPattern:
    """A condition on a JSON document."""

    condition: Condition

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
    """The way to values: names, indexes, and None for all elements or members."""

    text: str
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


def parse(text: str) -> JsonPattern:
    """Understand a pattern. Raises BadFilterPattern."""
    selectors: list[_Selector] = []

    def named(match: re.Match[str]) -> str:
        selectors.append(_selector(match[0]))
        return f" {_SELECTED}{len(selectors) - 1} "

    # Selectors have brackets, quotes and minus signs of their own: they are taken out first, but
    # not out of quoted texts.
    pieces = re.split(r'("(?:\\.|[^"\\])*"|%(?:\\.|[^%\\])*%)', _bracketed(text, named))
    plain = "".join(
        piece if number % 2 else _SELECTOR.sub(named, piece) for number, piece in enumerate(pieces)
    )
    tokens = tokens_of(plain, _SYMBOLS)
    refuse_many_regexes(tokens)
    if sum(selector.steps.count(None) for selector in selectors) > _MOST_WILDCARDS:
        raise BadFilterPattern(
            f"Invalid filter pattern: more than {_MOST_WILDCARDS} wildcards in selectors."
        )
    parser = _Parser(tokens, selectors)
    parser.symbol("{")
    condition = parser.condition()
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


class _Parser(ConditionParser):
    """Reads what is asked of a document."""

    def __init__(self, tokens: Sequence[Token], selectors: Sequence[_Selector]) -> None:
        super().__init__(tokens)
        self._selectors = selectors

    def leaf(self) -> Condition:
        """A selector with what is asked of what it finds."""
        token = self.peek()
        if token is None or self.is_value(token):
            raise self.unexpected("a selector like $.name")
        self.take()
        selector = self._selectors[int(token.text[1:])]
        if self.takes_word("IS"):
            for word, value in (("NULL", None), ("TRUE", True), ("FALSE", False)):
                if self.takes_word(word):
                    return _Is(selector, value)
            raise self.unexpected("NULL, TRUE or FALSE")
        if self.takes_word("NOT"):
            if self.takes_word("EXISTS"):
                return _NotExists(selector)
            raise self.unexpected("EXISTS")
        return _Compares(selector, self.comparison())

    def is_value(self, token: Token) -> bool:
        """Whether it is anything but a selector."""
        return token.kind is not Kind.WORD or not token.text.startswith(_SELECTED)

    def shown(self, token: Token) -> str:
        """A selector as it was written."""
        return token.text if self.is_value(token) else self._selectors[int(token.text[1:])].text


def _selector(text: str) -> _Selector:
    steps: list[str | int | None] = []
    for step in _STEP.finditer(text):
        if step["index"] is not None:
            steps.append(None if step["index"] == "*" else int(step["index"]))
        else:
            name = step["quoted"] or step["name"]
            steps.append(None if step["name"] == "*" else name)
    if steps.count(None) > 1:
        raise BadFilterPattern(f"Invalid filter pattern: more than one wildcard in '{text}'.")
    return _Selector(text, tuple(steps))


def _within(value: object, step: str | int | None) -> Iterator[Any]:
    if isinstance(value, dict):
        if step is None:
            yield from value.values()
        elif isinstance(step, str) and step in value:
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
    return value if isinstance(value, (str, int, float)) else None

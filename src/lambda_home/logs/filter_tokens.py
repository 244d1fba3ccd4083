"""What filter patterns are made of: words, quoted texts, regular expressions, signs; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from lambda_home.errors import LambdaHomeError

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class BadFilterPattern(LambdaHomeError):
    """A filter pattern that cannot be understood: InvalidParameterException of CloudWatch Logs."""


class Kind(Enum):
    """What a token is."""

    WORD = auto()
    QUOTED = auto()
    REGEX = auto()
    SYMBOL = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a pattern, its quotes taken off, with its place in the pattern."""

    kind: Kind
    text: str
    start: int
    end: int


def tokens_of(text: str, symbols: str) -> list[Token]:
    """Cut a pattern up; `symbols` are characters that stand for themselves.

    A "-" or "?" is a symbol only where a word begins. Raises BadFilterPattern.
    """
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character.isspace():
            at += 1
            continue
        if character in '"%':
            token = _enclosed(text, at)
        elif character in symbols:
            token = Token(Kind.SYMBOL, character, at, at + 1)
        else:
            token = _word(text, at, symbols)
        tokens.append(token)
        at = token.end
    return tokens


def _enclosed(text: str, start: int) -> Token:
    """A quoted text or a regular expression; a backslash keeps what follows from ending it."""
    mark = text[start]
    at = start + 1
    while at < len(text) and text[at] != mark:
        at += 2 if text[at] == "\\" else 1
    if at >= len(text):
        what = "quotation mark" if mark == '"' else "percent sign"
        raise BadFilterPattern(f"Invalid filter pattern: a {what} has no counterpart.")
    inner = text[start + 1 : at]
    if mark == "%":
        return Token(Kind.REGEX, inner, start, at + 1)
    return Token(Kind.QUOTED, _ESCAPE.sub(_unescaped, inner), start, at + 1)


def _unescaped(match: re.Match[str]) -> str:
    """Only a quotation mark and a backslash need their backslash."""
    return match[1] if match[1] in '"\\' else match[0]


def _word(text: str, start: int, symbols: str) -> Token:
    ends = {*symbols, '"', "%"} - {"-", "?"}
    at = start + 1
    while at < len(text) and not text[at].isspace() and text[at] not in ends:
        at += 1
    return Token(Kind.WORD, text[start:at], start, at)

"""Filter patterns of CloudWatch Logs: which log events somebody wants to see; pure.

Three kinds: terms that a message contains (`ERROR -"exit 1"`, `?WARN ?ERROR`, `%4[0-9]{2}%`), JSON
(`{ $.level = "ERROR" && $.ms > 3 }`, in `filter_json`) and fields between spaces
(`[ip, user, status = 4*]`, in `filter_fields`).
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lambda_home.logs import filter_fields, filter_json
from lambda_home.logs.filter_conditions import refuse_many_regexes
from lambda_home.logs.filter_regex import Regex
from lambda_home.logs.filter_tokens import BadFilterPattern, Kind, Token, tokens_of

__all__ = ["BadFilterPattern", "FilterPattern", "parse_pattern"]

LONGEST = 1024
"""Characters of a pattern, by the model of FilterLogEvents."""

_NO_TERM = re.compile(r"\W")


class FilterPattern(Protocol):
    """A pattern that has been understood."""

    @property
    def needles(self) -> Sequence[str]:
        """Texts that every message that matches contains; a JSON message perhaps with escapes."""

    def matches(self, message: str) -> bool:
        """Whether a log event with this message is wanted."""


def parse_pattern(text: str) -> FilterPattern:
    """Understand a pattern; an empty one matches everything.

    Raises BadFilterPattern, with one line that says what is wrong with it.
    """
    if len(text) > LONGEST:
        raise BadFilterPattern(f"Invalid filter pattern: it is longer than {LONGEST} characters.")
    stripped = text.strip()
    if stripped.startswith("{"):
        return filter_json.parse(stripped)
    if stripped.startswith("["):
        return filter_fields.parse(stripped)
    return _terms(stripped)


@dataclass(frozen=True, slots=True)
class _Terms:
    """Terms: all of `wanted`, none of `unwanted`, and one of `any_of` if there are any."""

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]
    any_of: tuple[str, ...]
    wanted_regexes: tuple[Regex, ...] = ()
    unwanted_regexes: tuple[Regex, ...] = ()
    any_regexes: tuple[Regex, ...] = ()

    @property
    def needles(self) -> Sequence[str]:
        """What a message must contain."""
        return [*self.wanted, *(r.needle for r in self.wanted_regexes if r.needle)]

    def matches(self, message: str) -> bool:
        """Whether the message has what is wanted."""
        for term in self.wanted:
            if term not in message:
                return False
        for term in self.unwanted:
            if term in message:
                return False
        if not all(regex.found_in(message) for regex in self.wanted_regexes):
            return False
        if any(regex.found_in(message) for regex in self.unwanted_regexes):
            return False
        if not self.any_of and not self.any_regexes:
            return True
        return any(term in message for term in self.any_of) or any(
            regex.found_in(message) for regex in self.any_regexes
        )


def _terms(text: str) -> _Terms:
    signed: dict[str, list[Token]] = {"": [], "-": [], "?": []}
    tokens = tokens_of(text, "-?")
    sign = ""
    previous_end = -1
    for token in tokens:
        if sign and token.start != previous_end:
            raise BadFilterPattern(f"Invalid filter pattern: no term follows the sign '{sign}'.")
        if not sign and token.start == previous_end:
            raise _bad_character(text[token.start])
        previous_end = token.end
        if token.kind is Kind.SYMBOL:
            if sign:
                raise _bad_character(token.text)
            sign = token.text
            continue
        bad = _NO_TERM.search(token.text) if token.kind is Kind.WORD else None
        if bad is not None:
            raise _bad_character(bad[0])
        if sign or token.text.strip():  # AWS's own words for "everything" are a quoted space
            signed[sign].append(token)
        sign = ""
    if sign:
        raise BadFilterPattern(f"Invalid filter pattern: no term follows the sign '{sign}'.")
    if signed["?"] and (signed[""] or signed["-"]):
        signed["?"] = []  # AWS ignores them beside other terms
    regexes = {s: [t for t in found if t.kind is Kind.REGEX] for s, found in signed.items()}
    refuse_many_regexes(tokens)
    texts = {
        s: tuple(t.text for t in found if t.kind is not Kind.REGEX) for s, found in signed.items()
    }
    compiled = {s: tuple(Regex(t.text) for t in found) for s, found in regexes.items()}
    return _Terms(texts[""], texts["-"], texts["?"], compiled[""], compiled["-"], compiled["?"])


def _bad_character(character: str) -> BadFilterPattern:
    """AWS's words for what a term can have only in quotation marks."""
    return BadFilterPattern(f"Invalid character(s) in term '{character}'")

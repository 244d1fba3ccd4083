r"""Regular expressions in filter patterns, between percent signs; pure.

AWS takes letters, digits, spaces, the symbols `:_#=@/;,-`, the operators `^$?[]{}|\*+.`, the
escapes `\d \s \w`, their opposites and `\xhh`, and no parentheses. Without groups an expression is
a row of character classes with repetitions, so that it can always be searched in a time that grows
with the text alone: Python's own engine, which can take for ever, gets only what it can finish
soon.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/regex-expressions.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lambda_home.logs.filter_tokens import BadFilterPattern

_ESCAPE = r"\\(?:x[0-9A-Fa-f]{2}|[dDsSwWtnrf]|[^\sA-Za-z0-9])"
_ALLOWED = re.compile(rf"(?:{_ESCAPE}|[A-Za-z0-9 :_#=@/;,\-^$?\[\]{{}}|*+.])+", re.ASCII)
_CLASS = rf"\[\^?\]?(?:{_ESCAPE}|[^\]\\])*\]"
_ITEM = re.compile(
    rf"(?P<set>{_ESCAPE}|{_CLASS}|[^*+?{{\[^$|\\])"
    r"(?P<times>[*+?]|\{(?:\d{1,3}(?:,\d{0,3})?|,\d{1,3})\})?"
)
_REPETITION = re.compile(r"\{(\d*)(,?)(\d*)\}")
_MOST_PLACES = 256
_SHORTEST_NEEDLE = 4
_MOST_STEPS = 200_000
"""About so many steps Python's own engine may take in the worst case."""


@dataclass(slots=True)
class _Row:
    """One alternative: places that each take a character, as bits of a number.

    `optional` places can be left out, `repeated` ones take more than one; the bit after the last
    place means that all were gone through. `literal` stands in every text that matches.
    """

    sets: list[re.Pattern[str]] = field(default_factory=list)
    optional: int = 0
    repeated: int = 0
    from_start: bool = False
    to_end: bool = False
    literal: str = ""
    masks: dict[str, int] = field(default_factory=dict)

    def add(self, characters: re.Pattern[str], least: int, most: int | None) -> None:
        """Add a class with its repetition; `most` None is without end."""
        for number in range(max(least, 1) if most is None else most):
            place = 1 << len(self.sets)
            self.sets.append(characters)
            if number >= least:
                self.optional |= place
        if most is None:
            self.repeated |= 1 << len(self.sets) - 1

    def found_in(self, text: str) -> bool:
        """Search the text; the end is also before a line break that ends it."""
        if self.literal not in text:
            return False
        if self._found_in(text):
            return True
        return self.to_end and text.endswith("\n") and self._found_in(text[:-1])

    def _found_in(self, text: str) -> bool:
        """Search character by character."""
        end = 1 << len(self.sets)
        start = self._with_left_out(1)
        now = start
        for character in text:
            if now & end and not self.to_end:
                return True
            taken = now & self._mask(character)
            now = self._with_left_out(taken << 1 | taken & self.repeated)
            if not self.from_start:
                now |= start
            elif not now:
                return False
        return bool(now & end)

    def _with_left_out(self, now: int) -> int:
        while True:
            more = now | (now & self.optional) << 1
            if more == now:
                return now
            now = more

    def _mask(self, character: str) -> int:
        mask = self.masks.get(character)
        if mask is None:
            mask = sum(1 << n for n, s in enumerate(self.sets) if s.fullmatch(character))
            if len(self.masks) < 1024:  # noqa: PLR2004  a bound of memory only
                self.masks[character] = mask
        return mask


class Regex:
    """An expression, searched anywhere in a text. Raises BadFilterPattern."""

    def __init__(self, text: str) -> None:
        if _ALLOWED.fullmatch(text) is None:
            raise BadFilterPattern(
                f"Invalid filter pattern: the regular expression %{text}% has characters that are"
                " not supported."
            )
        self._loops = len(re.findall(r"[*+?{]", text))
        try:
            self._rows = [_row(part) for part in _alternatives(text)]
            plain = re.sub(rf"{_ESCAPE}|{_CLASS}", _plain, text)
            self._quick = re.compile(plain, re.DOTALL | re.ASCII)
        except (re.error, OverflowError) as error:
            raise BadFilterPattern(
                f"Invalid filter pattern: the regular expression %{text}% is not valid."
            ) from error

    @property
    def needle(self) -> str:
        """A text that stands in every text that matches; "" if none does for sure.

        It is no part of a number, which a message can spell in several ways.
        """
        literal = self._rows[0].literal if len(self._rows) == 1 else ""
        is_word = literal.isascii() and literal.isalnum() and not literal.isdigit()
        return literal if is_word and len(literal) >= _SHORTEST_NEEDLE else ""

    def found_in(self, text: str) -> bool:
        """Whether the expression matches somewhere in the text."""
        if len(text) ** (self._loops + 1) <= _MOST_STEPS:
            return self._quick.search(text) is not None
        return any(row.found_in(text) for row in self._rows)


def _alternatives(text: str) -> list[str]:
    """The parts between "|" outside of classes."""
    parts, at = [""], 0
    for match in re.finditer(rf"{_ESCAPE}|{_CLASS}|[^\\]", text):
        if match[0] == "|":
            parts.append("")
        else:
            parts[-1] += match[0]
        at = match.end()
    if at != len(text):
        raise re.error("it ends in a backslash")
    return parts


def _row(text: str) -> _Row:
    row = _Row()
    body = text
    if body.startswith("^"):
        row.from_start, body = True, body[1:]
    if body.endswith("$") and not body.endswith("\\$"):
        row.to_end, body = True, body[:-1]
    at, literals = 0, [""]
    while at < len(body):
        match = _ITEM.match(body, at)
        if match is None:
            raise re.error("it cannot be read")
        character = _literal(match["set"])
        if character and match["times"] is None:
            literals[-1] += character
        else:
            literals.append("")
        characters = _in_class(match["set"]) if match["set"][0] == "[" else match["set"]
        row.add(re.compile(characters, re.DOTALL | re.ASCII), *_times(match["times"]))
        if len(row.sets) > _MOST_PLACES:
            raise re.error("it is too long")
        at = match.end()
    row.literal = max(literals, key=len)
    return row


def _literal(item: str) -> str:
    """The character that an item stands for alone; "" if it does for several."""
    if item == "." or item[0] == "[" or (item[0] == "\\" and item[1].isalnum()):
        return ""
    return item[-1]


def _plain(match: re.Match[str]) -> str:
    return _in_class(match[0]) if match[0].startswith("[") else match[0]


def _in_class(text: str) -> str:
    """A character class without what later versions of Python may read as operators in it."""
    start = 2 if text.startswith("[^") else 1
    inner = re.sub(rf"{_ESCAPE}|\[|\||(?<=-)-", _escaped, text[start:-1])
    return f"{text[:start]}{inner}]"


def _escaped(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith("\\") else f"\\{match[0]}"


def _times(text: str | None) -> tuple[int, int | None]:
    simple: dict[str | None, tuple[int, int | None]] = {
        None: (1, 1),
        "*": (0, None),
        "+": (1, None),
        "?": (0, 1),
    }
    if text in simple:
        return simple[text]
    match = _REPETITION.fullmatch(text or "")
    if match is None:
        raise re.error("it repeats in no known way")
    least = int(match[1] or 0)
    if not match[2]:
        return least, least
    if not match[3]:
        return least, None
    if int(match[3]) < least:
        raise re.error("it repeats less often than it must")
    return least, int(match[3])

"""Java regular expressions and Java's `toString`, as AWS's validation uses them."""

from __future__ import annotations

import math
import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import groupby

from lambda_home.user_api.protocol.model import Shape

REDACTED = "*** Sensitive Data Redacted ***"
_ASCII = 128
_LINE = r"[^\n\r\x85\u2028\u2029]"
_TOKEN = re.compile(r"\\p\{(?P<category>[A-Z][a-z]?)\}|\\.|[\[\].]", re.DOTALL)
_DECIMAL_EXPONENTS = range(-3, 7)


@cache
def compiled(pattern: str, *, ascii_only: bool = False) -> re.Pattern[str]:
    r"""A Java pattern as a Python one, to be used with `fullmatch`.

    Translates `\p{..}` (general categories) and `.` (which stops at more line terminators in
    Java); the classes `\d`, `\w` and `\s` are ASCII, as they are in Java.
    `ascii_only` is for values that are ASCII: the classes of all of Unicode are slow to build.
    """
    return re.compile(
        "".join(_translated(pattern, _ASCII if ascii_only else sys.maxunicode + 1)), re.ASCII
    )


def _translated(pattern: str, end: int) -> Iterator[str]:
    position = 0
    in_class = False
    for token in _TOKEN.finditer(pattern):
        yield pattern[position : token.start()]
        position = token.end()
        text = token.group()
        if category := token["category"]:
            ranges = _category(category, end)
            yield ranges if in_class else f"[{ranges}]"
            continue
        if text == "[":
            in_class = True
        elif text == "]":
            in_class = False
        yield _LINE if text == "." and not in_class else text
    yield pattern[position:]


def _category(name: str, end: int) -> str:
    """The characters below `end` of a general category (`L`, `Nd`), for a character class."""
    return "".join(
        f"\\U{first:08x}-\\U{last:08x}"
        for category, first, last in _category_runs(end)
        if category.startswith(name)
    )


@cache
def _category_runs(end: int) -> tuple[tuple[str, int, int], ...]:
    """The runs of code points below `end` that share a general category."""
    runs: list[tuple[str, int, int]] = []
    position = 0
    for category, run in groupby(map(unicodedata.category, map(chr, range(end)))):
        first, position = position, position + sum(1 for _ in run)
        runs.append((category, first, position - 1))
    return tuple(runs)


def java_text(value: object, shape: Shape) -> str:
    """`value` as Java prints it: `[a, b]`, `{k=v}`, `2.0`, `true`, `Name(member=x, other=null)`."""
    if value is None:
        return "null"
    if shape.sensitive or shape.kind == "blob":
        return REDACTED
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value, shape)
    return _collection_text(value, shape) if isinstance(value, list | dict) else str(value)


def _collection_text(value: list[object] | dict[str, object], shape: Shape) -> str:
    element, key = shape.element, shape.key
    if isinstance(value, list):
        texts = (java_text(item, element) if element else str(item) for item in value)
        return f"[{', '.join(texts)}]"
    if key and element:
        pairs = (f"{java_text(k, key)}={java_text(v, element)}" for k, v in value.items())
        return f"{{{', '.join(pairs)}}}"
    members = (
        f"{lower_camel(name)}={java_text(value.get(name), member.shape)}"
        for name, member in shape.members.items()
    )
    return f"{shape.name}({', '.join(members)})"


def number_text(value: float, shape: Shape) -> str:
    """A number of the model's kind: doubles have a point (`1.0`), integers do not."""
    if shape.kind in {"integer", "long"}:
        return str(int(value))
    return _double_text(float(value))


def _double_text(value: float) -> str:
    if value == 0 or math.floor(math.log10(abs(value))) in _DECIMAL_EXPONENTS:
        return repr(value)
    mantissa, _, exponent = f"{value!r}".partition("e")
    if not exponent:
        digits, _, power = f"{value:.16e}".partition("e")
        mantissa, exponent = repr(float(digits)), power
    point = "" if "." in mantissa else ".0"
    return f"{mantissa}{point}E{int(exponent)}"


def lower_camel(name: str) -> str:
    """A member's name as validation prints it: only the first letter changes (`kMSKeyArn`)."""
    return name[:1].lower() + name[1:]

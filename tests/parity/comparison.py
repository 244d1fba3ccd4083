"""Holds an answer of ours against a recorded one: missing and extra members, and equal values.

A numbered placeholder (`<uuid:1>`) stands for one value wherever it appears in a case, and for no
other: `Bindings` remembers which.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any

PLACEHOLDER = re.compile(r"<[a-z][a-zA-Z0-9_:-]*>")
_REPEATED = re.compile(r"<a:len\((\d+)\)>")
_CUT = re.compile(r"(?P<start>.{80})… \((?P<length>\d+) characters\)", re.DOTALL)
_TYPES: dict[str, type] = {"<code-size>": int, "datetime": datetime}
_SHAPES = {
    "date": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)"),
    "lambda-url": re.compile(r"https?://[a-z0-9]{32}\.lambda-url\.[^/]+/"),
}
_ACCOUNT, _REGION, _PARTITION = "111111111111", "us-east-1", "aws"
_KINDS = {
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "code-sha256": r"[A-Za-z0-9+/]{43}=|[0-9a-f]{64}",
    "function-name": r"[a-zA-Z0-9_-]+",
    "region": re.escape(_REGION),
    "partition": re.escape(_PARTITION),
    "location": r"https?://\S+",
    "layer-location": r"https?://\S+",
}
_UNBOUND = frozenset({"<region>", "<partition>", "<location>", "<layer-location>"})


class Bindings:
    """What placeholders stand for in one case, one to one.

    `loose` ones do not measure texts that are cut: that takes the values of earlier answers.
    """

    def __init__(self, given: dict[str, str] | None = None, *, loose: bool = False) -> None:
        self.loose = loose
        self._values = dict(given or {})
        self._names = {(_kind(name), value): name for name, value in self._values.items()}

    def copy(self) -> Bindings:
        """One that can be tried without harm."""
        return Bindings(self._values, loose=self.loose)

    def become(self, other: Bindings) -> None:
        """Know what `other` knows."""
        self._values, self._names = other._values, other._names

    def bind(self, name: str, value: str) -> bool:
        """Whether `name` can stand for `value`; from now on it does."""
        if name in _UNBOUND:
            return True
        known, other = self._values.get(name), self._names.get((_kind(name), value))
        if known is None and other is None:
            self._values[name], self._names[_kind(name), value] = value, name
            return True
        return known == value

    def hide(self, text: str, account: str) -> str:
        """`text` as a recording would have it."""
        for name, value in sorted(self._values.items(), key=lambda item: -len(item[1])):
            text = text.replace(value, name)
        text = text.replace(account, _ACCOUNT).replace(_REGION, "<region>")
        return text.replace(f"arn:{_PARTITION}:", "arn:<partition>:")


def _kind(name: str) -> str:
    return name.strip("<>").partition(":")[0]


def differences(
    recorded: Any, ours: Any, account: str, bindings: Bindings, path: str = ""
) -> Iterator[str]:
    """What differs, a line each; none for equal answers. `bindings` learns on the way."""
    if isinstance(ours, str) and isinstance(recorded, dict | list):
        ours = _parsed(ours)
    if isinstance(ours, dict) and isinstance(recorded, list):
        ours = sorted(ours)  # some cases keep the names of members only
    if isinstance(recorded, dict) and isinstance(ours, dict):
        yield from _membership(recorded, ours, path)
        pairs = [(f".{name}", recorded[name], ours[name]) for name in recorded if name in ours]
    elif isinstance(recorded, list) and isinstance(ours, list) and len(recorded) == len(ours):
        pairs = [(f"[{place}]", one, ours[place]) for place, one in enumerate(recorded)]
    else:
        pairs = []
        if not _equal(recorded, ours, account, bindings):
            yield f"{path}:\n        recorded {short(recorded)}\n        ours     {short(ours)}"
    for step, one, other in pairs:
        yield from differences(one, other, account, bindings, path + step)


def _membership(recorded: dict[str, Any], ours: dict[str, Any], path: str) -> Iterator[str]:
    for name in sorted(recorded.keys() - ours.keys()):
        yield f"{path}.{name}: missing, recorded {short(recorded[name])}"
    for name in sorted(ours.keys() - recorded.keys()):
        yield f"{path}.{name}: extra, {short(ours[name])}"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _equal(recorded: Any, ours: Any, account: str, bindings: Bindings) -> bool:
    if isinstance(recorded, bool) or isinstance(ours, bool):
        return recorded is ours
    if not isinstance(recorded, str):
        return bool(recorded == ours)
    if recorded in _TYPES:
        return isinstance(ours, _TYPES[recorded])
    if not isinstance(ours, str):
        return False
    shape = _SHAPES.get(recorded)
    if shape is not None and shape.fullmatch(ours):
        return True
    return _same_text(recorded, ours, account, bindings)


def _same_text(recorded: str, ours: str, account: str, bindings: Bindings) -> bool:
    cut = _CUT.fullmatch(recorded)
    if cut is not None:
        hidden = bindings.hide(ours, account)
        fits = bindings.loose or len(hidden) == int(cut["length"])
        return fits and hidden.startswith(cut["start"])
    if recorded == ours:
        return True
    pattern, names = _pattern(recorded)
    match = re.fullmatch(pattern.replace(_ACCOUNT, f"(?:{account}|{_ACCOUNT})"), ours, re.DOTALL)
    if match is None:
        return False
    return all(bindings.bind(*bound) for bound in zip(names, match.groups(), strict=True))


@cache
def _pattern(recorded: str) -> tuple[str, tuple[str, ...]]:
    """An expression with a group for each placeholder, and their names."""
    text = _REPEATED.sub(lambda match: "a" * int(match[1]), recorded)
    names = tuple(PLACEHOLDER.findall(text))
    parts = [re.escape(part) for part in PLACEHOLDER.split(text)]
    groups = [f"({_KINDS.get(_kind(name), '.+?')})" for name in names]
    woven = [piece for pair in zip(parts, [*groups, ""], strict=True) for piece in pair]
    return "".join(woven), names


def short(value: Any) -> str:
    """`value` for a report."""
    text = repr(value)
    return text if len(text) <= 400 else f"{text[:400]}…"

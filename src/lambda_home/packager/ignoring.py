"""Which files a `.lambdaignore` leaves out, by the rules of .gitignore; pure.

Source: https://git-scm.com/docs/gitignore
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

ALWAYS = (
    "/.lambdaignore",
    "/lambda-home.toml",
    ".git/",
    ".hg/",
    ".svn/",
    ".venv/",
    "__pycache__/",
    "*.pyc",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    ".DS_Store",
)
"""What is left out of every package, unless a line with `!` takes it in."""


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    folders_only: bool
    takes_in: bool


class IgnoreRules:
    """The rules of some lines; of those that fit a path, the last one counts."""

    def __init__(self, lines: Iterable[str]) -> None:
        found = (_rule(line) for line in lines)
        self._rules = [rule for rule in found if rule is not None]

    def ignores(self, path: str, *, is_folder: bool = False) -> bool:
        """Whether a path, relative and with slashes, is left out.

        Whatever lies in a folder that is left out is not asked for.
        """
        for rule in reversed(self._rules):
            if (is_folder or not rule.folders_only) and rule.pattern.fullmatch(path):
                return not rule.takes_in
        return False


def _rule(line: str) -> _Rule | None:
    text = re.sub(r"(?<!\\)\s+$", "", line.rstrip("\r\n"))
    if not text or text.startswith("#"):
        return None
    takes_in = text.startswith("!")
    text = text.removeprefix("!")
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    if not text:
        return None
    is_anchored = "/" in text
    text = text.removeprefix("/")
    expression = ("" if is_anchored else "(?:.*/)?") + _expression(text)
    return _Rule(re.compile(expression, re.DOTALL), folders_only, takes_in)


def _expression(text: str) -> str:
    """The regular expression of a glob."""
    parts: list[str] = []
    at = 0
    while at < len(text):
        token, expression = _token(text, at)
        parts.append(expression)
        at += len(token)
    return "".join(parts)


_CLASS = re.compile(r"\[([!^]?)(\]?[^\]]*)\]")
_GLOBS = (("**/", "(?:.*/)?"), ("*", "[^/]*"), ("?", "[^/]"))


def _token(text: str, at: int) -> tuple[str, str]:
    """What stands at `at`, and the regular expression for it."""
    rest = text[at:]
    starts_segment = at == 0 or text[at - 1] == "/"
    if starts_segment and rest == "**":
        return rest, ".+"
    for glob, expression in _GLOBS:
        if rest.startswith(glob) and (starts_segment or glob != "**/"):
            return glob, expression
    if rest.startswith("\\") and len(rest) > 1:
        return rest[:2], re.escape(rest[1])
    if (found := _CLASS.match(rest)) is not None:
        return found[0], _class(found[1], found[2]) or re.escape(found[0])
    return rest[0], re.escape(rest[0])


def _class(negation: str, members: str) -> str:
    """A class of characters, none of which is a slash; empty for one that cannot be."""
    escaped = re.sub(r"([\\\[\]&~|^])", r"\\\1", members)
    expression = f"(?!/)[{'^' if negation else ''}{escaped}]"
    try:
        re.compile(expression)
    except re.error:
        return ""
    return expression

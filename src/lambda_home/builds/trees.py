"""What is told of sources, and what is to be done with them; pure.

/build   the sources, which steps may change
/out     what steps make for the package and has no place among the sources
/cache   what package managers keep from one build to the next
/plan    files of the plan itself, read-only
/tools   package managers that the server lends to a sandbox without them, read-only
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

BUILD, OUT, CACHE, PLAN, TOOLS = "/build", "/out", "/cache", "/plan", "/tools"

_FAMILY = re.compile(r"[a-z]+")

NOTHING: Mapping[str, str] = MappingProxyType({})


class PlanError(Exception):
    """Sources that nobody can make a package of; one line that says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Sources: the names of their regular files, `/`-separated; `read` gives one as text."""

    names: frozenset[str]
    read: Callable[[str], str]

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return name in self.names

    def has_below(self, folder: str) -> bool:
        """Whether a folder has any file."""
        return any(name.startswith(f"{folder}/") for name in self.names)

    def first_of(self, *names: str) -> str | None:
        """The first of some names that is a file here."""
        return next((name for name in names if name in self.names), None)


@dataclass(frozen=True, slots=True)
class Step:
    """A program to run in /build."""

    words: tuple[str, ...]
    shown: str = ""

    @property
    def title(self) -> str:
        """The step for people."""
        return self.shown or shlex.join(self.words)


@dataclass(frozen=True, slots=True)
class Part:
    """A folder whose files go into the package, below `into`; of later parts the same name wins.

    With `jar` it is the one JAR in it whose entries do.
    """

    root: Literal["build", "out"]
    folder: str = ""
    into: str = ""
    jar: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """How a package is made. `manifest` is the file that decided, empty if none did.

    `locks` are the files that what is installed follows from; `notes` are for the build's log.
    """

    family: str
    manifest: str = ""
    steps: tuple[Step, ...] = ()
    parts: tuple[Part, ...] = (Part("build"),)
    locks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    files: Mapping[str, str] = field(default_factory=lambda: NOTHING)

    def with_output(self, folder: str) -> Plan:
        """The same, but for a folder of /build that stands for the sources in the package."""
        parts = tuple(
            Part("build", folder, part.into) if part.root == "build" else part
            for part in self.parts
        )
        if not any(part.root == "build" for part in parts):
            parts = (Part("build", folder),)
        return replace(self, parts=parts)


def family_of(runtime: str) -> str:
    """The family of a runtime's name: `python3.12` is of python, `provided.al2023` of provided."""
    match = _FAMILY.match(runtime)
    return match[0] if match else ""

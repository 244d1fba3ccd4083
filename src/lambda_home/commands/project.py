"""`lambda-home.toml` of a folder: what `deploy` would be told by flags. Flags come before it.

name = "hello"
runtime = "python3.12"
handler = "app.handler"
memory = 256                 # MB
timeout = 10                 # seconds
role = "arn:aws:iam::000000000000:role/any"
description = "says hello"
layers = ["arn:aws:lambda:us-east-1:000000000000:layer:tools:1"]
url = true                   # a function URL that anybody may call
build = true                 # false: the folder is deployed as it is
build_command = "npm ci && npm run build"
output_directory = "dist"    # the folder that the package is made of

[environment]
TABLE = "greetings"
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lambda_home.commands.failures import WrongUse

FILE = "lambda-home.toml"
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Project:
    """What is known of a function besides its files; None where nobody said so.

    `memory` is in MB, `timeout` in seconds.
    """

    name: str | None = None
    runtime: str | None = None
    handler: str | None = None
    role: str | None = None
    description: str | None = None
    memory: int | None = None
    timeout: int | None = None
    environment: dict[str, str] | None = None
    layers: list[str] | None = None
    url: bool | None = None
    build: bool | None = None
    build_command: str | None = None
    output_directory: str | None = None

    def with_flags(self, flags: Project) -> Project:
        """The same with what flags say; their variables are added to those of the file."""
        given = {
            name: value for name in self.__slots__ if (value := getattr(flags, name)) is not None
        }
        if flags.environment is not None:
            given["environment"] = {**(self.environment or {}), **flags.environment}
        return replace(self, **given)


_KINDS: dict[str, tuple[type, str]] = {
    "name": (str, "a string"),
    "runtime": (str, "a string"),
    "handler": (str, "a string"),
    "role": (str, "a string"),
    "description": (str, "a string"),
    "memory": (int, "a number of MB"),
    "timeout": (int, "a number of seconds"),
    "environment": (dict, "a table of strings"),
    "layers": (list, "a list of ARNs"),
    "url": (bool, "true or false"),
    "build": (bool, "true or false"),
    "build_command": (str, "a string"),
    "output_directory": (str, "a folder"),
}


def read_project(folder: Path) -> Project:
    """What the file in a folder says; an empty Project without one. Raises WrongUse."""
    file = folder / FILE
    if not file.is_file():
        return Project()
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise WrongUse(f"{file} cannot be read as TOML: {error}.") from error
    for key, value in document.items():
        if key not in _KINDS:
            raise WrongUse(f"{file} has an unknown key {key}: it may have {', '.join(_KINDS)}.")
        if not _fits(key, value):
            raise WrongUse(f"{key} in {file} must be {_KINDS[key][1]}.")
    return Project(**document)


def _fits(key: str, value: Any) -> bool:
    kind = _KINDS[key][0]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        return False
    if isinstance(value, dict):
        value = list(value.values())
    return not isinstance(value, list) or all(isinstance(part, str) for part in value)


def name_of(path: Path) -> str:
    """The name of a function that nobody named: that of its folder or file. Raises WrongUse."""
    stem = path.resolve().name if path.is_dir() else path.stem
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")[:_LONGEST_NAME]
    if not name:
        raise WrongUse(f"{path} does not name a function: give --name.")
    return name


def variables_of(words: list[str]) -> dict[str, str] | None:
    """The variables of `--env K=V`; None without any. Raises WrongUse."""
    if not words:
        return None
    for word in words:
        if not re.match(r"[A-Za-z]\w+=", word, re.ASCII):
            raise WrongUse(
                f"--env {word.split('=')[0]!r} is not NAME=VALUE, with a name of two or more"
                " letters, digits and _ that begins with a letter."
            )
    return dict(word.split("=", 1) for word in words)

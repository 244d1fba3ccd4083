"""Writes docs/configuration.md: every setting with its default, its values and its meaning.

    python scripts/settings_reference.py            print the page
    python scripts/settings_reference.py --write    write it

Defaults and meanings come from configs/default.toml and its comments, values from the fields of
`lambda_home.config`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from lambda_home.config import ENV_PREFIX, Settings

ROOT: Final = Path(__file__).resolve().parent.parent
DEFAULTS: Final = ROOT / "configs" / "default.toml"
PAGE: Final = ROOT / "docs" / "configuration.md"

# Flags of `lambda-home serve` that set a setting.
FLAGS: Final[Mapping[str, str]] = {
    "server.bind": "--host",
    "server.port_user_api": "--port-user-api",
    "server.port_runtime_api": "--port-runtime-api",
    "server.insecure": "--insecure",
    "data.dir": "--data-dir",
    "sandbox.kind": "--sandbox",
    "aws.companion": "--companion",
}

_PLAIN: Final[Mapping[Any, str]] = {
    bool: "`true`, `false`",
    int: "whole number",
    float: "number",
    Path: "path",
    SecretStr: "text, secret",
}
_SECTION = re.compile(r"\[([\w.]+)\]\s*(?:# ?(.*))?")
_KEY = re.compile(r"(\w+)\s*=\s*(.+?)(?:\s+# ?(.*))?")
_CONTINUED = re.compile(r"\s+# ?(.*)")
_EXAMPLE = re.compile(r"# (.+ = .+)")
_CODE = re.compile(r'("[^"]*"|(?<![\w-])\[[a-z_.]+\](?: [a-z_]+)?|`[^`]*`)')

_HEAD: Final = """\
# Configuration

Written by `python scripts/settings_reference.py --write`; do not edit.

Settings come from four places. From weak to strong:

1. the defaults below, which are those of [`configs/default.toml`](../configs/default.toml);
2. a TOML file that you name: `lambda-home serve --config FILE`;
3. the environment: `LAMBDA_HOME_<SECTION>__<KEY>`, with two underscores between the two, such as
   `LAMBDA_HOME_SERVER__PORT_USER_API=8000`. Lists and tables are written as JSON:
   `LAMBDA_HOME_SANDBOX__CLOSED_PORTS='[5432]'`;
4. flags of `lambda-home serve`, where there is one.

A file needs only what it changes. An unknown section or key, or a bad value, stops the start with
one line that names it. Files of other projects work too: see
[Configurations of other projects](seed-configurations.md).

```toml
[server]
port_user_api = 8000

[docker.images]
"python3.12" = "registry.example.org/lambda/python:3.12"
```
"""


@dataclass(slots=True)
class Entry:
    """A key of default.toml with the words beside it."""

    key: str
    default: str
    words: list[str]


@dataclass(slots=True)
class Part:
    """A table of default.toml with the words beside it, its keys and its commented examples."""

    name: str
    words: list[str]
    entries: list[Entry] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)


def parts(text: str) -> list[Part]:
    """What default.toml says, table by table."""
    found: list[Part] = []
    words: list[str] | None = None
    for line in text.splitlines():
        if match := _SECTION.fullmatch(line):
            words = [match[2]] if match[2] else []
            found.append(Part(match[1], words))
        elif not found:
            continue
        elif match := _EXAMPLE.fullmatch(line):
            found[-1].examples.append(match[1])
        elif match := _KEY.fullmatch(line):
            words = [match[3]] if match[3] else []
            found[-1].entries.append(Entry(match[1], match[2], words))
        elif words is not None and (match := _CONTINUED.fullmatch(line)):
            words.append(match[1])
    return found


def field_of(name: str) -> FieldInfo:
    """The field of a setting by its name in TOML ("server.bind"). Raises KeyError."""
    model: type[BaseModel] = Settings
    info: FieldInfo | None = None
    for part in name.split("."):
        named = {given.alias or key: given for key, given in model.model_fields.items()}
        info = named[part]
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            model = info.annotation
    if info is None:
        raise KeyError(name)
    return info


def values_of(info: FieldInfo) -> str:
    """The values that a field takes, in words."""
    return _values(info.annotation, info.metadata)


def _values(kind: Any, metadata: list[Any]) -> str:
    if NoneType in get_args(kind):
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    origin = get_origin(kind)
    if origin is Literal:
        return ", ".join(f'`"{value}"`' for value in get_args(kind))
    if origin is tuple:
        return f"list of {_plural(get_args(kind)[0])}"
    if kind in {int, float}:
        return _PLAIN[kind] + _bounds(metadata)
    return "table of texts" if origin is dict else _PLAIN.get(kind, "text")


def _plural(kind: Any) -> str:
    inner, *metadata = get_args(kind) or (kind,)
    if inner is not int:
        return "texts"
    return "whole numbers" + _bounds(list(getattr(metadata[0], "metadata", metadata)))


def _bounds(metadata: list[Any]) -> str:
    limits = {
        name: getattr(one, name)
        for one in metadata
        for name in ("ge", "gt", "le", "lt")
        if getattr(one, name, None) is not None
    }
    if "ge" in limits and "le" in limits:
        return f", {limits['ge']} to {limits['le']}"
    signs = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return "".join(f", {signs[name]} {limit}" for name, limit in limits.items())


def page(text: str) -> str:
    """The page for a default.toml."""
    return _HEAD + "".join("\n" + "\n".join(_section(part)) + "\n" for part in parts(text))


def _section(part: Part) -> Iterator[str]:
    yield f"## {part.name}"
    if part.words:
        words = _sentence(part.words)
        yield f"\n{words[0].upper()}{words[1:]}."
    if part.examples:
        yield "\n```toml"
        yield f"[{part.name}]"
        yield from part.examples
        yield "```"
    if not part.entries:
        return
    yield "\n| key | default | values | meaning, flag, variable |"
    yield "|---|---|---|---|"
    for entry in part.entries:
        name = f"{part.name}.{entry.key}"
        variable = f"{ENV_PREFIX}{name.replace('.', '__').upper()}"
        flag = f"flag `{FLAGS[name]}`" if name in FLAGS else ""
        told = (_meaning(entry, values_of(field_of(name))), flag)
        meaning = "; ".join(part for part in told if part)
        cells = (
            f"`{entry.key}`",
            f"`{entry.default}`",
            values_of(field_of(name)),
            f"{meaning}<br>`{variable}`".removeprefix("<br>"),
        )
        yield "| " + " | ".join(cells) + " |"


def _meaning(entry: Entry, values: str) -> str:
    """The words beside a key, without the bare values that stand in a column of their own."""
    words = " ".join(entry.words)
    if " | " not in words:
        return _sentence([words])
    told = [part for choice in words.split(" | ") for part in choice.split("; ")]
    return _sentence(["; ".join(part for part in told if f'`"{part.strip()}"`' not in values)])


def _sentence(words: list[str]) -> str:
    return _CODE.sub(lambda found: f"`{found[1].strip('`')}`", " ".join(words))


def main() -> None:
    """Print the page, or write it."""
    text = DEFAULTS.read_text()
    tomllib.loads(text)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(text))
    else:
        print(page(text), end="")


if __name__ == "__main__":
    main()

"""Writes docs/command-line.md: every command with its arguments and options.

    python scripts/cli_reference.py            print the page
    python scripts/cli_reference.py --write    write it

All of it comes from the commands themselves, as `--help` shows it.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import typer
import typer.main

from lambda_home.cli import app

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "command-line.md"
_HEAD: Final = """\
# Command line

Written by `python scripts/cli_reference.py --write`; do not edit.

Every command has `--help`. Results go to standard output, everything else to standard error;
`--json`, where a command has it, makes the result one JSON document. A command that fails says why
in one line on standard error.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | it failed: the function, the server (or it refused), a setting, a data directory |
| 2 | wrong use: flags, files or payloads that cannot be right |
| 3 | no server answers |
| 130 | interrupted |

Commands that talk to a server find it at `--endpoint-url`, else at `LAMBDA_HOME_ENDPOINT_URL`,
`AWS_ENDPOINT_URL` or `http://127.0.0.1:9000`. They sign with `AWS_ACCESS_KEY_ID` and
`AWS_SECRET_ACCESS_KEY` where these are set; `LAMBDA_HOME_TOKEN` (`KEY_ID:SECRET`) is sent as a
bearer token instead, for the server's own region. Without credentials, a region that is named goes
by a signature that proves nothing; only a server without authentication takes it.

`lambda-home --install-completion` completes commands in your shell.

There are no services (containers of any kind behind a path of this server) and so there is no
`lambda-home services`.
"""


def page() -> str:
    """The page for the commands as they are."""
    root = typer.main.get_command(app)
    return _HEAD + "".join(f"\n{section}" for section in _sections(root, "lambda-home", 2))


def _sections(command: Any, words: str, level: int) -> Iterator[str]:
    yield "\n".join([*_section(command, words, level), ""])
    if not hasattr(command, "list_commands"):
        return
    context = typer.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        if not below.hidden:
            yield from _sections(below, f"{words} {name}", min(level + 1, 3))


def _section(command: Any, words: str, level: int) -> Iterator[str]:
    yield f"{'#' * level} {words}"
    if command.help:
        yield f"\n{_text(inspect.cleandoc(command.help))}"
    shown = [given for given in command.params if not getattr(given, "hidden", False)]
    arguments = [given for given in shown if given.param_type_name == "argument"]
    options = [given for given in shown if given.param_type_name == "option"]
    if not hasattr(command, "list_commands"):
        usage = [
            words,
            *(_argument(given) for given in arguments),
            *(["[OPTIONS]"] * bool(options)),
        ]
        yield f"\n```text\n{' '.join(usage)}\n```"
    if arguments:
        yield "\n| argument | meaning |\n|---|---|"
        for given in arguments:
            yield f"| `{_argument(given)}` | {_cell(given.help)} |"
    if options:
        yield "\n| option | meaning |\n|---|---|"
        for given in options:
            yield f"| {_option(given)} | {_option_meaning(given)} |"


def _argument(given: Any) -> str:
    name = str(given.metavar or given.name).upper()
    repeated = "..." if given.nargs != 1 else ""
    return f"{name}{repeated}" if given.required else f"[{name}{repeated}]"


def _option(given: Any) -> str:
    value = "" if given.is_flag or given.count else f" {given.metavar or _value_name(given)}"
    both = [*sorted(given.opts, key=len), *given.secondary_opts]
    return ", ".join(f"`{name}{value}`" for name in both)


def _kind(given: Any) -> Any:
    return given.type_descriptor.annotation


def _value_name(given: Any) -> str:
    names = {int: "NUMBER", float: "NUMBER", Path: "PATH", str: "TEXT"}
    return names.get(_kind(given), str(given.name).upper())


def _option_meaning(given: Any) -> str:
    facts = [_cell(given.help)]
    kind = _kind(given)
    if isinstance(kind, type) and issubclass(kind, Enum):
        facts.append("One of " + ", ".join(f"`{choice.value}`" for choice in kind) + ".")
    variables = given.envvar or ()
    facts += [
        f"From `{variable}` in the environment where it is not given."
        for variable in ((variables,) if isinstance(variables, str) else variables)
    ]
    if given.required:
        facts.append("Required.")
    elif isinstance(given.default, int | str | float | Path) and not given.is_flag:
        value = given.default.value if isinstance(given.default, Enum) else given.default
        facts.append(f"Default: `{value}`.")
    return " ".join(fact for fact in facts if fact)


def _cell(text: str | None) -> str:
    return _text(" ".join((text or "").split())).replace("|", "\\|")


def _text(text: str) -> str:
    """Angle brackets are no HTML here."""
    return text.replace("<", "&lt;")


def main() -> None:
    """Print the page, or write it."""
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page())
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()

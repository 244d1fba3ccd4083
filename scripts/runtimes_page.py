"""Writes docs/runtimes.md, and the table of README.md, from docs/runtimes.json.

    python scripts/runtimes_page.py            print the page
    python scripts/runtimes_page.py --write    write it, and the table of README.md

The conformance suite writes the JSON where it is told to:

    CONFORMANCE_RESULTS=docs/runtimes.json pytest tests/e2e/test_conformance.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from conformance.clients import CLIENTS

from lambda_home.runtimes import Runtime, catalogue, checked

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "docs" / "runtimes.json"
PAGE: Final = ROOT / "docs" / "runtimes.md"
README: Final = ROOT / "README.md"
BEGIN: Final = "<!-- written by scripts/runtimes_page.py: begin -->\n"
END: Final = "<!-- end -->\n"
SANDBOXES: Final = ("process", "docker")
COLUMNS: Final = ("event", "error", "environment", "layers", "streaming", "timeout", "spare")
Found = Mapping[str, Mapping[str, Mapping[str, str]]]

_HEAD: Final = """\
# Runtimes

Written by `python scripts/runtimes_page.py --write` from results of tests; do not edit.

## What functions see

[One table of cases](../tests/e2e/test_conformance.py) is run by a small real function of each
language, in each kind of sandbox, with our runtime clients and with AWS's own, unmodified.
[Languages](languages.md) says how to use each of them.

"""
_MEANING: Final = """
- **event**: events and results of any kind, large ones, null and Unicode; the members of the
  context, the client context and the time that is left among them; what a function writes, in the
  log of its call.
- **error**: type, message and stack of an error, also of one in the initialisation; a process that
  ends.
- **environment**: the variables that AWS lists, and none of ours.
- **layers**: files in `/opt`, and modules where Python, Node.js and Ruby look for them.
- **streaming**: pieces arrive as they are written; "-": the client has no streaming.
- **timeout**: AWS's answer, and a clean environment for the next call.
- **spare**: a first call takes a process that waited for it; "-": functions start on their own.

"no": a case failed. An empty cell: it could not run on the machine that made this page.

## Which identifiers run

The identifiers of AWS's model, and `rust` of Lambda@Home, as of {checked}. "yes": a function of it
answered, on its version or on the nearest that was there, which the function's log then says. An
empty cell: there is no bootstrap for it, or a tool was missing. From the day of "no new ones" on,
functions of it are refused unless `[functions] allow_deprecated_runtimes` is set.

"""


def read() -> dict[str, Any]:
    """The results. Raises OSError and ValueError."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def table(found: Found) -> Iterator[str]:
    """Clients and columns; a cell has both kinds of sandbox where they differ."""
    yield "| runtime client | sandbox | " + " | ".join(COLUMNS) + " |"
    yield "|---|---|" + "---|" * len(COLUMNS)
    for client in CLIENTS:
        for sandbox in SANDBOXES:
            told = found.get(client.name, {}).get(sandbox, {})
            cells = (client.title, sandbox, *(told.get(column, "") for column in COLUMNS))
            yield "| " + " | ".join(cells) + " |"


def short_table(found: Found) -> Iterator[str]:
    """One line for each client, for README.md: a cell says where it works."""
    yield "| runtime client | " + " | ".join(COLUMNS) + " |"
    yield "|---|" + "---|" * len(COLUMNS)
    for client in CLIENTS:
        told = found.get(client.name, {})
        cells = (client.title, *(_short(told, column) for column in COLUMNS))
        yield "| " + " | ".join(cells) + " |"


def _short(told: Mapping[str, Mapping[str, str]], column: str) -> str:
    answers = {sandbox: told.get(sandbox, {}).get(column, "") for sandbox in SANDBOXES}
    if len(set(answers.values())) == 1:
        return answers["process"]
    return ", ".join(f"{sandbox}: {answer or '?'}" for sandbox, answer in answers.items())


def identifiers(found: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Every runtime of the catalogue."""
    yield "| runtime | process | docker | image | architectures | deprecated | no new ones |"
    yield "|---|---|---|---|---|---|---|"
    for name, runtime in catalogue().items():
        told = found.get(name, {})
        cells = (f"`{name}`", *(told.get(sandbox, "") for sandbox in SANDBOXES), *_facts(runtime))
        yield "| " + " | ".join(cells) + " |"


def _facts(runtime: Runtime) -> tuple[str, ...]:
    days = (runtime.deprecated, runtime.block_create)
    image = f"`{runtime.image.rpartition('/')[2]}`" if runtime.image else ""
    told = (day.isoformat() if day else "" for day in days)
    return (image, ", ".join(runtime.architectures), *told)


def page(results: Mapping[str, Any]) -> str:
    """docs/runtimes.md."""
    lines = "\n".join(table(results["clients"])) + "\n"
    names = "\n".join(identifiers(results["runtimes"])) + "\n"
    meaning = _MEANING.format(checked=checked().isoformat())
    return f"{_HEAD}{lines}{meaning}{names}"


def readme(text: str, results: Mapping[str, Any]) -> str:
    """README.md with its table anew. Raises ValueError without the marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no {BEGIN.strip()} or no {END.strip()}")
    return f"{before}{BEGIN}" + "\n".join(short_table(results["clients"])) + f"\n{END}{after}"


def main() -> None:
    """Print the page, or write it and README.md."""
    results = read()
    if "--write" not in sys.argv[1:]:
        print(page(results), end="")
        return
    PAGE.write_text(page(results), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main()

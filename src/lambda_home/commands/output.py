"""What commands print: tables and JSON to stdout, progress to stderr.

On a terminal tables are rich's, with colours unless NO_COLOR is set; elsewhere columns are aligned
by spaces and never cut, for grep and awk.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import typer

_GAP = "  "
_BAD = frozenset({"Failed", "Inactive"})


def show_json(document: Any) -> None:
    """Print one JSON document."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=str)
    if not _can_be_written(text):
        text = json.dumps(document, indent=2, default=str)
    typer.echo(text)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Print rows below the names of their columns; without any, `empty` goes to stderr."""
    texts = [[_text(cell) for cell in row] for row in rows]
    if not texts:
        note(empty)
    elif sys.stdout.isatty():
        _show_on_terminal(columns, texts)
    else:
        widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
        for row in [list(columns), *texts]:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            line(_GAP.join(cells).rstrip())


def show_members(members: Sequence[tuple[str, object]]) -> None:
    """Print names and values, one pair a line; what has no value is left out."""
    pairs = [(name, _text(value)) for name, value in members if value not in (None, "", [], {})]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        label = typer.style(name.ljust(width), bold=True) if is_colourful() else name.ljust(width)
        line(f"{label}{_GAP}{value}")


def line(text: str) -> None:
    """Print a line; characters that stdout cannot have are written as escapes."""
    if not _can_be_written(text):
        encoding = sys.stdout.encoding or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
    typer.echo(text)


def note(text: str) -> None:
    """Say something that is not the command's result."""
    typer.echo(text, err=True)


@contextmanager
def working(text: str) -> Iterator[None]:
    """Say that something is going on: by a spinner on a terminal, else by a line."""
    if not sys.stderr.isatty():
        note(f"{text} ...")
        yield
        return
    from rich.console import Console  # noqa: PLC0415  only on a terminal
    from rich.text import Text  # noqa: PLC0415

    with Console(stderr=True).status(Text(text)):
        yield


def is_colourful() -> bool:
    """Whether stdout takes colours: a terminal, and nobody has set NO_COLOR (no-color.org)."""
    import os  # noqa: PLC0415  beside its only use

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def moment(milliseconds: float) -> str:
    """A moment in milliseconds since the epoch, in UTC."""
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{int(milliseconds) % 1000:03}Z"


def _can_be_written(text: str) -> bool:
    """Whether stdout takes all characters: not half a surrogate pair, not Greek in ASCII."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _show_on_terminal(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415  only on a terminal
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    Console(highlight=False).print(table)


def _style(cell: str) -> str:
    if cell == "Active":
        return "green"
    return "red" if cell in _BAD else ""


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return " ".join(str(value).split()) or "-"

"""How a run reads: a table, the targets, a Markdown page and a plot. Pure: text in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from bench.figures import Figure, Outcome, Row
from bench.targets import Judged, judge

_OWN_COLUMN = ("p50", "p99", "rate")
_MOST_DIGITS = 3
_LABEL_WIDTH, _BAR_WIDTH, _NOTE_WIDTH = 350, 260, 330
_LINE, _TOP = 22, 58
_LONGEST_BAR = 1.6
_MET, _MISSED = "#3b7d5e", "#b5483a"


def shown(figure: Figure) -> str:
    """A value with its unit, in as many digits as say something."""
    value = figure.value
    if figure.unit in {"", "/s"} and value == int(value):
        text = f"{value:.0f}"
    elif abs(value) >= 100:  # noqa: PLR2004  three digits are enough
        text = f"{value:,.0f}"
    else:
        text = f"{value:.{_MOST_DIGITS - len(str(int(abs(value))))}f}"
    if figure.unit in {"x", "%", "/s"}:
        return f"{text}{figure.unit}" if figure.unit != "x" else f"{text} x"
    return f"{text} {figure.unit}".strip()


def _cell(row: Row, name: str) -> str:
    figure = row.figure(name)
    return shown(figure) if figure is not None else ""


def _rest(row: Row) -> str:
    others = [figure for figure in row.figures if figure.name not in _OWN_COLUMN]
    return ", ".join(_said(figure) for figure in others)


def _said(figure: Figure) -> str:
    if figure.unit == "x":
        return f"{shown(figure)} {figure.name.removeprefix('of ')}"
    return f"{figure.name} {shown(figure)}"


def line(row: Row) -> tuple[str, ...]:
    """The cells of one row of the table."""
    cells = [_cell(row, name) for name in _OWN_COLUMN]
    return (row.label, f"{row.n}", *cells, f"{row.errors}", _rest(row))


HEADERS = ("what", "n", "p50", "p99", "rate", "errors", "more")


def _columns(lines: Sequence[Sequence[str]], left: frozenset[int]) -> list[str]:
    widths = [max(len(cells[index]) for cells in lines) for index in range(len(lines[0]))]
    return [
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in lines
    ]


def table(rows: Sequence[Row]) -> str:
    """Everything that was measured."""
    if not rows:
        return "nothing was measured"
    return "\n".join(_columns([HEADERS, *map(line, rows)], frozenset({0, 6})))


def _verdict(judged: Judged) -> tuple[str, ...]:
    said = "met" if judged.met else "MISSED"
    name = judged.figure.name
    return (judged.row.label, name, shown(judged.figure), judged.limit, said)


def targets(rows: Sequence[Row]) -> str:
    """Every target that can be judged by these rows."""
    judged = judge(rows)
    if not judged:
        return ""
    head = ("target", "figure", "measured", "promised", "")
    return "\n".join(_columns([head, *map(_verdict, judged)], frozenset({0, 1, 4})))


def text(outcome: Outcome, hardware: Mapping[str, Any]) -> str:
    """What `make bench` prints."""
    parts = [machine(hardware), table(outcome.rows), targets(outcome.rows)]
    parts.append("\n".join(f"not measured: {why}" for why in outcome.skipped))
    parts.append("\n".join(f"FAILED: {why}" for why in outcome.failed))
    return "\n\n".join(part for part in parts if part)


def machine(hardware: Mapping[str, Any]) -> str:
    """The hardware in one line."""
    return (
        f"{hardware['cpu']}, {hardware['cores']} cores, {hardware['memory_mb']} MB;"
        f" Linux {hardware['kernel']}, Docker {hardware['docker']}, Python {hardware['python']},"
        f" Node.js {hardware['node']}"
    )


def markdown(outcome: Outcome, hardware: Mapping[str, Any], at: str) -> str:
    """docs/bench.md: the last full run."""
    lines = [
        "# Measured",
        "",
        f"Written by `make bench` on {at}: {machine(hardware)}. The server, its functions and the",
        "load generator share that machine. Promises: [SPECIFICATION.md](../SPECIFICATION.md).",
        "",
        "![how much of each target is used](bench.svg)",
        "",
        *_markdown_table(HEADERS, [line(row) for row in outcome.rows]),
        "",
        *_markdown_table(
            ("target", "figure", "measured", "promised", ""),
            list(map(_verdict, judge(outcome.rows))),
        ),
        *(f"\nNot measured: {why}" for why in outcome.skipped),
    ]
    return "\n".join(lines) + "\n"


def _markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(cells) + " |" for cells in lines),
    ]


def svg(rows: Sequence[Row], hardware: Mapping[str, Any], at: str) -> str:
    """A bar for each target: how much of what is allowed is used. The line at 1 is the limit."""
    bars = [judged for judged in judge(rows) if judged.target.limit > 0]
    width = _LABEL_WIDTH + _BAR_WIDTH + _NOTE_WIDTH
    height = _TOP + _LINE * len(bars) + 14
    limit = _LABEL_WIDTH + _BAR_WIDTH / _LONGEST_BAR
    said = "Measured, as a share of what is promised (shorter is better)"
    image = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width} {height}"}
    parts = [
        _tag("rect", {"width": width, "height": height, "fill": "#ffffff"}),
        _tag("text", {"x": 10, "y": 20, "font-size": 15}, said),
        _tag("text", {"x": 10, "y": 38, "fill": "#555555"}, f"{machine(hardware)}; {at}"),
        *(part for number, judged in enumerate(bars) for part in _bar(number, judged)),
        _tag(
            "line",
            {
                "x1": f"{limit:.0f}",
                "y1": _TOP - 8,
                "x2": f"{limit:.0f}",
                "y2": height - 8,
                "stroke": "#222222",
                "stroke-dasharray": "4 3",
            },
        ),
        _tag(
            "text",
            {"x": f"{limit:.0f}", "y": _TOP - 10, "text-anchor": "middle", "font-size": 10},
            "limit",
        ),
    ]
    inner = "\n".join(["", *parts, ""])
    size = {"width": width, "height": height, "font-family": "sans-serif", "font-size": 12}
    return f"<svg{_attributes({**image, **size})}>{inner}</svg>\n"


def _bar(number: int, judged: Judged) -> list[str]:
    y = _TOP + _LINE * number
    share = judged.target.share(judged.figure.value)
    length = max(1.0, min(max(share, 0.0), _LONGEST_BAR) * _BAR_WIDTH / _LONGEST_BAR)
    more = " (bar cut off)" if share > _LONGEST_BAR else ""
    bar = {
        "x": _LABEL_WIDTH,
        "y": y + 3,
        "width": f"{length:.1f}",
        "height": _LINE - 8,
        "fill": _MET if judged.met else _MISSED,
    }
    text_at = {"y": y + 13, "font-size": 11}
    return [
        _tag(
            "text",
            {"x": _LABEL_WIDTH - 8, "text-anchor": "end", **text_at},
            f"{judged.row.label}: {judged.figure.name}",
        ),
        _tag("rect", bar),
        _tag(
            "text",
            {"x": _LABEL_WIDTH + _BAR_WIDTH + 8, **text_at},
            f"{shown(judged.figure)} ({judged.limit}){more}",
        ),
    ]


def _tag(name: str, attributes: Mapping[str, object], content: str = "") -> str:
    return f"<{name}{_attributes(attributes)}>{escape(content)}</{name}>"


def _attributes(given: Mapping[str, object]) -> str:
    return "".join(f' {name}="{escape(str(value))}"' for name, value in given.items())

"""Whether a run is worse than the last accepted one. Pure.

Only figures that do not depend on the machine's speed are compared: ratios to a yardstick of the
same run, and memory. A row that had no errors must still have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import Better, Row

TOLERANCE = 0.25
"""How much worse a figure may be: from here on it fails."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure of both runs; `after` is None if the new run has none."""

    row: str
    figure: str
    before: float
    after: float | None
    better: Better

    @property
    def worse_by(self) -> float:
        """0.25 is 25 % worse, -0.1 is 10 % better; a figure that is missing is infinitely worse."""
        if self.after is None:
            return float("inf")
        if self.before == 0:
            same = self.after == 0 or (self.better == "higher" and self.after > 0)
            return 0.0 if same else float("inf")
        change = self.after / self.before - 1
        return change if self.better == "lower" else -change

    @property
    def failed(self) -> bool:
        """Whether that is too much."""
        return self.worse_by >= TOLERANCE


def rows_of(results: Mapping[str, Any]) -> list[Row]:
    """The rows of a results file."""
    return [Row.from_json(document) for document in results["rows"]]


def section_of(results: Mapping[str, Any], row: Row) -> str:
    """The section of `make bench` that a row comes from."""
    return str(results["section_of"].get(row.key, ""))


def compare(accepted: Mapping[str, Any], new: Mapping[str, Any]) -> list[Compared]:
    """Every comparable figure of the accepted run whose section the new run has measured.

    What only the new run has is no regression and is not listed.
    """
    found = {row.key: row for row in rows_of(new)}
    compared: list[Compared] = []
    for before in rows_of(accepted):
        if section_of(accepted, before) not in new["sections"]:
            continue
        after = found.get(before.key)
        compared += _figures(before, after)
        if before.errors == 0:
            errors = float(after.errors) if after is not None else None
            compared.append(Compared(before.key, "errors", 0.0, errors, "lower"))
    return compared


def _figures(before: Row, after: Row | None) -> list[Compared]:
    pairs = []
    for figure in before.figures:
        if figure.compared:
            now = after.figure(figure.name) if after is not None else None
            value = now.value if now is not None else None
            pairs.append(Compared(before.key, figure.name, figure.value, value, figure.better))
    return pairs


def better_of(first: Sequence[Compared], second: Sequence[Compared]) -> list[Compared]:
    """For each figure of `first` the better of two measurements.

    A busy machine makes one run worse now and then; what has really become worse is worse twice.
    """
    again = {(one.row, one.figure): one for one in second}
    return [min(one, again.get((one.row, one.figure), one), key=_badness) for one in first]


def _badness(one: Compared) -> float:
    return one.worse_by


def sections_to_repeat(accepted: Mapping[str, Any], compared: Iterable[Compared]) -> list[str]:
    """The sections in which something failed, in the order of the accepted run."""
    failed = {one.row for one in compared if one.failed}
    wanted = {section_of(accepted, row) for row in rows_of(accepted) if row.key in failed}
    return [section for section in accepted["sections"] if section in wanted]


def why_not_accept(
    results: Mapping[str, Any], needed: Iterable[str], full_seconds: float
) -> str | None:
    """Why a run cannot be the one to compare with; None if it can.

    An accepted run that lacks something would keep silent about it for ever.
    """
    if results["failed"]:
        return f"something failed in it: {'; '.join(results['failed'])}"
    if results["seconds"] < full_seconds:
        return f"it was a short one (BENCH_SECONDS={results['seconds']:g})"
    missing = [name for name in needed if name not in results["sections"]]
    return f"it lacks {', '.join(missing)}" if missing else None


def verdict(compared: Sequence[Compared]) -> str:
    """A table of what was compared, the worst first, and one line that says it all."""
    lines = [("row", "figure", "accepted", "now", "worse by", "")]
    for one in sorted(compared, key=_badness, reverse=True):
        now = "missing" if one.after is None else f"{one.after:.3f}"
        lines.append(
            (
                one.row,
                one.figure,
                f"{one.before:.3f}",
                now,
                f"{one.worse_by:+.0%}" if one.worse_by != float("inf") else "-",
                "FAILED" if one.failed else "",
            )
        )
    widths = [max(len(line[index]) for line in lines) for index in range(6)]
    table = [
        "  ".join(
            cell.ljust(width) if index in {0, 1, 5} else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    failed = sum(one.failed for one in compared)
    said = (
        f"bench-check: {failed} of {len(compared)} figures are worse by {TOLERANCE:.0%} or more"
        if failed
        else f"bench-check: none of {len(compared)} figures is worse by {TOLERANCE:.0%} or more"
    )
    return "\n".join([*table, "", said])

"""What a measurement is: rows of figures, and the statistics that every section uses. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Better = Literal["lower", "higher"]


class SkippedError(Exception):
    """A section, or a part of one, that cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `compared`: `make bench-check` compares it, as no machine's speed changes it.

    Units: ms, s, /s, MB, %, x (a ratio), or "" for a count.
    """

    name: str
    value: float
    unit: str
    better: Better = "lower"
    compared: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured in one way. `key` stays the same from run to run, `label` is for people."""

    key: str
    label: str
    n: int
    errors: int
    figures: tuple[Figure, ...] = ()

    def figure(self, name: str) -> Figure | None:
        """The figure with this name; `errors` and `n` are figures too."""
        if name == "errors":
            return Figure("errors", self.errors, "")
        return next((figure for figure in self.figures if figure.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """For results.json."""
        return {
            "key": self.key,
            "label": self.label,
            "n": self.n,
            "errors": self.errors,
            "figures": {
                figure.name: {
                    "value": figure.value,
                    "unit": figure.unit,
                    "better": figure.better,
                    "compared": figure.compared,
                }
                for figure in self.figures
            },
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Row:
        """The row that `as_json` wrote."""
        figures = tuple(Figure(name, **given) for name, given in document["figures"].items())
        return cls(document["key"], document["label"], document["n"], document["errors"], figures)


@dataclass(slots=True)
class Outcome:
    """What a run has found: rows, and what it did not measure and why."""

    rows: list[Row] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    sections: list[str] = field(default_factory=list)

    def add(self, row: Row) -> Row:
        """Keep a row."""
        self.rows.append(row)
        return row


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure. `seconds` is the length of one load; 5 is a full run."""

    seconds: float = 5.0

    FULL = 5.0

    @property
    def full(self) -> bool:
        """Whether the figures are those that the targets speak of."""
        return self.seconds >= self.FULL

    def count(self, wanted: int, least: int = 3) -> int:
        """How many samples of `wanted` in a full run."""
        return max(least, math.ceil(wanted * min(1.0, self.seconds / self.FULL)))


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was measured, never one between two."""
    if not values:
        raise ValueError("no samples")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def times(seconds: Iterable[float]) -> tuple[Figure, Figure]:
    """Median and 99th percentile of durations in seconds, as figures in milliseconds."""
    samples = [value * 1000 for value in seconds]
    return (
        Figure("p50", statistics.median(samples), "ms"),
        Figure("p99", percentile(samples, 99), "ms"),
    )


def ratio(name: str, value: float, base: float, better: Better = "lower") -> Figure:
    """A ratio to a yardstick of the same run."""
    return Figure(name, value / base, "x", better, compared=True)


def growth_in_an_hour(samples: Sequence[tuple[float, float]]) -> float:
    """Percent by which (seconds, amount) samples would grow in an hour, going on as they do.

    The first third is left out: caches fill there. A least-squares line through the rest, so that
    one odd sample does not decide.
    """
    kept = samples[len(samples) // 3 :]
    if len(kept) < 2:  # noqa: PLR2004  a line needs two points
        raise ValueError("too few samples")
    line = statistics.linear_regression([at for at, _ in kept], [amount for _, amount in kept])
    return line.slope * 3600 / statistics.fmean(amount for _, amount in kept) * 100

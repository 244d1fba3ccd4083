"""Which version of an alias an invocation goes to.

An alias has a main version and at most one other with a weight, the part of the traffic (0 to 1)
that goes there. Source: https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lambda_home.functions import FunctionVersion

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, slots=True)
class Route:
    """The versions behind a qualifier; `weight` is the chance that the other one is taken."""

    main: FunctionVersion
    other: FunctionVersion | None = None
    weight: float = 0.0

    def pick(self, draw: float) -> FunctionVersion:
        """The version for one invocation; `draw` is from 0 up to but not 1."""
        if self.other is not None and draw < self.weight:
            return self.other
        return self.main


class EvenDraws:
    """Numbers from 0 up to but not 1 that come closer to a weight, and sooner, than random ones do.

    Each is the one before plus the golden ratio, modulo 1; any part of them taken at regular
    intervals is as even. Source: Kuipers and Niederreiter, Uniform Distribution of Sequences, 1974.
    """

    def __init__(self, start: float) -> None:
        self._last = start % 1

    def __call__(self) -> float:
        """The next one."""
        self._last = (self._last + _GOLDEN) % 1
        return self._last


def shares(count: int, main: str, weights: Mapping[str, float]) -> dict[str, int]:
    """Split `count` provisioned environments between an alias's versions as it splits traffic.

    The parts always sum up to `count`; halves go to the other version.
    """
    parts: dict[str, int] = {}
    left = count
    for version, weight in weights.items():
        parts[version] = min(left, math.floor(count * weight + 0.5))
        left -= parts[version]
    return {main: left, **parts}

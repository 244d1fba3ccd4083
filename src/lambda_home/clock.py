"""The clock that drivers are given; tests give one that they turn by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two times: `now` for people (seconds since the epoch), `monotonic` for measuring."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""


class SystemClock:
    """The machine's clock."""

    now = staticmethod(time.time)  # noqa: TID251  this is where the clock comes from
    monotonic = staticmethod(time.monotonic)

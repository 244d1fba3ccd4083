"""The clock that drivers are given; tests give one that they turn by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Three times: for people, for measuring, and for those outside this process."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""

    def outside(self) -> float:
        """Seconds since the epoch as execution environments count them: nobody turns those."""


class SystemClock:
    """The machine's clock."""

    now = staticmethod(time.time)  # noqa: TID251  this is where the clock comes from
    monotonic = staticmethod(time.monotonic)
    outside = now


class VirtualClock:
    """The machine's clock, ahead of it by as much as it was advanced; it never goes back."""

    def __init__(self) -> None:
        self._machine = SystemClock()
        self._ahead_s = 0.0

    @property
    def ahead_s(self) -> float:
        """How many seconds it is ahead of the machine's clock."""
        return self._ahead_s

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass at once; nobody is told. Raises ValueError below zero."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._ahead_s += seconds

    def now(self) -> float:
        """Seconds since the epoch, by this clock."""
        return self._machine.now() + self._ahead_s

    def monotonic(self) -> float:
        """Seconds since some fixed moment, by this clock."""
        return self._machine.monotonic() + self._ahead_s

    def outside(self) -> float:
        """Seconds since the epoch by the machine's clock."""
        return self._machine.now()

"""What fleets will need, from what they needed: a predictor for each, asked once an interval.

Glambdar's average counts arrivals, of which one environment takes thousands in an interval. What it
asks for is therefore bounded by how many invocations ran side by side in the last interval, and
environments at work count: at a steady load nothing is started that would only stand idle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lambda_home.scheduler.autoscaling import INTERVAL_S, Predictor


@dataclass(slots=True)
class _Watched:
    predictor: Predictor
    running: int = 0
    most_running: int = 0


class Forecasts:
    """The predictors of all fleets that had work lately; does nothing where it is not `on`."""

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self._watched: dict[str, _Watched] = {}
        self._next_at = 0.0

    def arrived(self, key: str, now: float) -> None:
        """An invocation of fleet `key` came."""
        if not self._on:
            return
        watched = self._watched.get(key)
        if watched is None:
            watched = self._watched[key] = _Watched(Predictor(now))
        watched.predictor.observe(now)
        watched.running += 1
        watched.most_running = max(watched.most_running, watched.running)

    def ended(self, key: str) -> None:
        """An invocation of fleet `key` has ended."""
        watched = self._watched.get(key)
        if watched is not None and watched.running > 0:
            watched.running -= 1

    def due(self, now: float) -> Iterator[tuple[str, int]]:
        """Once an interval: fleets, and how many environments should be starting or idle."""
        if not self._watched or now < self._next_at:
            return
        self._next_at = now + INTERVAL_S
        for key, watched in list(self._watched.items()):
            target = watched.predictor.target(now)
            wanted = min(target, max(1, watched.most_running)) - watched.running
            watched.most_running = watched.running
            if target > 0 and wanted > 0:
                yield key, wanted
            elif watched.predictor.idle and not watched.running:
                del self._watched[key]

    def forget(self, key: str) -> None:
        """No work will come for this fleet any more."""
        self._watched.pop(key, None)

    def keys(self) -> frozenset[str]:
        """The fleets that are watched."""
        return frozenset(self._watched)

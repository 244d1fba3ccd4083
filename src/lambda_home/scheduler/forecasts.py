"""What fleets will need, from what they needed: a predictor for each, asked once an interval."""

from __future__ import annotations

from collections.abc import Iterator

from lambda_home.scheduler.autoscaling import INTERVAL_S, Predictor


class Forecasts:
    """The predictors of all fleets that had work lately; does nothing where it is not `on`."""

    def __init__(self, *, on: bool) -> None:
        self._on = on
        self._predictors: dict[str, Predictor] = {}
        self._next_at = 0.0

    def arrived(self, key: str, now: float) -> None:
        """An invocation of fleet `key` came."""
        if self._on:
            predictor = self._predictors.get(key)
            if predictor is None:
                predictor = self._predictors[key] = Predictor(now)
            predictor.observe(now)

    def due(self, now: float) -> Iterator[tuple[str, int]]:
        """Once an interval: fleets, and how many environments should be starting or idle."""
        if not self._predictors or now < self._next_at:
            return
        self._next_at = now + INTERVAL_S
        for key, predictor in list(self._predictors.items()):
            target = predictor.target(now)
            if target > 0:
                yield key, target
            elif predictor.idle:
                del self._predictors[key]

    def forget(self, key: str) -> None:
        """No work will come for this fleet any more."""
        self._predictors.pop(key, None)

    def keys(self) -> frozenset[str]:
        """The fleets that are watched."""
        return frozenset(self._predictors)

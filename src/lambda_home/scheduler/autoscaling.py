"""How many environments there should be: the rules as arithmetic, without a pool around them.

- `plan_scale` is Lambda@Home's rule: what waits beyond the idle is served by restarting stopped
  environments before new ones are created. What is being created counts as idle, so that nothing
  is created twice.
- `Predictor` is Glambdar's exponentially weighted moving average of arrivals with an adaptive
  weight, which tells how many environments to have ready before the next interval's work comes.
- `Backoff` spaces out attempts to keep environments that fail to start.

Times are seconds on any one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

INTERVAL_S = 30.0
PER_ENVIRONMENT = 5
MOST_IDLE = 10
# An average nearer to no arrival than to one in an interval asks for nothing.
FORGOTTEN_BELOW = 0.5
# An environment that has kept up this long after its init has started well.
STEADY_S = 1.0


def plan_scale(queued: int, idle: int, stopped: int) -> tuple[int, int]:
    """How many environments to restart and to create for `queued` invocations."""
    need = max(0, queued - idle)
    restart = min(need, stopped)
    return restart, need - restart


def smoothed(average: float | None, arrivals: int) -> float:
    """The average after an interval with this many arrivals; None: there was none before.

    Glambdar's formula: the further an interval is from the average, the more it weighs.
    """
    if average is None:
        return float(arrivals)
    deviation = abs(arrivals - average)
    surprise = deviation / (average + 1)
    weight = min(0.95, max(0.05, 0.2 + 0.8 * surprise))
    return weight * arrivals + (1 - weight) * average


def desired(average: float) -> int:
    """Glambdar's number of environments for an average of arrivals per interval, at least one."""
    return max(1, int(average // PER_ENVIRONMENT))


class Predictor:
    """Watches the arrivals of one fleet; `now` at its creation begins the first interval.

    Differs from Glambdar's in one point: where the average falls below FORGOTTEN_BELOW it is
    forgotten and the target is zero, so that a fleet without work scales to zero. After a burst
    that takes about two intervals.
    """

    def __init__(self, now: float) -> None:
        self._began = now
        self._arrivals = 0
        self._average: float | None = None

    def observe(self, now: float, arrivals: int = 1) -> None:
        """Invocations arrived."""
        self._close_intervals(now)
        self._arrivals += arrivals

    def target(self, now: float) -> int:
        """How many environments should be starting or idle: 0 to MOST_IDLE."""
        self._close_intervals(now)
        return min(MOST_IDLE, desired(self._average)) if self._average is not None else 0

    @property
    def idle(self) -> bool:
        """Whether there was nothing lately, and nothing has come since."""
        return self._average is None and self._arrivals == 0

    @property
    def average(self) -> float:
        """The average of arrivals per interval, as of the last full one."""
        return self._average or 0.0

    def _close_intervals(self, now: float) -> None:
        passed = int((now - self._began) // INTERVAL_S)
        if passed <= 0:
            return
        self._began += passed * INTERVAL_S
        self._close(self._arrivals)
        self._arrivals = 0
        # Each empty interval takes at least a fifth, so this ends soon however long the gap was.
        while passed > 1 and self._average is not None:
            passed -= 1
            self._close(0)

    def _close(self, arrivals: int) -> None:
        average = smoothed(self._average, arrivals)
        self._average = average if average >= FORGOTTEN_BELOW else None


@dataclass(slots=True)
class Backoff:
    """When the next attempt may be made: 1 s after a failure, doubling to 60 s.

    Failures of attempts made together count as one. A success ends the series once it has lasted
    STEADY_S.
    """

    first_s: float = 1.0
    most_s: float = 60.0
    failures: int = 0
    retry_at: float | None = None
    succeeded_at: float | None = None

    def allows(self, now: float) -> bool:
        """Whether an attempt may be made now."""
        return self.retry_at is None or now >= self.retry_at

    def failed(self, now: float) -> None:
        """An attempt came to nothing."""
        if self.succeeded_at is not None and now - self.succeeded_at >= STEADY_S:
            self.failures = 0
        self.succeeded_at = None
        if self.allows(now):
            # The exponent is bounded: a float would overflow after a thousand failures.
            self.retry_at = now + min(self.most_s, self.first_s * 2.0 ** min(self.failures, 16))
            self.failures += 1

    def succeeded(self, now: float) -> None:
        """An attempt came to something, for now."""
        self.succeeded_at = now

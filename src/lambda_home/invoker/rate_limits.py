"""Rate limits of functions: a token bucket each, as Glambdar has them.

A function with a limit of N a second starts with max(1, N // 10) tokens, gets N a second back up to
that many, and spends one for each invocation. Times are seconds of any one monotonic clock.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from lambda_home.errors import ThrottleReason, TooManyRequestsException

_ROUNDING = 1e-6  # a token that is due at this very moment is not refused for its last bits


class TokenBucket:
    """The tokens of one function, or of whatever else has a limit.

    `burst` is the most tokens that it holds; None: as functions have it.
    """

    __slots__ = ("_burst", "_filled_at", "_tokens", "per_second")

    def __init__(self, per_second: int, now: float, burst: int | None = None) -> None:
        self.per_second = per_second
        self._burst = burst
        self._tokens = float(self.burst)
        self._filled_at = now

    @property
    def burst(self) -> int:
        """The most tokens that it holds."""
        return max(1, self.per_second // 10) if self._burst is None else self._burst

    def take(self, now: float) -> None:
        """Spend a token. Raises TooManyRequestsException, which says when there will be one."""
        self._fill(now)
        if self._tokens < 1 - _ROUNDING:
            wait_s = math.ceil((1 - self._tokens) / self.per_second)
            raise TooManyRequestsException(ThrottleReason.RATE, retry_after_s=max(1, wait_s))
        self._tokens = max(0.0, self._tokens - 1)

    def change(self, per_second: int, now: float) -> None:
        """Go on with another limit: what is spent stays spent, so a change gives no new burst."""
        self._fill(now)
        spent = self.burst - self._tokens
        self.per_second = per_second
        self._tokens = max(0.0, self.burst - spent)

    def _fill(self, now: float) -> None:
        passed = max(0.0, now - self._filled_at)
        self._tokens = min(float(self.burst), self._tokens + passed * self.per_second)
        self._filled_at = now


class RateLimits:
    """The buckets of all functions that have a limit."""

    def __init__(self) -> None:
        self._buckets: dict[Hashable, TokenBucket] = {}

    def set(self, key: Hashable, per_second: int | None, now: float) -> TokenBucket | None:
        """Give a function its limit, None for none; answers its bucket."""
        if per_second is None:
            self._buckets.pop(key, None)
            return None
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(per_second, now)
        elif bucket.per_second != per_second:
            bucket.change(per_second, now)
        return bucket

"""When an asynchronous invocation is tried again: pure decisions.

Function errors: two more tries, after one and two times the base delay (a minute on AWS). Throttles
and platform errors: back to the queue, one second doubling up to five minutes, until the event is
too old. Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAXIMUM_RETRY_ATTEMPTS = 2
THROTTLE_FIRST_S = 1.0
THROTTLE_LONGEST_S = 300.0


class AttemptResult(StrEnum):
    """How one try of an asynchronous invocation ended."""

    SUCCEEDED = "succeeded"
    FUNCTION_ERROR = "function error"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again at `at` (epoch seconds), as try number `attempt` after `throttles` refusals."""

    at: float
    attempt: int
    throttles: int


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds: `base_s` before the first retry, `max_age_s` after which an event is given up."""

    base_s: float
    max_age_s: float
    retries: int = MAXIMUM_RETRY_ATTEMPTS


def next_attempt(
    result: AttemptResult,
    *,
    now: float,
    accepted_at: float,
    attempt: int,
    throttles: int,
    policy: Policy,
) -> Retry | None:
    """Decide after a try; None means that the event is done with, one way or the other."""
    if result is AttemptResult.SUCCEEDED:
        return None
    if result is AttemptResult.FUNCTION_ERROR:
        if attempt >= policy.retries:
            return None
        retry = Retry(now + policy.base_s * (attempt + 1), attempt + 1, throttles)
    else:
        wait = min(THROTTLE_FIRST_S * 2**throttles, THROTTLE_LONGEST_S)
        retry = Retry(now + wait, attempt, throttles + 1)
    return retry if retry.at - accepted_at <= policy.max_age_s else None

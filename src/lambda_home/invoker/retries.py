"""When an asynchronous invocation is tried again: pure decisions.

Function errors: two more tries, after one and two times the base delay (a minute on AWS). Throttles
and platform errors: back to the queue, one second doubling up to five minutes, until the event is
too old. Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
A function whose reserved concurrency is 0, or that is stopped because it invokes itself in a loop,
is not tried again: .../dg/invocation-async-retain-records.html, .../dg/invocation-recursion.html
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAXIMUM_RETRY_ATTEMPTS = 2
MINIMUM_EVENT_AGE_S = 60.0
THROTTLE_FIRST_S = 1.0
THROTTLE_LONGEST_S = 300.0
_MOST_DOUBLINGS = 9  # beyond them the longest wait is shorter

DELIVERY_TRIES = 6
DELIVERY_FIRST_S = 1.0
DELIVERY_LONGEST_S = 60.0


class AttemptResult(StrEnum):
    """How one try of an asynchronous invocation ended."""

    SUCCEEDED = "succeeded"
    FUNCTION_ERROR = "function error"
    THROTTLED = "throttled"
    STOPPED = "reserved concurrency is 0"
    LOOPING = "recursive loop"


class Condition(StrEnum):
    """How an event ended: `condition` of the record that its destination gets."""

    SUCCESS = "Success"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    EVENT_AGE_EXCEEDED = "EventAgeExceeded"
    ZERO_RESERVED_CONCURRENCY = "ZeroReservedConcurrency"
    RECURSIVE_INVOCATION = "RecursiveInvocation"


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


_ENDED = {
    AttemptResult.SUCCEEDED: Condition.SUCCESS,
    AttemptResult.STOPPED: Condition.ZERO_RESERVED_CONCURRENCY,
    AttemptResult.LOOPING: Condition.RECURSIVE_INVOCATION,
}


def next_attempt(
    result: AttemptResult,
    *,
    now: float,
    accepted_at: float,
    attempt: int,
    throttles: int,
    policy: Policy,
) -> Retry | Condition:
    """Decide after try number `attempt` (the first is 1): another one, or how the event ended."""
    if result in _ENDED:
        return _ENDED[result]
    if result is AttemptResult.FUNCTION_ERROR:
        if attempt > policy.retries:
            return Condition.RETRIES_EXHAUSTED
        retry = Retry(now + policy.base_s * attempt, attempt + 1, throttles)
    else:
        wait = min(THROTTLE_FIRST_S * 2.0 ** min(throttles, _MOST_DOUBLINGS), THROTTLE_LONGEST_S)
        retry = Retry(now + wait, attempt, throttles + 1)
    # AWS looks ahead: an event that would be too old by then is given up at once.
    if retry.at - accepted_at > policy.max_age_s:
        return Condition.EVENT_AGE_EXCEEDED
    return retry


def next_delivery(*, now: float, failures: int) -> float | None:
    """When a delivery that has failed `failures` times is tried again; None: it is given up."""
    if failures >= DELIVERY_TRIES:
        return None
    return now + min(DELIVERY_FIRST_S * 2.0 ** (failures - 1), DELIVERY_LONGEST_S)

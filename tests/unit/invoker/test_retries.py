"""When an asynchronous invoke is tried again."""

from __future__ import annotations

import pytest

from lambda_home.invoker.retries import (
    DELIVERY_TRIES,
    AttemptResult,
    Condition,
    Policy,
    Retry,
    next_attempt,
    next_delivery,
)

NOW = 1000.0
POLICY = Policy(base_s=60, max_age_s=21_600)
HOUR = 3600.0
FAILED = AttemptResult.FUNCTION_ERROR


def after(
    result: AttemptResult,
    *,
    attempt: int = 1,
    throttles: int = 0,
    age_s: float = 0,
    policy: Policy = POLICY,
) -> Retry | Condition:
    return next_attempt(
        result,
        now=NOW,
        accepted_at=NOW - age_s,
        attempt=attempt,
        throttles=throttles,
        policy=policy,
    )


@pytest.mark.parametrize("attempt", [1, 2, 3])
@pytest.mark.parametrize("age_s", [0, 99_999])
@pytest.mark.parametrize(
    ("result", "condition"),
    [
        (AttemptResult.SUCCEEDED, Condition.SUCCESS),
        (AttemptResult.STOPPED, Condition.ZERO_RESERVED_CONCURRENCY),
        (AttemptResult.LOOPING, Condition.RECURSIVE_INVOCATION),
    ],
)
def test_some_results_end_it_whatever_else_is_true(
    attempt: int, age_s: float, result: AttemptResult, condition: Condition
) -> None:
    assert after(result, attempt=attempt, age_s=age_s) is condition


def test_function_errors_are_tried_again_after_one_and_two_minutes_then_given_up() -> None:
    assert after(FAILED, attempt=1) == Retry(NOW + 60, 2, 0)
    assert after(FAILED, attempt=2) == Retry(NOW + 120, 3, 0)
    assert after(FAILED, attempt=3) is Condition.RETRIES_EXHAUSTED


def test_the_base_delay_and_the_number_of_retries_can_be_set() -> None:
    policy = Policy(base_s=0.5, max_age_s=HOUR, retries=1)
    assert after(FAILED, attempt=1, policy=policy) == Retry(NOW + 0.5, 2, 0)
    assert after(FAILED, attempt=2, policy=policy) is Condition.RETRIES_EXHAUSTED
    never = Policy(base_s=1, max_age_s=HOUR, retries=0)
    assert after(FAILED, attempt=1, policy=never) is Condition.RETRIES_EXHAUSTED
    at_once = Policy(base_s=0, max_age_s=HOUR)
    assert after(FAILED, attempt=2, policy=at_once) == Retry(NOW, 3, 0)


def test_throttles_wait_a_second_doubling_to_five_minutes() -> None:
    waits = []
    for throttles in range(12):
        retry = after(AttemptResult.THROTTLED, throttles=throttles)
        assert isinstance(retry, Retry)
        assert (retry.attempt, retry.throttles) == (1, throttles + 1)
        waits.append(retry.at - NOW)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_any_number_of_throttles_waits_five_minutes() -> None:
    retry = after(AttemptResult.THROTTLED, throttles=90_000)
    assert isinstance(retry, Retry)
    assert retry.at == NOW + 300


def test_throttles_do_not_use_up_tries_nor_do_errors_forget_throttles() -> None:
    throttled = after(AttemptResult.THROTTLED, attempt=3, throttles=5)
    assert throttled == Retry(NOW + 32, 3, 6)
    assert after(FAILED, attempt=2, throttles=5) == Retry(NOW + 120, 3, 5)


@pytest.mark.parametrize(("result", "wait_s"), [(FAILED, 60), (AttemptResult.THROTTLED, 1)])
def test_what_would_be_too_old_when_tried_again_is_given_up(
    result: AttemptResult, wait_s: float
) -> None:
    assert isinstance(after(result, age_s=POLICY.max_age_s - wait_s), Retry)
    too_old = after(result, age_s=POLICY.max_age_s - wait_s + 0.001)
    assert too_old is Condition.EVENT_AGE_EXCEEDED


def test_the_last_retry_counts_before_the_age() -> None:
    assert after(FAILED, attempt=3, age_s=99_999) is Condition.RETRIES_EXHAUSTED


def test_throttles_alone_end_at_the_maximum_age() -> None:
    now, throttles = NOW, 0
    while True:
        retry = next_attempt(
            AttemptResult.THROTTLED,
            now=now,
            accepted_at=NOW,
            attempt=1,
            throttles=throttles,
            policy=POLICY,
        )
        if retry is Condition.EVENT_AGE_EXCEEDED:
            break
        assert isinstance(retry, Retry)
        now, throttles = retry.at, retry.throttles
    assert POLICY.max_age_s - 300 < now - NOW <= POLICY.max_age_s


def test_a_delivery_is_tried_again_ever_later_and_given_up_in_the_end() -> None:
    waits = []
    for failures in range(1, DELIVERY_TRIES):
        at = next_delivery(now=NOW, failures=failures)
        assert at is not None
        waits.append(at - NOW)
    assert waits == [1, 2, 4, 8, 16]
    assert next_delivery(now=NOW, failures=DELIVERY_TRIES) is None

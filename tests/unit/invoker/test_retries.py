"""When an asynchronous invoke is tried again."""

from __future__ import annotations

import pytest

from lambda_home.invoker.retries import AttemptResult, Policy, Retry, next_attempt

NOW = 1000.0
POLICY = Policy(base_s=60, max_age_s=21_600)
HOUR = 3600.0


def after(
    result: AttemptResult,
    *,
    attempt: int = 0,
    throttles: int = 0,
    age_s: float = 0,
    policy: Policy = POLICY,
) -> Retry | None:
    return next_attempt(
        result,
        now=NOW,
        accepted_at=NOW - age_s,
        attempt=attempt,
        throttles=throttles,
        policy=policy,
    )


@pytest.mark.parametrize("attempt", [0, 1, 2])
@pytest.mark.parametrize("age_s", [0, 99_999])
def test_success_ends_it(attempt: int, age_s: float) -> None:
    assert after(AttemptResult.SUCCEEDED, attempt=attempt, age_s=age_s) is None


def test_function_errors_are_tried_again_after_one_and_two_minutes_then_given_up() -> None:
    failed = AttemptResult.FUNCTION_ERROR
    assert after(failed, attempt=0) == Retry(NOW + 60, 1, 0)
    assert after(failed, attempt=1) == Retry(NOW + 120, 2, 0)
    assert after(failed, attempt=2) is None


def test_the_base_delay_and_the_number_of_retries_can_be_set() -> None:
    policy = Policy(base_s=0.5, max_age_s=HOUR, retries=1)
    failed = AttemptResult.FUNCTION_ERROR
    assert after(failed, attempt=0, policy=policy) == Retry(NOW + 0.5, 1, 0)
    assert after(failed, attempt=1, policy=policy) is None
    never = Policy(base_s=1, max_age_s=HOUR, retries=0)
    assert after(failed, attempt=0, policy=never) is None


def test_throttles_wait_a_second_doubling_to_five_minutes() -> None:
    waits = []
    for throttles in range(12):
        retry = after(AttemptResult.THROTTLED, throttles=throttles)
        assert retry is not None
        assert (retry.attempt, retry.throttles) == (0, throttles + 1)
        waits.append(retry.at - NOW)
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_any_number_of_throttles_waits_five_minutes() -> None:
    retry = after(AttemptResult.THROTTLED, throttles=900)
    assert retry is not None
    assert retry.at == NOW + 300


def test_throttles_do_not_use_up_tries_nor_do_errors_forget_throttles() -> None:
    throttled = after(AttemptResult.THROTTLED, attempt=2, throttles=5)
    assert throttled == Retry(NOW + 32, 2, 6)
    assert after(AttemptResult.FUNCTION_ERROR, attempt=1, throttles=5) == Retry(NOW + 120, 2, 5)


@pytest.mark.parametrize(
    ("result", "wait_s"), [(AttemptResult.FUNCTION_ERROR, 60), (AttemptResult.THROTTLED, 1)]
)
def test_what_would_be_too_old_when_tried_again_is_given_up(
    result: AttemptResult, wait_s: float
) -> None:
    assert after(result, age_s=POLICY.max_age_s - wait_s) is not None
    assert after(result, age_s=POLICY.max_age_s - wait_s + 0.001) is None


def test_throttles_alone_end_at_the_maximum_age() -> None:
    now, throttles = NOW, 0
    while True:
        retry = next_attempt(
            AttemptResult.THROTTLED,
            now=now,
            accepted_at=NOW,
            attempt=0,
            throttles=throttles,
            policy=POLICY,
        )
        if retry is None:
            break
        now, throttles = retry.at, retry.throttles
    assert POLICY.max_age_s - 300 < now - NOW <= POLICY.max_age_s

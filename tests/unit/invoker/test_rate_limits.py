"""Token buckets: burst, refill, live changes, and what the refused are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.errors import ThrottleReason, TooManyRequestsException
from lambda_home.invoker.rate_limits import RateLimits, TokenBucket


def taken(bucket: TokenBucket, now: float, tries: int = 1000) -> int:
    """How many of the tries get a token."""
    got = 0
    for _ in range(tries):
        try:
            bucket.take(now)
        except TooManyRequestsException:
            continue
        got += 1
    return got


@pytest.mark.parametrize(("per_second", "burst"), [(1, 1), (9, 1), (10, 1), (19, 1), (50, 5)])
def test_a_burst_is_a_tenth_of_a_second_but_at_least_one(per_second: int, burst: int) -> None:
    assert taken(TokenBucket(per_second, 0), 0) == burst


def test_tokens_come_back_continuously_up_to_the_burst() -> None:
    bucket = TokenBucket(20, 100)
    assert taken(bucket, 100) == 2
    assert taken(bucket, 100.04) == 0
    assert taken(bucket, 100.05) == 1
    assert taken(bucket, 100.2) == 2
    assert taken(bucket, 900) == 2


def test_a_refusal_says_why_and_when_to_come_back() -> None:
    bucket = TokenBucket(1, 0)
    bucket.take(0)
    with pytest.raises(TooManyRequestsException) as refused:
        bucket.take(0.5)
    assert refused.value.reason is ThrottleReason.RATE
    assert refused.value.body()["Reason"] == "FunctionInvocationRateLimitExceeded"
    assert refused.value.retry_after_s == 1


def test_a_change_gives_no_new_burst_and_takes_effect_at_once() -> None:
    limits = RateLimits()
    bucket = limits.set("f", 100, 0)
    assert bucket is not None
    assert taken(bucket, 0) == 10
    assert limits.set("f", 200, 0) is bucket
    assert taken(bucket, 0) == 10  # 20 at most, 10 of them spent
    limits.set("f", 10, 0)
    assert taken(bucket, 0) == 0
    assert taken(bucket, 0.1) == 1


def test_the_same_limit_again_changes_nothing_and_none_forgets_the_bucket() -> None:
    limits = RateLimits()
    bucket = limits.set("f", 10, 0)
    assert bucket is not None
    assert taken(bucket, 0) == 1
    assert limits.set("f", 10, 0) is bucket
    assert taken(bucket, 0) == 0
    assert limits.set("f", None, 0) is None
    fresh = limits.set("f", 10, 0)
    assert fresh is not None
    assert taken(fresh, 0) == 1


@given(st.integers(1, 500), st.lists(st.floats(0, 0.5), min_size=1, max_size=60))
def test_no_more_pass_than_the_burst_and_the_rate_allow(
    per_second: int, pauses: list[float]
) -> None:
    bucket, now, passed = TokenBucket(per_second, 0), 0.0, 0
    for pause in pauses:
        now += pause
        passed += taken(bucket, now, 20)
    assert passed <= max(1, per_second // 10) + per_second * now + 1e-6

"""Concurrency limits: tables, and that no order of events breaks them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.arns import Scope
from lambda_home.errors import ThrottleReason, TooManyRequestsException
from lambda_home.invoker.admission import Admission

HERE = Scope("123456789012", "us-east-1")
SHARED = ThrottleReason.CONCURRENT
RESERVED = ThrottleReason.RESERVED_CONCURRENT


def why_not(
    admission: Admission, name: str, scope: Scope = HERE, version: str = "$LATEST"
) -> ThrottleReason | None:
    """Try to admit; the reason of the refusal, or None if it was admitted."""
    try:
        admission.admit(scope, name, version)
    except TooManyRequestsException as refused:
        return refused.reason
    return None


def test_a_refusal_reads_as_on_aws() -> None:
    with pytest.raises(TooManyRequestsException, match=r"^Rate Exceeded\.$"):
        Admission(0).admit(HERE, "a", "1")


TABLE: list[tuple[int, dict[str, int], str, list[ThrottleReason | None]]] = [
    (3, {}, "aaaa", [None, None, None, SHARED]),
    (3, {}, "abca", [None, None, None, SHARED]),
    (0, {}, "a", [SHARED]),
    (3, {"a": 0}, "abbbb", [RESERVED, None, None, None, SHARED]),
    (3, {"a": 1}, "aab", [None, RESERVED, None]),
    (3, {"a": 2}, "bba", [None, SHARED, None]),
    (3, {"a": 3}, "ba", [SHARED, None]),
    (3, {"a": 1, "b": 1}, "abcabc", [None, None, None, RESERVED, RESERVED, SHARED]),
]


@pytest.mark.parametrize(("limit", "reserved", "names", "expected"), TABLE)
def test_who_is_admitted(
    limit: int, reserved: dict[str, int], names: str, expected: list[ThrottleReason | None]
) -> None:
    admission = Admission(limit)
    admission.configure(HERE, reserved)
    assert [why_not(admission, name) for name in names] == expected


def test_a_released_slot_is_given_again() -> None:
    admission = Admission(1)
    assert why_not(admission, "a") is None
    assert why_not(admission, "b") is SHARED
    admission.release(HERE, "a", "$LATEST")
    assert why_not(admission, "b") is None
    assert (admission.running(HERE, "a"), admission.running(HERE, "b")) == (0, 1)


def test_a_refusal_takes_no_slot() -> None:
    admission = Admission(2)
    admission.configure(HERE, {"a": 0})
    for _ in range(5):
        assert why_not(admission, "a") is RESERVED
    assert admission.running(HERE, "a") == 0
    assert [why_not(admission, "b") for _ in range(3)] == [None, None, SHARED]


def test_accounts_and_regions_have_limits_of_their_own() -> None:
    admission = Admission(1)
    others = [Scope("999999999999", "us-east-1"), Scope("123456789012", "eu-west-1")]
    for scope in (HERE, *others):
        assert why_not(admission, "a", scope) is None
        assert why_not(admission, "a", scope) is SHARED


def test_whether_a_scope_was_told_about_is_known() -> None:
    admission = Admission(1)
    assert not admission.knows(HERE)
    assert admission.running(HERE, "a") == 0
    admission.configure(HERE, {})
    assert admission.knows(HERE)


def test_a_reservation_made_while_invocations_run_counts_them() -> None:
    admission = Admission(4)
    for _ in range(3):
        assert why_not(admission, "a") is None
    admission.configure(HERE, {"a": 2})
    assert why_not(admission, "a") is RESERVED
    assert [why_not(admission, "b") for _ in range(3)] == [None, None, SHARED]
    for _ in range(3):
        admission.release(HERE, "a", "$LATEST")
    assert [why_not(admission, "a") for _ in range(3)] == [None, None, RESERVED]


def test_a_reservation_taken_back_while_invocations_run_counts_them() -> None:
    admission = Admission(4)
    admission.configure(HERE, {"a": 3})
    for _ in range(3):
        assert why_not(admission, "a") is None
    admission.configure(HERE, {})
    assert [why_not(admission, "b") for _ in range(2)] == [None, SHARED]
    admission.release(HERE, "a", "$LATEST")
    assert why_not(admission, "b") is None


# limit, reserved of "a", provisioned of its version 1; versions of "a", or "z": another function
PROVISIONED: list[tuple[int, int | None, int, str, list[ThrottleReason | None]]] = [
    (9, 1, 1, "0101", [RESERVED, None, RESERVED, RESERVED]),
    (9, 2, 1, "0101", [None, None, RESERVED, RESERVED]),
    (9, 3, 1, "1110", [None, None, None, RESERVED]),
    (3, None, 2, "zz11", [None, SHARED, None, None]),
    (3, None, 2, "1111", [None, None, None, SHARED]),
    (3, None, 2, "111z", [None, None, None, SHARED]),
    (3, None, 2, "0z11", [None, SHARED, None, None]),
]


@pytest.mark.parametrize(("limit", "reserved", "provisioned", "versions", "expected"), PROVISIONED)
def test_provisioned_concurrency_is_the_versions_own_and_spills_over(
    limit: int,
    reserved: int | None,
    provisioned: int,
    versions: str,
    expected: list[ThrottleReason | None],
) -> None:
    admission = Admission(limit)
    own = {} if reserved is None else {"a": reserved}
    admission.configure(HERE, own, {"a": {"1": provisioned}})
    found = [why_not(admission, "z" if v == "z" else "a", version=v) for v in versions]
    assert found == expected


def test_provisioned_concurrency_may_come_and_go_while_invocations_run() -> None:
    admission = Admission(2)
    assert [why_not(admission, "a", version="1") for _ in range(3)] == [None, None, SHARED]
    admission.configure(HERE, {}, {"a": {"1": 1}})
    assert why_not(admission, "b") is SHARED  # one of the two has spilled over into one shared slot
    admission.release(HERE, "a", "1")
    assert why_not(admission, "b") is None
    admission.configure(HERE, {})
    assert why_not(admission, "b") is SHARED
    admission.release(HERE, "a", "1")
    assert [why_not(admission, "b"), why_not(admission, "b")] == [None, SHARED]


NAMES = st.sampled_from("abc")
STEPS = st.one_of(
    st.tuples(st.just("admit"), NAMES),
    st.tuples(st.just("release"), NAMES),
    st.tuples(st.just("reserve"), st.dictionaries(NAMES, st.integers(0, 2), max_size=2)),
)


@given(limit=st.integers(4, 6), steps=st.lists(STEPS, max_size=60))
def test_no_order_of_events_admits_over_a_limit_or_loses_a_slot(
    limit: int, steps: list[tuple[str, str | dict[str, int]]]
) -> None:
    admission, running, reserved = Admission(limit), Counter[str](), dict[str, int]()
    for verb, what in steps:
        if isinstance(what, dict):
            reserved = what
            admission.configure(HERE, reserved)
        elif verb == "release":
            if running[what]:
                admission.release(HERE, what, "$LATEST")
                running[what] -= 1
        else:
            shared = sum(n for name, n in running.items() if name not in reserved)
            if what in reserved:
                expected = RESERVED if running[what] >= reserved[what] else None
            else:
                expected = SHARED if shared >= limit - sum(reserved.values()) else None
            assert why_not(admission, what) is expected
            running[what] += expected is None
        for name in "abc":
            assert admission.running(HERE, name) == running[name] >= 0
    for name in running.elements():
        admission.release(HERE, name, "$LATEST")
    admission.configure(HERE, {})
    assert [why_not(admission, "z") for _ in range(limit + 1)] == [None] * limit + [SHARED]

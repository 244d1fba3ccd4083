"""Recursive loops: what the trace header says, and when a function is stopped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.errors import RecursiveInvocationException
from lambda_home.invoker.recursion import check, continued, identity

ID = "de8eb3c5-7e5b-4979-9405-5d2ed539a5bc"
ME = identity("arn:aws:lambda:us-east-1:000000000000:function:me")
ROOT = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


def test_a_call_without_a_trace_starts_one_that_names_the_function() -> None:
    header, count = continued("", ID, ME)
    assert header == (
        f"Root=1-de8eb3c5-7e5b497994055d2ed539a5bc;Parent=94055d2ed539a5bc;Sampled=0;Lineage={ME}:1"
    )
    assert count == 1


@pytest.mark.parametrize(
    ("given_lineage", "lineage", "count"),
    [
        ("", f"{ME}:1", 1),
        (f";Lineage={ME}:4", f"{ME}:5", 5),
        (";Lineage=a87bd80c:1|68fd508a:5", f"{ME}:1|68fd508a:5|a87bd80c:1", 1),
        (f";lineage=a87bd80c:1,{ME}:7", f"{ME}:8|a87bd80c:1", 8),
        (f";Lineage=100:{ME}:11", f"{ME}:12", 12),
        (";Lineage=nonsense|:1|a87bd80c:x", f"{ME}:1", 1),
    ],
)
def test_a_call_in_a_chain_continues_its_lineage(
    given_lineage: str, lineage: str, count: int
) -> None:
    assert continued(ROOT + given_lineage, ID, ME) == (f"{ROOT};Lineage={lineage}", count)


def entries_of(ring: list[str]) -> int:
    """How many invocations a loop of functions has before one of them is stopped."""
    header = ""
    for entries in range(100):
        header, count = continued(header, ID, ring[entries % len(ring)])
        try:
            check(count)
        except RecursiveInvocationException:
            return entries
    return 100


def test_a_function_that_calls_itself_is_stopped_at_the_seventeenth_time() -> None:
    assert entries_of([ME]) == 16
    with pytest.raises(RecursiveInvocationException, match="recursive loop"):
        check(17)


def test_functions_that_call_each_other_are_stopped_too() -> None:
    assert entries_of([identity(name) for name in "abc"]) == 3 * 16


def test_a_lineage_keeps_the_sixteen_that_came_up_most() -> None:
    header = ROOT + ";Lineage=" + "|".join(f"{n:08x}:{n}" for n in range(1, 40))
    lineage = continued(header, ID, ME)[0].split("Lineage=")[1].split("|")
    assert lineage == [f"{ME}:1", *(f"{n:08x}:{n}" for n in range(39, 24, -1))]


@given(st.text(max_size=80))
def test_no_header_of_a_caller_breaks_it(text: str) -> None:
    header, count = continued(text, ID, ME)
    assert header.count("Root=") >= 1
    assert count >= 1
    assert continued(header, ID, ME)[1] == count + 1

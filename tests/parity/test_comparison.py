"""The harness itself: it sees what differs, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from parity.alignment import Reply, faults
from parity.comparison import Bindings, differences

ACCOUNT = "300000000007"
ONE = "0d9b8ef0-35b1-4a47-9e34-53d6f2a8a6b1"
TWO = "1d9b8ef0-35b1-4a47-9e34-53d6f2a8a6b2"
LONG = "x" * 80


def found(recorded: Any, ours: Any) -> list[str]:
    return list(differences(recorded, ours, ACCOUNT, Bindings()))


EQUAL = [
    ({"A": "<uuid:1>", "B": "<uuid:2>"}, {"A": ONE, "B": TWO}),
    ({"A": "<uuid:1>", "B": "<uuid:1>"}, {"A": ONE, "B": ONE}),
    (
        "arn:<partition>:lambda:<region>:111111111111:function:<function-name:1>:1",
        f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f:1",
    ),
    ("<a:len(3)>b", "aaab"),
    ("date", "2026-11-21T10:00:00.000+0000"),
    ("<code-size>", 264),
    ({"Statement": [1]}, '{"Statement": [1]}'),
    (["A", "B"], {"B": 1, "A": 2}),
    (f"{LONG}… (81 characters)", f"{LONG}y"),
    (0.5, 0.5),
]
DIFFERENT = [
    ({"A": 1}, {}),
    ({}, {"A": 1}),
    ({"A": None}, {"A": ""}),
    ([1], [1, 1]),
    ({"A": "<uuid:1>", "B": "<uuid:2>"}, {"A": ONE, "B": ONE}),
    ({"A": "<uuid:1>", "B": "<uuid:1>"}, {"A": ONE, "B": TWO}),
    ("<uuid:1>", "not one"),
    ("arn:<partition>:iam::111111111111:role/r", "arn:aws:iam::400000000000:role/r"),
    ("date", "yesterday"),
    ("datetime", "2026-11-21T10:00:00Z"),
    ("<code-size>", "264"),
    (f"{LONG}… (81 characters)", LONG),
    (True, 1),
    ("Active", "active"),
]


@pytest.mark.parametrize(("recorded", "ours"), EQUAL)
def test_placeholders_stand_for_values_of_their_kind(recorded: Any, ours: Any) -> None:
    assert found(recorded, ours) == []


@pytest.mark.parametrize(("recorded", "ours"), DIFFERENT)
def test_missing_extra_and_unequal_members_are_differences(recorded: Any, ours: Any) -> None:
    assert found(recorded, ours)


def reply(operation: str, **answer: Any) -> Reply:
    return Reply(operation, answer)


POLLS = [
    reply("CreateFunction", State="Pending", RevisionId=ONE),
    reply("GetFunction", State="Pending", RevisionId=ONE),
    reply("GetFunction", State="Active", RevisionId=TWO),
]


def test_answers_that_were_not_kept_are_passed_over() -> None:
    recorded = {
        "created": {"State": "Pending", "RevisionId": "<uuid:1>"},
        "got": {"State": "Active", "RevisionId": "<uuid:2>"},
    }
    assert faults(recorded, POLLS, ACCOUNT) == {}


def test_values_hold_for_the_whole_case() -> None:
    recorded = {
        "created": {"State": "Pending", "RevisionId": "<uuid:1>"},
        "got": {"State": "Active", "RevisionId": "<uuid:1>"},
    }
    assert list(faults(recorded, POLLS, ACCOUNT)) == ["got"]


def test_one_answer_of_ours_serves_one_recorded_answer_only() -> None:
    active = {"State": "Active", "RevisionId": "<uuid:2>"}
    assert faults({"got": active, "again": active}, POLLS, ACCOUNT)


def test_validation_errors_may_be_kept_as_a_list() -> None:
    message = "2 validation errors detected: Value 'b' at 'x'; Value 'a' at 'y'"
    ours = reply("GetFunction", Error={"Code": "ValidationException", "Message": message})
    kept = {"Code": "ValidationException", "Count": 2}
    errors = ["Value 'a' at 'y'", "Value 'b' at 'x'"]
    assert faults({"e": {**kept, "Errors": errors}}, [ours], ACCOUNT) == {}
    assert faults({"e": {**kept, "Errors": errors[:1]}}, [ours], ACCOUNT)


def test_pages_may_be_kept_as_one() -> None:
    pages = [
        reply("ListAliases", Aliases=[{"Name": "a"}], NextMarker="a"),
        reply("ListAliases", Aliases=[{"Name": "b"}]),
    ]
    assert faults({"all": {"Aliases": [{"Name": "a"}, {"Name": "b"}]}}, pages, ACCOUNT) == {}

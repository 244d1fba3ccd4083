"""Log groups by name and by ARN, tokens of pages, and positions in a stream."""

from __future__ import annotations

import pytest

from lambda_home.arns import Scope
from lambda_home.cloudwatch.identifiers import group_arn, group_of, place_in, token_of
from lambda_home.cloudwatch.positions import Position, position_in, tokens_after
from lambda_home.errors import ApiError
from lambda_home.logs.events import StoredEvent

HERE = Scope("123456789012", "us-east-1")
ARN = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/f"


@pytest.mark.parametrize(
    ("params", "group"),
    [
        ({"logGroupName": "/aws/lambda/f"}, "/aws/lambda/f"),
        ({"logGroupIdentifier": "/aws/lambda/f"}, "/aws/lambda/f"),
        ({"logGroupIdentifier": ARN}, "/aws/lambda/f"),
    ],
)
def test_a_group_is_named_by_its_name_or_its_arn(params: dict[str, str], group: str) -> None:
    assert group_of(params, HERE) == group
    assert group_arn(HERE, "/aws/lambda/f") == ARN


@pytest.mark.parametrize(
    ("params", "code", "said"),
    [
        ({}, "InvalidParameterException", "'logGroupName' failed to satisfy constraint"),
        (
            {"logGroupName": "a", "logGroupIdentifier": "a"},
            "ValidationException",
            "mutually exclusive",
        ),
        ({"logGroupIdentifier": "arn:aws:logs:us-east-1"}, "InvalidParameterException", "ARN"),
        ({"logGroupIdentifier": f"{ARN}:x"}, "InvalidParameterException", "ARN"),
        (
            {"logGroupIdentifier": ARN.replace("us-east-1", "eu-west-1")},
            "ResourceNotFoundException",
            "The specified log group does not exist.",
        ),
        (
            {"logGroupIdentifier": ARN.replace("123456789012", "999999999999")},
            "ResourceNotFoundException",
            "The specified log group does not exist.",
        ),
    ],
)
def test_a_group_that_is_not_named_well(params: dict[str, str], code: str, said: str) -> None:
    with pytest.raises(ApiError, match=said) as refused:
        group_of(params, HERE)
    assert refused.value.code == code


@pytest.mark.parametrize("place", ["x", "/aws/lambda/f", "2026/11/21/[$LATEST]0af", "a b", "ü"])
def test_a_token_leads_back_to_its_place(place: str) -> None:
    assert place_in("groups", token_of("groups", place)) == place
    assert place_in("groups", None) == ""


@pytest.mark.parametrize(
    "token", ["", "x", "!!!!", "eA==", token_of("streams", "x"), "\udcff", "ü"]
)
def test_a_token_of_nowhere_is_refused(token: str) -> None:
    with pytest.raises(ApiError, match=r"The specified nextToken is invalid\."):
        place_in("groups", token)


def digits(number: int) -> str:
    return f"{number:056}"


def event(number: int) -> StoredEvent:
    return StoredEvent(digits(number), "s", number, number, "m")


@pytest.mark.parametrize(
    "token", ["", "x", "f/1/s", f"f/{digits(1)}", f"x/{digits(1)}/s", f"f/{digits(1)}/s ", "f//s"]
)
def test_a_position_of_nowhere_is_refused(token: str) -> None:
    with pytest.raises(ApiError, match=r"The specified nextToken is invalid\."):
        position_in(token)


def test_a_page_gives_the_places_at_both_its_ends() -> None:
    forward, backward = tokens_after([event(7), event(8), event(9)], None)
    assert position_in(forward) == Position(digits(9), backwards=False)
    assert position_in(backward) == Position(digits(7), backwards=True)


@pytest.mark.parametrize("way", ["f", "b"])
def test_an_end_gives_its_own_token_back_and_turns_round_without_a_loss(way: str) -> None:
    token = f"{way}/{digits(9)}/s"
    forward, backward = tokens_after([], position_in(token))
    assert token == (forward if way == "f" else backward)
    turned = position_in(backward if way == "f" else forward)
    # Strictly before 10, or strictly after 8: the event at 9 is in it.
    assert turned.place == (digits(10) if way == "f" else digits(8))


def test_an_empty_stream_has_tokens_that_find_what_comes_later() -> None:
    forward, backward = tokens_after([], None)
    assert position_in(forward) == Position(digits(0), backwards=False)
    assert position_in(backward) == Position(digits(0), backwards=True)
    assert tokens_after([], position_in(backward))[0] == forward


def test_a_search_that_was_broken_off_goes_on_where_it_was() -> None:
    position = position_in(f"f/{digits(9)}/s")
    assert tokens_after([], position, digits(20))[0] == f"f/{digits(20)}/s"

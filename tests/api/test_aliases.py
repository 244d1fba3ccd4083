"""Aliases through boto3: AWS's answers, texts and rules."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import create, fresh_name, invoke

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

SOURCE = """
import os
def handler(event, context):
    return [os.environ.get("NR"), context.function_version, context.invoked_function_arn]
"""


def arn(name: str, qualifier: str = "") -> str:
    tail = f":{qualifier}" if qualifier else ""
    return f"arn:aws:lambda:us-east-1:000000000000:function:{name}{tail}"


def two_versions(api: LambdaClient) -> str:
    name = create(api, SOURCE, Environment={"Variables": {"NR": "one"}})
    api.publish_version(FunctionName=name)
    api.update_function_configuration(FunctionName=name, Environment={"Variables": {"NR": "two"}})
    api.publish_version(FunctionName=name)
    return name


def refused(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    answer: Any = caught.value.response
    return (
        answer["Error"]["Code"],
        answer["ResponseMetadata"]["HTTPStatusCode"],
        answer["Error"]["Message"],
    )


def bare(answer: Any) -> Any:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_an_alias_lives_as_on_aws(api: LambdaClient) -> None:
    name = two_versions(api)
    weights: Any = {"AdditionalVersionWeights": {"2": 0.2}}
    made: Any = api.create_alias(
        FunctionName=name, Name="a1", FunctionVersion="1", Description="d", RoutingConfig=weights
    )
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    first = made["RevisionId"]
    assert bare(made) == {
        "AliasArn": arn(name, "a1"),
        "Description": "d",
        "FunctionVersion": "1",
        "Name": "a1",
        "RevisionId": first,
        "RoutingConfig": weights,
    }
    assert bare(api.get_alias(FunctionName=name, Name="a1")) == bare(made)
    plain: Any = api.create_alias(FunctionName=name, Name="a2", FunctionVersion="1")
    assert (plain["Description"], "RoutingConfig" in plain) == ("", False)
    api.create_alias(FunctionName=name, Name="a3", FunctionVersion="2")

    cleared: Any = api.update_alias(
        FunctionName=name, Name="a1", RoutingConfig={"AdditionalVersionWeights": {}}
    )
    assert "RoutingConfig" not in cleared
    assert cleared["Description"] == "d"
    assert cleared["RevisionId"] != first
    untouched = api.update_alias(FunctionName=name, Name="a2")
    assert untouched["RevisionId"] != plain["RevisionId"]  # as recorded: new though nothing changed

    deleted: Any = api.delete_alias(FunctionName=name, Name="a1")
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    api.delete_alias(FunctionName=name, Name="a1")
    left = api.list_aliases(FunctionName=name)["Aliases"]
    assert [alias["Name"] for alias in left] == ["a2", "a3"]


def test_aliases_are_listed_in_pages_and_by_version(api: LambdaClient) -> None:
    name = two_versions(api)
    for alias in ("d", "b", "a", "c"):
        api.create_alias(FunctionName=name, Name=alias, FunctionVersion="1")
    api.update_alias(FunctionName=name, Name="c", FunctionVersion="2")
    paginator = api.get_paginator("list_aliases")
    pages = list(paginator.paginate(FunctionName=name, PaginationConfig={"PageSize": 1}))
    assert all(len(page["Aliases"]) == 1 for page in pages)
    listed = [alias["Name"] for page in pages for alias in page["Aliases"]]
    assert listed == ["a", "b", "c", "d"]
    of_one = api.list_aliases(FunctionName=name, FunctionVersion="1")["Aliases"]
    assert [alias["Name"] for alias in of_one] == ["a", "b", "d"]


def test_what_aws_refuses_is_refused_in_its_words(api: LambdaClient) -> None:
    name = two_versions(api)

    def create_with(version: str, weights: dict[str, float] | None = None, **other: Any) -> Any:
        members: Any = {"FunctionName": name, "Name": "custom", "FunctionVersion": version, **other}
        if weights is not None:
            members["RoutingConfig"] = {"AdditionalVersionWeights": weights}
        return refused(api.create_alias, **members)

    invalid, missing = ("InvalidParameterValueException", 400), ("ResourceNotFoundException", 404)
    assert create_with("1", {"1": 0.8, "2": 0.2}) == (
        *invalid,
        "Number of items in AdditionalVersionWeights cannot be greater than 1",
    )
    assert create_with("1", {"1": 0.5}) == (
        *invalid,
        (
            "Invalid function version 1. Function version 1 is already included in routing"
            " configuration."
        ),
    )
    assert create_with("$LATEST", {"1": 0.5}) == (
        *invalid,
        "$LATEST is not supported for an alias pointing to more than 1 version",
    )
    gone = (*missing, f"Function not found: {arn(name, '10')}")
    assert create_with("10", {"2": 0.5}) == gone
    assert create_with("1", {"10": 0.5}) == gone
    unknown = fresh_name()
    assert create_with("1", FunctionName=unknown) == (
        *missing,
        f"Function not found: {arn(unknown, '1')}",
    )
    assert create_with("1", {"2": 2})[:2] == ("ValidationException", 400)
    assert create_with("1", {"$LATEST": 0.5})[:2] == ("ValidationException", 400)
    assert create_with("1", Name="2024")[2] == (
        "1 validation error detected: Value '2024' at 'name' failed to satisfy constraint: Member"
        " must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"
    )
    api.create_alias(FunctionName=name, Name="custom", FunctionVersion="1")
    assert create_with("1") == (
        "ResourceConflictException",
        409,
        f"Alias already exists: {arn(name, 'custom')}",
    )
    assert refused(api.get_alias, FunctionName=name, Name="no") == (
        *missing,
        f"Cannot find alias arn: {arn(name, 'no')}",
    )
    assert refused(api.update_alias, FunctionName=name, Name="no") == (
        *missing,
        f"Alias not found: {arn(name, 'no')}",
    )
    assert refused(api.update_alias, FunctionName=name, Name="custom", RevisionId="x")[1:] == (
        412,
        (
            "The Revision Id provided does not match the latest Revision Id. Call the"
            " GetFunction/GetAlias API to retrieve the latest Revision Id"
        ),
    )
    api.update_alias(
        FunctionName=name, Name="custom", RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}}
    )
    both = refused(api.update_alias, FunctionName=name, Name="custom", FunctionVersion="2")
    assert both[2].startswith("Invalid function version 2.")
    for version in ("1", "2"):
        assert refused(api.delete_function, FunctionName=name, Qualifier=version) == (
            "ResourceConflictException",
            409,
            "Unable to delete version because the following aliases reference it: [custom]",
        )


def test_functions_are_read_and_invoked_by_alias_and_an_alias_moves(api: LambdaClient) -> None:
    name = two_versions(api)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    found: Any = api.get_function(FunctionName=name, Qualifier="live")["Configuration"]
    version: Any = api.get_function(FunctionName=name, Qualifier="1")["Configuration"]
    assert found["FunctionArn"] == arn(name, "live")
    assert (found["Version"], found["RevisionId"]) == ("1", version["RevisionId"])
    by_arn = api.get_function_configuration(FunctionName=arn(name, "live"))
    assert by_arn["FunctionArn"] == arn(name, "live")
    for how in ({"FunctionName": name, "Qualifier": "live"}, {"FunctionName": arn(name, "live")}):
        answer = invoke(
            api, how["FunctionName"], {}, **{k: v for k, v in how.items() if k[0] == "Q"}
        )
        assert (answer.version, answer.payload) == ("1", ["one", "1", arn(name, "live")])
    api.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    answer = invoke(api, name, {}, Qualifier="live")
    assert (answer.version, answer.payload) == ("2", ["two", "2", arn(name, "live")])
    api.delete_alias(FunctionName=name, Name="live")
    assert refused(api.invoke, FunctionName=name, Qualifier="live") == (
        "ResourceNotFoundException",
        404,
        f"Function not found: {arn(name, 'live')}",
    )


def test_a_weighted_alias_splits_its_traffic(api: LambdaClient) -> None:
    name = two_versions(api)
    api.create_alias(
        FunctionName=name,
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.3}},
    )
    answers = [invoke(api, name, {}, Qualifier="live") for _ in range(300)]
    taken = Counter(answer.version for answer in answers)
    assert all(answer.payload[1] == answer.version for answer in answers)
    assert set(taken) == {"1", "2"}
    assert 45 <= taken["2"] <= 140  # five standard deviations around 90


def test_aliases_are_paged_however_they_come_and_go(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    api.publish_version(FunctionName=name)
    for alias in "bdac":
        api.create_alias(FunctionName=name, Name=alias, FunctionVersion="1")
    first: Any = api.list_aliases(FunctionName=name, MaxItems=2)
    api.delete_alias(FunctionName=name, Name="b")
    api.create_alias(FunctionName=name, Name="aa", FunctionVersion="1")
    assert first["NextMarker"] == arn(name, "c")
    rest: Any = api.list_aliases(FunctionName=name, MaxItems=2, Marker=first["NextMarker"])
    assert [item["Name"] for item in first["Aliases"] + rest["Aliases"]] == ["a", "b", "c", "d"]
    assert "NextMarker" not in rest

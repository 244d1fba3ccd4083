"""Tags through boto3: answers and errors as AWS's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import create

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

SOURCE = "def handler(event, context):\n    return 1\n"
ROOT = "arn:aws:lambda:us-east-1:000000000000"
UUID = "12345678-1234-1234-1234-123456789012"
TOO_MANY = "Number of tags exceeds resource tag limit."
QUALIFIED = (
    "Tags on function aliases and versions are not supported. Please specify a function ARN."
)


@pytest.fixture
def arn(api: LambdaClient) -> str:
    return f"{ROOT}:function:{create(api, SOURCE)}"


def refusal(call: Any, **params: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as refused:
        call(**params)
    response: Any = refused.value.response
    error = response["Error"]
    return response["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


def tags(client: LambdaClient, arn: str) -> dict[str, str]:
    return client.list_tags(Resource=arn)["Tags"]


def revision(client: LambdaClient, arn: str) -> str:
    return client.get_function(FunctionName=arn)["Configuration"]["RevisionId"]


def test_tags_are_merged_and_taken_away(api: LambdaClient, arn: str) -> None:
    assert tags(api, arn) == {}
    tagged: Any = api.tag_resource(Resource=arn, Tags={"A": "a"})
    assert tagged["ResponseMetadata"]["HTTPStatusCode"] == 204
    api.tag_resource(Resource=arn, Tags={"B": "b", "C": ""})
    api.tag_resource(Resource=arn, Tags={"C": "c", "é / +-=._:@": "aws:x"})
    assert tags(api, arn) == {"A": "a", "B": "b", "C": "c", "é / +-=._:@": "aws:x"}
    untagged: Any = api.untag_resource(Resource=arn, TagKeys=["A", "nobody"])
    assert untagged["ResponseMetadata"]["HTTPStatusCode"] == 204
    api.untag_resource(Resource=arn, TagKeys=["é / +-=._:@"])
    assert tags(api, arn) == {"B": "b", "C": "c"}
    api.untag_resource(Resource=arn, TagKeys=["B", "C"])
    assert tags(api, arn) == {}


def test_tagging_a_function_gives_it_a_new_revision(api: LambdaClient, arn: str) -> None:
    seen = [revision(api, arn)]
    api.tag_resource(Resource=arn, Tags={"A": "a"})
    seen.append(revision(api, arn))
    api.untag_resource(Resource=arn, TagKeys=["A"])
    seen.append(revision(api, arn))
    assert len(set(seen)) == 3


def test_tags_go_with_their_function(api: LambdaClient, arn: str) -> None:
    api.tag_resource(Resource=arn, Tags={"A": "a"})
    name = arn.rpartition(":")[2]
    api.delete_function(FunctionName=name)
    missing = (404, "ResourceNotFoundException", f"Function not found: {arn}")
    assert refusal(api.list_tags, Resource=arn) == missing
    create(api, SOURCE, name)
    assert tags(api, arn) == {}


def test_an_event_source_mapping_has_tags(api: LambdaClient, arn: str) -> None:
    made: Any = api.create_event_source_mapping(
        FunctionName=arn, EventSourceArn="arn:aws:sqs:us-east-1:000000000000:q", Tags={"A": "a"}
    )
    mapping = made["EventSourceMappingArn"]
    assert tags(api, mapping) == {"A": "a"}
    api.tag_resource(Resource=mapping, Tags={"B": "b"})
    assert tags(api, mapping) == {"A": "a", "B": "b"}
    api.untag_resource(Resource=mapping, TagKeys=["A", "B"])
    assert tags(api, mapping) == {}
    many = {f"key{number}": "x" for number in range(51)}
    expected = (400, "InvalidParameterValueException", TOO_MANY)
    assert refusal(api.tag_resource, Resource=mapping, Tags=many) == expected
    api.delete_event_source_mapping(UUID=made["UUID"])
    gone = (404, "ResourceNotFoundException", f"Event source mapping not found: {mapping}")
    assert refusal(api.tag_resource, Resource=mapping, Tags={"A": "a"}) == gone


def test_a_resource_has_50_tags_at_most(api: LambdaClient, arn: str) -> None:
    many = {f"key{number}": "x" for number in range(51)}
    expected = (400, "InvalidParameterValueException", TOO_MANY)
    assert refusal(api.tag_resource, Resource=arn, Tags=many) == expected
    del many["key50"]
    api.tag_resource(Resource=arn, Tags=many)
    api.tag_resource(Resource=arn, Tags={"key0": "y"})
    assert refusal(api.tag_resource, Resource=arn, Tags={"one": "more"}) == expected
    assert tags(api, arn) == {**many, "key0": "y"}


@pytest.mark.parametrize("qualifier", ["$LATEST", "1", "nowhere"])
def test_versions_and_aliases_have_no_tags(api: LambdaClient, arn: str, qualifier: str) -> None:
    expected = (400, "InvalidParameterValueException", QUALIFIED)
    where = {"Resource": f"{arn}:{qualifier}"}
    assert refusal(api.tag_resource, **where, Tags={"A": "a"}) == expected
    assert refusal(api.untag_resource, **where, TagKeys=["A"]) == expected
    assert refusal(api.list_tags, **where) == expected


@pytest.mark.parametrize(
    ("resource", "message"),
    [
        ("function:nobody", "Function not found: {}"),
        (f"event-source-mapping:{UUID}", "Event source mapping not found: {}"),
        ("capacity-provider:nobody", "Capacity provider not found: {}"),
        (
            "code-signing-config:csc-0123456789abcdef0",
            "The Lambda code signing configuration {} can not be found.",
        ),
        ("layer:nobody", "Layer not found: {}"),
    ],
)
def test_what_is_missing_is_named(api: LambdaClient, resource: str, message: str) -> None:
    arn = f"{ROOT}:{resource}"
    expected = (404, "ResourceNotFoundException", message.format(arn))
    assert refusal(api.tag_resource, Resource=arn, Tags={"A": "a"}) == expected
    assert refusal(api.untag_resource, Resource=arn, TagKeys=["A"]) == expected
    assert refusal(api.list_tags, Resource=arn) == expected


def test_resources_of_other_regions_are_out_of_reach(api: LambdaClient) -> None:
    there = ROOT.replace("us-east-1", "eu-west-1")
    got = refusal(api.list_tags, Resource=f"{there}:function:f")
    expected = "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"
    assert got == (404, "ResourceNotFoundException", expected)
    mapping = f"{there}:event-source-mapping:{UUID}"
    assert refusal(api.list_tags, Resource=mapping)[2].endswith(mapping)


def test_requests_without_tags_are_refused(api: LambdaClient, arn: str) -> None:
    expected = "An error occurred and the request cannot be processed."
    got = refusal(api.tag_resource, Resource=arn, Tags={})
    assert got == (400, "InvalidParameterValueException", expected)
    expected = (
        "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint:"
        " Member must not be null"
    )
    got = refusal(api.untag_resource, Resource=arn, TagKeys=[])
    assert got == (400, "ValidationException", expected)


@pytest.mark.parametrize("key", ["aws:name", "AWS:name"])
def test_keys_of_aws_itself_are_refused(api: LambdaClient, arn: str, key: str) -> None:
    got = refusal(api.tag_resource, Resource=arn, Tags={key: "x"})
    assert got[:2] == (400, "InvalidParameterValueException")
    assert tags(api, arn) == {}


@pytest.mark.parametrize(
    "resource", ["foobar:x", f"event-source-mapping:{UUID}:alias", "capacity-provider:x:alias"]
)
def test_other_arns_are_refused(api: LambdaClient, resource: str) -> None:
    arn = f"{ROOT}:{resource}"
    got = refusal(api.list_tags, Resource=arn)
    assert got[:2] == (400, "ValidationException")
    assert f"Value '{arn}' at 'resource' failed to satisfy" in got[2]

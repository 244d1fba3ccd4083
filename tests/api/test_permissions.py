"""Policies of functions, versions and aliases through boto3: answers and errors as AWS's."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import create

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

SOURCE = "def handler(event, context):\n    return 1\n"
ROOT = "arn:aws:lambda:us-east-1:000000000000:function"
MISSING = (404, "ResourceNotFoundException", "The resource you requested does not exist.")
STALE = "The Revision Id provided does not match the latest Revision Id. Call the {} API to"
S3: dict[str, Any] = {
    "StatementId": "s3",
    "Action": "lambda:InvokeFunction",
    "Principal": "s3.amazonaws.com",
}


@pytest.fixture
def name(api: LambdaClient) -> str:
    return create(api, SOURCE)


def refusal(call: Any, **params: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as refused:
        call(**params)
    response: Any = refused.value.response
    assert response["Type"] == "User"
    error = response["Error"]
    return response["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


def sids(client: LambdaClient, **params: Any) -> list[str]:
    policy = json.loads(client.get_policy(**params)["Policy"])
    assert list(policy) == ["Version", "Id", "Statement"]
    assert (policy["Version"], policy["Id"]) == ("2012-10-17", "default")
    return [statement["Sid"] for statement in policy["Statement"]]


def statement(name: str, sid: str = "s3") -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": f"{ROOT}:{name}",
    }


def test_statements_come_and_go_and_the_policy_with_the_last(api: LambdaClient, name: str) -> None:
    function = api.get_function(FunctionName=name)["Configuration"]["RevisionId"]
    assert refusal(api.get_policy, FunctionName=name) == MISSING
    added: Any = api.add_permission(FunctionName=name, **S3)
    assert added["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert set(added) == {"Statement", "ResponseMetadata"}
    assert added["Statement"] == json.dumps(statement(name), separators=(",", ":"))
    first: Any = api.get_policy(FunctionName=name)
    assert set(first) == {"Policy", "RevisionId", "ResponseMetadata"}
    api.add_permission(FunctionName=name, **{**S3, "StatementId": "a"})
    second = api.get_policy(FunctionName=f"{ROOT}:{name}")
    assert json.loads(second["Policy"])["Statement"] == [statement(name), statement(name, "a")]
    gone = refusal(api.remove_permission, FunctionName=name, StatementId="x")
    expected = "Statement x is not found in resource policy."
    assert gone == (404, "ResourceNotFoundException", expected)
    removed: Any = api.remove_permission(FunctionName=name, StatementId="a")
    assert removed["ResponseMetadata"]["HTTPStatusCode"] == 204
    third = api.get_policy(FunctionName=name)
    assert sids(api, FunctionName=name) == ["s3"]
    assert api.get_policy(FunctionName=name)["RevisionId"] == third["RevisionId"]
    assert len({first["RevisionId"], second["RevisionId"], third["RevisionId"], function}) == 4
    seen = api.get_function(FunctionName=name)["Configuration"]["RevisionId"]
    assert seen == third["RevisionId"], "a policy shares the function's"
    api.remove_permission(FunctionName=name, StatementId="s3", RevisionId=third["RevisionId"])
    assert refusal(api.get_policy, FunctionName=name) == MISSING
    assert api.get_function(FunctionName=name)["Configuration"]["RevisionId"] != seen


def test_function_version_and_alias_have_policies_of_their_own(
    api: LambdaClient, name: str
) -> None:
    api.publish_version(FunctionName=name)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    api.add_permission(FunctionName=name, **S3)
    for qualifier in ("1", "live"):
        assert refusal(api.get_policy, FunctionName=name, Qualifier=qualifier) == MISSING
        added = api.add_permission(FunctionName=name, Qualifier=qualifier, **S3)
        resource = json.loads(added["Statement"])["Resource"]
        assert resource == f"{ROOT}:{name}:{qualifier}"
    api.add_permission(FunctionName=f"{name}:live", **{**S3, "StatementId": "b"})
    assert sids(api, FunctionName=name) == ["s3"]
    assert sids(api, FunctionName=f"{name}:1") == ["s3"]
    assert sids(api, FunctionName=name, Qualifier="live") == ["s3", "b"]
    api.remove_permission(FunctionName=name, Qualifier="live", StatementId="s3")
    assert sids(api, FunctionName=f"{name}:live") == ["b"]
    api.delete_alias(FunctionName=name, Name="live")
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    assert refusal(api.get_policy, FunctionName=name, Qualifier="live") == MISSING
    api.delete_alias(FunctionName=name, Name="live")
    api.delete_function(FunctionName=name, Qualifier="1")
    assert refusal(api.get_policy, FunctionName=name, Qualifier="1") == MISSING
    assert sids(api, FunctionName=name) == ["s3"]


def test_a_policy_goes_with_its_function(api: LambdaClient, name: str) -> None:
    api.add_permission(FunctionName=name, **S3)
    api.delete_function(FunctionName=name)
    assert refusal(api.get_policy, FunctionName=name) == MISSING
    create(api, SOURCE, name)
    assert refusal(api.get_policy, FunctionName=name) == MISSING


@pytest.mark.parametrize(
    ("qualifier", "message"),
    [
        ("42", "Function not found: {}:42"),
        ("nowhere", "Cannot find alias arn: {}:nowhere"),
        ("valid-with-$-but", "Function not found: {}:valid-with-$-but"),
    ],
)
def test_a_missing_version_or_alias_is_named(
    api: LambdaClient, name: str, qualifier: str, message: str
) -> None:
    expected = (404, "ResourceNotFoundException", message.format(f"{ROOT}:{name}"))
    where = {"FunctionName": name, "Qualifier": qualifier}
    assert refusal(api.add_permission, **where, **S3) == expected
    assert refusal(api.remove_permission, **where, StatementId="s") == expected
    assert refusal(api.get_policy, **where) == MISSING


def test_a_missing_function_or_policy_is_named(api: LambdaClient, name: str) -> None:
    code = "ResourceNotFoundException"
    missing = (404, code, f"Function not found: {ROOT}:nobody")
    assert refusal(api.add_permission, FunctionName="nobody", **S3) == missing
    missing = (404, code, f"No policy found for: {ROOT}:nobody")
    assert refusal(api.remove_permission, FunctionName="nobody", StatementId="s") == missing
    missing = (404, code, "No policy is associated with the given resource.")
    assert refusal(api.remove_permission, FunctionName=name, StatementId="s") == missing
    assert refusal(api.get_policy, FunctionName="nobody") == MISSING


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"Qualifier": "$LATEST"}, 400, "We currently do not support adding policies for $LATEST."),
        ({"Principal": "invalid.nonaws.com"}, 400, "The provided principal was invalid. Please"),
        ({"StatementId": "s3"}, 409, "The statement id (s3) provided already exists. Please pro"),
        ({"RevisionId": "wrong"}, 412, STALE.format("GetPolicy")),
        ({"FunctionUrlAuthType": "NONE"}, 400, "FunctionUrlAuthType is only supported for lambda:"),
        (
            {"Action": "lambda:InvokeFunctionUrl", "InvokedViaFunctionUrl": True},
            400,
            "InvokedViaFunctionUrl is only supported for lambda:InvokeFunction action",
        ),
    ],
)
def test_what_cannot_be_added_is_refused(
    api: LambdaClient, name: str, change: dict[str, Any], status: int, message: str
) -> None:
    api.add_permission(FunctionName=name, **S3)
    request = {**S3, "StatementId": "new", **change}
    got = refusal(api.add_permission, FunctionName=name, **request)
    assert got[0] == status
    assert got[2].startswith(message)
    assert sids(api, FunctionName=name) == ["s3"]


def test_a_statement_id_is_held_against_its_pattern(api: LambdaClient, name: str) -> None:
    with pytest.raises(ClientError) as refused:
        api.add_permission(FunctionName=name, **{**S3, "StatementId": "example.com"})
    assert refused.value.response["Error"]["Message"] == (
        "1 validation error detected: Value 'example.com' at 'statementId' failed to satisfy"
        " constraint: Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)"
    )


def test_changes_may_ask_for_the_revision_that_was_read(api: LambdaClient, name: str) -> None:
    function = api.get_function(FunctionName=name)["Configuration"]["RevisionId"]
    api.add_permission(FunctionName=name, RevisionId=function, **S3)
    revision = api.get_policy(FunctionName=name)["RevisionId"]
    more = {**S3, "StatementId": "more"}
    stale = refusal(api.add_permission, FunctionName=name, RevisionId=function, **more)
    assert stale[:2] == (412, "PreconditionFailedException")
    api.add_permission(FunctionName=name, RevisionId=revision, **more)
    remove = {"FunctionName": name, "StatementId": "more", "RevisionId": revision}
    stale = refusal(api.remove_permission, **remove)
    assert stale[2].startswith(STALE.format("GetFunction/GetAlias"))
    assert sids(api, FunctionName=name) == ["s3", "more"]


def test_a_policy_has_a_largest_size(api: LambdaClient, name: str) -> None:
    long = {**S3, "SourceArn": "arn:aws:s3:::" + "b" * 7000}
    for sid in ("a", "b"):
        api.add_permission(FunctionName=name, **{**long, "StatementId": sid})
    too_long = refusal(api.add_permission, FunctionName=name, **long)
    assert too_long[:2] == (400, "PolicyLengthExceededException")
    assert too_long[2].endswith("is bigger than the limit (20480).")
    assert sids(api, FunctionName=name) == ["a", "b"]


def test_statements_added_at_once_are_all_kept(api: LambdaClient, name: str) -> None:
    given = [f"s{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        for _ in pool.map(
            lambda sid: api.add_permission(FunctionName=name, **{**S3, "StatementId": sid}), given
        ):
            pass
    assert sorted(sids(api, FunctionName=name)) == sorted(given)


def test_a_whole_policy_replaces_what_was_added_by_statement(api: LambdaClient, name: str) -> None:
    api.add_permission(FunctionName=name, **S3)
    arn = f"{ROOT}:{name}"
    seen: Any = api.get_resource_policy(ResourceArn=arn)
    assert seen["RevisionId"] == api.get_policy(FunctionName=name)["RevisionId"]
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "no", "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": arn}
        ],
    }
    put: Any = api.put_resource_policy(
        ResourceArn=arn, Policy=json.dumps(policy, indent=2), RevisionId=seen["RevisionId"]
    )
    assert put["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert put["Policy"] == json.dumps(policy, separators=(",", ":"))
    assert put["RevisionId"] != seen["RevisionId"]
    got: Any = api.get_resource_policy(ResourceArn=arn)
    assert (got["Policy"], got["RevisionId"]) == (put["Policy"], put["RevisionId"])
    api.add_permission(FunctionName=name, **S3)
    combined = json.loads(api.get_policy(FunctionName=name)["Policy"])
    assert combined == {**policy, "Statement": [*policy["Statement"], statement(name)]}
    stale = refusal(api.delete_resource_policy, ResourceArn=arn, RevisionId=put["RevisionId"])
    assert stale[2].startswith(STALE.format("GetResourcePolicy"))
    deleted: Any = api.delete_resource_policy(ResourceArn=arn)
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    for call in (api.get_resource_policy, api.delete_resource_policy):
        assert refusal(call, ResourceArn=arn) == MISSING


def test_a_whole_policy_needs_its_resource_and_a_document(api: LambdaClient, name: str) -> None:
    allow = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    policy = json.dumps({"Statement": allow})
    put = api.put_resource_policy
    assert refusal(put, ResourceArn=f"{ROOT}:{name}:$LATEST", Policy=policy)[0] == 400
    gone = refusal(put, ResourceArn=f"{ROOT}:{name}:7", Policy=policy)
    assert gone == (404, "ResourceNotFoundException", f"Function not found: {ROOT}:{name}:7")
    bad = refusal(put, ResourceArn=f"{ROOT}:{name}", Policy="{")
    assert bad[:2] == (400, "InvalidParameterValueException")
    runtime = "arn:aws:lambda:us-east-1:000000000000:runtime/x"
    assert refusal(put, ResourceArn=runtime, Policy=policy) == MISSING
    stale = refusal(put, ResourceArn=f"{ROOT}:{name}", Policy=policy, RevisionId=str(uuid.uuid4()))
    assert stale[:2] == (412, "PreconditionFailedException")
    put(ResourceArn=f"{ROOT}:{name}", Policy=policy)
    assert json.loads(api.get_policy(FunctionName=name)["Policy"]) == {"Statement": allow}

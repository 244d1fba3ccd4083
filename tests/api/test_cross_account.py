"""Calls of one account for the functions of another, through boto3."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import raw_http
from botocore.exceptions import ClientError
from functions_under_test import create, fresh_name, invoke

if TYPE_CHECKING:
    from live import LiveServer
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

STRANGER = "222222222222"
SOURCE = "def handler(event, context): return [event, context.invoked_function_arn]"


@pytest.fixture(scope="module")
def stranger(process_server: LiveServer) -> LambdaClient:
    return process_server.client(STRANGER)


@pytest.fixture(scope="module")
def name(process_server: LiveServer) -> str:
    return create(process_server.client(), SOURCE)


@pytest.fixture
def function(api: LambdaClient, name: str) -> str:
    """The ARN of a function whose policy is empty."""
    found = api.get_function_configuration(FunctionName=name)["FunctionArn"]
    with suppress(api.exceptions.ResourceNotFoundException):
        api.delete_resource_policy(ResourceArn=found)
    return found


def allow(
    api: LambdaClient, arn: str, action: str, principal: str = STRANGER, **members: Any
) -> None:
    api.add_permission(
        FunctionName=arn, StatementId=fresh_name(), Action=action, Principal=principal, **members
    )


def refused(call: Any, **members: Any) -> tuple[str, int, str | None]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    answer: Any = caught.value.response
    error = answer["Error"]
    return error["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], error.get("Message")


def denial(arn: str) -> tuple[str, int, str]:
    text = (
        f"User: arn:aws:iam::{STRANGER}:root is not authorized to perform: lambda:InvokeFunction"
        f" on resource: {arn} because no resource-based policy allows the lambda:InvokeFunction"
        " action"
    )
    return "AccessDeniedException", 403, text


def test_an_invoke_for_another_account_needs_its_permission(
    api: LambdaClient, stranger: LambdaClient, function: str
) -> None:
    assert refused(stranger.invoke, FunctionName=function) == denial(function)
    allow(api, function, "lambda:InvokeFunction")
    assert invoke(stranger, function, 1).payload == [1, function]
    partial = function.removeprefix("arn:aws:lambda:us-east-1:")
    assert invoke(stranger, partial, 2).payload == [2, function]


def test_so_does_one_whose_answer_is_streamed_or_not_waited_for(
    api: LambdaClient, stranger: LambdaClient, function: str
) -> None:
    streaming = stranger.invoke_with_response_stream
    assert refused(streaming, FunctionName=function) == denial(function)
    assert refused(stranger.invoke, FunctionName=function, InvocationType="Event")[1] == 403
    assert refused(stranger.invoke_async, FunctionName=function, InvokeArgs=b"{}")[1] == 403
    allow(api, function, "lambda:InvokeFunction")
    events = list(streaming(FunctionName=function, Payload=b"1")["EventStream"])
    assert events[0]["PayloadChunk"]["Payload"] == json.dumps([1, function]).encode()
    answer = stranger.invoke(FunctionName=function, InvocationType="Event")
    with answer["Payload"] as payload:
        assert payload.read() == b""
    assert stranger.invoke_async(FunctionName=function, InvokeArgs=b"{}")["Status"] == 202


def test_a_permission_is_for_one_account_and_one_action(
    process_server: LiveServer, api: LambdaClient, stranger: LambdaClient, function: str
) -> None:
    allow(api, function, "lambda:GetFunction")
    assert refused(stranger.invoke, FunctionName=function) == denial(function)
    allow(api, function, "lambda:InvokeFunction", "333333333333")
    assert refused(stranger.invoke, FunctionName=function) == denial(function)
    allow(api, function, "lambda:InvokeFunction", "s3.amazonaws.com")
    assert refused(stranger.invoke, FunctionName=function) == denial(function)
    allow(api, function, "lambda:InvokeFunction", SourceAccount=STRANGER)
    assert refused(stranger.invoke, FunctionName=function) == denial(function)
    assert invoke(process_server.client("333333333333"), function, 3).payload == [3, function]


def test_an_alias_has_a_policy_of_its_own(
    api: LambdaClient, stranger: LambdaClient, function: str
) -> None:
    version = api.publish_version(FunctionName=function)["Version"]
    alias = fresh_name()
    arn = api.create_alias(FunctionName=function, Name=alias, FunctionVersion=version)["AliasArn"]
    allow(api, function, "lambda:InvokeFunction")
    assert refused(stranger.invoke, FunctionName=arn) == denial(arn)
    allow(api, function, "lambda:InvokeFunction", Qualifier=alias)
    assert invoke(stranger, arn, 4).payload == [4, arn]
    assert invoke(stranger, function, 5, Qualifier=alias).payload == [5, arn]
    assert refused(stranger.invoke, FunctionName=f"{function}:{version}")[1] == 403
    assert invoke(stranger, f"{function}:$LATEST", 6).payload[0] == 6


def test_a_denial_wins(api: LambdaClient, stranger: LambdaClient, function: str) -> None:
    usual = {"Principal": {"AWS": STRANGER}, "Action": "lambda:*", "Resource": function}
    policy: Any = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **usual}]}
    put: Any = api.put_resource_policy
    put(ResourceArn=function, Policy=json.dumps(policy))
    assert invoke(stranger, function, 1).payload == [1, function]
    policy["Statement"].append({**usual, "Effect": "Deny", "Action": "lambda:Invoke*"})
    put(ResourceArn=function, Policy=json.dumps(policy))
    assert refused(stranger.invoke, FunctionName=function) == denial(function)
    assert stranger.get_function(FunctionName=function)["Configuration"]["FunctionArn"] == function


def test_other_operations_work_for_others_as_far_as_aws_lets_them(
    api: LambdaClient, stranger: LambdaClient, function: str, name: str
) -> None:
    silent = refused(stranger.get_function, FunctionName=function)
    assert silent == ("AccessDeniedException", 403, None)  # as recorded
    allow(api, function, "lambda:*")
    found = stranger.get_function_configuration(FunctionName=function)
    assert found["FunctionArn"] == function
    stranger.tag_resource(Resource=function, Tags={"by": "stranger"})
    assert api.list_tags(Resource=function)["Tags"] == {"by": "stranger"}
    assert stranger.list_tags(Resource=function)["Tags"] == {"by": "stranger"}
    assert name not in [one["FunctionName"] for one in stranger.list_functions()["Functions"]]
    for call, members in (
        (stranger.update_function_configuration, {"Description": "mine now"}),
        (stranger.add_permission, {"StatementId": "s", "Action": "lambda:*", "Principal": "*"}),
        (stranger.get_function_url_config, {}),
    ):
        assert refused(call, FunctionName=function, **members)[1] == 403


def test_nobody_learns_what_another_account_has(stranger: LambdaClient, function: str) -> None:
    missing = function[:-1] + "_"
    assert refused(stranger.invoke, FunctionName=missing) == denial(missing)
    assert refused(stranger.invoke, FunctionName=f"{function}:99") == denial(f"{function}:99")
    assert refused(stranger.get_function, FunctionName=missing)[1] == 403


def test_a_name_alone_is_always_ones_own(stranger: LambdaClient, function: str, name: str) -> None:
    assert function.endswith(name)
    assert refused(stranger.invoke, FunctionName=name)[:2] == ("ResourceNotFoundException", 404)


def test_a_refused_body_is_read_and_the_connection_goes_on(
    process_server: LiveServer, function: str
) -> None:
    connection = raw_http.connect(process_server)
    credential = f"AWS4-HMAC-SHA256 Credential={STRANGER}/20261121/us-east-1/lambda/aws4_request"
    try:
        for _ in range(2):
            path = raw_http.invocations(function.replace(":", "%3A"))
            connection.request("POST", path, b"x" * 100_000, {"Authorization": credential})
            answer = connection.getresponse()
            assert answer.status == 403
            assert "no resource-based policy" in json.loads(answer.read())["Message"]
    finally:
        connection.close()

"""Provisioned concurrency, scaling, recursion and rate limits as they are configured."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import create, fresh_name, invoke
from live import LiveServer

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

SOURCE = "def handler(event, context):\n    return context.aws_request_id\n"
INVALID, MISSING = ("InvalidParameterValueException", 400), ("ResourceNotFoundException", 404)
CONFLICT = ("ResourceConflictException", 409)


def arn(name: str, qualifier: str) -> str:
    return f"arn:aws:lambda:us-east-1:000000000000:function:{name}:{qualifier}"


def refused(call: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    answer: Any = caught.value.response
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return answer["Error"]["Code"], status, answer["Error"]["Message"]


def bare(answer: Any) -> Any:
    return {k: v for k, v in answer.items() if k not in {"ResponseMetadata", "LastModified"}}


def versioned(api: LambdaClient) -> str:
    name = create(api, SOURCE)
    api.publish_version(FunctionName=name)
    return name


def test_provisioned_concurrency_of_a_version_and_of_an_alias_exclude_each_other(
    api: LambdaClient,
) -> None:
    name = versioned(api)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    on_version: Any = {"FunctionName": name, "Qualifier": "1"}
    on_alias: Any = {"FunctionName": name, "Qualifier": "live"}
    put = api.put_provisioned_concurrency_config
    made: Any = put(**on_version, ProvisionedConcurrentExecutions=1)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert bare(made) == {
        "RequestedProvisionedConcurrentExecutions": 1,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "AvailableProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
    }
    assert refused(put, **on_alias, ProvisionedConcurrentExecutions=1) == (
        *CONFLICT,
        (
            "Alias can't be used for Provisioned Concurrency configuration on an already"
            " Provisioned version"
        ),
    )
    assert (
        api.get_provisioned_concurrency_config(**on_version)["LastModified"] == made["LastModified"]
    )
    listed = api.list_provisioned_concurrency_configs(FunctionName=name)
    assert [item["FunctionArn"] for item in listed["ProvisionedConcurrencyConfigs"]] == [
        arn(name, "1")
    ]
    gone: Any = api.delete_provisioned_concurrency_config(**on_version)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    api.delete_provisioned_concurrency_config(**on_version)
    assert refused(api.get_provisioned_concurrency_config, **on_version) == (
        "ProvisionedConcurrencyConfigNotFoundException",
        404,
        "No Provisioned Concurrency Config found for this function",
    )
    put(**on_alias, ProvisionedConcurrentExecutions=1)
    assert refused(put, **on_version, ProvisionedConcurrentExecutions=1) == (
        *CONFLICT,
        "Version is pointed by a Provisioned Concurrency alias",
    )
    api.delete_alias(FunctionName=name, Name="live")
    assert refused(api.get_provisioned_concurrency_config, **on_alias) == (
        *MISSING,
        f"Cannot find alias arn: {arn(name, 'live')}",
    )
    listed = api.list_provisioned_concurrency_configs(FunctionName=name)
    assert listed["ProvisionedConcurrencyConfigs"] == []


def test_provisioned_concurrency_is_refused_where_it_cannot_be(
    api: LambdaClient, process_server: LiveServer
) -> None:
    name, unknown = versioned(api), fresh_name()
    put = api.put_provisioned_concurrency_config
    get = api.get_provisioned_concurrency_config
    delete = api.delete_provisioned_concurrency_config
    assert refused(
        put, FunctionName=name, Qualifier="$LATEST", ProvisionedConcurrentExecutions=1
    ) == (
        *INVALID,
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
    )
    for call in (get, delete):
        assert refused(call, FunctionName=name, Qualifier="$LATEST") == (
            *INVALID,
            "The function resource provided must be an alias or a published version.",
        )
        for fn, qualifier, text in (
            (name, "no", "Cannot find alias arn"),
            (name, "10", "Function not found"),
            (unknown, "no", "Cannot find alias arn"),
            (unknown, "1", "Function not found"),
        ):
            found = refused(call, FunctionName=fn, Qualifier=qualifier)
            assert found == (*MISSING, f"{text}: {arn(fn, qualifier)}")
    put = process_server.client(parameter_validation=False).put_provisioned_concurrency_config
    zero = refused(put, FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=0)
    assert zero[2] == (
        "1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to"
        " satisfy constraint: Member must have value greater than or equal to 1"
    )


def test_provisioned_and_reserved_concurrency_share_the_account(process_server: LiveServer) -> None:
    api = process_server.client(account="222222222222")  # whose capacity no other test takes
    name = versioned(api)
    put = api.put_provisioned_concurrency_config
    members: Any = {"FunctionName": name, "Qualifier": "1"}

    def unreserved() -> int:
        return api.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]

    total = unreserved()
    assert refused(put, **members, ProvisionedConcurrentExecutions=total + 1) == (
        *INVALID,
        (
            "Specified ConcurrentExecutions for function is greater than account's unreserved"
            f" concurrency [{total}]."
        ),
    )
    assert refused(put, **members, ProvisionedConcurrentExecutions=total - 99) == (
        *INVALID,
        (
            "Specified ConcurrentExecutions for function decreases account's"
            " UnreservedConcurrentExecution below its minimum value of [100]."
        ),
    )
    put(**members, ProvisionedConcurrentExecutions=2)
    assert unreserved() == total - 2
    low = refused(api.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=1)
    assert low == (
        *INVALID,
        (
            " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned"
            " concurrency [2]."
        ),
    )
    api.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
    assert unreserved() == total - 3
    assert refused(put, **members, ProvisionedConcurrentExecutions=4) == (
        *INVALID,
        (
            "Requested Provisioned Concurrency should not be greater than the"
            " reservedConcurrentExecution for function"
        ),
    )
    api.delete_function(FunctionName=name)
    assert unreserved() == total


def test_the_environments_of_any_version_can_be_bounded(api: LambdaClient) -> None:
    name = versioned(api)
    bounds: Any = {"MinExecutionEnvironments": 0, "MaxExecutionEnvironments": 4}
    for qualifier in ("$LATEST", "1", "$LATEST.PUBLISHED"):
        members: Any = {"FunctionName": name, "Qualifier": qualifier}
        before = bare(api.get_function_scaling_config(**members))
        assert before == {"FunctionArn": arn(name, qualifier)}
        put: Any = api.put_function_scaling_config(**members, FunctionScalingConfig=bounds)
        assert (put["ResponseMetadata"]["HTTPStatusCode"], put["FunctionState"]) == (202, "Active")
        assert bare(api.get_function_scaling_config(**members)) == {
            "FunctionArn": arn(name, qualifier),
            "AppliedFunctionScalingConfig": bounds,
            "RequestedFunctionScalingConfig": bounds,
        }
        api.put_function_scaling_config(**members)
        assert bare(api.get_function_scaling_config(**members)) == before
    call = api.get_function_scaling_config
    assert refused(call, FunctionName=name, Qualifier="7")[:2] == MISSING
    call = api.put_function_scaling_config  # type: ignore[assignment]
    upside_down: Any = {"MinExecutionEnvironments": 5, "MaxExecutionEnvironments": 4}
    found = refused(call, FunctionName=name, Qualifier="1", FunctionScalingConfig=upside_down)
    assert found[:2] == INVALID


def test_recursion_is_stopped_unless_it_is_allowed(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    config = api.get_function_recursion_config(FunctionName=name)
    assert config["RecursiveLoop"] == "Terminate"
    put: Any = api.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    assert (put["ResponseMetadata"]["HTTPStatusCode"], put["RecursiveLoop"]) == (200, "Allow")
    assert api.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Allow"
    bad: Any = "InvalidValue"
    found = refused(api.put_function_recursion_config, FunctionName=name, RecursiveLoop=bad)
    assert found[2].endswith("Member must satisfy enum value set: [Terminate, Allow]")
    found = refused(api.get_function_recursion_config, FunctionName="no-such-function")
    assert found[:2] == MISSING


# ------------------------------------------------------------------------------------ rate limits


def admin(server: LiveServer, verb: str, name: str, body: Any = None) -> tuple[int, Any]:
    url = f"{server.url}/api/admin/functions/{name}/rate-limit"
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=verb)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {
                **json.loads(error.read()),
                "code": error.headers["x-amzn-ErrorType"],
            }


def several(api: LambdaClient, name: str, times: int) -> None:
    for _ in range(times):
        assert invoke(api, name, {}).status == 200


def test_a_rate_limit_is_set_followed_and_removed(
    api: LambdaClient, process_server: LiveServer
) -> None:
    name = create(api, SOURCE)
    assert admin(process_server, "GET", name)[0] == 404
    assert admin(process_server, "PUT", name, {"per_second": 1}) == (200, {"per_second": 1})
    assert admin(process_server, "GET", arn(name, "x")[:-2]) == (200, {"per_second": 1})
    with pytest.raises(ClientError) as caught:  # these take no second together
        several(api, name, 4)
    answer: Any = caught.value.response
    assert answer["Error"]["Code"] == "TooManyRequestsException"
    assert answer["Reason"] == "FunctionInvocationRateLimitExceeded"
    assert answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
    assert admin(process_server, "DELETE", name) == (204, None)
    assert admin(process_server, "DELETE", name) == (204, None)
    several(api, name, 5)


def test_a_bad_rate_limit_is_refused_in_aws_shape(
    api: LambdaClient, process_server: LiveServer
) -> None:
    name = create(api, SOURCE)
    for bad in ({"per_second": 0}, {"per_second": 1.5}, {"per_second": True}, {"n": 1}, {}):
        status, answer = admin(process_server, "PUT", name, bad)
        assert (status, answer["code"]) == (400, "InvalidParameterValueException"), bad
        assert "per_second" in answer["message"]
    status, answer = admin(process_server, "PUT", name, b"[")
    assert (status, answer["code"]) == (400, "SerializationException")
    assert admin(process_server, "PUT", name, b" " * 5000)[0] == 413
    for verb in ("GET", "PUT", "DELETE"):
        status, answer = admin(process_server, verb, "no-such", {"per_second": 1})
        assert (status, answer["code"]) == (404, "ResourceNotFoundException")
        assert admin(process_server, verb, f"{name}:1", {"per_second": 1})[0] == 400
    assert admin(process_server, "GET", name)[0] == 404

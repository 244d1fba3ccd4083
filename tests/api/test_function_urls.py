"""Function URL configurations through boto3: AWS's answers, texts and rules."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import create

if TYPE_CHECKING:
    from live import LiveServer
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

SOURCE = "def handler(event, context): return 1"
NO_FUNCTION = ("ResourceNotFoundException", 404, "Function does not exist")
NO_CONFIG = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")
MISMATCH = (
    "InvalidParameterValueException",
    400,
    "The derived qualifier from the function name does not match the specified qualifier.",
)
URL = re.compile(r"http://[a-z0-9]{32}\.lambda-url\.us-east-1\.localhost:(\d+)/")
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def arn(name: str, qualifier: str = "") -> str:
    tail = f":{qualifier}" if qualifier else ""
    return f"arn:aws:lambda:us-east-1:000000000000:function:{name}{tail}"


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


def status(answer: Any) -> int:
    code: int = answer["ResponseMetadata"]["HTTPStatusCode"]
    return code


@pytest.fixture(scope="module")
def aliased(process_server: LiveServer) -> str:
    """A function with version 1 and the alias `urlalias`."""
    api = process_server.client()
    name = create(api, SOURCE)
    api.publish_version(FunctionName=name)
    api.create_alias(FunctionName=name, Name="urlalias", FunctionVersion="1")
    return name


def test_a_configuration_lives_as_on_aws(process_server: LiveServer, api: LambdaClient) -> None:
    name = create(api, SOURCE)
    revision = api.get_function_configuration(FunctionName=name)["RevisionId"]
    made: Any = api.create_function_url_config(FunctionName=name, AuthType="NONE")
    assert status(made) == 201
    match = URL.fullmatch(made["FunctionUrl"])
    assert match
    assert match[1] == process_server.url.rpartition(":")[2]
    assert DATE.fullmatch(made["CreationTime"])
    assert set(bare(made)) == {"AuthType", "CreationTime", "FunctionArn", "FunctionUrl"}
    assert made["FunctionArn"] == arn(name)
    assert refused(api.create_function_url_config, FunctionName=name, AuthType="NONE") == (
        "ResourceConflictException",
        409,
        (
            f"Failed to create function url config for [functionArn = {arn(name)}]. Error message: "
            " FunctionUrlConfig exists for this Lambda function"
        ),
    )

    got = bare(api.get_function_url_config(FunctionName=name))
    same = {"InvokeMode": "BUFFERED", "LastModifiedTime": made["CreationTime"]}
    assert got == {**bare(made), **same}

    updated: Any = api.update_function_url_config(FunctionName=arn(name), AuthType="AWS_IAM")
    assert status(updated) == 200
    assert updated["LastModifiedTime"] > made["CreationTime"]
    changed = {"AuthType": "AWS_IAM", "LastModifiedTime": updated["LastModifiedTime"]}
    assert bare(updated) == {**bare(made), **changed}

    streaming: Any = api.update_function_url_config(FunctionName=name, InvokeMode="RESPONSE_STREAM")
    untouched: Any = api.update_function_url_config(FunctionName=name)
    assert streaming["InvokeMode"] == untouched["InvokeMode"] == "RESPONSE_STREAM"
    assert untouched["AuthType"] == "AWS_IAM"

    assert status(api.delete_function_url_config(FunctionName=name)) == 204
    assert refused(api.get_function_url_config, FunctionName=name) == NO_CONFIG
    assert api.get_function_configuration(FunctionName=name)["RevisionId"] == revision
    again = api.create_function_url_config(
        FunctionName=name, AuthType="NONE", InvokeMode="BUFFERED"
    )
    assert again["InvokeMode"] == "BUFFERED"
    assert again["FunctionUrl"] != made["FunctionUrl"]


def test_cors_comes_back_with_headers_in_lower_case_and_goes_when_it_is_emptied(
    api: LambdaClient,
) -> None:
    name = create(api, SOURCE)
    given: Any = {
        "AllowCredentials": True,
        "AllowHeaders": ["X-Custom-Header", "date"],
        "AllowMethods": ["GET", "*"],
        "AllowOrigins": ["https://Example.com"],
        "ExposeHeaders": ["Keep-Alive"],
        "MaxAge": 86400,
    }
    expected = {
        **given,
        "AllowHeaders": ["x-custom-header", "date"],
        "ExposeHeaders": ["keep-alive"],
    }
    made = api.create_function_url_config(FunctionName=name, AuthType="NONE", Cors=given)
    assert made["Cors"] == expected
    assert api.update_function_url_config(FunctionName=name, AuthType="NONE")["Cors"] == expected
    assert api.get_function_url_config(FunctionName=name)["Cors"] == expected
    replaced = api.update_function_url_config(FunctionName=name, Cors={"MaxAge": 1})
    assert replaced["Cors"] == {"MaxAge": 1}
    assert "Cors" not in api.update_function_url_config(FunctionName=name, Cors={})
    assert "Cors" not in api.get_function_url_config(FunctionName=name)
    code, _, text = refused(
        api.update_function_url_config, FunctionName=name, Cors={"AllowMethods": ["OPTIONS"]}
    )
    assert code == "ValidationException"
    assert "at 'cors.allowMethods' failed to satisfy constraint" in text


OPERATIONS = ["create", "get", "update", "delete"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_is_missing_is_told_in_the_words_of_the_operation(
    api: LambdaClient, aliased: str, operation: str
) -> None:
    call = getattr(api, f"{operation}_function_url_config")
    more = {"AuthType": "NONE"} if operation in {"create", "update"} else {}
    missing = NO_FUNCTION if more else NO_CONFIG
    assert refused(call, FunctionName="doesnotexist", **more) == missing
    assert refused(call, FunctionName=arn("doesnotexist"), **more) == missing
    assert refused(call, FunctionName=aliased, Qualifier="v1", **more) == missing
    assert refused(call, FunctionName=f"{aliased}:v1", **more) == missing
    mismatch = {"FunctionName": f"{aliased}:other", "Qualifier": "urlalias"}
    assert refused(call, **mismatch, **more) == MISMATCH
    if operation != "create":
        assert refused(call, FunctionName=aliased, Qualifier="urlalias", **more) == NO_CONFIG


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("qualifier", ["1", "2", "$LATEST"])
def test_only_aliases_are_qualifiers(
    api: LambdaClient, aliased: str, operation: str, qualifier: str
) -> None:
    call = getattr(api, f"{operation}_function_url_config")
    more = {"AuthType": "NONE"} if operation in {"create", "update"} else {}
    expected = (
        "ValidationException",
        400,
        (
            f"1 validation error detected: Value '{qualifier}' at 'qualifier' failed to satisfy"
            r" constraint: Member must satisfy regular expression pattern:"
            r" ((?!^\d+$)^[0-9a-zA-Z-_]+$)"
        ),
    )
    assert refused(call, FunctionName="doesnotexist", Qualifier=qualifier, **more) == expected
    assert refused(call, FunctionName=aliased, Qualifier=qualifier, **more) == expected


def test_an_invoke_mode_that_there_is_not_is_refused_with_those_that_there_are(
    api: LambdaClient, aliased: str
) -> None:
    answer = refused(
        api.create_function_url_config, FunctionName=aliased, AuthType="NONE", InvokeMode="UNKNOWN"
    )
    assert answer == (
        "ValidationException",
        400,
        (
            "1 validation error detected: Value 'UNKNOWN' at 'invokeMode' failed to satisfy"
            " constraint: Member must satisfy enum value set: [RESPONSE_STREAM, BUFFERED]"
        ),
    )


def test_lists_come_in_pages_that_begin_with_their_marker(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    api.publish_version(FunctionName=name)
    api.create_alias(FunctionName=name, Name="urlalias", FunctionVersion="1")
    assert refused(api.list_function_url_configs, FunctionName="doesnotexist") == NO_FUNCTION
    assert bare(api.list_function_url_configs(FunctionName=name)) == {"FunctionUrlConfigs": []}
    of_function = api.create_function_url_config(FunctionName=name, AuthType="NONE")
    of_alias = api.create_function_url_config(
        FunctionName=f"{name}:urlalias", Qualifier="urlalias", AuthType="NONE"
    )
    assert of_alias["FunctionArn"] == arn(name, "urlalias")
    assert of_alias["FunctionUrl"] != of_function["FunctionUrl"]
    every: Any = api.list_function_url_configs(FunctionName=name, MaxItems=2)
    expected = [
        bare(api.get_function_url_config(FunctionName=name)),
        bare(api.get_function_url_config(FunctionName=name, Qualifier="urlalias")),
    ]
    assert bare(every) == {"FunctionUrlConfigs": expected}
    first: Any = api.list_function_url_configs(FunctionName=arn(name), MaxItems=1)
    assert first["FunctionUrlConfigs"] == expected[:1]
    second: Any = api.list_function_url_configs(
        FunctionName=name, MaxItems=1, Marker=first["NextMarker"]
    )
    assert bare(second) == {"FunctionUrlConfigs": expected[1:]}
    assert first["NextMarker"] == arn(name, "urlalias")
    pages = api.get_paginator("list_function_url_configs").paginate(
        FunctionName=name, PaginationConfig={"PageSize": 1}
    )
    assert [item["FunctionArn"] for page in pages for item in page["FunctionUrlConfigs"]] == [
        arn(name),
        arn(name, "urlalias"),
    ]


def test_a_configuration_goes_with_its_function(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    api.create_function_url_config(FunctionName=name, AuthType="NONE")
    api.delete_function(FunctionName=name)
    assert refused(api.get_function_url_config, FunctionName=name) == NO_CONFIG
    create(api, SOURCE, name)
    assert refused(api.get_function_url_config, FunctionName=name) == NO_CONFIG


def test_a_url_outlives_its_alias(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    api.publish_version(FunctionName=name)
    api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    made = api.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="NONE")
    api.delete_alias(FunctionName=name, Name="live")
    kept = api.get_function_url_config(FunctionName=name, Qualifier="live")
    assert kept["FunctionUrl"] == made["FunctionUrl"]
    api.delete_function_url_config(FunctionName=name, Qualifier="live")
    assert refused(api.get_function_url_config, FunctionName=name, Qualifier="live") == NO_CONFIG


def test_accounts_and_regions_never_see_each_other(
    process_server: LiveServer, api: LambdaClient
) -> None:
    name = create(api, SOURCE)
    api.create_function_url_config(FunctionName=name, AuthType="NONE")
    elsewhere = process_server.client(region="eu-west-1")
    assert refused(elsewhere.get_function_url_config, FunctionName=name) == NO_CONFIG
    assert refused(elsewhere.get_function_url_config, FunctionName=arn(name)) == (
        "ResourceNotFoundException",
        404,
        "Functions from 'us-east-1' are not reachable in this region ('eu-west-1')",
    )
    other = process_server.client(account="111111111111")
    assert refused(other.delete_function_url_config, FunctionName=name) == NO_CONFIG
    code, number, _ = refused(other.get_function_url_config, FunctionName=arn(name))
    assert (code, number) == ("AccessDeniedException", 403)
    create(elsewhere, SOURCE, name)
    made = elsewhere.create_function_url_config(FunctionName=name, AuthType="NONE")
    assert ".lambda-url.eu-west-1.localhost:" in made["FunctionUrl"]


def test_of_many_creates_at_a_time_one_succeeds(api: LambdaClient) -> None:
    name = create(api, SOURCE)

    def attempt(_: int) -> str:
        try:
            made = api.create_function_url_config(FunctionName=name, AuthType="NONE")
        except ClientError as error:
            return str(error.response.get("Error", {}).get("Code"))
        return made["FunctionUrl"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, range(8)))
    kept = api.get_function_url_config(FunctionName=name)["FunctionUrl"]
    assert sorted(answers) == sorted([kept, *["ResourceConflictException"] * 7])

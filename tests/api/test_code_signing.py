"""Code signing configurations through boto3: AWS's answers, texts and rules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError
from functions_under_test import create, fresh_name
from live import ROLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from live import LiveServer
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

SOURCE = "def handler(event, context): return 1"
PUBLISHERS: Any = {
    "SigningProfileVersionArns": ["arn:aws:signer:us-east-1:000000000000:/signing-profiles/test"]
}
MISSING = "arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-0123456789abcdefx"
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000")


def refused(call: Any, **members: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    answer: Any = caught.value.response
    return {
        "Code": answer["Error"]["Code"],
        "Status": answer["ResponseMetadata"]["HTTPStatusCode"],
        "Message": answer["Error"]["Message"],
        "Type": answer.get("Type"),
    }


def not_found(arn: str) -> dict[str, Any]:
    return {
        "Code": "ResourceNotFoundException",
        "Status": 404,
        "Message": f"The Lambda code signing configuration {arn} can not be found.",
        "Type": None,
    }


def bare(answer: Any) -> Any:
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def status(answer: Any) -> int:
    code: int = answer["ResponseMetadata"]["HTTPStatusCode"]
    return code


@pytest.fixture
def config(api: LambdaClient) -> Iterator[str]:
    """The ARN of a configuration."""
    made = api.create_code_signing_config(AllowedPublishers=PUBLISHERS)["CodeSigningConfig"]
    yield made["CodeSigningConfigArn"]
    api.delete_code_signing_config(CodeSigningConfigArn=made["CodeSigningConfigArn"])


@pytest.fixture(scope="module")
def name(process_server: LiveServer) -> str:
    return create(process_server.client(), SOURCE)


def test_a_configuration_lives_as_on_aws(api: LambdaClient, name: str) -> None:
    revision = api.get_function_configuration(FunctionName=name)["RevisionId"]
    made: Any = api.create_code_signing_config(
        Description="Testing CodeSigning Config",
        AllowedPublishers=PUBLISHERS,
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )
    assert status(made) == 201
    config = made["CodeSigningConfig"]
    arn = config["CodeSigningConfigArn"]
    assert re.fullmatch(r"csc-[a-z0-9]{17}", config["CodeSigningConfigId"])
    assert DATE.fullmatch(config["LastModified"])
    assert bare(made) == {
        "CodeSigningConfig": {
            "AllowedPublishers": PUBLISHERS,
            "CodeSigningConfigArn": "arn:aws:lambda:us-east-1:000000000000:code-signing-config:"
            + config["CodeSigningConfigId"],
            "CodeSigningConfigId": config["CodeSigningConfigId"],
            "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Enforce"},
            "Description": "Testing CodeSigning Config",
            "LastModified": config["LastModified"],
        }
    }
    updated: Any = api.update_code_signing_config(
        CodeSigningConfigArn=arn, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Warn"}
    )
    assert updated["CodeSigningConfig"] == {
        **config,
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"},
        "LastModified": updated["CodeSigningConfig"]["LastModified"],
    }
    got = api.get_code_signing_config(CodeSigningConfigArn=arn)
    assert bare(got) == bare(updated)

    put: Any = api.put_function_code_signing_config(
        CodeSigningConfigArn=arn, FunctionName=f"000000000000:function:{name}"
    )
    assert bare(put) == {"CodeSigningConfigArn": arn, "FunctionName": name}
    assert status(put) == 200
    assert bare(api.get_function_code_signing_config(FunctionName=name)) == bare(put)
    listed = api.list_code_signing_configs()["CodeSigningConfigs"]
    assert updated["CodeSigningConfig"] in listed
    users: Any = api.list_functions_by_code_signing_config(CodeSigningConfigArn=arn)
    function = api.get_function_configuration(FunctionName=name)
    assert bare(users) == {"FunctionArns": [function["FunctionArn"]]}
    assert function["RevisionId"] == revision

    in_use = refused(api.delete_code_signing_config, CodeSigningConfigArn=arn)
    assert (in_use["Code"], in_use["Status"]) == ("ResourceConflictException", 409)
    assert status(api.delete_function_code_signing_config(FunctionName=name)) == 204
    assert status(api.delete_code_signing_config(CodeSigningConfigArn=arn)) == 204
    assert refused(api.get_code_signing_config, CodeSigningConfigArn=arn) == not_found(arn)


def test_policies_are_warn_by_default_and_tags_are_not_part_of_the_answer(
    api: LambdaClient,
) -> None:
    made: Any = api.create_code_signing_config(AllowedPublishers=PUBLISHERS, Tags={"a": "b"})
    config = made["CodeSigningConfig"]
    arn = config["CodeSigningConfigArn"]
    assert config["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}
    assert "Tags" not in config
    assert api.list_tags(Resource=arn)["Tags"] == {"a": "b"}
    untouched: Any = api.update_code_signing_config(CodeSigningConfigArn=arn)
    same = {"LastModified": untouched["CodeSigningConfig"]["LastModified"]}
    assert untouched["CodeSigningConfig"] == {**config, **same}
    assert api.list_tags(Resource=arn)["Tags"] == {"a": "b"}
    api.delete_code_signing_config(CodeSigningConfigArn=arn)
    refusal = refused(
        api.create_code_signing_config, AllowedPublishers=PUBLISHERS, Tags={"aws:x": "y"}
    )
    assert refusal["Code"] == "InvalidParameterValueException"


def test_what_is_missing_is_told_in_the_words_of_the_operation(
    api: LambdaClient, name: str, config: str
) -> None:
    for call in (
        api.get_code_signing_config,
        api.update_code_signing_config,
        api.delete_code_signing_config,
        api.list_functions_by_code_signing_config,
    ):
        assert refused(call, CodeSigningConfigArn=MISSING) == not_found(MISSING)
    no_config = {
        "Code": "CodeSigningConfigNotFoundException",
        "Status": 404,
        "Message": "The code signing configuration cannot be found. Check that the provided"
        f" configuration is not deleted: {MISSING}.",
        "Type": "User",
    }
    no_function = {
        "Code": "ResourceNotFoundException",
        "Status": 404,
        "Message": "Function not found:"
        " arn:aws:lambda:us-east-1:000000000000:function:csc-test-doesnotexist",
        "Type": "User",
    }
    put = api.put_function_code_signing_config
    unknown = "csc-test-doesnotexist"
    assert refused(put, FunctionName=name, CodeSigningConfigArn=MISSING) == no_config
    assert refused(put, FunctionName=unknown, CodeSigningConfigArn=MISSING) == no_config
    assert refused(put, FunctionName=unknown, CodeSigningConfigArn=config) == no_function
    assert refused(api.get_function_code_signing_config, FunctionName=unknown) == no_function
    assert refused(api.delete_function_code_signing_config, FunctionName=unknown) == no_function


def test_a_function_without_a_configuration_has_an_empty_answer(
    api: LambdaClient, name: str, config: str
) -> None:
    assert status(api.delete_function_code_signing_config(FunctionName=name)) == 204
    assert bare(api.get_function_code_signing_config(FunctionName=name)) == {}
    users = api.list_functions_by_code_signing_config(CodeSigningConfigArn=config)
    assert bare(users) == {"FunctionArns": []}


def test_the_body_of_a_404_says_message_with_a_capital_letter(process_server: LiveServer) -> None:
    path = f"/2020-04-22/code-signing-configs/{MISSING}"
    answer = httpx.get(process_server.url + path, timeout=60)
    assert answer.json() == {
        "Message": f"The Lambda code signing configuration {MISSING} can not be found."
    }
    assert answer.headers["x-amzn-ErrorType"] == "ResourceNotFoundException"
    put = httpx.put(
        f"{process_server.url}/2020-06-30/functions/fn/code-signing-config",
        json={"CodeSigningConfigArn": MISSING},
        timeout=60,
    )
    assert set(put.json()) == {"Type", "Message"}


def test_lists_come_in_pages(process_server: LiveServer) -> None:
    api = process_server.client(region="eu-central-1")
    arns = sorted(
        api.create_code_signing_config(AllowedPublishers=PUBLISHERS)["CodeSigningConfig"][
            "CodeSigningConfigArn"
        ]
        for _ in range(3)
    )
    configs = api.get_paginator("list_code_signing_configs").paginate(
        PaginationConfig={"PageSize": 2}
    )
    pages = [
        [one["CodeSigningConfigArn"] for one in page["CodeSigningConfigs"]] for page in configs
    ]
    assert pages == [arns[:2], arns[2:]]
    names = sorted(create(api, SOURCE) for _ in range(2))
    for name in names:
        api.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=arns[0])
    users = api.get_paginator("list_functions_by_code_signing_config").paginate(
        CodeSigningConfigArn=arns[0], PaginationConfig={"PageSize": 1}
    )
    found = [arn.rpartition(":")[2] for page in users for arn in page["FunctionArns"]]
    assert found == names
    api.delete_function(FunctionName=names[0])
    left = api.list_functions_by_code_signing_config(CodeSigningConfigArn=arns[0])["FunctionArns"]
    assert [arn.rpartition(":")[2] for arn in left] == names[1:]


def test_accounts_and_regions_never_see_each_other(
    process_server: LiveServer, api: LambdaClient, config: str
) -> None:
    api.get_code_signing_config(CodeSigningConfigArn=config)
    for other in (
        process_server.client(region="eu-west-1"),
        process_server.client(account="111111111111"),
    ):
        refusal = refused(other.get_code_signing_config, CodeSigningConfigArn=config)
        assert refusal == not_found(config)
        found = other.list_code_signing_configs()["CodeSigningConfigs"]
        assert config not in [one["CodeSigningConfigArn"] for one in found]


def test_functions_of_images_cannot_be_signed(api: LambdaClient, config: str) -> None:
    name = fresh_name()
    api.create_function(
        FunctionName=name,
        PackageType="Image",
        Role=ROLE,
        Code={"ImageUri": "000000000000.dkr.ecr.us-east-1.amazonaws.com/repository:tag"},
    )
    text = "Code signing is not supported for functions created with container images."
    for call, more in (
        (api.put_function_code_signing_config, {"CodeSigningConfigArn": config}),
        (api.get_function_code_signing_config, {}),
        (api.delete_function_code_signing_config, {}),
    ):
        refusal = refused(call, FunctionName=name, **more)
        assert (refusal["Code"], refusal["Message"]) == ("InvalidParameterValueException", text)
    api.delete_function(FunctionName=name)

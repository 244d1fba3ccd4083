"""Stacks of SAM, CloudFormation and CDK as calls, and the waiters of SDKs and of the AWS CLI.

Code lies in S3; states last a moment, as on AWS, so that what waits really has to. What
CloudFormation reads of a function is what the permissions of its resource types name. CDK's quick
deployments: `cdk deploy --hotswap`; SAM's: `sam sync --code`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import WaiterError
from functions_under_test import QUICK_WAITER, fresh_name, invoke
from live import ROLE, LiveServer, zip_of
from other_services import other_services, service
from polling import is_gone, refusal, states_until, until_gone

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

ACCOUNT = "arn:aws:lambda:us-east-1:000000000000"
BUCKET = "cdk-hnb659fds-assets-000000000000-us-east-1"
TRANSITION_S = 0.2


def returning(value: int) -> bytes:
    return zip_of({"lambda_function.py": f"def handler(event, context):\n    return {value}\n"})


@pytest.fixture(scope="module")
def cloud() -> Iterator[tuple[LiveServer, Any]]:
    """A server, and the S3 client that assets are uploaded with."""
    with other_services() as url:
        s3 = service("s3", url)
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        settings = {
            "LAMBDA_HOME_AWS__ENDPOINTS__S3": url,
            "LAMBDA_HOME_FUNCTIONS__TRANSITION_MS": f"{TRANSITION_S * 1000:.0f}",
            "LAMBDA_HOME_SPARES__MOST": "0",
        }
        with LiveServer("--sandbox", "process", "--ephemeral", environment=settings) as live:
            yield live, s3


@pytest.fixture
def aws(cloud: tuple[LiveServer, Any]) -> LambdaClient:
    """boto3 at the server."""
    return cloud[0].client()


def asset(cloud: tuple[LiveServer, Any], package: bytes) -> Any:
    """Upload a package as SAM and CDK do: under a name that its content decides."""
    key = f"{hashlib.sha256(package).hexdigest()}.zip"
    stored = cloud[1].put_object(Bucket=BUCKET, Key=key, Body=package)
    return {"S3Bucket": BUCKET, "S3Key": key, "S3ObjectVersion": stored["VersionId"]}


def state(api: LambdaClient, name: str, member: str = "LastUpdateStatus") -> str:
    found: Any = api.get_function(FunctionName=name)["Configuration"]
    return str(found.get(member, ""))


def updated(api: LambdaClient, answer: Any) -> list[str]:
    """The states that were seen until an update was through."""
    name, first = answer["FunctionName"], answer["LastUpdateStatus"]
    return states_until(lambda: state(api, name), "Successful", first)


def create_function(api: LambdaClient, name: str, code: dict[str, Any], **members: Any) -> None:
    """Create AWS::Lambda::Function: the call, and the wait until it is stable."""
    request: dict[str, Any] = {
        "FunctionName": name,
        "Runtime": "python3.11",
        "Handler": "lambda_function.handler",
        "Role": ROLE,
        "Code": code,
        **members,
    }
    made: Any = api.create_function(**request)
    assert (made["State"], made["StateReasonCode"]) == ("Pending", "Creating")
    seen = states_until(lambda: state(api, name, "State"), "Active", made["State"])
    assert seen == ["Pending", "Active"]


def read_function(api: LambdaClient, name: str) -> dict[str, Any]:
    """Read AWS::Lambda::Function."""
    found: Any = api.get_function(FunctionName=name)
    runtime: Any = api.get_runtime_management_config(FunctionName=name)
    recursion: Any = api.get_function_recursion_config(FunctionName=name)
    signing = api.get_function_code_signing_config(FunctionName=name)
    return {
        "tags": found.get("Tags"),
        "memory": found["Configuration"]["MemorySize"],
        "variables": found["Configuration"].get("Environment", {}).get("Variables"),
        "runtime updates": runtime["UpdateRuntimeOn"],
        "recursion": recursion["RecursiveLoop"],
        "code signing": signing.get("CodeSigningConfigArn"),
    }


# ---------------------------------------------------------------------------------------- stacks


def test_a_sam_stack_with_an_alias_is_made_changed_and_deleted(
    cloud: tuple[LiveServer, Any], aws: LambdaClient
) -> None:
    name = fresh_name("sam")
    function: Any = {"FunctionName": name}
    alias: Any = {**function, "Name": "live"}
    on_alias: Any = {**function, "Qualifier": "live"}
    arn = f"{ACCOUNT}:function:{name}"
    create_function(aws, name, asset(cloud, returning(1)), Tags={"lambda:createdBy": "SAM"})
    assert read_function(aws, name) == {
        "tags": {"lambda:createdBy": "SAM"},
        "memory": 128,
        "variables": None,
        "runtime updates": "Auto",
        "recursion": "Terminate",
        "code signing": None,
    }

    version: Any = aws.publish_version(**function)
    assert version["FunctionArn"] == f"{arn}:1"
    aws.create_alias(**alias, FunctionVersion=version["Version"])
    aws.add_permission(
        **on_alias,
        StatementId=f"{name}-Api-Permission",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
        SourceArn="arn:aws:execute-api:us-east-1:000000000000:abcdefghij/*/GET/",
    )
    aws.put_function_event_invoke_config(**on_alias, MaximumRetryAttempts=1)
    mapping: Any = aws.create_event_source_mapping(
        FunctionName=f"{arn}:live", EventSourceArn=f"arn:aws:sqs:us-east-1:000000000000:{name}"
    )
    uuid = mapping["UUID"]
    states_until(
        lambda: str(aws.get_event_source_mapping(UUID=uuid)["State"]), "Enabled", mapping["State"]
    )
    aws.create_function_url_config(**on_alias, AuthType="AWS_IAM")
    assert invoke(aws, f"{arn}:live").payload == 1

    answer = aws.update_function_configuration(
        **function, MemorySize=256, Environment={"Variables": {"STAGE": "test"}}
    )
    assert updated(aws, answer) == ["InProgress", "Successful"]
    answer = aws.update_function_code(**function, **asset(cloud, returning(2)))
    assert updated(aws, answer) == ["InProgress", "Successful"]
    aws.tag_resource(Resource=arn, Tags={"team": "blue"})
    aws.untag_resource(Resource=arn, TagKeys=["lambda:createdBy"])
    read = read_function(aws, name)
    assert (read["tags"], read["memory"]) == ({"team": "blue"}, 256)
    assert read["variables"] == {"STAGE": "test"}

    assert aws.publish_version(**function)["Version"] == "2"
    # CodeDeploy moves the traffic.
    aws.update_alias(**alias, RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}})
    aws.update_alias(**alias, FunctionVersion="2", RoutingConfig={})
    assert invoke(aws, name, Qualifier="live").payload == 2
    assert aws.get_policy(**on_alias)["Policy"].count(f"{arn}:live") == 1

    delete_sam_stack(aws, name, uuid)


def delete_sam_stack(api: LambdaClient, name: str, uuid: str) -> None:
    """What was made is taken away in the opposite order."""
    function: Any = {"FunctionName": name}
    on_alias: Any = {**function, "Qualifier": "live"}
    api.delete_function_url_config(**on_alias)
    api.delete_event_source_mapping(UUID=uuid)
    until_gone(api.get_event_source_mapping, UUID=uuid)
    api.delete_function_event_invoke_config(**on_alias)
    api.remove_permission(**on_alias, StatementId=f"{name}-Api-Permission")
    api.delete_alias(**function, Name="live")
    for number in ("2", "1"):
        api.delete_function(**function, Qualifier=number)
        assert is_gone(api.get_function_configuration, **function, Qualifier=number)
    api.delete_function(**function)
    assert is_gone(api.get_function, **function)


def test_a_stack_whose_code_is_missing_in_s3_rolls_back(aws: LambdaClient) -> None:
    name = fresh_name("sam")
    status, code, message = refusal(
        aws.create_function,
        FunctionName=name,
        Runtime="python3.11",
        Handler="lambda_function.handler",
        Role=ROLE,
        Code={"S3Bucket": BUCKET, "S3Key": "nowhere.zip"},
    )
    assert (status, code) == (400, "InvalidParameterValueException")
    assert "NoSuchKey" in message
    assert is_gone(aws.get_function, FunctionName=name)
    assert is_gone(aws.delete_function, FunctionName=name)  # what the rollback does


def test_a_replaced_function_lives_beside_its_successor(
    cloud: tuple[LiveServer, Any], aws: LambdaClient
) -> None:
    """A change that needs replacement: the new one is made before the old one goes."""
    package = returning(3)  # once: a ZIP has the time of its making
    code = asset(cloud, package)
    old, new = fresh_name("cfn"), fresh_name("cfn")
    for name in (old, new):
        create_function(aws, name, code)
    aws.delete_function(FunctionName=old)
    assert is_gone(aws.get_function, FunctionName=old)
    location = aws.get_function(FunctionName=new)["Code"]["Location"]
    with urllib.request.urlopen(location) as answer:
        assert answer.read() == package
    aws.delete_function(FunctionName=new)


def test_a_cdk_stack_with_a_layer_and_provisioned_concurrency(
    cloud: tuple[LiveServer, Any], aws: LambdaClient
) -> None:
    name, layer = fresh_name("cdk"), fresh_name("layer")
    shared: Any = aws.publish_layer_version(
        LayerName=layer,
        Content=asset(cloud, zip_of({"python/shared.py": "VALUE = 4\n"})),
        CompatibleRuntimes=["python3.11"],
    )
    number = shared["Version"]
    granted: Any = {"LayerName": layer, "VersionNumber": number, "StatementId": "everyone"}
    aws.add_layer_version_permission(
        **granted, Action="lambda:GetLayerVersion", Principal="*", OrganizationId="o-0123456789"
    )
    code = "import shared\n\ndef handler(event, context):\n    return shared.VALUE\n"
    create_function(
        aws,
        name,
        asset(cloud, zip_of({"lambda_function.py": code})),
        Layers=[shared["LayerVersionArn"]],
    )
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    version: Any = aws.publish_version(FunctionName=name)["Version"]
    of: Any = {"FunctionName": name, "Qualifier": version}
    assert aws.get_function_configuration(**of)["Version"] == version
    put: Any = aws.put_provisioned_concurrency_config(**of, ProvisionedConcurrentExecutions=1)
    states_until(
        lambda: str(aws.get_provisioned_concurrency_config(**of)["Status"]), "READY", put["Status"]
    )
    assert invoke(aws, name, Qualifier=version).payload == 4

    aws.delete_provisioned_concurrency_config(**of)
    aws.delete_function(FunctionName=name)
    aws.remove_layer_version_permission(**granted)
    aws.delete_layer_version(LayerName=layer, VersionNumber=number)
    assert is_gone(aws.get_layer_version, LayerName=layer, VersionNumber=number)


def test_a_hotswap_changes_code_configuration_version_and_alias(
    cloud: tuple[LiveServer, Any], aws: LambdaClient
) -> None:
    name = fresh_name("cdk")
    create_function(aws, name, asset(cloud, returning(5)), Publish=True)
    aws.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    code: Any = {
        key: item for key, item in asset(cloud, returning(6)).items() if "Version" not in key
    }
    waiter = aws.get_waiter("function_updated_v2")
    aws.update_function_code(FunctionName=name, **code)
    waiter.wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    aws.update_function_configuration(FunctionName=name, Description="hot")
    waiter.wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    version: Any = aws.publish_version(FunctionName=name)["Version"]
    aws.update_alias(FunctionName=name, Name="live", FunctionVersion=version)
    assert version == "2"
    assert invoke(aws, name, Qualifier="live").payload == 6
    aws.delete_function(FunctionName=name)


def test_sam_sync_sends_code_alone(cloud: tuple[LiveServer, Any], aws: LambdaClient) -> None:
    name = fresh_name("sam")
    create_function(aws, name, asset(cloud, returning(7)))
    for value in (8, 9):
        answer = aws.update_function_code(FunctionName=name, ZipFile=returning(value))
        assert updated(aws, answer) == ["InProgress", "Successful"]
        assert invoke(aws, name).payload == value
    aws.delete_function(FunctionName=name)


# --------------------------------------------------------------------------------------- waiters


def new_function(api: LambdaClient, **members: Any) -> str:
    """A function that is still Pending."""
    name = fresh_name("wait")
    api.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="lambda_function.handler",
        Role=ROLE,
        Code={"ZipFile": returning(0)},
        **members,
    )
    return name


@pytest.mark.parametrize("waiter", ["function_active", "function_active_v2"])
def test_waiters_wait_until_a_function_is_active(aws: LambdaClient, waiter: Any) -> None:
    began = time.monotonic()
    name = new_function(aws)
    aws.get_waiter(waiter).wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    assert time.monotonic() - began > TRANSITION_S
    assert state(aws, name, "State") == "Active"


@pytest.mark.parametrize("waiter", ["function_updated", "function_updated_v2"])
def test_waiters_wait_until_an_update_is_through(aws: LambdaClient, waiter: Any) -> None:
    name = new_function(aws)
    aws.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    began = time.monotonic()
    aws.update_function_configuration(FunctionName=name, Timeout=9)
    aws.get_waiter(waiter).wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    assert time.monotonic() - began > TRANSITION_S
    assert state(aws, name) == "Successful"


def test_the_waiter_for_versions_waits_until_one_is_active(aws: LambdaClient) -> None:
    began = time.monotonic()
    of: Any = {"FunctionName": new_function(aws, Publish=True), "Qualifier": "1"}
    aws.get_waiter("published_version_active").wait(**of, WaiterConfig=QUICK_WAITER)
    assert time.monotonic() - began > TRANSITION_S
    assert aws.get_function_configuration(**of)["State"] == "Active"


def test_the_waiter_for_existence_waits_until_somebody_makes_the_function(
    cloud: tuple[LiveServer, Any], aws: LambdaClient
) -> None:
    name = fresh_name("wait")
    waiter = cloud[0].client().get_waiter("function_exists")
    with pytest.raises(WaiterError, match="Max attempts exceeded"):
        waiter.wait(FunctionName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 3})
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(waiter.wait, FunctionName=name, WaiterConfig=QUICK_WAITER)
        assert not waiting.done()
        create_function(aws, name, {"ZipFile": returning(0)})
        waiting.result(timeout=60)


def test_waiters_fail_at_once_where_there_is_no_function(aws: LambdaClient) -> None:
    waiters: Any = ("function_active_v2", "function_updated_v2", "published_version_active")
    for waiter in waiters:
        with pytest.raises(WaiterError, match="ResourceNotFoundException"):
            aws.get_waiter(waiter).wait(FunctionName=fresh_name("no"))


def test_the_aws_cli_waits(cloud: tuple[LiveServer, Any], aws: LambdaClient) -> None:
    """`aws lambda wait`, for a new function and for one that is updated."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ACCESS_KEY_ID": "000000000000",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    program = Path(sys.executable).with_name("aws")
    command = [str(program), "--endpoint-url", cloud[0].url, "lambda", "wait"]
    changed, new = new_function(aws), new_function(aws)
    aws.update_function_configuration(FunctionName=changed, Timeout=9)
    running = [
        subprocess.Popen(
            [*command, waiter, "--function-name", name],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for waiter, name in (
            ("function-active-v2", new),
            ("function-updated-v2", changed),
        )
    ]
    told = [process.communicate(timeout=100)[0] for process in running]
    assert told == ["", ""]
    assert [process.returncode for process in running] == [0, 0]
    assert (state(aws, new, "State"), state(aws, changed)) == ("Active", "Successful")

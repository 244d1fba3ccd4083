"""The calls that Terraform's AWS provider makes for its Lambda resources, in its order.

Create, the reads after it, a plan that must find no difference, update, destroy, and the read that
must find nothing. Source: internal/service/lambda of hashicorp/terraform-provider-aws. States last
a moment, as on AWS, so that what polls really has to wait.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from functions_under_test import fresh_name
from live import ROLE, LiveServer, zip_of
from polling import bare, is_gone, refusal, states_until, until_gone

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

ACCOUNT = "arn:aws:lambda:us-east-1:000000000000"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:{}"
FIRST = zip_of({"lambda_function.py": "def handler(event, context):\n    return 1\n"})
SECOND = zip_of({"lambda_function.py": "def handler(event, context):\n    return 2\n"})
PROFILE = "arn:aws:signer:us-east-1:000000000000:/signing-profiles/example/abcdefghij"
NO_FAILURE: Any = {"OnFailure": {}, "OnSuccess": {}}
MOST_VERSIONS = 10_000


@pytest.fixture(scope="module")
def terraform() -> Iterator[LambdaClient]:
    """boto3 at a server whose functions stay Pending and InProgress for a moment."""
    settings = {"LAMBDA_HOME_FUNCTIONS__TRANSITION_MS": "200", "LAMBDA_HOME_SPARES__MOST": "0"}
    with LiveServer("--sandbox", "process", "--ephemeral", environment=settings) as live:
        yield live.client()


def state_of(api: LambdaClient, name: str, member: str) -> str:
    found: Any = api.get_function(FunctionName=name)["Configuration"]
    return str(found.get(member, ""))


def apply_function(api: LambdaClient, name: str, **members: Any) -> list[str]:
    """Create aws_lambda_function; the states that were seen until it could be used."""
    request: dict[str, Any] = {
        "FunctionName": name,
        "Role": ROLE,
        "Runtime": "python3.11",
        "Handler": "lambda_function.handler",
        "Code": {"ZipFile": FIRST},
        "Description": "",
        "MemorySize": 128,
        "Timeout": 3,
        "Publish": False,
        "PackageType": "Zip",
        **members,
    }
    made: Any = api.create_function(**request)
    return states_until(lambda: state_of(api, name, "State"), "Active", made["State"])


def read_function(api: LambdaClient, name: str) -> dict[str, Any]:
    """What a refresh of aws_lambda_function keeps."""
    found: Any = api.get_function(FunctionName=name)
    config = found["Configuration"]
    newest: Any = {}
    for page in api.get_paginator("list_versions_by_function").paginate(
        FunctionName=config["FunctionName"], PaginationConfig={"PageSize": MOST_VERSIONS}
    ):
        newest = page["Versions"][-1]
    signing = api.get_function_code_signing_config(FunctionName=name)
    return {
        "reserved": found.get("Concurrency", {}).get("ReservedConcurrentExecutions", -1),
        "tags": found.get("Tags", {}),
        "arn": config["FunctionArn"],
        "hash": config["CodeSha256"],
        "size": config["CodeSize"],
        "description": config["Description"],
        "memory": config["MemorySize"],
        "timeout": config["Timeout"],
        "variables": config.get("Environment", {}).get("Variables"),
        "dead_letters": config.get("DeadLetterConfig", {}).get("TargetArn"),
        "layers": [layer["Arn"] for layer in config.get("Layers", [])],
        "subnets": config.get("VpcConfig", {}).get("SubnetIds", []),
        "tracing": config["TracingConfig"]["Mode"],
        "version": newest["Version"],
        "qualified_arn": newest["FunctionArn"],
        "code_signing": signing.get("CodeSigningConfigArn", ""),
    }


def configure(api: LambdaClient, name: str, **members: Any) -> list[str]:
    return updated(api, api.update_function_configuration(FunctionName=name, **members))


def updated(api: LambdaClient, answer: Any) -> list[str]:
    """The states that were seen until an update was through."""
    name, first = answer["FunctionName"], answer["LastUpdateStatus"]
    return states_until(lambda: state_of(api, name, "LastUpdateStatus"), "Successful", first)


def destroy_function(api: LambdaClient, name: str) -> None:
    api.delete_function(FunctionName=name)
    until_gone(api.get_function, FunctionName=name)


@pytest.fixture
def function(terraform: LambdaClient) -> Iterator[str]:
    """A published function, for the resources that hang on one."""
    name = fresh_name("tf")
    apply_function(terraform, name, Publish=True)
    yield name
    destroy_function(terraform, name)


def test_function(terraform: LambdaClient) -> None:
    name = fresh_name("tf")
    tags = {"stage": "test"}
    assert apply_function(terraform, name, Publish=True, Tags=tags) == ["Pending", "Active"]
    terraform.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    created = read_function(terraform, name)
    assert created == {
        "reserved": 2,
        "tags": tags,
        "arn": f"{ACCOUNT}:function:{name}",
        "hash": base64.b64encode(hashlib.sha256(FIRST).digest()).decode(),
        "size": len(FIRST),
        "description": "",
        "memory": 128,
        "timeout": 3,
        "variables": None,
        "dead_letters": None,
        "layers": [],
        "subnets": [],
        "tracing": "PassThrough",
        "version": "1",
        "qualified_arn": f"{ACCOUNT}:function:{name}:1",
        "code_signing": "",
    }
    assert read_function(terraform, name) == created  # a plan without changes

    terraform.untag_resource(Resource=created["arn"], TagKeys=["stage"])
    terraform.tag_resource(Resource=created["arn"], Tags={"team": "blue"})
    seen = configure(
        terraform,
        name,
        Description="second",
        MemorySize=256,
        Environment={"Variables": {"STAGE": "test"}},
        DeadLetterConfig={"TargetArn": QUEUE.format("dead")},
        TracingConfig={"Mode": "Active"},
    )
    assert seen == ["InProgress", "Successful"]
    changed = terraform.update_function_code(
        FunctionName=name, ZipFile=SECOND, Architectures=["x86_64"]
    )
    assert updated(terraform, changed) == ["InProgress", "Successful"]
    terraform.delete_function_concurrency(FunctionName=name)
    published: Any = terraform.publish_version(FunctionName=name)
    terraform.get_waiter("function_updated").wait(
        FunctionName=published["FunctionArn"],
        Qualifier=published["Version"],
        WaiterConfig={"Delay": 0, "MaxAttempts": 20_000},
    )
    assert read_function(terraform, name) == created | {
        "reserved": -1,
        "tags": {"team": "blue"},
        "hash": base64.b64encode(hashlib.sha256(SECOND).digest()).decode(),
        "size": len(SECOND),
        "description": "second",
        "memory": 256,
        "variables": {"STAGE": "test"},
        "dead_letters": QUEUE.format("dead"),
        "tracing": "Active",
        "version": "2",
        "qualified_arn": f"{ACCOUNT}:function:{name}:2",
    }
    destroy_function(terraform, name)


def test_blocks_that_are_removed_from_a_function_are_sent_empty(terraform: LambdaClient) -> None:
    name = fresh_name("tf")
    layer: Any = terraform.publish_layer_version(
        LayerName=fresh_name("layer"), Description="", LicenseInfo="", Content={"ZipFile": FIRST}
    )
    apply_function(
        terraform,
        name,
        Environment={"Variables": {"STAGE": "test"}},
        DeadLetterConfig={"TargetArn": QUEUE.format("dead")},
        Layers=[layer["LayerVersionArn"]],
        VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
    )
    before = read_function(terraform, name)
    assert before["layers"] == [layer["LayerVersionArn"]]
    assert before["subnets"] == ["subnet-1"]
    configure(
        terraform,
        name,
        Environment={"Variables": {}},
        DeadLetterConfig={"TargetArn": ""},
        Layers=[],
        FileSystemConfigs=[],
        KMSKeyArn="",
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
    )
    after = read_function(terraform, name)
    gone: Any = {"dead_letters": None, "layers": [], "subnets": []}
    assert {**after, "variables": None} == before | gone | {"variables": None}
    assert not after["variables"]
    destroy_function(terraform, name)


def test_a_function_with_code_signing(terraform: LambdaClient, function: str) -> None:
    """aws_lambda_code_signing_config, and code_signing_config_arn of the function."""
    publishers: Any = {"SigningProfileVersionArns": [PROFILE]}
    made: Any = terraform.create_code_signing_config(AllowedPublishers=publishers, Description="")
    arn = made["CodeSigningConfig"]["CodeSigningConfigArn"]
    read = terraform.get_code_signing_config(CodeSigningConfigArn=arn)["CodeSigningConfig"]
    assert read == made["CodeSigningConfig"]
    assert read["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}

    terraform.put_function_code_signing_config(FunctionName=function, CodeSigningConfigArn=arn)
    assert read_function(terraform, function)["code_signing"] == arn
    terraform.update_code_signing_config(
        CodeSigningConfigArn=arn, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"}
    )
    read = terraform.get_code_signing_config(CodeSigningConfigArn=arn)["CodeSigningConfig"]
    assert read["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Enforce"}
    assert read["AllowedPublishers"] == publishers

    terraform.delete_function_code_signing_config(FunctionName=function)
    assert read_function(terraform, function)["code_signing"] == ""
    terraform.delete_code_signing_config(CodeSigningConfigArn=arn)
    assert is_gone(terraform.get_code_signing_config, CodeSigningConfigArn=arn)


def test_alias(terraform: LambdaClient, function: str) -> None:
    request: Any = {"FunctionName": function, "Name": "live", "FunctionVersion": "1"}
    terraform.create_alias(**request, Description="", RoutingConfig={})
    key: Any = {"FunctionName": function, "Name": "live"}
    read: Any = terraform.get_alias(**key)
    assert (read["FunctionVersion"], read["Description"]) == ("1", "")
    assert "RoutingConfig" not in read

    updated(terraform, terraform.update_function_code(FunctionName=function, ZipFile=SECOND))
    terraform.publish_version(FunctionName=function)
    weights: Any = {"AdditionalVersionWeights": {"2": 0.25}}
    terraform.update_alias(**request, Description="shifting", RoutingConfig=weights)
    read = terraform.get_alias(**key)
    assert (read["Description"], read["RoutingConfig"]) == ("shifting", weights)
    terraform.update_alias(**request | {"FunctionVersion": "2"}, Description="", RoutingConfig={})
    read = terraform.get_alias(**key)
    assert (read["FunctionVersion"], read["Description"]) == ("2", "")
    assert "RoutingConfig" not in read

    terraform.delete_alias(**key)
    status, code, message = refusal(terraform.get_alias, **key)
    assert (status, code) == (404, "ResourceNotFoundException")
    assert "Cannot find alias arn" in message  # the provider looks for these words


def statement_of(api: LambdaClient, sid: str, **of: str) -> dict[str, Any] | None:
    """The statement that a refresh of aws_lambda_permission looks for."""
    if is_gone(api.get_policy, **of):
        return None
    policy = json.loads(api.get_policy(FunctionName=of.pop("FunctionName"), **of)["Policy"])
    found: list[dict[str, Any]] = [one for one in policy["Statement"] if one["Sid"] == sid]
    return found[0] if found else None


@pytest.mark.parametrize("qualifier", [{}, {"Qualifier": "live"}], ids=["function", "alias"])
def test_permission(terraform: LambdaClient, function: str, qualifier: Any) -> None:
    terraform.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    of: Any = {"FunctionName": function, **qualifier}
    resource = ":".join([f"{ACCOUNT}:function:{function}", *qualifier.values()])
    for sid, more in (
        ("bucket", {"Principal": "s3.amazonaws.com", "SourceArn": "arn:aws:s3:::example"}),
        ("account", {"Principal": "111122223333"}),
    ):
        request: Any = {"StatementId": sid, "Action": "lambda:InvokeFunction", **more}
        terraform.add_permission(**request, **of)
    assert statement_of(terraform, "bucket", **of) == {
        "Sid": "bucket",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": resource,
        "Condition": {"ArnLike": {"AWS:SourceArn": "arn:aws:s3:::example"}},
    }
    account = statement_of(terraform, "account", **of)
    assert account is not None
    assert account["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}

    for sid in ("bucket", "account"):
        terraform.remove_permission(FunctionName=function, StatementId=sid, **qualifier)
        assert statement_of(terraform, sid, **of) is None
    assert is_gone(terraform.get_policy, **of)
    assert is_gone(terraform.remove_permission, StatementId="account", **of)


def test_layer_version(terraform: LambdaClient) -> None:
    name = fresh_name("layer")
    made: Any = terraform.publish_layer_version(
        LayerName=name,
        Description="",
        LicenseInfo="",
        Content={"ZipFile": FIRST},
        CompatibleRuntimes=["python3.11"],
    )
    key: Any = {"LayerName": name, "VersionNumber": int(made["LayerVersionArn"].split(":")[-1])}
    read: Any = terraform.get_layer_version(**key)
    assert read["LayerVersionArn"] == made["LayerVersionArn"]
    assert read["LayerArn"] == f"{ACCOUNT}:layer:{name}"
    assert read["Content"]["CodeSha256"] == made["Content"]["CodeSha256"]
    assert read["CompatibleRuntimes"] == ["python3.11"]
    assert (read.get("Description", ""), read.get("LicenseInfo", "")) == ("", "")
    terraform.delete_layer_version(**key)
    assert is_gone(terraform.get_layer_version, **key)


def test_function_url(terraform: LambdaClient, function: str) -> None:
    terraform.create_function_url_config(FunctionName=function, AuthType="NONE")
    public: Any = {
        "FunctionName": function,
        "StatementId": "FunctionURLAllowPublicAccess",
        "Action": "lambda:InvokeFunctionUrl",
        "Principal": "*",
        "FunctionUrlAuthType": "NONE",
    }
    terraform.add_permission(**public)
    status, code, message = refusal(terraform.add_permission, **public)
    assert (status, code) == (409, "ResourceConflictException")
    # The provider takes this for success.
    assert "The statement id (FunctionURLAllowPublicAccess) provided already exists" in message
    calls: Any = {
        "FunctionName": function,
        "StatementId": "FunctionURLAllowInvokeAction",
        "Action": "lambda:InvokeFunction",
        "Principal": "*",
        "InvokedViaFunctionUrl": True,
    }
    terraform.add_permission(**calls)
    read: Any = terraform.get_function_url_config(FunctionName=function)
    assert (read["AuthType"], read["InvokeMode"]) == ("NONE", "BUFFERED")
    assert "Cors" not in read
    host = urlsplit(read["FunctionUrl"]).hostname or ""
    assert len(host.split(".")[0]) == 32  # url_id

    cors: Any = {"AllowCredentials": True, "AllowOrigins": ["https://example.com"], "MaxAge": 60}
    terraform.update_function_url_config(FunctionName=function, AuthType="AWS_IAM", Cors=cors)
    after: Any = terraform.get_function_url_config(FunctionName=function)
    assert (after["AuthType"], after["Cors"]) == ("AWS_IAM", cors)
    assert after["FunctionUrl"] == read["FunctionUrl"]
    terraform.delete_function_url_config(FunctionName=function)
    assert is_gone(terraform.get_function_url_config, FunctionName=function)
    for permission in (public, calls):
        sid = permission["StatementId"]
        terraform.remove_permission(FunctionName=function, StatementId=sid)


def test_event_source_mapping(terraform: LambdaClient, function: str) -> None:
    def state() -> str:
        return str(terraform.get_event_source_mapping(UUID=uuid)["State"])

    pattern = json.dumps({"body": {"kind": ["order"]}})
    made: Any = terraform.create_event_source_mapping(
        FunctionName=function, EventSourceArn=QUEUE.format(function), Enabled=True
    )
    uuid = made["UUID"]
    assert states_until(state, "Enabled", made["State"]) == ["Creating", "Enabled"]
    read: Any = terraform.get_event_source_mapping(UUID=uuid)
    assert read["FunctionArn"] == f"{ACCOUNT}:function:{function}"
    assert (read["BatchSize"], read["FunctionResponseTypes"]) == (10, [])

    changed: Any = terraform.update_event_source_mapping(
        UUID=uuid, BatchSize=5, FilterCriteria={"Filters": [{"Pattern": pattern}]}
    )
    assert states_until(state, "Enabled", changed["State"]) == ["Updating", "Enabled"]
    read = terraform.get_event_source_mapping(UUID=uuid)
    assert (read["BatchSize"], read["FilterCriteria"]["Filters"]) == (5, [{"Pattern": pattern}])
    changed = terraform.update_event_source_mapping(UUID=uuid, Enabled=False, FilterCriteria={})
    assert states_until(state, "Disabled", changed["State"]) == ["Disabling", "Disabled"]
    assert "FilterCriteria" not in terraform.get_event_source_mapping(UUID=uuid)

    assert terraform.delete_event_source_mapping(UUID=uuid)["State"] == "Deleting"
    until_gone(terraform.get_event_source_mapping, UUID=uuid)
    assert is_gone(terraform.delete_event_source_mapping, UUID=uuid)


def test_function_event_invoke_config(terraform: LambdaClient, function: str) -> None:
    of: Any = {"FunctionName": function, "Qualifier": "1"}
    terraform.put_function_event_invoke_config(**of, MaximumRetryAttempts=2)
    read = bare(terraform.get_function_event_invoke_config(**of))
    assert read["MaximumRetryAttempts"] == 2
    assert read["DestinationConfig"] == NO_FAILURE  # the provider reads this as "no block"
    failures: Any = {"OnFailure": {"Destination": QUEUE.format("failures")}}
    terraform.put_function_event_invoke_config(
        **of, MaximumRetryAttempts=0, MaximumEventAgeInSeconds=60, DestinationConfig=failures
    )
    read = bare(terraform.get_function_event_invoke_config(**of))
    assert (read["MaximumRetryAttempts"], read["MaximumEventAgeInSeconds"]) == (0, 60)
    assert read["DestinationConfig"]["OnFailure"] == failures["OnFailure"]
    assert read["FunctionArn"] == f"{ACCOUNT}:function:{function}:1"
    terraform.delete_function_event_invoke_config(**of)
    assert is_gone(terraform.get_function_event_invoke_config, **of)
    assert is_gone(terraform.delete_function_event_invoke_config, **of)


def test_provisioned_concurrency_config(terraform: LambdaClient, function: str) -> None:
    def status() -> str:
        return str(terraform.get_provisioned_concurrency_config(**of)["Status"])

    terraform.create_alias(FunctionName=function, Name="live", FunctionVersion="1")
    of: Any = {"FunctionName": function, "Qualifier": "live"}
    for count in (1, 2):
        made: Any = terraform.put_provisioned_concurrency_config(
            **of, ProvisionedConcurrentExecutions=count
        )
        assert made["Status"] == "IN_PROGRESS"
        states_until(status, "READY", made["Status"])
        read: Any = terraform.get_provisioned_concurrency_config(**of)
        assert read["AllocatedProvisionedConcurrentExecutions"] == count
        assert read["RequestedProvisionedConcurrentExecutions"] == count
    terraform.delete_provisioned_concurrency_config(**of)
    found = refusal(terraform.get_provisioned_concurrency_config, **of)
    assert found[:2] == (404, "ProvisionedConcurrencyConfigNotFoundException")
    terraform.delete_provisioned_concurrency_config(**of)

"""Where code comes from, what must exist for a function, and the states it goes through."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import PYTHON, QUICK_WAITER, create, fresh_name, invoke
from live import ROLE, LiveServer, zip_of
from other_services import other_services, service

from lambda_home.packager.architectures import native
from lambda_home.packager.entrypoints import this_machine

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

NATIVE = [native(this_machine())]
pytestmark = pytest.mark.process

SOURCE = "def handler(event, context):\n    return 'one'\n"
TRANSITION_S = 1.0


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with other_services() as url:
        yield url


@pytest.fixture(scope="module")
def strict(aws: str) -> Iterator[LiveServer]:
    """States last, and are strict; other services are there."""
    environment = {
        "LAMBDA_HOME_FUNCTIONS__TRANSITION_MS": str(int(TRANSITION_S * 1000)),
        "LAMBDA_HOME_FUNCTIONS__STRICT_STATES": "true",
        "LAMBDA_HOME_FUNCTIONS__CHECK_ROLES": "true",
        "LAMBDA_HOME_AWS__ENDPOINT_URL": aws,
    }
    iam = service("iam", aws)
    iam.create_role(RoleName="lambda-role", AssumeRolePolicyDocument=json.dumps({}))
    with LiveServer("--ephemeral", "--sandbox", "process", environment=environment) as server:
        yield server


@pytest.fixture(scope="module")
def client(strict: LiveServer) -> LambdaClient:
    return strict.client()


def refused(call: Any, **members: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        call(**members)
    error: Any = caught.value.response["Error"]
    return error["Code"], error["Message"]


def basics(**members: Any) -> dict[str, Any]:
    return {
        "FunctionName": fresh_name(),
        "Runtime": PYTHON,
        "Handler": "lambda_function.handler",
        "Role": ROLE,
        "Code": {"ZipFile": zip_of({"lambda_function.py": SOURCE})},
        **members,
    }


def test_code_comes_from_s3_in_the_version_that_was_asked_for(
    client: LambdaClient, aws: str
) -> None:
    s3 = service("s3", aws)
    s3.create_bucket(Bucket="code")
    s3.put_bucket_versioning(Bucket="code", VersioningConfiguration={"Status": "Enabled"})
    old = zip_of({"lambda_function.py": SOURCE})
    new = zip_of({"lambda_function.py": SOURCE.replace("one", "two")})
    first = s3.put_object(Bucket="code", Key="a/b.zip", Body=old)["VersionId"]
    s3.put_object(Bucket="code", Key="a/b.zip", Body=new)
    place: Any = {"S3Bucket": "code", "S3Key": "a/b.zip"}
    made = client.create_function(**basics(Code={**place, "S3ObjectVersion": first}))
    name = made["FunctionName"]
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    assert made["CodeSize"] == len(old)
    assert invoke(client, name).payload == "one"
    client.update_function_code(FunctionName=name, **place)
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    assert invoke(client, name).payload == "two"
    location = client.get_function(FunctionName=name)["Code"]["Location"]
    with urllib.request.urlopen(location) as answer:
        assert answer.read() == new


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (
            {"S3Bucket": "nowhere-at-all", "S3Key": "k"},
            (
                "Error occurred while GetObject. S3 Error Code: NoSuchBucket. S3 Error Message: The"
                " specified bucket does not exist"
            ),
        ),
        (
            {"S3Bucket": "present", "S3Key": "no/key"},
            (
                "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The"
                " specified key does not exist."
            ),
        ),
        ({"S3Bucket": "present", "S3Key": "text"}, "Could not unzip uploaded file. Please check"),
        ({"S3Bucket": "present"}, "Please provide both S3Bucket and S3Key."),
        ({}, "Please provide a source for function code."),
        (
            {"S3Bucket": "present", "S3Key": "text", "ZipFile": b"x"},
            "Please do not provide other FunctionCode parameters when providing a ZipFile.",
        ),
    ],
)
def test_code_that_cannot_be_had_is_refused(
    client: LambdaClient, aws: str, place: dict[str, Any], text: str
) -> None:
    s3 = service("s3", aws)
    s3.create_bucket(Bucket="present")
    s3.put_object(Bucket="present", Key="text", Body=b"no zip")
    request = basics(Code=place)
    code, message = refused(client.create_function, **request)
    assert code == "InvalidParameterValueException"
    assert message.startswith(text)
    assert refused(client.get_function, FunctionName=request["FunctionName"])[0] == (
        "ResourceNotFoundException"
    )


def test_a_zip_in_s3_may_be_larger_than_an_upload(client: LambdaClient, aws: str) -> None:
    s3 = service("s3", aws)
    s3.create_bucket(Bucket="large")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("lambda_function.py", SOURCE)
        archive.writestr("data", bytes(53_000_000))
    s3.put_object(Bucket="large", Key="k", Body=buffer.getvalue())
    made = client.create_function(**basics(Code={"S3Bucket": "large", "S3Key": "k"}))
    assert made["CodeSize"] > 53_000_000
    client.delete_function(FunctionName=made["FunctionName"])


def test_a_container_image_is_kept_with_its_digest_and_runs_in_docker_only(
    client: LambdaClient,
) -> None:
    digest = "ab" * 32
    request = basics(
        PackageType="Image",
        Code={"ImageUri": f"host/repo@sha256:{digest}"},
        ImageConfig={"Command": ["app.handler"], "WorkingDirectory": "/srv"},
    )
    del request["Runtime"], request["Handler"]
    made: Any = client.create_function(**request)
    name = made["FunctionName"]
    assert made["CodeSha256"] == digest
    assert made["PackageType"] == "Image"
    assert made["ImageConfigResponse"] == {"ImageConfig": request["ImageConfig"]}
    assert not {"Runtime", "Handler", "RuntimeVersionConfig"} & made.keys()
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    code, message = refused(client.invoke, FunctionName=name)
    assert code == "InvalidRuntimeException"
    assert "container images run in Docker only" in message
    client.update_function_code(FunctionName=name, ImageUri="host:5000/other:tag")
    got: Any = client.get_function(FunctionName=name)["Code"]
    assert got["ImageUri"] == "host:5000/other:tag"
    assert got["ResolvedImageUri"].startswith("host:5000/other@sha256:")
    assert got["RepositoryType"] == "ECR"


def test_an_image_in_ecr_has_the_digest_that_ecr_knows(client: LambdaClient, aws: str) -> None:
    ecr = service("ecr", aws)
    uri = ecr.create_repository(repositoryName="repo")["repository"]["repositoryUri"]
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    config = {"digest": "sha256:" + "0" * 64, "mediaType": kind, "size": 1}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": kind, "config": config})
    put = ecr.put_image(repositoryName="repo", imageManifest=manifest, imageTag="v1")
    digest = put["image"]["imageId"]["imageDigest"].removeprefix("sha256:")
    request = basics(PackageType="Image", Code={"ImageUri": f"{uri}:v1"})
    del request["Runtime"], request["Handler"]
    assert client.create_function(**request)["CodeSha256"] == digest
    missing = f"{uri}:v2"
    code = {"ImageUri": missing}
    assert refused(
        client.create_function, **{**request, "FunctionName": fresh_name(), "Code": code}
    ) == (
        "InvalidParameterValueException",
        f"Source image {missing} does not exist. Provide a valid source image.",
    )


def test_subnets_and_groups_must_exist_where_there_is_ec2(client: LambdaClient, aws: str) -> None:
    ec2 = service("ec2", aws)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    config = {"SubnetIds": [subnet], "SecurityGroupIds": [group]}
    made: Any = client.create_function(**basics(VpcConfig=config))
    shown = {**config, "VpcId": vpc, "Ipv6AllowedForDualStack": False}
    assert made["VpcConfig"] == shown
    name = made["FunctionName"]
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    emptied: Any = client.update_function_configuration(
        FunctionName=name, VpcConfig={"SubnetIds": [], "SecurityGroupIds": []}
    )
    assert emptied["VpcConfig"] == {
        "SubnetIds": [],
        "SecurityGroupIds": [],
        "VpcId": "",
        "Ipv6AllowedForDualStack": False,
    }
    missing = {**config, "SubnetIds": ["subnet-0123456789abcdef0"]}
    assert refused(client.create_function, **basics(VpcConfig=missing)) == (
        "InvalidParameterValueException",
        (
            "Error occurred while DescribeSubnets. EC2 Error Code: InvalidSubnetID.NotFound. EC2"
            " Error Message: The subnet ID 'subnet-0123456789abcdef0' does not exist"
        ),
    )
    missing = {**config, "SecurityGroupIds": ["sg-0123456789abcdef0"]}
    assert refused(client.create_function, **basics(VpcConfig=missing)) == (
        "InvalidParameterValueException",
        (
            "Error occurred while DescribeSecurityGroups. EC2 Error Code: InvalidGroup.NotFound."
            " EC2 Error Message: The security group 'sg-0123456789abcdef0' does not exist"
        ),
    )
    alone = {"SubnetIds": [subnet]}
    assert refused(client.create_function, **basics(VpcConfig=alone)) == (
        "InvalidParameterValueException",
        "SubnetIds and SecurityIds must coexist or be both empty list.",
    )


def test_a_role_must_exist_where_a_setting_asks_for_it(client: LambdaClient) -> None:
    role = "arn:aws:iam::000000000000:role/path/none"
    assert refused(client.create_function, **basics(Role=role)) == (
        "InvalidParameterValueException",
        "The role defined for the function cannot be assumed by Lambda.",
    )
    role = "arn:aws:iam::111111111111:role/lambda-role"
    assert refused(client.create_function, **basics(Role=role)) == (
        "AccessDeniedException",
        "Cross-account pass role is not allowed.",
    )


def test_states_last_and_are_strict(client: LambdaClient) -> None:
    made: Any = client.create_function(**basics())
    name, arn = made["FunctionName"], made["FunctionArn"]
    assert made["State"] == "Pending"
    pending = (
        "The operation cannot be performed at this time. The function is currently in the"
        " following state: Pending"
    )
    conflict = "ResourceConflictException"
    assert refused(client.invoke, FunctionName=name) == (conflict, pending)
    assert refused(client.publish_version, FunctionName=name) == (conflict, pending)
    assert refused(client.update_function_configuration, FunctionName=name, Timeout=5) == (
        conflict,
        pending,
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    updated: Any = client.update_function_configuration(FunctionName=name, Timeout=5)
    assert updated["LastUpdateStatus"] == "InProgress"
    busy = (
        "The operation cannot be performed at this time. An update is in progress for resource:"
        f" {arn}"
    )
    code = zip_of({"lambda_function.py": SOURCE})
    assert refused(client.update_function_code, FunctionName=name, ZipFile=code) == (conflict, busy)
    assert refused(client.publish_version, FunctionName=name) == (conflict, busy)
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    assert client.publish_version(FunctionName=name)["State"] == "Active"


def test_without_an_s3_endpoint_the_error_says_what_to_set(api: LambdaClient) -> None:
    code, message = refused(
        api.create_function, **basics(Code={"S3Bucket": "bucket", "S3Key": "k"})
    )
    assert code == "InvalidParameterValueException"
    assert "set endpoint_url in [aws], or s3 in [aws.endpoints]" in message


def test_subnets_are_taken_as_they_are_where_there_is_no_ec2(api: LambdaClient) -> None:
    config: Any = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    made: Any = api.create_function(**basics(VpcConfig=config))
    assert made["VpcConfig"]["SubnetIds"] == ["subnet-1"]
    assert made["VpcConfig"]["VpcId"].startswith("vpc-")
    assert api.list_functions()["Functions"]


def test_a_key_that_a_zip_is_encrypted_with_is_shown_again(api: LambdaClient) -> None:
    key = "arn:aws:kms:us-east-1:000000000000:key/0123"
    request = basics()
    request["Code"] = {**request["Code"], "SourceKMSKeyArn": key}
    name = api.create_function(**request)["FunctionName"]
    assert api.get_function(FunctionName=name)["Code"]["SourceKMSKeyArn"] == key


def test_a_dry_run_changes_nothing(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    before: Any = api.get_function_configuration(FunctionName=name)
    code = zip_of({"lambda_function.py": "# other"})
    tried: Any = api.update_function_code(FunctionName=name, ZipFile=code, DryRun=True)
    assert tried["CodeSha256"] != before["CodeSha256"]
    after: Any = api.get_function_configuration(FunctionName=name)
    assert after["CodeSha256"] == before["CodeSha256"]
    assert after["RevisionId"] == before["RevisionId"]


def test_a_function_on_managed_instances_has_a_latest_published_version(
    api: LambdaClient,
) -> None:
    provider: Any = api.create_capacity_provider(
        CapacityProviderName=fresh_name("provider"),
        VpcConfig={"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]},
        PermissionsConfig={"CapacityProviderOperatorRoleArn": ROLE},
    )
    managed = {
        "CapacityProviderArn": provider["CapacityProvider"]["CapacityProviderArn"],
        "PerExecutionEnvironmentMaxConcurrency": 1,
    }
    config: Any = {"LambdaManagedInstancesCapacityProviderConfig": managed}
    source = "def handler(event, context):\n    return context.function_version\n"
    name = create(api, source, CapacityProviderConfig=config)
    assert api.get_function_configuration(FunctionName=name)["MemorySize"] == 2048
    first: Any = api.publish_version(FunctionName=name, PublishTo="LATEST_PUBLISHED")
    assert first["Version"] == "$LATEST.PUBLISHED"
    assert first["FunctionArn"].endswith(f":{name}:$LATEST.PUBLISHED")
    assert invoke(api, name).payload == "$LATEST.PUBLISHED"
    api.update_function_configuration(FunctionName=name, Description="changed")
    second: Any = api.publish_version(FunctionName=name, PublishTo="LATEST_PUBLISHED")
    assert second["Description"] == "changed"
    assert second["RevisionId"] != first["RevisionId"]
    assert api.publish_version(FunctionName=name)["Version"] == "1"
    versions = [v["Version"] for v in api.list_versions_by_function(FunctionName=name)["Versions"]]
    assert versions == ["$LATEST", "1", "$LATEST.PUBLISHED"]
    api.delete_function(FunctionName=name, Qualifier="$LATEST.PUBLISHED")
    assert len(api.list_versions_by_function(FunctionName=name)["Versions"]) == 2


def test_only_functions_on_managed_instances_have_it(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    code, message = refused(api.publish_version, FunctionName=name, PublishTo="LATEST_PUBLISHED")
    assert code == "InvalidParameterValueException"
    assert "CapacityProviderConfig" in message


def test_runtime_management_is_kept_by_version(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    api.publish_version(FunctionName=name)
    default: Any = api.get_runtime_management_config(FunctionName=name)
    assert default["UpdateRuntimeOn"] == "Auto"
    assert default["FunctionArn"].endswith(f":function:{name}")
    arn = api.get_function_configuration(FunctionName=name)["RuntimeVersionConfig"]
    put: Any = api.put_runtime_management_config(
        FunctionName=name,
        Qualifier="1",
        UpdateRuntimeOn="Manual",
        RuntimeVersionArn=arn["RuntimeVersionArn"],
    )
    assert put["UpdateRuntimeOn"] == "Manual"
    got: Any = api.get_runtime_management_config(FunctionName=name, Qualifier="1")
    assert got["RuntimeVersionArn"] == arn["RuntimeVersionArn"]
    assert api.get_runtime_management_config(FunctionName=name)["UpdateRuntimeOn"] == "Auto"
    code, _ = refused(
        api.put_runtime_management_config, FunctionName=name, UpdateRuntimeOn="Manual"
    )
    assert code == "InvalidParameterValueException"
    code, _ = refused(api.get_runtime_management_config, FunctionName="nope")
    assert code == "ResourceNotFoundException"


def test_the_older_way_to_invoke_asynchronously_queues_the_event(api: LambdaClient) -> None:
    name = create(api, SOURCE)
    assert api.invoke_async(FunctionName=name, InvokeArgs=b'{"a": 1}')["Status"] == 202
    assert refused(api.invoke_async, FunctionName=name, InvokeArgs=b"{")[0] == (
        "InvalidRequestContentException"
    )
    assert refused(api.invoke_async, FunctionName="nope", InvokeArgs=b"{}")[0] == (
        "ResourceNotFoundException"
    )


def test_changes_of_one_function_at_once_never_mix(api: LambdaClient) -> None:
    """Each answer is a success or a conflict, and what is there in the end is one of the codes."""
    name = fresh_name()
    codes = [zip_of({"lambda_function.py": f"# {number}"}) for number in range(6)]
    hashes = {hashlib.sha256(code).digest() for code in codes}
    outcomes: list[str] = []

    def attempt(number: int) -> None:
        for act in (
            lambda: api.create_function(
                **basics(FunctionName=name, Code={"ZipFile": codes[number]})
            ),
            lambda: api.update_function_code(FunctionName=name, ZipFile=codes[number]),
            lambda: api.publish_version(FunctionName=name),
            lambda: api.delete_function(FunctionName=name) if number % 3 == 0 else None,
        ):
            try:
                act()
                outcomes.append("done")
            except ClientError as error:
                outcomes.append(error.response["Error"].get("Code", ""))

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(outcomes) <= {"done", "ResourceConflictException", "ResourceNotFoundException"}
    if name in {f["FunctionName"] for f in api.list_functions()["Functions"]}:
        left: Any = api.get_function(FunctionName=name)
        with urllib.request.urlopen(left["Code"]["Location"]) as answer:
            assert hashlib.sha256(answer.read()).digest() in hashes
        api.delete_function(FunctionName=name)


def test_code_for_a_foreign_architecture_is_refused_unless_it_is_portable(
    client: LambdaClient,
) -> None:
    foreign = "x86_64" if platform.machine() in ("aarch64", "arm64") else "arm64"
    request = basics(Architectures=[foreign])
    assert client.create_function(**request)["Architectures"] == [foreign]
    if this_machine().emulates:
        pytest.skip("this machine emulates others")
    own: Any = {**request, "FunctionName": fresh_name(), "Runtime": "provided.al2023"}
    code, message = refused(client.create_function, **own)
    assert code == "InvalidParameterValueException"
    assert "functions.ignore_architecture" in message
    made = client.create_function(**{**own, "Architectures": NATIVE})
    client.get_waiter("function_active_v2").wait(
        FunctionName=made["FunctionName"], WaiterConfig={"Delay": 0}
    )
    code, _ = refused(
        client.update_function_code,
        FunctionName=made["FunctionName"],
        Architectures=[foreign],
        **own["Code"],
    )
    assert code == "InvalidParameterValueException"

"""Capacity providers through boto3: states, defaults, rules of deletion."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import create, fresh_name
from live import LiveServer
from observing import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

SOURCE = "def handler(event, context): return 1"
NETWORK: Any = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
OPERATOR: Any = {"CapacityProviderOperatorRoleArn": "arn:aws:iam::000000000000:role/operator"}
POLICY: Any = {
    "PredefinedMetricType": "LambdaCapacityProviderAverageCPUUtilization",
    "TargetValue": 50.0,
}
HOLD_S = 1.5


def arn(name: str) -> str:
    return f"arn:aws:lambda:us-east-1:000000000000:capacity-provider:{name}"


def make(api: LambdaClient, name: str = "", **members: Any) -> Any:
    return api.create_capacity_provider(
        CapacityProviderName=name or fresh_name("cp"),
        VpcConfig=NETWORK,
        PermissionsConfig=OPERATOR,
        **members,
    )


def refused(call: Any, *arguments: Any, **members: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **members)
    answer: Any = caught.value.response
    return (
        answer["Error"]["Code"],
        answer["ResponseMetadata"]["HTTPStatusCode"],
        answer["Error"]["Message"],
    )


def not_found(name: str) -> tuple[str, int, str]:
    return ("ResourceNotFoundException", 404, f"Capacity provider not found: {arn(name)}")


def status(answer: Any) -> int:
    code: int = answer["ResponseMetadata"]["HTTPStatusCode"]
    return code


def running_on(provider: str) -> Any:
    return {"LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": provider}}


def test_a_provider_lives_from_pending_to_deleting(api: LambdaClient) -> None:
    name = fresh_name("cp")
    made = make(api, name, Tags={"a": "b"})
    assert status(made) == 202
    provider = made["CapacityProvider"]
    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}\+0000", provider["LastModified"])
    assert provider == {
        "CapacityProviderArn": arn(name),
        "State": "Pending",
        "VpcConfig": NETWORK,
        "PermissionsConfig": OPERATOR,
        "InstanceRequirements": {"Architectures": ["x86_64"]},
        "CapacityProviderScalingConfig": {"MaxVCpuCount": 400, "ScalingMode": "Auto"},
        "LastModified": provider["LastModified"],
    }
    active = {**provider, "State": "Active"}
    for named in (name, arn(name)):
        got: Any = api.get_capacity_provider(CapacityProviderName=named)
        assert got["CapacityProvider"] == active
    assert api.list_tags(Resource=arn(name))["Tags"] == {"a": "b"}
    assert refused(make, api, name)[:2] == ("ResourceConflictException", 409)

    scaling: Any = {"MaxVCpuCount": 30, "ScalingMode": "Manual", "ScalingPolicies": [POLICY]}
    updated: Any = api.update_capacity_provider(
        CapacityProviderName=arn(name), CapacityProviderScalingConfig=scaling
    )
    assert status(updated) == 202
    modified = updated["CapacityProvider"]["LastModified"]
    expected = {**active, "CapacityProviderScalingConfig": scaling, "LastModified": modified}
    assert updated["CapacityProvider"] == expected
    assert api.list_tags(Resource=arn(name))["Tags"] == {"a": "b"}

    deleted: Any = api.delete_capacity_provider(CapacityProviderName=name)
    assert status(deleted) == 202
    assert deleted["CapacityProvider"] == {**expected, "State": "Deleting"}
    assert refused(api.get_capacity_provider, CapacityProviderName=name) == not_found(name)
    assert make(api, name)["CapacityProvider"]["State"] == "Pending"  # the name is free again


def test_every_member_comes_back(api: LambdaClient) -> None:
    given: Any = {
        "InstanceRequirements": {"Architectures": ["arm64"], "AllowedInstanceTypes": ["m8g.*"]},
        "CapacityProviderScalingConfig": {"MaxVCpuCount": 30},
        "KmsKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k",
        "PropagateTags": {"Mode": "Explicit", "ExplicitTags": {"c": "d"}},
        "TelemetryConfig": {"LoggingConfig": {"SystemLogLevel": "WARN", "LogGroup": "/group"}},
    }
    name = fresh_name("cp")
    make(api, name, **given)
    got: Any = api.get_capacity_provider(CapacityProviderName=name)["CapacityProvider"]
    scaling = {"CapacityProviderScalingConfig": {"MaxVCpuCount": 30, "ScalingMode": "Auto"}}
    assert {member: got[member] for member in given} == {**given, **scaling}


@pytest.mark.parametrize("operation", ["get", "update", "delete"])
def test_a_provider_that_there_is_not_is_not_found(api: LambdaClient, operation: str) -> None:
    call = getattr(api, f"{operation}_capacity_provider")
    assert refused(call, CapacityProviderName="missing") == not_found("missing")
    assert refused(call, CapacityProviderName=arn("missing")) == not_found("missing")
    listing = api.list_function_versions_by_capacity_provider
    assert refused(listing, CapacityProviderName="missing") == not_found("missing")


def test_contradictions_are_refused_and_change_nothing(api: LambdaClient) -> None:
    name = fresh_name("cp")
    scaling: Any = {"ScalingMode": "Auto", "ScalingPolicies": [POLICY]}
    text = "A scaling policy can't be specified when the scalingMode is set to Auto."
    refusal = ("InvalidParameterValueException", 400, text)
    assert refused(make, api, name, CapacityProviderScalingConfig=scaling) == refusal
    assert refused(api.get_capacity_provider, CapacityProviderName=name) == not_found(name)
    made = make(api, name)["CapacityProvider"]
    update = api.update_capacity_provider
    members = {"CapacityProviderName": name, "CapacityProviderScalingConfig": scaling}
    assert refused(update, **members) == refusal
    kept: Any = api.get_capacity_provider(CapacityProviderName=name)["CapacityProvider"]
    assert kept == {**made, "State": "Active"}


def test_a_provider_with_function_versions_stays(api: LambdaClient) -> None:
    provider = fresh_name("cp")
    make(api, provider)
    name = create(
        api,
        SOURCE,
        Runtime="python3.13",
        MemorySize=2048,
        CapacityProviderConfig=running_on(arn(provider)),
    )
    for number in ("1", "2"):
        api.update_function_configuration(FunctionName=name, Description=number)
        assert api.publish_version(FunctionName=name)["Version"] == number
    function = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    listing = api.list_function_versions_by_capacity_provider
    found: Any = listing(CapacityProviderName=provider)
    assert found["CapacityProviderArn"] == arn(provider)
    assert "NextMarker" not in found
    assert [one["FunctionArn"] for one in found["FunctionVersions"]] == [
        f"{function}:{version}" for version in ("$LATEST", "1", "2")
    ]
    assert {one["State"] for one in found["FunctionVersions"]} <= {"Pending", "Active"}
    first: Any = listing(CapacityProviderName=provider, MaxItems=2)
    rest: Any = listing(CapacityProviderName=arn(provider), Marker=first["NextMarker"])
    assert first["FunctionVersions"] + rest["FunctionVersions"] == found["FunctionVersions"]

    assert refused(api.delete_capacity_provider, CapacityProviderName=provider) == (
        "ResourceConflictException",
        409,
        (
            "The capacity provider is currently in use by 1 functions. To delete this capacity"
            f" provider, first remove its association with {arn(provider)}."
        ),
    )
    api.delete_function(FunctionName=name)
    api.delete_capacity_provider(CapacityProviderName=provider)


def test_lists_come_in_pages_and_by_state(process_server: LiveServer) -> None:
    api = process_server.client(region="eu-central-1")
    for name in ("cp-c", "cp-a", "cp-b"):
        make(api, name)
    pages = [
        [one["CapacityProviderArn"].rpartition(":")[2] for one in page["CapacityProviders"]]
        for page in api.get_paginator("list_capacity_providers").paginate(
            PaginationConfig={"PageSize": 2}
        )
    ]
    assert pages == [["cp-a", "cp-b"], ["cp-c"]]
    assert len(api.list_capacity_providers(State="Active")["CapacityProviders"]) == 3
    assert api.list_capacity_providers(State="Failed")["CapacityProviders"] == []


def test_accounts_and_regions_never_see_each_other(
    process_server: LiveServer, api: LambdaClient
) -> None:
    name = fresh_name("cp")
    make(api, name)
    for other in (
        process_server.client(region="eu-west-1"),
        process_server.client(account="111111111111"),
    ):
        call = other.get_capacity_provider
        assert refused(call, CapacityProviderName=name)[1] == 404
        assert refused(call, CapacityProviderName=arn(name)) == not_found(name)
        found = other.list_capacity_providers()["CapacityProviders"]
        assert arn(name) not in [one["CapacityProviderArn"] for one in found]


@pytest.fixture(scope="module", params=[False, True], ids=["patient", "strict"])
def held(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LambdaClient, bool]]:
    """A server that holds states, and whether it is strict about them."""
    folder: Path = tmp_path_factory.mktemp("held")
    settings = folder / "settings.toml"
    settings.write_text(
        f"[functions]\ntransition_ms = {int(HOLD_S * 1000)}\n"
        f"strict_states = {str(request.param).lower()}\n"
    )
    with LiveServer("--sandbox", "process", "--ephemeral", "--config", str(settings)) as live:
        yield live.client(), request.param


def test_states_are_held(held: tuple[LambdaClient, bool]) -> None:
    api, strict = held

    def state() -> str | None:
        try:
            return api.get_capacity_provider(CapacityProviderName="cp")["CapacityProvider"]["State"]
        except ClientError:
            return None

    began = time.monotonic()
    make(api, "cp")
    assert state() == "Pending"
    if strict:
        refusal = refused(api.update_capacity_provider, CapacityProviderName="cp")
        assert refusal[:2] == ("ResourceConflictException", 409)
        until(lambda: state() == "Active", "it is never active")
    else:
        updated = api.update_capacity_provider(CapacityProviderName="cp")
        assert updated["CapacityProvider"]["State"] == "Active"
    assert time.monotonic() - began >= HOLD_S - 0.01

    api.delete_capacity_provider(CapacityProviderName="cp")
    assert state() == "Deleting"
    deleting = api.list_capacity_providers(State="Deleting")["CapacityProviders"]
    assert [one["State"] for one in deleting] == ["Deleting"]
    for call in (api.delete_capacity_provider, api.update_capacity_provider):
        assert refused(call, CapacityProviderName="cp")[0] == "ResourceConflictException"
    assert refused(make, api, "cp")[0] == "ResourceConflictException"
    until(lambda: state() is None, "it is never gone")
    assert api.list_capacity_providers()["CapacityProviders"] == []
    assert make(api, "cp")["CapacityProvider"]["State"] == "Pending"

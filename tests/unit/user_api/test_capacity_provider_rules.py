"""Capacity providers as documents: defaults, contradictions, states."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_home.arns import Scope
from lambda_home.errors import InvalidParameterValueException
from lambda_home.user_api import capacity_provider_rules as rules
from lambda_home.user_api.capacity_provider_rules import State

SCOPE = Scope("123456789012", "eu-west-1")
ARN = "arn:aws:lambda:eu-west-1:123456789012:capacity-provider:cp"
ROLE = {"CapacityProviderOperatorRoleArn": "arn:aws:iam::123456789012:role/r"}
NETWORK = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
REQUEST = {"VpcConfig": NETWORK, "PermissionsConfig": ROLE}
POLICY = {"PredefinedMetricType": "LambdaCapacityProviderAverageCPUUtilization", "TargetValue": 50}
MANUAL = {"MaxVCpuCount": 400, "ScalingMode": "Manual", "ScalingPolicies": [POLICY]}


def document(**given: Any) -> dict[str, Any]:
    return rules.new_document(SCOPE, "cp", {**REQUEST, **given})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("cp", ("cp", ARN)),
        (ARN, ("cp", ARN)),
        (ARN.replace("eu-west-1", "us-east-1"), ("", ARN.replace("eu-west-1", "us-east-1"))),
        (ARN.replace("123456789012", "0" * 12), ("", ARN.replace("123456789012", "0" * 12))),
    ],
)
def test_a_name_and_an_arn_name_the_same(given: str, expected: tuple[str, str]) -> None:
    assert rules.named(SCOPE, given) == expected


def test_a_new_provider_has_the_documented_defaults() -> None:
    assert document(Tags={}, KmsKeyArn=None) == {
        "CapacityProviderArn": ARN,
        **REQUEST,
        "InstanceRequirements": {"Architectures": ["x86_64"]},
        "CapacityProviderScalingConfig": {"MaxVCpuCount": 400, "ScalingMode": "Auto"},
    }
    given = document(
        InstanceRequirements={"ExcludedInstanceTypes": ["m5.*"]},
        CapacityProviderScalingConfig={"MaxVCpuCount": 30},
        Tags={"a": "b"},
    )
    assert given["InstanceRequirements"] == {
        "Architectures": ["x86_64"],
        "ExcludedInstanceTypes": ["m5.*"],
    }
    assert given["CapacityProviderScalingConfig"] == {"MaxVCpuCount": 30, "ScalingMode": "Auto"}
    assert given["Tags"] == {"a": "b"}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {
                "InstanceRequirements": {
                    "AllowedInstanceTypes": ["m5.large"],
                    "ExcludedInstanceTypes": ["m5.xlarge"],
                }
            },
            "only one of",
        ),
        ({"CapacityProviderScalingConfig": {"ScalingPolicies": [POLICY]}}, "set to Auto"),
        (
            {"CapacityProviderScalingConfig": {"ScalingMode": "Auto", "ScalingPolicies": [POLICY]}},
            "set to Auto",
        ),
        ({"PropagateTags": {"Mode": "Explicit"}}, "ExplicitTags is required"),
    ],
)
def test_members_that_contradict_each_other_are_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidParameterValueException, match=text):
        rules.check_request({**REQUEST, **given})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"CapacityProviderScalingConfig": MANUAL},
        {"InstanceRequirements": {"AllowedInstanceTypes": ["m5.*"], "ExcludedInstanceTypes": []}},
        {"PropagateTags": {"Mode": "Explicit", "ExplicitTags": {"a": "b"}}},
        {"PropagateTags": {"Mode": "None"}},
    ],
)
def test_members_that_fit_each_other_are_taken(given: dict[str, Any]) -> None:
    rules.check_request({**REQUEST, **given})


def test_an_update_may_give_policies_to_a_provider_that_scales_manually() -> None:
    given = {"CapacityProviderScalingConfig": {"ScalingPolicies": [POLICY]}}
    rules.check_request(given, document(CapacityProviderScalingConfig=MANUAL))
    with pytest.raises(InvalidParameterValueException):
        rules.check_request(given, document())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"CapacityProviderScalingConfig": MANUAL}),
        (
            {"CapacityProviderScalingConfig": {"MaxVCpuCount": 9}},
            {"CapacityProviderScalingConfig": {**MANUAL, "MaxVCpuCount": 9}},
        ),
        (
            {"CapacityProviderScalingConfig": {"ScalingMode": "Auto"}},
            {"CapacityProviderScalingConfig": {"MaxVCpuCount": 400, "ScalingMode": "Auto"}},
        ),
        (
            {"PropagateTags": {"Mode": "None"}, "TelemetryConfig": {"LoggingConfig": {}}},
            {"PropagateTags": {"Mode": "None"}, "TelemetryConfig": {"LoggingConfig": {}}},
        ),
    ],
)
def test_an_update_keeps_what_is_not_given(given: dict[str, Any], expected: dict[str, Any]) -> None:
    old = document(CapacityProviderScalingConfig=MANUAL)
    assert rules.changed_document(old, given) == {**old, **expected}


@pytest.mark.parametrize(
    ("state", "now", "hold_s", "expected"),
    [
        (State.PENDING, 100, 0, State.ACTIVE),
        (State.PENDING, 100, 5, State.PENDING),
        (State.PENDING, 104.9, 5, State.PENDING),
        (State.PENDING, 105, 5, State.ACTIVE),
        (State.PENDING, 99, 5, State.ACTIVE),  # the clock was set back
        (State.DELETING, 100, 5, State.DELETING),
        (State.DELETING, 105, 5, None),
        (State.DELETING, 100, 0, None),
    ],
)
def test_a_state_passes_with_time(
    state: State, now: float, hold_s: float, expected: State | None
) -> None:
    begun = rules.begun(document(), state, 100)
    assert rules.state_of(begun, now, hold_s) is expected
    assert rules.alive({"cp": begun}, now, hold_s) == ({"cp": expected} if expected else {})
    assert (rules.remaining_s(begun, now, hold_s) > 0) == (expected is state)


def test_an_answer_shows_the_state_and_neither_tags_nor_what_is_ours() -> None:
    begun = rules.begun(document(Tags={"a": "b"}), State.PENDING, 1)
    assert rules.shown(begun, State.ACTIVE) == {**document(), "State": "Active"}


@pytest.mark.parametrize(
    ("runtime", "concurrency"),
    [
        ("python3.13", 16),
        ("nodejs22.x", 64),
        ("java21", 32),
        ("dotnet8", 32),
        ("provided.al2023", 16),
    ],
)
def test_the_runtime_decides_the_default_concurrency(runtime: str, concurrency: int) -> None:
    config = {"LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": ARN}}
    assert rules.completed(config, runtime) == {
        "LambdaManagedInstancesCapacityProviderConfig": {
            "CapacityProviderArn": ARN,
            "ExecutionEnvironmentMemoryGiBPerVCpu": 2.0,
            "PerExecutionEnvironmentMaxConcurrency": concurrency,
        }
    }
    config["LambdaManagedInstancesCapacityProviderConfig"] |= {
        "PerExecutionEnvironmentMaxConcurrency": 1  # type: ignore[dict-item]
    }
    completed = rules.completed(config, runtime)["LambdaManagedInstancesCapacityProviderConfig"]
    assert completed["PerExecutionEnvironmentMaxConcurrency"] == 1


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ({}, None),
        ({"CapacityProviderConfig": {}}, None),
        (
            {
                "CapacityProviderConfig": {
                    "LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": ARN}
                }
            },
            ARN,
        ),
    ],
)
def test_a_version_runs_on_the_provider_of_its_configuration(
    documents: dict[str, Any], expected: str | None
) -> None:
    assert rules.provider_of(documents) == expected

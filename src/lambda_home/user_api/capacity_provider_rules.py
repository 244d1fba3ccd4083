"""Capacity providers as documents: making, changing, showing them, and their states; pure.

A document has the members that AWS shows except `State`, and beside them `Changing` (the change
that was made last: its `State`, and `Since` when, in seconds since the epoch) and `Tags`. The state
follows from these and the time, so that nothing has to run for a state to pass.

Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances-capacity-providers.html
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from lambda_home.arns import PARTITION, Scope
from lambda_home.errors import InvalidParameterValueException

Document = Mapping[str, Any]

MOST_PROVIDERS: Final = 1_000
"""Per account and region."""
MOST_VERSIONS: Final = 100
"""Function versions per provider."""

_STORED = (
    "VpcConfig",
    "PermissionsConfig",
    "InstanceRequirements",
    "CapacityProviderScalingConfig",
    "KmsKeyArn",
    "PropagateTags",
    "TelemetryConfig",
)
_OWN = frozenset({"Changing", "Tags"})
_ARCHITECTURES = {"Architectures": ["x86_64"]}
_SCALING = {"MaxVCpuCount": 400, "ScalingMode": "Auto"}
_MEMORY_GIB_PER_VCPU = 2.0
_CONCURRENCY = {"nodejs": 64, "java": 32, "dotnet": 32, "python": 16}
_OTHER_CONCURRENCY = 16


class State(StrEnum):
    """`State` of a capacity provider."""

    PENDING = "Pending"
    ACTIVE = "Active"
    DELETING = "Deleting"


def provider_arn(scope: Scope, name: str) -> str:
    """The ARN of a provider."""
    return f"arn:{PARTITION}:lambda:{scope.region}:{scope.account}:capacity-provider:{name}"


def named(scope: Scope, name_or_arn: str) -> tuple[str, str]:
    """The name and the ARN of what a request names; another world's ARN has no name here."""
    if not name_or_arn.startswith("arn:"):
        return name_or_arn, provider_arn(scope, name_or_arn)
    name = name_or_arn.rpartition(":")[2]
    return name if provider_arn(scope, name) == name_or_arn else "", name_or_arn


def check_request(given: Mapping[str, Any], document: Document | None = None) -> None:
    """Refuse a create, or an update of `document`, whose members contradict each other.

    Raises InvalidParameterValueException; its text about scaling was seen on AWS, the others are
    not recorded.
    """
    requirements = given.get("InstanceRequirements") or {}
    if requirements.get("AllowedInstanceTypes") and requirements.get("ExcludedInstanceTypes"):
        raise InvalidParameterValueException(
            "You can specify only one of AllowedInstanceTypes or ExcludedInstanceTypes."
        )
    scaling = given.get("CapacityProviderScalingConfig") or {}
    old = (document or {}).get("CapacityProviderScalingConfig") or _SCALING
    if scaling.get("ScalingPolicies") and {**old, **scaling}["ScalingMode"] == "Auto":
        raise InvalidParameterValueException(
            "A scaling policy can't be specified when the scalingMode is set to Auto."
        )
    propagated = given.get("PropagateTags") or {}
    if propagated.get("Mode") == "Explicit" and not propagated.get("ExplicitTags"):
        raise InvalidParameterValueException(
            "ExplicitTags is required when the mode of PropagateTags is Explicit."
        )


def new_document(scope: Scope, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A provider of a checked request, without its state: `begun` adds that."""
    members = {member: given[member] for member in _STORED if given.get(member) is not None}
    document = {
        "CapacityProviderArn": provider_arn(scope, name),
        **members,
        "InstanceRequirements": _ARCHITECTURES | _said(members.get("InstanceRequirements")),
        "CapacityProviderScalingConfig": (
            _SCALING | _said(members.get("CapacityProviderScalingConfig"))
        ),
    }
    if given.get("Tags"):
        document["Tags"] = dict(given["Tags"])
    return document


def changed_document(document: Document, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a checked update makes of a provider: what is not given stays.

    Policies belong to manual scaling, and go with it.
    """
    changed = dict(document)
    for member in ("PropagateTags", "TelemetryConfig"):
        if given.get(member) is not None:
            changed[member] = given[member]
    scaling = {
        **document["CapacityProviderScalingConfig"],
        **_said(given.get("CapacityProviderScalingConfig")),
    }
    if scaling["ScalingMode"] == "Auto":
        scaling.pop("ScalingPolicies", None)
    return {**changed, "CapacityProviderScalingConfig": scaling}


def begun(document: Document, state: State, now: float) -> dict[str, Any]:
    """A provider that goes through `state` from `now` on (seconds since the epoch)."""
    return {**document, "Changing": {"State": str(state), "Since": now}}


def remaining_s(document: Document, now: float, hold_s: float) -> float:
    """How long the change that is going on still takes, of `hold_s` seconds; 0 if none is.

    A clock that was set back ends it, instead of making it last for as long as that.
    """
    elapsed = now - float(document["Changing"]["Since"])
    return hold_s - elapsed if 0 <= elapsed < hold_s else 0


def state_of(document: Document, now: float, hold_s: float) -> State | None:
    """The state of a provider whose changes take `hold_s` seconds; None once it is gone."""
    changing = State(document["Changing"]["State"])
    if remaining_s(document, now, hold_s) > 0:
        return changing
    return None if changing is State.DELETING else State.ACTIVE


def alive(found: Mapping[str, Document], now: float, hold_s: float) -> dict[str, State]:
    """The states of those providers that are not gone, in their order."""
    states = {name: state_of(document, now, hold_s) for name, document in found.items()}
    return {name: state for name, state in states.items() if state is not None}


def shown(document: Document, state: State) -> dict[str, Any]:
    """A provider as AWS answers it."""
    members = {name: value for name, value in document.items() if name not in _OWN}
    return {**members, "State": str(state)}


def provider_of(documents: Mapping[str, Any]) -> str | None:
    """The ARN of the provider that a function version with these documents runs on."""
    config = documents.get("CapacityProviderConfig") or {}
    arn: str | None = _managed(config).get("CapacityProviderArn")
    return arn


def completed(config: Mapping[str, Any], runtime: str) -> dict[str, Any]:
    """`CapacityProviderConfig` of a function with AWS's defaults, which its runtime decides.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/lambda-managed-instances.html
    """
    family = runtime.rstrip("0123456789.x")
    defaults = {
        "ExecutionEnvironmentMemoryGiBPerVCpu": _MEMORY_GIB_PER_VCPU,
        "PerExecutionEnvironmentMaxConcurrency": _CONCURRENCY.get(family, _OTHER_CONCURRENCY),
    }
    return {"LambdaManagedInstancesCapacityProviderConfig": defaults | _said(_managed(config))}


def _managed(config: Mapping[str, Any]) -> Mapping[str, Any]:
    managed: Mapping[str, Any] = config.get("LambdaManagedInstancesCapacityProviderConfig") or {}
    return managed


def _said(members: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (members or {}).items() if value is not None}

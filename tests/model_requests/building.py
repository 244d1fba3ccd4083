"""Requests built from AWS's model of Lambda as botocore ships it: minimal ones and full ones.

`minimal` has the required members and nothing else, `full` has every member that the model knows,
both down to the last structure. The values satisfy the model's constraints. What they name
(functions, layers, queues) need not exist: the caller puts in the names of what does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from botocore.loaders import Loader
from botocore.model import ServiceModel
from live import ROLE, zip_of

REGION: Final = "us-east-1"
ACCOUNT: Final = "000000000000"
ARN: Final = f"arn:aws:lambda:{REGION}:{ACCOUNT}"
CODE: Final = zip_of({"lambda_function.py": "def handler(event, context):\n    return event\n"})
OTHER_CODE: Final = zip_of({"lambda_function.py": "def handler(event, context):\n    pass\n"})

SIGNING_PROFILE: Final = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/example/abcdefghij"
KMS_KEY: Final = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-4333-8444-555555555555"
EXECUTION: Final = f"{ARN}:function:example:1/durable-execution/run/0001"
UUID: Final = "11111111-2222-4333-8444-555555555555"

# Values of string shapes: what has a pattern, or means something to the server.
EXAMPLES: Final[Mapping[str, str]] = {
    "Action": "lambda:InvokeFunction",
    "AdditionalVersion": "1",
    "Alias": "live",
    "Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:example",
    "CallbackId": "Y2FsbGJhY2s=",
    "CapacityProviderArn": f"{ARN}:capacity-provider:example",
    "CapacityProviderName": "example",
    "CheckpointToken": "dG9rZW4=",
    "CodeSigningConfigArn": f"{ARN}:code-signing-config:csc-0123456789abcdefg",
    "DestinationArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:example",
    "DurableExecutionArn": EXECUTION,
    "Endpoint": "broker.example:9092",
    "EnvironmentVariableName": "STAGE",
    "FileSystemArn": (
        f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-0123456789abcdef0"
    ),
    "FunctionName": "example",
    "FunctionRuntimeArn": f"{ARN}:runtime/example-runtime",
    "FunctionUrlFunctionName": "example",
    "FunctionUrlQualifier": "live",
    "Handler": "lambda_function.handler",
    "InstanceType": "m7g.large",
    "KMSKeyArn": KMS_KEY,
    "KMSKeyArnNonEmpty": KMS_KEY,
    "LayerNameOrArn": "example",
    "LayerPermissionAllowedAction": "lambda:GetLayerVersion",
    "LayerPermissionAllowedPrincipal": "*",
    "LayerVersionArn": f"{ARN}:layer:example:1",
    "LocalMountPath": "/mnt/data",
    "LogGroup": "/example/functions",
    "MasterRegion": "ALL",
    "Method": "GET",
    "NamespacedFunctionName": "example",
    "NumericLatestPublishedOrAliasQualifier": "live",
    "OrganizationId": "o-0123456789",
    "Origin": "https://example.com",
    "Pattern": '{"body": {"kind": ["order"]}}',
    "PolicyResourceArn": f"{ARN}:function:example",
    "Principal": "sqs.amazonaws.com",
    "PrincipalOrgID": "o-0123456789",
    "PublishedFunctionQualifier": "1",
    "Qualifier": "live",
    "ResourceArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:example",
    "ResourcePolicy": '{"Version": "2012-10-17", "Statement": []}',
    "RevisionId": UUID,
    "RoleArn": ROLE,
    "Runtime": "python3.11",
    "RuntimeVersionArn": f"arn:aws:lambda:{REGION}::runtime:{'0' * 64}",
    "SchemaRegistryUri": f"arn:aws:glue:{REGION}:{ACCOUNT}:registry/example",
    "SecurityGroupId": "sg-0123456789",
    "SourceOwner": ACCOUNT,
    "SubnetId": "subnet-0123456789",
    "TaggableResource": f"{ARN}:function:example",
    "URI": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:example",
    "UUIDString": UUID,
    "UnqualifiedFunctionName": "example",
    "VersionWithLatestPublished": "1",
}
NUMBERS: Final[Mapping[str, float]] = {"LayerVersionNumber": 1, "AcceleratorMemoryGB": 1}
MOMENT: Final = datetime(2026, 1, 1, tzinfo=UTC)


@cache
def model() -> Any:
    """AWS's model of Lambda."""
    return ServiceModel(Loader().load_service_model("lambda", "service-2"), "lambda")


@cache
def operation(name: str) -> Any:
    """One operation of the model."""
    return model().operation_model(name)


def operation_names() -> tuple[str, ...]:
    """The names of all operations of the model."""
    return tuple(model().operation_names)


def durable_operations() -> frozenset[str]:
    """The operations on durable executions: the only ones that may be missing."""
    return frozenset(name for name in operation_names() if "DurableExecution" in name)


def minimal(name: str, **members: Any) -> dict[str, Any]:
    """The required members of an operation's request; `members` replace and add."""
    made = _structure(operation(name).input_shape, everything=False, left_out=members)
    return {**made, **members}


def full(name: str, left_out: Collection[str] = (), **members: Any) -> dict[str, Any]:
    """Every member of an operation's request but those `left_out`; `members` replace."""
    shape = operation(name).input_shape
    made = _structure(shape, everything=True, left_out={*left_out, *members})
    return {**made, **members}


def _structure(shape: Any, *, everything: bool, left_out: Collection[str] = ()) -> dict[str, Any]:
    if shape is None:
        return {}
    wanted = shape.members if everything else shape.required_members
    return {
        name: value(shape.members[name], everything=everything)
        for name in wanted
        if name not in left_out
    }


def value(shape: Any, *, everything: bool) -> Any:
    """A value of a shape that satisfies the model's constraints."""
    match shape.type_name:
        case "structure":
            return _structure(shape, everything=everything)
        case "list":
            return [value(shape.member, everything=everything)]
        case "map":
            key = value(shape.key, everything=everything)
            return {key: value(shape.value, everything=everything)}
    return _scalar(shape)


def _scalar(shape: Any) -> Any:
    match shape.type_name:
        case "string":
            return _text(shape)
        case "blob":
            return CODE if shape.name == "Blob" else b"{}"
        case "boolean":
            return True
        case "timestamp":
            return MOMENT
    return NUMBERS.get(shape.name, max(shape.metadata.get("min", 1), 1))


def _text(shape: Any) -> str:
    if shape.name in EXAMPLES:
        return EXAMPLES[shape.name]
    if enum := shape.metadata.get("enum"):
        return str(enum[0])
    return "example".ljust(shape.metadata.get("min", 0), "x")


def broken_constraints(shape: Any, given: Any, where: str = "") -> Iterator[str]:
    """What is wrong with a value by the model: required members, bounds, patterns, enums."""
    match shape.type_name:
        case "structure":
            for name in set(shape.required_members) - set(given):
                yield f"{where}.{name} is missing"
            for name, item in given.items():
                yield from broken_constraints(shape.members[name], item, f"{where}.{name}")
            return
        case "list":
            for item in given:
                yield from broken_constraints(shape.member, item, f"{where}[]")
        case "map":
            for key, item in given.items():
                yield from broken_constraints(shape.key, key, f"{where}<key>")
                yield from broken_constraints(shape.value, item, f"{where}.{key}")
    yield from _broken_bounds(shape, given, where)


def _broken_bounds(shape: Any, given: Any, where: str) -> Iterator[str]:
    bounds = shape.metadata
    if shape.type_name in {"boolean", "timestamp"}:
        return
    size = given if isinstance(given, int | float) else len(given)
    if not bounds.get("min", size) <= size <= bounds.get("max", size):
        yield f"{where} has a size of {size}"
    enum = bounds.get("enum", [])
    if enum and given not in enum:
        yield f"{where} is {given!r}, which is no value of the enum"
    pattern = bounds.get("pattern")
    # Unicode properties are Java's; their values here are ASCII.
    python = (pattern or "").replace(r"\p{L}", "A-Za-z").replace(r"\p{N}", "0-9")
    if pattern and not re.fullmatch(python.replace(r"\p{Z}", " "), given):
        yield f"{where} is {given!r}, which does not match {pattern}"

"""A function version as the AWS-shaped document that answers carry, and the way back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

from lambda_home.arns import FunctionRef, Scope
from lambda_home.errors import InvalidParameterValueException
from lambda_home.functions import ENVIRONMENT_LIMIT, FunctionVersion, Status
from lambda_home.registry.changes import Configuration
from lambda_home.scheduler.variables import RESERVED

# Members that are stored and returned as they came.
STORED = (
    "CapacityProviderConfig",
    "DeadLetterConfig",
    "FileSystemConfigs",
    "KMSKeyArn",
    "LoggingConfig",
    "SnapStart",
    "TenancyConfig",
    "TracingConfig",
    "VpcConfig",
)


def configuration(version: FunctionVersion, arn: str) -> dict[str, Any]:
    """`FunctionConfiguration` of one version under the ARN that it was asked for by."""
    return {
        **listed(version, arn),
        **_status(version.status),
        "RuntimeVersionConfig": {"RuntimeVersionArn": _runtime_version_arn(version)},
    }


def listed(version: FunctionVersion, arn: str) -> dict[str, Any]:
    """`FunctionConfiguration` as items of a list have it: without states."""
    documents = version.documents
    document: dict[str, Any] = {
        "FunctionName": version.name,
        "FunctionArn": arn,
        "Runtime": version.runtime,
        "Role": version.role,
        "Handler": version.handler,
        "CodeSize": version.code.size,
        "Description": version.description,
        "Timeout": version.timeout_s,
        "MemorySize": version.memory_mb,
        "LastModified": version.last_modified,
        "CodeSha256": version.code.sha256,
        "Version": version.version,
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": version.revision_id,
        "PackageType": version.package_type,
        "Architectures": list(version.architectures),
        "EphemeralStorage": {"Size": version.tmp_mb},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{version.name}"},
    }
    for name in STORED:
        if name in documents:
            given, known = documents[name], document.get(name)
            if isinstance(given, Mapping) and isinstance(known, Mapping):
                document[name] = {**known, **given}
            else:
                document[name] = given
    if document["LoggingConfig"]["LogFormat"] == "JSON":
        levels = {"ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}
        document["LoggingConfig"] = {**levels, **document["LoggingConfig"]}
    if version.environment is not None:
        document["Environment"] = {"Variables": dict(version.environment)}
    return document


def answer_arn(version: FunctionVersion, ref: FunctionRef) -> str:
    """The ARN of an answer: qualified where the caller gave a qualifier."""
    return ref.qualified_arn if ref.qualifier else version.arn


def changes(params: Mapping[str, Any]) -> Configuration:
    """The members of a create or an update that a configuration has, in the registry's names.

    Raises InvalidParameterValueException for an environment that is too large or sets reserved
    variables, and for layers, of which there are none yet.
    """
    plain = {
        "Runtime": "runtime",
        "Handler": "handler",
        "Role": "role",
        "Description": "description",
        "Timeout": "timeout_s",
        "MemorySize": "memory_mb",
    }
    members: dict[str, Any] = {
        ours: params[theirs] for theirs, ours in plain.items() if params.get(theirs) is not None
    }
    if "EphemeralStorage" in params:
        members["tmp_mb"] = params["EphemeralStorage"]["Size"]
    if "Environment" in params:
        variables = params["Environment"].get("Variables") or {}
        check_environment(variables)
        members["environment"] = variables
    if params.get("Layers"):
        layer = params["Layers"][0]
        raise InvalidParameterValueException(f"Layer version {layer} does not exist.")
    members["documents"] = {name: params[name] for name in STORED if params.get(name) is not None}
    if "ApplyOn" in members["documents"].get("SnapStart", {}):
        snap_start = members["documents"]["SnapStart"]
        members["documents"]["SnapStart"] = {**snap_start, "OptimizationStatus": "Off"}
    return cast("Configuration", members)


def check_environment(variables: Mapping[str, str]) -> None:
    """Refuse, in AWS's words, variables that are reserved or more than 4 KB."""
    prefix = (
        "Lambda was unable to configure your environment variables because the environment"
        " variables you have provided"
    )
    reserved = [name for name in variables if name in RESERVED]
    if reserved:
        raise InvalidParameterValueException(
            f"{prefix} contains reserved keys that are currently not supported for modification."
            f" Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = json.dumps(variables, separators=(",", ":"), ensure_ascii=False)
    if len(measured.encode("utf-8", "replace")) > ENVIRONMENT_LIMIT:
        raise InvalidParameterValueException(
            f"{prefix} exceeded the 4KB limit. String measured: {measured}"
        )


def _status(status: Status) -> dict[str, Any]:
    members = {
        "State": status.state,
        "StateReason": status.reason,
        "StateReasonCode": status.reason_code,
        "LastUpdateStatus": status.update,
        "LastUpdateStatusReason": status.update_reason,
        "LastUpdateStatusReasonCode": status.update_reason_code,
    }
    return {name: str(value) for name, value in members.items() if value is not None}


def _runtime_version_arn(version: FunctionVersion) -> str:
    scope: Scope = version.scope
    digest = hashlib.sha256(version.runtime.encode()).hexdigest()
    return f"arn:aws:lambda:{scope.region}::runtime:{digest}"

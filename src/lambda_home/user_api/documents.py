"""A function version as the AWS-shaped document that answers carry."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from lambda_home.arns import PARTITION, FunctionRef, Scope
from lambda_home.functions import FunctionVersion, State, Status


def configuration(version: FunctionVersion, arn: str) -> dict[str, Any]:
    """`FunctionConfiguration` of one version under the ARN that it was asked for by."""
    document = {**listed(version, arn), **_status(version.status)}
    if not version.is_image:
        runtime_version = runtime_version_arn(version.scope, version.runtime)
        document["RuntimeVersionConfig"] = {"RuntimeVersionArn": runtime_version}
    return document


def listed(version: FunctionVersion, arn: str) -> dict[str, Any]:
    """`FunctionConfiguration` as items of a list have it: without states."""
    documents = version.documents
    document: dict[str, Any] = {
        "FunctionName": version.name,
        "FunctionArn": arn,
        "Runtime": version.runtime or None,
        "Role": version.role,
        "Handler": version.handler or None,
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
    for name, given in documents.items():
        known = document.get(name)
        if name == "ImageConfig":
            document["ImageConfigResponse"] = {"ImageConfig": given}
        elif isinstance(given, Mapping) and isinstance(known, Mapping):
            document[name] = {**known, **given}
        else:
            document[name] = given
    if version.is_snap_started and version.status.state is State.ACTIVE:
        document["SnapStart"] = {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    if version.layers:
        document["Layers"] = [{"Arn": of.arn, "CodeSize": of.size} for of in version.layers]
    if version.environment is not None:
        document["Environment"] = {"Variables": dict(version.environment)}
    return document


def answer_arn(version: FunctionVersion, ref: FunctionRef) -> str:
    """The ARN of an answer: qualified where the caller gave a qualifier."""
    return ref.qualified_arn if ref.qualifier else version.arn


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


def runtime_version_arn(scope: Scope, runtime: str) -> str:
    """The one version that each runtime has here."""
    digest = hashlib.sha256(runtime.encode()).hexdigest()
    return f"arn:{PARTITION}:lambda:{scope.region}::runtime:{digest}"

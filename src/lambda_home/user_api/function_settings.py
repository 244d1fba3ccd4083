"""What a create or an update of a function asks for, in the registry's names; pure.

Texts are those recorded on AWS, or known from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from lambda_home.errors import InvalidParameterValueException, ValidationException
from lambda_home.functions import ENVIRONMENT_LIMIT, FunctionVersion
from lambda_home.registry.changes import Configuration
from lambda_home.scheduler.variables import RESERVED
from lambda_home.user_api.capacity_provider_rules import completed

STORED = (
    "AcceleratorConfig",
    "CapacityProviderConfig",
    "DeadLetterConfig",
    "DurableConfig",
    "FileSystemConfigs",
    "ImageConfig",
    "KMSKeyArn",
    "LoggingConfig",
    "RuntimeConfig",
    "SnapStart",
    "TenancyConfig",
    "TracingConfig",
    "VpcConfig",
)
"""Members that are kept as documents; VpcConfig as answers have it."""

_PLAIN = {
    "Runtime": "runtime",
    "Handler": "handler",
    "Role": "role",
    "Description": "description",
    "Timeout": "timeout_s",
    "MemorySize": "memory_mb",
}
_LOG_LEVELS = ("ApplicationLogLevel", "SystemLogLevel")
_FIRST_WITH_SNAP_START = {"java": (11,), "python": (3, 12), "dotnet": (8,)}
_VERSIONED = re.compile(r"(?P<family>[a-z]+)(?P<version>\d+(?:\.\d+)*)")
_ARN_SERVICE = 2
_MANAGED_MB = 2048
_MOST_MB = 10_240


def changes(params: Mapping[str, Any], latest: FunctionVersion | None = None) -> Configuration:
    """The members of a create, or of an update of `latest`, that a configuration has.

    `Layers` and `VpcConfig` are not looked up here: the caller has put what they stand for into
    `params`. Raises InvalidParameterValueException.
    """
    members: dict[str, Any] = {
        ours: params[theirs] for theirs, ours in _PLAIN.items() if params.get(theirs) is not None
    }
    if params.get("EphemeralStorage") is not None:
        members["tmp_mb"] = params["EphemeralStorage"]["Size"]
    if params.get("Environment") is not None:
        variables = params["Environment"].get("Variables") or {}
        check_environment(variables)
        members["environment"] = variables
    old = latest.documents if latest is not None else {}
    documents = {name: params[name] for name in STORED if params.get(name) is not None}
    members["documents"] = {name: _kept(name, new, old) for name, new in documents.items()}
    if params.get("CapacityProviderConfig"):
        runtime = params.get("Runtime") or (latest.runtime if latest else "")
        _check_managed(params, latest)
        if latest is None:
            members.setdefault("memory_mb", _MANAGED_MB)
        members["documents"]["CapacityProviderConfig"] = completed(
            params["CapacityProviderConfig"], runtime
        )
    _check_vpc(params.get("VpcConfig") or {})
    _check_memory(params, latest)
    _check_snap_start(params, latest)
    _check_package_type(params, latest)
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


def _kept(name: str, given: Any, old: Mapping[str, object]) -> Any:
    """A member as it is stored; None where the value given takes it away."""
    if name == "LoggingConfig":
        return _logging(cast("Mapping[str, Any]", old.get(name) or {}), given)
    if name == "SnapStart":
        return {**given, "OptimizationStatus": "Off"} if given.get("ApplyOn") else None
    if name == "DeadLetterConfig":
        return _dead_letters(given)
    return given or None


def _logging(old: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Levels belong to the format JSON, and go with it. The refusal's text: seen on AWS."""
    config = {**old, **given}
    if config.get("LogFormat", "Text") == "Text":
        if given.keys() & set(_LOG_LEVELS):
            raise InvalidParameterValueException(
                'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from'
                ' your request or change the LogFormat to "JSON" and try again.'
            )
        return {name: value for name, value in config.items() if name not in _LOG_LEVELS}
    return dict.fromkeys(_LOG_LEVELS, "INFO") | config


def _dead_letters(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    target = config.get("TargetArn")
    if not target:
        return None
    parts = target.split(":")
    if len(parts) <= _ARN_SERVICE or parts[_ARN_SERVICE] not in ("sqs", "sns"):
        raise InvalidParameterValueException(
            f"The dead-letter target {target} is neither an SQS queue nor an SNS topic."
        )
    return config


def _check_vpc(config: Mapping[str, Any]) -> None:
    if bool(config.get("SubnetIds")) is not bool(config.get("SecurityGroupIds")):
        raise InvalidParameterValueException(
            "SubnetIds and SecurityIds must coexist or be both empty list."
        )


def _check_memory(params: Mapping[str, Any], latest: FunctionVersion | None) -> None:
    """Managed instances have more memory than other functions can; the model allows for them."""
    managed = params.get("CapacityProviderConfig") or (
        latest is not None and "CapacityProviderConfig" in latest.documents
    )
    if (params.get("MemorySize") or 0) > _MOST_MB and not managed:
        raise InvalidParameterValueException(
            "'MemorySize' value failed to satisfy constraint: Member must have value less than or"
            f" equal to {_MOST_MB}"
        )


def _check_managed(params: Mapping[str, Any], latest: FunctionVersion | None) -> None:
    """Only a new function can go to managed instances, with memory enough (seen on AWS)."""
    if latest is not None and "CapacityProviderConfig" not in latest.documents:
        raise InvalidParameterValueException(
            "CapacityProviderConfig isn't supported for Lambda Default functions."
        )
    if (params.get("MemorySize") or _MANAGED_MB) < _MANAGED_MB:
        raise ValidationException(
            "Lambda Managed Instance functions must have memory size greater than or equal to"
            f" {_MANAGED_MB}"
        )


def _check_snap_start(params: Mapping[str, Any], latest: FunctionVersion | None) -> None:
    """Only some runtimes can be snapshotted; `SnapStart` or the runtime may be what changes."""
    runtime = params.get("Runtime") or (latest.runtime if latest is not None else "")
    if (params.get("SnapStart") or {}).get("ApplyOn") != "PublishedVersions":
        return
    match = _VERSIONED.match(runtime)
    first = _FIRST_WITH_SNAP_START.get(match["family"]) if match else None
    if match is None or first is None or _numbers(match["version"]) < first:
        raise InvalidParameterValueException(
            f"{runtime or 'Image'} is not supported for SnapStart enabled functions."
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _check_package_type(params: Mapping[str, Any], latest: FunctionVersion | None) -> None:
    """A ZIP needs a runtime and a handler, an image brings its own."""
    creating = latest is None
    image = latest.is_image if latest is not None else params.get("PackageType") == "Image"
    if image and any(params.get(name) for name in ("Runtime", "Handler", "Layers")):
        raise InvalidParameterValueException(
            "Please don't provide Handler or Runtime or Layer when the intended function"
            " PackageType is Image."
        )
    if not image and params.get("ImageConfig"):
        raise InvalidParameterValueException(
            "Please don't provide ImageConfig when the intended function PackageType is Zip."
        )
    if creating and not image and not (params.get("Runtime") and params.get("Handler")):
        raise InvalidParameterValueException(
            "Runtime and Handler are mandatory parameters for functions created with deployment"
            " packages."
        )


def check_code(code: Mapping[str, Any], package_type: str, *, updating: bool) -> None:
    """Refuse, in AWS's words, code of the other kind."""
    when = "updating a function with packageType" if updating else "the intended function"
    kind = package_type if updating else f"PackageType is {package_type}"
    is_zip = bool(code.get("ZipFile") is not None or code.get("S3Bucket") or code.get("S3Key"))
    if package_type == "Image" and (is_zip or not code.get("ImageUri")):
        raise InvalidParameterValueException(f"Please provide ImageUri when {when} {kind}.")
    if package_type == "Zip" and code.get("ImageUri"):
        raise InvalidParameterValueException(f"Please don't provide ImageUri when {when} {kind}.")

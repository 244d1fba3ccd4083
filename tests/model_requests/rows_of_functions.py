"""Rows of the operations that create, change, publish and run functions."""

from __future__ import annotations

import base64
import json
from typing import Any

from functions_under_test import fresh_name
from model_requests.building import CODE, KMS_KEY, operation
from model_requests.row import Row, Variant
from model_requests.stage import BUCKET, KEY, Stage

_MANAGED = "for functions on a capacity provider"
_IMAGE = "for container images"
_TENANTS = "not together with SnapStart and code signing"
_RUNTIMES = "for runtimes of one's own"
S3_OBJECT = {"S3Bucket": BUCKET, "S3Key": KEY, "S3ObjectStorageMode": "COPY"}
_PARTS = ("FunctionName", "Role", "Code", "Timeout", "MemorySize", "Description")
_IMAGE_URI = f"registry.example/example@sha256:{'ab' * 32}"


def _zip_members(stage: Stage) -> dict[str, Any]:
    return {
        "Runtime": "python3.12",
        "Layers": [stage.layer_version],
        "VpcConfig": {**stage.vpc, "Ipv6AllowedForDualStack": False},
        "SnapStart": {"ApplyOn": "PublishedVersions"},
    }


def _new_zip(stage: Stage) -> dict[str, Any]:
    return {"Code": {"ZipFile": CODE, "SourceKMSKeyArn": KMS_KEY}, **_zip_members(stage)}


def _new_in_s3(stage: Stage) -> dict[str, Any]:
    return {"Code": {**S3_OBJECT, "S3ObjectVersion": stage.elsewhere.object_version}}


def _new_image(_: Stage) -> dict[str, Any]:
    return {"PackageType": "Image", "Code": {"ImageUri": _IMAGE_URI}}


def _managed_settings(stage: Stage) -> dict[str, Any]:
    return {"MemorySize": 2048, "CapacityProviderConfig": stage.capacity()}


def _new_managed(stage: Stage) -> dict[str, Any]:
    return {"Code": {"ZipFile": CODE}, "Runtime": "python3.13", **_managed_settings(stage)}


_NOT_PLAIN = {
    "AcceleratorConfig": _MANAGED,
    "CapacityProviderConfig": _MANAGED,
    "ImageConfig": _IMAGE,
    "PublishTo": _MANAGED,
    "RuntimeConfig": _RUNTIMES,
    "TenancyConfig": _TENANTS,
    "DurableConfig": _TENANTS,
}
CREATE = Row(
    needs=("Runtime", "Handler"),
    names=lambda _: {
        "FunctionName": fresh_name("model"),
        "Runtime": "python3.11",
        "Code": {"ZipFile": CODE},
    },
    variants=(
        Variant("zip", _new_zip, without=_NOT_PLAIN),
        Variant("s3", _new_in_s3, only=(*_PARTS, "Runtime", "Handler")),
        Variant("image", _new_image, only=(*_PARTS, "PackageType", "ImageConfig")),
        Variant(
            "managed instances",
            _new_managed,
            only=(*_PARTS, "Runtime", "Handler", "CapacityProviderConfig", "PublishTo", "Publish"),
        ),
        Variant(
            "accelerated",
            _new_managed,
            only=(*_PARTS, "Runtime", "Handler", "CapacityProviderConfig", "AcceleratorConfig"),
        ),
        Variant("runtime of one's own", only=(*_PARTS, "Handler", "Runtime", "RuntimeConfig")),
        Variant("tenants", only=(*_PARTS, "Runtime", "Handler", "TenancyConfig")),
        Variant("durable", only=(*_PARTS, "Runtime", "Handler", "DurableConfig")),
    ),
)
CONFIGURE = Row(
    variants=(
        Variant(
            "zip",
            lambda s: {**_zip_members(s), "RevisionId": s.revision},
            without={name: _NOT_PLAIN[name] for name in _NOT_PLAIN if name != "TenancyConfig"},
        ),
        Variant("image", lambda s: {"FunctionName": s.image}, only=("FunctionName", "ImageConfig")),
        Variant(
            "managed instances",
            lambda s: {"FunctionName": s.managed, **_managed_settings(s)},
            only=("FunctionName", "CapacityProviderConfig", "MemorySize", "AcceleratorConfig"),
        ),
        Variant("runtime of one's own", only=("FunctionName", "RuntimeConfig")),
        Variant("durable", only=("FunctionName", "DurableConfig")),
    ),
)
UPDATE_CODE = Row(
    needs=("ZipFile",),
    names=lambda _: {"ZipFile": CODE},
    variants=(
        Variant(
            "zip",
            lambda s: {"RevisionId": s.revision, "DryRun": False},
            without={
                "S3Bucket": "code is in the request",
                "S3Key": "code is in the request",
                "S3ObjectVersion": "code is in the request",
                "S3ObjectStorageMode": "code is in the request",
                "ImageUri": _IMAGE,
                "PublishTo": _MANAGED,
            },
        ),
        Variant("dry run", only=("FunctionName", "ZipFile", "DryRun")),
        Variant(
            "s3",
            lambda s: {**S3_OBJECT, "S3ObjectVersion": s.elsewhere.object_version},
            only=("FunctionName", *S3_OBJECT, "S3ObjectVersion"),
        ),
        Variant(
            "image",
            lambda s: {"FunctionName": s.image, "ImageUri": _IMAGE_URI},
            only=("FunctionName", "ImageUri", "Publish"),
        ),
        Variant(
            "managed instances",
            lambda s: {"FunctionName": s.managed},
            only=("FunctionName", "ZipFile", "Publish", "PublishTo"),
        ),
    ),
)
PUBLISH = Row(
    variants=(
        Variant(
            members=lambda s: {
                "RevisionId": s.revision,
                "CodeSha256": s.client.get_function_configuration(FunctionName=s.function)[
                    "CodeSha256"
                ],
            },
            without={"PublishTo": _MANAGED},
        ),
        Variant(
            "managed instances",
            lambda s: {"FunctionName": s.managed},
            only=("FunctionName", "PublishTo"),
        ),
    ),
)

_CLIENT_CONTEXT = base64.b64encode(json.dumps({"custom": {"kind": "order"}}).encode()).decode()
_CALL = ("FunctionName", "LogType", "ClientContext", "Qualifier", "InvocationType")


def calling(name: str, **left_out: str) -> Row:
    """Invocations: with everything, and for a tenant of a function that has tenants."""
    return Row(
        variants=(
            Variant(
                members=lambda _: {
                    "InvocationType": "RequestResponse",
                    "LogType": "Tail",
                    "ClientContext": _CLIENT_CONTEXT,
                    "Payload": b'{"kind": "order"}',
                },
                without={"TenantId": "for functions that keep tenants apart", **left_out},
            ),
            Variant(
                "tenant",
                lambda s: {
                    "FunctionName": s.new_function(
                        TenancyConfig={"TenantIsolationMode": "PER_TENANT"}
                    )
                },
                only=("FunctionName", "TenantId"),
            ),
            Variant(
                "dry run",
                lambda _: {"InvocationType": "DryRun", "ClientContext": _CLIENT_CONTEXT},
                only=tuple(one for one in _CALL if one in operation(name).input_shape.members),
            ),
        ),
    )

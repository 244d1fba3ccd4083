"""The row of every operation that needs more than the model's examples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from functions_under_test import fresh_name
from model_requests.building import CODE, full
from model_requests.row import (
    Row,
    Variant,
    both,
    full_request_of,
    listing,
    minimal_request_of,
    put,
)
from model_requests.rows_of_functions import (
    CONFIGURE,
    CREATE,
    PUBLISH,
    S3_OBJECT,
    UPDATE_CODE,
    calling,
)
from model_requests.rows_of_mappings import (
    CREATE_MAPPING,
    LIST_MAPPINGS,
    QUEUE_ARN,
    UPDATE_MAPPING,
)
from model_requests.stage import ALIAS, Stage

_LATEST = {"Qualifier": "$LATEST"}


def _statement(stage: Stage) -> str:
    statement = {
        "Sid": "example",
        "Effect": "Allow",
        "Principal": {"Service": "sqs.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": stage.arn + ":1",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def _permitted(stage: Stage) -> None:
    stage.permit()
    stage.permit(Qualifier=ALIAS)
    stage.permit(Qualifier="1")


def _policy_of_version(stage: Stage) -> str:
    return stage.policy_revision(Qualifier="1")


def _permitted_version(stage: Stage) -> str:
    stage.permit(Qualifier="1")
    return _policy_of_version(stage)


_STATEMENT = ("FunctionName", "StatementId", "Action", "Principal", "Qualifier")
_ADD = Row(
    variants=(
        Variant(
            "service",
            lambda s: {"StatementId": "more", "RevisionId": _granted(s)},
            only=(*_STATEMENT, "SourceArn", "SourceAccount", "RevisionId"),
        ),
        Variant(
            "url",
            lambda _: {"Action": "lambda:InvokeFunctionUrl", "Principal": "*"},
            only=(*_STATEMENT, "FunctionUrlAuthType"),
        ),
        Variant(
            "by url", lambda _: {"Principal": "*"}, only=(*_STATEMENT, "InvokedViaFunctionUrl")
        ),
        Variant("organisation", lambda _: {"Principal": "*"}, only=(*_STATEMENT, "PrincipalOrgID")),
        Variant(
            "skill",
            lambda _: {"Principal": "alexa-appkit.amazon.com"},
            only=(*_STATEMENT, "EventSourceToken"),
        ),
    ),
)


def _granted(stage: Stage) -> str:
    stage.permit(Qualifier=ALIAS)
    return stage.policy_revision(Qualifier=ALIAS)


_URL = put("CreateFunctionUrlConfig", AuthType="NONE")
_ALIAS_URL = put("CreateFunctionUrlConfig", AuthType="NONE", Qualifier=ALIAS)
_EVENTS = put("PutFunctionEventInvokeConfig", MaximumRetryAttempts=0)
_ALIAS_EVENTS = put("PutFunctionEventInvokeConfig", MaximumRetryAttempts=0, Qualifier=ALIAS)
_PROVISION = put("PutProvisionedConcurrencyConfig", Qualifier=ALIAS)
_PERMIT_LAYER = put("AddLayerVersionPermission", VersionNumber=1)
_DESTINATIONS = {
    "OnSuccess": {"Destination": QUEUE_ARN},
    "OnFailure": {"Destination": QUEUE_ARN},
}


def _sent_to_queue(_: Stage) -> dict[str, Any]:
    return {"DestinationConfig": _DESTINATIONS, "MaximumEventAgeInSeconds": 60}


def _weights(stage: Stage) -> dict[str, Any]:
    return {"RoutingConfig": {"AdditionalVersionWeights": {stage.second: 0.5}}}


_SCALING = {"FunctionScalingConfig": {"MinExecutionEnvironments": 0, "MaxExecutionEnvironments": 5}}

ROWS: Mapping[str, Row] = {
    "AddLayerVersionPermission": Row(
        variants=(
            Variant(
                members=lambda s: {"StatementId": "more", "RevisionId": s.permit_layer()},
            ),
        )
    ),
    "AddPermission": _ADD,
    "CreateAlias": Row(
        names=lambda _: {"Name": "other"},
        variants=(Variant(members=_weights),),
    ),
    "CreateCapacityProvider": Row(
        names=lambda s: {"CapacityProviderName": fresh_name("provider"), "VpcConfig": s.vpc},
        variants=(
            Variant(
                members=lambda _: {
                    "InstanceRequirements": {
                        "Architectures": ["arm64"],
                        "AllowedInstanceTypes": ["m7g.*"],
                    },
                    "CapacityProviderScalingConfig": {
                        "MaxVCpuCount": 30,
                        "ScalingMode": "Manual",
                        "ScalingPolicies": [
                            {
                                "PredefinedMetricType": (
                                    "LambdaCapacityProviderAverageCPUUtilization"
                                ),
                                "TargetValue": 50.0,
                            }
                        ],
                    },
                    "PropagateTags": {"Mode": "Explicit", "ExplicitTags": {"stage": "test"}},
                }
            ),
        ),
    ),
    "CreateEventSourceMapping": CREATE_MAPPING,
    "CreateFunction": CREATE,
    "CreateFunctionUrlConfig": Row(),
    "DeleteFunction": Row(variants=(Variant(members=lambda s: {"Qualifier": s.second}),)),
    "DeleteCodeSigningConfig": Row(),
    "DeleteFunctionCodeSigningConfig": Row(given=put("PutFunctionCodeSigningConfig")),
    "DeleteFunctionConcurrency": Row(given=put("PutFunctionConcurrency")),
    "DeleteFunctionEventInvokeConfig": Row(given=both(_EVENTS, _ALIAS_EVENTS)),
    "DeleteFunctionUrlConfig": Row(given=both(_URL, _ALIAS_URL)),
    "DeleteProvisionedConcurrencyConfig": Row(given=_PROVISION),
    "DeleteResourcePolicy": Row(
        given=_permitted,
        variants=(Variant(members=lambda s: {"RevisionId": _policy_of_version(s)}),),
    ),
    "GetFunctionCodeSigningConfig": Row(given=put("PutFunctionCodeSigningConfig")),
    "GetFunctionEventInvokeConfig": Row(given=both(_EVENTS, _ALIAS_EVENTS)),
    "GetFunctionUrlConfig": Row(given=both(_URL, _ALIAS_URL)),
    "GetLayerVersionPolicy": Row(given=_PERMIT_LAYER),
    "GetPolicy": Row(given=_permitted),
    "GetProvisionedConcurrencyConfig": Row(given=_PROVISION),
    "GetResourcePolicy": Row(given=_permitted),
    "GetRuntimeManagementConfig": Row(variants=(Variant(members=lambda _: _LATEST),)),
    "Invoke": calling("Invoke", DurableExecutionName="for durable functions"),
    "InvokeWithResponseStream": calling("InvokeWithResponseStream"),
    "ListAliases": listing(
        "ListAliases",
        put("CreateAlias", Name="other", FunctionVersion="1"),
        FunctionName=lambda s: s.function,
        FunctionVersion=lambda _: "1",
    ),
    "ListCapacityProviders": listing(
        "ListCapacityProviders",
        lambda s: (s.new_provider(), s.new_provider()),
        State=lambda _: "Active",
    ),
    "ListCodeSigningConfigs": listing(
        "ListCodeSigningConfigs", lambda s: (s.new_signing(), s.new_signing())
    ),
    "ListEventSourceMappings": LIST_MAPPINGS,
    "ListFunctionEventInvokeConfigs": listing(
        "ListFunctionEventInvokeConfigs",
        both(_EVENTS, _ALIAS_EVENTS),
        FunctionName=lambda s: s.function,
    ),
    "ListFunctionUrlConfigs": listing(
        "ListFunctionUrlConfigs", both(_URL, _ALIAS_URL), FunctionName=lambda s: s.function
    ),
    "ListFunctionVersionsByCapacityProvider": listing(
        "ListFunctionVersionsByCapacityProvider",
        lambda s: s.client.publish_version(FunctionName=s.managed),
        CapacityProviderName=lambda s: s.provider,
    ),
    "ListFunctions": listing(
        "ListFunctions",
        lambda s: s.function,
        MasterRegion=lambda _: "ALL",
        FunctionVersion=lambda _: "ALL",
    ),
    "ListFunctionsByCodeSigningConfig": listing(
        "ListFunctionsByCodeSigningConfig",
        lambda s: [s.new_function(CodeSigningConfigArn=s.signing) for _ in range(2)],
        CodeSigningConfigArn=lambda s: s.signing,
    ),
    "ListLayerVersions": listing(
        "ListLayerVersions",
        LayerName=lambda s: s.layer,
        CompatibleRuntime=lambda _: "python3.11",
        CompatibleArchitecture=lambda _: "x86_64",
    ),
    "ListLayers": listing(
        "ListLayers",
        lambda s: s.call(
            "PublishLayerVersion",
            full("PublishLayerVersion", LayerName=s.layer + "-2", Content={"ZipFile": CODE}),
        ),
        CompatibleRuntime=lambda _: "python3.11",
        CompatibleArchitecture=lambda _: "x86_64",
    ),
    "ListProvisionedConcurrencyConfigs": listing(
        "ListProvisionedConcurrencyConfigs",
        both(_PROVISION, lambda s: put("PutProvisionedConcurrencyConfig", Qualifier=s.second)(s)),
        FunctionName=lambda s: s.function,
    ),
    "ListVersionsByFunction": listing("ListVersionsByFunction", FunctionName=lambda s: s.function),
    "PublishLayerVersion": Row(
        names=lambda _: {"LayerName": fresh_name("layer"), "Content": {"ZipFile": CODE}},
        variants=(
            Variant(),
            Variant(
                "s3",
                lambda s: {
                    "Content": {**S3_OBJECT, "S3ObjectVersion": s.elsewhere.object_version},
                },
                only=("LayerName", "Content"),
            ),
        ),
    ),
    "PublishVersion": PUBLISH,
    "PutFunctionEventInvokeConfig": Row(
        needs=("MaximumRetryAttempts",),
        names=lambda _: {"MaximumRetryAttempts": 0},
        variants=(Variant(members=_sent_to_queue),),
    ),
    "PutFunctionScalingConfig": Row(names=lambda _: _SCALING),
    "PutResourcePolicy": Row(
        names=lambda s: {"Policy": _statement(s)},
        variants=(Variant(members=lambda s: {"RevisionId": _permitted_version(s)}),),
    ),
    "PutRuntimeManagementConfig": Row(
        variants=(Variant(members=lambda _: {**_LATEST, "UpdateRuntimeOn": "Manual"}),)
    ),
    "RemoveLayerVersionPermission": Row(
        given=_PERMIT_LAYER,
        variants=(
            Variant(
                members=lambda s: {
                    "RevisionId": s.client.get_layer_version_policy(
                        LayerName=s.layer, VersionNumber=1
                    )["RevisionId"]
                }
            ),
        ),
    ),
    "RemovePermission": Row(
        given=_permitted,
        variants=(Variant(members=lambda s: {"RevisionId": s.policy_revision(Qualifier=ALIAS)}),),
    ),
    "UntagResource": Row(given=put("TagResource")),
    "UpdateAlias": Row(
        variants=(
            Variant(
                members=lambda s: {
                    **_weights(s),
                    "RevisionId": s.client.get_alias(FunctionName=s.function, Name=ALIAS)[
                        "RevisionId"
                    ],
                }
            ),
        )
    ),
    "UpdateCapacityProvider": Row(
        variants=(
            Variant(
                members=lambda _: {
                    "CapacityProviderScalingConfig": {"MaxVCpuCount": 40, "ScalingMode": "Auto"},
                    "PropagateTags": {"Mode": "Explicit", "ExplicitTags": {"stage": "test"}},
                }
            ),
            Variant(
                "policies",
                lambda _: {
                    "CapacityProviderScalingConfig": {
                        "MaxVCpuCount": 40,
                        "ScalingMode": "Manual",
                        "ScalingPolicies": [
                            {
                                "PredefinedMetricType": (
                                    "LambdaCapacityProviderAverageCPUUtilization"
                                ),
                                "TargetValue": 50.0,
                            }
                        ],
                    }
                },
                only=("CapacityProviderName", "CapacityProviderScalingConfig"),
            ),
        )
    ),
    "UpdateEventSourceMapping": UPDATE_MAPPING,
    "UpdateFunctionCode": UPDATE_CODE,
    "UpdateFunctionConfiguration": CONFIGURE,
    "UpdateFunctionEventInvokeConfig": Row(
        given=both(_EVENTS, _ALIAS_EVENTS),
        needs=("MaximumRetryAttempts",),
        names=lambda _: {"MaximumRetryAttempts": 1},
        variants=(Variant(members=_sent_to_queue),),
    ),
    "UpdateFunctionUrlConfig": Row(given=both(_URL, _ALIAS_URL)),
}

# Members that no request of these tests has, with the reason.
NEVER: Mapping[str, Mapping[str, str]] = {
    "Invoke": {"DurableExecutionName": "durable functions are not there yet"},
}


def row_of(name: str) -> Row:
    """The row of an operation."""
    return ROWS.get(name, Row())


def minimal_request(name: str, stage: Stage) -> dict[str, Any]:
    """The minimal request for an operation, naming what exists; makes what that needs."""
    return minimal_request_of(name, row_of(name), stage)


def full_request(name: str, variant: Variant, stage: Stage) -> dict[str, Any]:
    """A full request for an operation, naming what exists; makes what that needs."""
    return full_request_of(name, row_of(name), variant, stage)

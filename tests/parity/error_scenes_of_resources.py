"""Errors about what belongs to functions: permissions, tags, layers, event sources, networks."""

from __future__ import annotations

from parity.error_scenes import (
    ALIASED,
    FUNCTION,
    PUBLISHED,
    WRONG,
    ZIP,
    Step,
    arn,
    f,
    missing,
    new,
    steps,
)

_TAGS = "TestLambdaTags::test_tag_exceptions"
_TAG = "TestLambdaTag::test_tag_exceptions"
_LAYERS = "TestLambdaLayer::test_layer_exceptions"
_LAYERED = "TestLambdaLayer::test_layer_function_exceptions"
_LAYER_POLICY = "TestLambdaLayer::test_layer_policy_exceptions"
_PERMISSIONS = "TestLambdaPermissions::test_permission_exceptions"
_SIGNING = "TestCodeSigningConfig::test_code_signing_not_found_excs"
_CSC = arn("code-signing-config:csc-0123456789abcdef0")
_LAYER = {"LayerName": "l", "Content": {"ZipFile": ZIP}}
_GRANT = {"Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
_LAYER_GRANT = {
    "LayerName": "l",
    "VersionNumber": 1,
    "StatementId": "s1",
    "Action": "lambda:GetLayerVersion",
    "Principal": "*",
}
_NOT_THERE = "0d9b8ef0-35b1-4a47-9e34-53d6f2a8a6b1"

PERMISSIONS = [
    *ALIASED,
    *steps(
        _PERMISSIONS,
        (
            "AddPermission",
            f(StatementId="example.com", **_GRANT),
            "add_permission_invalid_statement_id",
        ),
        (
            "AddPermission",
            f(StatementId="lambda", **{**_GRANT, "Principal": "invalid.nonaws.com"}),
            "add_permission_principal_invalid",
        ),
        (
            "AddPermission",
            f(StatementId="s", Qualifier="$LATEST", **_GRANT),
            "add_permission_fn_qualifier_latest",
        ),
        (
            "AddPermission",
            f(StatementId="s", Qualifier="invalid-qualifier-with-?-char", **_GRANT),
            "add_permission_fn_qualifier_invalid",
        ),
        (
            "AddPermission",
            f(StatementId="s", Qualifier="valid-with-$-but-doesnotexist", **_GRANT),
            "add_permission_fn_qualifier_valid_doesnotexist",
        ),
        (
            "AddPermission",
            f(StatementId="s", Qualifier="alias-doesnotexist", **_GRANT),
            "add_permission_fn_alias_doesnotexist",
        ),
        (
            "AddPermission",
            f(StatementId="s", Qualifier="42", **_GRANT),
            "add_permission_fn_version_doesnotexist",
        ),
        (
            "RemovePermission",
            missing(StatementId="s"),
            "remove_permission_fn_doesnotexist",
        ),
        ("RemovePermission", f(StatementId="s"), "remove_permission_policy_doesnotexist"),
        ("AddPermission", f(StatementId="s3", **_GRANT), ""),
        (
            "AddPermission",
            f(StatementId="s3", **_GRANT),
            "add_permission_conflicting_statement_id",
        ),
    ),
    *steps(
        "TestLambdaPermissions::test_lambda_permission_fn_versioning",
        ("AddPermission", f(StatementId="s", Qualifier="a", **_GRANT), ""),
        (
            "AddPermission",
            f(StatementId="t", Qualifier="a", RevisionId=WRONG, **_GRANT),
            "add_permission_alias_revision_exception",
        ),
    ),
]

_ESM = arn(f"event-source-mapping:{_NOT_THERE}")
TAGS = [
    *PUBLISHED,
    *steps(
        _TAGS,
        ("TagResource", {"Resource": arn("function:f"), "Tags": {}}, "tag_empty_tags"),
        ("UntagResource", {"Resource": arn("function:f"), "TagKeys": []}, "untag_empty_keys"),
        (
            "TagResource",
            {"Resource": arn("function:f:v1"), "Tags": {"A": "B"}},
            "tag_lambda_qualifier_doesnotexist",
        ),
        (
            "TagResource",
            {"Resource": "arn:aws:something", "Tags": {"A": "B"}},
            "tag_lambda_invalidarn",
        ),
    ),
    *steps(
        "TestLambdaTags::test_tag_limits",
        (
            "TagResource",
            {"Resource": arn("function:f"), "Tags": {f"k{n}": "v" for n in range(51)}},
            "tag_lambda_too_many_tags",
        ),
    ),
    *steps(
        f"{_TAG}[event_source_mapping]",
        ("TagResource", {"Resource": _ESM, "Tags": {"A": "B"}}, "not_found_exception_tag"),
        ("ListTags", {"Resource": f"{_ESM}:alias"}, "aliased_arn_exception"),
    ),
    *steps(
        f"{_TAG}[lambda_function]",
        (
            "TagResource",
            {"Resource": arn("function:doesnotexist"), "Tags": {"A": "B"}},
            "not_found_exception_tag",
        ),
        ("ListTags", {"Resource": arn("foobar:x")}, "invalid_arn_exception"),
    ),
]

LAYERS = [
    *FUNCTION,
    Step("PublishLayerVersion", _LAYER),
    Step("PublishLayerVersion", _LAYER),
    *(Step("PublishLayerVersion", {**_LAYER, "LayerName": f"l{n}"}) for n in range(5)),
    *steps(
        "TestLambdaLayer::test_layer_function_quota_exception",
        (
            "CreateFunction",
            new(
                FunctionName="g",
                Layers=[arn("layer:l:1"), *(arn(f"layer:l{n}:1") for n in range(5))],
            ),
            "create_function_with_six_layers",
        ),
    ),
    *steps(
        _LAYERED,
        (
            "UpdateFunctionConfiguration",
            f(Layers=[arn("layer:l:9")]),
            "add_nonexistent_layer_version_exc",
        ),
        (
            "UpdateFunctionConfiguration",
            f(Layers=[arn("layer:doesnotexist:1")]),
            "add_nonexistent_layer_exc",
        ),
        (
            "UpdateFunctionConfiguration",
            f(Layers=[arn("layer:l")]),
            "add_layer_arn_without_version_exc",
        ),
        (
            "UpdateFunctionConfiguration",
            f(Layers=[arn("layer:l:1"), arn("layer:l:1")]),
            "two_identical_layer_versions_single_function_exc",
        ),
        (
            "UpdateFunctionConfiguration",
            f(Layers=[arn("layer:l:1"), arn("layer:l:2")]),
            "two_layer_versions_single_function_exc",
        ),
        (
            "CreateFunction",
            new(FunctionName="g", Layers=[arn("layer:l:1", "eu-central-1")]),
            "create_function_with_layer_in_different_region",
        ),
    ),
    *steps(
        _LAYERS,
        (
            "GetLayerVersion",
            {"LayerName": "l", "VersionNumber": -1},
            "get_layer_version_exc_layer_version_doesnotexist_negative",
        ),
        (
            "ListLayers",
            {"CompatibleArchitecture": "archdoesnotexist"},
            "list_layers_exc_compatiblearchitecture_invalid",
        ),
        (
            "ListLayers",
            {"CompatibleRuntime": "runtimedoesnotexist"},
            "list_layers_exc_compatibleruntime_invalid",
        ),
        (
            "GetLayerVersionByArn",
            {"Arn": arn("layer:l")},
            "get_layer_version_by_arn_exc_invalidarn",
        ),
        (
            "PublishLayerVersion",
            {
                **_LAYER,
                "CompatibleRuntimes": ["invalidruntime"],
                "CompatibleArchitectures": ["invalidarch"],
            },
            "publish_layer_version_exc_invalid_runtime_arch",
        ),
        (
            "PublishLayerVersion",
            {
                **_LAYER,
                "CompatibleRuntimes": ["invalidruntime", "invalidruntime2", "nodejs20.x"],
                "CompatibleArchitectures": ["invalidarch", "x86_64"],
            },
            "publish_layer_version_exc_partially_invalid_values",
        ),
    ),
    *steps(
        _LAYER_POLICY,
        (
            "AddLayerVersionPermission",
            {**_LAYER_GRANT, "Action": "*"},
            "layer_permission_action_invalid",
        ),
        (
            "AddLayerVersionPermission",
            {**_LAYER_GRANT, "LayerName": "l-doesnotexist"},
            "layer_permission_layername_doesnotexist_add",
        ),
        (
            "AddLayerVersionPermission",
            {**_LAYER_GRANT, "LayerName": "l0", "VersionNumber": 2},
            "layer_permission_layerversion_doesnotexist_add",
        ),
        ("AddLayerVersionPermission", _LAYER_GRANT, ""),
        ("AddLayerVersionPermission", _LAYER_GRANT, "layer_permission_duplicate_statement"),
        (
            "AddLayerVersionPermission",
            {**_LAYER_GRANT, "StatementId": "s2", "RevisionId": WRONG},
            "layer_permission_wrong_revision",
        ),
        (
            "RemoveLayerVersionPermission",
            {"LayerName": "l", "VersionNumber": 1, "StatementId": "doesnotexist"},
            "layer_permission_statementid_doesnotexist_remove",
        ),
    ),
]

SIGNING = [
    *FUNCTION,
    *steps(
        _SIGNING,
        (
            "PutFunctionCodeSigningConfig",
            f(CodeSigningConfigArn=_CSC),
            "put_function_csc_invalid_csc_arn",
        ),
        ("DeleteCodeSigningConfig", {"CodeSigningConfigArn": _CSC}, "delete_csc_notfound"),
        (
            "DeleteFunctionCodeSigningConfig",
            {"FunctionName": "csc-test-doesnotexist"},
            "delete_function_csc_fnnotfound",
        ),
    ),
]

_QUEUE = {"EventSourceArn": "arn:aws:sqs:us-east-1:000000000000:errors-queue"}
_STREAM = {
    "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/errors-stream",
    "StartingPosition": "LATEST",
}
_TABLE = {"EventSourceArn": "{LatestStreamArn}", "StartingPosition": "LATEST"}
_OF_SQS = "TestSQSEventSourceMapping"
_OF_KINESIS = "TestKinesisSource"
_OF_DYNAMODB = "TestDynamoDBEventSourceMapping"
_TABLE_MADE = {
    "TableName": "errors-table",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
    "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
}

EVENT_SOURCES = [
    *FUNCTION,
    Step("CreateQueue", {"QueueName": "errors-queue"}, service="sqs"),
    Step("CreateStream", {"StreamName": "errors-stream", "ShardCount": 1}, service="kinesis"),
    Step("CreateTable", _TABLE_MADE, service="dynamodb"),
    *steps(
        f"{_OF_SQS}::test_duplicate_event_source_mappings",
        ("CreateEventSourceMapping", f(**_QUEUE), ""),
        ("CreateEventSourceMapping", f(**_QUEUE), "error"),
    ),
    *steps(
        f"{_OF_SQS}::test_event_source_mapping_default_batch_size",
        ("GetEventSourceMapping", {"UUID": "{UUID}"}, ""),
        (
            "UpdateEventSourceMapping",
            {"UUID": "{UUID}", "BatchSize": 1000},
            "invalid-update-event-source-mapping",
        ),
    ),
    *steps(
        f"{_OF_KINESIS}::test_duplicate_event_source_mappings",
        ("CreateEventSourceMapping", f(**_STREAM), ""),
        ("CreateEventSourceMapping", f(**_STREAM), "error"),
    ),
    *steps(
        f"{_OF_DYNAMODB}::test_duplicate_event_source_mappings",
        ("CreateEventSourceMapping", f(**_TABLE), ""),
        ("CreateEventSourceMapping", f(**_TABLE), "error"),
    ),
    *steps(
        f"{_OF_DYNAMODB}::test_dynamodb_invalid_event_filter[single-string]",
        *(
            (
                "CreateEventSourceMapping",
                f(**_TABLE, FilterCriteria={"Filters": [{"Pattern": pattern}]}),
                "exception_event_source_creation",
            )
            for pattern in ("single-string", '[{"eventName": ["INSERT"]}]', '{"a": 1}')
        ),
    ),
    Step(
        "CreateEventSourceMapping",
        f(EventSourceArn="arn:aws:sqs:us-east-1:000000000000:no-queue"),
        "test_esm_with_not_existing_sqs_queue/error",
    ),
    *steps(
        f"{_OF_KINESIS}::test_esm_with_not_existing_kinesis_stream",
        (
            "CreateEventSourceMapping",
            f(
                EventSourceArn="arn:aws:kinesis:us-east-1:000000000000:stream/test-foobar-81ded7e8",
                StartingPosition="LATEST",
            ),
            "error",
        ),
    ),
    *steps(
        f"{_OF_DYNAMODB}::test_esm_with_not_existing_dynamodb_stream",
        (
            "CreateEventSourceMapping",
            f(
                EventSourceArn="arn:aws:dynamodb:us-east-1:000000000000:table/"
                "test-table-4a53f4e8/stream/2025-02-22T03:03:25.490",
                StartingPosition="LATEST",
            ),
            "error",
        ),
    ),
]

_SUBNETS = "TestLambdaFunction::test_invalid_vpc_config_subnet"
NETWORKS = [
    Step("DescribeSecurityGroups", {}, service="ec2"),
    *steps(
        _SUBNETS,
        (
            "CreateFunction",
            new(
                VpcConfig={
                    "SubnetIds": ["subnet-0123456789abcdef0"],
                    "SecurityGroupIds": ["{GroupId}"],
                }
            ),
            "create-response-non-existent-subnet-id",
        ),
        (
            "CreateFunction",
            new(
                VpcConfig={
                    "SubnetIds": ["bad-format-0123456789"],
                    "SecurityGroupIds": ["{GroupId}"],
                }
            ),
            "create-response-invalid-format-subnet-id",
        ),
    ),
]

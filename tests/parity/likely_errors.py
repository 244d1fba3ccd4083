"""Errors that AWS's rules give to calls that no shared recording has.

errors.txt names one place of every text and says how often it came; these are the other places
where the same rule must give it. A row is what to call, the status, the code and the message; of
the message `@` stands for `arn:aws:lambda:REGION:ACCOUNT`.

The function `f` has version 1 and the alias `a` of it; the layer `l` has version 1 and no policy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = tuple[str, Mapping[str, Any], int, str, str]

NOT_FOUND = "ResourceNotFoundException"
INVALID = "InvalidParameterValueException"
CONFLICT = "ResourceConflictException"
PRECONDITION = "PreconditionFailedException"
VALIDATION = "ValidationException"
_NO_RESOURCE = "The resource you requested does not exist."
_FUNCTION_GONE = "Function not found: @:function:nope"
_MISMATCH = "The derived qualifier from the function name does not match the specified qualifier."
_REVISION = (
    "The Revision Id provided does not match the latest Revision Id. Call the {} API to retrieve"
    " the latest Revision Id"
)
_TAGS_OF_VERSIONS = (
    "Tags on function aliases and versions are not supported. Please specify a function ARN."
)
_MUST = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: Member must"
_URL_PATTERN = r"satisfy regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)"
_ABROAD = "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"

F = {"FunctionName": "f"}
GONE = {"FunctionName": "nope"}
_GRANT = {
    "StatementId": "s",
    "Action": "lambda:InvokeFunction",
    "Principal": "s3.amazonaws.com",
}
_LAYER_GRANT = {
    "VersionNumber": 1,
    "StatementId": "s",
    "Action": "lambda:GetLayerVersion",
    "Principal": "*",
}
_ONE = {"ProvisionedConcurrentExecutions": 1}
_HERE = {"FunctionName": "@:function:nope:$LATEST"}
_ELSEWHERE = {"FunctionName": "arn:aws:lambda:eu-west-1:000000000000:function:f"}
_PROVISIONED_LATEST = "The function resource provided must be an alias or a published version."

_MISSING_FUNCTION: Sequence[Row] = [
    *(
        (name, GONE, 404, NOT_FOUND, _FUNCTION_GONE)
        for name in (
            "GetFunctionConfiguration",
            "GetFunctionConcurrency",
            "DeleteFunctionConcurrency",
            "GetFunctionCodeSigningConfig",
            "DeleteFunctionCodeSigningConfig",
            "GetFunctionRecursionConfig",
            "UpdateFunctionConfiguration",
            "PublishVersion",
            "ListVersionsByFunction",
            "ListAliases",
            "ListProvisionedConcurrencyConfigs",
        )
    ),
    *(
        (name, GONE, 404, NOT_FOUND, _NO_RESOURCE)
        for name in (
            "GetPolicy",
            "GetFunctionUrlConfig",
            "DeleteFunctionUrlConfig",
        )
    ),
    ("DeleteFunction", {**GONE, "Qualifier": "1"}, 404, NOT_FOUND, _FUNCTION_GONE),
    ("AddPermission", {**GONE, **_GRANT}, 404, NOT_FOUND, _FUNCTION_GONE),
    (
        "CreateFunctionUrlConfig",
        {**GONE, "AuthType": "NONE"},
        404,
        NOT_FOUND,
        "Function does not exist",
    ),
    ("GetAlias", {**GONE, "Name": "x"}, 404, NOT_FOUND, "Cannot find alias arn: @:function:nope:x"),
    (
        "PutFunctionEventInvokeConfig",
        {**GONE, "MaximumRetryAttempts": 0},
        404,
        NOT_FOUND,
        "The function doesn't exist.",
    ),
    (
        "UpdateFunctionEventInvokeConfig",
        {**GONE, "MaximumRetryAttempts": 0},
        404,
        NOT_FOUND,
        "The function doesn't exist.",
    ),
    (
        "PutFunctionConcurrency",
        {**GONE, "ReservedConcurrentExecutions": 1},
        404,
        NOT_FOUND,
        f"{_FUNCTION_GONE}:$LATEST",
    ),
    (
        "PutProvisionedConcurrencyConfig",
        {**GONE, "Qualifier": "1", **_ONE},
        404,
        NOT_FOUND,
        f"{_FUNCTION_GONE}:1",
    ),
]

_QUALIFIERS: Sequence[Row] = [
    *(
        (name, {**_HERE, "Qualifier": "1"}, 400, INVALID, _MISMATCH)
        for name in (
            "GetFunction",
            "GetFunctionConfiguration",
            "DeleteFunction",
            "GetFunctionEventInvokeConfig",
            "GetPolicy",
            "Invoke",
        )
    ),
    ("AddPermission", {"FunctionName": "f:1", "Qualifier": "2", **_GRANT}, 400, INVALID, _MISMATCH),
    (
        "GetFunctionConfiguration",
        {**F, "Qualifier": "1221"},
        404,
        NOT_FOUND,
        "Function not found: @:function:f:1221",
    ),
    (
        "GetFunctionConfiguration",
        {**F, "Qualifier": "$latest"},
        404,
        NOT_FOUND,
        "Function not found: @:function:f:$latest",
    ),
    ("Invoke", {**F, "Qualifier": "1221"}, 404, NOT_FOUND, "Function not found: @:function:f:1221"),
    (
        "DeleteFunction",
        {**F, "Qualifier": "a"},
        400,
        INVALID,
        "Deletion of aliases is not currently supported.",
    ),
    *(
        (name, {**F, "Qualifier": "$LATEST"}, 400, INVALID, _PROVISIONED_LATEST)
        for name in (
            "GetProvisionedConcurrencyConfig",
            "DeleteProvisionedConcurrencyConfig",
        )
    ),
    (
        "DeleteProvisionedConcurrencyConfig",
        {**F, "Qualifier": "noalias"},
        404,
        NOT_FOUND,
        "Cannot find alias arn: @:function:f:noalias",
    ),
    (
        "GetProvisionedConcurrencyConfig",
        {**F, "Qualifier": "10"},
        404,
        NOT_FOUND,
        "Function not found: @:function:f:10",
    ),
    (
        "RemovePermission",
        {**F, "StatementId": "s", "Qualifier": "alias-doesnotexist"},
        404,
        NOT_FOUND,
        "Cannot find alias arn: @:function:f:alias-doesnotexist",
    ),
    *(
        (
            name,
            {**F, "Qualifier": "1", **more},
            400,
            VALIDATION,
            f"{_MUST.format('1', 'qualifier')} {_URL_PATTERN}",
        )
        for name, more in (
            ("GetFunctionUrlConfig", {}),
            ("DeleteFunctionUrlConfig", {}),
            ("UpdateFunctionUrlConfig", {"AuthType": "NONE"}),
        )
    ),
]

_ABROAD_ROWS: Sequence[Row] = [
    (name, {**_ELSEWHERE, **more}, 404, NOT_FOUND, _ABROAD)
    for name, more in (
        ("GetFunctionConfiguration", {}),
        ("GetFunctionConcurrency", {}),
        ("GetPolicy", {}),
        ("ListAliases", {}),
        ("ListVersionsByFunction", {}),
        ("PublishVersion", {}),
        ("UpdateFunctionConfiguration", {}),
        ("AddPermission", _GRANT),
        ("PutFunctionConcurrency", {"ReservedConcurrentExecutions": 1}),
    )
]

_REVISIONS: Sequence[Row] = [
    (
        "UpdateAlias",
        {**F, "Name": "a", "RevisionId": "wrong"},
        412,
        PRECONDITION,
        _REVISION.format("GetFunction/GetAlias"),
    ),
    (
        "AddPermission",
        {**F, "RevisionId": "wrong", **_GRANT},
        412,
        PRECONDITION,
        _REVISION.format("GetPolicy"),
    ),
    (
        "AddLayerVersionPermission",
        {"LayerName": "l", "RevisionId": "wrong", **_LAYER_GRANT},
        412,
        PRECONDITION,
        _REVISION.format("GetLayerPolicy"),
    ),
]

_LAYERS: Sequence[Row] = [
    *(
        (
            name,
            {"LayerName": "l", "VersionNumber": 2, **more},
            404,
            NOT_FOUND,
            "Layer version @:layer:l:2 does not exist.",
        )
        for name, more in (
            ("GetLayerVersionPolicy", {}),
            ("RemoveLayerVersionPermission", {"StatementId": "s"}),
        )
    ),
    (
        "GetLayerVersionPolicy",
        {"LayerName": "l", "VersionNumber": 1},
        404,
        NOT_FOUND,
        "No policy is associated with the given resource.",
    ),
    (
        "GetLayerVersion",
        {"LayerName": "l", "VersionNumber": 0},
        400,
        INVALID,
        "Layer Version Cannot be less than 1",
    ),
    (
        "DeleteLayerVersion",
        {"LayerName": "l", "VersionNumber": -1},
        400,
        INVALID,
        "Layer Version Cannot be less than 1",
    ),
    ("GetLayerVersion", {"LayerName": "nope", "VersionNumber": 1}, 404, NOT_FOUND, _NO_RESOURCE),
    ("GetLayerVersionByArn", {"Arn": "@:layer:l:2"}, 404, NOT_FOUND, _NO_RESOURCE),
    (
        "ListLayerVersions",
        {"LayerName": "l", "CompatibleArchitecture": "x"},
        400,
        VALIDATION,
        f"{_MUST.format('x', 'compatibleArchitecture')} satisfy enum value set: [x86_64, arm64]",
    ),
]

_TAGS: Sequence[Row] = [
    (
        "UntagResource",
        {"Resource": "@:function:nope", "TagKeys": ["A"]},
        404,
        NOT_FOUND,
        _FUNCTION_GONE,
    ),
    ("ListTags", {"Resource": "@:function:nope"}, 404, NOT_FOUND, _FUNCTION_GONE),
    (
        "UntagResource",
        {"Resource": "@:function:f:1", "TagKeys": ["A"]},
        400,
        INVALID,
        _TAGS_OF_VERSIONS,
    ),
    ("ListTags", {"Resource": "@:function:f:$LATEST"}, 400, INVALID, _TAGS_OF_VERSIONS),
]

ROWS: Sequence[Row] = [
    *_MISSING_FUNCTION,
    *_QUALIFIERS,
    *_ABROAD_ROWS,
    *_REVISIONS,
    *_LAYERS,
    *_TAGS,
]

"""Validation texts recorded on AWS: each row is a request and AWS's answer to it, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_home.errors import InvalidParameterValueException, ValidationException
from lambda_home.user_api.protocol import validate

REGION = r"(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}"
NAME_START = rf"(arn:(aws[a-zA-Z-]*)?:lambda:)?({REGION}:)?(\d{{12}}:)?(function:)?"
NAME = NAME_START + r"([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
NAMESPACED = NAME_START + r"([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
URL_QUALIFIER = r"((?!^\d+$)^[0-9a-zA-Z-_]+$)"
QUALIFIER = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"
ROLE = r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
DESTINATION = (
    r"$|kafka://([^.]([a-zA-Z0-9\-_.]{0,248}))|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:"
    rf"({REGION})?:(\d{{12}})?:(.*)"
)
LAYER = (
    rf"(arn:(aws[a-zA-Z-]*)?:lambda:{REGION}:\d{{12}}:layer:[a-zA-Z0-9-_]+:[0-9]+)"
    r"|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+)"
)
TAGGABLE = (
    rf"arn:(aws[a-zA-Z-]*):lambda:{REGION}:\d{{12}}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|"
    r"[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}"
    r"|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}"
    r"-[0-9a-fA-F]{12}|capacity-provider:[a-zA-Z0-9-_]+)"
)
RUNTIMES = (
    "[nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x,"
    " java25, python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9,"
    " java17, nodejs16.x, dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2]"
)
LISTED_RUNTIMES = (
    "[ruby3.5, ruby2.6, dotnetcore1.0, python3.7, nodejs8.10, nasa, ruby2.7, python2.7-greengrass,"
    " dotnetcore2.0, python3.8, java21, dotnet6, dotnetcore2.1, python3.9, java11, nodejs6.10,"
    " provided, dotnetcore3.1, dotnet8, java25, java17, nodejs, nodejs4.3, java8.al2, go1.x,"
    " dotnet10, nodejs20.x, go1.9, byol, nodejs10.x, provided.al2023, nodejs22.x, python3.10,"
    " java8, nodejs12.x, python3.11, nodejs24.x, nodejs8.x, python3.12, nodejs14.x, nodejs8.9,"
    " nodejs26.x, python3.13, python3.14, nodejs16.x, python3.15, provided.al2, nodejs4.3-edge,"
    " nodejs18.x, ruby3.2, python3.4, ruby3.3, ruby3.4, ruby2.5, python3.6, python2.7]"
)
ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
WRONG_REGION = "arn:aws:lambda:invalid-region:000000000000:function"
UUID = "34d54246-6348-44b5-bf74-d395fceb25e8"
A129 = "a" * 129
CREATE: dict[str, Any] = {
    "FunctionName": "f",
    "Handler": "index.handler",
    "Code": {"ZipFile": b"zip"},
    "Role": "arn:aws:iam::000000000000:role/r",
    "Runtime": "python3.12",
}
ALIAS: dict[str, Any] = {"FunctionName": "f", "Name": "custom", "FunctionVersion": "1"}
SUBNETS = "Member must have length less than or equal to 1024, Member must have length greater than"
WEIGHTS = (
    "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member"
    " must have value greater than or equal to 0.0, Member must not be null]"
)
ARCHITECTURES = (
    "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member"
    " must not be null]"
)

Row = tuple[str, dict[str, Any], list[tuple[str, str, str]]]


def pattern(text: str) -> str:
    return f"Member must satisfy regular expression pattern: {text}"


def enum(text: str) -> str:
    return f"Member must satisfy enum value set: {text}"


def routing(weights: dict[str, float]) -> dict[str, Any]:
    return {**ALIAS, "RoutingConfig": {"AdditionalVersionWeights": weights}}


def bad_name(operation: str, name: str, expected: str, **params: Any) -> Row:
    return (
        operation,
        {**params, "FunctionName": name},
        [(f"'{name}'", "functionName", pattern(expected))],
    )


def bad_tag_target(resource: str) -> Row:
    return "ListTags", {"Resource": resource}, [(f"'{resource}'", "resource", pattern(TAGGABLE))]


def bad_url_qualifier(operation: str, qualifier: str, **params: Any) -> Row:
    return (
        operation,
        {"FunctionName": "f", "Qualifier": qualifier, **params},
        [(f"'{qualifier}'", "qualifier", pattern(URL_QUALIFIER))],
    )


ROWS: list[Row] = [
    bad_url_qualifier("CreateFunctionUrlConfig", "$LATEST", AuthType="NONE"),
    bad_url_qualifier("GetFunctionUrlConfig", "1"),
    bad_url_qualifier("UpdateFunctionUrlConfig", "2"),
    bad_name("CreateFunction", "*", NAME, **CREATE),
    bad_name("CreateFunction", "invalid:function:name", NAME, **CREATE),
    bad_name("CreateFunction", "my-function:invalid!", NAME, **CREATE),
    bad_name("CreateFunction", f"{ARN}my-function:$LATES", NAME, **CREATE),
    bad_name("CreateFunction", "function:my-function:$LATEST:extra", NAME, **CREATE),
    bad_name("GetFunction", f"{ARN}my-function:1:2", NAMESPACED),
    bad_name("GetFunction", "arn:aws:ec2:us-east-1:000000000000:instance:i-1234", NAMESPACED),
    bad_name("Invoke", "arn:aws:lambda:us-east-1:123400000000@function:myfn", NAMESPACED),
    bad_name(
        "Invoke", "arn:aws:lambda:invalid-region:000000000000:function:my-function", NAMESPACED
    ),
    bad_name("DeleteFunction", "arn:aws:lambda::000000000000:function:my-function", NAMESPACED),
    bad_name(
        "DeleteFunction", f"arn:aws:lambda:invalid-region:000000000000:function:{A129}", NAMESPACED
    ),
    bad_tag_target("arn:aws:something"),
    bad_tag_target(f"arn:aws:lambda:us-east-1:000000000000:foobar:{UUID}"),
    bad_tag_target(f"arn:aws:lambda:us-east-1:000000000000:capacity-provider:{UUID}:alias"),
    bad_tag_target(f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{UUID}:alias"),
    (
        "CreateFunction",
        {**CREATE, "FunctionName": f"{ARN}my-function-{'a' * 170}:{A129}!"},
        [
            (
                f"'{ARN}my-function-{'a' * 170}:{A129}!'",
                "functionName",
                "Member must have length less than or equal to 140",
            ),
            (f"'{ARN}my-function-{'a' * 170}:{A129}!'", "functionName", pattern(NAME)),
        ],
    ),
    (
        "GetFunction",
        {"FunctionName": f"{WRONG_REGION}:my-function-{'a' * 170}", "Qualifier": A129},
        [
            (f"'{A129}'", "qualifier", "Member must have length less than or equal to 128"),
            (
                f"'{WRONG_REGION}:my-function-{'a' * 170}'",
                "functionName",
                pattern(NAMESPACED),
            ),
        ],
    ),
    (
        "Invoke",
        {"FunctionName": "my-function", "Qualifier": A129},
        [(f"'{A129}'", "qualifier", "Member must have length less than or equal to 128")],
    ),
    (
        "DeleteFunction",
        {"FunctionName": "my-function", "Qualifier": "invalid!"},
        [("'invalid!'", "qualifier", pattern(QUALIFIER))],
    ),
    (
        "AddPermission",
        {
            "FunctionName": "f",
            "StatementId": "s",
            "Action": "lambda:InvokeFunction",
            "Principal": "s3.amazonaws.com",
            "Qualifier": "invalid-qualifier-with-?-char",
        },
        [("'invalid-qualifier-with-?-char'", "qualifier", pattern(QUALIFIER))],
    ),
    (
        "AddPermission",
        {
            "FunctionName": "f",
            "StatementId": "example.com",
            "Action": "lambda:InvokeFunction",
            "Principal": "s3.amazonaws.com",
        },
        [("'example.com'", "statementId", pattern("([a-zA-Z0-9-_]+)"))],
    ),
    (
        "AddLayerVersionPermission",
        {
            "LayerName": "l",
            "VersionNumber": 1,
            "StatementId": "s",
            "Action": "*",
            "Principal": "*",
        },
        [("'*'", "action", pattern("lambda:GetLayerVersion"))],
    ),
    (
        "PutProvisionedConcurrencyConfig",
        {"FunctionName": "f", "Qualifier": "1", "ProvisionedConcurrentExecutions": 0},
        [
            (
                "'0'",
                "provisionedConcurrentExecutions",
                "Member must have value greater than or equal to 1",
            )
        ],
    ),
    (
        "CreateAlias",
        {**ALIAS, "Name": "2024"},
        [("'2024'", "name", pattern("(?!^[0-9]+$)([a-zA-Z0-9-_]+)"))],
    ),
    (
        "CreateAlias",
        routing({"2": 2}),
        [("'{2=2.0}'", "routingConfig.additionalVersionWeights", WEIGHTS)],
    ),
    (
        "CreateAlias",
        routing({"2": -1.0}),
        [("'{2=-1.0}'", "routingConfig.additionalVersionWeights", WEIGHTS)],
    ),
    (
        "CreateAlias",
        routing({"$LATEST": 0.5}),
        [
            (
                "'{$LATEST=0.5}'",
                "routingConfig.additionalVersionWeights",
                (
                    "Map keys must satisfy constraint: [Member must have length less than or equal"
                    " to 1024, Member must have length greater than or equal to 1,"
                    f" {pattern('[0-9]+')}]"
                ),
            )
        ],
    ),
    (
        "PutFunctionRecursionConfig",
        {"FunctionName": "f", "RecursiveLoop": "InvalidValue"},
        [("'InvalidValue'", "recursiveLoop", enum("[Terminate, Allow]"))],
    ),
    (
        "CreateFunctionUrlConfig",
        {"FunctionName": "f", "AuthType": "NONE", "InvokeMode": "UNKNOWN"},
        [("'UNKNOWN'", "invokeMode", enum("[RESPONSE_STREAM, BUFFERED]"))],
    ),
    (
        "CreateEventSourceMapping",
        {"FunctionName": "f", "StartingPosition": "invalid"},
        [("'invalid'", "startingPosition", enum("[LATEST, AT_TIMESTAMP, TRIM_HORIZON]"))],
    ),
    (
        "ListFunctions",
        {"FunctionVersion": "invalid"},
        [("'invalid'", "functionVersion", enum("[ALL]"))],
    ),
    (
        "ListLayers",
        {"CompatibleArchitecture": "archdoesnotexist"},
        [("'archdoesnotexist'", "compatibleArchitecture", enum("[x86_64, arm64]"))],
    ),
    (
        "ListLayers",
        {"CompatibleRuntime": "runtimedoesnotexist"},
        [("'runtimedoesnotexist'", "compatibleRuntime", enum(LISTED_RUNTIMES))],
    ),
    (
        "CreateFunction",
        {**CREATE, "SnapStart": {"ApplyOn": "invalidOption"}},
        [("'invalidOption'", "snapStart.applyOn", enum("[PublishedVersions, None]"))],
    ),
    ("CreateFunction", {**CREATE, "Role": "r1"}, [("'r1'", "role", pattern(ROLE))]),
    (
        "UpdateFunctionConfiguration",
        {"FunctionName": "f", "Role": "r1"},
        [("'r1'", "role", pattern(ROLE))],
    ),
    (
        "CreateFunction",
        {**CREATE, "Architectures": ["X86_64"]},
        [("'[X86_64]'", "architectures", ARCHITECTURES)],
    ),
    (
        "CreateFunction",
        {**CREATE, "Architectures": ["x86_64", "arm64"]},
        [("'[x86_64, arm64]'", "architectures", "Member must have length less than or equal to 1")],
    ),
    (
        "CreateFunction",
        {**CREATE, "VpcConfig": {"SubnetIds": ["bad-format"], "SecurityGroupIds": ["sg-1"]}},
        [
            (
                "'[bad-format]'",
                "vpcConfig.subnetIds",
                (
                    f"Member must satisfy constraint: [{SUBNETS} or equal to 0,"
                    f" {pattern('subnet-[0-9a-z]*')}]"
                ),
            )
        ],
    ),
    (
        "CreateFunction",
        {**CREATE, "VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["bad"]}},
        [
            (
                "'[bad]'",
                "vpcConfig.securityGroupIds",
                (
                    f"Member must satisfy constraint: [{SUBNETS} or equal to 0,"
                    f" {pattern('sg-[0-9a-zA-Z]*')}]"
                ),
            )
        ],
    ),
    (
        "CreateFunction",
        {**CREATE, "Layers": ["arn:aws:lambda:us-east-1:000000000000:layer:l"]},
        [
            (
                "'[arn:aws:lambda:us-east-1:000000000000:layer:l]'",
                "layers",
                (
                    "Member must satisfy constraint: [Member must have length less than or equal to"
                    " 2048, Member must have length greater than or equal to 1,"
                    f" {pattern(LAYER)}, Member must not be null]"
                ),
            )
        ],
    ),
    (
        "GetLayerVersionByArn",
        {"Arn": "arn:aws:lambda:us-east-1:000000000000:layer:l"},
        [("'arn:aws:lambda:us-east-1:000000000000:layer:l'", "arn", pattern(LAYER))],
    ),
    (
        "PutFunctionEventInvokeConfig",
        {
            "FunctionName": "f",
            "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:_-/!lambda:us-east-1:0:f"}},
        },
        [
            (
                "'arn:aws:_-/!lambda:us-east-1:0:f'",
                "destinationConfig.onFailure.destination",
                pattern(DESTINATION),
            )
        ],
    ),
    (
        "UntagResource",
        {"Resource": f"{ARN}f"},
        [("null", "tagKeys", "Member must not be null")],
    ),
    (
        "PublishLayerVersion",
        {
            "LayerName": "l",
            "Content": {"ZipFile": b"zip"},
            "CompatibleRuntimes": ["invalidruntime", "invalidruntime2", "nodejs20.x"],
            "CompatibleArchitectures": ["invalidarch", "x86_64"],
        },
        [
            (
                "'[invalidruntime, invalidruntime2, nodejs20.x]'",
                "compatibleRuntimes",
                enum(RUNTIMES),
            ),
            ("'[invalidarch, x86_64]'", "compatibleArchitectures", ARCHITECTURES),
        ],
    ),
]


@pytest.mark.parametrize(("operation", "params", "expected"), ROWS)
def test_violations_read_as_recorded(
    operation: str, params: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    with pytest.raises(ValidationException) as caught:
        validate(operation, params)
    count = f"{len(expected)} validation error{'s' if len(expected) > 1 else ''} detected: "
    assert caught.value.message == count + "; ".join(
        f"Value {value} at '{member}' failed to satisfy constraint: {text}"
        for value, member, text in expected
    )


@pytest.mark.parametrize("operation", ["CreateFunction", "UpdateFunctionConfiguration"])
@pytest.mark.parametrize("runtime", ["non-existent-runtime", "PYTHON3.9", "nasa"])
def test_an_unknown_runtime_has_a_text_of_its_own(operation: str, runtime: str) -> None:
    with pytest.raises(InvalidParameterValueException) as caught:
        validate(operation, {**CREATE, "Runtime": runtime})
    assert caught.value.message == (
        f"Value {runtime} at 'runtime' failed to satisfy constraint: {enum(RUNTIMES)}"
        " or be a valid ARN"
    )


@pytest.mark.parametrize("runtime", ["dotnetcore3.1", "go1.x", "java8", "provided", "ruby2.7"])
def test_a_deprecated_runtime_is_no_longer_supported(runtime: str) -> None:
    with pytest.raises(InvalidParameterValueException) as caught:
        validate("CreateFunction", {**CREATE, "Runtime": runtime})
    assert caught.value.message == (
        f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS"
        " Lambda functions. We recommend you use a supported runtime while creating or updating"
        " functions."
    )


@pytest.mark.parametrize("runtime", ["python3.15", "nodejs26.x", "python3.8", "ruby4.0"])
def test_runtimes_that_are_not_deprecated_are_accepted(runtime: str) -> None:
    validate("CreateFunction", {**CREATE, "Runtime": runtime})


def test_a_new_name_over_64_is_an_invalid_parameter_on_create_only() -> None:
    name = "a" * 65
    with pytest.raises(InvalidParameterValueException) as caught:
        validate("CreateFunction", {**CREATE, "FunctionName": name})
    assert caught.value.message == (
        f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy"
        " constraint: Member must have length less than or equal to 64"
    )
    for operation in ("GetFunction", "DeleteFunction", "Invoke"):
        validate(operation, {"FunctionName": name})


@pytest.mark.parametrize("name", ["f", ARN + "f" * 64, "function:f:1", "f:$LATEST"])
def test_the_limit_of_a_name_counts_the_name_alone(name: str) -> None:
    validate("CreateFunction", {**CREATE, "FunctionName": name})


def test_deprecated_runtimes_are_fine_for_a_layer() -> None:
    content = {"LayerName": "l", "Content": {"ZipFile": b"zip"}}
    validate("PublishLayerVersion", {**content, "CompatibleRuntimes": ["python3.7", "java25"]})

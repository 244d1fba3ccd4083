"""Calls that AWS answered with the errors of cases whose calls were not captured.

A scene is calls in an account of its own, in order. A step that names where an error was recorded
must be answered with it; any other must succeed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from parity.packages import UNZIPPED_LIMIT, package, package_of, upload_of


@dataclass(frozen=True, slots=True)
class Step:
    """One call; `where` names the recorded error, empty for none."""

    operation: str
    parameters: Mapping[str, Any]
    where: str = ""
    service: str = "lambda"


def arn(rest: str, region: str = "us-east-1") -> str:
    """An ARN of Lambda in the account of the scene."""
    return f"arn:aws:lambda:{region}:000000000000:{rest}"


ZIP = package("errors")
WRONG = "wrong"
NEW: Mapping[str, Any] = {
    "FunctionName": "f",
    "Runtime": "python3.12",
    "Role": "arn:aws:iam::000000000000:role/r",
    "Handler": "handler.handler",
    "Code": {"ZipFile": ZIP},
}
F: Mapping[str, Any] = {"FunctionName": "f"}
FUNCTION = (Step("CreateFunction", NEW), Step("GetFunction", F))
PUBLISHED = (*FUNCTION, Step("PublishVersion", F))
ALIASED = (*PUBLISHED, Step("CreateAlias", {**F, "Name": "a", "FunctionVersion": "1"}))


def steps(
    case: str, *calls: tuple[str, Mapping[str, Any], str], service: str = "lambda"
) -> list[Step]:
    return [
        Step(operation, parameters, f"{case}/{key}" if key else "", service)
        for operation, parameters, key in calls
    ]


def new(**other: Any) -> Mapping[str, Any]:
    return {**NEW, **other}


def f(**other: Any) -> Mapping[str, Any]:
    return {**F, **other}


def missing(**other: Any) -> Mapping[str, Any]:
    return {"FunctionName": "doesnotexist", **other}


_CREATE = "TestLambdaFunction::test_create_lambda_exceptions"
_ARNS = "TestLambdaFunction::test_function_arns"
_OLD = (
    "TestRuntimeValidation::test_create_deprecated_function_runtime_with_validation_enabled[{}]"
    "/deprecation_error"
)
_PROVISIONED = "TestLambdaProvisionedConcurrency::test_provisioned_concurrency_exceptions"
_PAYLOAD = "TestLambdaErrors::test_lambda_invoke_payload_encoding_error"
_BODY, _TEXT = b"n\x87r\x9e\xe9\xb5\xd7I\xee\x9bmt", b"\x99\xeb,j\x07\xa1zYh"
_SOME = arn("function:some-function:$LATEST")

CREATING = [
    *steps(
        _CREATE,
        ("CreateFunction", new(Code={"ZipFile": b"this is not a ZIP"}), "invalid_zip_exc"),
        ("CreateFunction", new(Role="r1"), "invalid_role_arn_exc"),
        ("CreateFunction", new(Runtime="non-existent-runtime"), "invalid_runtime_exc"),
        ("CreateFunction", new(Runtime="PYTHON3.9"), "uppercase_runtime_exc"),
        ("CreateFunction", new(Architectures=["X86_64"]), "uppercase_architecture"),
        ("CreateFunction", new(Architectures=["x86_64", "arm64"]), "multiple_architectures"),
    ),
    *steps(
        _ARNS,
        ("CreateFunction", new(FunctionName="a" * 65), "long_function_name_exc"),
        (
            "CreateFunction",
            new(FunctionName=arn("function:" + "a" * 141)),
            "long_function_arn_exc",
        ),
        (
            "CreateFunction",
            new(FunctionName="invalid:function:name"),
            "invalid_function_name_exc",
        ),
        (
            "CreateFunction",
            new(FunctionName=arn("function:f", "ap-southeast-1")),
            "function_arn_other_region_exc",
        ),
        (
            "CreateFunction",
            new(FunctionName="arn:aws:lambda:us-east-1:123456789012:function:f"),
            "function_arn_other_account_exc",
        ),
    ),
    *(
        Step("CreateFunction", new(Runtime=runtime), _OLD.format(runtime))
        for runtime in ("dotnetcore3.1", "java8", "ruby2.7")
    ),
    *steps(
        "TestLambdaSizeLimits::test_large_environment_variables_fails",
        (
            "CreateFunction",
            new(Environment={"Variables": {"LARGE_VAR": "x" * 4081}}),
            "failed_create_fn_result",
        ),
    ),
    *steps(
        "TestLambdaSizeLimits::test_oversized_lambda",
        (
            "CreateFunction",
            new(Code={"ZipFile": partial(package_of, UNZIPPED_LIMIT)}),
            "invalid_param_exc",
        ),
    ),
    *steps(
        "TestLambdaFunction::test_list_functions",
        ("ListFunctions", {"FunctionVersion": "invalid"}, "list_functions_invalid_functionversion"),
    ),
    *steps(
        "TestLambdaFunction::test_ops_with_arn_qualifier_mismatch[delete_function]",
        ("DeleteFunction", {"FunctionName": _SOME, "Qualifier": "$LATEST"}, "match_exception"),
        ("DeleteFunction", {"FunctionName": _SOME, "Qualifier": "1"}, "not_match_exception"),
    ),
]

USING = [
    *ALIASED,
    *steps(
        "TestLambdaFeatures::test_invoke_exceptions",
        ("Invoke", missing(), "invoke_function_doesnotexist"),
    ),
    *steps(
        "TestLambdaAliases::test_lambda_alias_moving",
        ("Invoke", f(Qualifier="non-existent-alias"), "invocation_exc_not_existent"),
    ),
    Step(
        "Invoke",
        f(Payload=_BODY),
        f"{_PAYLOAD}[body-n\\x87r\\x9e\\xe9\\xb5\\xd7I\\xee\\x9bmt]"
        "/invoke_function_invalid_payload_body",
    ),
    Step(
        "Invoke",
        f(Payload=_TEXT),
        f"{_PAYLOAD}[message-\\x99\\xeb,j\\x07\\xa1zYh]/invoke_function_invalid_payload_message",
    ),
    *steps(
        "TestLambdaFunction::test_ops_on_nonexisting_version[get_function_event_invoke_config]",
        ("GetFunctionEventInvokeConfig", f(Qualifier="1221"), "version_not_found_exception"),
    ),
    *steps(
        "TestLambdaAlias::test_non_existent_alias_update",
        ("UpdateAlias", f(Name="non-existent"), "update_alias_response"),
    ),
    *steps(
        "TestLambdaVersions::test_publish_with_wrong_revisionid",
        ("PublishVersion", f(RevisionId=WRONG), "publish_wrong_revisionid_exc"),
    ),
    *steps(
        "TestLambdaRecursion::test_put_function_recursion_config_invalid_value",
        (
            "PutFunctionRecursionConfig",
            f(RecursiveLoop="InvalidValue"),
            "put_recursion_invalid_value_error",
        ),
    ),
    *steps(
        "TestLambdaURL::test_lambda_url_invalid_invoke_mode",
        (
            "CreateFunctionUrlConfig",
            f(AuthType="NONE", InvokeMode="UNKNOWN"),
            "invoke_function_invalid_invoke_type",
        ),
    ),
    *steps(
        "TestLambdaConcurrency::test_lambda_concurrency_block",
        ("PutFunctionConcurrency", f(ReservedConcurrentExecutions=0), ""),
        ("Invoke", F, "invoke_latest_first_exc"),
    ),
    *steps(
        "TestLambdaReservedConcurrency::test_function_concurrency_limits",
        (
            "PutFunctionConcurrency",
            f(ReservedConcurrentExecutions=901),
            "put_function_concurrency_account_limit_exceeded",
        ),
    ),
    *steps(
        "TestLambdaFunction::test_function_lifecycle",
        ("DeleteFunction", F, ""),
        ("DeleteFunction", F, "delete_postdelete"),
    ),
    *steps(
        "TestLambdaFunction::test_delete_on_nonexisting_version",
        ("DeleteFunction", missing(), "delete_function_response_non_existent"),
    ),
]

PROVISIONED = [
    *ALIASED,
    *steps(
        _PROVISIONED,
        (
            "PutProvisionedConcurrencyConfig",
            f(Qualifier="1", ProvisionedConcurrentExecutions=0),
            "put_provisioned_invalid_param_0",
        ),
        (
            "PutProvisionedConcurrencyConfig",
            f(Qualifier="$LATEST", ProvisionedConcurrentExecutions=1),
            "put_provisioned_latest",
        ),
        (
            "PutProvisionedConcurrencyConfig",
            f(Qualifier="doesnotexist", ProvisionedConcurrentExecutions=1),
            "put_provisioned_qualifier_doesnotexist",
        ),
        ("GetProvisionedConcurrencyConfig", f(Qualifier="$LATEST"), "get_provisioned_latest"),
        (
            "GetProvisionedConcurrencyConfig",
            f(Qualifier="noalias"),
            "get_provisioned_qualifier_doesnotexist",
        ),
        (
            "GetProvisionedConcurrencyConfig",
            missing(Qualifier="noalias"),
            "get_provisioned_functionname_doesnotexist",
        ),
        (
            "DeleteProvisionedConcurrencyConfig",
            missing(Qualifier="1"),
            "delete_provisioned_functionname_doesnotexist",
        ),
    ),
    *steps(
        "TestLambdaConcurrency::test_lambda_provisioned_concurrency_moves_with_alias",
        ("GetProvisionedConcurrencyConfig", f(Qualifier="1"), "provisioned_concurrency_notfound"),
    ),
    *steps(
        "TestLambdaProvisionedConcurrency::test_provisioned_concurrency_limits",
        (
            "PutProvisionedConcurrencyConfig",
            f(Qualifier="1", ProvisionedConcurrentExecutions=1001),
            "put_provisioned_concurrency_account_limit_exceeded",
        ),
        (
            "PutProvisionedConcurrencyConfig",
            f(Qualifier="1", ProvisionedConcurrentExecutions=901),
            "put_provisioned_concurrency_below_unreserved_min_value",
        ),
    ),
    *steps(
        "TestLambdaConcurrency::test_reserved_provisioned_overlap",
        (
            "PutProvisionedConcurrencyConfig",
            f(Qualifier="1", ProvisionedConcurrentExecutions=2),
            "",
        ),
        (
            "PutFunctionConcurrency",
            f(ReservedConcurrentExecutions=1),
            "reserved_lower_than_provisioned_exc",
        ),
        ("PutFunctionConcurrency", f(ReservedConcurrentExecutions=2), ""),
        ("UpdateFunctionConfiguration", f(Description="2"), ""),
        ("GetFunction", F, ""),
        ("PublishVersion", F, ""),
        (
            "PutProvisionedConcurrencyConfig",
            f(Qualifier="2", ProvisionedConcurrentExecutions=1),
            "reserved_equals_provisioned_another_provisioned_exc",
        ),
    ),
]

IMAGES = [
    Step(
        "CreateFunction",
        {
            "FunctionName": "i",
            "Role": NEW["Role"],
            "Code": {"ImageUri": "image:latest"},
            "PackageType": "Image",
        },
    ),
    Step("GetFunction", {"FunctionName": "i"}),
    *steps(
        "TestLambdaImages::test_lambda_image_versions",
        ("PublishVersion", {"FunctionName": "i", "CodeSha256": "a" * 64}, "invalid_sha_publish"),
    ),
]

LARGE = [
    *steps(
        "TestLambdaSizeLimits::test_oversized_zipped_create_lambda",
        (
            "CreateFunction",
            new(Code={"ZipFile": partial(upload_of, 52_428_801)}),
            "invalid_param_exc",
        ),
    ),
]

"""What a create or an update asks for: kept, merged and refused as on AWS."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_home.arns import Scope
from lambda_home.errors import InvalidParameterValueException, ValidationException
from lambda_home.functions import Code, FunctionVersion
from lambda_home.user_api.function_settings import changes, check_code

ZIP = {"Runtime": "python3.12", "Handler": "a.b"}
IMAGE = {"PackageType": "Image"}


def version(**members: Any) -> FunctionVersion:
    basics: dict[str, Any] = {
        "scope": Scope("000000000000", "us-east-1"),
        "name": "fn",
        "version": "$LATEST",
        "runtime": "python3.12",
        "handler": "a.b",
        "role": "r",
        "code": Code("k", "s", 1),
        "revision_id": "1",
        "last_modified": "",
    }
    return FunctionVersion(**(basics | members))


def kept(**params: Any) -> Any:
    return changes({**ZIP, **params})["documents"]


def refusal(params: dict[str, Any], latest: FunctionVersion | None = None) -> str:
    with pytest.raises(InvalidParameterValueException) as caught:
        changes(params, latest)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "given", "stored"),
    [
        ({}, {"LogFormat": "Text"}, {"LogFormat": "Text"}),
        ({}, {"LogGroup": "g"}, {"LogGroup": "g"}),
        (
            {},
            {"LogFormat": "JSON"},
            {"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"},
        ),
        (
            {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "LogGroup": "g"},
            {"SystemLogLevel": "WARN"},
            {
                "LogFormat": "JSON",
                "ApplicationLogLevel": "DEBUG",
                "SystemLogLevel": "WARN",
                "LogGroup": "g",
            },
        ),
        (
            {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "LogGroup": "g"},
            {"LogFormat": "Text"},
            {"LogFormat": "Text", "LogGroup": "g"},
        ),
    ],
)
def test_logging_settings_are_merged_and_levels_belong_to_json(
    old: dict[str, str], given: dict[str, str], stored: dict[str, str]
) -> None:
    latest = version(documents={"LoggingConfig": old})
    documents: Any = changes({"LoggingConfig": given}, latest)["documents"]
    assert documents["LoggingConfig"] == stored


@pytest.mark.parametrize(
    ("member", "empty"),
    [
        ("DeadLetterConfig", {}),
        ("DeadLetterConfig", {"TargetArn": ""}),
        ("KMSKeyArn", ""),
        ("FileSystemConfigs", []),
        ("ImageConfig", {}),
    ],
)
def test_an_empty_value_takes_a_member_away(member: str, empty: object) -> None:
    assert kept(**{member: empty})[member] is None


def test_what_is_not_given_is_not_changed() -> None:
    assert changes({}, version()) == {"documents": {}}


@pytest.mark.parametrize(
    ("runtime", "allowed"),
    [
        ("java11", True),
        ("java17", True),
        ("java25", True),
        ("java8.al2", False),
        ("python3.12", True),
        ("python3.14", True),
        ("python3.11", False),
        ("dotnet8", True),
        ("dotnet10", True),
        ("dotnet6", False),
        ("nodejs22.x", False),
        ("provided.al2023", False),
    ],
)
def test_some_runtimes_have_snap_start(runtime: str, *, allowed: bool) -> None:
    params = {**ZIP, "Runtime": runtime, "SnapStart": {"ApplyOn": "PublishedVersions"}}
    if allowed:
        documents: Any = changes(params)["documents"]
        assert documents["SnapStart"] == {
            "ApplyOn": "PublishedVersions",
            "OptimizationStatus": "Off",
        }
    else:
        assert refusal(params) == f"{runtime} is not supported for SnapStart enabled functions."
    changes({**params, "SnapStart": {"ApplyOn": "None"}})


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (
            {"Handler": "a.b"},
            (
                "Runtime and Handler are mandatory parameters for functions created with deployment"
                " packages."
            ),
        ),
        (
            {"Runtime": "python3.12"},
            (
                "Runtime and Handler are mandatory parameters for functions created with deployment"
                " packages."
            ),
        ),
        (
            {**IMAGE, "Handler": "a.b"},
            (
                "Please don't provide Handler or Runtime or Layer when the intended function"
                " PackageType is Image."
            ),
        ),
        (
            {**IMAGE, "Layers": ["arn"]},
            (
                "Please don't provide Handler or Runtime or Layer when the intended function"
                " PackageType is Image."
            ),
        ),
        (
            {**ZIP, "LoggingConfig": {"ApplicationLogLevel": "DEBUG"}},
            (
                'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from'
                ' your request or change the LogFormat to "JSON" and try again.'
            ),
        ),
        (
            {**ZIP, "MemorySize": 10_241},
            (
                "'MemorySize' value failed to satisfy constraint: Member must have value less than"
                " or equal to 10240"
            ),
        ),
        (
            {**ZIP, "ImageConfig": {"Command": ["x"]}},
            "Please don't provide ImageConfig when the intended function PackageType is Zip.",
        ),
        (
            {**ZIP, "DeadLetterConfig": {"TargetArn": "arn:aws:s3:::bucket"}},
            "The dead-letter target arn:aws:s3:::bucket is neither an SQS queue nor an SNS topic.",
        ),
    ],
)
def test_what_does_not_fit_is_refused(params: dict[str, Any], text: str) -> None:
    assert refusal(params) == text


def test_an_image_needs_neither_runtime_nor_handler() -> None:
    assert changes(IMAGE) == {"documents": {}}


@pytest.mark.parametrize(
    ("code", "package_type", "updating", "text"),
    [
        (
            {"ZipFile": b"z"},
            "Image",
            True,
            "Please provide ImageUri when updating a function with packageType Image.",
        ),
        (
            {"S3Bucket": "b", "S3Key": "k"},
            "Image",
            True,
            "Please provide ImageUri when updating a function with packageType Image.",
        ),
        (
            {"ImageUri": "i"},
            "Zip",
            True,
            "Please don't provide ImageUri when updating a function with packageType Zip.",
        ),
        (
            {},
            "Image",
            False,
            "Please provide ImageUri when the intended function PackageType is Image.",
        ),
        (
            {"ImageUri": "i"},
            "Zip",
            False,
            "Please don't provide ImageUri when the intended function PackageType is Zip.",
        ),
        ({"ImageUri": "i"}, "Image", True, None),
        ({"ZipFile": b"z"}, "Zip", False, None),
    ],
)
def test_code_must_be_of_the_functions_kind(
    code: dict[str, Any], package_type: str, *, updating: bool, text: str | None
) -> None:
    if text is None:
        check_code(code, package_type, updating=updating)
        return
    with pytest.raises(InvalidParameterValueException) as caught:
        check_code(code, package_type, updating=updating)
    assert str(caught.value) == text


def test_managed_instances_have_defaults_of_their_own_and_take_new_functions_only() -> None:
    managed = {"CapacityProviderArn": "arn"}
    params = {
        **ZIP,
        "CapacityProviderConfig": {"LambdaManagedInstancesCapacityProviderConfig": managed},
    }
    made: Any = changes(params)
    assert made["memory_mb"] == 2048
    kept_config = made["documents"]["CapacityProviderConfig"]
    assert kept_config["LambdaManagedInstancesCapacityProviderConfig"] == {
        "CapacityProviderArn": "arn",
        "ExecutionEnvironmentMemoryGiBPerVCpu": 2.0,
        "PerExecutionEnvironmentMaxConcurrency": 16,
    }
    assert "memory_mb" not in changes(params, version(documents=made["documents"]))
    assert refusal(params, version()) == (
        "CapacityProviderConfig isn't supported for Lambda Default functions."
    )
    with pytest.raises(ValidationException, match="greater than or equal to 2048"):
        changes({**params, "MemorySize": 512})

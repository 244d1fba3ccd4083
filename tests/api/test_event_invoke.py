"""What is configured for asynchronous invokes, through boto3: answers and errors as AWS's."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import create, fresh_name

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

SOURCE = "def handler(event, context):\n    return 1\n"
ROOT = "arn:aws:lambda:us-east-1:000000000000:function"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:queue"
EMPTY: dict[str, Any] = {"OnSuccess": {}, "OnFailure": {}}


@pytest.fixture
def name(api: LambdaClient) -> str:
    return create(api, SOURCE)


def shown(answer: Any) -> dict[str, Any]:
    """An answer without what every answer has; its time is now."""
    answer.pop("ResponseMetadata", None)
    age = dt.datetime.now(dt.UTC) - answer.pop("LastModified")
    assert abs(age.total_seconds()) < 60
    return dict(answer)


def refusal(call: Any, **params: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as refused:
        call(**params)
    response: Any = refused.value.response
    assert response["Type"] == "User"
    error = response["Error"]
    return response["ResponseMetadata"]["HTTPStatusCode"], error["Code"], error["Message"]


def test_put_replaces_and_update_merges(api: LambdaClient, name: str) -> None:
    arn = f"{ROOT}:{name}:$LATEST"
    put = api.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    expected = {"FunctionArn": arn, "MaximumRetryAttempts": 0, "DestinationConfig": EMPTY}
    assert shown(put) == expected
    again = api.put_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=60)
    expected = {"FunctionArn": arn, "MaximumEventAgeInSeconds": 60, "DestinationConfig": EMPTY}
    assert shown(again) == expected
    updated = api.update_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    assert shown(updated) == {**expected, "MaximumRetryAttempts": 1}
    got: Any = api.get_function_event_invoke_config(FunctionName=name, Qualifier="$LATEST")
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert shown(got) == {**expected, "MaximumRetryAttempts": 1}


def test_destinations_are_shown_as_they_were_given(api: LambdaClient, name: str) -> None:
    other = create(api, SOURCE)
    given: Any = {
        "OnSuccess": {"Destination": f"{ROOT}:{other}"},
        "OnFailure": {"Destination": "arn:aws:s3:::bucket"},
    }
    put = api.put_function_event_invoke_config(FunctionName=name, DestinationConfig=given)
    assert put["DestinationConfig"] == given
    kept = api.update_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    assert kept["DestinationConfig"] == given
    less = api.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {}}
    )
    assert less["DestinationConfig"] == EMPTY


def test_versions_and_latest_have_configurations_of_their_own(api: LambdaClient, name: str) -> None:
    api.publish_version(FunctionName=name)
    ways: Any = ({"FunctionName": name, "Qualifier": "1"}, {"FunctionName": f"{name}:1"})
    for qualified in ways:
        put = api.put_function_event_invoke_config(**qualified, MaximumRetryAttempts=1)
        assert put["FunctionArn"] == f"{ROOT}:{name}:1"
    api.put_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=120)
    first = api.list_function_event_invoke_configs(FunctionName=name, MaxItems=1)
    (latest,) = first["FunctionEventInvokeConfigs"]
    assert latest["FunctionArn"].endswith(":$LATEST")
    marker = first["NextMarker"]
    rest: Any = api.list_function_event_invoke_configs(FunctionName=name, Marker=marker)
    (version,) = rest["FunctionEventInvokeConfigs"]
    assert (version["FunctionArn"], version["MaximumRetryAttempts"]) == (f"{ROOT}:{name}:1", 1)
    assert "NextMarker" not in rest
    gone: Any = api.delete_function_event_invoke_config(FunctionName=name)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    left = api.list_function_event_invoke_configs(FunctionName=name)["FunctionEventInvokeConfigs"]
    assert [each["FunctionArn"] for each in left] == [f"{ROOT}:{name}:1"]


def test_what_is_missing_is_told_in_aws_words(api: LambdaClient, name: str) -> None:
    missing = fresh_name()
    no_function = (404, "ResourceNotFoundException", "The function doesn't exist.")
    put: Any = api.put_function_event_invoke_config
    update: Any = api.update_function_event_invoke_config
    get: Any = api.get_function_event_invoke_config
    delete: Any = api.delete_function_event_invoke_config
    for call in (put, update):
        assert refusal(call, FunctionName=missing, MaximumRetryAttempts=1) == no_function
        given: Any = {"FunctionName": name, "Qualifier": "nowhere", "MaximumRetryAttempts": 1}
        assert refusal(call, **given) == no_function
    assert refusal(api.list_function_event_invoke_configs, FunctionName=missing) == no_function

    def none(arn: str) -> tuple[int, str, str]:
        text = f"The function {ROOT}:{arn} doesn't have an EventInvokeConfig"
        return 404, "ResourceNotFoundException", text

    assert refusal(update, FunctionName=name, MaximumRetryAttempts=1) == none(f"{name}:$LATEST")
    for call in (get, delete):
        assert refusal(call, FunctionName=missing) == none(f"{missing}:$LATEST")
        assert refusal(call, FunctionName=name) == none(f"{name}:$LATEST")
        assert refusal(call, FunctionName=name, Qualifier="7") == none(f"{name}:7")


def test_values_are_checked_in_aws_order_and_words(api: LambdaClient, name: str) -> None:
    put = api.put_function_event_invoke_config

    def says(**params: Any) -> str:
        status, code, message = refusal(put, **params)
        assert (status, code) == (400, "InvalidParameterValueException")
        return message

    nothing = "You must specify at least one of error handling or destination setting."
    assert says(FunctionName="doesnotexist") == nothing
    mismatch = "The derived qualifier from the function name does not match the specified qualifier"
    assert says(FunctionName=f"{name}:1", Qualifier="2", MaximumRetryAttempts=1) == f"{mismatch}."

    def to(success: str | None = None, failure: str | None = None) -> str:
        config: Any = {}
        if success:
            config["OnSuccess"] = {"Destination": success}
        if failure:
            config["OnFailure"] = {"Destination": failure}
        return says(FunctionName=name, DestinationConfig=config)

    absent = f"{ROOT}:doesnotexist"
    assert to(absent) == f"The destination ARN {absent} is invalid."
    itself = "You can't specify the function as a destination for itself."
    assert to(None, f"{ROOT}:{name}") == itself
    wrong = "arn:aws:iam:us-east-1:000000000000:function:x"
    prefix = "The provided destination config DestinationConfig(onSuccess"
    assert to(wrong) == f"{prefix}=OnSuccess(destination={wrong}), onFailure=null) is invalid."
    bucket = "arn:aws:s3:::bucket"
    assert to(bucket, QUEUE) == (
        f"{prefix}=OnSuccess(destination={bucket}), onFailure=OnFailure(destination={QUEUE}))"
        " is invalid."
    )


def test_the_configuration_goes_with_its_function(api: LambdaClient, name: str) -> None:
    api.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    api.delete_function(FunctionName=name)
    create(api, SOURCE, name)
    listed = api.list_function_event_invoke_configs(FunctionName=name)
    assert listed["FunctionEventInvokeConfigs"] == []

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from lambda_home.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
    ThrottleReason,
    TooManyRequestsException,
    ValidationException,
)
from lambda_home.user_api.protocol import serialize, serialize_error


def test_json_results_carry_their_status_and_leave_none_out() -> None:
    result = {
        "FunctionName": "f",
        "Description": "",
        "Environment": {"Variables": {}, "Error": None},
    }
    status, headers, body = serialize("CreateFunction", {**result, "VpcConfig": None})
    assert (status, headers) == (201, {"content-type": "application/json"})
    assert json.loads(body) == {
        "FunctionName": "f",
        "Description": "",
        "Environment": {"Variables": {}},
    }


def test_invoke_puts_members_into_status_headers_and_payload() -> None:
    result = {"StatusCode": 202, "Payload": b"", "FunctionError": None, "LogResult": "bG9n"}
    assert serialize("Invoke", result) == (
        202,
        {"content-type": "application/json", "X-Amz-Log-Result": "bG9n"},
        b"",
    )


@pytest.mark.parametrize("operation", ["DeleteFunction", "TagResource", "DeleteAlias"])
def test_204_has_no_body(operation: str) -> None:
    assert serialize(operation, {}) == (204, {}, b"")


def test_an_empty_result_is_an_empty_object() -> None:
    assert serialize("GetAccountSettings")[2] == b"{}"


def test_event_source_mapping_times_are_epoch_numbers_and_last_modified_is_text() -> None:
    instant = datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)
    _, _, body = serialize("GetEventSourceMapping", {"LastModified": instant})
    assert body == b'{"LastModified":1767225600.25}'
    _, _, body = serialize(
        "GetEventSourceMapping", {"LastModified": instant.replace(microsecond=0)}
    )
    assert body == b'{"LastModified":1767225600}'
    _, _, body = serialize(
        "GetFunctionConfiguration", {"LastModified": "2026-01-01T00:00:00.000+0000"}
    )
    assert body == b'{"LastModified":"2026-01-01T00:00:00.000+0000"}'


def test_text_is_utf8_on_the_wire() -> None:
    _, _, body = serialize("GetFunctionConfiguration", {"Description": "näme"})
    assert body == '{"Description":"näme"}'.encode()


def test_a_member_the_model_does_not_have_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="GetFunction has no output member Foo"):
        serialize("GetFunction", {"Foo": 1})
    with pytest.raises(TypeError, match="FunctionConfiguration has no member Foo"):
        serialize("GetFunction", {"Configuration": {"Foo": 1}})


def test_errors_carry_their_code_in_a_header() -> None:
    status, headers, body = serialize_error(ResourceNotFoundException("Function not found: x"))
    assert (status, headers["x-amzn-ErrorType"]) == (404, "ResourceNotFoundException")
    assert json.loads(body) == {"Type": "User", "Message": "Function not found: x"}
    assert json.loads(serialize_error(ValidationException("v"))[2]) == {"message": "v"}
    assert json.loads(serialize_error(AccessDeniedException())[2]) == {"Message": None}
    no_type = InvalidParameterValueException("m", fault_type=None)
    assert json.loads(serialize_error(no_type)[2]) == {"message": "m"}


def test_a_throttle_says_when_to_come_back() -> None:
    error = TooManyRequestsException(ThrottleReason.RESERVED_CONCURRENT, retry_after_s=7)
    status, headers, body = serialize_error(error)
    assert (status, headers["Retry-After"]) == (429, "7")
    assert json.loads(body) == {
        "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
        "Type": "User",
        "message": "Rate Exceeded.",
    }

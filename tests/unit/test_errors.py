"""Errors: their bodies, and that AWS's model knows them under the same names and members."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest

from lambda_home import errors
from lambda_home.errors import ApiError, ConfigurationError, LambdaHomeError, ThrottleReason

API_ERRORS = sorted(ApiError.__subclasses__(), key=lambda kind: kind.__name__)
MODEL: Any = botocore.session.Session().get_service_model("lambda")
MODELLED = {str(shape.name): shape for shape in MODEL.error_shapes}
LOGS: Any = botocore.session.Session().get_service_model("logs")
OF_LOGS = {str(shape.name) for shape in LOGS.error_shapes}
# Codes that AWS answers although the model does not list them, each seen in recorded answers or
# common to all of AWS's REST services.
UNMODELLED = {
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "NotImplementedException",
    "RequestEntityTooLargeException",
    "SerializationException",
    "ServiceUnavailableException",
    "UnknownOperationException",
    "UnrecognizedClientException",
    "ValidationException",
}


def made(kind: type[ApiError], message: str | None = "why") -> ApiError:
    if kind is errors.TooManyRequestsException:
        return errors.TooManyRequestsException(ThrottleReason.CONCURRENT, message or "")
    return kind(message)


def test_every_error_is_modelled_by_aws_or_known_not_to_be() -> None:
    unknown = {kind.__name__ for kind in API_ERRORS} - MODELLED.keys()
    assert unknown - UNMODELLED <= OF_LOGS
    assert unknown >= UNMODELLED


@pytest.mark.parametrize("kind", [k for k in API_ERRORS if k.__name__ in MODELLED])
def test_a_modelled_error_has_the_members_and_status_of_the_model(kind: type[ApiError]) -> None:
    shape = MODELLED[kind.__name__]
    in_body = {name for name, m in shape.members.items() if "location" not in m.serialization}
    assert set(made(kind).body()) == in_body
    assert kind.status == shape.metadata["error"]["httpStatusCode"]
    fault = "User" if shape.metadata["error"].get("senderFault") else "Service"
    assert made(kind).body()["Type"] == fault


@pytest.mark.parametrize("kind", API_ERRORS)
def test_the_code_is_the_name_of_the_class(kind: type[ApiError]) -> None:
    error = made(kind)
    assert error.code == kind.__name__
    assert isinstance(error, LambdaHomeError)
    assert str(error) == "why"
    assert 400 <= error.status < 600


BODIES: list[tuple[ApiError, dict[str, object]]] = [
    (errors.ResourceNotFoundException("x"), {"Type": "User", "Message": "x"}),
    (errors.InvalidParameterValueException("x"), {"Type": "User", "message": "x"}),
    (
        errors.InvalidParameterValueException("x", fault_type=None),
        {"message": "x"},
    ),
    (errors.ServiceException("x"), {"Type": "Service", "Message": "x"}),
    (errors.ServiceUnavailableException("x"), {"Type": "Service", "Message": "x"}),
    (errors.AccessDeniedException(), {"Message": None}),
    (errors.ValidationException("x"), {"message": "x"}),
    (errors.RequestEntityTooLargeException("x"), {"message": "x"}),
    (errors.SerializationException("x"), {"Message": "x"}),
    (errors.UnknownOperationException(), {"message": None}),
    (
        errors.TooManyRequestsException(ThrottleReason.RESERVED_CONCURRENT),
        {
            "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
            "Type": "User",
            "message": "Rate Exceeded.",
        },
    ),
]


@pytest.mark.parametrize(("error", "body"), BODIES, ids=lambda value: type(value).__name__)
def test_the_body_has_these_members_in_this_order(error: ApiError, body: dict[str, object]) -> None:
    assert list(error.body().items()) == list(body.items())


def test_throttle_reasons_are_those_of_the_model() -> None:
    known = set(MODEL.shape_for("ThrottleReason").enum)
    assert {str(reason) for reason in ThrottleReason} <= known


def test_a_throttled_caller_is_told_when_to_come_back() -> None:
    assert errors.TooManyRequestsException(ThrottleReason.CALLER_RATE).retry_after_s == 1
    late = errors.TooManyRequestsException(ThrottleReason.CALLER_RATE, "wait", retry_after_s=9)
    assert (late.retry_after_s, late.body()["message"]) == (9, "wait")


def test_a_wrong_setting_is_no_answer_to_a_client() -> None:
    assert not issubclass(ConfigurationError, ApiError)
    assert issubclass(ConfigurationError, LambdaHomeError)


def test_the_module_draws_every_error() -> None:
    assert errors.__doc__ is not None
    for kind in API_ERRORS:
        assert f" {kind.__name__} " in errors.__doc__

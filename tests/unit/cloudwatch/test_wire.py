"""AWS JSON 1.1: requests held against the model, errors, and the table of operations."""

from __future__ import annotations

import gzip
import json

import pytest

from lambda_home import errors
from lambda_home.access.gate import iam_action
from lambda_home.access.roles import Role, allows
from lambda_home.cloudwatch import app, names, wire
from lambda_home.cloudwatch.operations import HANDLERS
from lambda_home.user_api.protocol import deviations

ADMIN, DEPLOYER, INVOKER, VIEWER = Role.ADMIN, Role.DEPLOYER, Role.INVOKER, Role.VIEWER


def test_every_operation_that_is_ours_has_a_handler_and_a_model() -> None:
    assert app.OPERATION_MODULES
    assert {*HANDLERS, "StartLiveTail"} == names.PERFORMED == set(wire.operations())


def test_what_lambda_does_differently_does_not_change_the_model_of_logs() -> None:
    shapes = {
        shape.name
        for operation in wire.operations().values()
        for top in (operation.input, operation.output)
        for shape in (top, *(member.shape for member in top.members.values()))
    }
    for table in (
        deviations.ENUM_VALUES,
        deviations.PATTERNS,
        deviations.MAXIMA,
        deviations.NULLABLE_ELEMENTS,
        deviations.UNWRAPPED_LISTS,
        deviations.MEMBER_ORDER,
    ):
        assert shapes.isdisjoint(table)


@pytest.mark.parametrize(
    ("operation", "body", "said"),
    [
        (
            "GetLogEvents",
            {"logGroupName": "g", "logStreamName": "s", "limit": 10_001},
            (
                "1 validation error detected: Value '10001' at 'limit' failed to satisfy"
                " constraint: Member must have value less than or equal to 10000"
            ),
        ),
        (
            "CreateLogGroup",
            {"logGroupName": "a" * 513},
            "Invalid LogGroup or LogStream, both must have length less than or equal to 512.",
        ),
        (
            "CreateLogGroup",
            {},
            (
                "1 validation error detected: Value null at 'logGroupName' failed to satisfy"
                " constraint: Member must not be null"
            ),
        ),
        (
            "PutLogEvents",
            {
                "logGroupName": "g",
                "logStreamName": "a:b",
                "logEvents": [{"timestamp": 1, "message": ""}],
            },
            (
                "2 validation errors detected: Value 'a:b' at 'logStreamName' failed to satisfy"
                " constraint: Member must satisfy regular expression pattern: [^:*]*;"
                " Value '' at 'logEvents.1.member.message' failed to satisfy constraint:"
                " Member must have length greater than or equal to 1"
            ),
        ),
    ],
)
def test_a_request_that_breaks_the_model(operation: str, body: object, said: str) -> None:
    with pytest.raises(errors.InvalidParameterException) as refused:
        wire.read(operation, json.dumps(body).encode())
    assert refused.value.message == said


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"limit": "x"}', b"\xff"])
def test_a_body_that_is_not_the_document_it_must_be(body: bytes) -> None:
    with pytest.raises(errors.SerializationException):
        wire.read("DescribeLogGroups", body)


def test_a_body_may_be_packed() -> None:
    body = b'{"logGroupName": "g"}'
    assert wire.unpacked(gzip.compress(body)) == body


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", errors.SerializationException),
        (gzip.compress(b"{}")[:-9], errors.SerializationException),
        (gzip.compress(b" " * (names.REQUEST_LIMIT + 1)), errors.RequestEntityTooLargeException),
    ],
)
def test_a_body_that_is_packed_badly_or_too_long(body: bytes, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        wire.unpacked(body)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ResourceNotFoundException("gone"), 400),
        (errors.AccessDeniedException("no"), 400),
        (errors.LimitExceededException("full"), 400),
        (errors.RequestEntityTooLargeException("long"), 413),
        (errors.ServiceUnavailableException("down"), 503),
    ],
)
def test_an_error_is_a_document_with_its_type(error: errors.ApiError, status: int) -> None:
    found, headers, body = wire.write_error(error)
    assert found == status
    assert dict(headers)[b"content-type"] == b"application/x-amz-json-1.1"
    assert json.loads(body) == {"__type": error.code, "message": error.message}


@pytest.mark.parametrize(
    ("operation", "intended"),
    [
        ("GetLogEvents", {ADMIN, DEPLOYER, VIEWER}),
        ("FilterLogEvents", {ADMIN, DEPLOYER, VIEWER}),
        ("DescribeLogGroups", {ADMIN, DEPLOYER, VIEWER}),
        ("ListTagsForResource", {ADMIN, DEPLOYER, VIEWER}),
        ("StartLiveTail", {ADMIN, DEPLOYER, VIEWER}),
        ("CreateLogGroup", {ADMIN, DEPLOYER, INVOKER}),
        ("CreateLogStream", {ADMIN, DEPLOYER, INVOKER}),
        ("PutLogEvents", {ADMIN, DEPLOYER, INVOKER}),
        ("DeleteLogGroup", {ADMIN, DEPLOYER}),
        ("DeleteLogStream", {ADMIN, DEPLOYER}),
        ("PutRetentionPolicy", {ADMIN, DEPLOYER}),
        ("PutSubscriptionFilter", {ADMIN, DEPLOYER}),
        ("TagResource", {ADMIN, DEPLOYER}),
    ],
)
def test_an_operation_is_for(operation: str, intended: set[Role]) -> None:
    assert {role for role in Role if allows(role, f"logs:{operation}")} == intended
    assert iam_action(f"logs:{operation}") == f"logs:{operation}"


@pytest.mark.parametrize("action", ["logs:", "logs:*", "logs:getLogEvents", "xlogs:GetLogEvents"])
def test_what_is_no_operation_is_for_admins(action: str) -> None:
    assert {role for role in Role if allows(role, action)} == {ADMIN}


def test_a_change_is_what_alters_a_group() -> None:
    changes = {name for name in names.PERFORMED if names.is_change(name)}
    assert {"CreateLogGroup", "DeleteLogStream", "PutRetentionPolicy", "TagResource"} < changes
    assert changes.isdisjoint({"PutLogEvents", "GetLogEvents", "StartLiveTail", "ListLogGroups"})

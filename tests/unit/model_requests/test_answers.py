"""What the fuzz and the tour of all operations hold against an answer: each rule can fail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from model_requests.answers import Answer, faults_of_result, faults_of_wire

ID = {"x-amzn-requestid": "1", "content-type": "application/json"}
URL = {
    "FunctionUrl": "https://example/",
    "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:example",
    "AuthType": "NONE",
    "CreationTime": "2026-01-01T00:00:00Z",
    "LastModifiedTime": "2026-01-01T00:00:00Z",
}


def wire(status: int, document: Any, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {**ID, **named}, json.dumps(document).encode())


def refused(code: str, status: int = 400, **members: Any) -> list[str]:
    return faults_of_wire("GetFunction", wire(status, members, x_amzn_errortype=code))


def test_a_right_answer_has_no_fault() -> None:
    assert faults_of_wire("GetFunctionUrlConfig", wire(200, URL)) == []
    assert faults_of_wire("DeleteFunction", Answer(204, ID, b"")) == []
    assert refused("ResourceNotFoundException", 404, Type="User", Message="none") == []
    assert refused("InvalidParameterValueException", message="none") == []
    assert refused("AccessDeniedException", 403, message=None) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"AuthType": None}, "AuthType is missing"),
        ({"AuthType": "SOME"}, "no value of FunctionUrlAuthType"),
        ({"FunctionUrl": 5}, "not of type string"),
        ({"Cors": {"AllowOrigins": [None]}}, "not of type string"),
        ({"Cors": {"MaxAge": True}}, "not of type integer"),
        ({"Unknown": 1}, "no member"),
    ],
)
def test_a_wrong_result_is_found(change: dict[str, Any], fault: str) -> None:
    result = {name: value for name, value in {**URL, **change}.items() if value is not None}
    (found,) = faults_of_result("GetFunctionUrlConfig", result)
    assert fault in found


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(200, {}, b"{}"), "no x-amzn-RequestId"),
        (Answer(204, ID, b"{}"), "204 has a body"),
        (Answer(200, ID, b"<html>"), "no JSON"),
        (wire(200, {"Unknown": 1}), "unknown members"),
        (Answer(400, ID, b"{}"), "no x-amzn-ErrorType"),
    ],
)
def test_a_wrong_answer_is_found(answer: Answer, fault: str) -> None:
    assert any(fault in found for found in faults_of_wire("GetFunction", answer))


@pytest.mark.parametrize(
    ("code", "status", "members", "fault"),
    [
        ("ResourceNotFoundException", 400, {"Message": "x"}, "has status 400"),
        ("ResourceNotFoundException", 404, {"message": "x"}, "spells Message as message"),
        ("ResourceNotFoundException", 404, {}, "has the messages []"),
        ("ResourceNotFoundException", 404, {"Message": 5}, "is 5"),
        ("ResourceNotFoundException", 404, {"Message": "", "Type": "Else"}, "has the Type 'Else'"),
        ("ValidationException", 400, {"message": "", "Type": "User"}, "the model does not"),
        ("InventedException", 400, {"message": "x"}, "has status 400"),
    ],
)
def test_a_wrong_error_is_found(
    code: str, status: int, members: dict[str, Any], fault: str
) -> None:
    (found,) = refused(code, status, **members)
    assert fault in found

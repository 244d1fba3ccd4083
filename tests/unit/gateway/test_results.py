"""What functions give, as responses: both formats, and what is no response at all."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.errors import (
    AccessDeniedException,
    InvalidRuntimeException,
    RecursiveInvocationException,
    RequestTooLargeException,
    ResourceConflictException,
    ResourceNotFoundException,
    ServiceException,
    ServiceUnavailableException,
    ThrottleReason,
    TooManyRequestsException,
)
from lambda_home.gateway.errors import (
    IntegrationTimeoutError,
    MalformedResponseError,
    PayloadFormat,
    RouteNotFoundError,
)
from lambda_home.gateway.messages import HttpResponse
from lambda_home.gateway.results import (
    PRELUDE_END,
    response_v1,
    response_v2,
    stream_response,
    to_response,
)
from lambda_home.invocations import InvocationResult

BOTH = [response_v1, response_v2]
JSON, TEXT = "application/json", "text/plain; charset=utf-8"
V1, V2 = PayloadFormat.V1, PayloadFormat.V2


def encoded(result: object) -> bytes:
    return json.dumps(result).encode()


def kind_of(response: HttpResponse) -> str | None:
    return dict(response.fields).get("content-type")


@pytest.mark.parametrize(
    ("result", "status", "kind", "body"),
    [
        ({"statusCode": 201, "body": "x"}, 201, JSON, b"x"),
        ({"statusCode": 204}, 204, None, b""),
        ({"statusCode": 200, "body": None, "headers": None}, 200, None, b""),
        ({"body": "x"}, 200, JSON, b"x"),
        ({"body": {"a": 1}}, 200, JSON, b'{"a": 1}'),
        ("text", 200, TEXT, b"text"),
        ("", 200, TEXT, b""),
        ({"a": 1}, 200, JSON, b'{"a": 1}'),
        ([1], 200, JSON, b"[1]"),
        (7, 200, JSON, b"7"),
        (None, 200, JSON, b"null"),
    ],
)
def test_results_of_format_1_0(result: object, status: int, kind: str | None, body: bytes) -> None:
    response = response_v1(encoded(result))
    assert (response.status, kind_of(response), response.body) == (status, kind, body)


@pytest.mark.parametrize(
    ("result", "status", "kind", "body"),
    [
        ({"statusCode": 201, "body": "x"}, 201, "text/plain;charset=UTF-8", b"x"),
        ({"statusCode": "404"}, 404, None, b""),
        ({"body": "x"}, 200, JSON, b'{"body": "x"}'),
        ("text", 200, JSON, b"text"),
        ({"a": 1}, 200, JSON, b'{"a": 1}'),
        ([1], 200, JSON, b"[1]"),
        (None, 200, JSON, b"null"),
    ],
)
def test_results_of_format_2_0(result: object, status: int, kind: str | None, body: bytes) -> None:
    response = response_v2(encoded(result))
    assert (response.status, kind_of(response), response.body) == (status, kind, body)


@pytest.mark.parametrize("read", BOTH)
@pytest.mark.parametrize(
    "wrong",
    [
        {"statusCode": "abc"},
        {"statusCode": None},
        {"statusCode": True},
        {"statusCode": 99},
        {"statusCode": 600},
        {"statusCode": 200.5},
        {"statusCode": float("inf")},
        {"statusCode": [200]},
        {"headers": []},
        {"headers": "x"},
        {"headers": {"a": ["b"]}},
        {"headers": {"a": {}}},
        {"multiValueHeaders": {"a": "b"}},
        {"multiValueHeaders": {"a": [{}]}},
        {"cookies": "a=b"},
        {"cookies": [1]},
        {"body": {"a": 1}},
        {"body": 1},
        {"isBase64Encoded": "yes"},
        {"isBase64Encoded": True, "body": "%%%"},
        {"isBase64Encoded": True, "body": "YQ"},
        {"isBase64Encoded": True, "body": "é"},
    ],
    ids=str,
)
def test_what_is_no_response_is_refused(read: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedResponseError):
        read(encoded({"statusCode": 200, **wrong}))


@pytest.mark.parametrize("read", BOTH)
@pytest.mark.parametrize("payload", [b"<html>", b"\xff", b"{", b"[" * 100_000])
def test_what_is_no_json_is_refused(read: Any, payload: bytes) -> None:
    with pytest.raises(MalformedResponseError):
        read(payload)


def test_an_endless_number_is_refused() -> None:
    with pytest.raises(MalformedResponseError):
        response_v1(b'{"statusCode": NaN}')


@pytest.mark.parametrize("read", BOTH)
def test_headers_of_all_kinds_are_merged(read: Any) -> None:
    result = {
        "statusCode": 200,
        "headers": {"X-One": "1", "x-two": "2", "x-number": 1.5, "x-flag": False, "x-none": None},
        "multiValueHeaders": {"x-one": ["1", "3"], "x-list": [4, True]},
        "cookies": ["a=1", "b=2"],
    }
    assert read(encoded(result)).fields == [
        ("x-two", "2"),
        ("x-number", "1.5"),
        ("x-flag", "false"),
        ("x-one", "1"),
        ("x-one", "3"),
        ("x-list", "4"),
        ("x-list", "true"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ]


@pytest.mark.parametrize("read", BOTH)
def test_a_content_type_of_the_functions_own_stays(read: Any) -> None:
    result = {"statusCode": 200, "headers": {"Content-Type": "a/b"}, "body": "x"}
    assert read(encoded(result)).fields == [("Content-Type", "a/b")]


@given(body=st.binary())
def test_binary_bodies_are_decoded(body: bytes) -> None:
    text = base64.b64encode(body).decode()
    result = {"statusCode": 200, "isBase64Encoded": True, "body": text}
    assert response_v1(encoded(result)).body == body


@given(payload=st.binary(max_size=200))
def test_whatever_comes_is_a_response_or_refused(payload: bytes) -> None:
    for read in BOTH:
        try:
            read(payload)
        except MalformedResponseError:
            continue


@given(
    result=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "statusCode",
                        "headers",
                        "multiValueHeaders",
                        "cookies",
                        "body",
                        "isBase64Encoded",
                    ]
                ),
                inner,
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_json_comes_is_a_response_or_refused(result: object) -> None:
    for read in BOTH:
        try:
            read(encoded(result))
        except MalformedResponseError:
            continue


def ended(payload: bytes = b"{}", error_type: str | None = None) -> InvocationResult:
    error = None if error_type is None else "Unhandled"
    return InvocationResult("id", payload, "1", error, error_type=error_type)


@pytest.mark.parametrize(
    ("outcome", "status", "in_v1", "in_v2"),
    [
        (ended(b'{"errorMessage": "secret"}', "KeyError"), 502, "Internal server error", None),
        (ended(b"{}", "Sandbox.Timedout"), 504, "Endpoint request timed out", None),
        (IntegrationTimeoutError(), 504, "Endpoint request timed out", None),
        (MalformedResponseError("why"), 502, "Internal server error", None),
        (RouteNotFoundError(), 404, "Not Found", None),
        (ResourceNotFoundException("Function not found: x"), 502, "Internal server error", None),
        (RequestTooLargeException("x"), 413, "Request Too Long", "Request Entity Too Large"),
        (TooManyRequestsException(ThrottleReason.CONCURRENT), 429, "Too Many Requests", None),
        (AccessDeniedException(None), 403, "Forbidden", None),
        (AccessDeniedException("User: x"), 403, "User: x", None),
        (RecursiveInvocationException("x"), 502, "Internal server error", None),
        (ResourceConflictException("x"), 502, "Internal server error", None),
        (InvalidRuntimeException("x"), 502, "Internal server error", None),
        (ServiceUnavailableException("x"), 503, "Service Unavailable", None),
        (ServiceException("x"), 500, "Internal server error", None),
        (ZeroDivisionError("secret"), 500, "Internal server error", None),
    ],
)
def test_errors_are_worded_as_api_gateway_words_them(
    outcome: Any, status: int, in_v1: str, in_v2: str | None
) -> None:
    in_v2 = in_v2 or in_v1.replace("Internal server error", "Internal Server Error")
    for payload_format, message in ((V1, in_v1), (V2, in_v2)):
        response = to_response(outcome, payload_format)
        assert response.status == status
        assert json.loads(response.body) == {"message": message}
        assert kind_of(response) == JSON


def test_a_throttled_caller_hears_when_to_come_back() -> None:
    error = TooManyRequestsException(ThrottleReason.RATE, retry_after_s=3)
    assert ("retry-after", "3") in to_response(error, V1).fields


def test_a_stream_that_nobody_read_along_is_a_response_too() -> None:
    payload = encoded({"statusCode": 201, "headers": {"x-a": "1"}}) + PRELUDE_END + b"\xff\0body"
    for read in BOTH:
        response = read(payload)
        assert (response.status, response.body) == (201, b"\xff\0body")
        assert ("x-a", "1") in response.fields


def test_the_head_of_a_stream_comes_from_its_prelude_or_its_content_type() -> None:
    assert stream_response("text/html", None).fields == [("content-type", "text/html")]
    assert stream_response("", None).fields == [("content-type", "application/octet-stream")]
    described = stream_response("", b'{"statusCode": 404, "cookies": ["a=b"]}')
    assert described.status == 404
    assert described.fields[0] == ("set-cookie", "a=b")
    for prelude in (b"[]", b"{", b'{"statusCode": 1}'):
        with pytest.raises(MalformedResponseError):
            stream_response("", prelude)

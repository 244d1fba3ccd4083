"""Function URL configurations as documents."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_home.arns import FunctionRef, Scope
from lambda_home.user_api import function_url_rules as rules

REF = FunctionRef(Scope("123456789012", "eu-west-1"), "fn")
BASE = "http://127.0.0.1:9000"


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("http://127.0.0.1:9000", "http://u.lambda-url.eu-west-1.localhost:9000/"),
        ("https://lambda.test:8443", "https://u.lambda-url.eu-west-1.localhost:8443/"),
        ("http://[::1]:9000", "http://u.lambda-url.eu-west-1.localhost:9000/"),
        ("http://lambda.test", "http://u.lambda-url.eu-west-1.localhost/"),
        ("http://[::1", "http://u.lambda-url.eu-west-1.localhost/"),
        ("http://lambda.test:nonsense", "http://u.lambda-url.eu-west-1.localhost/"),
    ],
)
def test_a_url_is_at_the_port_at_which_the_server_was_reached(base_url: str, expected: str) -> None:
    assert rules.function_url(base_url, "u", "eu-west-1") == expected


def test_only_what_was_sent_is_stored_and_headers_are_in_lower_case() -> None:
    given = {
        "AuthType": "NONE",
        "Cors": {
            "AllowHeaders": ["X-One", "y"],
            "AllowMethods": ["GET"],
            "ExposeHeaders": ["Date"],
            "MaxAge": 0,
        },
    }
    document = rules.new_document("u", given, "then")
    assert document == {
        "UrlId": "u",
        "CreationTime": "then",
        "LastModifiedTime": "then",
        "AuthType": "NONE",
        "Cors": {
            "AllowHeaders": ["x-one", "y"],
            "AllowMethods": ["GET"],
            "ExposeHeaders": ["date"],
            "MaxAge": 0,
        },
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"AuthType": "NONE", "Cors": {"MaxAge": 1}}),
        ({"AuthType": "AWS_IAM"}, {"AuthType": "AWS_IAM", "Cors": {"MaxAge": 1}}),
        ({"Cors": {"MaxAge": 2}}, {"AuthType": "NONE", "Cors": {"MaxAge": 2}}),
        (
            {"Cors": {"AllowCredentials": False}},
            {"AuthType": "NONE", "Cors": {"AllowCredentials": False}},
        ),
        ({"Cors": {}}, {"AuthType": "NONE"}),
        (
            {"InvokeMode": "RESPONSE_STREAM"},
            {"AuthType": "NONE", "Cors": {"MaxAge": 1}, "InvokeMode": "RESPONSE_STREAM"},
        ),
    ],
)
def test_an_update_keeps_what_is_not_given(given: dict[str, Any], expected: dict[str, Any]) -> None:
    old = rules.new_document("u", {"AuthType": "NONE", "Cors": {"MaxAge": 1}}, "then")
    times = {"CreationTime": "then", "LastModifiedTime": "now"}
    assert rules.changed_document(old, given, "now") == {"UrlId": "u", **times, **expected}


def test_only_get_tells_an_invoke_mode_that_was_never_sent_and_only_create_no_change() -> None:
    document = rules.new_document("u", {"AuthType": "NONE"}, "then")
    told = {
        "AuthType": "NONE",
        "CreationTime": "then",
        "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:fn",
        "FunctionUrl": "http://u.lambda-url.eu-west-1.localhost:9000/",
    }
    assert rules.created(document, REF, BASE) == told
    assert rules.changed(document, REF, BASE) == {**told, "LastModifiedTime": "then"}
    shown = rules.shown(document, REF, BASE)
    assert shown == {**told, "LastModifiedTime": "then", "InvokeMode": "BUFFERED"}

"""Events of both payload formats: golden files, and what no request may lose."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.gateway.events_v1 import event_v1
from lambda_home.gateway.events_v2 import domain_of, event_v2, log_time
from lambda_home.gateway.messages import HttpRequest, RouteContext

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))
EVENTS = {"1.0": event_v1, "2.0": event_v2}
CONTEXT = RouteContext(account_id="123456789012", api_id="lambdahome")


def request_in(document: dict[str, Any]) -> HttpRequest:
    body = base64.b64decode(document["body_base64"])
    fields = [(name, value) for name, value in document["fields"]]
    members = {name: value for name, value in document.items() if name != "body_base64"}
    return HttpRequest(**{**members, "fields": fields, "body": body})


def simple(body: bytes = b"", query: str = "", **fields: str) -> HttpRequest:
    named = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return HttpRequest("POST", "/a", query, named, body, "192.0.2.7", "x", 1583348638390, "id")


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_an_event_is_as_the_golden_file_has_it(path: Path) -> None:
    golden = json.loads(path.read_text())
    route = RouteContext(**golden["route"])
    event = EVENTS[golden["format"]](request_in(golden["request"]), route=route)
    assert event == golden["event"]
    assert json.loads(json.dumps(event)) == event


def test_format_1_0_has_every_member_of_lambda_at_home() -> None:
    event = event_v1(simple(b"{}", "a=1", content_type="application/json"), route=CONTEXT)
    wanted = {
        "resource": "/{proxy+}",
        "path": "/a",
        "httpMethod": "POST",
        "headers": {"content-type": "application/json"},
        "queryStringParameters": {"a": "1"},
        "pathParameters": None,
        "stageVariables": None,
        "body": "{}",
        "isBase64Encoded": False,
    }
    assert wanted.items() <= event.items()
    assert event["requestContext"]["path"] == "/a"


@pytest.mark.parametrize("payload_format", EVENTS)
@given(body=st.binary(), kind=st.sampled_from(["text/plain", "application/json", "a/b", ""]))
def test_no_byte_of_a_body_is_lost(payload_format: str, body: bytes, kind: str) -> None:
    event = EVENTS[payload_format](simple(body, content_type=kind), route=CONTEXT)
    given_body = event.get("body") or ""
    seen = base64.b64decode(given_body) if event["isBase64Encoded"] else given_body.encode()
    assert seen == body


@pytest.mark.parametrize(
    ("kind", "in_v1", "in_v2"),
    [
        ("text/html; charset=utf-8", True, True),
        ("TEXT/PLAIN", True, True),
        ("application/json", True, True),
        ("application/xml", True, True),
        ("application/javascript", True, True),
        ("application/problem+json", True, False),
        ("image/svg+xml", True, False),
        ("application/x-www-form-urlencoded", True, False),
        ("", True, False),
        ("application/octet-stream", False, False),
        ("image/png", False, False),
        ("multipart/form-data; boundary=x", False, False),
        ("application/jsonlike", False, False),
    ],
)
def test_the_content_type_says_what_is_text(kind: str, *, in_v1: bool, in_v2: bool) -> None:
    request = simple(b"x", content_type=kind)
    assert event_v1(request, route=CONTEXT)["isBase64Encoded"] is not in_v1
    assert event_v2(request, route=CONTEXT)["isBase64Encoded"] is not in_v2


def test_members_without_anything_in_them() -> None:
    first = event_v1(simple(), route=CONTEXT)
    assert first["queryStringParameters"] is None
    assert first["multiValueQueryStringParameters"] is None
    assert first["body"] is None
    second = event_v2(simple(), route=CONTEXT)
    left_out = {"cookies", "queryStringParameters", "pathParameters", "stageVariables", "body"}
    assert not left_out & second.keys()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "01/Jan/1970:00:00:00 +0000"), (1584039838, "12/Mar/2020:19:03:58 +0000")],
)
def test_times_are_written_as_in_access_logs(seconds: int, text: str) -> None:
    assert log_time(seconds) == text


@pytest.mark.parametrize(
    ("host", "domain"), [("a.b:80", "a.b"), ("a.b", "a.b"), ("[::1]:80", "[::1]"), ("", "")]
)
def test_a_domain_is_the_host_without_its_port(host: str, domain: str) -> None:
    assert domain_of(host) == domain

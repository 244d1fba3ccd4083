"""Contract row 34 and features row 56: what functions answer, and what the admin API is sent.

A function here is a hostile runtime: it posts bytes of its own as its result, past any client.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from functions_under_test import create, fresh_name, invoke
from live import LiveServer
from raw_http import FUNCTIONS, invocations, request

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

RUNTIME = """
import base64, os, socket, time
HOST, _, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
def handler(event, context):
    kind = event.get("kind", "response")
    body = base64.b64decode(event["body"]) * event.get("times", 1)
    head = f"POST /2018-06-01/runtime/invocation/{context.aws_request_id}/{kind} HTTP/1.1\\r\\n"
    head += f"Host: {HOST}:{PORT}\\r\\nContent-Length: {len(body)}\\r\\nConnection: close\\r\\n"
    raw = head.encode() + base64.b64decode(event.get("head", "")) + b"\\r\\n" + body
    with socket.create_connection((HOST, int(PORT)), 15) as made:
        made.sendall(raw)
        made.settimeout(15)
        first = made.recv(4096)
    if b" 202 " not in first:
        return "refused: " + first.decode("latin-1")[:12]
"""

RESULTS: dict[str, tuple[bytes, int]] = {
    "no JSON": (b"{nope", 1),
    "NaN": (b'{"a": NaN, "b": -Infinity}', 1),
    "huge number": (b"9" * 6000, 1),
    "huge exponent": (b"1e999999999", 1),
    "lone surrogate": (b'"\\ud800"', 1),
    "surrogate in UTF-8": (b'"\xed\xa0\x80"', 1),
    "bad UTF-8": (b'"\xff\xfe\xc3("', 1),
    "two of a name": (b'{"a": 1, "a": 2}', 1),
    "nested": (b'{"statusCode":', 100_000),
    "nested lists": (b"[", 100_000),
    "nothing": (b"", 1),
    "NUL": (b"\0\0\0", 1),
    "status": (
        b'{"statusCode": 99999999999999999999, "headers": {"a\\r\\nb": "c\\r\\n\\r\\nd"}}',
        1,
    ),
    "cookies": (b'{"statusCode": 200, "cookies": ["a=b\\r\\nSet-Cookie: evil=1"], "body": {}}', 1),
}


@pytest.fixture(scope="module")
def client(target: LiveServer) -> LambdaClient:
    return target.client()


@pytest.fixture(scope="module")
def runtime(client: LambdaClient) -> str:
    return create(client, RUNTIME, fresh_name("runtime"), Timeout=20)


def event(body: bytes, **more: Any) -> dict[str, Any]:
    return {"body": base64.b64encode(body).decode(), **more}


def test_a_result_is_bytes_that_harm_nobody(
    client: LambdaClient, target: LiveServer, runtime: str
) -> None:
    """AWS gives the caller of Invoke what the function answered, whatever it is."""
    for what, (body, times) in RESULTS.items():
        answer = invoke(client, runtime, event(body, times=times))
        assert (answer.status, answer.error) == (200, None), what
        assert answer.raw == body * times, what
    assert [line for line in target.output if "Traceback" in line] == []


def test_an_error_is_told_as_one_whatever_its_type_claims(target: LiveServer, runtime: str) -> None:
    name = b"Lambda-Runtime-Function-Error-Type: "
    for value in (b"Evil\r\nX-Injected: 1", b"x" * 5000, b"\xff\xfe", b"", b"a\tb", b"<script>"):
        for body in (b"{nope", b'{"errorMessage": 1}', b"", b"[" * 100_000):
            head = base64.b64encode(name + value + b"\r\n").decode()
            sent = event(body, kind="error", head=head)
            path = invocations(runtime)
            status, headers, answer = request(target, "POST", path, json.dumps(sent).encode())
            if b"refused" in answer:
                continue
            assert status == 200
            assert headers["X-Amz-Function-Error"] in {"Unhandled", "Handled"}
            assert "X-Injected" not in headers
    assert [line for line in target.output if "Traceback" in line] == []


def test_a_streamed_result_adds_no_header_to_its_callers_answer(
    target: LiveServer, runtime: str
) -> None:
    path = f"/2021-11-15/functions/{runtime}/response-streaming-invocations"
    mode = b"Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Type: "
    for value in (b"text/html\r\nX-Injected: 1", b"a" * 5000, b"\xff\xfe", b"text/html\tx"):
        head = base64.b64encode(mode + value + b"\r\n").decode()
        sent = json.dumps(event(b"streamed", head=head)).encode()
        status, headers, answer = request(target, "POST", path, sent)
        assert status == 200
        assert b"streamed" in answer or b"refused" in answer
        assert "X-Injected" not in headers
    assert [line for line in target.output if "Traceback" in line] == []


def test_an_asynchronous_invoke_with_such_a_result_comes_to_its_end(
    client: LambdaClient, runtime: str
) -> None:
    """Results become part of records for destinations."""
    sink = create(client, "def handler(event, context):\n    print(event)\n", fresh_name("sink"))
    arn = client.get_function(FunctionName=sink)["Configuration"]["FunctionArn"]
    client.put_function_event_invoke_config(
        FunctionName=runtime,
        MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": arn}},
    )
    for what in ("no JSON", "bad UTF-8", "nested", "NaN", "nothing"):
        body, times = RESULTS[what]
        sent = invoke(client, runtime, event(body, times=times), InvocationType="Event")
        assert sent.status == 202
    assert invoke(client, runtime, event(b"1")).raw == b"1"


ADMIN = [
    ("PUT", "/api/admin/functions/{name}/rate-limit"),
    ("POST", "/api/admin/api-gateway/routes"),
    ("PUT", "/api/admin/api-gateway/routes/x"),
    ("POST", "/api/admin/secrets"),
    ("PUT", "/api/admin/secrets/x"),
    ("POST", "/api/admin/keys"),
]
BODIES = [
    b"", b"{", b"nope", b"[]", b"null", b"NaN", b'{"per_second": NaN}', b'{"per_second": 1e999}',
    b'{"per_second": ' + b"9" * 6000 + b"}", b'{"per_second": "\\ud800"}', b'"\xff"',
    b"[" * 100_000, b'{"a":' * 100_000, b'{"per_second": 1, "per_second": {}}',
    b'{"name": "\\ud800", "value": "\\ud800"}', b'{"name": {}, "path": [], "value": 1e999}',
    b'{"path": "/\\u0000", "function": "../..", "method": "GET\\r\\nX: y"}', b"\0",
    b"\xef\xbb\xbf{}",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/xml", ""])
def test_the_admin_api_takes_no_nonsense(target: LiveServer, runtime: str, kind: str) -> None:
    for method, path in ADMIN:
        for body in BODIES:
            status, headers, answer = request(
                target, method, path.replace("{name}", runtime), body, Content_Type=kind
            )
            told = f"{method} {path} {body[:60]!r} {kind} -> {status} {answer[:200]!r}"
            assert 400 <= status < 500, told
            assert "message" in answer.decode().lower() or status == 404, told
            assert headers["Content-Type"], told


NUMBERS = [b"NaN", b"Infinity", b"1e999", b"9" * 6000, b"-0", b"1.5", b"true", b'"\\ud800"', b"[]"]


@pytest.mark.parametrize("member", ["Timeout", "MemorySize"])
def test_create_function_takes_no_number_that_is_none(target: LiveServer, member: str) -> None:
    for number in NUMBERS:
        body = b'{"FunctionName": "numbers", "Role": "arn:aws:iam::000000000000:role/r",'
        body += b'"Handler": "a.b", "Runtime": "python3.11", "Code": {"ZipFile": "UEs="},'
        body += b'"%b": %b}' % (member.encode(), number)
        status, headers, answer = request(target, "POST", FUNCTIONS, body)
        assert status == 400, (number[:20], answer[:200])
        assert headers["x-amzn-ErrorType"]
        assert "message" in {name.lower() for name in json.loads(answer)}

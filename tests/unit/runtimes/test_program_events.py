"""What a plain HTTP server gets of an event (runtimes/provided/event.awk)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[3] / "runtimes" / "provided" / "event.awk"

pytestmark = pytest.mark.skipif(shutil.which("awk") is None, reason="no awk here")


def read(folder: Path, event: object) -> tuple[str, list[str], bytes, str]:
    """Request line, headers in order of their names, body, and what the shell is told."""
    given = folder / "event"
    given.write_bytes(event if isinstance(event, bytes) else json.dumps(event).encode())
    head, body = folder / "head", folder / "body"
    words = ["-v", f"head={head}", "-v", f"body={body}", "-v", "host=127.0.0.1:8080"]
    done = subprocess.run(
        ["awk", *words, "-f", str(SCRIPT), str(given)],
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        timeout=20,
    )
    line, *headers = head.read_bytes().decode().split("\r\n")[:-1]
    return line, sorted(headers), body.read_bytes(), done.stdout


def v2(**members: Any) -> dict[str, Any]:
    """An event of format 2.0."""
    context = {"http": {"method": "GET", "path": "/not/this"}, "body": "not this"}
    return {"version": "2.0", "rawPath": "/", "requestContext": context, **members}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (v2(), "GET / HTTP/1.0"),
        (v2(rawPath="/a/b", rawQueryString="x=1&y=a%20b"), "GET /a/b?x=1&y=a%20b HTTP/1.0"),
        (v2(rawPath="/a b/ü\n"), "GET /a%20b/%C3%BC%0A HTTP/1.0"),
        (v2(rawPath="/💡"), "GET /%F0%9F%92%A1 HTTP/1.0"),
        ({"httpMethod": "DELETE", "path": "/p"}, "DELETE /p HTTP/1.0"),
        (
            {"httpMethod": "GET", "path": "/p", "queryStringParameters": {"q": "a b&c", "é": "1"}},
            "GET /p?q=a%20b%26c&%C3%A9=1 HTTP/1.0",
        ),
        (
            {
                "httpMethod": "GET",
                "path": "/p",
                "queryStringParameters": {"q": "2"},
                "multiValueQueryStringParameters": {"q": ["1", "2"]},
            },
            "GET /p?q=1&q=2 HTTP/1.0",
        ),
        ({"any": {"httpMethod": "PUT", "path": "/no"}}, "POST / HTTP/1.0"),
        ("text", "POST / HTTP/1.0"),
        ([1, None, True, {"a": []}], "POST / HTTP/1.0"),
    ],
)
def test_the_request_line(tmp_path: Path, event: object, line: str) -> None:
    assert read(tmp_path, event)[0] == line


@pytest.mark.parametrize(
    ("event", "headers"),
    [
        (
            v2(headers={"Host": "shop", "X-A": 'say "hi" \\ ü', "connection": "close"}),
            ["host: shop", 'x-a: say "hi" \\ ü'],
        ),
        (v2(cookies=["a=1", "b=2"], headers={}), ["cookie: a=1; b=2", "host: 127.0.0.1:8080"]),
        (
            v2(headers={"x-a": "1\r\nx-b: 2", "x\nc": "3", "content-length": "9"}),
            ["host: 127.0.0.1:8080", "x c: 3", "x-a: 1  x-b: 2"],
        ),
        (
            {
                "httpMethod": "GET",
                "headers": {"x-a": "2"},
                "multiValueHeaders": {"x-a": ["1", "2"], "Cookie": ["a=1", "b=2"]},
            },
            ["cookie: a=1; b=2", "host: 127.0.0.1:8080", "x-a: 1, 2"],
        ),
        ({"a": 1}, ["content-type: application/json", "host: 127.0.0.1:8080"]),
    ],
)
def test_the_headers(tmp_path: Path, event: object, headers: list[str]) -> None:
    assert read(tmp_path, event)[1] == headers


@pytest.mark.parametrize(
    "body",
    [
        "",
        "plain",
        'he said "yes"\n\t\r\b\f/ and \\',
        "\\",
        '"',
        '\\"\\\\"',
        "grüße \u2028 💡",
        '{"body": "inner", "isBase64Encoded": true}',
        "u0041 \\u0041 \\\\u0041",
    ],
)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_body_is_what_the_event_says(tmp_path: Path, body: str, *, ascii_only: bool) -> None:
    event = {**v2(body=body, isBase64Encoded=False), "after": {"body": "no", "x": [True]}}
    text = json.dumps(event, ensure_ascii=ascii_only).encode()
    assert read(tmp_path, text)[2] == body.encode()


def test_the_shell_is_told_how_to_go_on(tmp_path: Path) -> None:
    told = read(tmp_path, v2(body="eWVz", isBase64Encoded=True))[3]
    assert told.split() == ["is_http=1", "is_base64=1", "is_v2=1"]
    told = read(tmp_path, {"httpMethod": "GET", "isBase64Encoded": False, "b": True})[3]
    assert told.split() == ["is_http=1", "is_base64=0", "is_v2=0"]
    assert read(tmp_path, {"isBase64Encoded": True})[3].split()[0] == "is_http=0"


def test_time_grows_with_the_size_and_no_faster(tmp_path: Path) -> None:
    body = 'x\\"\n' * 300_000
    assert read(tmp_path, v2(body=body))[2] == body.encode()

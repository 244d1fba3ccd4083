"""The error table of Lambda@Home's API, row by row: in its own form of a body and in AWS's.

Status and kind are as that table has them; codes and words are AWS's, which are finer in places:
what breaks the model's constraints is a ValidationException, a package over the limit a 413. Rows
that have many cases have them elsewhere (tests/api/test_bad_input.py,
tests/e2e/test_invocations.py); here each row is asked once, over plain HTTP.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from functions_under_test import create, fresh_name
from live import ROLE, LiveServer, zip_of
from raw_http import FUNCTIONS, invocations, request

pytestmark = pytest.mark.process

HANDLER = "def handler(event, context):\n    return event\n"
GOOD = zip_of({"lambda_function.py": HANDLER})
INVALID = "InvalidParameterValueException"
UPLOAD_LIMIT = 52_428_800


@dataclass(frozen=True)
class Told:
    """An answer: its status, AWS's code, and the body."""

    status: int
    code: str | None
    body: dict[str, Any]

    @property
    def message(self) -> str:
        found = self.body.get("message", self.body.get("Message"))
        assert isinstance(found, str)
        assert "\n" not in found
        return found


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer("--sandbox", "process", "--ephemeral") as running:
        yield running


@pytest.fixture(scope="module")
def taken(server: LiveServer) -> str:
    """The name of a function that is there."""
    return create(server.client(), HANDLER)


def ask(server: LiveServer, method: str, path: str, body: bytes = b"") -> Told:
    status, headers, answer = request(server, method, path, body)
    assert headers["x-amzn-RequestId"]
    return Told(status, headers["x-amzn-ErrorType"], json.loads(answer or b"{}"))


def bodies(name: str, members: dict[str, Any], package: bytes) -> Iterator[bytes]:
    """One function in both forms of CreateFunction's body."""
    code = base64.b64encode(package).decode()
    given = {"Runtime": "python3.11", "Handler": "lambda_function.handler", **members}
    yield json.dumps(
        {"FunctionName": name, "Role": ROLE, "Code": {"ZipFile": code}, **given}
    ).encode()
    snake = {"Runtime": "runtime", "Handler": "handler", "MemorySize": "memory_size"}
    yield json.dumps(
        {
            "function_name": name,
            "code": {"zip_file": code},
            **{snake[key]: value for key, value in given.items()},
        }
    ).encode()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/2015-03-31/functions/no-such-function"),
        ("DELETE", "/2015-03-31/functions/no-such-function"),
        ("PUT", "/2015-03-31/functions/no-such-function/configuration"),
        ("GET", "/2015-03-31/functions/no-such-function/aliases/live"),
        ("POST", invocations("no-such-function")),
    ],
)
def test_not_found_is_a_404(server: LiveServer, method: str, path: str) -> None:
    told = ask(server, method, path, b"{}" if method != "GET" else b"")
    assert (told.status, told.code) == (404, "ResourceNotFoundException")
    assert told.body["Type"] == "User"
    assert told.message.startswith(("Function not found: arn:aws:lambda:", "Cannot find alias"))


def test_a_name_that_is_taken_is_a_409(server: LiveServer, taken: str) -> None:
    for body in bodies(taken, {}, GOOD):
        told = ask(server, "POST", FUNCTIONS, body)
        assert (told.status, told.code) == (409, "ResourceConflictException")
        assert told.message == f"Function already exist: {taken}"


@pytest.mark.parametrize(
    ("name", "members", "package", "code", "word"),
    [
        ("no spaces", {}, GOOD, "ValidationException", "functionName"),
        ("n" * 65, {}, GOOD, INVALID, "functionName"),
        ("", {"Runtime": "cobol85"}, GOOD, INVALID, "cobol85"),
        ("", {"Handler": "no spaces"}, GOOD, "ValidationException", "handler"),
        ("", {"MemorySize": 1}, GOOD, "ValidationException", "memorySize"),
        ("", {}, b"this is no ZIP", INVALID, "Could not unzip uploaded file"),
        ("", {}, GOOD[:-30], INVALID, "Could not unzip uploaded file"),
        ("", {}, zip_of({"../out": b"x"}), INVALID, "../out"),
    ],
    ids=["name", "long name", "runtime", "handler", "memory", "bad ZIP", "cut ZIP", "path in ZIP"],
)
def test_what_is_invalid_is_a_400(
    server: LiveServer,
    name: str,
    members: dict[str, Any],
    package: bytes,
    code: str,
    word: str,
) -> None:
    for body in bodies(name or fresh_name(), members, package):
        told = ask(server, "POST", FUNCTIONS, body)
        assert (told.status, told.code) == (400, code), told
        assert word in told.message


def test_a_package_over_the_limit_is_a_413(server: LiveServer) -> None:
    *_, body = bodies(fresh_name(), {}, b"PK\x03\x04" + b"\0" * UPLOAD_LIMIT)
    told = ask(server, "POST", FUNCTIONS, body)
    assert (told.status, told.code) == (413, "RequestEntityTooLargeException")
    assert told.message == f"Zipped size must be smaller than {UPLOAD_LIMIT} bytes"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"FunctionName": 7}', b"\xff"])
def test_a_body_that_makes_no_sense_is_a_400(server: LiveServer, body: bytes) -> None:
    told = ask(server, "POST", FUNCTIONS, body)
    assert told.status == 400
    assert told.code in {"SerializationException", "ValidationException", INVALID}
    assert told.message


def test_concurrency_that_is_used_up_is_a_429_at_once(server: LiveServer) -> None:
    client = server.client()
    name = create(client, HANDLER)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    told = ask(server, "POST", invocations(name), b"{}")
    assert (told.status, told.code) == (429, "TooManyRequestsException")
    assert told.body["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


@pytest.mark.parametrize(
    ("source", "members", "error_type", "word"),
    [
        (
            "import time\ndef handler(event, context):\n    time.sleep(20)\n",
            {"Timeout": 1},
            "Sandbox.Timedout",
            "Task timed out after 1.00 seconds",
        ),
        (
            "def handler(event, context):\n    return len(bytearray(1 << 30))\n",
            {"MemorySize": 128},
            "Runtime.OutOfMemory|Runtime.ExitError|MemoryError",
            "",
        ),
        ("raise KeyError('at import')\n", {}, "KeyError", "'at import'"),
        ("import nothing_like_it\n", {}, "Runtime.ImportModuleError", "nothing_like_it"),
        (
            "import os\ndef handler(event, context):\n    os._exit(3)\n",
            {},
            "Runtime.ExitError",
            "3",
        ),
        (
            "def handler(event, context):\n    raise ValueError('bad luck')\n",
            {},
            "ValueError",
            "bad",
        ),
    ],
    ids=["timeout", "memory", "init", "import", "exit", "exception"],
)
def test_what_fails_in_the_function_is_a_200_with_its_error(
    server: LiveServer, source: str, members: dict[str, Any], error_type: str, word: str
) -> None:
    name = create(server.client(), source, **members)
    status, headers, body = request(server, "POST", invocations(name), b"{}")
    assert (status, headers["X-Amz-Function-Error"]) == (200, "Unhandled")
    assert headers["x-amzn-ErrorType"] is None
    failure = json.loads(body)
    assert failure["errorType"] in error_type.split("|")
    assert word in failure["errorMessage"]


def test_what_is_nobodys_fault_but_the_servers_is_a_500(server: LiveServer) -> None:
    """Last of all: it breaks the database."""
    with sqlite3.connect(server.data_dir / "lhome.db") as database:
        database.execute("DROP TABLE layer_versions")
    database.close()
    told = ask(server, "GET", "/2018-10-31/layers")
    assert (told.status, told.code) == (500, "ServiceException")
    assert told.body["Type"] == "Service"
    assert told.message
    assert request(server, "GET", "/healthz")[0] == 200

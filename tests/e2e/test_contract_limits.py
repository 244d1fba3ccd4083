"""Bad input and limits: rows 32 to 35 of the forty tests to survive, on the wire and under fire.

Which test holds which row is told in test_contract_faults. The same limits one request at a time
are in tests/api/test_bad_input; here it is about what a server must not do meanwhile: keep what it
refuses, answer with a 500, or fall over.
"""

from __future__ import annotations

import http.client
import json
import random
import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import NODE, QUICK_WAITER, create, fresh_name, invoke
from live import ROLE, LiveServer, zip_of
from raw_http import FUNCTIONS, dial, invocations, request, resident_mb

from lambda_home.scheduler.variables import RESERVED

MB = 1 << 20
LIMIT = 6_291_556
ECHO = "def handler(event, context):\n    return event\n"
SIZED = """
calls = 0
def handler(event, context):
    global calls
    calls += 1
    return "x" * event["size"] if event["size"] else calls
"""
SIZED_NODE = """
let calls = 0;
exports.handler = async (event) => (++calls, event.size ? "x".repeat(event.size) : calls);
"""
SIZED_STREAM = """
let calls = 0;
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  calls++;
  stream.end(event.size ? "x".repeat(event.size) : String(calls));
});
"""


@pytest.fixture(scope="module")
def alone() -> Iterator[LiveServer]:
    """A server for what does not depend on the sandbox; no other test uses memory meanwhile."""
    with LiveServer("--sandbox", "process", "--ephemeral") as running:
        yield running


@pytest.fixture(scope="module")
def echo(alone: LiveServer) -> str:
    return create(alone.client(), ECHO)


def healthy(server: LiveServer, echo: str) -> None:
    assert json.loads(request(server, "GET", "/healthz")[2])["status"] == "ok"
    assert invoke(server.client(), echo, "still here").payload == "still here"


# ------------------------------------------------------------------------ 32: bodies that are long


def response(given: socket.socket) -> tuple[int, str]:
    answer = http.client.HTTPResponse(given)
    answer.begin()
    answer.read()
    return answer.status, answer.headers["x-amzn-ErrorType"]


CHUNKED, COUNTED = "Transfer-Encoding: chunked", "Content-Length: "
KEPT_MB = {"invoke": 0, "create": 70}  # a package may be as large as that


@pytest.mark.process
@pytest.mark.parametrize("target", ["invoke", "create"])
@pytest.mark.parametrize("framing", [CHUNKED, f"{COUNTED}{1 << 30}"])
def test_row_32_a_gigabyte_is_neither_kept_nor_read_to_its_end(
    alone: LiveServer, echo: str, target: str, framing: str
) -> None:
    path = invocations(echo) if target == "invoke" else FUNCTIONS
    piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n" if framing == CHUNKED else b"x" * 65_536
    healthy(alone, echo)
    before, most, sent = resident_mb(alone), 0.0, 0
    with dial(alone) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
        try:
            while not select.select([client], [], [], 0)[0]:
                assert sent < 300 * MB, "it was read on and on without an answer"
                client.sendall(piece)
                sent += len(piece)
                if sent % (100 * len(piece)) == 0:
                    most = max(most, resident_mb(alone))
            assert response(client)[0] == 413
        except ConnectionError:
            pass  # hung up on, with the answer under way: as good as any for such a sender
    assert most - before < KEPT_MB[target] + 40
    healthy(alone, echo)


@pytest.mark.process
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize(
    ("target", "name"),
    [("invoke", "RequestTooLargeException"), ("create", "RequestEntityTooLargeException")],
)
def test_row_32_who_sends_somewhat_too_much_gets_the_answer_at_the_end(
    alone: LiveServer, echo: str, target: str, name: str, *, counted: bool
) -> None:
    path = invocations(echo) if target == "invoke" else FUNCTIONS
    megabytes = KEPT_MB[target] + 40
    framing = f"{COUNTED}{megabytes * MB}" if counted else CHUNKED
    piece = b"x" * MB if counted else b"100000\r\n" + b"x" * MB + b"\r\n"
    before = resident_mb(alone)
    with dial(alone) as client:
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
        for _ in range(megabytes):
            client.sendall(piece)
        if not counted:
            client.sendall(b"0\r\n\r\n")
        assert response(client) == (413, name)
    assert resident_mb(alone) - before < KEPT_MB[target] + 40


@pytest.mark.process
def test_row_32_many_refused_bodies_at_once_take_no_memory(alone: LiveServer, echo: str) -> None:
    body = b'"' + b"x" * (LIMIT - 1) + b'"'
    head = f"POST {invocations(echo)} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    request(alone, "POST", invocations(echo), body)
    before = resident_mb(alone)
    clients = [dial(alone) for _ in range(16)]
    try:
        for client in clients:  # all of them are one byte short of being refused
            client.sendall(head.encode() + body[:-1])
        for client in clients:
            client.sendall(body[-1:])
        for client in clients:
            assert response(client) == (413, "RequestTooLargeException")
    finally:
        for client in clients:
            client.close()
    for _ in range(8):
        assert request(alone, "POST", invocations(echo), body)[0] == 413
    assert resident_mb(alone) - before < 16 * 6 + 40
    healthy(alone, echo)


# ------------------------------------------------------------------- 33: responses that are long


@pytest.mark.parametrize("source", [SIZED, SIZED_NODE, SIZED_STREAM])
def test_row_33_a_response_of_6_mb_and_200_bytes_is_refused_and_the_environment_goes_on(
    server: LiveServer, source: str
) -> None:
    client = server.client()
    runtime: Any = "python3.11" if source is SIZED else NODE
    name = create(client, source, Runtime=runtime, MemorySize=512, Timeout=30)
    assert invoke(client, name, {"size": 0}).payload == 1
    over = invoke(client, name, {"size": 6 * MB + 200}, LogType="Tail")
    assert (over.status, over.error) == (200, "Unhandled")
    assert over.payload == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size"
        " (6291556 bytes).",
    }
    assert f"REPORT RequestId: {over.request_id}" in over.log
    assert invoke(client, name, {"size": 0}).payload == 3, "another environment answered"


# ----------------------------------------------------------------------- 34: what is not a request

BODIES = {
    "cut short": b'{"a": [1, 2',
    "not JSON": b"a=1&b=2",
    "two values": b"{} {}",
    "NaN": b'{"a": NaN}',
    "-Infinity": b"-Infinity",
    "nesting": b'{"a":' * 100_000,
    "closed nesting": b"[" * 100_000 + b"]" * 100_000,
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "a NUL": b'{"a": 1}\0',
    "single quotes": b"{'a': 1}",
    "a comment": b"{} // nothing",
    "5,000 digits": b"9" * 5000,
}


@pytest.mark.process
@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
def test_row_34_what_is_not_json_is_refused_in_aws_shape(
    alone: LiveServer, echo: str, what: str, kind: str
) -> None:
    status, headers, body = request(
        alone, "POST", invocations(echo), BODIES[what], X_Amz_Invocation_Type=kind
    )
    assert (status, headers["x-amzn-ErrorType"]) == (400, "InvalidRequestContentException")
    error = json.loads(body)
    assert error["Type"] == "User"
    assert error["message"].startswith("Could not parse request body into json: ")


@pytest.mark.process
@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "image/png", "", "\xff/;;"])
def test_row_34_the_content_type_is_not_asked_what_the_body_is(
    alone: LiveServer, echo: str, kind: str
) -> None:
    path = invocations(echo)
    assert request(alone, "POST", path, b"[1]", Content_Type=kind)[::2] == (200, b"[1]")
    status, headers, _ = request(alone, "POST", path, b"nope", Content_Type=kind)
    assert (status, headers["x-amzn-ErrorType"]) == (400, "InvalidRequestContentException")
    status, headers, _ = request(alone, "POST", FUNCTIONS, b"nope", Content_Type=kind)
    assert 400 <= status < 500
    assert headers["x-amzn-ErrorType"]


def test_row_34_an_escaped_lone_surrogate_goes_through_python_and_node(server: LiveServer) -> None:
    client = server.client()
    node = "exports.handler = async (event) => event;"
    for name in (create(client, ECHO), create(client, node, Runtime=NODE)):
        status, _, body = request(server, "POST", invocations(name), b'["\\ud800", "\\udc00x"]')
        assert (status, json.loads(body)) == (200, ["\ud800", "\udc00x"])


OPERATIONS = [
    ("POST", FUNCTIONS),
    ("GET", FUNCTIONS),
    ("PUT", "/2015-03-31/functions/fuzzed/code"),
    ("PUT", "/2015-03-31/functions/fuzzed/configuration"),
    ("POST", "/2015-03-31/functions/fuzzed/versions"),
    ("POST", "/2015-03-31/functions/fuzzed/aliases"),
    ("POST", "/2015-03-31/functions/fuzzed/invocations"),
    ("POST", "/2021-11-15/functions/fuzzed/response-streaming-invocations"),
    ("PUT", "/2017-10-31/functions/fuzzed/concurrency"),
    ("PUT", "/2019-09-25/functions/fuzzed/event-invoke-config"),
    ("PUT", "/2019-09-30/functions/fuzzed/provisioned-concurrency?Qualifier=1"),
]
PIECES: list[Any] = [
    None, True, -1, 2**70, 1e308, "", "x" * 300, "\0", "\ud800", "é", "../..", "arn:aws:lambda",
    [], [[]], {}, {"a": {}}, {"ZipFile": "AAAA"}, {"Variables": {"A": 1}}, ["x"] * 50,
]  # fmt: skip
NAMES = [
    "FunctionName", "Runtime", "Role", "Handler", "Code", "Timeout", "MemorySize", "Environment",
    "Layers", "Tags", "ZipFile", "Publish", "Description", "Name", "FunctionVersion",
    "RoutingConfig", "ReservedConcurrentExecutions", "Architectures", "MaximumRetryAttempts",
    "DestinationConfig", "ProvisionedConcurrentExecutions", "EphemeralStorage", "LoggingConfig",
    "VpcConfig", "RevisionId", "function_name", "code_zip", "env", "memory_mb",
]  # fmt: skip


def fuzzed_body(dice: random.Random) -> bytes:
    shape = dice.randrange(4)
    if shape == 0:
        return dice.randbytes(dice.randrange(200))
    members = {name: dice.choice(PIECES) for name in dice.sample(NAMES, dice.randrange(8))}
    body = json.dumps(members).encode()
    if shape == 1:
        at = dice.randrange(len(body))
        return body[:at] + dice.randbytes(3) + body[at + dice.randrange(4) :]
    return body


@pytest.mark.process
def test_row_34_no_operation_answers_nonsense_with_a_500(alone: LiveServer, echo: str) -> None:
    create(alone.client(), ECHO, "fuzzed")
    dice = random.Random(34)
    for number in range(600):
        method, path = dice.choice(OPERATIONS)
        body = fuzzed_body(dice)
        status, headers, answer = request(alone, method, path, body)
        told = f"{number}: {method} {path} {body!r} -> {status} {answer[:300]!r}"
        assert status < 500, told
        if status >= 400:
            assert headers["x-amzn-ErrorType"], told
            assert "message" in {member.lower() for member in json.loads(answer)}, told
    healthy(alone, echo)


@pytest.mark.process
def test_row_34_bytes_that_are_no_http_are_no_harm(alone: LiveServer, echo: str) -> None:
    dice = random.Random(340)
    head = f"POST {invocations(echo)} HTTP/1.1\r\nHost: localhost\r\n"
    good = f"{head}Content-Length: 2\r\n\r\n{{}}".encode()
    for _ in range(200):
        at = dice.randrange(len(good))
        raw = dice.choice((dice.randbytes(300), good[:at] + dice.randbytes(5) + good[at:]))
        with dial(alone, timeout_s=10) as client:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            try:
                answer = client.recv(65_536)
            except ConnectionResetError:
                continue
        first = answer.partition(b"\r\n")[0]
        assert not first.startswith(b"HTTP/1.1 5"), (raw, answer)
    healthy(alone, echo)


# --------------------------------------------------------------------------------- 35: environments


def measured(size: int, letter: str = "x") -> dict[str, str]:
    """Variables that AWS measures as so many bytes."""
    room = size - len('{"KEY":""}')
    return {"KEY": letter * (room // len(letter.encode())) + "x" * (room % len(letter.encode()))}


@pytest.mark.process
@pytest.mark.parametrize("letter", ["x", "é"])
def test_row_35_4096_bytes_of_variables_are_taken_and_4097_refused(
    alone: LiveServer, letter: str
) -> None:
    client = alone.client()
    source = "import os\ndef handler(event, context):\n    return os.environ['KEY']\n"
    most = measured(4096, letter)
    name = create(client, source, Environment={"Variables": most})
    assert invoke(client, name).payload == most["KEY"]
    over = measured(4097, letter)
    for refuse in (
        lambda: create(client, source, fresh_name("over"), Environment={"Variables": over}),
        lambda: client.update_function_configuration(
            FunctionName=name, Environment={"Variables": over}
        ),
    ):
        with pytest.raises(ClientError, match="exceeded the 4KB limit") as caught:
            refuse()
        assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"
    assert invoke(client, name).payload == most["KEY"]


@pytest.mark.process
@pytest.mark.parametrize("key", sorted(RESERVED))
def test_row_35_reserved_variables_are_refused_by_name(
    alone: LiveServer, echo: str, key: str
) -> None:
    client = alone.client()
    variables: Any = {"Variables": {"MINE": "1", key: "x"}}
    package = zip_of({"lambda_function.py": ECHO})
    with pytest.raises(ClientError) as made:
        client.create_function(
            FunctionName=fresh_name("reserved"),
            Runtime="python3.11",
            Handler="lambda_function.handler",
            Role=ROLE,
            Code={"ZipFile": package},
            Environment=variables,
        )
    with pytest.raises(ClientError) as changed:
        client.update_function_configuration(FunctionName=echo, Environment=variables)
    client.get_waiter("function_updated_v2").wait(FunctionName=echo, WaiterConfig=QUICK_WAITER)
    for caught in (made, changed):
        error = caught.value.response["Error"]
        if key.startswith("_"):  # no name of a variable at all, by AWS's pattern
            assert error["Code"] == "ValidationException"
        else:
            assert error["Code"] == "InvalidParameterValueException"
            assert error["Message"].endswith(f"Reserved keys used in this request: {key}")

"""Response streaming through the real server, and of functions that do not stream."""

from __future__ import annotations

import base64
import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import NODE, PYTHON, create, fresh_name, invoke

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

NODE_PIECES = """
exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  stream.setContentType("text/plain");
  for (let i = 0; i < event.pieces; i++) {
    stream.write(`piece ${i};`);
    await new Promise((done) => setTimeout(done, event.pause ?? 0));
    if (event.fails === i) throw new TypeError("midway");
    if (event.hangs === i) await new Promise((done) => setTimeout(done, 60000));
    if (event.dies === i) process.kill(process.pid, "SIGKILL");
  }
  console.log("said");
  stream.end();
});
"""
PYTHON_PIECES = """
import os, time
from awslambda import streamify_response
@streamify_response
def handler(event, stream, context):
    stream.set_content_type("text/plain")
    for i in range(event["pieces"]):
        stream.write("piece %d;" % i)
        time.sleep(event.get("pause", 0) / 1000)
        if event.get("fails") == i:
            raise TypeError("midway")
        if event.get("hangs") == i:
            time.sleep(60)
        if event.get("dies") == i:
            os.kill(os.getpid(), 9)
    print("said")
"""
NODE_HTTP = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const metadata = { statusCode: 201, headers: { "x-mine": "1" }, cookies: ["a=b"] };
  stream = awslambda.HttpResponseStream.from(stream, metadata);
  stream.write("body");
  stream.end();
});
"""
PYTHON_HTTP = """
from awslambda import HttpResponseStream, streamify_response
@streamify_response
def handler(event, stream, context):
    metadata = {"statusCode": 201, "headers": {"x-mine": "1"}, "cookies": ["a=b"]}
    stream = HttpResponseStream.from_(stream, metadata)
    stream.write("body")
"""
PLAIN = "def handler(event, context):\n    return {'plain': event}\n"
RAISES = "def handler(event, context):\n    raise KeyError('plain')\n"
BOTH = [
    pytest.param(NODE_PIECES, NODE, id="node"),
    pytest.param(PYTHON_PIECES, PYTHON, id="python"),
]


@pytest.fixture
def client(aws: LambdaClient) -> LambdaClient:
    return aws


class Streamed:
    """A streamed answer: its pieces, when each came, and how it ended."""

    def __init__(self, client: LambdaClient, name: str, event: Any, **members: Any) -> None:
        began = time.monotonic()
        self.response = client.invoke_with_response_stream(
            FunctionName=name, Payload=json.dumps(event).encode(), **members
        )
        self.pieces: list[bytes] = []
        self.at: list[float] = []
        self.end: dict[str, str] = {}
        with closing(self.response["EventStream"]) as stream:
            for received in stream:
                if "PayloadChunk" in received:
                    self.pieces.append(received["PayloadChunk"]["Payload"])
                    self.at.append(time.monotonic() - began)
                else:
                    self.end = dict(received["InvokeComplete"])

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


@pytest.mark.parametrize(("source", "runtime"), BOTH)
def test_pieces_arrive_while_the_function_writes_them(
    client: LambdaClient, source: str, runtime: Any
) -> None:
    name = create(client, source, Runtime=runtime)
    got = Streamed(client, name, {"pieces": 3, "pause": 300}, LogType="Tail")
    assert got.body == b"piece 0;piece 1;piece 2;"
    # A busy machine may bring two of them together, or the first late: but not all at the end.
    assert len(got.pieces) > 1
    assert got.at[-1] - got.at[0] > 0.1
    assert got.response["ExecutedVersion"] == "$LATEST"
    assert set(got.end) == {"LogResult"}
    log = base64.b64decode(got.end["LogResult"]).decode()
    assert "said" in log
    assert "REPORT RequestId" in log


@pytest.mark.parametrize(("source", "runtime"), BOTH)
def test_an_error_in_mid_stream_ends_the_stream_and_says_so(
    client: LambdaClient, source: str, runtime: Any
) -> None:
    name = create(client, source, Runtime=runtime)
    got = Streamed(client, name, {"pieces": 3, "fails": 1})
    assert got.body == b"piece 0;piece 1;"
    assert got.end["ErrorCode"] == "TypeError"
    assert json.loads(got.end["ErrorDetails"])["errorMessage"] == "midway"
    assert Streamed(client, name, {"pieces": 1}).body == b"piece 0;"


@pytest.mark.parametrize(("source", "runtime"), BOTH)
def test_a_buffered_invoke_of_a_streaming_function_gets_the_whole(
    client: LambdaClient, source: str, runtime: Any
) -> None:
    name = create(client, source, Runtime=runtime)
    assert invoke(client, name, {"pieces": 2}).raw == b"piece 0;piece 1;"
    failed = invoke(client, name, {"pieces": 2, "fails": 0})
    assert (failed.error, failed.payload["errorMessage"]) == ("Unhandled", "midway")


@pytest.mark.parametrize(("source", "runtime"), BOTH)
def test_a_timeout_in_mid_stream_ends_the_stream(
    client: LambdaClient, source: str, runtime: Any
) -> None:
    name = create(client, source, Runtime=runtime, Timeout=1)
    got = Streamed(client, name, {"pieces": 3, "hangs": 1})
    assert got.body == b"piece 0;piece 1;"
    assert got.end["ErrorCode"] == "Sandbox.Timedout"
    assert "Task timed out after 1.00 seconds" in got.end["ErrorDetails"]
    assert Streamed(client, name, {"pieces": 1}).body == b"piece 0;"


@pytest.mark.parametrize(("source", "runtime"), BOTH)
def test_a_runtime_that_dies_in_mid_stream_ends_the_stream(
    client: LambdaClient, source: str, runtime: Any
) -> None:
    name = create(client, source, Runtime=runtime)
    got = Streamed(client, name, {"pieces": 3, "dies": 1, "pause": 50})
    assert got.body == b"piece 0;piece 1;"
    assert got.end["ErrorCode"] == "Runtime.ExitError"
    assert "signal: killed" in got.end["ErrorDetails"]


@pytest.mark.parametrize(
    ("source", "runtime"),
    [pytest.param(NODE_HTTP, NODE, id="node"), pytest.param(PYTHON_HTTP, PYTHON, id="python")],
)
def test_http_metadata_come_before_the_body(
    client: LambdaClient, source: str, runtime: Any
) -> None:
    name = create(client, source, Runtime=runtime)
    got = Streamed(client, name, {})
    prelude, _, body = got.body.partition(bytes(8))
    assert json.loads(prelude) == {
        "statusCode": 201,
        "headers": {"x-mine": "1"},
        "cookies": ["a=b"],
    }
    assert body == b"body"
    headers = got.response["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-remapped-content-type"] == (
        "application/vnd.awslambda.http-integration-response"
    )


def test_a_function_that_does_not_stream_is_answered_in_one_piece(client: LambdaClient) -> None:
    name = create(client, PLAIN)
    got = Streamed(client, name, {"a": 1})
    assert (got.pieces, got.end) == ([b'{"plain": {"a": 1}}'], {})


def test_a_function_that_does_not_stream_and_fails_says_so_at_the_end(
    client: LambdaClient,
) -> None:
    got = Streamed(client, create(client, RAISES), {})
    assert got.pieces == []
    assert got.end["ErrorCode"] == "KeyError"


def test_what_keeps_an_invoke_from_running_is_an_ordinary_error(client: LambdaClient) -> None:
    with pytest.raises(ClientError) as missing:
        Streamed(client, fresh_name(), {})
    assert missing.value.response["Error"]["Code"] == "ResourceNotFoundException"
    name = create(client, PLAIN)
    with pytest.raises(ClientError) as invalid:
        client.invoke_with_response_stream(FunctionName=name, Payload=b"{")
    assert invalid.value.response["Error"]["Code"] == "InvalidRequestContentException"
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError) as throttled:
        Streamed(client, name, {})
    assert throttled.value.response["Error"]["Code"] == "TooManyRequestsException"


def test_a_dry_run_streams_nothing(client: LambdaClient) -> None:
    name = create(client, PLAIN)
    answer = client.invoke_with_response_stream(FunctionName=name, InvocationType="DryRun")
    answer["EventStream"].close()
    assert answer["StatusCode"] == 204

"""Streaming handlers in the Node bootstrap."""

from __future__ import annotations

import base64
import json

import pytest
from unit.runtimes.node_function import Run

pytestmark = pytest.mark.process


def _streaming(body: str) -> str:
    return (
        "exports.handler = awslambda.streamifyResponse("
        f"async (event, stream, context) => {{ {body} }})"
    )


def test_streamed_response_is_chunked(run: Run) -> None:
    code = _streaming("stream.write('a'); stream.write({j: 1}); stream.end('b')")
    with run(code) as function:
        for _ in range(2):
            answer = function.invoke()
            assert answer.kind == "response"
            assert answer.headers["lambda-runtime-function-response-mode"] == "streaming"
            assert answer.headers["content-type"] == "application/octet-stream"
            assert (answer.body, answer.chunks, answer.trailers) == (b'a{"j":1}b', 3, {})


@pytest.mark.parametrize("rest", ["stream.write('hi'); stream.end()", "stream.end('hi')"])
def test_http_response_stream_starts_with_its_metadata(run: Run, rest: str) -> None:
    code = _streaming(
        f"stream = awslambda.HttpResponseStream.from(stream, {{statusCode: 201}}); {rest}"
    )
    with run(code) as function:
        answer = function.invoke()
        content_type = "application/vnd.awslambda.http-integration-response"
        assert answer.headers["content-type"] == content_type
        assert answer.body == b'{"statusCode":201}' + bytes(8) + b"hi"


@pytest.mark.parametrize(
    ("body", "sent", "message"),
    [
        ("stream.write('a'); throw new TypeError('mid')", b"a", "mid"),
        ("throw new TypeError('mid')", b"", "mid"),
        ("stream.destroy(new TypeError('mid'))", b"", "mid"),
        (
            (
                "const {Readable} = require('stream');"
                "await require('stream/promises').pipeline("
                "Readable.from((function* () { yield 'a'; throw new TypeError('mid') })()), stream)"
            ),
            b"a",
            "mid",
        ),
    ],
)
def test_error_in_mid_stream_travels_in_the_trailers(
    run: Run, body: str, sent: bytes, message: str
) -> None:
    with run(_streaming(f"if (event) {{ {body} }} else stream.end('fine')")) as function:
        answer = function.invoke(event=True)
        assert answer.body == sent
        assert answer.trailers["lambda-runtime-function-error-type"] == "TypeError"
        trailer = answer.trailers["lambda-runtime-function-error-body"]
        error = json.loads(base64.b64decode(trailer))
        assert (error["errorType"], error["errorMessage"]) == ("TypeError", message)
        assert "\tInvoke Error \t" in answer.output
        assert function.invoke(event=False).body == b"fine", "the process goes on"


def test_piped_stream_feels_back_pressure(run: Run) -> None:
    code = _streaming(
        "let waits = 0; for (let i = 0; i < 100; i++) if (!stream.write('z'.repeat(100000))) {"
        " waits++; await new Promise(r => stream.once('drain', r)) } stream.end(String(waits))"
    )
    with run(code) as function:
        body = function.invoke().body
        assert body.startswith(b"z" * 10_000_000)
        assert int(body[10_000_000:]) == 100


def test_output_after_the_end_of_the_stream_belongs_to_its_invocation(run: Run) -> None:
    code = _streaming("stream.end('x'); await new Promise(r => setTimeout(r, 20));"
                      "console.log('after', event)")  # fmt: skip
    with run(code) as function:
        assert function.invoke(1).output.endswith("INFO\tafter 1\n")
        assert function.invoke(2).output.endswith("INFO\tafter 2\n")


def test_content_type_cannot_change_after_the_first_write(run: Run) -> None:
    with run(_streaming("stream.write('x'); stream.setContentType('text/plain')")) as function:
        error_type = function.invoke().trailers["lambda-runtime-function-error-type"]
        assert error_type == "Runtime.InvalidStreamingOperation"

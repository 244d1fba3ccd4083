"""Streaming handlers in the Node bootstrap, where the server is slow, refuses or goes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from unit.runtimes.node_function import BOOTSTRAP
from unit.runtimes.python_function import PythonFunction, running

pytestmark = pytest.mark.process

Start = Callable[[str], AbstractContextManager[PythonFunction]]
HEAD = "const { once } = require('events');"
WRITE_ALL = """
    for (let i = 0; i < event; i++) {
        if (!stream.write(Buffer.alloc(65536, 120))) await drained();
        written++;
    }
    stream.end();
"""


@pytest.fixture
def start(node: str, tmp_path: Path) -> Start:
    def streaming(body: str) -> AbstractContextManager[PythonFunction]:
        code = (
            f"{HEAD} exports.handler = awslambda.streamifyResponse("
            f"async (event, stream, context) => {{ {body} }})"
        )
        command = (node, str(BOOTSTRAP))
        return running(tmp_path, {"index.js": code}, "index.handler", command)

    return streaming


def test_each_write_leaves_at_once(start: Start, tmp_path: Path) -> None:
    body = (
        "const fs = require('fs'); stream.write('0');"
        "while (!fs.existsSync(event)) await new Promise(r => setTimeout(r, 5)); stream.end('1')"
    )
    go = tmp_path / "go"
    with start(body) as function:
        request_id = function.api.queue(str(go))
        function.api.wait_until_streamed(b"0")
        go.touch()
        assert function.api.answer_to(request_id).body == b"01"


def test_prelude_and_error_trailers_are_on_the_wire(start: Start) -> None:
    body = (
        "stream = awslambda.HttpResponseStream.from(stream, {statusCode: 201});"
        "stream.write('a'); await new Promise(r => setTimeout(r, 5)); throw new RangeError('mid')"
    )
    with start(body) as function:
        answer = function.invoke()
        assert answer.body == b'{"statusCode":201}' + bytes(8) + b"a"
        assert answer.trailers["lambda-runtime-function-error-type"] == "RangeError"
        told = base64.b64decode(answer.trailers["lambda-runtime-function-error-body"])
        assert json.loads(told)["errorMessage"] == "mid"
        assert answer.fenced
        assert "Invoke Error" in function.process.output_of(answer.request_id)


def test_an_error_with_a_long_message_fits_into_a_header(start: Start) -> None:
    with start("stream.write('a'); throw new Error('x'.repeat(100000))") as function:
        answer = function.invoke()
        assert 4_000 < len(answer.trailers["lambda-runtime-function-error-body"]) < 30_000


def test_a_slow_reader_slows_the_handler_down_and_nothing_piles_up(start: Start) -> None:
    body = f"""
        const drained = () => once(stream, 'drain');
        let written = 0, before = -1, held = false;
        const watch = setInterval(() => {{
            if (before === written && !held) {{ held = true; console.log('was held'); }}
            before = written;
        }}, 200);
        {WRITE_ALL}
        await once(stream, 'finish');
        clearInterval(watch);
        console.log(held ? 'done' : 'never');
    """
    with start(body) as function:
        before = int(function.invoke(1).headers["lambda-home-peak-kib"])
        function.api.pause_reading()
        request_id = function.api.queue(1000)
        function.process.wait_for_output("was held\n")
        function.api.go_on_reading()
        assert len(function.api.answer_to(request_id).body) == 1000 * 65536
        assert function.process.output_of(request_id).endswith("done\n")
        after = int(function.invoke(1).headers["lambda-home-peak-kib"])
        assert after - before < 40_000


@pytest.mark.parametrize("status", [413, None])
@pytest.mark.parametrize(
    "drained", ["once(stream, 'drain')", "new Promise(r => stream.once('drain', r))"]
)
def test_the_stream_fails_when_nobody_reads_any_more_and_the_loop_goes_on(
    start: Start, status: int | None, drained: str
) -> None:
    with start(f"let written = 0; const drained = () => {drained}; {WRITE_ALL}") as function:
        function.api.cut_next_stream(1_000_000, status)
        request_id = function.api.queue(500)
        assert "Invoke Error" in function.process.output_of(request_id)
        assert function.invoke(3).body == b"x" * 3 * 65536
        assert len(function.api.answers) == 1, "what was cut got no answer"


def test_a_pipeline_rejects_when_nobody_reads_any_more(start: Start) -> None:
    body = """
        const { Readable } = require('stream');
        const endless = Readable.from((function* () { for (;;) yield Buffer.alloc(65536) })());
        try {
            await require('stream/promises').pipeline(endless, stream);
        } catch (error) {
            console.log('gone', error.message);
            throw error;
        }
    """
    with start(body) as function:
        function.api.cut_next_stream(1_000_000)
        assert "\tgone " in function.process.output_of(function.api.queue({}))
        function.api.wait_until_parked()

"""Streaming handlers in the Python bootstrap."""

from __future__ import annotations

import base64
import gzip
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
from unit.runtimes.python_function import OURS, Answer, running, series

VERSIONS = series()
INTEGRATION_RESPONSE = "application/vnd.awslambda.http-integration-response"


def _streaming(body: str) -> str:
    """A streaming handler around `body`, which knows event, stream and context."""
    head = "from awslambda import HttpResponseStream, streamify_response\n@streamify_response\n"
    return f"{head}def handler(event, stream, context):\n{indent(dedent(body).strip(), '    ')}\n"


def _told(answer: Answer) -> dict[str, Any]:
    """The error in the trailers."""
    trailers: Mapping[str, str] = answer.trailers
    error = json.loads(base64.b64decode(trailers["lambda-runtime-function-error-body"]))
    assert trailers["lambda-runtime-function-error-type"] == error["errorType"]
    return dict(error)


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_every_python_version_streams_text_bytes_and_documents(
    version: str, tmp_path: Path
) -> None:
    code = _streaming("""
        print("streaming", event)
        stream.set_content_type("text/plain")
        sizes = [stream.write("é"), stream.write(b"b"), stream.write({"j": [1]}), stream.write("")]
        stream.write(memoryview(b"view"))
        stream.writelines(["x", b"y"])
        stream.end(sizes)
    """)
    with running(tmp_path, code, command=(VERSIONS[version], *OURS)) as function:
        for event in (1, 2):
            answer = function.invoke(event)
            assert answer.kind == "response"
            assert answer.headers["lambda-runtime-function-response-mode"] == "streaming"
            assert answer.headers["content-type"] == "text/plain"
            assert int(answer.headers["lambda-home-peak-kib"]) > 4_000
            assert answer.body == 'éb{"j": [1]}viewxy[2, 1, 10, 0]'.encode()
            assert (answer.chunks, answer.trailers) == ([2, 1, 10, 4, 1, 1, 13], {})
        first, second = (a.request_id for a in function.api.answers)
        assert function.process.output_of(second, first) == "streaming 2\n"


def test_a_fence_is_written_also_by_a_silent_invocation(tmp_path: Path) -> None:
    with running(tmp_path, _streaming("stream.write('x')")) as function:
        answer = function.invoke()
        assert answer.fenced
        assert not function.process.output_of(answer.request_id)


def test_each_write_leaves_at_once(tmp_path: Path) -> None:
    code = _streaming("""
        import os, time
        for at, go in enumerate(event):
            stream.write(str(at))
            while not os.path.exists(go):
                time.sleep(0.005)
    """)
    goes = [tmp_path / "go0", tmp_path / "go1"]
    with running(tmp_path, code) as function:
        request_id = function.api.queue([str(go) for go in goes])
        function.api.wait_until_streamed(b"0")
        goes[0].touch()
        function.api.wait_until_streamed(b"01")
        goes[1].touch()
        assert function.api.answer_to(request_id).body == b"01"


def test_the_caller_does_not_wait_for_what_follows_the_end(tmp_path: Path) -> None:
    code = _streaming("""
        import os, time
        stream.write("x")
        stream.end()
        stream.end()
        while not os.path.exists(event):
            time.sleep(0.005)
        print("after")
    """)
    go = tmp_path / "go"
    with running(tmp_path, code) as function:
        answer = function.invoke(str(go))
        assert answer.body == b"x"
        go.touch()
        assert function.process.output_of(answer.request_id) == "after\n"
        assert function.invoke(str(go)).body == b"x"


@pytest.mark.parametrize("rest", ["stream.write('hi')", "stream.end('hi')", "stream.end()", "pass"])
def test_http_response_stream_starts_with_its_metadata(rest: str, tmp_path: Path) -> None:
    code = _streaming(f"""
        stream = HttpResponseStream.from_(stream, {{"statusCode": 201, "cookies": ["é"]}})
        {rest}
    """)
    with running(tmp_path, code) as function:
        answer = function.invoke()
    assert answer.headers["content-type"] == INTEGRATION_RESPONSE
    metadata, body = answer.body.split(bytes(8))
    assert json.loads(metadata) == {"statusCode": 201, "cookies": ["é"]}
    assert body == (b"hi" if "hi" in rest else b"")


@pytest.mark.parametrize(
    "code",
    [
        "def handler(event, context):\n    yield 'a'\n    yield b'b'\n    yield [event]\n",
        "def handler(event, context):\n    return iter(['a', 'b', [event]])\n",
        (
            "def handler(event, stream, context):\n"
            "    stream.write('a')\n    yield 'b'\n    yield [1]\n"
        ),
        "def handler(event, stream, context, more=None):\n    stream.writelines(['a', 'b', [1]])\n",
        (
            "class H:\n    def handler(self, event, context):\n        yield from ['a', 'b', [1]]\n"
            "handler = H().handler\n"
        ),
        (
            "def logged(f):\n    import functools\n    @functools.wraps(f)\n"
            "    def wrapper(*args):\n        return f(*args)\n    return wrapper\n"
            "@logged\ndef handler(event, context):\n    yield from ['a', 'b', [1]]\n"
        ),
        (
            "class H:\n    def __call__(self, event, stream, context):\n"
            "        stream.writelines(['a', 'b', [1]])\nhandler = H()\n"
        ),
    ],
)
def test_handlers_of_every_form_stream(code: str, tmp_path: Path) -> None:
    code += "from awslambda import streamify_response\nhandler = streamify_response(handler)\n"
    with running(tmp_path, code) as function:
        for _ in range(2):
            answer = function.invoke(1)
            assert (answer.kind, answer.body, answer.chunks) == ("response", b"ab[1]", [1, 1, 3])


def test_a_handler_that_writes_nothing_has_an_empty_response(tmp_path: Path) -> None:
    with running(tmp_path, _streaming("pass")) as function:
        answer = function.invoke()
        assert (answer.kind, answer.body, answer.chunks) == ("response", b"", [])


def test_libraries_write_to_the_stream_as_to_a_file(tmp_path: Path) -> None:
    code = _streaming("""
        import gzip, io, shutil
        with stream, gzip.GzipFile(fileobj=stream, mode="wb") as packed:
            shutil.copyfileobj(io.BytesIO(b"z" * 1000000), packed)
        assert stream.closed and stream.writable
    """)
    with running(tmp_path, code) as function:
        answer = function.invoke()
    assert (answer.trailers, len(answer.body) < 5_000) == ({}, True)
    assert gzip.decompress(answer.body) == b"z" * 1_000_000


@pytest.mark.parametrize(
    "body",
    [
        "stream.write('a')\nraise KeyError('mid')",
        "with stream:\n    stream.write('a')\n    raise KeyError('mid')",
    ],
)
def test_an_error_in_mid_stream_travels_in_the_trailers(body: str, tmp_path: Path) -> None:
    with running(tmp_path, _streaming("if not event:\n    return\n" + body)) as function:
        answer = function.invoke(1)
        assert answer.body == b"a"
        told = _told(answer)
        trace = told.pop("stackTrace")
        assert "raise KeyError('mid')" in trace[-1]
        assert told == {
            "errorType": "KeyError",
            "errorMessage": "'mid'",
            "requestId": answer.request_id,
        }
        output = function.process.output_of(answer.request_id)
        assert output.startswith("[ERROR] KeyError: 'mid'\nTraceback")
        assert not function.invoke(0).trailers, "the process goes on"


def test_an_error_in_a_generator_travels_in_the_trailers(tmp_path: Path) -> None:
    code = """
        from awslambda import streamify_response
        @streamify_response
        def handler(event, context):
            yield "a"
            raise ValueError("mid")
    """
    with running(tmp_path, code) as function:
        answer = function.invoke()
        assert (answer.body, _told(answer)["errorMessage"]) == (b"a", "mid")


def test_an_error_before_the_first_byte_is_an_ordinary_one(tmp_path: Path) -> None:
    code = _streaming("""
        HttpResponseStream.from_(stream, {})
        raise ValueError("early")
    """)
    with running(tmp_path, code) as function:
        for _ in range(2):
            answer = function.invoke()
            assert answer.kind == "error"
            assert answer.json()["errorMessage"] == "early"
            assert answer.headers["lambda-runtime-function-error-type"] == "ValueError"
        assert function.invoke(b"{nope").json()["errorType"] == "Runtime.UnmarshalError"


def test_an_error_with_a_long_story_fits_into_a_header(tmp_path: Path) -> None:
    code = _streaming("""
        stream.write("a")
        def fall(n):
            if n:
                fall(n - 1)
            else:
                raise ValueError("é" * 100_000)
        fall(900)
    """)
    with running(tmp_path, code) as function:
        answer = function.invoke()
        assert len(answer.trailers["lambda-runtime-function-error-body"]) < 60_000
        told = _told(answer)
        assert told["errorMessage"].startswith("ééé")
        assert "raise ValueError" in told["stackTrace"][-1]


@pytest.mark.parametrize(
    ("body", "error_type", "message"),
    [
        ("stream.write('x')\nstream.set_content_type('text/plain')",
         "Runtime.InvalidStreamingOperation", "Cannot set content-type, too late."),
        ("stream.write('x')\nHttpResponseStream.from_(stream, {})",
         "Runtime.InvalidStreamingOperation", "Cannot set content-type, too late."),
        ("stream.write('x')\nstream.write(object())", "TypeError", None),
    ],
)  # fmt: skip
def test_misuse_is_told(body: str, error_type: str, message: str | None, tmp_path: Path) -> None:
    with running(tmp_path, _streaming(body)) as function:
        told = _told(function.invoke())
        assert told["errorType"] == error_type
        assert message in {None, told["errorMessage"]}


def test_an_error_after_the_end_comes_too_late_for_the_caller(tmp_path: Path) -> None:
    code = _streaming("stream.end('x')\nstream.write('y')")
    with running(tmp_path, code) as function:
        answer = function.invoke()
        assert (answer.kind, answer.body, answer.trailers) == ("response", b"x", {})
        assert "ValueError: write after the end" in function.process.output_of(answer.request_id)
        assert function.invoke().body == b"x"


def test_async_handlers_are_refused_and_return_values_are_ignored(tmp_path: Path) -> None:
    code = _streaming("pass").replace("def handler", "async def handler")
    with running(tmp_path, code) as function:
        assert function.invoke().json()["errorType"] == "Runtime.MalformedStreamingHandler"
    with running(tmp_path, _streaming("stream.write('x')\nreturn 5")) as function:
        answer = function.invoke()
        assert answer.body == b"x"
        output = function.process.output_of(answer.request_id)
        assert output == "[WARNING] Streaming handlers ignore return values.\n"


@pytest.mark.parametrize("status", [413, None])
def test_a_write_fails_when_nobody_reads_any_more_and_the_loop_goes_on(
    status: int | None, tmp_path: Path
) -> None:
    code = _streaming("""
        try:
            for _ in range(event):
                stream.write(b"x" * 65536)
        except OSError as error:
            print("gone", isinstance(error, ConnectionError))
            raise
    """)
    with running(tmp_path, code) as function:
        function.api.cut_next_stream(1_000_000, status)
        request_id = function.api.queue(10_000)
        output = function.process.output_of(request_id)
        assert output.startswith("gone True\n[ERROR] ")
        assert function.invoke(3).body == b"x" * 3 * 65536
        assert [a.request_id for a in function.api.answers] != [request_id], "it got no answer"


def test_a_generator_is_closed_when_nobody_reads_any_more(tmp_path: Path) -> None:
    code = """
        from awslambda import streamify_response
        @streamify_response
        def handler(event, context):
            try:
                while True:
                    yield b"x" * 65536
            finally:
                print("closed")
    """
    with running(tmp_path, code) as function:
        function.api.cut_next_stream(100_000)
        assert "closed\n" in function.process.output_of(function.api.queue({}))


def test_a_stream_starts_on_a_new_connection_when_the_old_one_broke_meanwhile(
    tmp_path: Path,
) -> None:
    code = _streaming("""
        import os, time
        print("busy")
        while not os.path.exists(event):
            time.sleep(0.005)
        stream.write("done")
    """)
    go = tmp_path / "go"
    with running(tmp_path, code) as function:
        request_id = function.api.queue(str(go))
        function.process.wait_for_output("busy\n")
        function.api.drop_connections()
        go.touch()
        assert function.api.answer_to(request_id).body == b"done"


def test_a_slow_reader_slows_the_handler_down_and_nothing_piles_up(tmp_path: Path) -> None:
    code = _streaming("""
        import threading
        if not event:
            return
        done, written = threading.Event(), 0
        def watch():
            before = -1
            while not done.wait(0.2) and before != written:
                before = written
            print("never held" if done.is_set() else "held")
        watcher = threading.Thread(target=watch)
        watcher.start()
        for _ in range(event):
            stream.write(b"x" * 65536)
            written += 1
        done.set()
        watcher.join()
    """)
    with running(tmp_path, code) as function:
        before = int(function.invoke(0).headers["lambda-home-peak-kib"])
        function.api.pause_reading()
        request_id = function.api.queue(1000)
        function.process.wait_for_output("held\n")
        assert "never" not in function.process.output
        function.api.go_on_reading()
        assert len(function.api.answer_to(request_id).body) == 1000 * 65536
        after = int(function.invoke(0).headers["lambda-home-peak-kib"])
        assert after - before < 8_000


def test_a_forked_child_that_returns_does_not_end_the_stream(tmp_path: Path) -> None:
    code = _streaming("""
        import os
        stream.write("a")
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            stream.write("b")
    """)
    with running(tmp_path, code) as function:
        for _ in range(2):
            assert (function.invoke().body, len(function.process.output)) != (b"a", 0)
        assert [a.body for a in function.api.answers] == [b"ab", b"ab"]


def test_an_undecorated_generator_stays_a_marshal_error(tmp_path: Path) -> None:
    code = "def handler(event, context):\n    yield 1\n"
    with running(tmp_path, code) as function:
        assert function.invoke().json()["errorType"] == "Runtime.MarshalError"


def test_streaming_is_loaded_only_where_it_is_used(tmp_path: Path) -> None:
    mapped = "def loaded():\n    import gc\n    return any(type(o).__name__ == 'module' and"
    mapped += " str(getattr(o, '__file__', '')).endswith(NAME) for o in gc.get_objects())\n"
    mapped = mapped.replace("NAME", "'_lambda_home/streaming.py'")
    plain = mapped + "def handler(event, context):\n    return loaded()\n"
    with running(tmp_path, plain, command=(sys.executable, *OURS)) as function:
        assert function.result() is False
    with running(tmp_path, mapped + _streaming("stream.write(loaded())")) as function:
        assert function.result() is True

"""Several requests in one environment (AWS_LAMBDA_MAX_CONCURRENCY), in both bootstraps."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from unit.runtimes.node_function import BOOTSTRAP
from unit.runtimes.python_function import PythonFunction, running

Start = Callable[..., AbstractContextManager[PythonFunction]]
TAGGED = re.compile(r"\x1eFROM ([^\x1e]+)\x1e(.*)")
FENCE = re.compile(r"\x1eFENCE ([^\x1e]+)\x1e")

# Each waits until as many requests as `event["meet"]` are there at once.
MEET_PYTHON = """
    import os, sys, threading, time
    def meet(event, context):
        open(os.path.join(event["folder"], context.aws_request_id), "w").close()
        while len(os.listdir(event["folder"])) < event["meet"]:
            time.sleep(0.002)
"""
MEET_NODE = """
    const fs = require('fs'), path = require('path');
    const meet = async (event, context) => {
        fs.writeFileSync(path.join(event.folder, context.awsRequestId), '');
        while (fs.readdirSync(event.folder).length < event.meet) {
            await new Promise(r => setTimeout(r, 2));
        }
    };
"""


@pytest.fixture
def python(tmp_path: Path) -> Start:
    def start(code: str, slots: int = 3, **environ: str) -> AbstractContextManager[PythonFunction]:
        several = {"AWS_LAMBDA_MAX_CONCURRENCY": str(slots), **environ}
        return running(tmp_path, MEET_PYTHON + code, environ=several)

    return start


@pytest.fixture
def javascript(node: str, tmp_path: Path) -> Start:
    def start(code: str, slots: int = 3, **environ: str) -> AbstractContextManager[PythonFunction]:
        several = {"AWS_LAMBDA_MAX_CONCURRENCY": str(slots), **environ}
        command = (node, str(BOOTSTRAP))
        files = {"index.js": MEET_NODE + code}
        return running(tmp_path, files, "index.handler", command, several)

    return start


def _together(function: PythonFunction, folder: Path, count: int) -> list[str]:
    """Runs `count` requests that meet; their ids."""
    meeting = folder / "meeting"
    meeting.mkdir()
    event = {"folder": str(meeting), "meet": count}
    ids = [function.api.queue(event) for _ in range(count)]
    for request_id in ids:
        assert function.api.answer_to(request_id).kind == "response"
    return ids


def _logs(output: str) -> tuple[Mapping[str, list[str]], list[str]]:
    """The lines of each request, and the others; no line of a request may follow its fence."""
    own: dict[str, list[str]] = {}
    others = []
    fenced = set()
    for line in output.removesuffix("\n").split("\n") if output else []:
        if match := TAGGED.fullmatch(line):
            assert match[1] not in fenced
            own.setdefault(match[1], []).append(match[2])
        elif match := FENCE.fullmatch(line):
            fenced.add(match[1])
        else:
            assert "\x1e" not in line, line
            others.append(line)
    return own, others


def _wait_for_fences(function: PythonFunction, ids: list[str]) -> None:
    for request_id in ids:
        function.process.wait_for_output(f"\x1eFENCE {request_id}\x1e\n")


def test_python_runs_as_many_requests_at_once_each_in_a_process(
    python: Start, tmp_path: Path
) -> None:
    code = """
    print("loaded")
    def handler(event, context):
        meet(event, context)
        return [os.getpid(), os.getppid()]
    """
    with python(code) as function:
        ids = _together(function, tmp_path, 3)
        pids = [function.api.answer_to(request_id).json() for request_id in ids]
        assert len({pid for pid, _ in pids}) == 3
        assert {parent for _, parent in pids} == {function.process.pid}
        assert all("lambda-home-init-micros" in given for given in function.api.nexts[:3])
        assert _logs(function.process.output) == ({}, ["loaded"] * 3), "each initialises itself"


def test_python_lines_stay_whole_and_name_their_request(python: Start, tmp_path: Path) -> None:
    code = """
    import logging
    def handler(event, context):
        meet(event, context)
        own = context.aws_request_id[0]
        for i in range(50):
            print(own * i, end="")
            print(own * 20000, file=sys.stderr)
        logging.getLogger().warning("warned")
        sys.stdout.write("two\\nlines")
    """
    with python(code) as function:
        ids = _together(function, tmp_path, 3)
        _wait_for_fences(function, ids)
        own, others = _logs(function.process.output)
    assert not others
    assert sorted(own) == sorted(ids)
    for request_id, lines in own.items():
        assert lines[:50] == [request_id[0] * (20_000 + i) for i in range(50)]
        assert lines[50].endswith(f"\t{request_id}\twarned")
        assert lines[51:] == ["two", "lines"]


def test_python_output_after_the_answer_is_nobodys(python: Start, tmp_path: Path) -> None:
    code = """
    def late():
        while not os.path.exists(os.environ["GO"]):
            time.sleep(0.002)
        print("late")
    def handler(event, context):
        threading.Thread(target=late).start()
        print("in time")
    """
    go = tmp_path / "go"
    with python(code, slots=2, GO=str(go)) as function:
        request_id = function.api.queue({})
        _wait_for_fences(function, [request_id])
        go.touch()
        function.process.wait_for_output("late\n")
        own, others = _logs(function.process.output)
        assert (own, others) == ({request_id: ["in time"]}, ["late"])


def test_python_streams_from_every_process(python: Start, tmp_path: Path) -> None:
    code = """
    from awslambda import streamify_response
    @streamify_response
    def handler(event, stream, context):
        stream.write("a")
        meet(event, context)
        stream.write(context.aws_request_id)
    """
    with python(code) as function:
        ids = _together(function, tmp_path, 3)
        for request_id in ids:
            assert function.api.answer_to(request_id).body == b"a" + request_id.encode()


@pytest.mark.parametrize(
    ("misdeed", "status"),
    [
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("os.kill(os.getpid(), 15)", -signal.SIGTERM),
    ],
)
def test_python_a_process_that_dies_takes_the_environment_along(
    misdeed: str, status: int, python: Start
) -> None:
    code = f"""
    def handler(event, context):
        print("bye", flush=True)
        {misdeed}
    """
    with python(code) as function:
        function.api.queue({})
        assert function.process.wait() == status
        assert [*_logs(function.process.output)[0].values()] == [["bye"]]


def test_python_a_function_that_cannot_be_loaded_is_reported_once(python: Start) -> None:
    with python("def broken(:") as function:
        assert function.init_error().json()["errorType"] == "Runtime.UserCodeSyntaxError"
        assert function.process.wait() == 1
        assert len(function.api.answers) == 1
        assert function.process.output.count("[ERROR]") == 1
        assert function.process.output.endswith("\x1eFENCE init\x1e\n")


def test_python_sigterm_reaches_every_process(python: Start) -> None:
    code = """
    import signal
    signal.signal(signal.SIGTERM, lambda *_: (print("stopping"), sys.exit(0)))
    def handler(event, context):
        pass
    """
    with python(code) as function:
        function.api.wait_for(lambda: len(function.api.nexts) == 3)
        function.process.send_signal(signal.SIGTERM)
        assert function.process.wait() == 0
        assert function.process.output == "stopping\n" * 3


def test_python_processes_die_with_the_first_one(python: Start, tmp_path: Path) -> None:
    code = """
    def handler(event, context):
        meet(event, context)
        while True:
            pass
    """
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    with python(code, slots=2) as function:
        for _ in range(2):
            function.api.queue({"folder": str(meeting), "meet": 2})
        function.api.wait_for(lambda: len(function.api.nexts) == 2)
        function.process.send_signal(signal.SIGKILL)
        assert function.process.wait() == -signal.SIGKILL
        assert function.process.ended, "nobody holds its output any more"


def test_python_ends_quietly_when_the_server_is_gone(python: Start) -> None:
    with python("    def handler(event, context): pass") as function:
        function.api.wait_for(lambda: len(function.api.nexts) == 3)
        function.api.close()
        assert function.process.wait() == 1
        assert (function.process.output, function.process.stderr) == ("", "")


@pytest.mark.parametrize("slots", ["1", "", "none"])
def test_python_one_request_at_a_time_stays_one_process(slots: str, python: Start) -> None:
    code = """
    def handler(event, context):
        print("plain")
        return os.getpid()
    """
    with python(code, AWS_LAMBDA_MAX_CONCURRENCY=slots) as function:
        assert function.result({}) == function.process.pid
        assert function.process.output_of(function.api.answers[0].request_id) == "plain\n"
        function.api.wait_for(lambda: len(function.api.nexts) == 2)
        first = ["lambda-home-init-micros" in given for given in function.api.nexts]
        assert first == [True, False], "one poller"


@pytest.mark.process
def test_node_runs_as_many_requests_at_once_with_logs_apart(
    javascript: Start, tmp_path: Path
) -> None:
    code = """
    console.log('loaded');
    exports.handler = async (event, context) => {
        const own = context.awsRequestId[0];
        await meet(event, context);
        for (let i = 0; i < 20; i++) {
            process.stdout.write(own.repeat(i));
            await new Promise(setImmediate);
            process.stderr.write(own.repeat(20000) + '\\n');
        }
        console.warn('warned');
        fs.writeSync(1, 'direct\\n');
        fs.write(1, Buffer.from('xxcallbackxx'), 2, 8, () => {});
        return process.pid;
    };
    """
    with javascript(code) as function:
        ids = _together(function, tmp_path, 3)
        assert {function.api.answer_to(i).json() for i in ids} == {function.process.pid}
        _wait_for_fences(function, ids)
        own, others = _logs(function.process.output)
    assert len(others) == 1
    assert others[0].endswith("\tloaded")
    assert sorted(own) == sorted(ids)
    for request_id, lines in own.items():
        assert lines[:20] == [request_id[0] * (20_000 + i) for i in range(20)]
        assert lines[20].endswith(f"\t{request_id}\tWARN\twarned")
        assert lines[21:] == ["direct", "callback"]


@pytest.mark.process
def test_node_errors_and_results_reach_their_own_requests(
    javascript: Start, tmp_path: Path
) -> None:
    code = """
    exports.handler = async (event, context) => {
        await meet(event, context);
        if (context.awsRequestId < 'a') throw new RangeError(context.awsRequestId);
        return [context.awsRequestId, context.xRayTraceId, process.env._X_AMZN_TRACE_ID];
    };
    """
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    with javascript(code, slots=8) as function:
        trace = {"Lambda-Runtime-Trace-Id": "Root=7"}
        event = {"folder": str(meeting), "meet": 8}
        for request_id in [function.api.queue(event, trace) for _ in range(8)]:
            answer = function.api.answer_to(request_id)
            if request_id < "a":
                assert answer.kind == "error"
                assert answer.json()["errorMessage"] == request_id
                _wait_for_fences(function, [request_id])
                assert f"\x1eFROM {request_id}\x1e" in function.process.output
            else:
                assert answer.json() == [request_id, "Root=7", None]
                assert not answer.fenced


@pytest.mark.process
@pytest.mark.usefixtures("legacy_only")
def test_node_callbacks_do_not_wait_for_an_empty_loop(javascript: Start, tmp_path: Path) -> None:
    code = """
    exports.handler = (event, context, callback) => {
        meet(event, context).then(() => {
            callback(null, context.awsRequestId);
            console.log('after');
        });
    };
    """
    with javascript(code) as function:
        ids = _together(function, tmp_path, 3)
        assert [function.api.answer_to(i).json() for i in ids] == ids
        for _ in ids:
            function.process.wait_for_output("\tafter\n")
        assert not _logs(function.process.output)[0], "what follows the answer is nobody's"


@pytest.mark.process
@pytest.mark.usefixtures("legacy_only")
def test_node_an_uncaught_error_is_told_to_the_request_it_came_from(
    javascript: Start,
) -> None:
    code = """
    exports.handler = async (event, context) => {
        if (event.bad) setTimeout(() => { throw new RangeError(context.awsRequestId) }, 1);
        await new Promise(() => {});
    };
    """
    with javascript(code) as function:
        function.api.queue({})
        function.api.wait_for(lambda: len(function.api.nexts) == 3)
        bad = function.api.queue({"bad": True})
        assert function.api.answer_to(bad).json()["errorMessage"] == bad
        assert function.process.wait() == 129
        assert len(function.api.answers) == 1


@pytest.mark.process
@pytest.mark.usefixtures("modern_only")
def test_node_invoke_store_is_of_the_request(javascript: Start, tmp_path: Path) -> None:
    code = """
    const store = awslambda.InvokeStore;
    exports.handler = async (event, context) => {
        store.set('mine', context.awsRequestId);
        await meet(event, context);
        const inner = store.run({ mine: 'inner' }, () => store.get('mine'));
        return [store.getRequestId(), store.get('mine'), inner];
    };
    """
    with javascript(code) as function:
        ids = _together(function, tmp_path, 3)
        results = [function.api.answer_to(i).json() for i in ids]
        assert results == [[i, i, "inner"] for i in ids]


@pytest.mark.process
def test_node_streams_several_responses_at_once(javascript: Start, tmp_path: Path) -> None:
    code = """
    exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
        stream.write('a');
        await meet(event, context);
        console.log('met');
        stream.end(context.awsRequestId);
    });
    """
    with javascript(code) as function:
        ids = _together(function, tmp_path, 3)
        for request_id in ids:
            assert function.api.answer_to(request_id).body == b"a" + request_id.encode()
        _wait_for_fences(function, ids)
        own, _ = _logs(function.process.output)
        assert all(own[i][0].endswith(f"\t{i}\tINFO\tmet") for i in ids)

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path

import pytest
from unit.runtimes.python_function import ARN, OURS, RUNTIME_DIR, running, series

VERSIONS = series()
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
ECHO = "def handler(event, context):\n    return event\n"


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_every_python_version_serves_logs_and_reports_errors(version: str, tmp_path: Path) -> None:
    code = """
        import logging
        from collections import namedtuple
        from decimal import Decimal
        Point = namedtuple("Point", "x y")
        def handler(event, context):
            print("printed", event)
            logging.getLogger().warning("logged")
            if event == "fail":
                raise ValueError("no")
            return {"n": Decimal("1.10"), "p": Point(1, 2), "é": event}
    """
    environ = {"AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}"}
    with running(tmp_path, code, command=(VERSIONS[version], *OURS), environ=environ) as function:
        answer = function.invoke("ok")
        escaped = int(version[2:]) < 12
        key = "\\u00e9" if escaped else "é"
        assert answer.body.decode() == f'{{"n": 1.10, "p": {{"x": 1, "y": 2}}, "{key}": "ok"}}'
        failure = function.invoke("fail")
        assert failure.headers["lambda-runtime-function-error-type"] == "ValueError"
        source = tmp_path / "task" / "app.py"
        assert failure.json() == {
            "errorMessage": "no",
            "errorType": "ValueError",
            "requestId": failure.request_id,
            "stackTrace": [f'  File "{source}", line 10, in handler\n    raise ValueError("no")\n'],
        }
        assert re.fullmatch(
            rf"printed fail\n\[WARNING\]\t{TIME}\.\d{{3}}Z\t{failure.request_id}\tlogged\n"
            r"\[ERROR\] ValueError: no\nTraceback \(most recent call last\):\n"
            rf'\xa0\xa0File "{source}", line 10, in handler\n'
            r'\xa0\xa0\xa0\xa0raise ValueError\("no"\)\n',
            function.process.output_of(failure.request_id, answer.request_id),
        )


def test_the_context_is_complete(tmp_path: Path) -> None:
    code = """
        import os
        def handler(event, context):
            context.log("noted")
            client = context.client_context
            return [
                context.function_name, context.function_version, context.invoked_function_arn,
                context.memory_limit_in_mb, context.log_group_name, context.log_stream_name,
                context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id,
                client and [client.custom, client.env, client.client and client.client.app_title],
                context.tenant_id, os.environ.get("_X_AMZN_TRACE_ID"),
                context.w3c(), 28000 < context.get_remaining_time_in_millis() <= 30000,
            ]
    """
    headers = {
        "Lambda-Runtime-Client-Context": json.dumps(
            {
                "custom": {"a": 1},
                "env": {"b": "2"},
                "client": {"app_title": "x"},
                "w3c": {"traceparent": "00-1", "other": "no"},
            }
        ),
        "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}',
        "Lambda-Runtime-Aws-Tenant-Id": "blue",
        "Lambda-Runtime-Trace-Id": "Root=1",
    }
    same = ["tested", "$LATEST", ARN, "128", "/aws/lambda/tested", "2026/11/21/[$LATEST]0123"]
    with running(tmp_path, code) as function:
        assert function.result({}, headers) == [
            *same,
            *("i", "p", [{"a": 1}, {"b": "2"}, "x"], "blue", "Root=1"),
            *({"traceparent": "00-1"}, True),
        ]
        nothing: list[object] = [*same, None, None, None, None, None, {}, True]
        assert function.result({}, {"Lambda-Runtime-Trace-Id": ""}) == nothing
        function.process.wait_for_output("noted\n\x1eFENCE")


def test_an_overdue_invocation_has_no_time_left(tmp_path: Path) -> None:
    code = "def handler(event, context):\n    return context.get_remaining_time_in_millis()\n"
    with running(tmp_path, code) as function:
        assert function.result({}, {"Lambda-Runtime-Deadline-Ms": "1000"}) == 0


def test_the_address_is_sent_as_host_and_headers_tell_the_measurements(tmp_path: Path) -> None:
    with running(tmp_path, ECHO) as function:
        function.invoke(1)
        answer = function.invoke(2)
        first, second = function.api.nexts[0], function.api.nexts[1]
        assert {first["host"], second["host"], answer.headers["host"]} == {function.api.address}
        assert 0 < int(first["lambda-home-init-micros"]) < 10_000_000
        assert "lambda-home-init-micros" not in second
        assert 4_000 < int(answer.headers["lambda-home-peak-kib"]) < 100_000


def test_peak_memory_is_the_functions_own_and_grows(tmp_path: Path) -> None:
    code = "def handler(event, context):\n    return len(b'x' * event)\n"
    with running(tmp_path, code) as function:
        before = int(function.invoke(1).headers["lambda-home-peak-kib"])
        after = int(function.invoke(64 << 20).headers["lambda-home-peak-kib"])
        assert 60_000 < after - before < 80_000


def test_output_keeps_its_order_across_print_logging_stderr_and_buffers(tmp_path: Path) -> None:
    code = """
        import logging, sys
        def handler(event, context):
            print("1", end="")
            print("2", file=sys.stderr)
            sys.stdout.buffer.write(b"3\\n")
            logging.error("4")
            sys.stderr.write("5")
            sys.stdout.write("6")
    """
    with running(tmp_path, code) as function:
        output = re.sub(r"\[ERROR\]\t[^\t]*\t[^\t]*\t", "", function.output())
        assert output == "12\n3\n4\n56"


def test_a_silent_invocation_has_no_fence(tmp_path: Path) -> None:
    code = "def handler(event, context):\n    event and print(event)\n"
    with running(tmp_path, code) as function:
        flags = [function.invoke(event).headers["lambda-home-fence"] for event in ("", "x", "")]
        assert flags == ["0", "1", "0"]
        function.process.wait_for_output("FENCE")
        assert function.process.output.count("FENCE") == 1


def test_output_of_a_child_process_is_fenced(tmp_path: Path) -> None:
    code = """
        import subprocess
        def handler(event, context):
            subprocess.run(["echo", "from a child"], check=True)
    """
    with running(tmp_path, code) as function:
        assert function.output() == "from a child\n"


@pytest.mark.parametrize(
    "misdeed",
    [
        "sys.stdout.close()",
        "sys.stdout = None",
        "sys.stdout = sys.stderr = io.StringIO()",
        "os.close(1)",
        "os.dup2(os.open(os.devnull, os.O_WRONLY), 1)",
        "sys.modules.clear()",
        "sys.path.clear()",
        "socket.socket = None",
        "os.environ.clear()",
    ],
)
def test_what_a_function_breaks_for_itself_does_not_break_the_runtime(
    misdeed: str, tmp_path: Path
) -> None:
    code = f"""
        import io, os, socket, sys
        def handler(event, context):
            context.log("noted")
            if event == 1:
                {misdeed}
            if event == 2:
                raise ValueError(str(event))
            return event
    """
    with running(tmp_path, code) as function:
        assert function.result(1) == 1
        assert function.invoke(2).json()["errorMessage"] == "2"
        assert "noted\n" in function.output(3)


def test_ten_megabytes_are_written_in_order_without_a_deadlock(tmp_path: Path) -> None:
    code = """
        import sys
        def handler(event, context):
            print("a" * 5_000_000)
            print("b" * 5_000_000, file=sys.stderr)
            print("end")
    """
    with running(tmp_path, code) as function:
        assert function.output() == "a" * 5_000_000 + "\n" + "b" * 5_000_000 + "\nend\n"


def test_large_events_and_responses_pass(tmp_path: Path) -> None:
    with running(tmp_path, ECHO) as function:
        event = "é" * 3_000_000
        assert function.result(event) == event


def test_json_logs_carry_the_request_and_the_level_filters(tmp_path: Path) -> None:
    code = """
        import logging
        def handler(event, context):
            log = logging.getLogger("my")
            log.debug("hidden")
            log.info({"a": 1}, extra={"color": "red"})
            try:
                1 / 0
            except ZeroDivisionError:
                log.exception("caught %s", "it")
            raise KeyError("k")
    """
    environ = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    with running(tmp_path, code, environ=environ) as function:
        lines = [json.loads(line) for line in function.output().splitlines()]
        request_id = function.api.answers[0].request_id
    assert all(re.fullmatch(TIME + "Z", line.pop("timestamp")) for line in lines)
    info, caught, failed = lines
    assert info == {
        "level": "INFO",
        "message": {"a": 1},
        "logger": "my",
        "requestId": request_id,
        "color": "red",
    }
    assert (caught["message"], caught["errorType"]) == ("caught it", "ZeroDivisionError")
    assert caught["location"].endswith("app.py:handler:10")
    assert (failed["level"], failed["errorType"]) == ("ERROR", "KeyError")
    assert failed["requestId"] == request_id


@pytest.mark.parametrize(("code", "exit_code"), [("sys.exit(3)", 3), ("os._exit(4)", 4)])
def test_exit_in_a_handler_ends_the_process_without_an_answer(
    code: str, exit_code: int, tmp_path: Path
) -> None:
    source = f"import os, sys\ndef handler(event, context):\n    print('bye')\n    {code}\n"
    with running(tmp_path, source) as function:
        function.api.queue({})
        assert function.process.wait() == exit_code
        assert function.process.output == "bye\n"
        assert not function.api.answers


def test_exit_is_there_without_site(tmp_path: Path) -> None:
    with running(tmp_path, "def handler(event, context):\n    exit(5)\n") as function:
        function.api.queue({})
        assert function.process.wait() == 5


def test_sigterm_ends_an_idle_runtime_and_its_handlers_run(tmp_path: Path) -> None:
    with running(tmp_path, ECHO) as function:
        function.api.wait_until_parked()
        function.process.send_signal(signal.SIGTERM)
        assert function.process.wait() == -signal.SIGTERM
    code = """
        import signal, sys
        signal.signal(signal.SIGTERM, lambda *_: (print("stopping"), sys.exit(0)))
        def handler(event, context): pass
    """
    with running(tmp_path, code) as function:
        function.api.wait_until_parked()
        function.process.send_signal(signal.SIGTERM)
        assert function.process.wait() == 0
        assert function.process.output == "stopping\n"


def test_a_forked_child_that_returns_does_not_answer(tmp_path: Path) -> None:
    code = """
        import os
        def handler(event, context):
            child = os.fork()
            if not child:
                return "child"
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    """
    with running(tmp_path, code) as function:
        assert function.result() == 0
        assert function.result() == 0
        assert len(function.api.answers) == 2


def test_a_refused_answer_does_not_end_the_loop(tmp_path: Path) -> None:
    with running(tmp_path, ECHO) as function:
        function.api.refuse_next_answer(413)
        assert function.invoke(1).body == b"1"
        assert function.invoke(2).body == b"2"


def test_a_dropped_idle_connection_is_opened_again(tmp_path: Path) -> None:
    with running(tmp_path, ECHO) as function:
        for event in (1, 2):
            assert function.result(event) == event
            function.api.wait_until_parked()
            function.api.drop_connections()


def test_an_answer_is_sent_again_when_the_connection_broke_while_the_handler_ran(
    tmp_path: Path,
) -> None:
    code = """
        import os, time
        def handler(event, context):
            print("busy")
            while not os.path.exists(event):
                time.sleep(0.005)
            return "done"
    """
    go = tmp_path / "go"
    with running(tmp_path, code) as function:
        request_id = function.api.queue(str(go))
        function.process.wait_for_output("busy\n")
        function.api.drop_connections()
        go.touch()
        assert function.api.answer_to(request_id).body == b'"done"'


def test_it_exits_quietly_when_the_server_is_gone(tmp_path: Path) -> None:
    code = ECHO + "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    with running(tmp_path, code) as function:
        function.api.wait_until_parked()
        function.api.close()
        assert function.process.wait() == 1
        assert (function.process.output, function.process.stderr) == ("", "")


def test_user_modules_of_any_name_are_found_and_nothing_of_ours_is(tmp_path: Path) -> None:
    ours = ["bootstrap", "client", "context", "function", "imports", "marshal_", "output"]
    names = [*ours, "runtime", "signal", "resource", "selectors"]
    code = f"""
        import sys, os
        names = {names}
        loaded = [name for name in names if name in sys.modules]
        def handler(event, context):
            return [loaded, [__import__(name).MINE for name in names], sys.path[:1], os.getcwd(),
                    sys.argv]
    """
    files = {f"{name}.py": f"MINE = {name!r}\n" for name in names}
    with running(tmp_path, {"app.py": code, **files}) as function:
        task = str(tmp_path / "task")
        bootstrap = str(RUNTIME_DIR / "bootstrap.py")
        assert function.result() == [[], names, [task], task, [bootstrap]]


def test_modules_that_awss_runtime_has_loaded_already_cannot_be_shadowed(tmp_path: Path) -> None:
    files = {
        "app.py": "import json, logging, types\n" + ECHO.replace("event\n", "json.dumps(event)\n"),
        **{f"{name}.py": "raise Exception" for name in ("json", "logging", "types", "traceback")},
    }
    with running(tmp_path, files) as function:
        assert function.result([1]) == "[1]"


def test_the_path_is_awss(tmp_path: Path) -> None:
    code = """
        import sys, os
        def handler(event, context):
            return [sys.path[:4], os.environ["PYTHONPATH"]]
    """
    task, runtime = str(tmp_path / "task"), str(RUNTIME_DIR)
    site = f"/opt/python/lib/python3.{sys.version_info.minor}/site-packages"
    with running(tmp_path, code) as function:
        assert function.result() == [[task, site, "/opt/python", runtime], runtime]
    with running(tmp_path, code, environ={"PYTHONPATH": "/mine:/other"}) as function:
        assert function.result() == [[task, runtime, "/mine", "/other"], "/mine:/other"]


def test_logging_and_json_are_not_loaded_for_a_function_that_needs_neither(tmp_path: Path) -> None:
    code = """
        import sys
        def handler(event, context):
            return [name for name in ("logging", "json", "socket") if name in sys.modules]
    """
    with running(tmp_path, code) as function:
        assert function.result() == []


def test_the_launcher_starts_it_and_runs_a_wrapper(tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('#!/bin/sh\necho wrapped\nexec "$@"\n')
    wrapper.chmod(0o755)
    launcher = str(RUNTIME_DIR / "bootstrap")
    with running(tmp_path, ECHO, command=(launcher,)) as function:
        assert function.result(1) == 1
    environ = {"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)}
    with running(tmp_path, ECHO, command=(launcher,), environ=environ) as function:
        assert function.result(1) == 1
        assert function.process.output.startswith("wrapped\n")

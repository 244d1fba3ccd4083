"""The Node bootstrap against a fake runtime API, in AWS's two generations (to 22, from 24)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from unit.runtimes.node_function import ARN, BOOTSTRAP, DEADLINE_SECONDS, Run, running

pytestmark = pytest.mark.process


def _handler(expression: str) -> str:
    return f"exports.handler = {expression}"


def _result(run: Run, code: str | dict[str, str], handler: str = "index.handler") -> Any:
    with run(code, handler) as function:
        answer = function.invoke({"x": 1})
        assert answer.kind == "response", answer
        return answer.json()


# --- loading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        ({"index.js": "exports.handler = async () => 1"}, "index.handler"),
        ({"index.cjs": "exports.handler = async () => 1"}, "index.handler"),
        ({"index.mjs": "export const handler = async () => 1"}, "index.handler"),
        ({"index.mjs": "const x = await 1; export const handler = async () => x"}, "index.handler"),
        (
            {
                "index.js": "export const handler = async () => 1",
                "package.json": '{"type":"module"}',
            },
            "index.handler",
        ),
        (
            {"index.cjs": "exports.handler = async () => 1", "package.json": '{"type":"module"}'},
            "index.handler",
        ),
        ({"src/deep/app.js": "exports.handler = async () => 1"}, "src/deep/app.handler"),
        ({"index.js": "exports.a = {b: {handler: async () => 1}}"}, "index.a.b.handler"),
        ({"node_modules/pkg/index.js": "exports.handler = async () => 1"}, "pkg.handler"),
    ],
)
def test_handler_is_found_where_aws_finds_it(run: Run, files: dict[str, str], handler: str) -> None:
    assert _result(run, files, handler) == 1


@pytest.mark.parametrize(
    ("files", "handler", "error_type", "message"),
    [
        ({"index.js": "require('nope')"}, "index.handler", "Runtime.ImportModuleError",
         "Error: Cannot find module 'nope'\nRequire stack:\n- {task}/index.js"),
        ({"other.js": ""}, "index.handler", "Runtime.ImportModuleError",
         "Error: Cannot find module 'index'\nRequire stack:\n- {runtime}/index.mjs"),
        ({"index.mjs": "import x from 'nope'"}, "index.handler", "Error",
         "Cannot find package 'nope' imported from {task}/index.mjs"),
        ({"index.js": "async ( => {"}, "index.handler", "Runtime.UserCodeSyntaxError",
         "SyntaxError: Unexpected token '=>'"),
        ({"index.js": "exports.x = 1"}, "index.handler", "Runtime.HandlerNotFound",
         "index.handler is undefined or not exported"),
        ({"index.js": "exports.handler = 1"}, "index.handler", "Runtime.HandlerNotFound",
         "index.handler is not a function"),
        ({"index.js": ""}, "index", "Runtime.MalformedHandlerName", "Bad handler"),
        ({"index.js": ""}, "../index.handler", "Runtime.MalformedHandlerName",
         ("'../index.handler' is not a valid handler name. Use absolute paths when specifying "
         "root directories in handler names.")),
        ({"index.js": "throw new TypeError('boom')"}, "index.handler", "TypeError", "boom"),
        ({"index.js": "throw 'boom'"}, "index.handler", "string", "boom"),
    ],
)  # fmt: skip
def test_failing_to_load_is_an_init_error_and_ends_the_process(  # noqa: PLR0913, PLR0917
    run: Run, major: int, tmp_path: Path, files: dict[str, str], handler: str, error_type: str,
    message: str,
) -> None:  # fmt: skip
    with run(files, handler) as function:
        answer = function.receive()
        assert answer.path == "/2018-06-01/runtime/init/error"
        body = answer.json()
        expected = message.format(task=tmp_path / "task", runtime=tmp_path / "runtime")
        assert body["errorType"] == error_type
        assert body["errorMessage"].startswith(expected)
        assert answer.headers["lambda-runtime-function-error-type"] == error_type
        assert ("Init Error \t{" if major >= 24 else "\tUncaught Exception \t{") in (
            answer.output.replace("ERROR\t", "\t")
        )
        assert function.exit_code() == (1 if major >= 24 else 129)


@pytest.mark.usefixtures("modern_only")
def test_callback_handler_is_refused_from_node_24_on(run: Run) -> None:
    with run(_handler("(event, context, callback) => callback(null, 1)")) as function:
        assert function.receive().json()["errorType"] == "Runtime.CallbackHandlerDeprecated"


@pytest.mark.parametrize("folder", ["layer", "layer/node_modules"])
@pytest.mark.parametrize("kind", ["require", "import"])
def test_packages_of_layers_are_found_through_node_path(
    run: Run, node: str, tmp_path: Path, kind: str, folder: str
) -> None:
    version = subprocess.run(
        [node, "-p", "!!require('module').register"], capture_output=True, check=True, text=True
    )
    if kind == "import" and version.stdout.strip() != "true":
        pytest.skip("this Node has no module hooks")
    package = tmp_path / folder / "greeting"
    package.mkdir(parents=True)
    (package / "index.js").write_text("module.exports = 'from the layer'")
    code = (
        {"index.js": "const g = require('greeting'); exports.handler = async () => g"}
        if kind == "require"
        else {"index.mjs": "import g from 'greeting'; export const handler = async () => g"}
    )
    with run(code, NODE_PATH=str(tmp_path / folder)) as function:
        assert function.invoke().json() == "from the layer"


# --- results ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "result"),
    [
        ("async (event) => event", {"x": 1}),
        ("() => Promise.resolve(4)", 4),
        ("async () => {}", None),
        ("() => ({ then(done) { done('thenable') } })", "thenable"),
        ("async () => { setTimeout(() => {}, 60000); return 'at once' }", "at once"),
    ],
)
def test_promised_result_is_the_response(run: Run, handler: str, result: Any) -> None:
    assert _result(run, _handler(handler)) == result


def test_returned_value_of_a_sync_handler_counts_from_node_24_on(run: Run, major: int) -> None:
    assert _result(run, _handler("() => 7")) == (7 if major >= 24 else None)


@pytest.mark.usefixtures("legacy_only")
@pytest.mark.parametrize(
    ("handler", "result"),
    [
        ("(e, c, callback) => callback(null, 'x')", "x"),
        ("(e, c, callback) => { setTimeout(() => callback(null, 'later'), 5) }", "later"),
        ("(e, c) => c.done(null, 'd')", "d"),
        ("(e, c) => c.succeed('s')", "s"),
        ("async (e, c) => { c.succeed('first'); return 'second' }", "first"),
        ("() => new Promise(() => {})", None),
        ("() => { throw undefined }", None),
    ],
)
def test_callback_style_answers_as_before_node_24(run: Run, handler: str, result: Any) -> None:
    assert _result(run, _handler(handler)) == result


@pytest.mark.usefixtures("legacy_only")
def test_callback_waits_for_an_empty_event_loop_unless_told_otherwise(run: Run) -> None:
    code = _handler(
        "(wait, context, callback) => {"
        "  context.callbackWaitsForEmptyEventLoop = wait;"
        "  setTimeout(() => console.log('timer'), 30);"
        "  callback(null, wait) }"
    )
    with run(code) as function:
        assert "timer" in function.invoke(event=True).output
        assert function.invoke(event=False).output == ""


@pytest.mark.usefixtures("modern_only")
def test_promise_that_never_settles_ends_the_process_from_node_24_on(run: Run) -> None:
    with run(_handler("() => new Promise(() => {})")) as function:
        function.send()
        assert function.exit_code() == 0


def test_leaving_the_process_loses_no_output(run: Run) -> None:
    code = _handler("async () => { console.log('x'.repeat(300000)); process.exit(3) }")
    with run(code) as function:
        function.send()
        assert function.exit_code() == 3
        assert function.rest().count("x") == 300000


# --- errors ----------------------------------------------------------------------------------


def test_thrown_error_has_type_message_and_trace(run: Run, tmp_path: Path) -> None:
    with run(_handler("async () => { throw new RangeError('r\\x7f') }")) as function:
        answer = function.invoke()
        assert answer.kind == "error"
        assert answer.headers["lambda-runtime-function-error-type"] == "RangeError"
        body = answer.json()
        assert body.keys() == {"errorType", "errorMessage", "trace"}
        assert (body["errorType"], body["errorMessage"]) == ("RangeError", "r%7F")
        assert body["trace"][0] == "RangeError: r%7F"
        assert f"{tmp_path}/task/index.js:1" in body["trace"][1]
        time, request_id, level, title, logged = answer.output.rstrip("\n").split("\t")
        assert time.endswith("Z")
        assert request_id == answer.path.split("/")[-2]
        assert (level, title) == ("ERROR", "Invoke Error ")
        assert json.loads(logged)["stack"][0] == "RangeError: r\x7f"


@pytest.mark.parametrize(
    ("thrown", "legacy", "from_24"),
    [
        ("'s'", ("string", "s"), ("string", "s")),
        ("7", ("number", "7"), ("number", "7")),
        ("undefined", ("string", "handled"), ("undefined", "undefined")),
        ("null", ("string", "handled"), ("object", "null")),
        ("{ a: 1 }", ("object", "[object Object]"), ("object", "[object Object]")),
    ],
)
def test_rejection_with_anything_else_is_described(
    run: Run, major: int, thrown: str, legacy: tuple[str, str], from_24: tuple[str, str]
) -> None:
    with run(_handler(f"async () => {{ throw {thrown} }}")) as function:
        body = function.invoke().json()
        assert (body["errorType"], body["errorMessage"]) == (from_24 if major >= 24 else legacy)
        assert body["trace"] == []


@pytest.mark.parametrize("result", ["10n", "(() => { const a = {}; a.a = a; return a })()"])
def test_result_that_is_not_json_is_an_error(run: Run, major: int, result: str) -> None:
    with run(_handler(f"async () => {result}")) as function:
        body = function.invoke().json()
        assert body["errorMessage"] == "Unable to stringify response body"
        assert body["errorType"] == ("Runtime.JSONStringifyError" if major >= 24 else "Error")
        assert function.invoke().kind == "error", "the process goes on"


@pytest.mark.parametrize(
    ("mistake", "error_type", "message", "code"),
    [
        ("setTimeout(() => { throw new TypeError('u') })", "TypeError", "u", 129),
        ("Promise.reject(new TypeError('u'))", "Runtime.UnhandledPromiseRejection",
         "TypeError: u", 128),
        ("Promise.reject('u')", "Runtime.UnhandledPromiseRejection", "u", 128),
    ],
)  # fmt: skip
def test_error_nobody_caught_ends_the_process(
    run: Run, major: int, mistake: str, error_type: str, message: str, code: int
) -> None:
    wait = "await new Promise(() => setTimeout(() => {}, 60000))"
    with run(_handler(f"async () => {{ {mistake}; {wait} }}")) as function:
        function.send()
        if major >= 24:
            assert function.exit_code() == 1
            assert "Node.js v" in function.rest()
            return
        answer = function.receive()
        assert answer.kind == "error"
        assert answer.json()["errorType"] == error_type
        assert answer.json()["errorMessage"] == message
        assert function.exit_code() == code


@pytest.mark.usefixtures("legacy_only")
def test_error_nobody_caught_before_the_first_invocation_is_an_init_error(run: Run) -> None:
    code = "setTimeout(() => { throw new Error('late') }, 100); exports.handler = async () => 1"
    with run(code) as function:
        function.api.polls.get(timeout=DEADLINE_SECONDS)
        answer = function.receive()
        assert answer.path.endswith("/init/error")
        assert answer.json()["errorMessage"] == "late"
        assert function.exit_code() == 129


# --- context ---------------------------------------------------------------------------------


def test_context_and_trace_are_those_of_the_invocation(run: Run) -> None:
    code = _handler(
        "async (event, context) => ({ ...context, trace: process.env._X_AMZN_TRACE_ID,"
        " left: context.getRemainingTimeInMillis() - (4102444800000 - Date.now()) })"
    )
    with run(code) as function:
        function.invoke()
        answer = function.invoke(
            headers={
                "Lambda-Runtime-Client-Context": '{"custom":{"n":"ü"}}',
                "Lambda-Runtime-Cognito-Identity": '{"cognitoIdentityId":"i"}',
                "Lambda-Runtime-Aws-Tenant-Id": "tenant",
            }
        )
        context = answer.json()
        assert abs(context.pop("left")) < 1000
        assert context.pop("trace") == "Root=1-2"
        assert {"callbackWaitsForEmptyEventLoop": True, "xRayTraceId": "Root=1-2"} | context == {
            "callbackWaitsForEmptyEventLoop": True,
            "xRayTraceId": "Root=1-2",
            "functionName": "greet",
            "functionVersion": "$LATEST",
            "memoryLimitInMB": "128",
            "logGroupName": "/aws/lambda/greet",
            "logStreamName": "2026/11/21/[$LATEST]0",
            "invokedFunctionArn": ARN,
            "awsRequestId": answer.path.split("/")[-2],
            "clientContext": {"custom": {"n": "ü"}},
            "identity": {"cognitoIdentityId": "i"},
            "tenantId": "tenant",
        }


def test_only_awslambda_is_added_to_the_globals(run: Run, node: str) -> None:
    names = "Object.getOwnPropertyNames(globalThis)"
    plain = subprocess.run(
        [node, "-e", f"console.log(JSON.stringify({names}))"],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    added = set(_result(run, _handler(f"async () => {names}"))) - set(json.loads(plain.stdout))
    assert added == {"awslambda"}


# --- output ----------------------------------------------------------------------------------


def _messages(output: str) -> list[str]:
    return [line.split("\t", 2)[2] for line in output.splitlines()]


def test_console_writes_lines_of_time_request_id_and_level(run: Run) -> None:
    code = _handler(
        "async () => { console.log('a\\nb', {x: 1}); console.warn('%s-%d', 'q', 3);"
        " console.error('e'); console.debug('d'); console.trace('t'); console.fatal('f') }"
    )
    with run("console.log('loading');" + code) as function:
        first = function.invoke().output.split("\n", 1)
        assert first[0].endswith("\tINFO\tloading")
        messages = [line.split("\t", 2)[2] for line in first[1].split("\n")[:-1]]
        assert messages == [
            "INFO\ta\rb { x: 1 }", "WARN\tq-3", "ERROR\te", "DEBUG\td", "TRACE\tt", "FATAL\tf",
        ]  # fmt: skip


def test_json_format_and_level_are_honoured(run: Run) -> None:
    code = _handler(
        "async () => { console.log('no'); console.warn({a: 1}); console.error('p %s', 'q', "
        "Object.assign(new TypeError('m'), {stack: 'S'})) }"
    )
    with run(code, AWS_LAMBDA_LOG_FORMAT="JSON", AWS_LAMBDA_LOG_LEVEL="warn") as function:
        answer = function.invoke()
        lines = [json.loads(line) for line in answer.output.splitlines()]
        for line in lines:
            assert line.pop("timestamp").endswith("Z")
            assert line.pop("requestId") == answer.path.split("/")[-2]
        assert lines == [
            {"level": "WARN", "message": {"a": 1}},
            {"level": "ERROR", "message": "p q [S]", "errorType": "TypeError",
             "errorMessage": "m", "stackTrace": ["S"]},
        ]  # fmt: skip


def test_all_ways_to_print_keep_their_order(run: Run) -> None:
    code = _handler(
        "async () => { process.stdout.write('1\\n'); process.stderr.write('2\\n');"
        " require('fs').writeSync(2, '3\\n'); process.stdout.write(Buffer.from('4\\n'));"
        " require('child_process').spawnSync('echo', ['5'], {stdio: 'inherit'});"
        " console.dir(6); require('fs').writeSync(1, '7\\n') }"
    )
    with run(code) as function:
        assert function.invoke().output == "".join(f"{n}\n" for n in range(1, 8))


def test_fence_is_written_only_after_output(run: Run) -> None:
    with run(_handler("async (talk) => { if (talk) console.log('hi') }")) as function:
        assert function.invoke(event=True).headers["lambda-home-fence"] == "1"
        assert function.invoke(event=False).headers["lambda-home-fence"] == "0"
        assert function.invoke(event=True).output.endswith("\thi\n")


def test_descriptor_writes_of_loggers_are_fenced(run: Run) -> None:
    code = {"index.mjs": "import { writeSync } from 'fs';"
            "export const handler = async () => { writeSync(1, 'direct\\n') }"}  # fmt: skip
    with run(code) as function:
        assert function.invoke().output == "direct\n"


def test_ten_megabytes_of_output_arrive_before_the_fence(run: Run) -> None:
    code = _handler(
        "async () => { process.stdout.isTTY; for (let i = 0; i < 10; i++)"
        " process.stdout.write('y'.repeat(1 << 20)) }"
    )
    with run(code) as function:
        assert function.invoke().output.count("y") == 10 << 20


def test_peak_memory_and_init_time_are_reported(run: Run) -> None:
    code = _handler("async (n) => { const b = Buffer.alloc(n, 1); return b.length }")
    with run(code) as function:
        micros = int(function.api.polls.get(timeout=DEADLINE_SECONDS)["lambda-home-init-micros"])
        assert 1000 < micros < DEADLINE_SECONDS * 1_000_000
        before = int(function.invoke(0).headers["lambda-home-peak-kib"])
        after = int(function.invoke(60 << 20).headers["lambda-home-peak-kib"])
        assert after - before > 50 << 10


# --- the connection --------------------------------------------------------------------------


def test_large_events_and_results_pass_whole(run: Run) -> None:
    text = "äöü€😀" * 400_000
    with run(_handler("async (event) => event")) as function:
        assert function.invoke(text).json() == text
        assert function.invoke("small").json() == "small"


def test_refused_response_does_not_end_the_process(run: Run) -> None:
    with run(_handler("async (event) => event")) as function:
        function.api.statuses.append(413)
        assert function.invoke(1).json() == 1
        assert function.invoke(2).json() == 2


def test_connection_lost_while_idle_is_opened_again(run: Run) -> None:
    with run(_handler("async (event) => event")) as function:
        function.api.drop_next_poll = True
        assert function.invoke(1).json() == 1


def test_process_ends_quietly_with_its_server(run: Run) -> None:
    with run(_handler("async (event) => event")) as function:
        function.invoke(1)
        function.api.close_all()
        assert function.exit_code() == 1
        assert function.rest() == ""


def test_launcher_passes_flags_and_honours_the_wrapper(tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.write_text('#!/bin/sh\nWRAPPED=yes exec "$@"\n')
    wrapper.chmod(0o755)
    code = {"index.js": _handler("async () => [process.env.WRAPPED, process.execArgv]")}
    command = ["sh", str(BOOTSTRAP.with_suffix(""))]
    env = {"AWS_LAMBDA_EXEC_WRAPPER": str(wrapper)}
    with running(command, tmp_path, code, env=env) as function:
        wrapped, flags = function.invoke().json()
        assert wrapped == "yes"
        assert {"--max-old-space-size=116", "--max-semi-space-size=6"} <= set(flags)

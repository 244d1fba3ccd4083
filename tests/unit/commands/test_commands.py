"""The commands against a server that says what a test tells it to."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from typer.testing import CliRunner, Result

from lambda_home.cli import app

Said = tuple[int, dict[str, str], bytes]


class Pretended(BaseHTTPRequestHandler):
    """Answers what is to be said to `METHOD path`, and keeps what it was asked."""

    said: ClassVar[dict[str, Said]] = {}
    asked: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []

    def _answer(self) -> None:
        what = f"{self.command} {self.path}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.asked.append((what, headers, body))
        status, given, content = self.said.get(what, (404, {}, b"{}"))
        self.send_response(status)
        for name, value in {**given, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815  the base class's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        del format, args


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("LAMBDA_HOME_TOKEN", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Pretended]]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Pretended)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("LAMBDA_HOME_ENDPOINT_URL", f"http://127.0.0.1:{httpd.server_port}")
    Pretended.said = {}
    Pretended.asked = []
    yield Pretended
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def run(*words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, list(words), input=given)


def said(document: Any, status: int = 200, **headers: str) -> Said:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, json.dumps(document).encode()


INVOKE = "POST /2015-03-31/functions/fn/invocations"


def test_requests_are_signed_where_there_is_a_key(
    server: type[Pretended], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.said[INVOKE] = said({"ok": 1})
    monkeypatch.delenv("AWS_REGION")
    assert run("invoke", "fn").exit_code == 0
    assert run("invoke", "fn", "--region", "eu-west-2").exit_code == 0
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    assert run("invoke", "fn").exit_code == 0
    monkeypatch.setenv("LAMBDA_HOME_TOKEN", "AKIA2:hush")
    assert run("invoke", "fn").exit_code == 0
    unsigned, elsewhere, signed, token = (headers for _, headers, _ in server.asked)
    assert "authorization" not in unsigned
    # Without a key, a region that is named is known by a signature that proves nothing.
    assert "=lambda-home/" in elsewhere["authorization"]
    assert "/eu-west-2/lambda/aws4_request" in elsewhere["authorization"]
    assert signed["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIATEST/")
    assert "/eu-west-1/lambda/aws4_request" in signed["authorization"]
    assert token["authorization"] == "Bearer AKIA2:hush"


@pytest.mark.parametrize(
    ("payload", "given", "sent"),
    [
        (None, None, b"{}"),
        ('{"a": 1}', None, b'{"a": 1}'),
        ("[]", None, b"[]"),
        ("-", '"from stdin"', b'"from stdin"'),
        ('"\udcc3\udcbc"', None, b'"\xc3\xbc"'),  # as Python has it where LC_ALL is C
    ],
)
def test_a_payload_is_sent_as_it_is(
    server: type[Pretended], payload: str | None, given: str | None, sent: bytes
) -> None:
    server.said[INVOKE] = 200, {}, b'{"b":2}'
    done = run("invoke", "fn", *(["--payload", payload] if payload else []), given=given)
    assert (done.exit_code, done.stdout, done.stderr) == (0, '{"b":2}\n', "")
    assert server.asked[0][2] == sent


def test_a_payload_may_come_from_a_file(server: type[Pretended], tmp_path: Path) -> None:
    (tmp_path / "event.json").write_text("[1]")
    server.said[INVOKE] = said(None)
    assert run("invoke", "fn", "--payload", f"@{tmp_path}/event.json").exit_code == 0
    assert server.asked[0][2] == b"[1]"
    done = run("invoke", "fn", "--payload", f"@{tmp_path}/gone.json")
    assert (done.exit_code, len(done.stderr.splitlines()), len(server.asked)) == (2, 1, 1)


def test_a_function_that_fails_ends_the_command_with_1(server: type[Pretended]) -> None:
    fault = {"errorMessage": "division\nby zero", "errorType": "ZeroDivisionError"}
    log = base64.b64encode(b"START\nEND\n").decode()
    server.said[INVOKE] = said(fault, X_Amz_Function_Error="Unhandled", X_Amz_Log_Result=log)
    done = run("invoke", "fn", "--tail")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == fault
    assert done.stderr.splitlines() == [
        "START",
        "END",
        "lambda-home: fn failed: ZeroDivisionError: division by zero (see lambda-home logs fn).",
    ]
    done = run("invoke", "fn", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {
        "StatusCode": 200,
        "FunctionError": "Unhandled",
        "LogResult": "START\nEND\n",
        "Payload": fault,
    }


def test_all_pages_of_functions_are_listed(server: type[Pretended]) -> None:
    one = {"FunctionName": "one", "Runtime": "python3.12", "MemorySize": 128, "Timeout": 3}
    first = said({"Functions": [one], "NextMarker": "a+b/="})
    server.said["GET /2015-03-31/functions/"] = first
    last = said({"Functions": [{**one, "FunctionName": "two", "State": "Failed"}]})
    server.said["GET /2015-03-31/functions/?Marker=a%2Bb%2F%3D"] = last
    done = run("list", "--json")
    assert [found["FunctionName"] for found in json.loads(done.stdout)["Functions"]] == [
        "one",
        "two",
    ]
    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "one", "two"]
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            said({"Message": "No.", "Type": "User"}, 404, x_amzn_errortype="NotFound:http://x"),
            "NotFound: No.",
        ),
        (said({"__type": "a.b#Bad", "message": "two\nlines"}, 400), "Bad: two lines"),
        ((502, {}, b"<html>"), "The server at http://127.0.0.1:{port} answered 502."),
        ((200, {}, b"<html>"), "The answer is not JSON"),
        (
            said(
                {"message": "Missing"}, 403, x_amzn_errortype="MissingAuthenticationTokenException"
            ),
            "Exception: Missing. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        (
            said(
                {"Message": "Function not found: arn"},
                404,
                x_amzn_errortype="ResourceNotFoundException",
            ),
            "not found: arn (see lambda-home list)",
        ),
    ],
)
def test_errors_of_the_server_are_one_line(
    server: type[Pretended], answer: Said, line: str
) -> None:
    server.said["GET /2015-03-31/functions/"] = answer
    done = run("list", "--json")
    assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    port = server.asked[0][1]["host"].split(":")[1]
    assert line.replace("{port}", port) in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said_"),
    [
        (["list"], 3, "lambda-home serve"),
        (["invoke", "fn", "--payload", "{"], 2, "not JSON"),
        (["invoke", "fn", "--payload", '{"a": NaN}'], 2, "NaN is not in JSON"),
        (["invoke", "fn", "--payload", '"\udcff"'], 2, "not JSON"),
        (["invoke", "fn", "--payload", "@"], 2, "the file '' cannot be read"),
        (["invoke", "fn", "--async", "--tail"], 2, "--async"),
        (["invoke", "fn", "--async", "--invocation-type", "DryRun"], 2, "--async"),
        (["invoke", "fn", "--invocation-type", "Try"], 2, "'--invocation-type': 'Try' is"),
        (["secrets", "set", "x", "--value", "\udcff"], 2, "not UTF-8"),
        (["services", "list"], 2, "There are no services here yet"),
        (["invoke", ".."], 2, "not a name"),
        (["deploy", "/nowhere/at/all"], 2, "There is no /nowhere"),
        (["deploy", "."], 3, "No server"),
        (["logs", "fn", "--since", "soon"], 2, "--since"),
        (["logs", "fn", "--request-id", ""], 2, "--request-id"),
        (["list", "--frob"], 2, "--frob"),
        (["list", "--endpoint-url", "nothing"], 2, "--endpoint-url"),
        (["secrets", "delete", "a/../b"], 2, "not a name"),
        (["invoke", "fn", "--payload", "[" * 100_000], 2, "not JSON"),
        (["nonsense"], 2, "nonsense"),
        (["lsit"], 2, "Did you mean 'list'? See"),
        (["invoke"], 2, "NAME"),
        (["deploy", ".", "--memory", "much"], 2, "--memory"),
        (["deploy", ".", "--env", "A"], 2, "NAME=VALUE"),
        (["secrets", "set", "x"], 2, "stdin"),
        (["keys", "list", "--data-dir", "/nowhere/at/all"], 1, "--data-dir"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(
    words: list[str], code: int, said_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context): ...")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAMBDA_HOME_ENDPOINT_URL", "http://127.0.0.1:1")
    done = run(*words)
    lines = [line for line in done.stderr.splitlines() if not line.endswith("...")]
    assert (done.exit_code, len(lines)) == (code, 1), done.output
    assert lines[0].startswith("lambda-home: ")
    assert said_ in lines[0]
    assert done.stdout == ""


def test_words_are_sent_as_the_shell_gave_them(server: type[Pretended]) -> None:
    server.said["POST /api/admin/secrets"] = said({"name": "X"}, 201)
    assert run("secrets", "set", "X", "--value", "\udcc3\udcbc").exit_code == 0
    assert json.loads(server.asked[0][2]) == {"name": "X", "value": "ü"}
    assert run("invoke", "\udcff", "--qualifier", "\udcff").exit_code == 1
    assert server.asked[1][0].endswith("/functions/%FF/invocations?Qualifier=%FF")


def test_a_dry_run_says_what_it_found(server: type[Pretended]) -> None:
    server.said[INVOKE] = 204, {}, b""
    done = run("invoke", "fn", "--invocation-type", "DryRun")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "fn may be called; it was not.\n")


def deploy(server: type[Pretended], folder: Path, *words: str) -> list[str]:
    """Deploy app.py to a function of Python 3.13; the changes that the server is asked for."""
    (folder / "app.py").write_text("def handler(event, context): ...")
    current = {"FunctionName": "fn", "Runtime": "python3.13", "Handler": "app.handler"}
    server.said["GET /2015-03-31/functions/fn/configuration"] = said(current)
    server.said["PUT /2015-03-31/functions/fn/code"] = said(current)
    run("deploy", str(folder), "--name", "fn", *words)
    return [f"{what} {body.decode()}" for what, _, body in server.asked if what.startswith("PUT")]


def test_a_runtime_that_nobody_names_stays(server: type[Pretended], tmp_path: Path) -> None:
    asked = deploy(server, tmp_path)
    assert [what.split(" {")[0] for what in asked] == ["PUT /2015-03-31/functions/fn/code"]


def test_settings_that_are_refused_leave_the_code(server: type[Pretended], tmp_path: Path) -> None:
    asked = deploy(server, tmp_path, "--memory", "1")
    assert asked == ['PUT /2015-03-31/functions/fn/configuration {"MemorySize": 1}']


def test_calls_are_shown_for_the_region_that_was_meant(
    server: type[Pretended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app.py").write_text("def handler(event, context): ...")
    server.said["POST /2015-03-31/functions"] = said({"FunctionName": "fn"}, 201)
    shown = run("deploy", str(tmp_path), "--name", "fn").stdout
    assert "--region eu-west-1" in shown
    assert "curl" not in shown  # it would ask in another region
    monkeypatch.delenv("AWS_REGION")
    shown = run("deploy", str(tmp_path), "--name", "fn").stdout
    assert "--region" not in shown
    assert "/fn\n" in shown.partition("curl")[2]


def test_tls_that_fails_is_told_as_such(server: type[Pretended]) -> None:
    run("list")
    host = server.asked[0][1]["host"]
    done = run("list", "--endpoint-url", f"https://{host}")
    assert (done.exit_code, len(done.stderr.splitlines())) == (3, 1)
    assert "http: if the server has no certificate" in done.stderr


def test_a_secret_comes_from_stdin_without_its_newline(server: type[Pretended]) -> None:
    server.said["POST /api/admin/secrets"] = said({"name": "DB"}, 201)
    assert run("secrets", "set", "DB", given="pa ss\n\n").exit_code == 0
    assert json.loads(server.asked[0][2]) == {"name": "DB", "value": "pa ss\n"}
    done = run("secrets", "set", "DB", "--value", "", "--json")
    assert json.loads(done.stdout) == {"name": "DB"}
    assert json.loads(server.asked[1][2]) == {"name": "DB", "value": ""}


def test_help_names_every_command_and_needs_no_server() -> None:
    done = run("--help")
    assert done.exit_code == 0
    for name in ("serve", "deploy", "invoke", "logs", "list", "get", "delete", "stats"):
        assert f" {name} " in done.stdout
    for name in ("routes", "secrets", "keys"):
        assert f" {name} " in done.stdout


def test_figures_of_the_server_and_of_a_function_are_shown(server: type[Pretended]) -> None:
    server.said["GET /api/admin/lambda-service-stats"] = said({"total": 2, "avg_ms": 1.234})
    assert run("stats").stdout.splitlines() == ["total   2", "avg ms  1.23"]
    entry = {"container_id": "c1", "state": "WarmIdle", "idle_for_ms": 7}
    server.said["GET /api/admin/warm-pool/fn"] = said({"total": 1, "entries": [entry]})
    assert run("stats", "fn").stdout.splitlines() == [
        "total  1",
        "",
        "ENVIRONMENT  STATE     IDLE FOR",
        "c1           WarmIdle  7 ms",
    ]
    assert json.loads(run("stats", "fn", "--json").stdout) == {"total": 1, "entries": [entry]}


CONFIGURATION = "GET /2015-03-31/functions/fn/configuration"
GROUP = said({"FunctionName": "fn", "LoggingConfig": {"LogGroup": "/own"}})
LOGS = "GET /api/admin/logs/fn"


def log_event(message: str, number: int) -> dict[str, Any]:
    at = 1_000_000_000_000 + number
    return {
        "id": str(number),
        "timestamp": at,
        "stream": "s",
        "request_id": "r",
        "message": message,
    }


def test_logs_are_read_newest_page_first_and_shown_oldest_first(server: type[Pretended]) -> None:
    server.said[CONFIGURATION] = GROUP
    query = "since=1000&limit=10000&request_id=r"
    newest = said({"events": [log_event("b", 2), log_event("c\n", 3)], "more": "2"})
    server.said[f"{LOGS}?{query}"] = newest
    server.said[f"{LOGS}?{query}&before=2"] = said({"events": [log_event("a", 1)], "more": None})
    words = ("logs", "fn", "--since", "1970-01-01T00:00:01", "--request-id", "r")
    assert run(*words).stdout.splitlines() == [
        "2001-09-09T01:46:40.001Z a",
        "2001-09-09T01:46:40.002Z b",
        "2001-09-09T01:46:40.003Z c",
    ]
    found = json.loads(run(*words, "--json").stdout)
    assert (found["logGroup"], len(found["events"])) == ("/own", 3)


def test_a_tail_shows_what_is_stored_then_what_comes_and_nothing_twice(
    server: type[Pretended],
) -> None:
    server.said[CONFIGURATION] = GROUP
    server.said[f"{LOGS}?since=1000&limit=10000"] = said({"events": [log_event("a", 1)]})
    sent = "".join(
        f"event: {kind}\ndata: {json.dumps(data)}\n\n"
        for kind, data in (
            ("log", log_event("a", 1)),
            ("log", log_event("b", 2)),
            ("dropped", {"reason": "too fast"}),
        )
    )
    server.said[f"{LOGS}/live"] = 200, {}, f": following\n\n{sent}".encode()
    done = run("logs", "fn", "-f", "--since", "1970-01-01T00:00:01", "--json")
    assert [json.loads(line)["message"] for line in done.stdout.splitlines()] == ["a", "b"]
    assert done.exit_code == 3  # the tail ends when the server does
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "Some lines are left out",
        "lambda-home",
    ]


def test_logs_come_by_cloudwatch_where_there_is_no_admin_api(server: type[Pretended]) -> None:
    server.said[CONFIGURATION] = GROUP
    event = {"timestamp": 1_500, "message": "hi\n", "eventId": "1", "logStreamName": "s"}
    server.said["POST /"] = said({"events": [event]})
    done = run("logs", "fn", "--since", "1970-01-01T00:00:01")
    assert (done.exit_code, done.stdout) == (0, "1970-01-01T00:00:01.500Z hi\n")
    _, headers, body = server.asked[-1]
    assert headers["x-amz-target"] == "Logs_20140328.FilterLogEvents"
    assert json.loads(body) == {"logGroupName": "/own", "startTime": 1000}
    server.said["POST /"] = said({"__type": "ResourceNotFoundException"}, 400)
    done = run("logs", "fn", "--json")
    assert (done.exit_code, json.loads(done.stdout)["events"]) == (0, [])


def test_what_no_terminal_can_show_is_escaped(server: type[Pretended]) -> None:
    server.said[INVOKE] = 200, {}, b'"half \\ud800 a pair"'
    assert json.loads(run("invoke", "fn", "--json").stdout)["Payload"] == "half \ud800 a pair"
    server.said[CONFIGURATION] = GROUP
    server.said[f"{LOGS}?since=1000&limit=10000"] = said({"events": [log_event("\ud800 ü", 1)]})
    words = ("logs", "fn", "--since", "1970-01-01T00:00:01")
    assert run(*words).stdout.endswith("Z \\ud800 ü\n")

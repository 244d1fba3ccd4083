"""The commands against a real server: from a folder to a function that answers, and back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from functions_under_test import fresh_name
from live import LiveServer
from observing import until
from typer.testing import CliRunner, Result

from lambda_home.cli import app

pytestmark = pytest.mark.process
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(autouse=True)
def endpoint(process_server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> LiveServer:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "LAMBDA_HOME_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAMBDA_HOME_ENDPOINT_URL", process_server.url)
    return process_server


def run(*words: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, list(words), input=given)


def document(*words: str, given: str | None = None) -> Any:
    """What a command with --json prints; it must end well."""
    done = run(*words, "--json", given=given)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def fetch(url: str) -> Any:
    with urllib.request.urlopen(url) as response:
        return json.loads(response.read())


def folder(tmp_path: Path, source: str, name: str = "") -> Path:
    """A folder with a function, of a name that no other test uses."""
    made = tmp_path / (name or fresh_name("cli"))
    made.mkdir(exist_ok=True)
    (made / "app.py").write_text(source)
    return made


def test_only_what_differs_is_deployed(tmp_path: Path) -> None:
    place = folder(tmp_path, "def handler(event, context): return 1")
    name = place.name
    made = document("deploy", str(place))
    assert (made["Action"], made["Configuration"]["State"]) == ("created", "Active")
    assert made["Configuration"]["Handler"] == "app.handler"
    assert document("deploy", str(place))["Action"] == "unchanged"
    folder(tmp_path, "import os\ndef handler(event, context): return os.environ['GREETING']", name)
    changed = document("deploy", str(place), "--env", "GREETING=hi", "--memory", "256")
    assert (changed["Action"], changed["Changes"]) == (
        "updated",
        ["Code", "Environment", "MemorySize"],
    )
    assert document("invoke", name)["Payload"] == "hi"
    assert document("deploy", str(place), "--memory", "128")["Changes"] == ["MemorySize"]
    assert document("invoke", name)["Payload"] == "hi"


def test_a_function_lives_from_deploy_to_delete(tmp_path: Path) -> None:
    source = "def handler(event, context): print('got', event['n']); return event"
    place = folder(tmp_path, source)
    name = place.name
    done = run("deploy", str(place))
    assert done.exit_code == 0, done.output
    assert f"lambda-home invoke {name}" in done.stdout
    assert "Creating" in done.stderr
    called = run("invoke", name, "--payload", "-", "--tail", given='{"n": 41}')
    assert (called.exit_code, json.loads(called.stdout)) == (0, {"n": 41})
    assert "got 41" in called.stderr
    second = document("invoke", name, "--payload", '{"n": 42}')
    assert run("invoke", name, "--payload", '{"n": 43}', "--async").exit_code == 0
    assert name in run("list").stdout
    assert name in {found["FunctionName"] for found in document("list")["Functions"]}
    assert "app.handler" in run("get", name).stdout
    assert document("get", name)["Configuration"]["FunctionName"] == name
    until(lambda: "got 43" in run("logs", name).stdout, "the third invocation's line")
    assert "got 41" in run("logs", name).stdout
    of_one = document("logs", name, "--request-id", second["RequestId"])["events"]
    assert [event["message"].split()[0] for event in of_one] == ["START", "got", "END", "REPORT"]
    assert document("stats", name)["total"] >= 1
    assert document("stats")["total_functions"] >= 1
    assert run("delete", name).exit_code == 0
    gone = run("get", name)
    assert (gone.exit_code, "ResourceNotFoundException" in gone.stderr) == (1, True)


def test_a_function_is_created_once(tmp_path: Path) -> None:
    place = folder(tmp_path, "def handler(event, context): return context.memory_limit_in_mb")
    words = ("create", place.name, "python3.11", "app.handler", str(place / "app.py"))
    made = document(*words, "--description", "one")
    assert (made["Configuration"]["MemorySize"], made["Configuration"]["Description"]) == (
        512,
        "one",
    )
    assert document("invoke", place.name)["Payload"] == "512"
    assert document("invoke", place.name, "--invocation-type", "DryRun")["StatusCode"] == 204
    again = run(*words)
    assert (again.exit_code, "lambda-home deploy" in again.stderr) == (1, True)
    assert document("deploy", str(place), "--description", "two")["Changes"] == ["Description"]


def test_the_examples_answer_as_their_files_say(endpoint: LiveServer) -> None:
    python, node = fresh_name("python"), fresh_name("node")
    assert document("deploy", str(EXAMPLES / "python"), "--name", python)
    answer = document("invoke", python, "--payload", '{"name": "you"}')
    assert answer["Payload"]["message"] == "hello, you"
    made = document("deploy", str(EXAMPLES / "nodejs"), "--name", node, "--url")
    assert made["Configuration"]["Handler"] == "index.handler"
    again = document("deploy", str(EXAMPLES / "nodejs"), "--name", node, "--url")
    assert (again["Action"], again["FunctionUrl"]) == ("unchanged", made["FunctionUrl"])
    url_id = made["FunctionUrl"].removeprefix("http://").split(".")[0]
    by_path = f"{endpoint.url}/lambda-url/{url_id}/?name=url"  # not all resolve *.localhost
    assert fetch(by_path) == {"message": "hello, url"}


def test_routes_are_made_listed_and_deleted(endpoint: LiveServer) -> None:
    name = fresh_name("node")
    assert document("deploy", str(EXAMPLES / "nodejs"), "--name", name)
    path = f"/{fresh_name('path')}"
    route = document("routes", "create", path, name, "--method", "GET")
    assert fetch(f"{endpoint.url}{path}?name=route") == {"message": "hello, route"}
    assert path in run("routes", "list").stdout
    assert route in document("routes", "list")["routes"]
    assert run("routes", "delete", route["route_id"]).exit_code == 0
    assert run("routes", "delete", route["route_id"]).exit_code == 1
    refused = run("routes", "create", "no-slash", name)
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (1, 1)


def test_secrets_reach_functions_and_nobody_else(tmp_path: Path) -> None:
    secret = f"{fresh_name('db')}/password"
    assert run("secrets", "set", secret, given="hush hush\n").exit_code == 0
    source = "import os\ndef handler(event, context): return os.environ['PASSWORD']"
    place = folder(tmp_path, source)
    assert document("deploy", str(place), "--env", f"PASSWORD=SECRET_REF:{secret}")
    assert document("invoke", place.name)["Payload"] == "hush hush"
    listed = run("secrets", "list")
    assert secret in listed.stdout
    assert "hush" not in listed.output + run("get", place.name, "--json").output
    assert run("secrets", "delete", secret).exit_code == 0
    assert run("secrets", "delete", secret).exit_code == 1


def test_functions_that_fail_end_the_command_with_1(tmp_path: Path) -> None:
    place = folder(tmp_path, "import nothing_of_this_name\ndef handler(event, context): ...")
    assert document("deploy", str(place))["Configuration"]["State"] == "Active"
    done = run("invoke", place.name)
    assert done.exit_code == 1
    assert "Runtime.ImportModuleError" in done.stderr
    assert json.loads(done.stdout)["errorType"] == "Runtime.ImportModuleError"


def test_what_cannot_be_deployed_leaves_nothing_behind(tmp_path: Path) -> None:
    place = folder(tmp_path, "def handler(event, context): ...")
    for words, code in (
        (("--handler", "app.other"), 2),
        (("--handler", "gone.handler"), 2),
        (("--runtime", "python3.99"), 1),
        (("--memory", "1"), 1),
        (("--role", "nobody"), 1),
        (("--layer", "arn:aws:lambda:us-east-1:000000000000:layer:gone:1"), 1),
    ):
        done = run("deploy", str(place), *words)
        lines = [line for line in done.stderr.splitlines() if not line.endswith("...")]
        assert (done.exit_code, len(lines), done.stdout) == (code, 1, ""), done.output
    for command in ("get", "invoke", "delete", "logs", "stats"):
        done = run(command, place.name)
        assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1), done.output
        assert "ResourceNotFoundException" in done.stderr


def test_a_tail_goes_on_until_it_is_interrupted(tmp_path: Path, endpoint: LiveServer) -> None:
    place = folder(tmp_path, "def handler(event, context): print('heard', event)")
    assert document("deploy", str(place))
    words = ("logs", "--follow", "--json", "--endpoint-url", endpoint.url, place.name)
    with subprocess.Popen(
        [sys.executable, "-m", "lambda_home", *words], stdout=subprocess.PIPE, text=True
    ) as tail:
        assert document("invoke", place.name, "--payload", "7")
        assert tail.stdout is not None
        for line in tail.stdout:
            if "heard 7" in json.loads(line)["message"]:
                break
        tail.send_signal(signal.SIGINT)
        assert tail.wait(60) == 130


def test_keys_made_here_open_a_server_that_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = document("keys", "create", "me", "--role", "admin", "--data-dir", str(tmp_path))
    key_id, secret = key["access_key_id"], key["secret_access_key"]
    listed = document("keys", "list", "--data-dir", str(tmp_path))["keys"]
    assert [found["access_key_id"] for found in listed] == [key_id]
    wanting = {"LAMBDA_HOME_ACCESS__AUTH": "sigv4"}
    flags = ("--sandbox", "process", "--data-dir", str(tmp_path))
    with LiveServer(*flags, environment=wanting) as server:
        monkeypatch.setenv("LAMBDA_HOME_ENDPOINT_URL", server.url)
        refused = run("list")
        assert (refused.exit_code, "lambda-home keys create" in refused.stderr) == (1, True)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        assert document("list") == {"Functions": []}
        place = folder(tmp_path, "def handler(event, context): return 1", "fn")
        arn = document("deploy", str(place))["Configuration"]["FunctionArn"]
        assert document("get", arn)["Configuration"]["FunctionArn"] == arn
        assert document("invoke", arn, "--qualifier", "$LATEST")["Payload"] == 1
        assert document("routes", "list") == {"routes": []}
        assert document("logs", arn)["logGroup"] == "/aws/lambda/fn"
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("LAMBDA_HOME_TOKEN", f"{key_id}:{secret}")
        assert document("secrets", "list") == {"secrets": []}
        assert run("keys", "delete", key_id, "--data-dir", str(tmp_path)).exit_code == 0


def test_an_output_that_is_full_is_told_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "lambda_home", "--version"],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    said = "lambda-home: The output cannot be written: No space left on device.\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_the_program_itself_ends_with_the_exit_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lambda_home", "list", "--endpoint-url", "http://127.0.0.1:1"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (3, "", 1)

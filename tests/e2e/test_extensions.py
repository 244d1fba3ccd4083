"""External extensions in layers: started, told of invocations and of the end, given telemetry."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SANDBOXES
from extensions_under_test import IN_BASH, IN_PYTHON, layer
from functions_under_test import create, invoke
from live import LiveServer
from observing import short_idle, until

FUNCTION = """
import os, time
print("loaded")

def handler(event, context):
    if event == "exit":
        os._exit(4)
    if event == "sleep":
        time.sleep(30)
    print("handling", event)
    return event
"""


INTERNAL = """
import json, os, socket, threading, urllib.request
API = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]

def call(path, body=None, method=None, **headers):
    request = urllib.request.Request(API + path, body, headers, method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.headers, json.load(answer)

name = {"Lambda-Extension-Name": "inner"}
headers, _ = call("/2020-01-01/extension/register", b'{"events":["INVOKE"]}', **name)
me = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
told = []

def listen(listener):
    connection, _ = listener.accept()
    for line in connection.makefile():
        told.append(json.loads(line)["type"])

def ask():
    while True:
        told.append(call("/2020-01-01/extension/event/next", **me)[1]["eventType"])

listener = socket.create_server(("sandbox.localdomain", 5555))
threading.Thread(target=listen, args=(listener,), daemon=True).start()
call("/2020-08-15/logs", json.dumps({
    "schemaVersion": "2021-03-18", "types": ["platform", "function"],
    "buffering": {"timeoutMs": 25}, "destination": {"protocol": "TCP", "port": 5555},
}).encode(), "PUT", **me)
threading.Thread(target=ask, daemon=True).start()

def handler(event, context):
    print("handling")
    return told
"""


@pytest.fixture(scope="module", params=SANDBOXES)
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    """A server whose idle environments go soon."""
    kind = request.param
    with LiveServer("--sandbox", kind, "--ephemeral", environment=short_idle(600, 900)) as live:
        yield live


@pytest.fixture(scope="module")
def process() -> Iterator[LiveServer]:
    """The same, for what does not depend on the sandbox."""
    environment = short_idle(600, 900)
    with LiveServer("--sandbox", "process", "--ephemeral", environment=environment) as live:
        yield live


def extended(server: LiveServer, mode: str = "", **members: Any) -> tuple[str, Path]:
    """A function with extensions in two languages, and its log."""
    client = server.client()
    files: dict[str, tuple[str | bytes, int]] = {
        "extensions/in-bash": (IN_BASH, 0o755),
        "extensions/in-python": (IN_PYTHON, 0o755),
        "extensions/ignored/in-a-folder": ("", 0o644),
    }
    variables = {"Variables": {"MODE": mode}}
    layers = [layer(client, members.pop("files", files))]
    name = create(client, FUNCTION, Layers=layers, Environment=variables, **members)
    logs = server.data_dir / "logs" / "000000000000" / "us-east-1" / "aws" / "lambda"
    return name, logs / f"{name}.log"


def written(log: Path) -> str:
    return log.read_text() if log.exists() else ""


def words(log: Path, language: str = "PY") -> list[str]:
    """What an extension has printed."""
    text = written(log)
    mark = f"] {language} "
    return [line.partition(mark)[2] for line in text.splitlines() if mark in line]


def told(log: Path) -> list[dict[str, Any]]:
    """The telemetry that an extension was told."""
    return [json.loads(said[5:]) for said in words(log) if said.startswith("TOLD ")]


def ended(log: Path, language: str = "PY") -> bool:
    return any("SHUTDOWN" in said for said in words(log, language))


def test_extensions_hear_of_invocations_and_of_the_end_and_get_telemetry(
    server: LiveServer,
) -> None:
    client = server.client()
    name, log = extended(server, "listens")
    first = invoke(client, name, 1)
    assert first.payload == 1
    second = invoke(client, name, 2, LogType="Tail")
    assert "handling 2" in second.log
    until(lambda: "last words" in words(log), f"no last words: {log.read_text()}")

    heard = [said for said in words(log) if not said.startswith("TOLD")]
    assert heard[:2] == [f"registered for {name} 000000000000", "subscription OK"]
    assert heard[2:5] == [
        f"INVOKE {first.request_id} None",
        f"INVOKE {second.request_id} None",
        "SHUTDOWN None spindown",
    ]
    assert 0.8 < float(heard[5].rpartition(" ")[2]) <= 2.0
    shell = words(log, "SH")
    assert shell[0] == "registered"
    assert [json.loads(said)["eventType"] for said in shell[1:]] == ["INVOKE", "INVOKE", "SHUTDOWN"]

    text = log.read_text()
    for extension in ("in-bash", "in-python"):
        line = f"EXTENSION\tName: {extension}\tState: Ready\tEvents: [INVOKE, SHUTDOWN]"
        assert line in text
    events = told(log)
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["platform.initStart", "platform.telemetrySubscription"]
    lines = [event["record"] for event in events if event["type"] == "function"]
    assert lines[:2] == ["loaded", "handling 1"]
    of_first = [e["type"] for e in events if first.request_id in json.dumps(e["record"])]
    assert of_first == ["platform.start", "platform.runtimeDone", "platform.report"]
    report = next(e["record"] for e in events if e["type"] == "platform.report")
    assert report["status"] == "success"
    assert {"durationMs", "billedDurationMs", "initDurationMs"} <= report["metrics"].keys()
    assert {"platform.initRuntimeDone", "platform.initReport", "platform.extension"} <= {*kinds}


def test_an_internal_extension_hears_of_invocations_and_of_logs_by_tcp(server: LiveServer) -> None:
    client = server.client()
    name = create(client, INTERNAL)
    told: list[str] = []

    def complete() -> bool:
        told[:] = invoke(client, name, 1).payload
        return "platform.report" in told

    until(complete, f"not told: {told}")
    assert {*told} == {
        "INVOKE",
        "function",
        "platform.end",
        "platform.extension",
        "platform.logsSubscription",
        "platform.report",
        "platform.runtimeDone",
        "platform.start",
    }


def test_the_answer_comes_before_extensions_are_done(process: LiveServer) -> None:
    client = process.client()
    name, log = extended(process, "slow")
    invoke(client, name, 0)  # cold
    until(lambda: any(said.startswith("done with") for said in words(log)), "not done")
    begun = time.monotonic()
    first = invoke(client, name, 1)
    assert time.monotonic() - begun < 0.6
    assert f"done with {first.request_id}" not in words(log)
    until(lambda: f"done with {first.request_id}" in words(log), "not done")


@pytest.mark.parametrize(
    ("files", "error_type", "message"),
    [
        (
            {"extensions/in-python": (IN_PYTHON, 0o755)},
            "Extension.Crash",
            "exit status 3",
        ),
        (
            {"extensions/in-python": (IN_PYTHON, 0o644)},
            "Extension.LaunchError",
            "fork/exec /opt/extensions/in-python: permission denied",
        ),
    ],
)
def test_an_extension_that_fails_fails_the_invocation(
    process: LiveServer, files: dict[str, tuple[str, int]], error_type: str, message: str
) -> None:
    name, log = extended(process, "exits", files=files)
    answer = invoke(process.client(), name, 1)
    assert answer.error == "Unhandled"
    assert answer.payload == {
        "errorType": error_type,
        "errorMessage": f"RequestId: {answer.request_id} Error: {message}",
    }
    until(lambda: error_type in written(log), "not in the log")
    assert "loaded" not in written(log)  # the runtime never started


@pytest.mark.parametrize(
    ("event", "error_type", "reason"),
    [("exit", "Runtime.ExitError", "failure"), ("sleep", "Sandbox.Timedout", "timeout")],
)
def test_extensions_outlive_a_runtime_and_hear_why_it_ended(
    process: LiveServer, event: str, error_type: str, reason: str
) -> None:
    name, log = extended(process, Timeout=1 if event == "sleep" else 3)
    invoke(process.client(), name, 1)
    answer = invoke(process.client(), name, event)
    assert answer.payload["errorType"] == error_type
    until(lambda: "last words" in words(log), "no last words")
    assert f"SHUTDOWN None {reason}" in words(log)
    until(lambda: ended(log, "SH"), "the other was not told")


def hung(log: Path) -> list[float]:
    """How many seconds each extension that hangs has lived since it was told to end."""
    lives: list[list[float]] = []
    for said in words(log):
        if said.startswith("SHUTDOWN"):
            lives.append([])
        elif said.startswith("alive at "):
            lives[-1].append(float(said.removeprefix("alive at ")))
    return [life[-1] - life[0] for life in lives]


def silent(log: Path) -> bool:
    """Whether nothing was printed for so long that nobody is there to print."""
    before = len(words(log))
    time.sleep(1)
    return len(words(log)) == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", SANDBOXES)
def test_an_extension_that_hangs_is_killed_and_does_not_hold_the_server_up(
    kind: str, tmp_path: Path
) -> None:
    flags = ("--sandbox", kind, "--data-dir", str(tmp_path / "data"))
    with LiveServer(*flags, environment=short_idle(100, 400)) as server:
        client = server.client()
        name, log = extended(server, "hangs")
        invoke(client, name, 1)
        until(lambda: "SHUTDOWN None spindown" in words(log), "the extension was not told")
        until(lambda: silent(log), "the extension was not killed")
        assert len(hung(log)) == 1
        invoke(client, name, 2)
        begun = time.monotonic()
        assert server.stop() == 0
        assert 1.5 <= time.monotonic() - begun < 20.0
        lived = hung(log)
        assert len(lived) == 2
        assert all(1.0 < seconds < 20.0 for seconds in lived)  # two seconds, if nothing is late

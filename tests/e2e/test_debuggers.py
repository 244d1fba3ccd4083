"""Functions under a debugger, attached to as an editor does it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import SANDBOXES
from debuggers import DapClient, InspectorClient
from functions_under_test import NODE, create, fresh_name, invoke
from live import LiveServer
from observing import until
from raw_http import request

pytestmark = pytest.mark.slow

SOURCE = "def handler(event, context):\n    found = event['n'] + 1\n    return found\n"
NODE_SOURCE = (
    "exports.handler = async (event) => {\n  const found = event.n + 1;\n  return found;\n};\n"
)
TIMEOUT_S = 1
LONGER_S = 1.6
_LISTENS_WITHIN_S = 90.0  # debugpy takes seconds of a busy machine to load


@pytest.fixture(scope="module", params=SANDBOXES)
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    with LiveServer("--sandbox", str(request.param), "--ephemeral") as running:
        yield running


def asked(server: LiveServer, method: str, name: str, body: Any = None) -> tuple[int, Any]:
    data = b"" if body is None else json.dumps(body).encode()
    status, _, answer = request(server, method, f"/api/admin/debug/{name}", data)
    return status, json.loads(answer) if answer else None


def listening(server: LiveServer, name: str) -> dict[str, Any]:
    """Put a function under a debugger; nobody has called it yet."""
    assert asked(server, "PUT", name, {})[0] == 200

    def found() -> Any:
        _, document = asked(server, "GET", name)
        return document if document["State"] == "Listening" else None

    document: dict[str, Any] = until(found, f"no debugger of {name} listens", _LISTENS_WITHIN_S)
    return document


class Call:
    """An invocation in a thread of its own."""

    def __init__(self, server: LiveServer, name: str) -> None:
        self._answers: list[Any] = []
        client = server.client()
        self._thread = threading.Thread(
            target=lambda: self._answers.append(invoke(client, name, {"n": 1}))
        )
        self._thread.start()

    def is_over(self, within_s: float) -> bool:
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def answer(self) -> Any:
        self._thread.join(60)
        return self._answers[0]


def test_a_python_function_stops_at_a_breakpoint_for_longer_than_its_timeout(
    server: LiveServer,
) -> None:
    name = create(server.client(), SOURCE, Timeout=TIMEOUT_S)
    found = listening(server, name)
    launch = found["LaunchConfiguration"]
    assert launch["connect"] == {"host": "127.0.0.1", "port": found["Port"]}
    with DapClient(found["Port"]) as debugger:
        debugger.ask("initialize", adapterID="test", pathFormat="path", linesStartAt1=True)
        mapping = [{**launch["pathMappings"][0], "localRoot": "/home/me/fn"}]
        attached = debugger.send("attach", pathMappings=mapping, justMyCode=True)
        debugger.event("initialized")
        source = {"path": "/home/me/fn/lambda_function.py"}
        set_ = debugger.ask("setBreakpoints", source=source, breakpoints=[{"line": 2}])
        assert set_["breakpoints"][0]["verified"], "before any call: it is loaded"
        debugger.ask("configurationDone")
        debugger.answer(attached)
        call = Call(server, name)
        stopped = debugger.event("stopped")
        assert stopped["reason"] == "breakpoint"
        top = debugger.ask("stackTrace", threadId=stopped["threadId"])["stackFrames"][0]
        assert (top["name"], top["line"]) == ("handler", 2)
        assert top["source"]["path"] == source["path"]
        assert asked(server, "GET", name)[1]["Attached"]
        assert not call.is_over(LONGER_S)
        debugger.ask("continue", threadId=stopped["threadId"])
        answer = call.answer()
        assert (answer.error, answer.payload) == (None, 2)
    until(lambda: not asked(server, "GET", name)[1]["Attached"], "it is still attached")
    assert asked(server, "DELETE", name)[0] == 204
    assert asked(server, "GET", name)[0] == 404
    assert invoke(server.client(), name, {"n": 2}).payload == 3


def test_a_node_function_stops_at_a_breakpoint_for_longer_than_its_timeout(
    server: LiveServer,
) -> None:
    name = create(server.client(), NODE_SOURCE, Runtime=NODE, Timeout=TIMEOUT_S)
    found = listening(server, name)
    with InspectorClient(found["Port"]) as debugger:
        debugger.ask("Runtime.enable")
        debugger.ask("Debugger.enable")
        where = {"urlRegex": ".*/index\\.js$", "lineNumber": 1}
        assert debugger.ask("Debugger.setBreakpointByUrl", **where)["locations"]
        call = Call(server, name)
        paused = debugger.event("Debugger.paused")
        assert paused["hitBreakpoints"]
        assert paused["callFrames"][0]["location"]["lineNumber"] == 1
        assert asked(server, "GET", name)[1]["Attached"]
        assert not call.is_over(LONGER_S)
        debugger.ask("Debugger.resume")
        answer = call.answer()
        assert (answer.error, answer.payload) == (None, 2)
    until(lambda: not asked(server, "GET", name)[1]["Attached"], "it is still attached")


@pytest.mark.process
def test_without_a_debugger_attached_the_timeout_holds(process_server: LiveServer) -> None:
    source = "exports.handler = () => new Promise(() => setInterval(() => {}, 1000));\n"
    name = create(process_server.client(), source, Runtime=NODE, Timeout=TIMEOUT_S)
    listening(process_server, name)
    answer = invoke(process_server.client(), name)
    assert answer.error == "Unhandled"
    assert "timed out" in answer.raw.decode()
    until(
        lambda: asked(process_server, "GET", name)[1]["State"] == "Listening",
        "no environment follows the one that was stopped",
    )
    assert asked(process_server, "DELETE", name)[0] == 204


@pytest.mark.process
def test_a_port_of_ones_own_is_kept_through_an_update(process_server: LiveServer) -> None:
    client = process_server.client()
    name = create(client, NODE_SOURCE, Runtime=NODE)
    port = listening(process_server, name)["Port"]
    client.update_function_configuration(FunctionName=name, Timeout=7)
    client.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert listening(process_server, name)["Port"] == port
    with InspectorClient(port) as debugger:
        debugger.ask("Runtime.enable")
    configuration: dict[str, Any] = {**client.get_function_configuration(FunctionName=name)}
    assert configuration["MemorySize"] == 128
    assert "Environment" not in configuration
    assert "Layers" not in configuration
    assert asked(process_server, "DELETE", name)[0] == 204


@pytest.mark.process
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"port": -1}, "a port N"),
        ({"port": "x"}, "a port N"),
        ({"port": 70000}, "a port N"),
        ({"prot": 1}, "a port N"),
    ],
)
def test_what_is_no_port_is_refused(
    process_server: LiveServer, body: dict[str, Any], words: str
) -> None:
    status, document = asked(process_server, "PUT", "any", body)
    assert status == 400
    assert words in (document.get("message") or document.get("Message"))


@pytest.mark.process
def test_who_is_not_there_is_not_debugged(process_server: LiveServer) -> None:
    assert asked(process_server, "PUT", fresh_name("none"), {})[0] == 404
    assert asked(process_server, "GET", fresh_name("none"))[0] == 404
    assert asked(process_server, "PUT", "fn:1", {})[0] == 400

"""Logs of functions that really ran: each request's own, live, as JSON, and none lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest
from functions_under_test import NODE, create, fresh_name, invoke
from live import LiveServer
from observing import HOLDS_S, until
from polling import states_until

LINES = 20
CHATTY = f"""
import os, sys, time
def handler(event, context):
    for number in range({LINES}):
        print("out", event["n"], number)
        sys.stderr.write("err %s %s\\n" % (event["n"], number))
        if number == 10:
            time.sleep(event.get("pause", 0))
    return event["n"]
"""
LOGGING = """
import json, logging
log = logging.getLogger()
def handler(event, context):
    if event == "exit":
        import os
        os._exit(3)
    log.debug("a detail"); log.info("a note"); log.warning("a warning")
    now = "2024-11-02T16:51:31.587199Z"
    print(json.dumps({"level": "debug", "msg": "own debug", "timestamp": now}))
    print(json.dumps({"level": "debug", "msg": "own debug of no moment"}))
    print(json.dumps({"level": "ERROR", "msg": "own error", "timestamp": now}))
    print("plain text")
"""
LOUD = """
def handler(event, context):
    for number in range(event):
        print(number, "x" * 90_000)
"""
NODE_LOGGING = """
exports.handler = async () => { console.debug("a detail"); console.log("a note"); };
"""


PATIENCE_S = 60


def read(http: httpx.Client, name: str, **query: Any) -> list[dict[str, Any]]:
    answer = http.get(f"/api/admin/logs/{name}", params=query)
    assert answer.status_code == 200, answer.text
    events: list[dict[str, Any]] = answer.json()["events"]
    return events


def lines(server: LiveServer, name: str, **query: Any) -> list[str]:
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as http:
        return [event["message"] for event in read(http, name, **query)]


def lines_with(server: LiveServer, name: str, last: str) -> list[str]:
    """All lines of a function, once there is one with this text: it may come after the answer."""
    until(lambda: any(last in line for line in lines(server, name)), f"no line with {last}")
    return lines(server, name)


def whole(http: httpx.Client, name: str, request_id: str) -> list[dict[str, Any]]:
    """All lines of a request; its answer may come before its last output has."""
    events: list[dict[str, Any]] = []

    def state() -> str:
        events[:] = read(http, name, request_id=request_id)
        return "whole" if events and events[-1]["message"].startswith("REPORT") else "not yet"

    states_until(state, "whole", "not yet")
    return events


def holds_its_own(http: httpx.Client, name: str, request_id: str, number: int) -> str:
    """The lines of one request are whole and nobody else's; answers its stream."""
    events = whole(http, name, request_id)
    found = [event["message"] for event in events if not event["message"].startswith("INIT_START")]
    assert found[0] == f"START RequestId: {request_id} Version: $LATEST"
    assert found[-2] == f"END RequestId: {request_id}"
    assert found[-1].startswith(f"REPORT RequestId: {request_id}\t")
    for kind in ("out", "err"):
        mine = [line for line in found if line.startswith(kind)]
        assert mine == [f"{kind} {number} {line}" for line in range(LINES)]
    assert len(found) == 2 * LINES + 3
    (stream,) = {event["stream"] for event in events}
    return str(stream)


@pytest.fixture(scope="module")
def crowded() -> Iterator[LiveServer]:
    with LiveServer("--sandbox", "process", "--ephemeral") as live:
        yield live


@pytest.mark.process
def test_a_hundred_requests_at_once_have_their_own_lines_and_none_is_lost(
    crowded: LiveServer,
) -> None:
    client = crowded.client()
    name = create(client, CHATTY, Timeout=60)
    with ThreadPoolExecutor(100) as pool:
        answers = list(
            pool.map(lambda n: invoke(client, name, {"n": n, "pause": 0.05}), range(100))
        )
    assert [answer.payload for answer in answers] == list(range(100))
    with httpx.Client(base_url=crowded.url, timeout=PATIENCE_S) as http:
        streams = {
            holds_its_own(http, name, answer.request_id, number)
            for number, answer in enumerate(answers)
        }
    assert len(streams) > 2
    everything = lines(crowded, name, limit=10_000)
    assert sum(line.startswith(("out", "err")) for line in everything) == 100 * 2 * LINES


def test_requests_at_once_and_in_a_row_have_their_own_lines(server: LiveServer) -> None:
    client = server.client()
    name = create(client, CHATTY, Timeout=60)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda n: invoke(client, name, {"n": n}), range(40)))
    with httpx.Client(base_url=server.url, timeout=PATIENCE_S) as http:
        for number, answer in enumerate(answers):
            holds_its_own(http, name, answer.request_id, number)


@pytest.mark.process
def test_live_logs_come_from_all_environments_at_once(process_server: LiveServer) -> None:
    client = process_server.client()
    name = create(client, CHATTY, Timeout=60)
    url = f"{process_server.url}/api/admin/logs/{name}/live"
    seen: list[dict[str, Any]] = []
    with httpx.stream("GET", url, params={"filter": '"out"'}, timeout=PATIENCE_S) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        arriving = answer.iter_lines()
        assert next(arriving) == ": following"
        for pause in HOLDS_S:
            seen.clear()
            events = [{"n": n, "pause": pause} for n in range(3)]
            with ThreadPoolExecutor(3) as pool:
                list(pool.map(partial(invoke, client, name), events))
            for line in arriving:
                if line.startswith("data: "):
                    seen.append(json.loads(line.removeprefix("data: ")))
                if len(seen) == 3 * LINES:
                    break
            if len({event["stream"] for event in seen}) > 1:
                break
    assert len({event["stream"] for event in seen}) > 1
    for number in range(3):
        mine = [e["message"] for e in seen if e["message"].startswith(f"out {number} ")]
        assert mine == [f"out {number} {line}" for line in range(LINES)]
    assert len({event["request_id"] for event in seen}) == 3


def shown(messages: list[str]) -> list[str]:
    """Types of platform events, and what of the function's own lines tells them apart."""
    found: list[str] = []
    for message in messages:
        try:
            document = json.loads(message)
        except ValueError:
            found.append(message)
        else:
            found.append(document.get("type") or document.get("message") or document["msg"])
    return found


JSON_CASES = [
    (
        {"LogFormat": "JSON"},
        ["platform.initStart", "platform.start", "a note", "a warning", "own debug of no moment",
         "own error", "plain text", "platform.report"],
    ),
    (
        {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "DEBUG"},
        ["platform.initStart", "platform.initRuntimeDone", "platform.initReport", "platform.start",
         "a detail", "a note", "a warning", "own debug", "own debug of no moment", "own error",
         "plain text", "platform.runtimeDone", "platform.report"],
    ),
    (
        {"LogFormat": "JSON", "ApplicationLogLevel": "ERROR", "SystemLogLevel": "WARN"},
        ["own error", "plain text"],
    ),
]  # fmt: skip


@pytest.mark.process
@pytest.mark.parametrize(("config", "expected"), JSON_CASES)
def test_logs_as_json_are_filtered_by_their_levels(
    process_server: LiveServer, config: dict[str, str], expected: list[str]
) -> None:
    client = process_server.client()
    group = fresh_name("/own/group")
    logging: Any = {**config, "LogGroup": group}
    name = create(client, LOGGING, LoggingConfig=logging)
    answer = invoke(client, name, "x", LogType="Tail")
    assert answer.error is None
    last = '"platform.report"' if "platform.report" in expected else "plain text"
    messages = lines_with(process_server, name, last)
    assert shown(messages) == expected
    if "platform.report" in expected:
        report = json.loads(messages[-1])
        assert set(report) == {"time", "type", "record"}
        record = report["record"]
        assert (record["requestId"], record["status"]) == (answer.request_id, "success")
        assert set(record["metrics"]) == {
            "durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs",
        }  # fmt: skip
        assert json.loads(answer.log.splitlines()[-1]) == report


@pytest.mark.process
def test_a_failure_of_the_runtime_is_a_warning(process_server: LiveServer) -> None:
    client = process_server.client()
    logging: Any = {"LogFormat": "JSON", "SystemLogLevel": "WARN"}
    name = create(client, LOGGING, LoggingConfig=logging)
    answer = invoke(client, name, "exit")
    assert answer.error == "Unhandled"
    told = lines_with(process_server, name, '"platform.report"')
    *_, done, report = [json.loads(m) for m in told if m[0] == "{"]
    assert (done["type"], report["type"]) == ("platform.runtimeDone", "platform.report")
    assert (report["record"]["status"], report["record"]["errorType"]) == (
        "error",
        "Runtime.ExitError",
    )


@pytest.mark.process
def test_node_logs_as_json(process_server: LiveServer) -> None:
    client = process_server.client()
    name = create(client, NODE_LOGGING, Runtime=NODE, LoggingConfig={"LogFormat": "JSON"})
    assert invoke(client, name, {}, LogType="Tail").error is None
    messages = lines_with(process_server, name, '"platform.report"')
    found = shown([message for message in messages if "lambda_home:" not in message])
    assert found == ["platform.initStart", "platform.start", "a note", "platform.report"]


@pytest.mark.process
def test_of_what_one_invocation_logs_five_megabytes_are_kept(process_server: LiveServer) -> None:
    client = process_server.client()
    name = create(client, LOUD, Timeout=60)
    ran = invoke(client, name, 70)
    with httpx.Client(base_url=process_server.url, timeout=PATIENCE_S) as http:
        found = [event["message"] for event in whole(http, name, ran.request_id)]
        mine = [line for line in found if line.endswith("x")]
        assert [int(line.split()[0]) for line in mine] == list(range(len(mine)))
        assert 5 * 1024 * 1024 - 100_000 < sum(map(len, mine)) < 5 * 1024 * 1024
        notice, end, _ = found[-3:]
        assert "logged more than 5 MB" in notice
        assert end.startswith("END RequestId: ")
        again = invoke(client, name, 1)
        assert len(whole(http, name, again.request_id)) == 4

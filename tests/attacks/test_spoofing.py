"""Contract row 38: a function that tries to be another one, from inside both sandboxes.

The victim runs all the while; the attacker knows everything about it that is no secret: its name,
the id of its environment, the id of its running request, the server's ports.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import SANDBOXES
from functions_under_test import create, fresh_name, invoke
from live import LiveServer
from observing import log_of, until

VICTIM = """
import os, time
os.environ["SECRET_OF_B"] = "swordfish-b"
def handler(event, context):
    print("running", flush=True)
    deadline = time.time() + event.get("for", 0)
    while time.time() < deadline:
        time.sleep(0.01)
    return ["mine", event["secret"]]
"""

ATTACKER = r"""
import json, os, re, socket
HOST, _, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
R, E = "/2018-06-01/runtime/", "/2020-01-01/extension/"
NEXT = R + "invocation/next"

def talk(data, port=int(PORT), host=HOST):
    try:
        with socket.create_connection((host, port), 10) as made:
            made.sendall(data)
            got = b""
            try:
                while piece := made.recv(65536):
                    got += piece
                    made.settimeout(0.7)  # where the connection goes on, nothing more comes
            except (TimeoutError, ConnectionResetError):
                pass
            return got.decode("latin-1")
    except OSError as error:
        return "no connection: " + str(error)

def ask(method, path, *lines, body=b"", host=HOST, close=True):
    head = [f"{method} {path} HTTP/1.1", *lines]
    if host is not None:
        head.append(f"Host: {host}")
    head.append(f"Content-Length: {len(body)}")
    if close:
        head.append("Connection: close")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body

def statuses(text):
    return re.findall(r"HTTP/1\.[01] (\d{3})", text) or [text[:80]]

def handler(event, context):
    if not event:
        return
    suffix = HOST.partition(".")[2]
    b, b_request, b_id = event["name"], event["request_id"], event["environment_id"]
    hosts = ["localhost", f"127.0.0.1:{PORT}", "0.0.0.0", b, f"{b}.{suffix}", f"{b_id}.{suffix}",
             f"{b_id}.{suffix}:{PORT}", f"{b_request}.{suffix}", f"%2a.{suffix}", f"*.{suffix}",
             f".{suffix}", suffix, "", f"{HOST[:-1]}", f"{HOST}.", f"{HOST}@{b}", f"x.{HOST}",
             HOST[:3] + "0" * 29 + "." + suffix, "A" * 5000]
    paths = [("GET", NEXT), ("POST", f"{R}invocation/{b_request}/response"),
             ("POST", f"{R}invocation/{b_request}/error"), ("POST", R + "init/error"),
             ("GET", R + "lambda-home/function"), ("POST", E + "register"),
             ("GET", E + "event/next"), ("POST", E + "init/error"), ("POST", E + "exit/error")]
    found = {"heard": ""}

    def tried(name, data, **where):
        text = talk(data, **where)
        found["heard"] += text
        found.setdefault(name, []).append(statuses(text))

    for host in hosts:
        tried("foreign host", ask("GET", NEXT, host=host))
    for method, path in paths:
        tried("foreign host", ask(method, path, "Lambda-Extension-Name: x", host=b, body=b"{}"))
    tried("no host", ask("GET", NEXT, host=None))
    tried("no host", b"GET " + NEXT.encode() + b" HTTP/1.0\r\n\r\n")

    # with the own name, for the other's request
    for kind in ("response", "error", "RESPONSE", "response/", "%72esponse"):
        for mode in ("", "Lambda-Runtime-Function-Response-Mode: streaming"):
            extra = [mode] if mode else []
            path = f"{R}invocation/{b_request}/{kind}"
            tried("foreign request", ask("POST", path, *extra, body=b'"stolen"'))
    for path in (f"{R}invocation/../invocation/{b_request}/response", f"/{R}invocation/next",
                 f"{R}invocation/{b_request}%2fresponse", f"{R}lambda-home/function",
                 f"{R}invocation/{b_request};x/response"):
        tried("foreign request", ask("POST", path, body=b'"stolen"'))
    known = "Lambda-Extension-Identifier: 00000000-0000-4000-8000-000000000000"
    tried("foreign extension", ask("GET", E + "event/next", known))
    tried("foreign extension", ask("POST", E + "exit/error", known,
                                   "Lambda-Extension-Function-Error-Type: x.y"))

    # one connection, two names
    own = ask("POST", f"{R}invocation/none/response", body=b"1", close=False)
    tried("reused", own + ask("GET", NEXT, host=b))
    tried("reused", ask("GET", NEXT, host=b, close=False) + own
          + ask("POST", f"{R}invocation/{b_request}/response", body=b"1"))

    # two readings of one request
    inner = ask("GET", NEXT, host=b)
    for lines in (["Transfer-Encoding: chunked"], ["Transfer-Encoding: xchunked"],
                  ["Transfer-Encoding : chunked"], ["Content-Length: 0"],
                  ["Transfer-Encoding: identity, chunked"], [f"Host: {b}"], ["X: y\r\n Host: b"]):
        path = f"{R}invocation/none/response"
        tried("smuggled", ask("POST", path, *lines, body=b"0\r\n\r\n" + inner))
    tried("smuggled", f"GET http://{b}{NEXT} HTTP/1.1\r\nHost: {b}\r\n\r\n".encode())
    tried("smuggled", f"GET {NEXT} HTTP/1.1\nHost: {b}\n\n".encode())

    # every port that the server listens on, wherever it can be reached from here
    for port in event["ports"]:
        for address in {"127.0.0.1", socket.gethostbyname(HOST)}:
            if (address, port) != (socket.gethostbyname(HOST), int(PORT)):
                tried("other ports", ask("GET", NEXT, host=b), port=port, host=address)
    found["user API"] = talk(ask("GET", "/2015-03-31/functions/", host="localhost"),
                             event["user_port"], socket.gethostbyname(HOST))[:200]
    found["heard"] = "swordfish" in found["heard"]
    return found
"""


def request_of(server: LiveServer, name: str, number: int) -> str:
    """The id of the request that a function is running, its so manieth, as its log tells it."""
    until(lambda: log_of(server, name).count("running\n") == number, "the victim does not run")
    return str(re.findall(r"START RequestId: (\S+)", log_of(server, name))[-1])


def environment_of(server: LiveServer, name: str) -> str:
    """The id of its environment, as its log streams tell it."""
    return str(re.findall(r"\]([0-9a-f]{32})", log_of(server, name))[-1])


def listening(server: LiveServer) -> list[int]:
    """Every TCP port that the server listens on."""
    assert server.process is not None
    proc = Path("/proc", str(server.process.pid))
    sockets = set()
    for link in (proc / "fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            sockets.add(str(link.readlink()))
    rows = [line.split() for line in (proc / "net" / "tcp").read_text().splitlines()[1:]]
    found = {
        int(row[1].split(":")[1], 16)
        for row in rows
        if f"socket:[{row[9]}]" in sockets and row[3] == "0A"
    }
    return sorted(found)


@pytest.fixture(scope="module", params=SANDBOXES)
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """Servers of its own: what they log of refusals is counted."""
    data = tmp_path_factory.mktemp("spoofing") / "data"
    with LiveServer("--sandbox", request.param, "--data-dir", str(data)) as live:
        yield live


@pytest.fixture(scope="module")
def found(target: LiveServer) -> dict[str, Any]:
    """What the attacker found while the victim ran, and what became of the victim."""
    client = target.client()
    victim = create(client, VICTIM, fresh_name("victim"), Timeout=30)
    attacker = create(client, ATTACKER, fresh_name("attacker"), Timeout=60)
    invoke(client, victim, {"secret": "swordfish-event"})
    invoke(client, attacker, {})
    seen: dict[str, Any] = {}
    began = time.monotonic()
    for number, seconds in ((2, 2), (3, 25)):  # the first may be too short on a busy machine
        seen = attacked(target, victim, attacker, number, seconds)
        if seen["overlapped"]:
            break
    return {**seen, "attacker": attacker, "began": began}


def attacked(
    target: LiveServer, victim: str, attacker: str, number: int, seconds: float
) -> dict[str, Any]:
    """What the attacker found, while the victim's so manieth invocation ran for so long."""
    answers: list[Any] = []

    def run() -> None:
        event = {"secret": "swordfish-event", "for": seconds}
        answers.append(invoke(target.client(), victim, event).payload)

    running = threading.Thread(target=run)
    running.start()
    known = {
        "name": victim,
        "request_id": request_of(target, victim, number),
        "environment_id": environment_of(target, victim),
        "ports": listening(target),
        "user_port": int(target.url.rsplit(":", 1)[1]),
    }
    answer = invoke(target.client(), attacker, known)
    assert answer.error is None, answer.payload
    alive = running.is_alive()
    running.join()
    return {**answer.payload, "victim": answers, "overlapped": alive}


def test_no_host_name_but_the_own_is_anyones(found: dict[str, Any]) -> None:
    assert found["foreign host"] == [["403"]] * 28
    assert found["no host"] == [["403"]] * 2


def test_the_own_name_does_not_help_with_anothers_request(found: dict[str, Any]) -> None:
    assert {status for answers in found["foreign request"] for status in answers} == {"400", "404"}
    assert found["foreign request"][:4] == [["400"]] * 4
    assert found["foreign extension"] == [["403"]] * 2


def test_each_request_of_a_connection_is_asked_for_its_name(found: dict[str, Any]) -> None:
    assert found["reused"] == [["400", "403"], ["403", "400", "400"]]


def test_no_request_can_be_read_in_two_ways(found: dict[str, Any]) -> None:
    for answers in found["smuggled"]:
        assert len(answers) == 1, "what is in the body is no request"
        assert answers[0] in {"400", "403"}


def test_no_other_port_of_the_server_answers_it(found: dict[str, Any]) -> None:
    for answers in found["other ports"]:
        assert "no connection" in answers[0] or answers == ["403"]
    if os.geteuid() == 0:
        assert "no connection" in found["user API"]


def test_the_victim_noticed_nothing(found: dict[str, Any], target: LiveServer) -> None:
    assert found["overlapped"], "the victim ran during all of the attack"
    assert found["victim"] == [["mine", "swordfish-event"]]
    assert found["heard"] is False, "nothing of the victim's event was ever heard"
    assert invoke(target.client(), found["attacker"], {}).error is None


def test_refusals_are_in_the_servers_log_and_do_not_fill_it(
    found: dict[str, Any], target: LiveServer
) -> None:
    most = 20 + (time.monotonic() - found["began"]) + 1  # so many at once, then one a second
    lines = [json.loads(line) for line in target.output if line.startswith('{"')]
    said = [line["message"] for line in lines]
    assert 15 <= said.count("runtime API called by an unknown host") <= most
    assert "extensions API called by an unknown host" in said
    assert "an extension was refused" in said
    late = [line for line in lines if line["message"].startswith("answer refused")]
    assert all(len(line["container_id"]) == 32 for line in late)
    assert len(late) > 3

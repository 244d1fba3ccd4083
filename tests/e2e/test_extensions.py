"""Extensions that functions start beside themselves, and the end of their environments."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import SANDBOXES
from functions_under_test import create, invoke
from live import LiveServer
from observing import short_idle, until

# An extension in a process of its own, which the function starts while it is loaded.
EXTENSION = """
import json, os, subprocess, sys, textwrap, time, urllib.request

def extension(mode):
    base = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2020-01-01/extension/"
    def say(*words):
        os.write(1, (" ".join(map(str, ("EXT", *words))) + "\\n").encode())
    body = json.dumps({"events": ["INVOKE", "SHUTDOWN"]}).encode()
    request = urllib.request.Request(base + "register", body, {"Lambda-Extension-Name": mode})
    with urllib.request.urlopen(request) as answer:
        known = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
        say("registered for", json.load(answer)["functionName"])
    sys.stderr.write("READY\\n")
    os.close(2)
    while True:
        with urllib.request.urlopen(urllib.request.Request(base + "event/next", None, known)) as a:
            event = json.load(a)
        say(event["eventType"], event.get("requestId"), event.get("shutdownReason"))
        if event["eventType"] == "SHUTDOWN":
            left_s = event["deadlineMs"] / 1000 - time.time()
            say("seconds left", left_s)
            beat = 0
            while mode == "hangs":
                say("alive at", time.time())
                time.sleep(0.02)
            time.sleep(0.2)
            say("last words")
            urllib.request.urlopen(urllib.request.Request(base + "event/next", None, known))

if __name__ == "__main__":
    extension(sys.argv[1])
else:
    command = [sys.executable, __file__, os.environ["MODE"]]
    child = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert child.stderr.readline() == b"READY\\n"

def handler(event, context):
    return [event, os.getpid()]
"""


@pytest.fixture(params=SANDBOXES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def extended(server: LiveServer, mode: str) -> tuple[str, Path]:
    """A function with such an extension, and its log."""
    name = create(server.client(), EXTENSION, Environment={"Variables": {"MODE": mode}})
    logs = server.data_dir / "logs" / "000000000000" / "us-east-1" / "aws" / "lambda"
    return name, logs / f"{name}.log"


def words(log: Path) -> list[str]:
    """What the extension has printed."""
    text = log.read_text() if log.exists() else ""
    return [line[line.index("EXT ") + 4 :] for line in text.splitlines() if "EXT " in line]


def hung(log: Path) -> list[float]:
    """How many seconds each extension that hangs has lived since it was told to end."""
    lives: list[list[float]] = []
    for said in words(log):
        if said.startswith("SHUTDOWN"):
            lives.append([])
        elif said.startswith("alive at "):
            lives[-1].append(float(said.removeprefix("alive at ")))
    return [life[-1] - life[0] for life in lives if life]


def silent(log: Path) -> bool:
    """Whether one that hung has printed nothing for so long that it must be gone."""
    before = len(words(log))
    time.sleep(1)
    return len(words(log)) == before and bool(hung(log))


def test_an_extension_hears_of_invocations_and_of_the_end(kind: str) -> None:
    with LiveServer("--sandbox", kind, "--ephemeral", environment=short_idle(100, 400)) as server:
        client = server.client()
        name, log = extended(server, "behaves")
        answer = invoke(client, name, 1)
        assert answer.payload[0] == 1
        until(lambda: "last words" in words(log), "no last words")
        heard = words(log)
        assert heard[0] == f"registered for {name}"
        assert heard[1] == f"INVOKE {answer.request_id} None"
        assert heard[2] == "SHUTDOWN None spindown"
        assert 0 < float(heard[3].rpartition(" ")[2]) <= 2.0
        assert len(heard) == 5


@pytest.mark.slow
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
        assert 2.0 <= time.monotonic() - begun < 20.0
        lived = hung(log)
        assert len(lived) == 2
        assert all(1.0 < seconds < 20.0 for seconds in lived)  # two seconds, if nothing is late

"""Spares in real sandboxes: a function that takes one finds everything as in a start of its own."""

from __future__ import annotations

import io
import json
import stat
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SANDBOXES
from functions_under_test import NODE, PYTHON, QUICK_WAITER, create, fresh_name, invoke
from live import ROLE, LiveServer, zip_of
from observing import containers, until

LOOK = """
import os, subprocess, sys, time, json
started = time.time()
print("loading")
def handler(event, context):
    print("handling")
    return {
        "env": dict(os.environ), "cwd": os.getcwd(), "path": sys.path[0],
        "files": sorted(os.listdir(os.environ["LAMBDA_TASK_ROOT"])),
        "child": subprocess.run(["env"], capture_output=True, text=True).stdout.splitlines(),
        "clock": time.strftime("%H", time.localtime(0)),
        "memory": context.memory_limit_in_mb, "name": context.function_name,
    }
"""
LOOK_NODE = """
const { readdirSync } = require("node:fs");
console.log("loading");
exports.handler = async (event, context) => {
  console.log("handling");
  return {
    env: process.env, cwd: process.cwd(), files: readdirSync(process.env.LAMBDA_TASK_ROOT).sort(),
    clock: new Date(0).getHours(), memory: context.memoryLimitInMB, name: context.functionName,
  };
};
"""
WRITE = """
import os
def handler(event, context):
    root = os.environ["LAMBDA_TASK_ROOT"]
    for attempt in (
        lambda: open(root + "/new", "w"),
        lambda: open(root + "/lambda_function.py", "a"),
        lambda: os.chmod(root + "/lambda_function.py", 0o777),
        lambda: os.unlink(root + "/lambda_function.py"),
        lambda: os.mkdir(root + "/folder/inner"),
    ):
        try:
            attempt()
        except OSError:
            continue
        return "written"
    return "read-only"
"""


@pytest.fixture(scope="module", params=SANDBOXES)
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    with LiveServer("--sandbox", str(request.param), "--ephemeral") as running:
        yield running


def with_link(files: dict[str, str]) -> bytes:
    """A package that also has a symbolic link to its handler's file."""
    buffer = io.BytesIO(zip_of(files))
    with zipfile.ZipFile(buffer, "a") as archive:
        link = zipfile.ZipInfo("link")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "lambda_function.py")
    return buffer.getvalue()


def spares(server: LiveServer) -> dict[str, int]:
    with urllib.request.urlopen(f"{server.url}/api/admin/spares", timeout=10) as answer:
        found: dict[str, int] = json.loads(answer.read())
    return found


def in_stock(server: LiveServer) -> None:
    """Wait until all spares that are wanted wait."""

    def full() -> bool:
        found = spares(server)
        return found["ready"] > 0 and found["missing"] == 0 == found["starting"]

    until(full, f"no spares: {spares(server)}")


@pytest.mark.parametrize(("source", "runtime"), [(LOOK, PYTHON), (LOOK_NODE, NODE)])
def test_a_function_in_a_spare_finds_what_it_finds_in_a_start_of_its_own(
    server: LiveServer, source: str, runtime: Any
) -> None:
    client = server.client()
    seen = []
    # PYTHON…/NODE_… variables keep a function from taking a spare; these two change nothing else.
    for early in ({}, {"PYTHONNODEBUGRANGES": "1", "NODE_NO_WARNINGS": "1"}):
        variables = {"MINE": "1", "TZ": "Asia/Tokyo", **early}
        name = create(client, source, Runtime=runtime, Environment={"Variables": variables})
        in_stock(server)
        answer = invoke(client, name, LogType="Tail")
        assert answer.error is None, answer.raw
        assert "handling" in answer.log
        found = answer.payload
        assert found.pop("name") == name
        assert found["env"]["MINE"] == "1"
        assert found["clock"] in ("09", 9)
        seen.append(found)
    spare, own = seen
    hidden = {"AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_LOG_STREAM_NAME", "_X_AMZN_TRACE_ID"}
    hidden |= {"AWS_ENDPOINT_URL"}  # leads to the runtime API
    hidden |= {"AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_LOG_GROUP_NAME"}
    hidden |= {"PYTHONNODEBUGRANGES", "NODE_NO_WARNINGS", "HOSTNAME", "HOME", "PWD", "SHLVL", "_"}
    for found in seen:
        found["env"] = {k: v for k, v in found["env"].items() if k not in hidden}
        found["child"] = sorted(
            line for line in found.get("child", ()) if line.partition("=")[0] not in hidden
        )
    assert set(spare["env"].items()) ^ set(own["env"].items()) == set()
    assert spare == own


def test_a_first_call_takes_a_spare_and_another_takes_its_place(server: LiveServer) -> None:
    client = server.client()
    name = create(client, LOOK)
    in_stock(server)
    log = invoke(client, name, LogType="Tail").log
    assert "Init Duration: " in log
    in_stock(server)


def test_folders_links_and_rights_of_the_package_are_placed_too(server: LiveServer) -> None:
    source = "import os\nfrom folder.inner import deep\n"
    source += "def handler(e, c):\n    return [deep.VALUE, os.readlink('/var/task/link')]\n"
    if server.facts["sandbox"].startswith("process: without"):
        pytest.skip("no /var/task without bubblewrap")
    client = server.client()
    in_stock_before = create(client, LOOK)
    name = fresh_name()
    files = {"lambda_function.py": source, "folder/inner/deep.py": "VALUE = 7\n"}
    client.create_function(
        FunctionName=name,
        Runtime=PYTHON,
        Handler="lambda_function.handler",
        Role=ROLE,
        Code={"ZipFile": with_link(files)},
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    in_stock(server)
    assert invoke(client, name).payload == [7, "lambda_function.py"]
    assert invoke(client, in_stock_before).error is None


def test_code_in_a_spare_cannot_be_changed_by_its_function(server: LiveServer) -> None:
    client = server.client()
    name = create(client, WRITE)
    in_stock(server)
    assert invoke(client, name).payload == "read-only"
    assert invoke(client, create(client, WRITE)).payload == "read-only"


def test_a_function_that_fails_to_load_in_a_spare_fails_as_in_any_start(
    server: LiveServer,
) -> None:
    client = server.client()
    name = create(client, "import nothing_of_this_name\n")
    in_stock(server)
    answer = invoke(client, name)
    assert answer.error == "Unhandled"
    assert answer.payload["errorType"] == "Runtime.ImportModuleError"


def test_the_memory_limit_of_a_spare_is_that_of_its_function(server: LiveServer) -> None:
    client = server.client()
    source = "def handler(e, c):\n    x = bytearray(e['mb'] << 20)\n    return len(x)\n"
    name = create(client, source, MemorySize=192)
    in_stock(server)
    assert invoke(client, name, {"mb": 50}).error is None
    killed = invoke(client, name, {"mb": 400})
    assert killed.payload["errorType"] == "Runtime.ExitError"
    assert "signal: killed" in killed.payload["errorMessage"]


@pytest.mark.parametrize("kind", SANDBOXES)
def test_without_spares_functions_start_on_their_own(kind: str) -> None:
    settings = {"LAMBDA_HOME_SPARES__PER_SIZE": "0"}
    with LiveServer("--sandbox", kind, "--ephemeral", environment=settings) as server:
        name = create(server.client(), LOOK)
        assert spares(server) == {"ready": 0, "starting": 0, "missing": 0}
        assert invoke(server.client(), name).error is None


@pytest.mark.parametrize("kind", SANDBOXES)
def test_spares_leave_nothing_behind(kind: str, tmp_path: Path) -> None:
    with LiveServer("--sandbox", kind, "--data-dir", str(tmp_path / "data")) as server:
        create(server.client(), LOOK)
        in_stock(server)
        assert list((tmp_path / "data" / "tasks").iterdir())
    assert not list((tmp_path / "data" / "tasks").iterdir())
    if kind == "docker":
        assert not containers(server)

"""Layers in real sandboxes: merged into /opt, with and without spares."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import SANDBOXES
from functions_under_test import NODE, PYTHON, QUICK_WAITER, create, fresh_name, invoke
from live import LiveServer
from observing import until

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# A start of its own, because an interpreter reads such variables only while it starts.
NO_SPARE = {"Variables": {"PYTHONNODEBUGRANGES": "1", "NODE_NO_WARNINGS": "1"}}
LOOK = """
import ctypes, os, subprocess, sys
def handler(event, context):
    try:
        import boto3, greeting, deep
        modules = [boto3.__name__, greeting.TEXT, deep.TEXT]
    except ImportError as error:
        modules = str(error)
    if event:
        return sorted(os.listdir("/opt")), modules
    for attempt in (lambda: open("/opt/new", "w"), lambda: os.unlink("/opt/lib/data.txt"),
                    lambda: os.chmod("/opt/bin/tool", 0o777), lambda: os.mkdir("/opt/lib/new")):
        try:
            attempt()
            modules = "written"
        except OSError:
            pass
    try:
        libraries = [bool(ctypes.CDLL(name)) for name in ("libcode.so", "liblayer.so")]
    except OSError as error:
        libraries = str(error)
    return {
        "modules": modules,
        "path": sys.path[:4],
        "tool": subprocess.run(["tool"], capture_output=True, text=True).stdout,
        "data": open("/opt/lib/data.txt").read(),
        "link": os.readlink("/opt/lib64"),
        "libraries": libraries,
    }
"""
LOOK_NODE = """
const { greet } = require("greeting");
exports.handler = async () => [greet, require("deep"), (await import("modern")).default];
"""


def layer_zip(files: dict[str, str | bytes], *, programs: tuple[str, ...] = ()) -> bytes:
    """A ZIP in which `programs` can be run; "-> x" makes a symbolic link."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        for name, content in files.items():
            item = zipfile.ZipInfo(name)
            is_link = isinstance(content, str) and content.startswith("-> ")
            mode = 0o120777 if is_link else 0o100755 if name in programs else 0o100644
            item.external_attr = mode << 16
            package.writestr(item, content[3:] if is_link else content)
    return buffer.getvalue()


def some_library() -> bytes:
    """A shared library of this machine that needs nothing but the C library; empty if none."""
    found = sorted(Path("/lib").glob("*-linux-gnu/libutil.so.1"))
    return found[0].read_bytes() if found else b""


def publish(client: LambdaClient, data: bytes) -> str:
    name = fresh_name("layer")
    return client.publish_layer_version(LayerName=name, Content={"ZipFile": data})[
        "LayerVersionArn"
    ]


@dataclass
class World:
    """A server with two layers that overlap; the second one's greeting is "two"."""

    server: LiveServer
    client: LambdaClient
    one: str
    two: str

    def look(self, **members: Any) -> str:
        """A function that reports what it sees, with the libraries that its code brings."""
        files: dict[str, str | bytes] = {"lambda_function.py": LOOK}
        if library := some_library():
            files["lib/libcode.so"] = library
        code = {"ZipFile": layer_zip(files)}
        return create(self.client, LOOK, Code=code, **members)

    def change(self, name: str, *layers: str) -> None:
        self.client.update_function_configuration(FunctionName=name, Layers=list(layers))
        waiter = self.client.get_waiter("function_updated_v2")
        waiter.wait(FunctionName=name, WaiterConfig=QUICK_WAITER)


@contextmanager
def world_on(server: LiveServer) -> Iterator[World]:
    client = server.client()
    site = f"python/lib/{PYTHON}/site-packages"
    one: dict[str, str | bytes] = {
        "python/greeting.py": "TEXT = 'one'\n",
        f"{site}/deep.py": "TEXT = 'deep one'\n",
        "python/boto3.py": "",
        "bin/tool": "#!/bin/sh\necho tool one\n",
        "lib/data.txt": "data one",
        "lib64": "-> lib",
        "nodejs/node_modules/greeting/index.js": "exports.greet = 'one';",
        "nodejs/node_modules/deep/index.js": "module.exports = 'deep one';",
        f"nodejs/node{NODE[6:8]}/node_modules/modern/package.json": '{"type": "module"}',
        f"nodejs/node{NODE[6:8]}/node_modules/modern/index.js": "export default 'modern one';",
    }
    if library := some_library():
        one["lib/liblayer.so"] = library
    two: dict[str, str | bytes] = {
        "python/greeting.py": "TEXT = 'two'\n",
        "lib64/data.txt": "data two",
        "nodejs/node_modules/greeting/index.js": "exports.greet = 'two';",
    }
    first = publish(client, layer_zip(one, programs=("bin/tool",)))
    yield World(server, client, first, publish(client, layer_zip(two)))


@pytest.fixture(scope="module", params=SANDBOXES)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with (
        LiveServer("--sandbox", str(request.param), "--ephemeral") as server,
        world_on(server) as made,
    ):
        yield made


@pytest.mark.parametrize("members", [{}, {"Environment": NO_SPARE}], ids=["spare", "own start"])
def test_a_function_sees_its_layers_merged_and_cannot_change_them(
    world: World, members: dict[str, Any]
) -> None:
    name = world.look(Layers=[world.one, world.two], **members)
    answer = invoke(world.client, name)
    assert answer.error is None, answer.raw
    assert answer.payload == {
        "modules": ["boto3", "two", "deep one"],
        "path": [
            "/var/task",
            f"/opt/python/lib/{PYTHON}/site-packages",
            "/opt/python",
            "/var/runtime",
        ],
        "tool": "tool one\n",
        "data": "data two",
        "link": "lib",
        "libraries": [True, True] if some_library() else answer.payload["libraries"],
    }


@pytest.mark.parametrize("members", [{}, {"Environment": NO_SPARE}], ids=["spare", "own start"])
def test_node_requires_and_imports_from_layers(world: World, members: dict[str, Any]) -> None:
    layers = [world.one, world.two]
    name = create(world.client, LOOK_NODE, Runtime=NODE, Layers=layers, **members)
    answer = invoke(world.client, name)
    assert answer.payload == ["two", "deep one", "modern one"]


@pytest.mark.parametrize("members", [{}, {"Environment": NO_SPARE}], ids=["spare", "own start"])
def test_other_layers_are_there_at_the_next_call(world: World, members: dict[str, Any]) -> None:
    everything = ["bin", "lib", "lib64", "nodejs", "python"]
    name = world.look(Layers=[world.two], **members)
    seen, _ = invoke(world.client, name, {"only": "list"}).payload
    assert seen == ["lib64", "nodejs", "python"]
    world.change(name, world.two, world.one)
    seen, modules = invoke(world.client, name, {"only": "list"}).payload
    assert (seen, modules[1]) == (everything, "one")
    world.change(name)
    seen, modules = invoke(world.client, name, {"only": "list"}).payload
    assert seen == []
    assert "greeting" in modules


# ----------------------------------------------------------------------- without a mount of its own


@pytest.fixture(scope="module")
def plain() -> Iterator[World]:
    """A server that finds no bubblewrap that works."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # where the server is root, functions are somebody else
        broken = Path(folder) / "bwrap"
        broken.write_text("#!/bin/sh\nexit 1\n")
        broken.chmod(0o755)
        # The system's interpreters, which anybody may run.
        found = {"PATH": f"{folder}:/usr/bin:/bin", "PYENV_ROOT": folder, "NVM_DIR": folder}
        flags = ("--sandbox", "process", "--data-dir", f"{folder}/data")
        with LiveServer(*flags, environment=found) as server, world_on(server) as made:
            yield made


PLAIN = """
import os, subprocess
import boto3, deep, greeting
def handler(event, context):
    tool = subprocess.run(["tool"], capture_output=True, text=True)
    return [boto3.__file__, greeting.TEXT, deep.TEXT, tool.stdout]
"""


@pytest.mark.process
def test_without_bubblewrap_layers_lie_elsewhere_and_the_log_says_so(plain: World) -> None:
    layers = [plain.one, plain.two]
    name = create(plain.client, PLAIN, Layers=layers)
    answer = invoke(plain.client, name)
    assert answer.error is None, answer.raw
    boto3, *seen = answer.payload
    folder = boto3.removesuffix("/python/boto3.py")
    assert seen == ["two", "deep one", "tool one\n"]
    warning = f"[WARNING] lambda_home: The layers are at {folder}, not at /opt"
    logs = Path(plain.server.facts["data"]) / "logs"
    until(lambda: warning in logged(logs, name), "no warning")
    name = create(plain.client, LOOK_NODE, Runtime=NODE, Layers=layers)
    assert invoke(plain.client, name).payload == ["two", "deep one", "modern one"]
    name = create(plain.client, "def handler(e, c):\n    return 1\n")
    assert invoke(plain.client, name).payload == 1
    until(lambda: "REPORT" in logged(logs, name), "no log")
    assert "layers" not in logged(logs, name)


def logged(logs: Path, function: str) -> str:
    return "".join(file.read_text() for file in logs.rglob(f"*{function}*"))

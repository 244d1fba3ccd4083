"""An open process sandbox for tests, in bubblewrap or without it.

The runtime of these tests runs the Python source in its variable SCRIPT.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from observing import below

from lambda_home.sandboxes import process_cgroups, process_table
from lambda_home.sandboxes.base import Exit, SandboxSpec
from lambda_home.sandboxes.interpreters import Search
from lambda_home.sandboxes.process import Place, ProcessSandbox
from lambda_home.sandboxes.task_folders import TaskFolders

PATIENCE_S = 60.0
PORT = 9001
AS_ROOT = os.geteuid() == 0
SLEEP = "print('up', flush=True)\nimport time\ntime.sleep(600)"
BOOTSTRAP = """#!/bin/sh
python=/var/lang/bin/python3
[ -x "$python" ] || python=python3
exec "$python" -S -c "$SCRIPT"
"""
ORPHAN = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.environ.clear()
        print("orphan", flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
"""


@dataclass
class Recorder:
    """An observer that remembers what it was told of each environment, in order."""

    told: dict[str, list[bytes | Exit]] = field(default_factory=lambda: defaultdict(list))
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def output(self, environment_id: str, chunk: bytes) -> None:
        self.told[environment_id].append(chunk)
        self.news.set()

    def exited(self, how: Exit) -> None:
        self.told[how.id].append(how)
        self.news.set()

    def text(self, environment_id: str) -> str:
        chunks = [item for item in self.told[environment_id] if isinstance(item, bytes)]
        return b"".join(chunks).decode()

    def exits(self, environment_id: str) -> list[Exit]:
        return [item for item in self.told[environment_id] if isinstance(item, Exit)]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.news.clear()
                await self.news.wait()

    async def end_of(self, environment_id: str) -> Exit:
        await self.until(lambda: self.exits(environment_id))
        return self.exits(environment_id)[0]


class NumberedEndpoints:
    """Addresses that nobody listens at; remembers which are open."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    async def open(self, environment_id: str) -> str:
        self.opened.append(environment_id)
        return f"127.0.0.1:{20_000 + len(self.opened)}"

    async def close(self, environment_id: str) -> None:
        if environment_id in self.opened:
            self.opened.remove(environment_id)


@dataclass
class Bench:
    """An open sandbox with its observer and a folder of code."""

    sandbox: ProcessSandbox
    recorder: Recorder
    endpoints: NumberedEndpoints
    code: Path

    def spec(self, script: str, **changes: Any) -> SandboxSpec:
        environment = {"SCRIPT": script, "PATH": "/usr/bin:/bin", "LAMBDA_TASK_ROOT": "/var/task"}
        environment |= changes.pop("environment", {})
        name = uuid.uuid4().hex
        spec = SandboxSpec(
            name, f"{name}.test", "python3.11", str(self.code), environment, 256, 16, {}
        )
        return replace(spec, **changes)

    async def start(self, script: str, **changes: Any) -> str:
        spec = self.spec(script, **changes)
        await self.sandbox.start(spec)
        return spec.id

    async def up(self, script: str = SLEEP, **changes: Any) -> str:
        """Start and wait for the first line."""
        name = await self.start(script, **changes)
        await self.recorder.until(lambda: "\n" in self.recorder.text(name))
        return name

    async def run(self, script: str, **changes: Any) -> tuple[Exit, str]:
        name = await self.start(script, **changes)
        how = await self.recorder.end_of(name)
        return how, self.recorder.text(name)

    async def ask(self, expression: str, **changes: Any) -> Any:
        """The value of a Python expression inside."""
        imports = "import ctypes, glob, json, os, pathlib, resource, socket, sys"
        script = f"{imports}\nprint(json.dumps({expression}))"
        how, text = await self.run(script, **changes)
        assert how.code == 0, (how, text)
        return json.loads(text)


def cgroups_here() -> process_cgroups.Cgroups:
    """What can be used on this machine; leaves nothing made."""
    found = process_cgroups.discover()
    found.close()
    return found


def place(ground: Path) -> Place:
    """Interpreters that any user may run: the system's."""
    search = Search((Path("/usr/bin"), Path("/usr/local/bin")), Path("/none"), Path("/none"))
    tasks = TaskFolders(ground / "tasks")
    return Place(ground / "runtimes", ground / "libraries", search, tasks)


@asynccontextmanager
async def opened(ground: Path) -> AsyncIterator[Bench]:
    """A sandbox that must have left nothing behind when it is closed."""
    before = leftovers(os.getpid())
    endpoints = NumberedEndpoints()
    bench = Bench(
        ProcessSandbox(place(ground), PORT, endpoints), Recorder(), endpoints, ground / "code"
    )
    await bench.sandbox.open(bench.recorder)
    try:
        yield bench
    finally:
        await bench.sandbox.close()
    assert leftovers(os.getpid()) <= before
    assert endpoints.opened == []
    for name, told in bench.recorder.told.items():
        exits = [number for number, item in enumerate(told) if isinstance(item, Exit)]
        assert exits == [len(told) - 1], f"one exit, after all output, of {name}"


def leftovers(server: int) -> set[str]:
    """Control groups and temporary folders of a server; our own descriptors and children."""
    bases = cgroups_here().bases.values()
    groups = (folder for base in bases for folder in below(base))
    found = {str(folder) for folder in groups if folder.name.startswith(f"{server}.")}
    found |= {str(path) for path in Path(tempfile.gettempdir()).glob(f"lambda-home-tmp-{server}.*")}
    found |= {f"child {pid}" for pid in process_table.children(os.getpid())}
    # Numbered: fewer than before are no leftovers, other tests' connections close meanwhile.
    return found | {f"descriptor {n}" for n, _ in enumerate(Path("/proc/self/fd").iterdir())}


def on(ground: Path, body: Callable[[Bench], Any]) -> Any:
    async def main() -> Any:
        async with opened(ground) as bench:
            return await body(bench)

    return asyncio.run(main())


def running(marker: str) -> list[int]:
    """Processes with this text in their command line, and not zombies."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return [pid for pid in found if not process_table.is_zombie(pid)]

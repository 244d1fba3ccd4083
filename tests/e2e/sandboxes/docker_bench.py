"""An open Docker sandbox for tests, against a real daemon.

The image of these tests runs the Python source in its variable SCRIPT.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from lambda_home.config import DockerSettings
from lambda_home.sandboxes.base import Exit, SandboxSpec
from lambda_home.sandboxes.docker import DockerSandbox
from lambda_home.sandboxes.docker_profile import INSTANCE
from lambda_home.sandboxes.output_pipe import NamedPipes

BASE = "lambda-home/base-python:bookworm"
# Each process that runs tests has its own, as each clears its own away.
IMAGE = f"lambda-home/test-script-{os.getpid()}:latest"
NETWORK = f"lambda-home-test-{os.getpid()}"
SETTINGS = DockerSettings(host="", network=NETWORK, allow_pull=False, internet=True, images={})
PATIENCE_S = 60.0

COMMAND = ("python3", "-u", "-c", "import os; exec(os.environ['SCRIPT'])")
SLEEP = "import time; print('up', flush=True); time.sleep(600)"


@dataclass
class Recorder:
    """An observer that remembers what it was told, in order."""

    told: list[bytes | Exit] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def output(self, environment_id: str, chunk: bytes) -> None:
        del environment_id
        self.told.append(chunk)
        self.news.set()

    def exited(self, how: Exit) -> None:
        self.told.append(how)
        self.news.set()

    @property
    def text(self) -> bytes:
        return b"".join(item for item in self.told if isinstance(item, bytes))

    @property
    def exits(self) -> list[Exit]:
        return [item for item in self.told if isinstance(item, Exit)]

    async def until(self, condition: Callable[[Recorder], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition(self):
                self.news.clear()
                await self.news.wait()


def spec(script: str, **changes: Any) -> SandboxSpec:
    id_ = uuid.uuid4().hex
    values: dict[str, Any] = {
        "id": id_,
        "host": f"t{id_}.lambda-home.internal",
        "runtime": "python3.11",
        "code": IMAGE,
        "environment": {"SCRIPT": script, "PATH": "/usr/bin:/bin"},
        "memory_mb": 256,
        "tmp_mb": 64,
        "labels": {"function": "Upper_CASE", "version": "$LATEST"},
        "command": COMMAND,
    }
    return SandboxSpec(**{**values, **changes})


@asynccontextmanager
async def sandbox(
    client: Any, pipes: NamedPipes | None = None
) -> AsyncIterator[tuple[DockerSandbox, Recorder]]:
    docker_sandbox, recorder = DockerSandbox(client, SETTINGS, "test"), Recorder()
    docker_sandbox.pipes = pipes
    await docker_sandbox.open(recorder)
    try:
        yield docker_sandbox, recorder
    finally:
        await docker_sandbox.close()
    assert ours(client) == []


def ours(client: Any) -> list[Any]:
    found: list[Any] = client.containers(all=True, filters={"label": f"{INSTANCE}=test"})
    return found


def run_to_end(
    client: Any, script: str, pipes: NamedPipes | None = None, **changes: Any
) -> Recorder:
    async def main() -> Recorder:
        async with sandbox(client, pipes) as (box, recorder):
            await box.start(spec(script, **changes))
            await recorder.until(lambda told: told.exits)
            return recorder

    return asyncio.run(main())

"""Waiting for conditions, and looking at what a live server has made."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from live import LiveServer

DEADLINE_S = 60.0
HOLDS_S = (0.5, 4.0, 16.0)
"""How long invocations last that must overlap. Where environments start slowly the first of them
may be over before the next has an environment: then the next length is tried. It is a failure if
the last is not long enough either. For functions with a Timeout of 20 s or more.
"""


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Wait for a condition; fail with `what` when the deadline passes."""
    end = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


def log_of(server: LiveServer, name: str) -> str:
    """What a function of the server's own account has logged so far."""
    path = server.data_dir / f"logs/000000000000/us-east-1/aws/lambda/{name}.log"
    return path.read_text() if path.exists() else ""


def until_logged(server: LiveServer, name: str, text: str) -> None:
    """Wait until a function has logged a text: that it has begun, say."""
    until(lambda: text in log_of(server, name), f"{name} never logged {text}")


def below(folder: Path) -> Iterator[Path]:
    """All files and folders below one that others change meanwhile; Path.rglob would fail."""
    for parent, folders, files in os.walk(folder):
        yield from (Path(parent, name) for name in (*folders, *files))


def containers(server: LiveServer, *filters: str) -> list[dict[str, str]]:
    """This server's containers as `docker ps` shows them."""
    instance = (server.data_dir / "instance-id").read_text()
    command = ["docker", "ps", "-a", "--format", "{{json .}}"]
    for given in (f"label=lambda-home.instance={instance}", *filters):
        command += ["--filter", given]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


WITHOUT_SPARES = {"LAMBDA_HOME_SPARES__PER_SIZE": "0"}
"""For tests that count environments."""


def short_idle(soft_ms: int, hard_ms: int) -> dict[str, str]:
    """Idle times; without spares, so that every environment is one that was called for."""
    return {
        "LAMBDA_HOME_IDLE__SOFT_MS": str(soft_ms),
        "LAMBDA_HOME_IDLE__HARD_MS": str(hard_ms),
        **WITHOUT_SPARES,
    }

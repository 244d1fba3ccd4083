"""Waiting for conditions, and looking at what a live server has made."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

from live import LiveServer

DEADLINE_S = 30.0


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Wait for a condition; fail with `what` when the deadline passes."""
    end = time.monotonic() + deadline_s
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


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

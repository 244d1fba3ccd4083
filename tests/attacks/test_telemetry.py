"""Extensions that want the server to connect elsewhere, or to hear of another function."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from extensions_under_test import IN_PYTHON, layer
from functions_under_test import create, invoke
from live import LiveServer
from observing import until

FUNCTION = "def handler(event, context):\n    print('a secret of', context.function_name)\n"


class Trap:
    """A service of the machine: who connects to it?"""

    def __init__(self) -> None:
        self.visits = 0
        self._listening = socket.create_server(("0.0.0.0", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.visits += 1
                connection.close()

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    made = Trap()
    yield made
    made.close()


def log_of(server: LiveServer, name: str) -> Path:
    logs = server.data_dir / "logs" / "000000000000" / "us-east-1" / "aws" / "lambda"
    return logs / f"{name}.log"


def attacker(server: LiveServer, uris: str, mode: str = "") -> tuple[str, Path]:
    """A function whose extension subscribes with these destinations."""
    client = server.client()
    arn = layer(client, {"extensions/attacker": (IN_PYTHON, 0o755)})
    variables = {"Variables": {"URIS": uris, "MODE": mode}}
    name = create(client, FUNCTION, Layers=[arn], Environment=variables)
    return name, log_of(server, name)


def outcomes(log: Path) -> dict[str, str]:
    return dict(re.findall(r"PY subscription to (\S+) (\S+)", log.read_text()))


def test_the_server_connects_to_nobody_but_the_environment(target: LiveServer, trap: Trap) -> None:
    port = trap.port
    elsewhere = [
        f"http://127.0.0.1:{port}",
        f"http://localhost:{port}",
        f"http://[::1]:{port}",
        f"http://sandbox.localdomain@127.0.0.1:{port}/",
        f"http://sandbox.localdomain.evil.example:{port}",
        f"http://sandbox.localdomain#@127.0.0.1:{port}/",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
    ]
    # The last one is well formed, but the port is not the environment's.
    within = f"http://sandbox.localdomain:{port}"
    name, log = attacker(target, " ".join([*elsewhere, within]))
    invoke(target.client(), name, 1)
    invoke(target.client(), name, 2)
    until(lambda: log.exists() and len(outcomes(log)) == len(elsewhere) + 1, "no outcomes")
    found = outcomes(log)
    assert {found[uri] for uri in elsewhere} == {"ValidationError"}
    assert found[within] == "OK"
    time.sleep(1.5)  # the batch is due after 25 ms, and tried again for a while
    assert trap.visits == 0


def test_one_function_does_not_hear_of_another(target: LiveServer) -> None:
    listening, log = attacker(target, "", "listens")
    invoke(target.client(), listening, 1)
    # The other one's telemetry goes to the same port, on which it does not listen itself.
    victim, _ = attacker(target, "http://sandbox.localdomain:4243")
    for _ in range(2):
        invoke(target.client(), victim, 1)
    invoke(target.client(), listening, 1)
    until(lambda: log.read_text().count(f"a secret of {listening}") >= 3, "nothing was told")
    time.sleep(0.5)
    assert victim not in log.read_text()

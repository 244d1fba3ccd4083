"""A real server for tests, the demo and the benchmark: started as a user starts it, and ended."""

from __future__ import annotations

import io
import os
import queue
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

ROLE = "arn:aws:iam::000000000000:role/lambda-role"
_READY = re.compile(r"^  (user API|runtime API|sandbox|data)\s+(.*)$")


class LiveServer:
    """`lambda-home serve` in a process of its own, on free ports; a context manager.

    `output` holds everything that it has printed so far.
    """

    def __init__(
        self,
        *flags: str,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        command: tuple[str, ...] = (sys.executable, "-m", "lambda_home"),
    ) -> None:
        ports = ("--port-user-api", "0", "--port-runtime-api", "0")
        self._command = [*command, "serve", *ports, *flags]
        self._environment = {**_clean_environment(), **(environment or {})}
        self._cwd = cwd
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.facts: dict[str, str] = {}
        self.output: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start, and wait until the server says that it is ready."""
        self.process = subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=self._cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def _wait_until_ready(self) -> None:
        while "data" not in self.facts:
            line = self._lines.get(timeout=60)
            if line is None:
                raise RuntimeError("the server did not start:\n" + "".join(self.output))
            if match := _READY.match(line):
                self.facts[match[1]] = match[2].strip()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the server as Ctrl-C does; it must end well."""
        code = self.stop()
        if error is None and code != 0:
            raise AssertionError(f"the server ended with {code}:\n" + "".join(self.output))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the server; returns its exit code."""
        process = self.process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(how)
        try:
            code = process.wait(timeout=90)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError("the server did not end:\n" + "".join(self.output)) from None
        if process.stdout is not None:
            self._drained.wait(timeout=10)
            process.stdout.close()
        self.process = None
        return code

    _drained: threading.Event = threading.Event()

    def _read(self, process: subprocess.Popen[str]) -> None:
        self._drained = threading.Event()
        if process.stdout is None:
            return
        for line in process.stdout:
            self.output.append(line)
            self._lines.put(line)
        self._lines.put(None)
        self._drained.set()

    @property
    def url(self) -> str:
        """Base URL of the user API."""
        return self.facts["user API"]

    @property
    def runtime_port(self) -> int:
        """Port of the runtime API."""
        return int(self.facts["runtime API"].rsplit(":", 1)[1])

    @property
    def data_dir(self) -> Path:
        """The data directory."""
        return Path(self.facts["data"])

    def client(
        self, account: str = "000000000000", region: str = "us-east-1", **options: Any
    ) -> LambdaClient:
        """An unmodified boto3 client; it does not retry, so that tests see every answer."""
        settings: dict[str, Any] = {
            "retries": {"total_max_attempts": 1},
            "read_timeout": 120,
            "max_pool_connections": 64,
        }
        made: LambdaClient = boto3.client(
            "lambda",
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=account,
            aws_secret_access_key="secret",
            config=Config(**{**settings, **options}),
        )
        return made


def steady_port() -> int:
    """A free port that stays free while nobody has it.

    The kernel gives none of these to somebody who asks for any, nor to connections that go out.
    """
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    every = range(10_000, 1 << 16)
    kept = [port for port in every if not first <= port <= last] or every
    while True:
        port = random.choice(kept)
        with socket.socket() as trial, suppress(OSError):
            trial.bind(("127.0.0.1", port))
            return port


def zip_of(files: Mapping[str, str | bytes]) -> bytes:
    """A deployment package."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _clean_environment() -> dict[str, str]:
    """The caller's environment without what would steer this project, AWS's tools or Python."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LAMBDA_HOME_", "AWS_", "PYTHON"))
    }

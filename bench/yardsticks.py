"""What the figures are divided by, measured in the same run: absolute times drift, ratios do not.

- the floor: the same exchange as bare ASGI (`floor.py`), loaded by the same wrk;
- `docker run`: create, attach, start and first output of a container with the very isolation
  profile that functions get, through docker-py, as the server itself talks to the daemon;
- a plain process: the interpreter, started, until its first output.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors

from bench.figures import Effort, Figure, Row, SkippedError
from bench.servers import PING, Caller, family_of, invocations, until
from lambda_home.sandboxes.base import SandboxSpec
from lambda_home.sandboxes.docker_profile import Wiring, container_config

HERE = Path(__file__).resolve().parent
_FLOOR_RUNTIMES = 4
_DEADLINE_S = 30
_COMMANDS = {
    "python": ["python3", "-c", "print('pong')"],
    "nodejs": ["node", "-e", "console.log('pong')"],
}


@dataclass(frozen=True, slots=True)
class Load:
    """One wrk run; latencies in milliseconds."""

    n: int
    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int

    def row(self, key: str, label: str, *ratios: Figure) -> Row:
        """The row of this run."""
        figures = (
            Figure("p50", self.p50_ms, "ms"),
            Figure("p99", self.p99_ms, "ms"),
            Figure("rate", self.per_second, "/s", "higher"),
            *ratios,
        )
        return Row(key, label, self.n, self.errors, figures)


def parse_load(output: str) -> Load:
    """The RESULT line of our wrk scripts: requests, microseconds, p50, p99, longest, errors."""
    line = next((line for line in output.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise RuntimeError(f"wrk printed no result:\n{output}")
    n, micros, p50, p99, _, errors = (float(value) for value in line.split()[1:])
    return Load(int(n), n / micros * 1e6, p50 / 1000, p99 / 1000, int(errors))


def wrk(url: str, callers: int, seconds: float, script: str = "post.lua", *words: str) -> Load:
    """One thread, `callers` keep-alive connections, whole seconds."""
    if shutil.which("wrk") is None:
        raise SkippedError("needs wrk (Debian: apt-get install wrk)")
    whole = max(1, round(seconds))
    command = ["wrk", "-t1", f"-c{callers}", f"-d{whole}s", "-s", str(HERE / script), url]
    if words:
        command += ["--", *words]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=whole + _DEADLINE_S
    )
    return parse_load(done.stdout)


@contextmanager
def floor() -> Iterator[str]:
    """The floor server with four runtimes; yields the URL to invoke."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, str(HERE / "floor.py"), port]
    started = [subprocess.Popen(command)]
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: _listens(int(port)), "the floor server did not start", step_s=0.01)
        started += [subprocess.Popen([*command, "client"]) for _ in range(_FLOOR_RUNTIMES)]
        with Caller(url) as caller:
            caller.invoke("ping")
        yield url + invocations("ping")
    finally:
        for process in reversed(started):
            process.kill()  # parked polls would keep the server from ending politely
            process.wait()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def post_alone(url: str) -> float:
    """One POST on a connection of its own, as clients without keep-alive do; seconds it took."""
    request = urllib.request.Request(url, data=PING, method="POST")
    start = time.perf_counter()
    with urllib.request.urlopen(request, timeout=_DEADLINE_S) as answer:
        answer.read()
    return time.perf_counter() - start


def plain_process(family: str) -> float:
    """Start the interpreter and wait for its first output; seconds."""
    if shutil.which(_COMMANDS[family][0]) is None:
        raise SkippedError(f"no {_COMMANDS[family][0]} on this machine")
    start = time.perf_counter()
    with subprocess.Popen(_COMMANDS[family], stdout=subprocess.PIPE) as process:
        if process.stdout is None or not process.stdout.readline():
            raise RuntimeError(f"{_COMMANDS[family]} printed nothing")
        return time.perf_counter() - start


class PlainDocker:
    """`docker run` with the functions' own isolation profile; `close` it."""

    def __init__(self, runtime: str) -> None:
        self._client: Any = docker.APIClient(version="auto", timeout=_DEADLINE_S)
        self._runtime = runtime
        self._init = True

    def close(self) -> None:
        """Let go of the daemon."""
        self._client.close()

    def run(self) -> float:
        """Create, attach, start, first output; seconds. The removal is not counted."""
        try:
            return self._run()
        except docker.errors.APIError as error:
            if not self._init or "docker-init" not in str(error):
                raise
            self._init = False  # as the server does where docker-init is missing
            return self._run()

    def _run(self) -> float:
        config = self._config()
        start = time.perf_counter()
        container = self._client.create_container_from_config(config)["Id"]
        try:
            stream = self._client.attach_socket(
                container, params={"stdout": 1, "stderr": 1, "stream": 1}
            )
            try:
                self._client.start(container)
                if not stream.read(1):
                    raise RuntimeError("docker run printed nothing")
                return time.perf_counter() - start
            finally:
                stream.close()
        finally:
            self._client.remove_container(container, force=True)

    def _config(self) -> dict[str, object]:
        spec = SandboxSpec(
            id=uuid.uuid4().hex,
            host="yardstick.invalid",
            runtime=self._runtime,
            code=self._image(),
            environment={},
            memory_mb=128,
            tmp_mb=512,
            labels={},
        )
        config = container_config(
            spec, Wiring("lambda-home", "127.0.0.1", 1), {"lambda-home-bench": "1"}, init=self._init
        )
        return {**config, "Entrypoint": _COMMANDS[family_of(self._runtime)]}

    def _image(self) -> str:
        """The image that functions of this runtime run on; a server has made it by now."""
        images = self._client.images(name=f"lambda-home/runtime-{self._runtime}")
        tags = [tag for image in images for tag in image["RepoTags"] or []]
        if not tags:
            raise SkippedError(f"no image of {self._runtime} to measure docker run with")
        return str(tags[0])


@contextmanager
def plain_docker(runtime: str) -> Iterator[PlainDocker]:
    """A `docker run` yardstick."""
    yardstick = PlainDocker(runtime)
    try:
        yield yardstick
    finally:
        yardstick.close()


def plain_start(sandbox: str, runtime: str, effort: Effort) -> float:
    """The median plain start of a runtime in a kind of sandbox, in seconds."""
    n = effort.count(5)
    if sandbox == "process":
        return statistics.median(plain_process(family_of(runtime)) for _ in range(n))
    with plain_docker(runtime) as yardstick:
        return statistics.median(yardstick.run() for _ in range(n))

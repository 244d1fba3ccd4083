"""What the sections start and ask: servers, callers without an SDK's cost, processes' memory."""

from __future__ import annotations

import base64
import http.client
import json
import platform
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from live import ROLE, LiveServer, zip_of

from bench.figures import SkippedError
from lambda_home.config import Settings

PING = b'{"message":"ping"}'
PONG = {"message": "pong"}
FAMILIES = ("python", "nodejs")
_PATIENCE_S = 60.0
_STEP_S = 0.002
_SPARES_STEP_S = 0.03
_SAME_LOOKS = 4  # a refill begins 20 ms after the need for it
_OK = 200
_CREATED = 201

_SOURCES: Mapping[str, tuple[str, str, str]] = {
    "python": (
        "lambda_function.py",
        "lambda_function.handler",
        "def handler(event, context):\n    return {'message': 'pong'}\n",
    ),
    "nodejs": (
        "index.js",
        "index.handler",
        "exports.handler = async () => ({ message: 'pong' });\n",
    ),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from an HTTP request, and how long it took (seconds)."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    seconds: float

    @property
    def is_pong(self) -> bool:
        """Whether it is what the ping function returns."""
        try:
            return self.status == _OK and json.loads(self.body) == PONG
        except ValueError:
            return False


class Caller:
    """One keep-alive connection to the user API; a context manager."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            parts.hostname or "127.0.0.1", parts.port, timeout=_PATIENCE_S
        )

    def __enter__(self) -> Self:
        """Connect, so that no request has to."""
        self._connection.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self._connection.close()

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One exchange. Raises OSError and http.client.HTTPException."""
        start = time.perf_counter()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, body=body, headers=given)
        answer = self._connection.getresponse()
        content = answer.read()
        return Answer(
            answer.status, content, dict(answer.getheaders()), time.perf_counter() - start
        )

    def invoke(self, name: str, payload: bytes = PING) -> Answer:
        """Invoke and wait for the answer."""
        return self.request("POST", invocations(name), payload)


def invocations(name: str) -> str:
    """The path of Invoke."""
    return f"/2015-03-31/functions/{name}/invocations"


@dataclass(frozen=True, slots=True)
class Function:
    """A function to create; its code differs from that of every other, so nothing is shared."""

    name: str
    runtime: str
    source: str | None = None
    timeout_s: int = 30
    memory_mb: int = 128

    def request(self) -> bytes:
        """The body of CreateFunction."""
        family = family_of(self.runtime)
        file, handler, source = _SOURCES[family]
        comment = "#" if family == "python" else "//"
        code = f"{self.source or source}{comment} {self.name}\n"
        document = {
            "FunctionName": self.name,
            "Runtime": self.runtime,
            "Handler": handler,
            "Role": ROLE,
            "Timeout": self.timeout_s,
            "MemorySize": self.memory_mb,
            "Code": {"ZipFile": base64.b64encode(zip_of({file: code})).decode()},
        }
        return json.dumps(document).encode()


def create(caller: Caller, function: Function) -> None:
    """Create a function and wait until it is active. Raises RuntimeError if it will never be."""
    made = caller.request("POST", "/2015-03-31/functions", function.request())
    if made.status != _CREATED:
        raise RuntimeError(f"CreateFunction answered {made.status}: {made.body[:200]!r}")
    wait_until_active(caller, function.name)


def wait_until_active(caller: Caller, name: str) -> None:
    """Poll GetFunction. Raises RuntimeError for a function that fails."""

    def active() -> bool:
        answer = caller.request("GET", f"/2015-03-31/functions/{name}")
        configuration = json.loads(answer.body).get("Configuration", {})
        if configuration.get("State") == "Failed":
            raise RuntimeError(f"{name}: {configuration.get('StateReason')}")
        return bool(configuration.get("State") == "Active")

    until(active, f"{name} did not become active")


def delete(caller: Caller, name: str) -> None:
    """Delete a function."""
    caller.request("DELETE", f"/2015-03-31/functions/{name}")


def until(
    done: Callable[[], bool], what: str, patience_s: float = _PATIENCE_S, step_s: float = _STEP_S
) -> None:
    """Wait for a condition. Raises TimeoutError that says `what` did not happen."""
    deadline = time.monotonic() + patience_s
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(step_s)


@contextmanager
def serving(
    sandbox: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[LiveServer, Caller]]:
    """A fresh server and a connection to it. Idle environments are not frozen under our feet."""
    calm = {"LAMBDA_HOME_IDLE__SOFT_MS": "3600000", "LAMBDA_HOME_IDLE__HARD_MS": "7200000"}
    given = {**calm, **(environment or {})}
    with (
        LiveServer("--sandbox", sandbox, "--ephemeral", environment=given) as server,
        Caller(server.url) as caller,
    ):
        yield server, caller


# ------------------------------------------------------------------------------------------ spares


def without_spares() -> dict[str, str]:
    """The environment of a server that keeps no spares."""
    known = "spares" in Settings.model_fields
    return {"LAMBDA_HOME_SPARES__PER_SIZE": "0"} if known else {}


def spares(caller: Caller) -> tuple[int, int, int] | None:
    """How many spares are ready, starting and missing; None from a server that knows no spares."""
    answer = caller.request("GET", "/api/admin/spares")
    if answer.status != _OK:
        return None
    found = json.loads(answer.body)
    return int(found["ready"]), int(found["starting"]), int(found["missing"])


def wait_for_spares(caller: Caller) -> None:
    """Wait until spares are in stock and nothing moves. Raises SkippedError without spares."""
    if spares(caller) is None:
        raise SkippedError("this server keeps no spares (GET /api/admin/spares)")
    _wait_until_calm(caller, least=1)


def settle(caller: Caller) -> None:
    """Wait until nothing moves: a server that keeps no spares is calm at once."""
    if spares(caller) is not None:
        _wait_until_calm(caller, least=0)


def _wait_until_calm(caller: Caller, *, least: int) -> None:
    looks: list[tuple[int, int, int] | None] = []

    def calm() -> bool:
        looks.append(spares(caller))
        ready, starting, missing = looks[-1] or (0, 0, 0)
        still = looks[-_SAME_LOOKS:] == [looks[-1]] * _SAME_LOOKS
        return still and ready >= least and starting == 0 == missing

    until(calm, "the spares were not refilled", step_s=_SPARES_STEP_S)


@contextmanager
def function_images_as_before() -> Iterator[None]:
    """Remove images of functions that the block makes: servers keep them for their next start."""
    before = _function_images()
    try:
        yield
    finally:
        for image in _function_images() - before:
            said("docker", "rmi", image)


def _function_images() -> set[str]:
    form = "{{.Repository}}:{{.Tag}}"
    return set(said("docker", "images", "--format", form, "lambda-home/function").split())


# ------------------------------------------------------------------------------------ this machine


def family_of(runtime: str) -> str:
    """`python` or `nodejs`."""
    return "python" if runtime.startswith("python") else "nodejs"


def sandboxes() -> list[str]:
    """The kinds of sandbox that work here."""
    return [kind for kind in ("docker", "process") if why_not(kind) is None]


@cache
def why_not(sandbox: str) -> str | None:
    """Why a sandbox cannot be measured here; None if it can."""
    if sandbox == "process":
        return (
            None if shutil.which("bwrap") else "no bubblewrap (Debian: apt-get install bubblewrap)"
        )
    return None if docker_version() else "no Docker daemon answers"


@cache
def best_sandbox() -> str:
    """Docker where it works. Raises SkippedError where nothing does."""
    if not sandboxes():
        raise SkippedError("neither Docker nor bubblewrap is here")
    return sandboxes()[0]


@cache
def docker_version() -> str:
    """The daemon's version; "" without one."""
    return said("docker", "version", "--format", "{{.Server.Version}}")


def said(*command: str) -> str:
    """What a command prints; "" if it cannot be run."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@cache
def runtime_of(sandbox: str, family: str) -> str:
    """A runtime whose interpreter is here: no download, and no warning about another version."""
    version = ""
    if sandbox == "docker":
        label = f'{{{{index .Config.Labels "lambda-home.{family}"}}}}'
        base = f"lambda-home/base-{family}:bookworm"
        version = said("docker", "image", "inspect", "--format", label, base)
        pattern = f"public.ecr.aws/lambda/{family}"
        version = version or said("docker", "images", "--format", "{{.Tag}}", pattern)
    elif family == "nodejs":
        version = said("node", "--version").lstrip("v")
    else:
        version = said("python3", "-c", "import platform; print(platform.python_version())")
    numbers = version.split("\n")[0].split(".")
    if family == "nodejs":
        return f"nodejs{numbers[0]}.x" if numbers[0].isdecimal() else "nodejs22.x"
    return f"python3.{numbers[1]}" if len(numbers) > 1 else "python3.12"


def hardware() -> dict[str, Any]:
    """The machine that the figures come from."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    models = [line.split(":", 1)[1].strip() for line in text.split("\n") if "model name" in line]
    memory = Path("/proc/meminfo").read_text(encoding="utf-8").split()[1]
    return {
        "cpu": models[0] if models else platform.machine(),
        "cores": len(models) or 1,
        "memory_mb": int(memory) // 1024,
        "kernel": platform.release(),
        "docker": docker_version() or "none",
        "python": platform.python_version(),
        "node": said("node", "--version") or "none",
    }


def resident_mb(pid: int) -> float:
    """Resident memory of one process in MB (proc(5), VmRSS)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    line = next(line for line in status.split("\n") if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def pid_of(server: LiveServer) -> int:
    """The server's process."""
    if server.process is None:
        raise RuntimeError("the server does not run")
    return server.process.pid


class MemoryWatch:
    """Samples a process's resident memory until it is closed: (seconds, MB)."""

    def __init__(self, pid: int, every_s: float) -> None:
        self._pid = pid
        self._every_s = every_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.samples: list[tuple[float, float]] = [(0.0, resident_mb(pid))]
        self._start = time.monotonic()
        self._thread.start()

    def _watch(self) -> None:
        while not self._end.wait(self._every_s):
            try:
                sample = resident_mb(self._pid)
            except (OSError, StopIteration):
                return
            self.samples.append((time.monotonic() - self._start, sample))

    def close(self) -> None:
        """End sampling."""
        self._end.set()
        self._thread.join(timeout=10)

    @property
    def growth_mb(self) -> float:
        """From the first sample to the highest."""
        return max(amount for _, amount in self.samples) - self.samples[0][1]


@contextmanager
def watched(pid: int, every_s: float = 0.05) -> Iterator[MemoryWatch]:
    """Sample a process's memory within the block."""
    with closing(MemoryWatch(pid, every_s)) as watch:
        yield watch

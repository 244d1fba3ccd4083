"""Measures lambda_home against the floor, in one run on one machine: `make bench`.

Absolute times differ between machines and days; the ratios to the floor are what counts. Needs wrk
(Debian: apt-get install wrk).
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from live import ROLE, LiveServer, zip_of  # noqa: E402  found by the line above

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

SECONDS = int(os.environ.get("BENCH_SECONDS", "5"))
COLD_RUNS = 10
ENVIRONMENTS = 4
FLOOR_PORT = 7801
PYTHON = "def handler(event, context):\n    return {'message': 'pong'}\n"
NODE = "exports.handler = async () => ({ message: 'pong' });\n"


@dataclass(slots=True)
class Load:
    """One wrk run: latencies in milliseconds."""

    name: str
    callers: int
    n: int
    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(slots=True)
class Cold:
    """First invocations of new functions, in milliseconds."""

    name: str
    n: int
    p50_ms: float
    p99_ms: float


def load(name: str, url: str, callers: int) -> Load:
    """Run wrk with one thread and `callers` connections."""
    command = ["wrk", "-t1", f"-c{callers}", f"-d{SECONDS}s", "-s", str(HERE / "post.lua"), url]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    line = next(line for line in output.splitlines() if line.startswith("RESULT"))
    n, micros, p50, p99, _, errors = (float(value) for value in line.split()[1:])
    return Load(name, callers, int(n), n / micros * 1e6, p50 / 1000, p99 / 1000, int(errors))


@contextmanager
def floor() -> Iterator[str]:
    """The floor server with its runtimes; yields the URL to call."""
    script = str(HERE / "floor.py")
    server = subprocess.Popen([sys.executable, script, str(FLOOR_PORT)])
    clients: list[subprocess.Popen[bytes]] = []
    try:
        url = f"http://127.0.0.1:{FLOOR_PORT}/2015-03-31/functions/ping/invocations"
        _wait_for_port(FLOOR_PORT)
        clients = [
            subprocess.Popen([sys.executable, script, str(FLOOR_PORT), "client"])
            for _ in range(ENVIRONMENTS)
        ]
        _post(url)
        yield url
    finally:
        for process in [*clients, server]:
            process.kill()  # parked polls would keep the server from ending politely
            process.wait()


def _wait_for_port(port: int) -> None:
    import socket  # noqa: PLC0415  used here alone

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError("the floor server did not start")


def _post(url: str) -> None:
    request = urllib.request.Request(url, data=b'{"message":"ping"}', method="POST")
    urllib.request.urlopen(request, timeout=30).read()


def create(client: LambdaClient, name: str, runtime: str) -> None:
    """Create a ping function and wait until it is active."""
    files = {"lambda_function.py": PYTHON} if runtime.startswith("python") else {"index.js": NODE}
    handler = "lambda_function.handler" if runtime.startswith("python") else "index.handler"
    client.create_function(
        FunctionName=name,
        Runtime=runtime,  # type: ignore[arg-type]
        Handler=handler,
        Role=ROLE,
        Code={"ZipFile": zip_of(files)},
    )
    client.get_waiter("function_active_v2").wait(
        FunctionName=name, WaiterConfig={"Delay": 0, "MaxAttempts": 1000}
    )


def measure(sandbox: str, runtime: str) -> tuple[list[Load], Cold]:
    """Warm and cold figures of one runtime in one sandbox."""
    label = f"{sandbox}, {runtime}"
    with LiveServer("--sandbox", sandbox, "--ephemeral") as server:
        client = server.client()
        create(client, "ping", runtime)
        with ThreadPoolExecutor(ENVIRONMENTS) as callers:
            list(callers.map(lambda _: client.invoke(FunctionName="ping"), range(ENVIRONMENTS)))
        url = f"{server.url}/2015-03-31/functions/ping/invocations"
        load(label, url, 16)  # every concurrent caller gets an environment of its own, as on AWS
        loads = [load(label, url, 1), load(label, url, 16)]
        times = []
        for number in range(COLD_RUNS):
            create(client, f"cold{number}", runtime)
            start = time.perf_counter()
            client.invoke(FunctionName=f"cold{number}")
            times.append((time.perf_counter() - start) * 1000)
    return loads, Cold(label, COLD_RUNS, statistics.median(times), max(times))


def main() -> int:
    """Measure, print, and write bench/results.json."""
    if shutil.which("wrk") is None:
        print("bench: wrk is needed (Debian: sudo apt-get install wrk)", file=sys.stderr)
        return 1
    sandboxes = sys.argv[1:] or ["process", "docker"]
    with floor() as url:
        base = [load("floor", url, 1), load("floor", url, 16)]
    loads, colds = list(base), []
    for sandbox in sandboxes:
        for runtime in ("python3.11", "nodejs18.x"):
            warm, cold = measure(sandbox, runtime)
            loads.extend(warm)
            colds.append(cold)
    print(
        f"{'warm':<22}{'callers':>8}{'n':>9}{'/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'errors':>8}  floor"
    )
    for row in loads:
        floor_row = base[0 if row.callers == 1 else 1]
        ratio = (
            f"{row.p50_ms / floor_row.p50_ms:.2f} x p50"
            if row.callers == 1
            else f"{row.per_second / floor_row.per_second:.0%} of /s"
        )
        print(
            f"{row.name:<22}{row.callers:>8}{row.n:>9}{row.per_second:>9.0f}{row.p50_ms:>9.3f}"
            f"{row.p99_ms:>9.3f}{row.errors:>8}  {ratio}"
        )
    print(f"\n{'cold':<22}{'n':>8}{'p50 ms':>9}{'max ms':>9}")
    for cold in colds:
        print(f"{cold.name:<22}{cold.n:>8}{cold.p50_ms:>9.1f}{cold.p99_ms:>9.1f}")
    results = {
        "cpus": os.cpu_count(),
        "warm": [asdict(row) for row in loads],
        "cold": [asdict(c) for c in colds],
    }
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

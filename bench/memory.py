"""Sections `memory` and `start`: what the server takes when idle and under load, and its start."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from live import LiveServer

from bench.figures import Effort, Figure, Outcome, Row, growth_in_an_hour, ratio, times
from bench.servers import (
    Caller,
    Function,
    best_sandbox,
    create,
    function_images_as_before,
    pid_of,
    resident_mb,
    runtime_of,
    sandboxes,
    serving,
    settle,
    watched,
)
from bench.yardsticks import plain_process

_RATE = 500
_CALLERS = 4
_LOAD_S = 60
_STARTS = 5
_IDLE_AFTER_S = 2.0


def memory(effort: Effort, outcome: Outcome) -> None:
    """Resident memory of the server's process: idle, and at 500 invocations a second.

    BENCH_MEMORY_SECONDS=3600 measures a whole hour instead of extrapolating from a minute.
    """
    sandbox = best_sandbox()
    runtime = runtime_of(sandbox, "python")
    seconds = float(os.environ.get("BENCH_MEMORY_SECONDS", effort.count(_LOAD_S)))
    with serving(sandbox) as (server, caller):
        pid = pid_of(server)
        time.sleep(_IDLE_AFTER_S)  # what is still going on after "ready" belongs to idling
        idle = resident_mb(pid)
        outcome.add(
            Row(
                "memory.idle",
                f"idle server, {sandbox}",
                1,
                0,
                (Figure("resident", idle, "MB", compared=True),),
            )
        )
        create(caller, Function("ping", runtime))
        settle(caller)
        warm = _paced(server.url, min(5.0, seconds))
        with watched(pid, every_s=max(0.1, seconds / 600)) as watch:
            load = _paced(server.url, seconds)
    samples = watch.samples
    middle = [amount for _, amount in samples]
    outcome.add(
        Row(
            "memory.load",
            f"{_RATE}/s for {seconds:.0f} s, {sandbox}, {runtime}",
            len(load.seconds),
            load.errors + warm.errors,
            (
                *times(load.seconds),
                Figure("rate", len(load.seconds) / load.lasted_s, "/s", "higher"),
                Figure("resident", statistics.median(middle), "MB"),
                Figure("growth", (middle[-1] / middle[0] - 1) * 100, "%"),
                Figure("growth in an hour", growth_in_an_hour(samples), "%"),
            ),
        )
    )


class _Paced:
    """What callers at a fixed rate have seen."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.errors = 0
        self.lasted_s = 0.0
        self.lock = threading.Lock()


def _paced(url: str, seconds: float) -> _Paced:
    """Invoke `ping` at 500/s. A caller that falls behind goes on at once, and drops nothing."""
    seen = _Paced()
    start = time.perf_counter()

    def call(number: int) -> None:
        step = _CALLERS / _RATE
        due = start + number * step / _CALLERS
        with Caller(url) as caller:
            while due < start + seconds:
                time.sleep(max(0.0, due - time.perf_counter()))
                answer = caller.invoke("ping")
                with seen.lock:
                    seen.seconds.append(answer.seconds)
                    seen.errors += not answer.is_pong
                due += step
                if time.perf_counter() > start + 2 * seconds + 30:
                    raise TimeoutError(f"{_RATE}/s cannot be reached")

    with ThreadPoolExecutor(_CALLERS) as pool:
        list(pool.map(call, range(_CALLERS)))
    seen.lasted_s = time.perf_counter() - start
    return seen


def starting(effort: Effort, outcome: Outcome) -> None:
    """Seconds to ready: on an empty data directory, and again on the same one, with a function."""
    with function_images_as_before():
        _starts(effort.count(_STARTS), outcome)


def _starts(n: int, outcome: Outcome) -> None:
    for sandbox in sandboxes():
        first, second, plain = [], [], []
        for _ in range(n):
            with tempfile.TemporaryDirectory(prefix="lambda-home-bench-") as folder:
                data = Path(folder) / "data"
                runtime = runtime_of(sandbox, "python")
                first.append(_start(sandbox, data, partial(_make, runtime)))
                second.append(_start(sandbox, data, _unmake))
            plain.append(plain_process("python"))
        base = statistics.median(plain)
        for name, seconds in (("first", first), ("second", second)):
            middle = statistics.median(seconds)
            outcome.add(
                Row(
                    f"start.{sandbox}.{name}",
                    f"{name} start on one data directory, {sandbox}",
                    n,
                    0,
                    (*times(seconds), ratio("of a plain process", middle, base)),
                )
            )


def _start(sandbox: str, data: Path, use: Callable[[str], None]) -> float:
    begin = time.perf_counter()
    with LiveServer("--sandbox", sandbox, "--data-dir", str(data)) as server:
        seconds = time.perf_counter() - begin
        use(server.url)
    return seconds


def _make(runtime: str, url: str) -> None:
    with Caller(url) as caller:
        create(caller, Function("ping", runtime))
        caller.invoke("ping")


def _unmake(url: str) -> None:
    """The function must still be there; then it goes, with what was made of it."""
    with Caller(url) as caller:
        if not caller.invoke("ping").is_pong:
            raise RuntimeError("the function did not survive the restart")
        caller.request("DELETE", "/2015-03-31/functions/ping")

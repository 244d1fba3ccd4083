"""Section `primes`: the method by which Lambda@Home measures itself, for whoever compares.

A function counts primes, with several sizes of work and memory. Warm: three calls that do not
count, then ten that do, one after the other. Cold: the environment is stopped from outside
(`docker stop`; for a process a signal) once more before each call; Lambda@Home waits 15 s after
that, here the server is asked until it knows.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

from live import LiveServer
from observing import containers

from bench.figures import Effort, Figure, Outcome, Row, times
from bench.servers import (
    Caller,
    Function,
    best_sandbox,
    create,
    runtime_of,
    said,
    serving,
    settle,
    until,
)

_WARM_UPS, _TIMED, _STOPS = 3, 10, 5
_SIZES = ((100, 1024), (1_000, 1024), (10_000, 1024), (10_000, 512))
_OK = 200
_SOURCE = """
exports.handler = async (event) => {
  const primes = [];
  for (let n = 2; primes.length < event.count; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) { prime = false; break; }
    if (prime) primes.push(n);
  }
  return {count: primes.length, last: primes[primes.length - 1], pid: process.pid};
};
"""
_LAST = {100: 541, 1_000: 7_919, 10_000: 104_729}


class Primes:
    """Calls one function and times what is right."""

    def __init__(self, caller: Caller, name: str, count: int) -> None:
        self._caller, self._name, self._count = caller, name, count
        self.errors = 0

    def call(self) -> float:
        """Seconds of one call; an answer that is wrong is counted."""
        started = time.perf_counter()
        answer = self._caller.invoke(self._name, json.dumps({"count": self._count}).encode())
        seconds = time.perf_counter() - started
        right = answer.status == _OK and json.loads(answer.body).get("last") == _LAST[self._count]
        self.errors += not right
        return seconds


def primes(effort: Effort, outcome: Outcome) -> None:
    """Measure as Lambda@Home does."""
    sandbox = best_sandbox()
    runtime = runtime_of(sandbox, "nodejs")
    for spares in ("with", "without"):
        beside = {} if spares == "with" else {"LAMBDA_HOME_SPARES__PER_SIZE": "0"}
        with serving(sandbox, beside) as (server, caller):
            for count, memory_mb in _SIZES:
                name = f"primes-{count}-{memory_mb}"
                create(caller, Function(name, runtime, source=_SOURCE, memory_mb=memory_mb))
                settle(caller)
                one, label = Primes(caller, name, count), f"{count} primes, {memory_mb} MB"
                for _ in range(_WARM_UPS):
                    one.call()
                warm = [one.call() for _ in range(effort.count(_TIMED))]
                if spares == "with":
                    _row(outcome, f"primes.warm.{count}.{memory_mb}",
                         f"warm, {label}, {sandbox}, {runtime}", warm, one.errors)  # fmt: skip
                stopped = _stopper(server, sandbox, name)
                cold = []
                for _ in range(effort.count(_STOPS)):
                    stopped()
                    settle(caller)
                    cold.append(one.call())
                _row(outcome, f"primes.cold.{spares}.{count}.{memory_mb}",
                     f"stopped before, {spares} spares, {label}, {sandbox}, {runtime}",
                     cold, one.errors)  # fmt: skip


def _row(outcome: Outcome, key: str, label: str, seconds: list[float], errors: int) -> None:
    figures: tuple[Figure, ...] = times(seconds)
    outcome.add(Row(key, label, len(seconds), errors, figures))


def _stopper(server: LiveServer, sandbox: str, name: str) -> Callable[[], None]:
    def of_docker() -> list[str]:
        found = containers(server, f"label=lambda-home.function={name}")
        return [each["ID"] for each in found]

    def of_processes() -> list[str]:
        return said("pgrep", "-f", f"AWS_LAMBDA_FUNCTION_NAME.{name}\\b").split()

    def stop() -> None:
        if sandbox == "docker":
            for found in of_docker():
                said("docker", "stop", "--time", "0", found)
            until(lambda: not of_docker(), f"{name} was not stopped")
        else:
            for found in of_processes():
                os.kill(int(found), signal.SIGKILL)
            until(lambda: not of_processes(), f"{name} was not stopped")

    return stop

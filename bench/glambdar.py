"""Section `glambdar`: the method by which Glambdar measures itself, for whoever compares.

`ab -n 1000 -c 10` without keep-alive, and 100 calls one after the other without keep-alive; the
same is done to the floor.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import tempfile
import urllib.error
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Effort, Figure, Outcome, Row, ratio, times
from bench.servers import (
    PING,
    Function,
    best_sandbox,
    create,
    invocations,
    runtime_of,
    serving,
    settle,
)
from bench.yardsticks import floor, post_alone

_REQUESTS = 1000
_CALLERS = 10
_SEQUENTIAL = 100
_DEADLINE_S = 120


@dataclass(frozen=True, slots=True)
class AbRun:
    """What ab prints."""

    n: int
    errors: int
    per_second: float
    p50_ms: float
    p99_ms: float


def parse_ab(output: str) -> AbRun:
    """Read ab's report. Percentiles are whole milliseconds: ab has no finer ones."""
    complete = _number(r"Complete requests:\s+(\d+)", output)
    wrong = _number(r"Failed requests:\s+(\d+)", output)
    refused = re.search(r"Non-2xx responses:\s+(\d+)", output)
    return AbRun(
        int(complete),
        int(wrong) + (int(refused[1]) if refused else 0),
        _number(r"Requests per second:\s+([\d.]+)", output),
        _number(r"^\s+50%\s+(\d+)", output),
        _number(r"^\s+99%\s+(\d+)", output),
    )


def _number(pattern: str, output: str) -> float:
    found = re.search(pattern, output, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"ab printed no {pattern!r}:\n{output}")
    return float(found[1])


def glambdar(effort: Effort, outcome: Outcome) -> None:
    """Measure as Glambdar does."""
    sandbox = best_sandbox()
    runtime = runtime_of(sandbox, "python")
    with floor() as url:
        base_ab, base_alone = _ab(effort, url), _alone(effort, url)
    with serving(sandbox) as (server, caller):
        create(caller, Function("ping", runtime))
        settle(caller)
        url = server.url + invocations("ping")
        _alone(effort, url)
        _ab(effort, url)  # Glambdar's callers find warm containers, too
        ours_ab, ours_alone = _ab(effort, url), _alone(effort, url)
    how = f"{sandbox}, {runtime}, no keep-alive"
    if ours_ab is None or base_ab is None:
        outcome.skipped.append("glambdar: no ab here (Debian: apt-get install apache2-utils)")
    else:
        figures = (
            Figure("p50", ours_ab.p50_ms, "ms"),
            Figure("p99", ours_ab.p99_ms, "ms"),
            Figure("rate", ours_ab.per_second, "/s", "higher"),
            ratio("of floor rate", ours_ab.per_second, base_ab.per_second, "higher"),
        )
        label = f"ab -n {_REQUESTS} -c {_CALLERS}, {how}"
        outcome.add(Row("glambdar.ab", label, ours_ab.n, ours_ab.errors, figures))
    seconds, errors = ours_alone
    base = statistics.median(base_alone[0])
    outcome.add(
        Row(
            "glambdar.sequential",
            f"one after the other, {how}",
            len(seconds),
            errors,
            (*times(seconds), ratio("of floor p50", statistics.median(seconds), base)),
        )
    )


def _ab(effort: Effort, url: str) -> AbRun | None:
    program = shutil.which("ab")
    if program is None:
        return None
    n = str(effort.count(_REQUESTS))
    with tempfile.TemporaryDirectory(prefix="lambda-home-bench-") as folder:
        body = Path(folder) / "body"
        body.write_bytes(PING)
        command = [program, "-q", "-n", n, "-c", str(_CALLERS), "-p", str(body)]
        command += ["-T", "application/json", url]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_DEADLINE_S
        )
    return parse_ab(done.stdout)


def _alone(effort: Effort, url: str) -> tuple[list[float], int]:
    seconds, errors = [], 0
    for _ in range(effort.count(_SEQUENTIAL)):
        try:
            seconds.append(post_alone(url))
        except urllib.error.URLError:
            errors += 1
    return seconds, errors

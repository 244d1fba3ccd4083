"""Section `async`: how fast events are accepted, durably, and that every accepted one ran.

wrk writes down the request id of each 202; a function's log has one REPORT line for each invocation
that has ended. What was accepted and never reported is lost.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path

from bench.figures import Effort, Figure, Outcome, Row, ratio
from bench.servers import Function, best_sandbox, create, invocations, runtime_of, serving, until
from bench.yardsticks import floor, wrk

_CALLERS = 16
_DRAIN_S = 180
_REPORT = re.compile(r"REPORT RequestId: ([0-9a-f-]{36})")


def asynchronous(effort: Effort, outcome: Outcome) -> None:
    """Event invokes by 16 callers, then wait until all have run."""
    sandbox = best_sandbox()
    runtime = runtime_of(sandbox, "python")
    with floor() as url:
        base = wrk(url, _CALLERS, effort.seconds)
    with (
        tempfile.TemporaryDirectory(prefix="lambda-home-bench-") as folder,
        serving(sandbox, {"LAMBDA_HOME_DATA__LOG_MAX_MB": "1024"}) as (server, caller),
    ):
        create(caller, Function("ping", runtime))
        caller.invoke("ping")
        file = Path(folder) / "accepted"
        url = server.url + invocations("ping")
        load = wrk(url, _CALLERS, effort.seconds, "event.lua", str(file))
        accepted = set(file.read_text(encoding="utf-8").split())
        log = LogTail(server.data_dir / "logs/000000000000/us-east-1/aws/lambda/ping.log")
        try:
            until(lambda: log.has_all(accepted), "events are still to run", _DRAIN_S, step_s=0.2)
        except TimeoutError:
            outcome.failed.append(f"async: not all events had run after {_DRAIN_S} s")
    lost = len(accepted - set(log.reported))
    again = sum(log.reported[name] - 1 for name in accepted & set(log.reported))
    outcome.add(
        Row(
            f"async.{_CALLERS}",
            f"durable async accept, {sandbox}, {runtime}, {_CALLERS} callers",
            load.n,
            load.errors,
            (
                Figure("p50", load.p50_ms, "ms"),
                Figure("p99", load.p99_ms, "ms"),
                Figure("rate", load.per_second, "/s", "higher"),
                ratio("of floor rate", load.per_second, base.per_second, "higher"),
                Figure("accepted", len(accepted), "", "higher"),
                Figure("lost", lost, ""),
                Figure("run again", again, ""),
            ),
        )
    )


class LogTail:
    """Request ids of the REPORT lines of a log that grows; reads each part of it once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._rest = ""
        self.reported: Counter[str] = Counter()

    def has_all(self, wanted: set[str]) -> bool:
        """Read what is new; whether every wanted request has been reported."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._at)
                new = file.read()
            self._at += len(new)
            self._rest += new.decode("utf-8", "replace")
            whole, _, self._rest = self._rest.rpartition("\n")
            self.reported.update(_REPORT.findall(whole))
        return wanted <= self.reported.keys()

"""Section `logs`: what logging costs the warm path, whether lines are lost, pages of many events.

Twenty functions log a thousand lines a second each while one caller invokes another function; every
line is numbered and looked for afterwards. Pages are read from a store of a million events, in this
process: no network is measured. Ratios are to the same load without logging.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from live import LiveServer

from bench.figures import Effort, Figure, Outcome, Row, percentile, ratio
from bench.servers import (
    Caller,
    Function,
    best_sandbox,
    create,
    invocations,
    runtime_of,
    serving,
    settle,
    until,
)
from bench.yardsticks import wrk
from lambda_home.arns import Scope
from lambda_home.logs import LogLimits, LogStore, LogText
from lambda_home.logs.events import EventQuery
from lambda_home.logs.filters import parse_pattern

_FUNCTIONS = 20
_LINES_PER_S = 1000
_EVENTS = 1_000_000
_STREAMS = 20
_RARE = 50_000
_READS = 20
_OK = 200
_HERE = Scope("000000000000", "us-east-1")
_GROUP = "/aws/lambda/bench"
_AT = 1_700_000_000
_SOURCE = f"""
import time
def handler(event, context):
    start, written = time.monotonic(), 0
    while written < event["lines"]:
        due = min(event["lines"], int((time.monotonic() - start) * {_LINES_PER_S}))
        for number in range(written, due):
            print("line", number, "of a function that has something to say")
        written = max(written, due)
        time.sleep(0.01)
"""


def logs(effort: Effort, outcome: Outcome) -> None:
    """The warm path beside loggers, then pages of a million events."""
    sandbox = best_sandbox()
    runtime = runtime_of(sandbox, "python")
    with serving(sandbox, {"LAMBDA_HOME_DATA__LOG_MAX_MB": "1024"}) as (server, caller):
        create(caller, Function("ping", runtime))
        names = [f"logger-{number}" for number in range(_FUNCTIONS)]
        for name in names:
            create(caller, Function(name, runtime, source=_SOURCE, timeout_s=120))
        _beside_loggers(effort, outcome, (server, caller), names, sandbox)
    with tempfile.TemporaryDirectory(prefix="lambda-home-bench-") as folder:
        _pages(effort, outcome, Path(folder))


def _beside_loggers(
    effort: Effort,
    outcome: Outcome,
    at: tuple[LiveServer, Caller],
    names: list[str],
    sandbox: str,
) -> None:
    server, caller = at
    url = server.url + invocations("ping")
    with ThreadPoolExecutor(_FUNCTIONS) as pool:
        if not all(pool.map(lambda name: _log(server, name, 1), names)):
            outcome.failed.append("logs: a function could not be called")
        wrk(url, 1, 1)
        settle(caller)
        quiet = wrk(url, 1, effort.seconds)
        lines = int((effort.seconds + 2) * _LINES_PER_S)
        running = [pool.submit(_log, server, name, lines) for name in names]
        time.sleep(1)
        beside = wrk(url, 1, effort.seconds)
        failures = sum(not each.result() for each in running)
    wanted = {f"line {n} of a function that has something to say" for n in range(lines)}
    lost = sum(_lost(caller, name, wanted) for name in names)
    outcome.add(
        Row(
            "logs.warm",
            f"warm beside {_FUNCTIONS} functions that log {_LINES_PER_S} lines/s each, {sandbox}",
            beside.n,
            beside.errors + failures,
            (
                Figure("p50", beside.p50_ms, "ms"),
                Figure("p99", beside.p99_ms, "ms"),
                ratio("p50 of that without logging", beside.p50_ms, quiet.p50_ms),
                Figure("lines", lines * _FUNCTIONS, "", "higher"),
                Figure("lost", lost, ""),
            ),
        )
    )


def _log(server: LiveServer, name: str, lines: int) -> bool:
    with Caller(server.url) as caller:
        return caller.invoke(name, json.dumps({"lines": lines}).encode()).status == _OK


def _lost(caller: Caller, name: str, wanted: set[str]) -> int:
    """How many of the lines of a function's last call are not in its log."""
    missing = set(wanted)

    def complete() -> bool:
        missing.clear()
        missing.update(wanted)
        before = ""
        while missing:
            path = f"/api/admin/logs/{name}?limit=10000&before={before}"
            page = json.loads(caller.request("GET", path).body)
            missing.difference_update(event["message"] for event in page["events"])
            before = page["more"]
            if before is None:
                break
        return not missing

    try:
        until(complete, "lines are still to come", 5)
    except TimeoutError:
        return len(missing)
    return 0


def _pages(effort: Effort, outcome: Outcome, folder: Path) -> None:
    events = effort.count(_EVENTS, least=_RARE * 2)
    store = LogStore(folder / "logs.db", LogLimits(group_bytes=1 << 30, store_bytes=1 << 31))
    try:
        started = time.perf_counter()
        for number in range(events):
            text = "ERROR of a rare kind" if number % _RARE == _RARE // 2 else "all is well"
            message = json.dumps({"level": "INFO", "n": number, "message": f"{text}, {number}"})
            stream, request_id = f"stream-{number % _STREAMS}", f"request-{number // 10:030}"
            at = _AT + number / 1000
            store.append(LogText(_HERE, _GROUP, stream, at, message.encode(), request_id))
            if number % 10_000 == 0:
                store.flush()
        store.flush()
        per_second = events / (time.perf_counter() - started)
        first_ms = _AT * 1000
        queries = {
            "rare term": EventQuery(pattern=parse_pattern("ERROR"), limit=10),
            "JSON": EventQuery(pattern=parse_pattern("{ $.n > 3 && $.level = INFO }"), limit=1000),
            "JSON without a hit": EventQuery(pattern=parse_pattern("{ $.n < 0 }"), limit=1000),
            "newest": EventQuery(backwards=True, limit=1000),
            "one second": EventQuery(
                start_ms=first_ms + events // 2, end_ms=first_ms + events // 2 + 1000
            ),
            "one request": EventQuery(
                request_id=f"request-{events // 20:030}", start_ms=first_ms + events // 2 - 60_000
            ),
        }
        for name, query in queries.items():
            times = [_timed(lambda q=query: store.events(_HERE, _GROUP, q)) for _ in range(_READS)]  # type: ignore[misc]
            outcome.add(
                Row(
                    f"logs.page.{name.replace(' ', '-')}",
                    f"a page of {events:,} log events: {name}",
                    _READS,
                    0,
                    (
                        Figure("p50", percentile(times, 50) * 1000, "ms"),
                        Figure("p99", percentile(times, 99) * 1000, "ms"),
                    ),
                )
            )
        size_mb = (folder / "logs.db").stat().st_size / 1024**2
        outcome.add(
            Row(
                "logs.written",
                f"{events:,} log events appended and written",
                events,
                store.dropped,
                (Figure("rate", per_second, "/s", "higher"), Figure("file", size_mb, "MB")),
            )
        )
    finally:
        store.close()


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started

"""Sections `cold`, `burst` and `create`: first answers of new functions.

Every function has code of its own, so nothing that one has made serves another. The time is that of
the first Invoke, on a connection that is open already, until the whole answer is there.
"""

from __future__ import annotations

import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from bench.figures import Effort, Figure, Outcome, Row, SkippedError, ratio, times
from bench.servers import (
    FAMILIES,
    Caller,
    Function,
    create,
    delete,
    runtime_of,
    sandboxes,
    serving,
    settle,
    spares,
    wait_for_spares,
    wait_until_active,
    without_spares,
)
from bench.yardsticks import PlainDocker, plain_docker, plain_process, plain_start

_SAMPLES = 30
_AT_ONCE = 50
_CREATIONS = 20
_KEPT = 10  # environments that may idle beside the next cold start


def cold(effort: Effort, outcome: Outcome) -> None:
    """With a spare, without one, and the plain start of the same run."""
    for sandbox in sandboxes():
        for family in FAMILIES:
            try:
                _with_spare(effort, outcome, sandbox, family)
            except SkippedError as why:
                outcome.skipped.append(f"cold with a spare, {sandbox}, {family}: {why}")
            _without_spare(effort, outcome, sandbox, family)


def _with_spare(effort: Effort, outcome: Outcome, sandbox: str, family: str) -> None:
    runtime = runtime_of(sandbox, family)
    with serving(sandbox) as (_, caller):
        if spares(caller) is None:
            raise SkippedError("this server keeps no spares (GET /api/admin/spares)")
        first = First(caller, runtime)
        first.measure(wait=True)  # what the whole server does once is not a function's cold start
        first.forget()
        for _ in range(effort.count(_SAMPLES)):
            first.measure(wait=True)
        settle(caller)
        plain = plain_start(sandbox, runtime, effort)
    figures = times(first.seconds)
    outcome.add(
        Row(
            f"cold.spare.{sandbox}.{family}",
            f"cold with a spare, {sandbox}, {runtime}",
            len(first.seconds),
            first.errors,
            (*figures, ratio(_plain_name(sandbox), figures[0].value, plain * 1000)),
        )
    )


def _without_spare(effort: Effort, outcome: Outcome, sandbox: str, family: str) -> None:
    runtime = runtime_of(sandbox, family)
    plain: list[float] = []
    with ExitStack() as stack:
        _, caller = stack.enter_context(serving(sandbox, without_spares()))
        first = First(caller, runtime)
        first.measure(wait=False)
        first.forget()
        yardstick: PlainDocker | None = None
        if sandbox == "docker":
            yardstick = stack.enter_context(plain_docker(runtime))
        for _ in range(effort.count(_SAMPLES)):
            first.measure(wait=False)
            plain.append(yardstick.run() if yardstick else plain_process(family))
    figures, plain_figures = times(first.seconds), times(plain)
    said = "docker run" if sandbox == "docker" else "plain process"
    how = "create, attach, start, first output by docker-py" if yardstick else "to first output"
    outcome.add(
        Row(f"plain.{sandbox}.{family}", f"{said}, {runtime} ({how})", len(plain), 0, plain_figures)
    )
    outcome.add(
        Row(
            f"cold.bare.{sandbox}.{family}",
            f"cold without a spare, {sandbox}, {runtime}",
            len(first.seconds),
            first.errors,
            (*figures, ratio(_plain_name(sandbox), figures[0].value, plain_figures[0].value)),
        )
    )


def _plain_name(sandbox: str) -> str:
    return "of docker run" if sandbox == "docker" else "of a plain process"


class First:
    """Measures first answers of one new function after another."""

    def __init__(self, caller: Caller, runtime: str) -> None:
        self._caller = caller
        self._runtime = runtime
        self._made: list[str] = []
        self._number = 0
        self.seconds: list[float] = []
        self.errors = 0

    def measure(self, *, wait: bool) -> None:
        """Create a function, wait until it is active (and for spares), and invoke it."""
        self._number += 1
        name = f"cold{self._number}"
        create(self._caller, Function(name, self._runtime))
        if wait:
            wait_for_spares(self._caller)
        answer = self._caller.invoke(name)
        self.seconds.append(answer.seconds)
        self.errors += not answer.is_pong
        self._made.append(name)
        if len(self._made) >= _KEPT:
            for made in self._made:
                delete(self._caller, made)
            self._made.clear()

    def forget(self) -> None:
        """Leave out what was measured so far (not its errors)."""
        self.seconds.clear()


# ----------------------------------------------------------------------------------- many at once


def burst(effort: Effort, outcome: Outcome) -> None:
    """50 functions cold at once, created before; each caller has a connection of its own."""
    for sandbox in sandboxes():
        runtime = runtime_of(sandbox, "python")
        n = effort.count(_AT_ONCE)
        names = [f"burst{number}" for number in range(n)]
        with serving(sandbox) as (server, caller):
            for name in names:
                create(caller, Function(name, runtime))
            settle(caller)
            answers, total = _all_at_once(server.url, names)
            settle(caller)
            plain = plain_start(sandbox, runtime, effort)
        outcome.add(
            Row(
                f"burst.{sandbox}",
                f"{n} functions cold at once, {sandbox}, {runtime}",
                n,
                answers.count(None),
                (
                    *times([answer for answer in answers if answer is not None] or [total]),
                    Figure("total", total, "s"),
                    ratio(_plain_name(sandbox), total, plain),
                ),
            )
        )


def _all_at_once(url: str, names: list[str]) -> tuple[list[float | None], float]:
    """Seconds of each first answer (None for a wrong one), and from the first call to the last."""
    ready = threading.Barrier(len(names) + 1, timeout=60)

    def invoke(name: str) -> float | None:
        with Caller(url) as caller:
            ready.wait()
            answer = caller.invoke(name)
            return answer.seconds if answer.is_pong else None

    with ThreadPoolExecutor(len(names)) as pool:
        waiting = [pool.submit(invoke, name) for name in names]
        ready.wait()
        start = time.perf_counter()
        answers = [one.result(timeout=120) for one in waiting]
        total = time.perf_counter() - start
    return answers, total


# ------------------------------------------------------------------------------------- creation


def creation(effort: Effort, outcome: Outcome) -> None:
    """CreateFunction of a small ZIP, GetFunction until it is active, the first answer."""
    for sandbox in sandboxes():
        runtime = runtime_of(sandbox, "python")
        seconds, errors = [], 0
        with serving(sandbox) as (_, caller):
            create(caller, Function("before", runtime))
            for number in range(effort.count(_CREATIONS)):
                settle(caller)
                name = f"new{number}"
                body = Function(name, runtime).request()
                start = time.perf_counter()
                caller.request("POST", "/2015-03-31/functions", body)
                wait_until_active(caller, name)
                errors += not caller.invoke(name).is_pong
                seconds.append(time.perf_counter() - start)
            settle(caller)
            plain = plain_start(sandbox, runtime, effort)
        outcome.add(
            Row(
                f"create.{sandbox}",
                f"create to first answer, {sandbox}, {runtime}",
                len(seconds),
                errors,
                (
                    *times(seconds),
                    ratio(_plain_name(sandbox), statistics.median(seconds), plain),
                ),
            )
        )

"""Sections `warm` and `soak`: the warm path under load, as a ratio to the floor beside it."""

from __future__ import annotations

import time

from live import LiveServer

from bench.figures import Effort, Figure, Outcome, Row, ratio
from bench.servers import (
    FAMILIES,
    Caller,
    Function,
    best_sandbox,
    create,
    invocations,
    runtime_of,
    sandboxes,
    serving,
    settle,
    why_not,
)
from bench.yardsticks import Load, floor, wrk

_CALLERS = 16
_WARM_UPS = 8
_WARM_UP_S = 2
_SETTLED = 0.1
_NO_START = 10  # p99 / p50: a cold start takes far longer than that many answers
_SOAK = 100_000
_SOAK_DEADLINE_S = 240


def warm(effort: Effort, outcome: Outcome) -> None:
    """The floor and ours, 1 and 16 callers: each of ours right beside a floor of its own."""
    floors: dict[int, list[Load]] = {1: [], _CALLERS: []}
    with floor() as floor_url:
        for sandbox in sandboxes():
            for family in FAMILIES:
                _one_runtime(effort, outcome, sandbox, family, (floor_url, floors))
        if not sandboxes():
            for callers, loads in floors.items():
                loads.append(wrk(floor_url, callers, effort.seconds))
    outcome.skipped += [
        f"warm, {kind}: {why_not(kind)}" for kind in ("docker", "process") if why_not(kind)
    ]
    for callers, loads in floors.items():
        middle = sorted(loads, key=lambda load: load.p50_ms)[len(loads) // 2]
        label = f"floor (bare ASGI), {_said(callers)}, median of {len(loads)}"
        outcome.rows.insert(0 if callers == 1 else 1, middle.row(f"floor.{callers}", label))


def _one_runtime(
    effort: Effort,
    outcome: Outcome,
    sandbox: str,
    family: str,
    beside: tuple[str, dict[int, list[Load]]],
) -> None:
    floor_url, floors = beside
    runtime = runtime_of(sandbox, family)
    with serving(sandbox) as (server, caller):
        url = _ping(server, caller, runtime)
        for callers in floors:
            base = wrk(floor_url, callers, effort.seconds)
            floors[callers].append(base)
            _warm_up(url, callers)
            settle(caller)
            load = wrk(url, callers, effort.seconds)
            outcome.add(
                load.row(
                    f"warm.{sandbox}.{family}.{callers}",
                    f"warm, {sandbox}, {runtime}, {_said(callers)}",
                    _against(load, base, callers),
                )
            )


def _warm_up(url: str, callers: int) -> None:
    """Load until every caller's environment has started; starts slow everything down.

    They are over when the rate has settled and no call waits for one any more.
    """
    before = 0.0
    for _ in range(1 if callers == 1 else _WARM_UPS):
        load = wrk(url, callers, _WARM_UP_S)
        settled = abs(load.per_second - before) < _SETTLED * load.per_second
        if settled and load.p99_ms < _NO_START * load.p50_ms:
            return
        before = load.per_second


def _against(load: Load, base: Load, callers: int) -> Figure:
    if callers == 1:
        return ratio("of floor p50", load.p50_ms, base.p50_ms)
    return ratio("of floor rate", load.per_second, base.per_second, "higher")


def _ping(server: LiveServer, caller: Caller, runtime: str) -> str:
    create(caller, Function("ping", runtime))
    settle(caller)
    first = caller.invoke("ping")
    if not first.is_pong:
        raise RuntimeError(f"{runtime} answered {first.status} {first.body[:300]!r}")
    return server.url + invocations("ping")


def soak(effort: Effort, outcome: Outcome) -> None:
    """100,000 invocations by 16 callers; every answer is looked at."""
    sandbox = best_sandbox()
    runtime = runtime_of(sandbox, "python")
    wanted = effort.count(_SOAK)
    loads: list[Load] = []
    with serving(sandbox) as (server, caller):
        url = _ping(server, caller, runtime)
        start = time.monotonic()
        while sum(load.n for load in loads) < wanted:
            if time.monotonic() - start > _SOAK_DEADLINE_S:
                raise TimeoutError(f"{wanted} invocations took more than {_SOAK_DEADLINE_S} s")
            loads.append(wrk(url, _CALLERS, effort.seconds, "checked.lua"))
    middle = sorted(loads, key=lambda load: load.per_second)[len(loads) // 2]
    outcome.add(
        Row(
            f"soak.{sandbox}.python.{_CALLERS}",
            f"every answer looked at, {sandbox}, {runtime}, {_said(_CALLERS)}",
            sum(load.n for load in loads),
            sum(load.errors for load in loads),
            (Figure("rate", middle.per_second, "/s", "higher"),),
        )
    )


def _said(callers: int) -> str:
    return "1 caller" if callers == 1 else f"{callers} callers"

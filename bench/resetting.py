"""Section `reset`: how long emptying a server between two tests takes (POST /api/admin/reset)."""

from __future__ import annotations

import time

from bench.figures import Effort, Outcome, Row, times
from bench.servers import Caller, Function, best_sandbox, create, runtime_of, serving, settle

_RESETS = 20
_FUNCTIONS = 10
_OK = 200


def reset(effort: Effort, outcome: Outcome) -> None:
    """Ten functions are made and called before each."""
    sandbox = best_sandbox()
    runtime = runtime_of(sandbox, "python")
    seconds, errors = [], 0
    with serving(sandbox) as (_, caller):
        for number in range(effort.count(_RESETS)):
            _fill(caller, runtime, number)
            settle(caller)
            started = time.perf_counter()
            answer = caller.request("POST", "/api/admin/reset")
            seconds.append(time.perf_counter() - started)
            errors += answer.status != _OK
    label = f"reset of {_FUNCTIONS} functions that were called, {sandbox}"
    outcome.add(Row("reset", label, len(seconds), errors, times(seconds)))


def _fill(caller: Caller, runtime: str, number: int) -> None:
    for each in range(_FUNCTIONS):
        name = f"of-test-{number}-{each}"
        create(caller, Function(name, runtime))
        caller.invoke(name)

"""Section `front`: what the ways in cost, beside a plain warm invoke in the same seconds.

A route of the path proxy, a function URL and a verified signature each do work that a plain invoke
does not. Loads of both kinds alternate, and the median of the differences is what is added.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from functions_under_test import create as make
from signing import client, locked_server, signed

from bench.figures import Effort, Figure, Outcome, ratio
from bench.servers import (
    PING,
    Caller,
    Function,
    best_sandbox,
    create,
    invocations,
    runtime_of,
    serving,
    settle,
)
from bench.yardsticks import Load, wrk

_PAIRS = 5
_CREATED = 201
SOURCE = "def handler(event, context):\n    return {'message': 'pong'}\n"

Way = Callable[[], Load]


def front(effort: Effort, outcome: Outcome) -> None:
    """A route, a function URL and a signature against a plain invoke, one caller."""
    sandbox = best_sandbox()
    runtime = runtime_of(sandbox, "python")
    seconds = max(1.0, effort.seconds / 2)
    with serving(sandbox) as (server, caller):
        create(caller, Function("ping", runtime))
        settle(caller)
        plain = server.url + invocations("ping")
        routed = server.url + _route(caller)
        address = _function_url(caller)
        ways: dict[str, tuple[str, Way]] = {
            "route": ("a route of the path proxy", lambda: wrk(routed, 1, seconds)),
            "url": (
                "a function URL",
                lambda: wrk(server.url + "/", 1, seconds, "post.lua", f"Host: {address}"),
            ),
        }
        for key, (label, way) in ways.items():
            _compare(outcome, f"front.{key}", label, lambda: wrk(plain, 1, seconds), way)
    _signatures(effort, outcome, sandbox, runtime)


def _signatures(effort: Effort, outcome: Outcome, sandbox: str, runtime: str) -> None:
    """Invokes whose signature a server verifies against those of a server that verifies none."""
    seconds = max(1.0, effort.seconds / 2)
    with (
        tempfile.TemporaryDirectory() as folder,
        locked_server(Path(folder), sandbox) as (locked, key),
        serving(sandbox) as (server, caller),
    ):
        create(caller, Function("ping", runtime))
        lambda_ = client(locked, key)
        make(lambda_, SOURCE, "ping", Runtime=runtime)
        settle(caller)
        headers = signed(locked, key, "POST", invocations("ping"), PING).headers
        words = [f"{name}: {headers[name]}" for name in ("Authorization", "X-Amz-Date")]
        _compare(
            outcome,
            "front.signed",
            "a signature that is verified",
            lambda: wrk(server.url + invocations("ping"), 1, seconds),
            lambda: wrk(locked.url + invocations("ping"), 1, seconds, "post.lua", *words),
        )


def _compare(outcome: Outcome, key: str, label: str, plain: Way, other: Way) -> None:
    plain(), other()
    pairs = [(plain(), other()) for _ in range(_PAIRS)]
    added = statistics.median(after.p50_ms - before.p50_ms for before, after in pairs)
    base = statistics.median(before.p50_ms for before, _ in pairs)
    middle = sorted((after for _, after in pairs), key=lambda load: load.p50_ms)[_PAIRS // 2]
    outcome.add(
        middle.row(
            key,
            f"warm, 1 caller, through {label}",
            Figure("added", added, "ms"),
            ratio("of plain p50", middle.p50_ms, base),
        )
    )


def _route(caller: Caller) -> str:
    body = {"path": "/bench", "method": "POST", "function_name": "ping", "payload_format": "2.0"}
    made = caller.request("POST", "/api/admin/api-gateway/routes", json.dumps(body).encode())
    if made.status != _CREATED:
        raise RuntimeError(f"no route was made: {made.status} {made.body[:200]!r}")
    return "/bench"


def _function_url(caller: Caller) -> str:
    """Give `ping` a URL that anybody may use; answers its host and port."""
    path = "/2021-10-31/functions/ping/url"
    made = caller.request("POST", path, b'{"AuthType": "NONE"}')
    statements: dict[str, dict[str, object]] = {
        "url": {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
        "invoke": {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
    }
    for sid, given in statements.items():
        document = {"StatementId": sid, "Principal": "*", **given}
        caller.request("POST", "/2015-03-31/functions/ping/policy", json.dumps(document).encode())
    url: str = json.loads(made.body)["FunctionUrl"]
    return urlsplit(url).netloc

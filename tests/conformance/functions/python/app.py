"""The conformance suite's function: does what the event says."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

if os.environ.get("BROKEN"):
    raise ValueError("broken: ü")

calls = 0


def handler(event: Any, context: Any) -> Any:
    global calls  # noqa: PLW0603  an environment keeps what a module holds
    calls += 1
    do = event.get("do") if isinstance(event, dict) else None
    return DEEDS.get(do, echo)(event, context)


def echo(event: Any, _context: Any) -> Any:
    return event["value"]


def about(_event: Any, context: Any) -> Any:
    client = context.client_context
    identity = context.identity
    return {
        "id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "name": context.function_name,
        "version": context.function_version,
        "memory": int(context.memory_limit_in_mb),
        "group": context.log_group_name,
        "stream": context.log_stream_name,
        "left": context.get_remaining_time_in_millis(),
        "custom": client.custom if client else None,
        "identity": identity.cognito_identity_id if identity else None,
    }


def fail(_event: Any, _context: Any) -> Any:
    raise ValueError("as asked: ü")


def log(_event: Any, _context: Any) -> Any:
    print("out ü")  # noqa: T201
    print("err ü", file=sys.stderr)  # noqa: T201


def library(_event: Any, _context: Any) -> Any:
    import conformance_layer  # type: ignore[import-not-found]  # noqa: PLC0415  of a layer

    return conformance_layer.TEXT


DEEDS: dict[Any, Any] = {
    "context": about,
    "environment": lambda _event, _context: dict(os.environ),
    "fail": fail,
    "log": log,
    "library": library,
    "sleep": lambda _event, _context: time.sleep(60),
    "exit": lambda _event, _context: os._exit(3),
    "read": lambda event, _context: Path(event["value"]).read_text(),
    "calls": lambda _event, _context: calls,
}

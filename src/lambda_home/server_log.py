"""The server's own log: JSON lines on standard error, or lines for people on a terminal.

Every line begins with `ts`, `level` and `message`. Of invocations it has exactly Lambda@Home's
fields: `ts level message function version req_id container_id duration_ms billed_ms mem_peak_mb`.
They are switched by a setting, and leave the invocation's path as they are; a thread writes them.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import structlog

from lambda_home.batches import Batches
from lambda_home.config import LoggingSettings
from lambda_home.invocations import Ended

LEVELS: Final = ("debug", "info", "warning", "error")
_NUMBERS: Final = {name: logging.getLevelName(name.upper()) for name in LEVELS}
_NUMBERS_OF_CALLS: Final = {**_NUMBERS, "warn": logging.WARNING, "exception": logging.ERROR} | {
    "critical": logging.CRITICAL,
    "fatal": logging.CRITICAL,
}
_FIRST: Final = ("ts", "level", "message")
_WRITE_EVERY_S = 0.2
_LONGEST_TYPE = 200
_MINUTE_S = 60.0
_SAME_A_MINUTE = 5
_MOST_KINDS = 500

Line = MutableMapping[str, Any]
Renderer = Callable[[Any, str, Line], str | bytes]


class _InForce:
    """What can be changed while the server runs."""

    level = "info"
    number = logging.INFO
    render: Renderer = structlog.processors.JSONRenderer()


def configure(settings: LoggingSettings, stream: TextIO = sys.stderr) -> None:
    """Write log lines to `stream` from now on; other libraries' warnings, too."""
    use_level(settings.level)
    pretty = stream.isatty() if settings.format == "auto" else settings.format == "pretty"
    _InForce.render = (
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty() and "NO_COLOR" not in os.environ, event_key="message"
        )
        if pretty
        else structlog.processors.JSONRenderer()
    )
    json_only = [] if pretty else [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[
            _drop_lower,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", key="ts"),
            *json_only,
            structlog.processors.EventRenamer("message"),
            _in_order,
            _InForce.render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Others(logging.WARNING)]


def level() -> str:
    """The level that is in force."""
    return _InForce.level


def use_level(name: str) -> None:
    """Write lines of this level and above; `name` is one of LEVELS."""
    _InForce.level, _InForce.number = name, _NUMBERS[name]


class InvocationLog:
    """Writes a line for each invocation that ended, while it is `on` and info is written."""

    def __init__(self, stream: TextIO = sys.stderr, *, on: bool = False) -> None:
        self._write = structlog.WriteLogger(stream).msg
        self._batches: Batches[tuple[Ended, float]] = Batches(
            "server-log", self._log, _WRITE_EVERY_S
        )
        self.on = on

    @property
    def wanted(self) -> bool:
        """Whether it wants to hear of invocations."""
        return self.on and _InForce.number <= logging.INFO

    def __call__(self, ended: Ended, now: float) -> None:
        """An invocation is over; `now` is seconds since the epoch."""
        self._batches.add((ended, now))

    def close(self) -> None:
        """Write what is left."""
        self._batches.close()

    def _log(self, batch: Sequence[tuple[Ended, float]]) -> None:
        lines = [_InForce.render(None, "info", record(ended, now)) for ended, now in batch]
        self._write("\n".join(str(line) for line in lines))


def record(ended: Ended, now: float) -> dict[str, Any]:
    """The line of an invocation; `now` is when it ended, in seconds since the epoch."""
    version = ended.invocation.function
    at = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds")
    return {
        "ts": at.replace("+00:00", "Z"),
        "level": "info",
        "message": _message(ended.error_type),
        "function": version.name,
        "version": version.version,
        "req_id": ended.invocation.request_id,
        "container_id": ended.container_id,
        "duration_ms": round(ended.duration_ms, 2),
        "billed_ms": ended.billed_ms,
        "mem_peak_mb": ended.peak_mb,
    }


def _message(error_type: str | None) -> str:
    """The type of an error is the function's own words: nothing of it steers a terminal."""
    if error_type is None:
        return "invocation succeeded"
    shown = "".join(c if c.isprintable() else "?" for c in error_type[:_LONGEST_TYPE])
    return f"invocation failed: {shown}"


def _drop_lower(logger: Any, method: str, line: Line) -> Line:
    del logger
    if _NUMBERS_OF_CALLS.get(method, logging.CRITICAL) < _InForce.number:
        raise structlog.DropEvent
    return line


def _in_order(logger: Any, method: str, line: Line) -> Line:
    del logger, method
    first = {name: line.pop(name) for name in _FIRST if name in line}
    return {**first, **line}


class _Others(logging.Handler):
    """Takes what libraries log by Python's own module into this log.

    What a client can provoke as often as it likes, such as a request that is not HTTP, fills no
    disk: of the same line without a traceback some are written each minute, and then how many were
    not.
    """

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._turns: dict[tuple[str, str], _Turn] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        more: dict[str, Any] = {}
        if record.exc_info is None:
            turn = self._turn(record)
            turn.came += 1
            if turn.came > _SAME_A_MINUTE:
                return
            more = {"left_out": turn.left_out_before} if turn.left_out_before else {}
            turn.left_out_before = 0
        write = structlog.get_logger(record.name)
        say = write.error if record.levelno >= logging.ERROR else write.warning
        try:
            say(record.getMessage(), logger=record.name, exc_info=record.exc_info, **more)
        except Exception:
            self.handleError(record)

    def _turn(self, record: logging.LogRecord) -> _Turn:
        """The minute that a line of this kind falls into; after a minute a new one begins."""
        key = record.name, str(record.msg)[:_LONGEST_TYPE]
        turn = self._turns.get(key)
        if turn is None or not 0 <= record.created - turn.began < _MINUTE_S:
            if len(self._turns) >= _MOST_KINDS:
                self._turns.clear()
            left_out = max(0, turn.came - _SAME_A_MINUTE) if turn is not None else 0
            turn = self._turns[key] = _Turn(record.created, left_out)
        return turn


@dataclass(slots=True)
class _Turn:
    """A minute of the same lines: when it began, how many came, how many were left out before."""

    began: float
    left_out_before: int
    came: int = 0

"""What the platform writes into a function's log, as text or as JSON, and what of it all is kept.

Pure. With LogFormat JSON the lines are events as the Telemetry API has them, filtered by
SystemLogLevel; lines of the function's own that are JSON objects are filtered by
ApplicationLogLevel. Sources:
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from lambda_home.functions import FunctionVersion
from lambda_home.scheduler import outcomes

LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_RANKS: Final = {name: rank for rank, name in enumerate(LEVELS)} | {"WARNING": 3, "CRITICAL": 5}
_INFO: Final = _RANKS["INFO"]
_LEVEL_KEYS: Final = ("level", "Level", "LogLevel", "log_level", "severity")
_TIME_KEYS: Final = ("timestamp", "Timestamp", "time", "@timestamp", "ts")
_TIMED_OUT: Final = "Sandbox.Timedout"


@dataclass(frozen=True, slots=True)
class Report:
    """How an invocation went; `init_ms` where it is the first of its environment."""

    request_id: str
    duration_ms: float
    memory_mb: int
    peak_mb: int
    init_ms: float | None = None
    error_type: str | None = None

    @property
    def status(self) -> str:
        """How the platform calls it: an error that the function raised is a success."""
        if self.error_type == _TIMED_OUT:
            return "timeout"
        failed = self.error_type is not None and self.error_type.startswith("Runtime.")
        return "error" if failed else "success"


class SystemLog(Protocol):
    """Makes the platform's lines of one function version; `now` is seconds since the epoch."""

    def init_start(self, version: FunctionVersion, *, provisioned: bool, now: float) -> list[str]:
        """An environment starts."""

    def init_end(
        self, init_ms: float, error_type: str | None, *, provisioned: bool, now: float
    ) -> list[str]:
        """Its init phase is over, with an error if there is a type."""

    def start(self, request_id: str, version: FunctionVersion, now: float) -> str:
        """An invocation begins; "" if that is not written."""

    def end(self, report: Report, notes: Sequence[str], now: float) -> list[str]:
        """It ends; `notes` say why where the platform ended it."""

    def sift(self, text: bytes) -> bytes | None:
        """What is kept of lines that the function wrote; None: nothing."""


class TextLog:
    """LogFormat Text: START, END and REPORT, and everything the function writes."""

    def init_start(self, version: FunctionVersion, *, provisioned: bool, now: float) -> list[str]:
        """The INIT_START line."""
        del provisioned, now
        return [f"INIT_START Runtime Version: {version.runtime}"]

    def init_end(
        self, init_ms: float, error_type: str | None, *, provisioned: bool, now: float
    ) -> list[str]:
        """The first REPORT tells."""
        del init_ms, error_type, provisioned, now
        return []

    def start(self, request_id: str, version: FunctionVersion, now: float) -> str:
        """The START line."""
        del now
        return outcomes.start_line(request_id, version.version)

    def end(self, report: Report, notes: Sequence[str], now: float) -> list[str]:
        """Notes, END and REPORT."""
        del now
        line = outcomes.report_line(
            report.request_id,
            duration_ms=report.duration_ms,
            memory_mb=report.memory_mb,
            peak_mb=report.peak_mb,
            init_ms=report.init_ms,
        )
        if report.status == "timeout":
            line = f"{line}Status: timeout"
        elif report.status == "error":
            line = f"{line}Status: error\tError Type: {report.error_type}"
        return [*notes, outcomes.end_line(report.request_id), line]

    def sift(self, text: bytes) -> bytes | None:
        """Everything."""
        return text


class JsonLog:
    """LogFormat JSON, from these levels on."""

    def __init__(self, system_level: str, application_level: str) -> None:
        self._system = _RANKS.get(system_level.upper(), _INFO)
        self._application = _RANKS.get(application_level.upper(), _INFO)

    def init_start(self, version: FunctionVersion, *, provisioned: bool, now: float) -> list[str]:
        """platform.initStart."""
        record = {
            "initializationType": _kind(provisioned),
            "phase": "init",
            "runtimeVersion": version.runtime,
            "functionName": version.name,
            "functionVersion": version.version,
        }
        return self._events(("INFO", "platform.initStart", record), now=now)

    def init_end(
        self, init_ms: float, error_type: str | None, *, provisioned: bool, now: float
    ) -> list[str]:
        """platform.initRuntimeDone and platform.initReport."""
        record: dict[str, object] = {
            "initializationType": _kind(provisioned),
            "phase": "init",
            "status": "error" if error_type else "success",
            **({"errorType": error_type} if error_type else {}),
        }
        report = record | {"metrics": {"durationMs": round(init_ms, 3)}}
        done, reported = "DEBUG", "INFO" if provisioned else "DEBUG"
        if error_type:
            done = reported = "WARN"
        return self._events(
            (done, "platform.initRuntimeDone", record),
            (reported, "platform.initReport", report),
            now=now,
        )

    def start(self, request_id: str, version: FunctionVersion, now: float) -> str:
        """platform.start."""
        record = {"requestId": request_id, "version": version.version}
        return "".join(self._events(("INFO", "platform.start", record), now=now))

    def end(self, report: Report, notes: Sequence[str], now: float) -> list[str]:
        """Notes, platform.runtimeDone and platform.report."""
        good = report.status == "success"
        status: dict[str, object] = {"status": report.status}
        if not good:
            status["errorType"] = report.error_type
        duration_ms = round(report.duration_ms, 3)
        done = {"requestId": report.request_id, **status, "metrics": {"durationMs": duration_ms}}
        metrics: dict[str, object] = {
            "durationMs": duration_ms,
            "billedDurationMs": outcomes.billed_ms(report.duration_ms, report.init_ms),
            "memorySizeMB": report.memory_mb,
            "maxMemoryUsedMB": report.peak_mb,
        }
        if report.init_ms is not None:
            metrics["initDurationMs"] = round(report.init_ms, 3)
        record = {"requestId": report.request_id, "metrics": metrics, **status}
        return [
            *(note for note in notes if note),
            *self._events(
                ("DEBUG" if good else "WARN", "platform.runtimeDone", done),
                ("INFO" if good else "WARN", "platform.report", record),
                now=now,
            ),
        ]

    def sift(self, text: bytes) -> bytes | None:
        """The lines of the level that is asked for, and above."""
        if self._application == 0 or b"{" not in text:
            return text
        kept = [line for line in text.split(b"\n") if self._keeps(line)]
        return b"\n".join(kept) if kept else None

    def _keeps(self, line: bytes) -> bool:
        """What is no JSON object with a level and a moment counts as INFO; plain text is kept."""
        if not line.startswith(b"{"):
            return True
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            return True
        return _rank_of(document) >= self._application

    def _events(self, *events: tuple[str, str, Mapping[str, object]], now: float) -> list[str]:
        moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
        time = moment.replace("+00:00", "Z")
        return [
            json.dumps({"time": time, "type": kind, "record": record}, separators=(",", ":"))
            for level, kind, record in events
            if _RANKS[level] >= self._system
        ]


TEXT: Final = TextLog()


def system_log_of(version: FunctionVersion) -> SystemLog:
    """What a version's LoggingConfig asks for."""
    config = version.documents.get("LoggingConfig")
    if not isinstance(config, dict) or config.get("LogFormat") != "JSON":
        return TEXT
    return JsonLog(
        str(config.get("SystemLogLevel", "INFO")), str(config.get("ApplicationLogLevel", "INFO"))
    )


def _kind(provisioned: bool) -> str:  # noqa: FBT001  there is nothing else to tell
    return "provisioned-concurrency" if provisioned else "on-demand"


def _rank_of(document: dict[str, object]) -> int:
    """The level that a line says it has, if it is valid and the line says when it was written."""
    level = next((document[key] for key in _LEVEL_KEYS if key in document), None)
    if not isinstance(level, str) or not any(_is_moment(document.get(k)) for k in _TIME_KEYS):
        return _INFO
    return _RANKS.get(level.upper(), _INFO)


def _is_moment(value: object) -> bool:
    """Whether a value is a moment by RFC 3339, with its offset."""
    if not isinstance(value, str) or "T" not in value.upper():
        return False
    try:
        return datetime.fromisoformat(value.upper()).tzinfo is not None
    except ValueError:
        return False

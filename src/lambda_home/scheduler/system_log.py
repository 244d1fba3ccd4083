"""What the platform writes into a function's log, as text or as JSON, and what of it all is kept.

Pure. With LogFormat JSON the lines are events as the Telemetry API has them, filtered by
SystemLogLevel; lines of the function's own that are JSON objects are filtered by
ApplicationLogLevel. Sources:
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

from __future__ import annotations

import json
import math
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
    """How an invocation went; `init_ms` where it is the first of its environment.

    `restore_ms`: by SnapStart, all of the restore's time, and that of its hooks.
    """

    request_id: str
    duration_ms: float
    memory_mb: int
    peak_mb: int
    init_ms: float | None = None
    error_type: str | None = None
    restore_ms: tuple[float, float] | None = None

    @property
    def status(self) -> str:
        """How the platform calls it: an error that the function raised is a success."""
        if self.error_type == _TIMED_OUT:
            return "timeout"
        failed = (self.error_type or "").startswith(("Runtime.", "Extension."))
        return "error" if failed else "success"

    @property
    def metrics(self) -> dict[str, object]:
        """AWS's ReportMetrics."""
        billed_init = (self.restore_ms or (0, self.init_ms))[1]
        metrics: dict[str, object] = {
            "durationMs": round(self.duration_ms, 3),
            "billedDurationMs": outcomes.billed_ms(self.duration_ms, billed_init),
            "memorySizeMB": self.memory_mb,
            "maxMemoryUsedMB": self.peak_mb,
        }
        if self.init_ms is not None:
            metrics["initDurationMs"] = round(self.init_ms, 3)
        if self.restore_ms is not None:
            metrics["restoreDurationMs"] = round(self.restore_ms[0], 3)
            metrics["billedRestoreDurationMs"] = math.ceil(self.restore_ms[1])
        return metrics


class SystemLog(Protocol):
    """Makes the platform's lines of one function version; `now` is seconds since the epoch."""

    is_json: bool

    def init_start(self, version: FunctionVersion, *, provisioned: bool, now: float) -> list[str]:
        """An environment starts."""

    def init_end(
        self, init_ms: float, error_type: str | None, *, provisioned: bool, now: float
    ) -> list[str]:
        """Its init phase is over, with an error if there is a type."""

    def init_report(self, init_ms: float) -> str:
        """The init phase before a snapshot is over; "" if that is not written."""

    def restore_start(self, version: FunctionVersion, now: float) -> list[str]:
        """SnapStart restores the environment."""

    def restore_end(self, restore_ms: float, error_type: str, now: float) -> list[str]:
        """It has, with an error if there is a type."""

    def start(self, request_id: str, version: FunctionVersion, now: float) -> str:
        """An invocation begins; "" if that is not written."""

    def end(self, report: Report, notes: Sequence[str], now: float) -> list[str]:
        """It ends; `notes` say why where the platform ended it."""

    def sift(self, text: bytes) -> bytes | None:
        """What is kept of lines that the function wrote; None: nothing."""

    def extension(
        self, name: str, state: str, events: Sequence[str], error_type: str, now: float
    ) -> str:
        """How far an extension came in the init phase; "" if that is not written."""

    def subscribed(self, api: str, name: str, state: str, types: Sequence[str], now: float) -> str:
        """An extension has subscribed by an API; "" if that is not written."""


class TextLog:
    """LogFormat Text: START, END and REPORT, and everything the function writes."""

    is_json = False

    def init_start(self, version: FunctionVersion, *, provisioned: bool, now: float) -> list[str]:
        """The INIT_START line."""
        del provisioned, now
        return [] if version.is_image else [f"INIT_START Runtime Version: {version.runtime}"]

    def init_end(
        self, init_ms: float, error_type: str | None, *, provisioned: bool, now: float
    ) -> list[str]:
        """The first REPORT tells."""
        del init_ms, error_type, provisioned, now
        return []

    def init_report(self, init_ms: float) -> str:
        """The INIT_REPORT line."""
        return f"INIT_REPORT Init Duration: {init_ms:.2f} ms"

    def restore_start(self, version: FunctionVersion, now: float) -> list[str]:
        """The RESTORE_START line."""
        del now
        return [f"RESTORE_START Runtime Version: {version.runtime}"]

    def restore_end(self, restore_ms: float, error_type: str, now: float) -> list[str]:
        """The RESTORE_REPORT line."""
        del now
        line = f"RESTORE_REPORT Restore Duration: {restore_ms:.2f} ms"
        return [f"{line}\tStatus: error\tError Type: {error_type}" if error_type else line]

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
            restore_ms=report.restore_ms,
        )
        if report.status == "timeout":
            line = f"{line}Status: timeout"
        elif report.status == "error":
            line = f"{line}Status: error\tError Type: {report.error_type}"
        return [*notes, outcomes.end_line(report.request_id), line]

    def sift(self, text: bytes) -> bytes | None:
        """Everything."""
        return text

    def extension(
        self, name: str, state: str, events: Sequence[str], error_type: str, now: float
    ) -> str:
        """The EXTENSION line."""
        del now
        line = f"EXTENSION\tName: {name}\tState: {state}\tEvents: [{', '.join(events)}]"
        return f"{line}\tError Type: {error_type}" if error_type else line

    def subscribed(self, api: str, name: str, state: str, types: Sequence[str], now: float) -> str:
        """The TELEMETRY or LOGS line."""
        del now
        return f"{api.upper()}\tName: {name}\tState: {state}\tTypes: [{', '.join(types)}]"


class JsonLog:
    """LogFormat JSON, from these levels on."""

    is_json = True

    def __init__(
        self, system_level: str, application_level: str, *, snap_started: bool = False
    ) -> None:
        self._snap_started = snap_started
        self._system = _RANKS.get(system_level.upper(), _INFO)
        self._application = _RANKS.get(application_level.upper(), _INFO)

    def init_start(self, version: FunctionVersion, *, provisioned: bool, now: float) -> list[str]:
        """platform.initStart."""
        record = {
            "initializationType": self._kind(provisioned),
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
            "initializationType": self._kind(provisioned),
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

    def init_report(self, init_ms: float) -> str:
        """platform.initReport has told."""
        del init_ms
        return ""

    def restore_start(self, version: FunctionVersion, now: float) -> list[str]:
        """platform.restoreStart."""
        record = {
            "functionName": version.name,
            "functionVersion": version.version,
            "runtimeVersion": version.runtime,
        }
        return self._events(("INFO", "platform.restoreStart", record), now=now)

    def restore_end(self, restore_ms: float, error_type: str, now: float) -> list[str]:
        """platform.restoreRuntimeDone and platform.restoreReport."""
        failed = {"errorType": error_type} if error_type else {}
        record: dict[str, object] = {"status": "error" if error_type else "success", **failed}
        report = record | {"metrics": {"durationMs": round(restore_ms, 3)}}
        return self._events(
            ("WARN" if error_type else "DEBUG", "platform.restoreRuntimeDone", record),
            ("WARN" if error_type else "INFO", "platform.restoreReport", report),
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
        record = {"requestId": report.request_id, "metrics": report.metrics, **status}
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

    def extension(
        self, name: str, state: str, events: Sequence[str], error_type: str, now: float
    ) -> str:
        """platform.extension."""
        record = {"name": name, "state": state, "events": list(events)}
        if error_type:
            record["errorType"] = error_type
        return "".join(self._events(("INFO", "platform.extension", record), now=now))

    def subscribed(self, api: str, name: str, state: str, types: Sequence[str], now: float) -> str:
        """platform.telemetrySubscription or platform.logsSubscription."""
        record = {"name": name, "state": state, "types": list(types)}
        kind = f"platform.{api.lower()}Subscription"
        return "".join(self._events(("INFO", kind, record), now=now))

    def _kind(self, provisioned: bool) -> str:  # noqa: FBT001  there is nothing else to tell
        if self._snap_started:
            return "snap-start"
        return "provisioned-concurrency" if provisioned else "on-demand"

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
        str(config.get("SystemLogLevel", "INFO")),
        str(config.get("ApplicationLogLevel", "INFO")),
        snap_started=version.is_snap_started,
    )


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

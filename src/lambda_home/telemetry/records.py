"""Events of the Telemetry and Logs APIs, and how each of their schemas writes them (pure).

An event is made once and written for each subscription as its schema wants it. Sources:
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-logs-api.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from lambda_home.functions import FunctionVersion


class Category(StrEnum):
    """What may be subscribed to."""

    PLATFORM = "platform"
    FUNCTION = "function"
    EXTENSION = "extension"


class Schema(StrEnum):
    """The schemas of both APIs, the first two are the Logs API's."""

    LOGS = "2020-08-15"
    LOGS_DONE = "2021-03-18"
    TELEMETRY = "2022-07-01"
    TELEMETRY_JSON = "2022-12-13"
    TELEMETRY_INSTANCES = "2025-01-29"


_OF_LOGS: Final = frozenset({Schema.LOGS, Schema.LOGS_DONE})
_OF_TELEMETRY: Final = frozenset(Schema) - _OF_LOGS
_ALL: Final = frozenset(Schema)
_JSON_LINES: Final = frozenset({Schema.TELEMETRY_JSON, Schema.TELEMETRY_INSTANCES})
_TRACE: Final = "X-Amzn-Trace-Id"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at `now` (seconds since the epoch).

    `plain` replaces the record in the Logs API's schemas, where it is another one there.
    """

    now: float
    kind: str
    record: Mapping[str, object] | str
    category: Category = Category.PLATFORM
    schemas: frozenset[Schema] = _ALL
    plain: Mapping[str, object] | None = None

    def written(self, schema: Schema, *, json_lines: bool = False) -> bytes | None:
        """The event as JSON; None if the schema has no such event.

        `json_lines`: the function logs JSON, whose lines newer schemas have as objects.
        """
        if schema not in self.schemas:
            return None
        record: object = self.record
        if self.plain is not None and schema in _OF_LOGS:
            record = self.plain
        elif isinstance(record, str) and json_lines and schema in _JSON_LINES:
            record = _object_in(record)
        said = {"time": moment(self.now), "type": self.kind, "record": record}
        return json.dumps(said, separators=(",", ":")).encode()


def moment(now: float) -> str:
    """A time as the schemas write it."""
    text = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def initialization_type(*, provisioned: bool, snap_start: bool = False) -> str:
    """Why an environment came to be."""
    if snap_start:
        return "snap-start"
    return "provisioned-concurrency" if provisioned else "on-demand"


def span(name: str, start: float, duration_ms: float) -> dict[str, object]:
    """A part of a phase; `start` is seconds since the epoch."""
    return {"name": name, "start": moment(start), "durationMs": round(duration_ms, 3)}


# -------------------------------------------------------------------------------------- the init


def init_start(
    version: FunctionVersion, instance_id: str, *, kind: str, phase: str, now: float
) -> Event:
    """The init phase begins. `phase` is `init`, or `invoke` where an invocation waits for it."""
    record = {
        "initializationType": kind,
        "phase": phase,
        "runtimeVersion": version.runtime,
        "functionName": version.name,
        "functionVersion": version.version,
        "instanceId": instance_id,
        "instanceMaxMemory": version.memory_mb,
    }
    return Event(now, "platform.initStart", record, schemas=_OF_TELEMETRY)


def init_runtime_done(*, kind: str, phase: str, error_type: str | None, now: float) -> Event:
    """The runtime is ready, or will not be."""
    record = {"initializationType": kind, "phase": phase, **_status(error_type)}
    return Event(now, "platform.initRuntimeDone", record, schemas=_OF_TELEMETRY)


def init_report(
    duration_ms: float, *, kind: str, phase: str, error_type: str | None, now: float
) -> Event:
    """How the init phase went."""
    record = {
        "initializationType": kind,
        "phase": phase,
        **_status(error_type),
        "metrics": {"durationMs": round(duration_ms, 3)},
    }
    return Event(now, "platform.initReport", record, schemas=_OF_TELEMETRY)


# ------------------------------------------------------------------------------------- SnapStart


def restore_start(version: FunctionVersion, instance_id: str, now: float) -> Event:
    """An environment is being made from a snapshot."""
    record = {
        "functionName": version.name,
        "functionVersion": version.version,
        "instanceId": instance_id,
        "instanceMaxMemory": version.memory_mb,
        "runtimeVersion": version.runtime,
    }
    return Event(now, "platform.restoreStart", record, schemas=_OF_TELEMETRY)


def restore_runtime_done(error_type: str | None, now: float) -> Event:
    """The runtime's restore hooks have run."""
    record = _status(error_type)
    return Event(now, "platform.restoreRuntimeDone", record, schemas=_OF_TELEMETRY)


def restore_report(duration_ms: float, error_type: str | None, now: float) -> Event:
    """How the restore phase went."""
    record = {**_status(error_type), "metrics": {"durationMs": round(duration_ms, 3)}}
    return Event(now, "platform.restoreReport", record, schemas=_OF_TELEMETRY)


# ----------------------------------------------------------------------------------- invocations


def start(request_id: str, version: str, trace_id: str | None, now: float) -> Event:
    """An invocation begins."""
    plain = {"requestId": request_id, "version": version}
    return Event(now, "platform.start", {**plain, **_tracing(trace_id)}, plain=plain)


@dataclass(frozen=True, slots=True)
class Done:
    """How an invocation went. `error_type` is None unless the platform ended it.

    `status` is success, error, failure or timeout; `produced` are bytes of the response.
    """

    request_id: str
    status: str
    error_type: str | None
    duration_ms: float
    produced: int = 0
    trace_id: str | None = None


def runtime_done(done: Done, now: float) -> Event:
    """The runtime has answered, or will not."""
    duration_ms = round(done.duration_ms, 3)
    record = {
        "requestId": done.request_id,
        "status": done.status,
        **({"errorType": done.error_type} if done.error_type else {}),
        **_tracing(done.trace_id),
        "spans": [
            span("responseLatency", now - done.duration_ms / 1000, done.duration_ms),
        ],
        "metrics": {"durationMs": duration_ms, "producedBytes": done.produced},
    }
    # The Logs API calls any error a failure.
    status = "failure" if done.status == "error" else done.status
    plain = {"requestId": done.request_id, "status": status}
    return Event(now, "platform.runtimeDone", record, schemas=_ALL - {Schema.LOGS}, plain=plain)


def fault(request_id: str, message: str, now: float) -> Event:
    """The platform ended an invocation: an event of the Logs API alone."""
    return Event(now, "platform.fault", f"RequestId: {request_id} {message}", schemas=_OF_LOGS)


def end(request_id: str, now: float) -> Event:
    """An invocation is over: an event of the Logs API alone."""
    return Event(now, "platform.end", {"requestId": request_id}, schemas=_OF_LOGS)


def report(
    done: Done,
    metrics: Mapping[str, object],
    spans: Sequence[Mapping[str, object]],
    now: float,
) -> Event:
    """What an invocation took; `metrics` are AWS's ReportMetrics."""
    record = {
        "requestId": done.request_id,
        "status": done.status,
        **({"errorType": done.error_type} if done.error_type else {}),
        "metrics": metrics,
        **({"spans": spans} if spans else {}),
        **_tracing(done.trace_id),
    }
    plain = {"requestId": done.request_id, "metrics": metrics}
    return Event(now, "platform.report", record, plain=plain)


# ------------------------------------------------------------------------------------ extensions


def extension(name: str, state: str, events: Sequence[str], error_type: str, now: float) -> Event:
    """How far an extension came in the init phase."""
    record: dict[str, object] = {"name": name, "state": state, "events": list(events)}
    if error_type:
        record["errorType"] = error_type
    return Event(now, "platform.extension", record)


def subscribed(name: str, state: str, types: Sequence[str], schema: Schema, now: float) -> Event:
    """An extension has subscribed; `state` is `Subscribed` or `Already subscribed`."""
    logs = schema in _OF_LOGS
    kind = "platform.logsSubscription" if logs else "platform.telemetrySubscription"
    record = {"name": name, "state": state, "types": list(types)}
    return Event(now, kind, record, schemas=_OF_LOGS if logs else _OF_TELEMETRY)


def dropped(records: int, size: int, reason: str, now: float) -> Event:
    """Events that could not be delivered."""
    record = {"droppedBytes": size, "droppedRecords": records, "reason": reason}
    return Event(now, "platform.logsDropped", record)


def line(text: str, category: Category, now: float) -> Event:
    """A line that the function or an extension has written."""
    return Event(now, category.value, text, category)


def _status(error_type: str | None) -> dict[str, object]:
    if error_type is None:
        return {"status": "success"}
    return {"status": "error", "errorType": error_type}


def _tracing(trace_id: str | None) -> dict[str, object]:
    if not trace_id:
        return {}
    parts = dict(part.partition("=")[::2] for part in trace_id.split(";"))
    span_id = {"spanId": parts["Parent"]} if "Parent" in parts else {}
    return {"tracing": {**span_id, "type": _TRACE, "value": trace_id}}


def _object_in(text: str) -> object:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, dict) else text

"""Events of the Telemetry and Logs APIs, as their schemas write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes import VERSION

from lambda_home.telemetry import records
from lambda_home.telemetry.records import Category, Done, Event, Schema

NOW = 1_700_000_000.123
TIME = "2023-11-14T22:13:20.123Z"
TRACE = "Root=1-62e900b2-710d76f009d6e7785905449a;Parent=0efbd19962d95b05;Sampled=1"
TRACING = {"spanId": "0efbd19962d95b05", "type": "X-Amzn-Trace-Id", "value": TRACE}
DONE = Done("r1", "success", None, 140.0, 16, TRACE)
FAILED = Done("r1", "error", "Runtime.ExitError", 140.0)
METRICS = {"durationMs": 693.92, "billedDurationMs": 694, "memorySizeMB": 128}
SPAN = records.span("extensionOverhead", NOW, 1.5)
KIND = {"kind": "on-demand", "phase": "init"}


def read(event: Event, schema: Schema = Schema.TELEMETRY_JSON, *, json_lines: bool = False) -> Any:
    written = event.written(schema, json_lines=json_lines)
    return None if written is None else json.loads(written)


@pytest.mark.parametrize(
    ("event", "kind", "record"),
    [
        (
            records.init_start(VERSION, "i", now=NOW, **KIND),
            "platform.initStart",
            {
                "initializationType": "on-demand",
                "phase": "init",
                "runtimeVersion": "python3.12",
                "functionName": "hello",
                "functionVersion": "$LATEST",
                "instanceId": "i",
                "instanceMaxMemory": 128,
            },
        ),
        (
            records.init_runtime_done(error_type=None, now=NOW, **KIND),
            "platform.initRuntimeDone",
            {"initializationType": "on-demand", "phase": "init", "status": "success"},
        ),
        (
            records.init_report(125.33, error_type="Extension.Crash", now=NOW, **KIND),
            "platform.initReport",
            {
                "initializationType": "on-demand",
                "phase": "init",
                "status": "error",
                "errorType": "Extension.Crash",
                "metrics": {"durationMs": 125.33},
            },
        ),
        (
            records.start("r1", "7", TRACE, NOW),
            "platform.start",
            {"requestId": "r1", "version": "7", "tracing": TRACING},
        ),
        (
            records.runtime_done(DONE, NOW),
            "platform.runtimeDone",
            {
                "requestId": "r1",
                "status": "success",
                "tracing": TRACING,
                "spans": [
                    {
                        "name": "responseLatency",
                        "start": "2023-11-14T22:13:19.983Z",
                        "durationMs": 140.0,
                    }
                ],
                "metrics": {"durationMs": 140.0, "producedBytes": 16},
            },
        ),
        (
            records.report(DONE, METRICS, [SPAN], NOW),
            "platform.report",
            {
                "requestId": "r1",
                "status": "success",
                "metrics": METRICS,
                "spans": [{"name": "extensionOverhead", "start": TIME, "durationMs": 1.5}],
                "tracing": TRACING,
            },
        ),
        (
            records.report(FAILED, METRICS, [], NOW),
            "platform.report",
            {
                "requestId": "r1",
                "status": "error",
                "errorType": "Runtime.ExitError",
                "metrics": METRICS,
            },
        ),
        (
            records.restore_start(VERSION, "i", NOW),
            "platform.restoreStart",
            {
                "functionName": "hello",
                "functionVersion": "$LATEST",
                "instanceId": "i",
                "instanceMaxMemory": 128,
                "runtimeVersion": "python3.12",
            },
        ),
        (
            records.restore_runtime_done(None, NOW),
            "platform.restoreRuntimeDone",
            {"status": "success"},
        ),
        (
            records.restore_report(15.19, None, NOW),
            "platform.restoreReport",
            {"status": "success", "metrics": {"durationMs": 15.19}},
        ),
        (
            records.extension("e", "Ready", ["INVOKE", "SHUTDOWN"], "", NOW),
            "platform.extension",
            {"name": "e", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]},
        ),
        (
            records.subscribed("e", "Subscribed", ["platform"], Schema.TELEMETRY, NOW),
            "platform.telemetrySubscription",
            {"name": "e", "state": "Subscribed", "types": ["platform"]},
        ),
        (
            records.dropped(123, 12345, "why", NOW),
            "platform.logsDropped",
            {"droppedBytes": 12345, "droppedRecords": 123, "reason": "why"},
        ),
    ],
)
def test_the_telemetry_api_has_them_like_this(
    event: Event, kind: str, record: dict[str, object]
) -> None:
    assert read(event) == {"time": TIME, "type": kind, "record": record}


@pytest.mark.parametrize(
    ("event", "record"),
    [
        (records.start("r1", "7", TRACE, NOW), {"requestId": "r1", "version": "7"}),
        (records.end("r1", NOW), {"requestId": "r1"}),
        (records.report(DONE, METRICS, [SPAN], NOW), {"requestId": "r1", "metrics": METRICS}),
        (
            records.fault("r1", "Process exited before completing request", NOW),
            "RequestId: r1 Process exited before completing request",
        ),
        (
            records.subscribed("e", "Subscribed", ["platform"], Schema.LOGS, NOW),
            {"name": "e", "state": "Subscribed", "types": ["platform"]},
        ),
    ],
)
def test_the_logs_api_has_older_records(event: Event, record: object) -> None:
    assert read(event, Schema.LOGS)["record"] == record


def test_the_logs_api_calls_any_error_of_a_runtime_a_failure() -> None:
    event = records.runtime_done(FAILED, NOW)
    assert read(event, Schema.LOGS) is None
    expected = {"requestId": "r1", "status": "failure"}
    assert read(event, Schema.LOGS_DONE)["record"] == expected


@pytest.mark.parametrize(
    ("event", "missing_in"),
    [
        (records.init_start(VERSION, "i", now=NOW, **KIND), Schema.LOGS_DONE),
        (records.restore_report(1, None, NOW), Schema.LOGS),
        (records.end("r1", NOW), Schema.TELEMETRY),
        (records.fault("r1", "m", NOW), Schema.TELEMETRY_INSTANCES),
        (records.subscribed("e", "s", [], Schema.TELEMETRY, NOW), Schema.LOGS),
        (records.subscribed("e", "s", [], Schema.LOGS, NOW), Schema.TELEMETRY),
    ],
)
def test_a_schema_lacks_what_it_does_not_know(event: Event, missing_in: Schema) -> None:
    assert read(event, missing_in) is None


@pytest.mark.parametrize(
    ("text", "schema", "json_lines", "record"),
    [
        ("hello", Schema.TELEMETRY, False, "hello"),
        ('{"a":1}', Schema.TELEMETRY_JSON, True, {"a": 1}),
        ('{"a":1}', Schema.TELEMETRY_INSTANCES, True, {"a": 1}),
        ('{"a":1}', Schema.TELEMETRY_JSON, False, '{"a":1}'),
        ('{"a":1}', Schema.TELEMETRY, True, '{"a":1}'),
        ('{"a":1}', Schema.LOGS, True, '{"a":1}'),
        ("[1]", Schema.TELEMETRY_JSON, True, "[1]"),
        ('{"a":', Schema.TELEMETRY_JSON, True, '{"a":'),
        ("\x00\x1b", Schema.TELEMETRY_JSON, True, "\x00\x1b"),
    ],
)
def test_lines_are_objects_where_the_function_logs_json_and_the_schema_knows_it(
    text: str,
    schema: Schema,
    json_lines: bool,  # noqa: FBT001  a column of the table
    record: object,
) -> None:
    event = records.line(text, Category.FUNCTION, NOW)
    assert read(event, schema, json_lines=json_lines) == {
        "time": TIME,
        "type": "function",
        "record": record,
    }


@pytest.mark.parametrize(
    ("provisioned", "snap_start", "expected"),
    [
        (False, False, "on-demand"),
        (True, False, "provisioned-concurrency"),
        (False, True, "snap-start"),
        (True, True, "snap-start"),
    ],
)
def test_initialization_has_a_type(
    provisioned: bool,  # noqa: FBT001  a column of the table
    snap_start: bool,  # noqa: FBT001
    expected: str,
) -> None:
    kind = records.initialization_type(provisioned=provisioned, snap_start=snap_start)
    assert kind == expected

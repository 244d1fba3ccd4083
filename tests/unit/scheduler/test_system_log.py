"""What the platform logs as JSON, and which lines levels keep."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fakes import VERSION

from lambda_home.scheduler.environment_log import EnvironmentLog
from lambda_home.scheduler.shared_log import SharedEnvironmentLog
from lambda_home.scheduler.system_log import TEXT, JsonLog, Report, system_log_of

AT = 1_700_000_000.25
TIME = "2023-11-14T22:13:20.250Z"
MOMENT = "2024-11-02T16:51:31.587199Z"


def types(lines: list[str]) -> list[str]:
    return [json.loads(line)["type"].removeprefix("platform.") for line in lines]


# AWS's table of system log events: what is written at DEBUG, INFO and WARN.
INIT_ENDS = [
    (None, False, ["initRuntimeDone", "initReport"], [], []),
    (None, True, ["initRuntimeDone", "initReport"], ["initReport"], []),
    ("Runtime.X", False, *[["initRuntimeDone", "initReport"]] * 3),
    ("Runtime.X", True, *[["initRuntimeDone", "initReport"]] * 3),
]


@pytest.mark.parametrize(("error", "provisioned", "debug", "info", "warn"), INIT_ENDS)
def test_how_the_init_phase_ended_is_written_by_level(
    error: str | None, provisioned: object, debug: list[str], info: list[str], warn: list[str]
) -> None:
    for level, expected in (("DEBUG", debug), ("INFO", info), ("WARN", warn)):
        log = JsonLog(level, "INFO")
        lines = log.init_end(12.3456, error, provisioned=bool(provisioned), now=AT)
        assert types(lines) == expected


ENDS = [
    (None, "success", ["runtimeDone", "report"], ["report"], []),
    ("ValueError", "success", ["runtimeDone", "report"], ["report"], []),
    ("Sandbox.Timedout", "timeout", *[["runtimeDone", "report"]] * 3),
    ("Runtime.ExitError", "error", *[["runtimeDone", "report"]] * 3),
]


@pytest.mark.parametrize(("error", "status", "debug", "info", "warn"), ENDS)
def test_how_an_invocation_ended_is_written_by_level(
    error: str | None, status: str, debug: list[str], info: list[str], warn: list[str]
) -> None:
    report = Report("r1", 12.3456, 128, 40, 100.5, error)
    for level, expected in (("DEBUG", debug), ("INFO", info), ("WARN", warn)):
        lines = JsonLog(level, "INFO").end(report, (), AT)
        assert types(lines) == expected
        for line in lines:
            assert json.loads(line)["record"]["status"] == status


def test_events_have_the_members_of_the_telemetry_api() -> None:
    log = JsonLog("INFO", "INFO")
    assert json.loads(log.start("r1", VERSION, AT)) == {
        "time": TIME,
        "type": "platform.start",
        "record": {"requestId": "r1", "version": "$LATEST"},
    }
    (line,) = log.end(Report("r1", 12.3456, 128, 40, 100.5), (), AT)
    assert json.loads(line) == {
        "time": TIME,
        "type": "platform.report",
        "record": {
            "requestId": "r1",
            "metrics": {
                "durationMs": 12.346,
                "billedDurationMs": 113,
                "memorySizeMB": 128,
                "maxMemoryUsedMB": 40,
                "initDurationMs": 100.5,
            },
            "status": "success",
        },
    }
    (line,) = log.init_start(VERSION, provisioned=True, now=AT)
    assert json.loads(line)["record"] == {
        "initializationType": "provisioned-concurrency",
        "phase": "init",
        "runtimeVersion": "python3.12",
        "functionName": "hello",
        "functionVersion": "$LATEST",
    }
    assert JsonLog("WARN", "INFO").start("r1", VERSION, AT) == ""


def said(**members: object) -> bytes:
    return json.dumps(members).encode()


KEPT = [
    (said(level="DEBUG", timestamp=MOMENT), "DEBUG", True),
    (said(level="DEBUG", timestamp=MOMENT), "INFO", False),
    (said(level="debug", time=MOMENT), "INFO", False),
    (said(LogLevel="Warning", Timestamp=MOMENT), "WARN", True),
    (said(level="WARNING", timestamp=MOMENT), "ERROR", False),
    (said(level="CRITICAL", timestamp=MOMENT), "FATAL", True),
    (said(level="ERROR", timestamp="2024-11-02T16:51:31+01:00"), "FATAL", False),
    (said(level="DEBUG"), "INFO", True),
    (said(level="DEBUG", timestamp="yesterday"), "INFO", True),
    (said(level="DEBUG", timestamp="2024-11-02T16:51:31"), "INFO", True),
    (said(level="loud", timestamp=MOMENT), "INFO", True),
    (said(level=7, timestamp=MOMENT), "WARN", False),
    (said(message="no level"), "WARN", False),
    (said(level="TRACE", timestamp=MOMENT), "TRACE", True),
    (b"plain text", "FATAL", True),
    (b"{ not JSON", "FATAL", True),
    (b"[1, 2]", "FATAL", True),
    (b"", "FATAL", True),
]


@pytest.mark.parametrize(("line", "level", "kept"), KEPT)
def test_lines_of_the_function_are_kept_by_their_level(
    line: bytes, level: str, kept: object
) -> None:
    assert JsonLog("INFO", level).sift(line) == (line if kept else None)
    assert TEXT.sift(line) == line


def test_lines_that_come_together_are_sifted_one_by_one() -> None:
    log = JsonLog("INFO", "WARN")
    assert log.sift(b'{"n": 1}\nplain\n\n{"n": 2}\nlast') == b"plain\n\nlast"
    assert log.sift(b'{"n": 1}\n{"n": 2}') is None


def test_a_version_says_how_it_logs() -> None:
    assert system_log_of(VERSION) is TEXT
    as_text = replace(VERSION, documents={"LoggingConfig": {"LogFormat": "Text"}})
    assert system_log_of(as_text) is TEXT
    config = {"LogFormat": "JSON", "SystemLogLevel": "WARN", "ApplicationLogLevel": "ERROR"}
    log = system_log_of(replace(VERSION, documents={"LoggingConfig": config}))
    assert log.start("r1", VERSION, AT) == ""
    assert log.sift(said(level="INFO", timestamp=MOMENT)) is None


def test_each_line_is_given_with_the_request_that_wrote_it() -> None:
    given: list[tuple[bytes, str]] = []

    def emit(line: bytes, request_id: str) -> None:
        given.append((line, request_id))

    log = EnvironmentLog(emit, JsonLog("INFO", "WARN").sift)
    log.platform("INIT")
    first = log.begin("r1", "", tail=True)
    log.write(b'mine\n{"n": 1}\n')
    log.finish(first, ["end 1"], fence=True)
    log.begin("r2", "start 2", tail=False)
    log.write(b"late\x1eFENCE r1\x1e\nnext\n")
    assert given == [
        (b"INIT", ""),
        (b"mine", "r1"),
        (b"late", "r1"),
        (b"end 1", "r1"),
        (b"start 2", "r2"),
        (b"next", "r2"),
    ]
    assert first.last_4_kb() == b"mine\nlate\nend 1\n"


def test_lines_of_several_at_a_time_are_given_with_their_marks() -> None:
    given: list[tuple[bytes, str]] = []

    def emit(line: bytes, request_id: str) -> None:
        given.append((line, request_id))

    log = SharedEnvironmentLog(emit, JsonLog("INFO", "WARN").sift)
    log.begin("r1", "", tail=False)
    log.begin("r2", "start 2", tail=False)
    log.write(b'\x1eFROM r1\x1ea\nno mark\n\x1eFROM r2\x1eb\n\x1eFROM r1\x1e{"n": 1}\n')
    assert given == [(b"start 2", "r2"), (b"a", "r1"), (b"no mark", ""), (b"b", "r2")]


@pytest.mark.parametrize(
    ("error", "debug", "info"),
    [
        ("", ["restoreRuntimeDone", "restoreReport"], ["restoreReport"]),
        ("Runtime.AfterRestoreError", *[["restoreRuntimeDone", "restoreReport"]] * 2),
    ],
)
def test_a_restore_is_written_by_level(error: str, debug: list[str], info: list[str]) -> None:
    for level, expected in (("DEBUG", debug), ("INFO", info)):
        assert types(JsonLog(level, "INFO").restore_end(12.3, error, AT)) == expected
    assert types(JsonLog("INFO", "INFO").restore_start(VERSION, AT)) == ["restoreStart"]
    (line,) = JsonLog("INFO", "INFO", snap_started=True).init_start(
        VERSION, provisioned=False, now=AT
    )
    assert json.loads(line)["record"]["initializationType"] == "snap-start"


def test_a_restored_environments_report_has_both_durations() -> None:
    report = Report("r1", 11.14, 128, 40, restore_ms=(562.49, 132.1))
    (line,) = JsonLog("INFO", "INFO").end(report, (), AT)
    metrics = json.loads(line)["record"]["metrics"]
    assert (metrics["restoreDurationMs"], metrics["billedRestoreDurationMs"]) == (562.49, 133)
    assert metrics["billedDurationMs"] == 144
    assert "initDurationMs" not in metrics


def test_a_restore_reads_as_on_aws() -> None:
    assert TEXT.init_report(12.345) == "INIT_REPORT Init Duration: 12.35 ms"
    assert TEXT.restore_start(VERSION, AT) == ["RESTORE_START Runtime Version: python3.12"]
    assert TEXT.restore_end(1.5, "", AT) == ["RESTORE_REPORT Restore Duration: 1.50 ms"]
    assert TEXT.restore_end(1.5, "T", AT) == [
        "RESTORE_REPORT Restore Duration: 1.50 ms\tStatus: error\tError Type: T"
    ]


def test_an_image_has_no_runtime_version() -> None:
    image = replace(VERSION, package_type="Image", runtime="")
    assert TEXT.init_start(image, provisioned=False, now=AT) == []

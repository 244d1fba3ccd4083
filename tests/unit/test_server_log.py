from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from scraping import INVOCATION_FIELDS

from lambda_home import server_log
from lambda_home.arns import Scope
from lambda_home.config import LoggingSettings
from lambda_home.functions import Code, FunctionVersion
from lambda_home.invocations import Ended, Invocation

HERE = Scope("000000000000", "us-east-1")
NOW = 1_790_000_000.25


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    yield
    structlog.reset_defaults()
    root.handlers[:] = before
    server_log.use_level("info")


def settings(**members: Any) -> LoggingSettings:
    return LoggingSettings(**{"level": "info", "format": "auto", "invocations": False, **members})


def ended(error_type: str | None = None) -> Ended:
    version = FunctionVersion(
        HERE, "fn", "7", "python3.11", "a.b", "role", Code("0" * 64, "", 1), "", ""
    )
    invocation = Invocation("req", version, b"{}", version.arn)
    return Ended(
        invocation, "c0ffee", error_type, 0.0, 1.0, 1.5, 500.126, 621, 42,
        cold=True, asked_at=0.0, ready_at=0.9, init_ms=120.0,
    )  # fmt: skip


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_invocation_has_exactly_the_fields_of_lambda_at_home() -> None:
    stream = io.StringIO()
    server_log.configure(settings(), stream)
    log = server_log.InvocationLog(stream, on=True)
    assert log.wanted
    log(ended(), NOW)
    log(ended("Sandbox.Timedout"), NOW)
    log.close()
    first, second = lines(stream)
    assert list(first) == INVOCATION_FIELDS
    assert first == {
        "ts": "2026-09-21T14:13:20.250000Z",
        "level": "info",
        "message": "invocation succeeded",
        "function": "fn",
        "version": "7",
        "req_id": "req",
        "container_id": "c0ffee",
        "duration_ms": 500.13,
        "billed_ms": 621,
        "mem_peak_mb": 42,
    }
    assert second["message"] == "invocation failed: Sandbox.Timedout"


def test_other_lines_begin_with_the_same_three_and_have_what_they_know() -> None:
    stream = io.StringIO()
    server_log.configure(settings(), stream)
    structlog.get_logger().warning("a spare could not be started", function="fn", reason="no")
    (line,) = lines(stream)
    assert list(line) == ["ts", "level", "message", "function", "reason"]
    assert (line["level"], line["message"]) == ("warning", "a spare could not be started")


def test_an_exception_is_one_line_with_its_traceback() -> None:
    stream = io.StringIO()
    server_log.configure(settings(), stream)
    try:
        int("wrong")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines(stream)
    assert line["level"] == "error"
    assert "ValueError: invalid literal" in line["exception"]


def test_the_level_can_be_changed_while_loggers_are_in_use() -> None:
    stream = io.StringIO()
    server_log.configure(settings(level="warning"), stream)
    log = structlog.get_logger()
    log.info("1")
    server_log.use_level("debug")
    log.debug("2")
    log.info("3")
    server_log.use_level("error")
    log.warning("4")
    log.error("5")
    assert [line["message"] for line in lines(stream)] == ["2", "3", "5"]
    assert server_log.level() == "error"


@pytest.mark.parametrize(
    ("level", "on", "wanted"),
    [("debug", True, True), ("info", True, True), ("warning", True, False), ("info", False, False)],
)
def test_invocations_are_wanted_only_where_info_is_written(
    level: str, *, on: bool, wanted: bool
) -> None:
    server_log.use_level(level)
    assert server_log.InvocationLog(io.StringIO(), on=on).wanted is wanted


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("json", Terminal, True),
        ("pretty", io.StringIO, False),
    ],
)
def test_people_read_lines_and_programs_json(
    form: str, stream: type[io.StringIO], *, is_json: bool
) -> None:
    out = stream()
    server_log.configure(settings(format=form), out)
    structlog.get_logger().info("hello", function="fn")
    log = server_log.InvocationLog(out, on=True)
    log(ended(), NOW)
    log.close()
    text = out.getvalue()
    assert text.count("\n") == 2
    assert text.startswith("{") is is_json
    assert "hello" in text
    assert "invocation succeeded" in text


def test_what_a_function_says_of_its_error_steers_no_terminal() -> None:
    out = Terminal()
    server_log.configure(settings(), out)
    log = server_log.InvocationLog(out, on=True)
    log(ended("\x1b]0;owned\x07\n" + "x" * 1000), NOW)
    log.close()
    assert "\x1b]0" not in out.getvalue()
    assert "\x07" not in out.getvalue()
    assert out.getvalue().count("\n") == 1
    assert len(out.getvalue()) < 1000


def test_what_libraries_warn_of_comes_into_the_same_log() -> None:
    stream = io.StringIO()
    server_log.configure(settings(), stream)
    logging.getLogger("some.library").warning("slow: %d", 3)
    logging.getLogger("some.library").info("not told")
    (line,) = lines(stream)
    assert (line["message"], line["level"], line["logger"]) == (
        "slow: 3",
        "warning",
        "some.library",
    )


def test_what_clients_can_provoke_at_will_is_written_a_few_times_a_minute() -> None:
    stream = io.StringIO()
    server_log.configure(settings(), stream)

    def logged(seconds: float, text: str = "Invalid HTTP request received.") -> None:
        record = logging.LogRecord("uvicorn.error", logging.WARNING, "", 0, text, (), None)
        record.created = NOW + seconds
        logging.getLogger().handle(record)

    for number in range(100):
        logged(number / 10)
    logged(3.0, "another")
    assert [line["message"] for line in lines(stream)].count("another") == 1
    assert len(lines(stream)) == 6
    logged(61.0)
    logged(62.0)
    later = [line.get("left_out") for line in lines(stream)[6:]]
    assert later == [95, None]


def test_every_traceback_of_a_library_is_written() -> None:
    stream = io.StringIO()
    server_log.configure(settings(), stream)
    for number in range(10):
        try:
            raise ValueError(number)  # noqa: TRY301  the traceback is what is tried
        except ValueError:
            logging.getLogger("some.library").exception("failed")
    assert len(lines(stream)) == 10


def test_a_stream_that_fails_loses_its_lines_and_nothing_else() -> None:
    stream = io.StringIO()
    server_log.configure(settings(), stream)
    broken = io.StringIO()
    broken.close()
    log = server_log.InvocationLog(broken, on=True)
    log(ended(), NOW)
    log.close()
    assert [line["message"] for line in lines(stream)] == ["a batch failed"]

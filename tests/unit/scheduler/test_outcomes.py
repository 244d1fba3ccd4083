"""How failures read: the words recorded on AWS."""

from __future__ import annotations

import json
import signal

import pytest

from lambda_home.sandboxes.base import Exit
from lambda_home.scheduler import outcomes

ID = "5c4f3c9e-0000-4000-8000-000000000001"


def test_a_timeout_reads_as_on_aws() -> None:
    assert json.loads(outcomes.timed_out_payload(ID, 1)) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": f"RequestId: {ID} Error: Task timed out after 1.00 seconds",
    }
    assert outcomes.timed_out_message(900) == "Task timed out after 900.00 seconds"


EXITS = [
    (None, "Runtime exited without providing a reason"),
    (Exit("e"), "Runtime exited without providing a reason"),
    (Exit("e", code=0), "Runtime exited without providing a reason"),
    (Exit("e", code=1), "Runtime exited with error: exit status 1"),
    (Exit("e", code=255), "Runtime exited with error: exit status 255"),
    (Exit("e", signal=signal.SIGKILL), "Runtime exited with error: signal: killed"),
    (
        Exit("e", code=137, signal=signal.SIGKILL, out_of_memory=True),
        "Runtime exited with error: signal: killed",
    ),
    (Exit("e", signal=signal.SIGSEGV), "Runtime exited with error: signal: segmentation fault"),
    (Exit("e", signal=signal.SIGABRT), "Runtime exited with error: signal: aborted"),
    (Exit("e", signal=signal.SIGTERM), "Runtime exited with error: signal: terminated"),
]


@pytest.mark.parametrize(("how", "message"), EXITS)
def test_the_end_of_a_runtime_reads_as_on_aws(how: Exit | None, message: str) -> None:
    assert outcomes.exit_message(how) == message
    assert json.loads(outcomes.exit_payload(ID, how)) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {ID} Error: {message}",
    }


def test_what_could_not_be_started_reads_as_on_aws() -> None:
    how = Exit("e", unstartable="fork/exec /var/task/bootstrap: permission denied")
    assert json.loads(outcomes.exit_payload(ID, how)) == {
        "errorType": "Runtime.InvalidEntrypoint",
        "errorMessage": f"RequestId: {ID} Error: {how.unstartable}",
    }


@pytest.mark.parametrize("number", [0, 1, 64, 65, 200, -1])
def test_any_signal_number_has_words(number: int) -> None:
    message = outcomes.exit_message(Exit("e", signal=number))
    assert message.startswith("Runtime exited with error: signal: ")
    assert not message.endswith(": ")


def test_a_response_over_the_limit_names_the_limit() -> None:
    payload = json.loads(outcomes.too_large_payload())
    assert payload == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size"
        " (6291556 bytes).",
    }


def test_error_payloads_take_more_members() -> None:
    payload = outcomes.error_payload("T", "m", requestId=ID, stackTrace=[])
    expected = {"errorType": "T", "errorMessage": "m", "requestId": ID, "stackTrace": []}
    assert json.loads(payload) == expected


def test_the_lines_around_an_invocation_read_as_on_aws() -> None:
    assert outcomes.start_line(ID, "$LATEST") == f"START RequestId: {ID} Version: $LATEST"
    assert outcomes.end_line(ID) == f"END RequestId: {ID}"


def report(duration_ms: float, init_ms: float | None) -> str:
    return outcomes.report_line(
        ID, duration_ms=duration_ms, memory_mb=128, peak_mb=39, init_ms=init_ms
    )


def test_a_report_has_tabs_and_the_init_duration_of_a_cold_start_only() -> None:
    warm = (
        f"REPORT RequestId: {ID}\tDuration: 12.35 ms\tBilled Duration: 13 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 39 MB\t"
    )
    assert report(12.345, None) == warm
    cold = warm.replace("Billed Duration: 13", "Billed Duration: 113")
    assert report(12.345, 100) == f"{cold}Init Duration: 100.00 ms\t"


@pytest.mark.parametrize(
    ("duration_ms", "init_ms", "billed"), [(1.0, None, 1), (1.01, None, 2), (0.4, 0.4, 1)]
)
def test_time_is_billed_by_the_begun_millisecond(
    duration_ms: float, init_ms: float | None, billed: int
) -> None:
    assert f"\tBilled Duration: {billed} ms\t" in report(duration_ms, init_ms)


def test_a_report_of_a_restored_environment_bills_the_hooks_and_has_no_init() -> None:
    line = outcomes.report_line(
        ID, duration_ms=11.14, memory_mb=512, peak_mb=99, init_ms=None, restore_ms=(562.49, 132.1)
    )
    assert line == (
        f"REPORT RequestId: {ID}\tDuration: 11.14 ms\tBilled Duration: 144 ms\t"
        "Memory Size: 512 MB\tMax Memory Used: 99 MB\t"
        "Restore Duration: 562.49 ms\tBilled Restore Duration: 133 ms\t"
    )

"""How a failed invocation reads: AWS's error payloads and log lines, from what really happened.

Pure. Source: answers recorded on AWS (`Sandbox.Timedout`, `Runtime.ExitError`) and AWS's runtime
interface emulator.
"""

from __future__ import annotations

import json
import math
import signal

from lambda_home.invocations import RESPONSE_LIMIT
from lambda_home.sandboxes.base import Exit

TOO_LARGE = "Function.ResponseSizeTooLarge"
EXIT_ERROR = "Runtime.ExitError"
_SHELL_SIGNALS = 128
INVALID_ENTRYPOINT = "Runtime.InvalidEntrypoint"
INVALID_WORKING_DIRECTORY = "Runtime.InvalidWorkingDir"


def error_payload(error_type: str, message: str, **members: object) -> bytes:
    """The JSON payload of a failed invocation."""
    return json.dumps({"errorType": error_type, "errorMessage": message, **members}).encode()


def timed_out_message(timeout_s: float) -> str:
    """`Task timed out after 3.00 seconds`."""
    return f"Task timed out after {timeout_s:.2f} seconds"


def timed_out_payload(request_id: str, timeout_s: float) -> bytes:
    """The payload of an invocation whose function ran over its timeout."""
    message = f"RequestId: {request_id} Error: {timed_out_message(timeout_s)}"
    return error_payload("Sandbox.Timedout", message)


def exit_message(how: Exit | None) -> str:
    """Why a runtime is gone, as AWS words it."""
    if how is not None and how.unstartable:
        return how.unstartable
    if how is not None and how.signal is not None:
        return f"Runtime exited with error: signal: {_signal_text(how.signal)}"
    if how is not None and how.code:
        return f"Runtime exited with error: exit status {how.code}"
    return "Runtime exited without providing a reason"


def exit_of(environment_id: str, code: int) -> Exit:
    """How a process ended that a shell has waited for: 128 + n is a death by signal n."""
    number = code - _SHELL_SIGNALS
    if number in _VALID:
        return Exit(environment_id, signal=number)
    return Exit(environment_id, code=code)


def process_end(code: int) -> str:
    """Why an extension is gone, by the code that a shell has for it, as AWS words it."""
    how = exit_of("", code)
    if how.signal is not None:
        return f"signal: {_signal_text(how.signal)}"
    return f"exit status {code}" if code else "exit code 0"


def exit_payload(request_id: str, how: Exit | None) -> bytes:
    """The payload of an invocation whose runtime ended under it."""
    message = f"RequestId: {request_id} Error: {exit_message(how)}"
    return error_payload(exit_type(how), message)


def exit_type(how: Exit | None) -> str:
    """The type of the error that `exit_message` words."""
    if how is None or not how.unstartable:
        return EXIT_ERROR
    text = how.unstartable
    there = text.startswith(("chdir ", "the working directory "))
    return INVALID_WORKING_DIRECTORY if there else INVALID_ENTRYPOINT


def too_large_payload(limit: int = RESPONSE_LIMIT) -> bytes:
    """The payload of an invocation whose response is over the limit (bytes)."""
    return error_payload(
        TOO_LARGE,
        f"Response payload size exceeded maximum allowed payload size ({limit} bytes).",
    )


def start_line(request_id: str, version: str) -> str:
    """The first log line of an invocation."""
    return f"START RequestId: {request_id} Version: {version}"


def end_line(request_id: str) -> str:
    """The last line before the report."""
    return f"END RequestId: {request_id}"


def billed_ms(duration_ms: float, init_ms: float | None) -> int:
    """The milliseconds that count; since August 2025 AWS bills the init phase as well."""
    return math.ceil(duration_ms + (init_ms or 0))


def report_line(
    request_id: str,
    *,
    duration_ms: float,
    memory_mb: int,
    peak_mb: int,
    init_ms: float | None,
    restore_ms: tuple[float, float] | None = None,
) -> str:
    """The REPORT line; durations in milliseconds, memory in MB, `init_ms` for a cold start only.

    `restore_ms`: of a restore by SnapStart, all of its time, and that of its hooks (billed).
    """
    billed = billed_ms(duration_ms, (restore_ms or (0.0, init_ms))[1])
    line = (
        f"REPORT RequestId: {request_id}\tDuration: {duration_ms:.2f} ms\t"
        f"Billed Duration: {billed} ms\tMemory Size: {memory_mb} MB\t"
        f"Max Memory Used: {peak_mb} MB\t"
    )
    if restore_ms is not None:
        hooks = math.ceil(restore_ms[1])
        line += f"Restore Duration: {restore_ms[0]:.2f} ms\tBilled Restore Duration: {hooks} ms\t"
    return line if init_ms is None else f"{line}Init Duration: {init_ms:.2f} ms\t"


def _signal_text(number: int) -> str:
    """The words Go's os package has for a signal, which AWS's messages show."""
    words = {
        signal.SIGKILL: "killed",
        signal.SIGSEGV: "segmentation fault",
        signal.SIGABRT: "aborted",
        signal.SIGTERM: "terminated",
        signal.SIGBUS: "bus error",
        signal.SIGFPE: "floating point exception",
        signal.SIGILL: "illegal instruction",
        signal.SIGINT: "interrupt",
        signal.SIGTRAP: "trace/breakpoint trap",
        signal.SIGPIPE: "broken pipe",
        signal.SIGHUP: "hangup",
        signal.SIGQUIT: "quit",
    }
    return words.get(signal.Signals(number) if number in _VALID else signal.SIGKILL, "killed")


_VALID = frozenset(int(s) for s in signal.Signals)

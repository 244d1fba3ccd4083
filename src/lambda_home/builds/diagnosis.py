"""Why a step of a build ended as it did, in one line that says what to do; pure."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from lambda_home.builds.trees import Step

_NOT_FOUND: Final = 127
_NOT_RUNNABLE: Final = 126
_KILLED: Final = (-9, 137)
_NO_NETWORK = re.compile(
    r"Temporary failure in name resolution|Name or service not known|EAI_AGAIN|ENOTFOUND"
    r"|Could not resolve host|Network is unreachable|ENETUNREACH|dial tcp: lookup|no such host"
    r"|UnknownHostException|Connection refused|ECONNREFUSED|Failed to establish a new connection"
    r"|NewConnectionError|Failed to connect to|failed to lookup address",
    re.IGNORECASE,
)
_NO_DISK = re.compile(r"No space left on device|ENOSPC|File size limit exceeded|EFBIG")
_NOT_THERE = re.compile(r"(?:^|\n)(?:sh: \d+: )?(?:exec: )?([\w.+-]+): (?:command )?not found")
# What Maven and Gradle print after the cause: how to ask them for more.
_ADVICE = re.compile(
    r"\[ERROR\]\s*($|(-> )?\[Help|To see the full|Re-run Maven|For more information)"
    r"|BUILD FAILED|\* Get more help|> (Run|Get more help) |\* Try:"
)
_INSIDE = re.compile(r"lambda-home: (.+)")


class Stop(StrEnum):
    """Why the server itself ended a step."""

    TIMEOUT = "timeout"
    CANCELED = "canceled"
    CLOSING = "closing"
    DISK = "disk"
    OUTPUT = "output"
    MEMORY = "memory"


def why_stopped(stop: Stop, limit: str) -> str:
    """What is said of a build that the server ended; `limit` is what it went over, if any."""
    return {
        Stop.TIMEOUT: f"The build took longer than {limit} (setting builds.timeout_s).",
        Stop.CANCELED: "The build was canceled.",
        Stop.CLOSING: "The server was stopped during the build: start it again.",
        Stop.DISK: f"The build wrote more than {limit} to the disk (setting builds.disk_mb).",
        Stop.OUTPUT: f"The build printed more than {limit}: make it quieter.",
        Stop.MEMORY: f"The build needs more than {limit} of memory (setting builds.memory_mb).",
    }[stop]


def is_missing(step: Step, code: int) -> bool:
    """Whether a step failed because there is no such program; of a command nobody knows."""
    return code in (_NOT_FOUND, _NOT_RUNNABLE) and step.words[0] != "sh"


def why_failed(step: Step, code: int, tail: str, place: str) -> str:
    """What is said of a step that ended with `code`, after the output `tail`.

    `place` is where it ran, as "this machine" or an image's name.
    """
    tool = step.words[0]
    if code in (_NOT_FOUND, _NOT_RUNNABLE):
        missing = _NOT_THERE.findall(tail)
        name = missing[-1] if missing and tool == "sh" else tool
        return (
            f"{name} is not there: install it on {place}, give an image that has it (setting"
            " builds.images), or send a package that needs no build."
            if place == "this machine"
            else f"{place} has no {name}: give an image that has it (setting builds.images), or"
            " build with the tools of this machine (builds.sandbox = process)."
        )
    if inside := _INSIDE.findall(tail):
        return str(inside[-1])
    if _NO_DISK.search(tail):
        return f"{tool} found no room: /tmp has builds.tmp_mb, a file at most builds.disk_mb."
    failed = f"{tool} failed ({_shown(code)})"
    if _NO_NETWORK.search(tail):
        return (
            f"{failed}: it could not reach its registry over the network. See the log; bring the"
            " dependencies with the sources, or set proxies and mirrors in builds.variables."
        )
    lines = [line.strip() for line in reversed(tail.splitlines()) if line.strip()]
    last = next((line for line in lines if not _ADVICE.match(line)), lines[0] if lines else "")
    return f"{failed}: {last[:300]}" if last else f"{failed}: it printed nothing."


def _shown(code: int) -> str:
    if code in _KILLED:
        return "killed"
    return f"signal {-code}" if code < 0 else f"exit code {code}"

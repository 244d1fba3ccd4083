"""The log of a build: one line `TIMESTAMP TEXT` for each line that it printed, bounded.

Of a flood the beginning is kept, and the last lines: errors come at the end. Control characters
are taken out, so that a log can do nothing to a terminal. Source of the form:
the executor's `GET /v1/runtimes/{id}/logs`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

LONGEST_LINE = 8000
"""Characters; the rest of a line is cut off."""
_TAIL = 16 * 1024
_LONGEST_PENDING = 4 * LONGEST_LINE
_LAST_LINES = 100
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_READ_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line; `timestamp` as in RFC 3339, in UTC."""

    timestamp: str
    content: str


@dataclass(frozen=True, slots=True)
class Page:
    """Lines, and the position of what comes after them."""

    lines: tuple[Line, ...]
    next: int


class Logbook:
    """Writes one log; its methods may be called in any thread.

    `now` is seconds since the epoch; `hidden` is a password, and is written as `***`.
    """

    def __init__(self, path: Path, limit: int, now: Callable[[], float], hidden: str = "") -> None:
        self._file: BinaryIO | None = path.open("ab", buffering=0)
        self._limit = limit
        self._now = now
        self._hidden = hidden
        self._lock = threading.Lock()
        self._written = path.stat().st_size
        self._pending = b""
        self._tail = b""
        self._left_out = 0
        self.total = 0

    def say(self, text: str) -> None:
        """A line of the server's own; it is there however full the log is."""
        with self._lock:
            self._flush()
            self._write([text.encode("utf-8", "replace")])

    def feed(self, output: bytes) -> None:
        """What a program printed, cut anywhere."""
        with self._lock:
            self.total += len(output)
            self._tail = (self._tail + output[-_TAIL:])[-_TAIL:]
            if self._written >= self._limit:
                self._left_out += len(output)
                return
            *lines, self._pending = (self._pending + output).split(b"\n")
            if len(self._pending) > _LONGEST_PENDING:
                lines.append(self._pending)
                self._pending = b""
            self._write(lines, bounded=True)

    def tail(self) -> str:
        """The last that programs printed since `fresh`."""
        with self._lock:
            return "\n".join(self._shown(line) for line in self._tail.split(b"\n"))

    def fresh(self) -> None:
        """Another step begins."""
        with self._lock:
            self._flush()
            self._tail = b""

    def close(self) -> None:
        """Write what is left and close the file; what comes later is lost."""
        with self._lock:
            self._flush()
            if self._file is not None:
                self._file.close()
                self._file = None

    def _flush(self) -> None:
        pending, self._pending = self._pending, b""
        if pending:
            self._write([pending], bounded=True)
        if self._left_out:
            last = self._tail.split(b"\n")[-_LAST_LINES:]
            note = f"... {self._left_out} bytes are left out here, the log has its limit ..."
            self._left_out = 0
            self._write([note.encode(), *(line for line in last if line)])

    def _shown(self, line: bytes) -> str:
        text = _clean(line)
        return text.replace(self._hidden, "***") if self._hidden else text

    def _write(self, lines: list[bytes], *, bounded: bool = False) -> None:
        if self._file is None:
            return
        stamp = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        parts = []
        for number, line in enumerate(lines):
            part = f"{stamp} {self._shown(line)}\n".encode()
            if bounded and self._written >= self._limit:
                self._left_out += sum(map(len, lines[number:]))
                break
            self._written += len(part)
            parts.append(part)
        try:
            self._file.write(b"".join(parts))
        except OSError:  # no room on the disk: the build is worth more than its log
            return


def read_log(path: Path, after: int = 0) -> Page:
    """The lines from a position on, at most a megabyte of them; none where there is no log yet."""
    try:
        with path.open("rb") as file:
            file.seek(after)
            content = file.read(_READ_AT_ONCE)
    except OSError:
        return Page((), after)
    whole = content[: content.rfind(b"\n") + 1]
    lines = []
    for text in whole.decode("utf-8", "replace").split("\n")[:-1]:
        stamp, _, said = text.partition(" ")
        lines.append(Line(stamp, said))
    return Page(tuple(lines), after + len(whole))


def _clean(line: bytes) -> str:
    """A line as a terminal would show it at the end: the last of what overwrote itself."""
    text = line[: 4 * LONGEST_LINE].decode("utf-8", "replace").rstrip("\r\n")
    text = _CONTROLS.sub("", _ESCAPES.sub("", text.rpartition("\r")[2]))
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]} ... (cut)"

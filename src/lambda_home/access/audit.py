"""The audit log: who changed what, and who was turned away; one JSON object a line.

Lines are written by a thread of its own, ten times a second, so that nobody waits for the disk; a
server that is killed loses the last tenth of a second. There is never a body or a secret in them.
"""

from __future__ import annotations

import json
import os
import threading
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from lambda_home.access.callers import Caller
from lambda_home.clock import Clock

AUDIT_FILE: Final = "audit.log"
_QUEUE_LIMIT: Final = 50_000
_WRITE_EVERY_S: Final = 0.1
_LONGEST: Final = 1024
_FIRST_ERROR: Final = 400
_DENIED_BURST: Final = 100
_DENIED_PER_S: Final = 10.0


class Outcome(StrEnum):
    """How it ended: it was done, it failed, or it was not allowed."""

    ALLOWED = "allowed"
    FAILED = "failed"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that was done, or tried.

    `action` is an operation of AWS's model or one of ours ("secrets:write"), `error_code` that of
    the answer if it was an error.
    """

    principal: str
    key_id: str
    source_ip: str
    action: str
    resource: str
    outcome: Outcome
    error_code: str = ""
    request_id: str = ""


class AuditLog:
    """Appends to one file, with one older file beside it; `dropped` counts lines that were lost.

    Of denials it keeps a hundred at once, then ten a second: nobody fills the disk by being
    refused. The next line that is kept says how many were left out.
    """

    def __init__(self, path: Path, max_bytes: int, clock: Clock) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._clock = clock
        # Appending to and taking from a deque needs no lock, so the event loop never waits for one.
        self._queue: deque[tuple[float, Deed, int]] = deque()
        self._denials = float(_DENIED_BURST)
        self._refilled_at = clock.monotonic()
        self._left_out = 0
        self._wake = threading.Condition()
        self._flushes = self._flushed = 0
        self._closing = False
        self.dropped = 0
        self._thread = threading.Thread(target=self._write_until_closed, name="audit-writer")
        self._thread.daemon = True
        self._thread.start()

    def record(self, deed: Deed) -> None:
        """Note a deed; never blocks."""
        if deed.outcome is Outcome.DENIED and not self._may_deny():
            self._left_out += 1
        elif len(self._queue) >= _QUEUE_LIMIT:
            self.dropped += 1
        else:
            left_out, self._left_out = self._left_out, 0
            self._queue.append((self._clock.now(), deed, left_out))

    def changed(
        self, caller: Caller, source_ip: str, action: str, resource: str, status: int
    ) -> None:
        """Note a change that was answered with the HTTP `status`."""
        outcome = Outcome.ALLOWED if status < _FIRST_ERROR else Outcome.FAILED
        code = str(status) if outcome is Outcome.FAILED else ""
        self.record(Deed(caller.arn, caller.key_id, source_ip, action, resource, outcome, code))

    def denied(self, caller: Caller, action: str, resource: str) -> None:
        """Note that a caller's role has not what was asked for."""
        code = "AccessDeniedException"
        self.record(Deed(caller.arn, caller.key_id, "", action, resource, Outcome.DENIED, code))

    def flush(self) -> None:
        """Wait until everything recorded so far is in the file."""
        with self._wake:
            self._flushes += 1
            wanted = self._flushes
            self._wake.notify_all()
            self._wake.wait_for(lambda: self._flushed >= wanted, timeout=10)

    def close(self) -> None:
        """Write what is queued and end the writer."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join(timeout=10)

    def recent(self, most: int) -> list[dict[str, Any]]:
        """The newest lines, the newest first; blocks on the disk."""
        self.flush()
        found: list[dict[str, Any]] = []
        for path in (self._path, self._older):
            if len(found) < most and path.is_file():
                lines = path.read_bytes().splitlines()[-(most - len(found)) :]
                found += [json.loads(line) for line in reversed(lines)]
        return found

    # --------------------------------------------------------------------------------------------

    @property
    def _older(self) -> Path:
        return self._path.with_name(f"{self._path.name}.1")

    def _may_deny(self) -> bool:
        now = self._clock.monotonic()
        gained = (now - self._refilled_at) * _DENIED_PER_S
        self._denials = min(float(_DENIED_BURST), self._denials + gained)
        self._refilled_at = now
        if self._denials < 1:
            return False
        self._denials -= 1
        return True

    def _write_until_closed(self) -> None:
        closing = False
        while not closing:
            with self._wake:
                if not self._closing and self._flushes == self._flushed:
                    self._wake.wait(_WRITE_EVERY_S)
                closing, flushes = self._closing, self._flushes
            self._write_queued()
            with self._wake:
                self._flushed = flushes
                self._wake.notify_all()

    def _write_queued(self) -> None:
        queue = self._queue
        lines = [_line(*queue.popleft()) for _ in range(len(queue))]
        if lines:
            try:
                self._append("".join(lines).encode())
            except OSError:  # a full disk must not end the writer
                self.dropped += len(lines)

    def _append(self, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self._path, flags, 0o600), "ab") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(data)
            size = file.tell()
        if size > self._max_bytes:
            self._path.replace(self._older)


def _line(at: float, deed: Deed, left_out: int) -> str:
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    members: dict[str, Any] = {"time": time.replace("+00:00", "Z")}
    members |= {name: str(value)[:_LONGEST] for name, value in asdict(deed).items() if value}
    if left_out:
        members["denials_left_out"] = left_out
    return json.dumps(members, separators=(",", ":")) + "\n"

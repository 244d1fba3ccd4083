"""The log store: what functions and the platform wrote, one text file per log group.

Lines leave the invocation path through a bounded queue and are written by one thread, a few times a
second, so that logging never makes an invocation wait. Files are
`<dir>/<account>/<region>/<log group>.log`, each line `time [stream] message`; a file over its size
limit is rotated once.
"""

from __future__ import annotations

import re
import threading
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lambda_home.arns import Scope

_QUEUE_LIMIT = 200_000
_WRITE_EVERY_S = 0.2
_UNSAFE = re.compile(r"[^A-Za-z0-9_./#-]|\.\.")


@dataclass(slots=True)
class LogEvent:
    """One line. `at` is seconds since the epoch."""

    scope: Scope
    group: str
    stream: str
    at: float
    message: str


class LogStore:
    """Appends log events to files; `dropped` counts what a full queue had to let go."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        # Appending to and taking from a deque needs no lock, so the event loop never waits for one.
        self._queue: deque[LogEvent] = deque()
        self._wake = threading.Condition()
        self._flushes = 0
        self._flushed = 0
        self._closing = False
        self._thread = threading.Thread(target=self._write_until_closed, name="log-writer")
        self._thread.daemon = True
        self.dropped = 0
        self._thread.start()

    def append(self, event: LogEvent) -> None:
        """Queue one line; never blocks. A full queue drops it and counts it."""
        if len(self._queue) >= _QUEUE_LIMIT:
            self.dropped += 1
        else:
            self._queue.append(event)

    def path(self, scope: Scope, group: str) -> Path:
        """The file of a log group; nothing in the group's name leads out of the store."""
        name = _UNSAFE.sub("_", group.strip("/")) or "_"
        return self._root / scope.account / scope.region / f"{name}.log"

    def flush(self) -> None:
        """Wait until everything appended so far is in the files."""
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
        texts: dict[tuple[Scope, str], list[str]] = defaultdict(list)
        second, prefix = -1, ""
        for _ in range(len(queue)):
            event = queue.popleft()
            if int(event.at) != second:
                second = int(event.at)
                prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            milliseconds = int((event.at - second) * 1000)
            texts[event.scope, event.group].append(
                f"{prefix}{milliseconds:03}Z [{event.stream}] {event.message}\n"
            )
        for (scope, group), lines in texts.items():
            try:
                self._append_to(self.path(scope, group), lines)
            except OSError:  # a full disk must not end the writer
                self.dropped += len(lines)

    def _append_to(self, path: Path, lines: list[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write("".join(lines))
            size = file.tell()
        if size > self._max_bytes:
            path.replace(path.with_suffix(".log.1"))

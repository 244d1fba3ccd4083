"""The log store: what functions and the platform wrote, one text file per log group.

Lines leave the invocation path through a bounded queue and are written by one thread in batches, so
that logging never makes an invocation wait. Files are `<dir>/<account>/<region>/<log group>.log`,
each line `time [stream] message`; a file over its size limit is rotated once.
"""

from __future__ import annotations

import contextlib
import queue
import re
import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from lambda_home.arns import Scope

_QUEUE_LIMIT = 100_000
_BATCH_WAIT_S = 0.2
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
        self._queue: queue.SimpleQueue[LogEvent | threading.Event | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_forever, name="log-writer", daemon=True)
        self.dropped = 0
        self._thread.start()

    def append(self, event: LogEvent) -> None:
        """Queue one line; never blocks. A full queue drops it and counts it."""
        if self._queue.qsize() >= _QUEUE_LIMIT:
            self.dropped += 1
            return
        self._queue.put(event)

    def path(self, scope: Scope, group: str) -> Path:
        """The file of a log group; nothing in the group's name leads out of the store."""
        name = _UNSAFE.sub("_", group.strip("/")) or "_"
        return self._root / scope.account / scope.region / f"{name}.log"

    def flush(self) -> None:
        """Wait until everything appended so far is in the files."""
        done = threading.Event()
        self._queue.put(done)
        done.wait(timeout=10)

    def close(self) -> None:
        """Write what is queued and end the writer."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _write_forever(self) -> None:
        going = True
        while going:
            batch = [self._queue.get()]
            with contextlib.suppress(queue.Empty):
                while len(batch) < _QUEUE_LIMIT:
                    batch.append(self._queue.get(timeout=_BATCH_WAIT_S / 4))
                    if batch[-1] is None or isinstance(batch[-1], threading.Event):
                        break
            events = [item for item in batch if isinstance(item, LogEvent)]
            try:
                self._write(events)
            except OSError:  # a full disk must not end the writer
                self.dropped += len(events)
            for item in batch:
                if isinstance(item, threading.Event):
                    item.set()
            going = None not in batch

    def _write(self, events: list[LogEvent]) -> None:
        texts: dict[Path, list[str]] = defaultdict(list)
        for event in events:
            at = datetime.fromtimestamp(event.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
            line = f"{at}Z [{event.stream}] {event.message}\n"
            texts[self.path(event.scope, event.group)].append(line)
        for path, lines in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8", errors="surrogateescape") as file:
                file.write("".join(lines))
                size = file.tell()
            if size > self._max_bytes:
                path.replace(path.with_suffix(".log.1"))

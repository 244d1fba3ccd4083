"""Reads what environments write, from pipes, without a wake-up for every line.

A function that prints a thousand lines a second would wake the server a thousand times. The first
output after a pause is read at once; while more comes, it is fetched every PAUSE_S.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from lambda_home.sandboxes.base import SandboxError

PAUSE_S = 0.02
CHUNK = 1 << 16
_MOST_AT_ONCE = 16
"""Chunks that are read before others have their turn."""


class OutputPipe:
    """The reading end of a pipe, non-blocking, on the event loop; `close` closes it.

    `deliver` gets bytes in order, cut anywhere. `ended` is set once everybody has closed the
    writing end, and all was delivered.
    """

    def __init__(self, descriptor: int, deliver: Callable[[bytes], None]) -> None:
        self._descriptor = descriptor
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.ended = asyncio.Event()
        self._loop.add_reader(descriptor, self._ready)

    def collect(self) -> None:
        """Deliver what has been written by now."""
        for _ in range(_MOST_AT_ONCE):
            if not self._read():
                return

    def close(self) -> None:
        """Read no more; what was not collected is lost."""
        if self._descriptor < 0:
            return
        self._rest()
        os.close(self._descriptor)
        self._descriptor = -1

    def _ready(self) -> None:
        if self._read() != CHUNK and self._descriptor >= 0 and not self.ended.is_set():
            self._loop.remove_reader(self._descriptor)
            self._timer = self._loop.call_later(PAUSE_S, self._look)

    def _look(self) -> None:
        size = self._read()
        if self._descriptor < 0 or self.ended.is_set():
            return
        if 0 < size < CHUNK:
            self._timer = self._loop.call_later(PAUSE_S, self._look)
        else:  # it has been quiet, or there is so much that nothing is to be waited for
            self._timer = None
            self._loop.add_reader(self._descriptor, self._ready)

    def _read(self) -> int:
        """Deliver one chunk; how long it was, 0 where there is none."""
        if self._descriptor < 0 or self.ended.is_set():
            return 0
        try:
            chunk = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return 0
        if chunk:
            self._deliver(chunk)
        else:
            self._rest()
            self.ended.set()
        return len(chunk)

    def _rest(self) -> None:
        self._loop.remove_reader(self._descriptor)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class NamedPipes:
    """A named pipe for each environment below `root`, which they may only write to.

    Making this object empties the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._root.mkdir(parents=True, exist_ok=True)
        for left in self._root.iterdir():
            left.unlink()

    def path(self, environment_id: str) -> Path:
        """Where the pipe of an environment lies."""
        return self._root / environment_id

    def open(self, environment_id: str) -> int:
        """Make a pipe; its reading end, non-blocking. Raises SandboxError."""
        path = self.path(environment_id)
        try:
            os.mkfifo(path, 0o600)
            path.chmod(0o622)
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SandboxError(f"A pipe for output could not be made: {error}") from error
        return descriptor

    def drop(self, environment_id: str) -> None:
        """Remove a pipe's name; none is no error."""
        self.path(environment_id).unlink(missing_ok=True)

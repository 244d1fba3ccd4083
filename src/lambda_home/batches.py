"""Work that is done beside: what is added costs its caller nothing, a thread does it in batches."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")

_MOST_WAITING = 20_000
_MOST_AT_ONCE = 500
_CLOSE_WITHIN_S = 5.0

_log = structlog.get_logger(__name__)


class Batches(Generic[T]):
    """Hands what was added to `work`, every `every_s` seconds, in the order it came.

    `dropped` counts what came while too much was waiting. The thread starts with the first item.
    """

    def __init__(self, name: str, work: Callable[[Sequence[T]], None], every_s: float) -> None:
        self._name = name
        self._work = work
        self._every_s = every_s
        # Appending to and taking from a deque needs no lock.
        self._waiting: deque[T] = deque()
        self._some = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def add(self, item: T) -> None:
        """Take something; never blocks."""
        waiting = self._waiting
        if len(waiting) >= _MOST_WAITING or self._closing.is_set():
            self.dropped += 1
            return
        waiting.append(item)
        if len(waiting) == 1:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._some.set()

    def close(self) -> None:
        """Do what is waiting, for a few seconds at most, and end the thread."""
        self._closing.set()
        self._some.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_WITHIN_S)

    def _run(self) -> None:
        while True:
            self._some.wait()
            self._closing.wait(self._every_s)  # let a batch come together
            self._some.clear()
            self._drain()
            if self._closing.is_set():
                return

    def _drain(self) -> None:
        waiting = self._waiting
        while waiting:
            batch = [waiting.popleft() for _ in range(min(len(waiting), _MOST_AT_ONCE))]
            try:
                self._work(batch)
            except Exception:  # whatever it is, the next batch has its own chance
                self.dropped += len(batch)
                _log.exception("a batch failed", thread=self._name)

"""The bounded queue between who logs and who writes."""

from __future__ import annotations

import threading
from collections import Counter, deque

from lambda_home.arns import Scope
from lambda_home.logs.events import LogEvent

MOST_LINES = 200_000
MOST_CHARACTERS = 256 * 1024 * 1024
_LINE_COST = 200
"""What a waiting line takes in memory beside its text, about, in characters."""

Source = tuple[Scope, str, str]


class LineQueue:
    """Lines that wait to be written; `dropped` counts those that found it full or were lost."""

    def __init__(
        self, most_lines: int = MOST_LINES, most_characters: int = MOST_CHARACTERS
    ) -> None:
        self._most_lines = most_lines
        self._most_characters = most_characters
        # Appending to and taking from a deque needs no lock, so the event loop never waits for one.
        self._lines: deque[LogEvent] = deque()
        # Each of these has one thread that changes it: the event loop, and whoever writes.
        self._came = 0
        self._went = 0
        self._losing = threading.Lock()
        self._lost: Counter[Source] = Counter()
        self.dropped = 0

    def append(self, event: LogEvent) -> None:
        """Add a line, on the event loop; a full queue drops it."""
        waiting = self._came - self._went
        if len(self._lines) >= self._most_lines or waiting >= self._most_characters:
            self.lose((event.scope, event.group, event.stream), 1)
            return
        self._came += len(event.message) + _LINE_COST
        self._lines.append(event)

    def take(self) -> list[LogEvent]:
        """All lines that wait; one thread at a time."""
        lines = self._lines
        taken = [lines.popleft() for _ in range(len(lines))]
        self._went += sum(len(event.message) + _LINE_COST for event in taken)
        return taken

    def lose(self, source: Source, count: int) -> None:
        """Lines of a stream could not be kept."""
        with self._losing:
            self.dropped += count
            self._lost[source] += count

    def lose_again(self, lost: Counter[Source]) -> None:
        """Nobody could be told of lines that are counted already."""
        with self._losing:
            self._lost += lost

    def take_lost(self) -> Counter[Source]:
        """How many lines of which stream were lost since this was last asked."""
        if not self._lost:
            return Counter()
        with self._losing:
            lost, self._lost = self._lost, Counter()
        return lost

"""The bounded queue between who logs and who writes."""

from __future__ import annotations

import threading
from collections import Counter, deque

from lambda_home.arns import Scope
from lambda_home.logs.events import LogText

MOST_LINES = 200_000
MOST_BYTES = 256 * 1024 * 1024
_COST = 200
"""What a waiting text takes in memory beside its bytes, about."""

Source = tuple[Scope, str, str]


class LineQueue:
    """Lines that wait to be written; `dropped` counts those that found it full or were lost."""

    def __init__(self, most_lines: int = MOST_LINES, most_bytes: int = MOST_BYTES) -> None:
        self._most_lines = most_lines
        self._most_bytes = most_bytes
        # Appending to and taking from a deque needs no lock, so the event loop never waits for one.
        self._texts: deque[tuple[LogText, int]] = deque()
        # What came is changed by the event loop alone, what went by whoever writes.
        self._lines_came = self._lines_went = 0
        self._bytes_came = self._bytes_went = 0
        self._losing = threading.Lock()
        self._lost: Counter[Source] = Counter()
        self.dropped = 0

    def append(self, text: LogText) -> None:
        """Add lines, on the event loop; a full queue drops them."""
        lines = text.lines
        full = self._lines_came - self._lines_went >= self._most_lines
        if full or self._bytes_came - self._bytes_went >= self._most_bytes:
            self.lose((text.scope, text.group, text.stream), lines)
            return
        self._lines_came += lines
        self._bytes_came += len(text.text) + _COST
        self._texts.append((text, lines))

    def take(self) -> list[LogText]:
        """All that waits; one thread at a time."""
        taken = [self._texts.popleft() for _ in range(len(self._texts))]
        self._lines_went += sum(lines for _, lines in taken)
        self._bytes_went += sum(len(text.text) + _COST for text, _ in taken)
        return [text for text, _ in taken]

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

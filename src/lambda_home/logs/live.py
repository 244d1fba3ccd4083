"""Log events live: what waits for a reader, within bounds; a tail that lets slow readers go."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Protocol, Self

from lambda_home.arns import Scope
from lambda_home.logs.events import Follower, LiveEvent

MOST_WAITING = 20_000
"""Events that wait for a reader before it is dropped."""

MOST_CHARACTERS = 32 * 1024 * 1024
"""Characters of messages that wait for one reader: lines are long sometimes."""


class Followed(Protocol):
    """What a tail needs of the log store."""

    def follow(
        self,
        scope: Scope,
        groups: Collection[str],
        follower: Follower,
        ended: Callable[[], None] | None = None,
    ) -> Callable[[], None]:
        """See `LogStore.follow`."""


class Backlog:
    """Events that wait for a reader: at most so many, of so many characters; for any thread."""

    def __init__(self, most: int, most_characters: int = MOST_CHARACTERS) -> None:
        self._most = most
        self._most_characters = most_characters
        self._lock = threading.Lock()
        self._events: deque[LiveEvent] = deque()
        self._characters = 0

    def add(self, events: Sequence[LiveEvent]) -> bool:
        """Take all of them, or none if that would be too much: then False."""
        size = _characters(events)
        with self._lock:
            if (
                len(self._events) + len(events) > self._most
                or self._characters + size > self._most_characters
            ):
                return False
            self._events.extend(events)
            self._characters += size
        return True

    def add_newest(self, events: Sequence[LiveEvent]) -> int:
        """Take them, and let the oldest go that are too much; answers how many went."""
        gone = 0
        with self._lock:
            self._events.extend(events)
            self._characters += _characters(events)
            while len(self._events) > self._most or self._characters > self._most_characters:
                self._characters -= len(self._events.popleft().message)
                gone += 1
        return gone

    def take(self) -> list[LiveEvent]:
        """All that wait, which wait no longer."""
        with self._lock:
            events = list(self._events)
            self._events.clear()
            self._characters = 0
        return events


class Tail:
    """Events of some groups from now on, as batches: `async for events in tail`.

    It ends when `close` is called, or when more than `most` events wait, or too many characters:
    then `fell_behind` is true. `accepts` says which events are wanted; it runs in the writer's
    thread and must be quick.
    """

    def __init__(
        self,
        store: Followed,
        scope: Scope,
        groups: Collection[str],
        *,
        accepts: Callable[[LiveEvent], bool] | None = None,
        most: int = MOST_WAITING,
    ) -> None:
        self.fell_behind = False
        self._followed = (store, scope, frozenset(groups))
        self._accepts = accepts
        self._waiting = Backlog(most)
        self._news = asyncio.Event()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: Callable[[], None] | None = None

    async def __aenter__(self) -> Self:
        """Follow from now on."""
        self._loop = asyncio.get_running_loop()
        store, scope, groups = self._followed
        self._end = store.follow(scope, groups, self._heard, self.close)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Follow no longer."""
        self.close()

    def close(self) -> None:
        """Follow no longer; who waits gets what is there, then the end."""
        if self._end is not None:
            self._end()
            self._end = None
        self._closed = True
        self._news.set()

    def __aiter__(self) -> Self:
        """Batches, as they come."""
        return self

    async def __anext__(self) -> list[LiveEvent]:
        """The next batch; waits for it."""
        while True:
            events = self.take()
            if events:
                return events
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()

    def take(self) -> list[LiveEvent]:
        """What waits now; may be nothing."""
        return self._waiting.take()

    def _heard(self, events: Sequence[LiveEvent]) -> None:
        """In the writer's thread."""
        wanted = [e for e in events if self._accepts(e)] if self._accepts else events
        if wanted and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._add, wanted)

    def _add(self, events: Sequence[LiveEvent]) -> None:
        if self._closed:
            return
        if not self._waiting.add(events):
            self.fell_behind = True
            self.close()
            return
        self._news.set()


def _characters(events: Sequence[LiveEvent]) -> int:
    return sum(len(event.message) for event in events)

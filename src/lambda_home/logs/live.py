"""Log events live, on the event loop: a tail that ends when its reader is too slow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Protocol, Self

from lambda_home.arns import Scope
from lambda_home.logs.events import Follower, LiveEvent

MOST_WAITING = 20_000
"""Events that wait for a reader before it is dropped."""


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


class Tail:
    """Events of some groups from now on, as batches: `async for events in tail`.

    It ends when `close` is called, or when more than `most` events wait: then `fell_behind` is
    true. `accepts` says which events are wanted; it runs in the writer's thread and must be quick.
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
        self._most = most
        self._waiting: deque[LiveEvent] = deque()
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
        events = list(self._waiting)
        self._waiting.clear()
        return events

    def _heard(self, events: Sequence[LiveEvent]) -> None:
        """In the writer's thread."""
        wanted = [e for e in events if self._accepts(e)] if self._accepts else events
        if wanted and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._add, wanted)

    def _add(self, events: Sequence[LiveEvent]) -> None:
        if self._closed:
            return
        if len(self._waiting) + len(events) > self._most:
            self.fell_behind = True
            self.close()
            return
        self._waiting.extend(events)
        self._news.set()

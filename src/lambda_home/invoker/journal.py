"""Writes to the event store in groups: what comes during a commit shares the next one.

One fsync, many callers. Only what somebody waits for is written at once; that an event is done is
written with the next group, or a moment later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from lambda_home.errors import ServiceException
from lambda_home.registry.events import EventStore, StoredEvent

_LATER_S = 0.02
_AGAIN_S = 1.0

_log = structlog.get_logger(__name__)


class Journal:
    """Between `open` and `close` it writes; `on_added` is told of events that became durable."""

    def __init__(
        self, store: EventStore, on_added: Callable[[Sequence[StoredEvent]], None]
    ) -> None:
        self._store = store
        self._on_added = on_added
        self._added: list[tuple[StoredEvent, asyncio.Future[None]]] = []
        self._changed: dict[str, StoredEvent] = {}
        self._removed: set[str] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._wanted = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._thread = ThreadPoolExecutor(1, "events")
        self._writer: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> None:
        """Start writing."""
        self._writer = asyncio.get_running_loop().create_task(self._write_until_closed())

    async def close(self) -> None:
        """Write what there is, and stop. No commit is cut off: its callers wait for it."""
        if self._writer is None:
            return
        self._closing = True
        self._wanted.set()
        await self._writer
        self._thread.shutdown()
        if self._later is not None:
            self._later.cancel()

    async def add(self, event: StoredEvent) -> None:
        """Durable on return. Raises ServiceException if it could not be stored."""
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._added.append((event, durable))
        self._wanted.set()
        await durable

    async def change(self, event: StoredEvent) -> None:
        """Durable on return; tried until it can be written."""
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changed[event.request_id] = event
        self._waiting.append(durable)
        self._wanted.set()
        await durable

    def change_soon(self, event: StoredEvent) -> None:
        """As `change`, a moment later and with nobody waiting."""
        self._changed[event.request_id] = event
        self._soon(_LATER_S)

    def remove(self, request_id: str) -> None:
        """The event is done."""
        self._removed.add(request_id)
        self._soon(_LATER_S)

    def _soon(self, delay_s: float) -> None:
        if self._later is None and not self._wanted.is_set():
            self._later = asyncio.get_running_loop().call_later(delay_s, self._now)

    def _now(self) -> None:
        self._later = None
        self._wanted.set()

    async def _write_until_closed(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._later is not None:
                self._later.cancel()
                self._later = None
            written = await self._write()
            if self._closing and not (self._added or (written and self._unwritten())):
                return

    def _unwritten(self) -> bool:
        return bool(self._changed or self._removed)

    async def _write(self) -> bool:
        """Write one group; True if that went well."""
        added, self._added = self._added, []
        changed, self._changed = self._changed, {}
        removed, self._removed = self._removed, set()
        waiting, self._waiting = self._waiting, []
        events = [event for event, _ in added]
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(
                self._thread, self._store.write, events, list(changed.values()), removed
            )
        except Exception as error:
            _log.exception("events could not be written")
            failure = ServiceException(f"The event could not be stored: {error}")
            for _, durable in added:
                if not durable.done():
                    durable.set_exception(failure)
            self._changed = changed | self._changed
            self._removed |= removed
            self._waiting += waiting
            self._soon(_AGAIN_S)
            return False
        for durable in [*(future for _, future in added), *waiting]:
            if not durable.done():
                durable.set_result(None)
        if events:
            self._on_added(events)
        return True

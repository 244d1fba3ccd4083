"""A response between the runtime that writes it and the caller that reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

# What waits in memory for one slow caller. More would only move the wait from the function to us.
_HIGH, _LOW = 256 * 1024, 64 * 1024


class ResponseStream:
    """A `ResponseSink` with a reader; once abandoned it takes everything and keeps nothing.

    `begun` is resolved when the first of it comes: with the version that answers, and its content
    type.
    """

    def __init__(self) -> None:
        self.begun: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()
        self._pieces: list[bytes] = []
        self._size = 0
        self._on_room: Callable[[], None] | None = None
        self._came = asyncio.Event()
        self._abandoned = False

    def begin(self, version: str, content_type: str) -> None:
        """The response begins."""
        if not self.begun.done():
            self.begun.set_result((version, content_type))

    def feed(self, data: bytes, on_room: Callable[[], None]) -> bool:
        """Take a piece. False: enough for now, `on_room` is called when there is room again."""
        if self._abandoned:
            return True
        self._pieces.append(data)
        self._size += len(data)
        self._came.set()
        if self._size < _HIGH:
            return True
        self._on_room = on_room
        return False

    async def read(self, end: asyncio.Future[Any]) -> bytes:
        """What has come since the last time; waits for more. Empty when `end` is done."""
        while not self._pieces:
            if end.done():
                return b""
            self._came.clear()
            came = asyncio.ensure_future(self._came.wait())
            waited: set[asyncio.Future[Any]] = {came, end}
            try:
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                came.cancel()
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._let_in()
        return data

    def abandon(self) -> None:
        """Nobody reads any more: the function may finish, as on AWS, and what comes is dropped."""
        self._abandoned = True
        self._pieces.clear()
        self._size = 0
        self._let_in()

    def _let_in(self) -> None:
        if self._on_room is not None and self._size <= _LOW:
            on_room, self._on_room = self._on_room, None
            on_room()

"""Delivers batches to listeners within an environment, by HTTP or TCP.

A connection is made to the address that the sandbox gives for a port of the environment, and never
to another: no name is looked up, no redirect followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from lambda_home.telemetry.batches import Batch
from lambda_home.telemetry.subscriptions import Destination

PATIENCE_S = 5.0
PAUSES_S = (0.1, 0.5, 2.0)
"""How long is waited before a delivery that failed is tried again, and how often."""
_MOST_OF_ANSWER = 4096
_FIRST_ERROR = 400

Reach = Callable[[int], Awaitable[tuple[str, int] | None]]
"""Where the server reaches a TCP port on which the environment listens; None if it does not."""


class UndeliveredError(Exception):
    """A batch was not taken; the message says why."""


class Deliverer:
    """Delivers the batches of one subscription, in order."""

    def __init__(self, destination: Destination, reach: Reach) -> None:
        self._to = destination
        self._reach = reach
        self._stream: asyncio.StreamWriter | None = None

    async def deliver(self, batch: Batch) -> None:
        """Deliver a batch, trying again for a while. Raises UndeliveredError."""
        for pause_s in PAUSES_S:
            try:
                await self._once(batch)
            except UndeliveredError:
                await asyncio.sleep(pause_s)
            else:
                return
        await self._once(batch)

    def close(self) -> None:
        """End the connection of a TCP destination."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    async def _once(self, batch: Batch) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await (self._http(batch) if self._to.path else self._tcp(batch))
        except (OSError, TimeoutError) as error:
            self.close()
            reason = str(error) or "timed out"
            raise UndeliveredError(f"could not send events: {reason}") from error

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = await self._reach(self._to.port)
        if address is None:
            raise UndeliveredError(f"could not send events: nothing listens on {self._to.port}")
        return await asyncio.open_connection(*address)

    async def _http(self, batch: Batch) -> None:
        to = self._to
        body = b"[" + b",".join(batch.events) + b"]"
        head = (
            f"{to.method} {to.path} HTTP/1.1\r\nHost: {to.host}:{to.port}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        reading, writing = await self._connect()
        try:
            writing.write(head.encode() + body)
            await writing.drain()
            status = _status(await reading.readline())
            await reading.read(_MOST_OF_ANSWER)
        finally:
            writing.close()
            with suppress(OSError):
                await writing.wait_closed()
        if status >= _FIRST_ERROR:
            raise UndeliveredError(f"could not send events: the answer was {status}")

    async def _tcp(self, batch: Batch) -> None:
        if self._stream is None or self._stream.is_closing():
            _, self._stream = await self._connect()
        self._stream.write(b"".join(event + b"\n" for event in batch.events))
        await self._stream.drain()


def _status(line: bytes) -> int:
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():  # noqa: PLR2004
        raise UndeliveredError("could not send events: the answer is not HTTP")
    return int(words[1][:3])

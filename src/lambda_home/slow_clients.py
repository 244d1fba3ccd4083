"""One look at all connections of a listener, every now and then, instead of a timer for each."""

from __future__ import annotations

import asyncio
import fcntl
import math
import struct
from collections.abc import Collection
from termios import TIOCOUTQ
from typing import Any, Final, Protocol, cast, runtime_checkable

from lambda_home.front_limits import Patience, Unacceptable, refusal

_FULL: Final = refusal(
    Unacceptable(503, "The server has too many connections: close some, or try again later.")
)


@runtime_checkable
class Watched(Protocol):
    """A connection that can be judged."""

    def look(self, patience: Patience, now: float) -> None:
        """End if the client is too slow."""


class Sweep:
    """Looks at `connections` as often as `patience` asks for; needs a running event loop."""

    def __init__(self, connections: Collection[Any], patience: Patience) -> None:
        self._connections = connections
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look, and again later."""
        if not math.isfinite(self._patience.sweep_s):
            return
        self._next = self._loop.call_later(self._patience.sweep_s, self.start)
        now = self._loop.time()
        for connection in list(self._connections):
            if isinstance(connection, Watched):
                connection.look(self._patience, now)

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()


class Full(asyncio.Protocol):
    """A connection that is one too many: it is told so, and ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer before any request."""
        cast("asyncio.WriteTransport", transport).write(_FULL)
        transport.close()


def unsent(transport: asyncio.WriteTransport) -> int:
    """How many bytes wait for the client, the kernel's included if there are any of ours.

    The kernel asks for more only when much of its buffer is free, which takes a slow client long;
    and a transport of TLS does not tell of what it has encrypted.
    """
    ours: int = transport.get_write_buffer_size()
    connection = transport.get_extra_info("socket")
    if connection is None or not (ours or transport.get_extra_info("sslcontext")):
        return ours
    descriptor: int = connection.fileno()
    if descriptor < 0:
        return ours
    (kernels,) = struct.unpack("i", fcntl.ioctl(descriptor, TIOCOUTQ, bytes(4)))
    return ours + int(kernels)

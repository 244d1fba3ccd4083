"""A debugger's port on this machine's loopback, passed on to the environment that runs at present.

Because the server passes it on, it knows whether a debugger is attached.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass

import structlog

from lambda_home.debugging.launching import NODE, begins_session
from lambda_home.errors import InvalidParameterValueException

_LOOPBACK = "127.0.0.1"
_PIECE = 1 << 16
_CONNECT_S = 5.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a debugger listens, as the server reaches it, in which environment."""

    environment_id: str
    host: str
    port: int


Find = Callable[[], Awaitable[Target | None]]
"""Waits for an environment to listen; None if that takes too long."""
Attached = Callable[[str, bool], None]
"""Hears that a debugger is attached to an environment, or no more."""


class Forwarder:
    """One port between `open` and `close`."""

    def __init__(self, family: str, find: Find, attached: Attached) -> None:
        self._family = family
        self._find = find
        self._attached = attached
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._debuggers: Counter[str] = Counter()

    async def open(self, port: int) -> int:
        """Listen, on any free port for 0; answers the port.

        Raises InvalidParameterValueException for a port that is taken.
        """
        try:
            self._server = await asyncio.start_server(self._serve, _LOOPBACK, port)
        except OSError as error:
            raise InvalidParameterValueException(
                f"Port {port} cannot be used for a debugger: {error.strerror or error}."
            ) from error
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def close(self) -> None:
        """End the port and all connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    @property
    def attached(self) -> bool:
        """Whether a debugger is attached."""
        return self._debuggers.total() > 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        try:
            await self._pass_on(reader, writer)
        except (OSError, TimeoutError) as error:
            _log.info("a debugger's connection has ended", reason=str(error))
        except asyncio.CancelledError:
            pass  # the port is closed
        finally:
            await _end(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = await self._find()
        if target is None:
            _log.warning("a debugger came, but no environment listens for it")
            return
        # Node.js waits to be spoken to; debugpy may speak first.
        first = await reader.read(_PIECE) if self._family == NODE else b""
        async with asyncio.timeout(_CONNECT_S):
            inner_reader, inner_writer = await asyncio.open_connection(target.host, target.port)
        counted = begins_session(self._family, first)
        with self._session(target.environment_id) if counted else nullcontext():
            inner_writer.write(first)
            ways = (
                asyncio.create_task(_copy(reader, inner_writer)),
                asyncio.create_task(_copy(inner_reader, writer)),
            )
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                await _end(inner_writer)

    @contextmanager
    def _session(self, environment_id: str) -> Iterator[None]:
        """A debugger is attached meanwhile."""
        self._debuggers[environment_id] += 1
        if self._debuggers[environment_id] == 1:
            self._attached(environment_id, True)  # noqa: FBT003
        try:
            yield
        finally:
            self._debuggers[environment_id] -= 1
            if not self._debuggers[environment_id]:
                del self._debuggers[environment_id]
                self._attached(environment_id, False)  # noqa: FBT003


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()


async def _end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()

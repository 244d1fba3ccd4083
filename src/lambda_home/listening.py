"""Serving an ASGI app on sockets that are bound already, inside an event loop that is ours."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from lambda_home.errors import LambdaHomeError

_BACKLOG = 2048
_CLOSING_STEP_S = 0.005


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises LambdaHomeError with one line that says what is in the way."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise LambdaHomeError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose another port, 0 for a free"
            " one."
        ) from error
    listener.setblocking(False)  # noqa: FBT003  the name is the socket module's
    return listener


def port_of(listener: socket.socket) -> int:
    """The port that a socket listens on."""
    port: int = listener.getsockname()[1]
    return port


class Listener:
    """One app on one or more sockets; open requests get `grace_s` seconds when it stops.

    `http` makes the protocol of a connection, with the arguments of uvicorn's own.
    """

    def __init__(
        self,
        app: Any,
        sockets: list[socket.socket],
        *,
        keep_alive_s: int,
        grace_s: float,
        http: Any = "httptools",
    ) -> None:
        self._config = uvicorn.Config(
            app,
            loop="none",
            http=http,
            proxy_headers=False,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=keep_alive_s,
            timeout_graceful_shutdown=math.ceil(grace_s),
            backlog=_BACKLOG,
        )
        self._sockets = sockets
        self._server = _QuietServer(self._config)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve; returns once connections are accepted."""
        task = asyncio.get_running_loop().create_task(self._server.serve(self._sockets))
        self._task = task
        while not self._server.started:
            if task.done():
                await task  # raises what went wrong
                raise LambdaHomeError("the HTTP server ended at its start")
            await asyncio.sleep(0.001)

    def protocol(self) -> asyncio.Protocol:
        """A connection's protocol, for sockets that are opened later."""
        make: Any = self._config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self._config, server_state=self._server.server_state, app_state={}
        )
        return protocol

    async def stop(self) -> None:
        """Accept no more, give open requests their grace, end."""
        self._server.end()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)


class _QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers: signals are the server's, not a listener's.

    uvicorn looks ten times a second whether it shall end, and whether it has ended. This one is
    told, so an idle server sleeps, and a server that stops is not held up by naps.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Leave `main_loop`."""
        self.should_exit = True
        self._ending.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)  # makes the default headers, which have no date here
        await self._ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or ():
            listener.close()
        state = self.server_state
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while state.connections or state.tasks:
                    for connection in list(state.connections):  # some were accepted just now
                        connection.shutdown()
                    await asyncio.sleep(_CLOSING_STEP_S)
                for server in self.servers:
                    await server.wait_closed()
        except TimeoutError:
            for task in list(state.tasks):
                task.cancel()

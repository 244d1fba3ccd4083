"""A connection without a network: bytes in, bytes out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.routing import Router
from uvicorn.server import ServerState

from lambda_home.direct_http import DirectConnection, Routes
from lambda_home.runtime_api.app import RuntimeApi


class Recorder(asyncio.Transport):
    """Keeps what is written, and whether reading is paused."""

    def __init__(self, port: int) -> None:
        super().__init__({"sockname": ("127.0.0.1", port), "peername": ("127.0.0.1", 40_000)})
        self.written = b""
        self.said = asyncio.Event()
        self.closed = False
        self.paused = False
        self.buffered = 0

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def write(self, data: Any) -> None:
        self.written += bytes(data)
        self.said.set()

    def close(self) -> None:
        self.closed = True
        self.said.set()

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Wire:
    """One connection, whose requests `routes` take."""

    routes: Routes
    port: int = 9001
    connection: DirectConnection = field(init=False)
    transport: Recorder = field(init=False)

    def __post_init__(self) -> None:
        app = RuntimeApi(Router().not_found)
        config = uvicorn.Config(app, log_config=None, ws="none", lifespan="off")
        self.connection = DirectConnection(
            self.routes, config=config, server_state=ServerState(), app_state={}
        )
        self.transport = Recorder(self.port)
        self.connection.connection_made(self.transport)

    def send(self, data: bytes) -> None:
        """Bytes from the runtime."""
        self.connection.data_received(data)

    def lose(self) -> None:
        """The runtime's end of the connection is gone."""
        self.connection.connection_lost(None)

    async def answer(self) -> Answer:
        """The next answer that came, waited for."""
        async with asyncio.timeout(60):
            while (found := self._parse()) is None:
                self.transport.said.clear()
                await self.transport.said.wait()
        return found

    def _parse(self) -> Answer | None:
        head, mark, rest = self.transport.written.partition(b"\r\n\r\n")
        if not mark:
            return None
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        size = int(headers.get("content-length", "0"))
        if len(rest) < size:
            return None
        self.transport.written = rest[size:]
        return Answer(int(status.split()[1]), headers, rest[:size])

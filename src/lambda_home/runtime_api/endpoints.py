"""Loopback ports of their own for environments that cannot be given a host name of their own.

A bare process has no mount namespace, so its /etc/hosts is the machine's. There the port is what
tells who is calling.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class RuntimeEndpoints:
    """Opens and closes such ports; serves them with the runtime API's own HTTP protocol."""

    def __init__(self) -> None:
        self._protocol: Callable[[], asyncio.Protocol] | None = None
        self._servers: dict[str, asyncio.Server] = {}
        self._by_port: dict[int, str] = {}

    def serve_with(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Set the protocol factory; the runtime API's server does so when it has started."""
        self._protocol = protocol

    async def open(self, environment_id: str) -> str:
        """Listen on a free loopback port for this environment; return `address:port`."""
        if self._protocol is None:
            raise RuntimeError("the runtime API is not listening yet")
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._protocol, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        self._servers[environment_id] = server
        self._by_port[port] = environment_id
        return f"127.0.0.1:{port}"

    async def close(self, environment_id: str) -> None:
        """Stop listening for this environment; an unknown one is no error."""
        server = self._servers.pop(environment_id, None)
        if server is not None:
            for port in [p for p, e in self._by_port.items() if e == environment_id]:
                del self._by_port[port]
            server.close()

    def environment_on(self, port: int) -> str | None:
        """The environment that this port belongs to."""
        return self._by_port.get(port)

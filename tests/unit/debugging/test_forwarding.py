"""The debugger's port: what goes through it, and what it tells."""

from __future__ import annotations

import asyncio
import socket

import pytest
from fakes import until

from lambda_home.debugging.forwarding import Forwarder, Target
from lambda_home.errors import InvalidParameterValueException


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data.upper())
        await writer.drain()
    writer.close()


def test_a_debugger_is_passed_on_and_counted_while_it_is_connected() -> None:
    told: list[tuple[str, bool]] = []

    async def main() -> None:
        inner = await asyncio.start_server(_echo, "127.0.0.1", 0)
        port = inner.sockets[0].getsockname()[1]

        async def find() -> Target:
            return Target("e1", "127.0.0.1", port)

        forwarder = Forwarder("python", find, lambda e, on: told.append((e, on)))
        outer = await forwarder.open(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", outer)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"HELLO"
        assert forwarder.attached
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", outer)
        other_writer.write(b"x")
        assert await other_reader.read(1) == b"X"
        other_writer.close()
        await other_writer.wait_closed()
        writer.close()
        await writer.wait_closed()
        await until(lambda: not forwarder.attached)
        await forwarder.close()
        inner.close()

    asyncio.run(main())
    assert told == [("e1", True), ("e1", False)]


def test_closing_ends_connections_and_detaches() -> None:
    told: list[bool] = []

    async def main() -> None:
        inner = await asyncio.start_server(_echo, "127.0.0.1", 0)
        port = inner.sockets[0].getsockname()[1]

        async def find() -> Target:
            return Target("e1", "127.0.0.1", port)

        forwarder = Forwarder("python", find, lambda _, on: told.append(on))
        reader, writer = await asyncio.open_connection("127.0.0.1", await forwarder.open(0))
        writer.write(b"x")
        assert await reader.read(1) == b"X"
        await forwarder.close()
        assert await reader.read() == b""
        writer.close()
        inner.close()

    asyncio.run(main())
    assert told == [True, False]


def test_a_connection_without_an_environment_is_hung_up() -> None:
    async def main() -> None:
        async def find() -> None:
            return None

        forwarder = Forwarder("python", find, lambda *_: None)
        reader, writer = await asyncio.open_connection("127.0.0.1", await forwarder.open(0))
        assert await reader.read() == b""
        assert not forwarder.attached
        writer.close()
        await forwarder.close()

    asyncio.run(main())


def test_a_port_that_is_taken_is_named() -> None:
    async def find() -> None:
        return None

    async def main(port: int) -> None:
        with pytest.raises(InvalidParameterValueException, match=f"Port {port} cannot be used"):
            await Forwarder("python", find, lambda *_: None).open(port)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        asyncio.run(main(taken.getsockname()[1]))

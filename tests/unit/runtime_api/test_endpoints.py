"""Loopback ports that tell who is calling."""

from __future__ import annotations

import asyncio

import pytest

from lambda_home.runtime_api.endpoints import RuntimeEndpoints


class Greeting(asyncio.Protocol):
    """Tells each client on which port it was reached, then hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(str(transport.get_extra_info("sockname")[1]).encode())
        transport.close()


async def greeting(address: str) -> str:
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    said = await reader.read()
    writer.close()
    await writer.wait_closed()
    return said.decode()


def test_each_environment_has_a_loopback_port_of_its_own() -> None:
    async def main() -> None:
        endpoints = RuntimeEndpoints()
        endpoints.serve_with(Greeting)
        addresses = {name: await endpoints.open(name) for name in ("a", "b")}
        assert len(set(addresses.values())) == 2
        for name, address in addresses.items():
            assert address.startswith("127.0.0.1:")
            port = await greeting(address)
            assert address == f"127.0.0.1:{port}"
            assert endpoints.environment_on(int(port)) == name
        for name in addresses:
            await endpoints.close(name)

    asyncio.run(main())


def test_a_closed_port_is_nobodys_and_takes_no_connection() -> None:
    async def main() -> None:
        endpoints = RuntimeEndpoints()
        endpoints.serve_with(Greeting)
        address, other = await endpoints.open("a"), await endpoints.open("b")
        await endpoints.close("a")
        assert endpoints.environment_on(int(address.split(":")[1])) is None
        with pytest.raises(ConnectionRefusedError):
            await greeting(address)
        assert endpoints.environment_on(int(await greeting(other))) == "b"
        await endpoints.close("b")

    asyncio.run(main())


def test_an_unknown_environment_or_port_is_no_error() -> None:
    async def main() -> None:
        endpoints = RuntimeEndpoints()
        await endpoints.close("unknown")
        assert endpoints.environment_on(1) is None

    asyncio.run(main())


def test_no_port_is_opened_before_there_is_a_server_behind_it() -> None:
    with pytest.raises(RuntimeError, match="not listening yet"):
        asyncio.run(RuntimeEndpoints().open("a"))

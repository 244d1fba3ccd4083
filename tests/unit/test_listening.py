"""listening.py: a listener that stops answers what is open, and is held up by nothing else."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from pem_files import pem_files
from structlog.testing import capture_logs

from lambda_home.errors import ConfigurationError
from lambda_home.listening import Listener, bind, port_of, tls_context

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
GRACE_S = 10.0
AT_ONCE_S = 5.0
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Gate:
    """An app that answers once its gate is open."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        del scope, receive
        self.asked.set()
        await self.open.wait()
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def listening(app: Gate, grace_s: float = GRACE_S) -> AsyncIterator[tuple[Listener, int]]:
    listener = bind("127.0.0.1", 0)
    port = port_of(listener)
    served = Listener(app, [listener], grace_s=grace_s)
    await served.start()
    try:
        yield served, port
    finally:
        app.open.set()
        await served.stop()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def seconds_of(stopping: asyncio.Task[None]) -> float:
    began = time.monotonic()
    await stopping
    return time.monotonic() - began


def test_connections_that_idle_hold_nothing_up() -> None:
    async def main() -> None:
        app = Gate()
        app.open.set()
        async with listening(app) as (served, port), connected(port) as (reader, writer):
            writer.write(REQUEST)
            await reader.readuntil(b"ok")
            assert await seconds_of(asyncio.ensure_future(served.stop())) < AT_ONCE_S
            assert await reader.read() == b""

    asyncio.run(main())


def test_an_open_request_is_answered_and_a_connection_made_meanwhile_is_closed() -> None:
    async def main() -> None:
        app = Gate()
        async with listening(app) as (served, port), connected(port) as (reader, writer):
            writer.write(REQUEST)
            await app.asked.wait()
            loop = asyncio.get_running_loop()
            later = await loop.create_server(served.protocol, "127.0.0.1", 0)
            stopping = asyncio.ensure_future(served.stop())
            await asyncio.sleep(0.05)
            assert not stopping.done()
            async with connected(later.sockets[0].getsockname()[1]) as (other, _):
                assert await other.read() == b""
            app.open.set()
            assert await seconds_of(stopping) < AT_ONCE_S
            assert (await reader.read()).endswith(b"ok")
            later.close()

    asyncio.run(main())


def test_a_request_that_outlasts_the_grace_is_cut_off() -> None:
    async def main() -> None:
        app = Gate()
        async with listening(app, grace_s=1.0) as (served, port), connected(port) as (_, writer):
            writer.write(REQUEST)
            await app.asked.wait()
            assert 0.9 < await seconds_of(asyncio.ensure_future(served.stop())) < 1 + AT_ONCE_S

    asyncio.run(main())


# ------------------------------------------------------------------------------------------- HTTPS


def test_two_files_make_https_of_tls_1_2_or_newer(tmp_path: Path) -> None:
    assert tls_context("", "") is None
    context = tls_context(*map(str, pem_files(tmp_path)))
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_key_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    certificate, key = pem_files(tmp_path)
    with capture_logs() as lines:
        tls_context(str(certificate), str(key))
        assert lines == []
        key.chmod(0o640)
        tls_context(str(certificate), str(key))
    assert [line["path"] for line in lines] == [str(key)]


ENCRYPTED = serialization.BestAvailableEncryption(b"password")


@pytest.mark.parametrize(
    ("certificate", "key", "says"),
    [
        ("own.crt", "", "server.tls_key is not"),
        ("", "own.key", "server.tls_certificate is not"),
        ("none.crt", "own.key", r"server\.tls_certificate = .*none\.crt: No such file"),
        ("own.crt", "none.key", r"server\.tls_key = .*none\.key: No such file"),
        ("own.crt", "folder", r"server\.tls_key = .*folder: Is a directory"),
        ("own.crt", "other.key", "is not the key of"),
        ("own.crt", "own.crt", "must be PEM files"),
        ("own.key", "own.key", "must be PEM files"),
        ("rubbish", "own.key", "must be PEM files"),
        ("own.crt", "encrypted.key", "is encrypted"),
    ],
)
def test_what_keeps_it_from_https_is_told_in_one_line(
    tmp_path: Path, certificate: str, key: str, says: str
) -> None:
    _, own = pem_files(tmp_path)
    pem_files(tmp_path, "other")
    (tmp_path / "folder").mkdir()
    (tmp_path / "rubbish").write_bytes(b"\x00 rubbish")
    private = serialization.load_pem_private_key(own.read_bytes(), None)
    (tmp_path / "encrypted.key").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, ENCRYPTED
        )
    )
    paths = [str(tmp_path / name) if name else "" for name in (certificate, key)]
    with pytest.raises(ConfigurationError, match=says) as refused:
        tls_context(*paths)
    assert "\n" not in str(refused.value)

"""Reads the output of containers on the event loop, without a thread for each.

Where the daemon is on this machine, a container writes into a named pipe that the server reads: its
lines do not pass through the daemon, which would cost more than all else that is done about them.
Elsewhere the daemon is asked for its output (`attach`).

docker-py is synchronous, so the two requests that stay open as long as a container lives (`attach`
and `wait`) are made here by hand, on the address that the given client uses.
Stream format: https://docs.docker.com/reference/api/engine/ (ContainerAttach).
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.output_pipe import OutputPipe

_FRAME_HEADER = 8
_CHUNK = 1 << 16
_HANDSHAKE_S = 20.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Demultiplexer:
    """Takes the frame headers out of Docker's stream: standard output and error in one order."""

    def __init__(self) -> None:
        self._header = b""
        self._left = 0

    def feed(self, data: bytes) -> bytes:
        """Return the output within `data`, which may be cut anywhere."""
        parts: list[bytes] = []
        at = 0
        while at < len(data):
            if self._left:
                part = data[at : at + self._left]
                self._left -= len(part)
                parts.append(part)
                at += len(part)
                continue
            missing = _FRAME_HEADER - len(self._header)
            self._header += data[at : at + missing]
            at += missing
            if len(self._header) == _FRAME_HEADER:
                self._left = int.from_bytes(self._header[4:], "big")
                self._header = b""
        return b"".join(parts)


class DaemonStreams:
    """Opens raw connections to the daemon that `client` (docker.APIClient) talks to."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._prefix = f"/v{client.api_version}/containers"

    async def attach(self, container_id: str) -> Streams:
        """Return the output stream of a container that is not started yet.

        Raises SandboxError if the daemon refuses, OSError if it does not answer.
        """
        head = (
            f"POST {self._prefix}/{container_id}/attach?stream=1&stdout=1&stderr=1 HTTP/1.1\r\n"
            "Host: docker\r\nUpgrade: tcp\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"
        )
        streams = await self._request(head)
        try:
            async with asyncio.timeout(_HANDSHAKE_S):
                answer = await streams[0].readuntil(b"\r\n\r\n")
            _check_attached(answer)
        except BaseException as error:
            streams[1].transport.abort()
            if isinstance(error, asyncio.IncompleteReadError):
                raise SandboxError("Docker closed the connection instead of attaching.") from error
            raise
        return streams

    async def wait(self, container_id: str) -> int | None:
        """Wait until a container does not run; its exit code, None if the daemon knows none.

        Raises OSError if the daemon does not answer.
        """
        head = (
            f"POST {self._prefix}/{container_id}/wait HTTP/1.1\r\n"
            "Host: docker\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        reader, writer = await self._request(head)
        try:
            answer = await reader.read(-1)
        finally:
            writer.transport.abort()
        start, end = answer.find(b"{"), answer.rfind(b"}")
        try:
            body = json.loads(answer[start : end + 1])
        except ValueError:
            return None
        code = body.get("StatusCode") if isinstance(body, dict) else None
        return code if isinstance(code, int) else None

    async def _request(self, head: str) -> Streams:
        reader, writer = await self._connect()
        writer.write(head.encode("ascii"))
        return reader, writer

    async def _connect(self) -> Streams:
        base = self._client.base_url
        socket_path = getattr(self._client.get_adapter(base), "socket_path", None)
        if socket_path is not None:
            return await asyncio.open_unix_connection(socket_path)
        url = urlsplit(base)
        if url.scheme not in {"http", "https"} or url.hostname is None:
            raise SandboxError(f"Docker at {base} is not supported: use a unix or tcp address.")
        context = self._tls() if url.scheme == "https" else None
        return await asyncio.open_connection(url.hostname, url.port or 2375, ssl=context)

    def _tls(self) -> ssl.SSLContext:
        """The client's TLS settings, as `requests` spells them."""
        verify, cert = self._client.verify, self._client.cert
        context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
        if verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if cert:
            context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
        return context


class ContainerOutput(Protocol):
    """The output of one container, from before its start until its end."""

    async def attach(self, container_id: str) -> None:
        """Get ready, before the start. Raises SandboxError, OSError."""

    async def follow(self, container_id: str) -> int | None:
        """Deliver everything until it has ended; its exit code, if the daemon knows one.

        Raises OSError if the daemon does not answer.
        """

    def collect(self) -> None:
        """Deliver what has been written by now."""

    def close(self) -> None:
        """Read no more."""


class AttachedOutput:
    """What the daemon passes on."""

    def __init__(self, daemon: DaemonStreams, deliver: Callable[[bytes], None]) -> None:
        self._daemon = daemon
        self._deliver = deliver
        self._streams: Streams | None = None

    async def attach(self, container_id: str) -> None:
        """Ask the daemon for it."""
        self._streams = await self._daemon.attach(container_id)

    async def follow(self, container_id: str) -> int | None:
        """The stream ends when the container is ending, or a function closed its output."""
        if self._streams is not None:
            await pump(self._streams, self._deliver)
        return await self._daemon.wait(container_id)

    def collect(self) -> None:
        """It comes as soon as the daemon sends it."""

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].transport.abort()


class PipedOutput:
    """What comes through a pipe of our own; `descriptor` is its reading end, and closed here."""

    def __init__(
        self, daemon: DaemonStreams, deliver: Callable[[bytes], None], descriptor: int
    ) -> None:
        self._daemon = daemon
        self._pipe = OutputPipe(descriptor, deliver)

    async def attach(self, container_id: str) -> None:
        """The pipe is open."""

    async def follow(self, container_id: str) -> int | None:
        """Nobody is left to write once the container has ended."""
        try:
            code = await self._daemon.wait(container_id)
            self._pipe.collect()
        finally:
            self._pipe.close()
        return code

    def collect(self) -> None:
        """Read the pipe."""
        self._pipe.collect()

    def close(self) -> None:
        """Close the pipe."""
        self._pipe.close()


async def pump(streams: Streams, deliver: Callable[[bytes], None]) -> None:
    """Deliver all output of an attached container until its stream ends; closes the stream."""
    reader, writer = streams
    frames = Demultiplexer()
    try:
        while data := await reader.read(_CHUNK):
            if output := frames.feed(data):
                deliver(output)
    finally:
        writer.transport.abort()


def _check_attached(answer: bytes) -> None:
    if answer.split(b" ", 2)[1] not in {b"101", b"200"}:
        raise SandboxError(f"Docker refused to attach to a container: {answer!r}")

"""Serving an ASGI app on sockets that are bound already, inside an event loop that is ours."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from lambda_home.errors import ConfigurationError, LambdaHomeError
from lambda_home.front_limits import ENDLESS, Patience
from lambda_home.slow_clients import Full, Sweep

_BACKLOG = 2048
_CLOSING_STEP_S = 0.005
_OTHERS = 0o077
_HANDSHAKE_S = 60.0  # asyncio's own
_LONGEST_IDLE_S = 3600  # also for the last answer of a connection, if nobody judges it

_log = structlog.get_logger(__name__)


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


def tls_context(certificate: str, key: str) -> ssl.SSLContext | None:
    """What a server needs for HTTPS, of two PEM files; None if neither is named.

    The certificate's file may go on with those of its issuers. Raises ConfigurationError, with one
    line, for a file that is missing or unreadable, and for a key that is not the certificate's.
    """
    if not certificate and not key:
        return None
    if not certificate or not key:
        there, missing = ("key", "certificate") if key else ("certificate", "key")
        raise ConfigurationError(
            f"server.tls_{there} is set and server.tls_{missing} is not: HTTPS needs both."
        )
    for name, path in (("certificate", certificate), ("key", key)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"Cannot read server.tls_{name} = {path}: {error.strerror}."
            ) from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except _EncryptedKeyError:
        raise ConfigurationError(
            f"server.tls_key = {key} is encrypted: decrypt it, since nobody is there to type its"
            " password."
        ) from None
    except (ssl.SSLError, ValueError) as error:
        raise ConfigurationError(_tls_fault(certificate, key, error)) from error
    if Path(key).stat().st_mode & _OTHERS:
        _log.warning("other users can read server.tls_key: make it chmod 600", path=key)
    return context


class _EncryptedKeyError(Exception):
    """OpenSSL asked for a password."""


def _no_password() -> str:
    raise _EncryptedKeyError


def _tls_fault(certificate: str, key: str, error: Exception) -> str:
    reason = getattr(error, "reason", None) or ""
    if "MISMATCH" in reason:
        return f"server.tls_key = {key} is not the key of server.tls_certificate = {certificate}."
    return (
        f"server.tls_certificate = {certificate} and server.tls_key = {key} must be PEM files with"
        f" a certificate and its key ({reason or error})."
    )


class Listener:
    """One app on one or more sockets; open requests get `grace_s` seconds when it stops.

    `http` makes the protocol of a connection, with the arguments of uvicorn's own; `patience` is
    for those that can be watched. `tls` makes it HTTPS.
    """

    def __init__(
        self,
        app: Any,
        sockets: list[socket.socket],
        *,
        grace_s: float,
        http: Any = "httptools",
        patience: Patience = ENDLESS,
        tls: ssl.SSLContext | None = None,
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
            timeout_keep_alive=math.ceil(min(patience.idle_s, _LONGEST_IDLE_S)),
            timeout_graceful_shutdown=math.ceil(grace_s),
            backlog=_BACKLOG,
        )
        self._sockets = sockets
        self._server = _QuietServer(self._config, patience, tls)
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
        return self._server.protocol()

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

    def __init__(
        self, config: uvicorn.Config, patience: Patience, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(config)
        self._patience = patience
        self._tls = tls
        self._ending = asyncio.Event()

    def protocol(self) -> asyncio.Protocol:
        """The protocol of a new connection; another one if there are too many."""
        most = self._patience.max_connections
        if most is not None and len(self.server_state.connections) >= most:
            return Full()
        make: Any = self.config.http_protocol_class
        made: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state={}
        )
        return made

    def end(self) -> None:
        """Leave `main_loop`."""
        self.should_exit = True
        self._ending.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        handshake_s = min(self._patience.header_s, _HANDSHAKE_S)
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                self.protocol,
                sock=listener,
                ssl=self._tls,
                ssl_handshake_timeout=handshake_s if self._tls else None,
                ssl_shutdown_timeout=_LONGEST_IDLE_S if self._tls else None,
                backlog=_BACKLOG,
            )
            for listener in sockets or ()
        ]
        self.started = True

    async def main_loop(self) -> None:
        await self.on_tick(0)  # makes the default headers, which have no date here
        sweep = Sweep(self.server_state.connections, self._patience)
        sweep.start()
        try:
            await self._ending.wait()
        finally:
            sweep.stop()

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

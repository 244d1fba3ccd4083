"""Talking to a live server as no SDK does: keep-alive connections, half requests, rude clients."""

from __future__ import annotations

import http.client
import socket
from pathlib import Path
from urllib.parse import urlsplit

from live import LiveServer

FUNCTIONS = "/2015-03-31/functions"


def invocations(name: str) -> str:
    """The path of Invoke."""
    return f"{FUNCTIONS}/{name}/invocations"


def connect(server: LiveServer, timeout_s: float = 60) -> http.client.HTTPConnection:
    """A connection that stays open between requests."""
    address = urlsplit(server.url)
    return http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout_s)


def dial(server: LiveServer, timeout_s: float = 60, receive_buffer: int = 0) -> socket.socket:
    """A bare socket to the user API."""
    address = urlsplit(server.url)
    made = socket.socket()
    made.settimeout(timeout_s)
    if receive_buffer:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.connect((address.hostname, address.port))
    return made


def request(
    server: LiveServer, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """One request on a connection of its own; `_` in the names of headers stands for `-`."""
    connection = connect(server)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def resident_mb(server: LiveServer) -> float:
    """Memory of the server's own process."""
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024

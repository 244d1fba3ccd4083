"""The floor: the least a Python server can do between a caller and runtimes that poll it.

Three HTTP exchanges an invocation as bare ASGI in one event loop, without registry, limits, logs or
metrics. `bench/run.py` measures lambda_home as a ratio to this program, in the same run:

    python bench/floor.py PORT          the server
    python bench/floor.py PORT client   one runtime (start four)
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Work = tuple[bytes, bytes]

NEXT = "/2018-06-01/runtime/invocation/next"


class Floor:
    """An ASGI app: callers on one side, runtimes on the other."""

    def __init__(self) -> None:
        self.parked: deque[asyncio.Future[Work]] = deque()
        self.queued: deque[Work] = deque()
        self.waiting: dict[bytes, asyncio.Future[bytes]] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path == NEXT:
            await self._next(send)
        elif path.endswith("/invocations"):
            await self._invoke(receive, send)
        else:
            body = await _read(receive)
            self.waiting.pop(path.split("/")[4].encode()).set_result(body)
            await _answer(send, 202, b'{"status":"OK"}', [])

    async def _invoke(self, receive: Receive, send: Send) -> None:
        work = (str(uuid.uuid4()).encode(), await _read(receive))
        done = self.waiting[work[0]] = asyncio.get_running_loop().create_future()
        if self.parked:
            self.parked.popleft().set_result(work)
        else:
            self.queued.append(work)
        await _answer(send, 200, await done, [(b"x-amzn-requestid", work[0])])

    async def _next(self, send: Send) -> None:
        if self.queued:
            work = self.queued.popleft()
        else:
            poll: asyncio.Future[Work] = asyncio.get_running_loop().create_future()
            self.parked.append(poll)
            work = await poll
        headers = [
            (b"lambda-runtime-aws-request-id", work[0]),
            (b"lambda-runtime-deadline-ms", b"1"),
            (b"lambda-runtime-invoked-function-arn", b"arn:aws:lambda:us-east-1:0:function:f"),
        ]
        await _answer(send, 200, work[1], headers)


async def _read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    headers = [(b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def client(port: int) -> None:
    """Poll for work and answer it, until the server is gone."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader = connection.makefile("rb")

    def exchange(request: bytes) -> tuple[dict[bytes, bytes], bytes]:
        connection.sendall(request)
        if not reader.readline():
            sys.exit(0)
        headers = {}
        while line := reader.readline().rstrip(b"\r\n"):
            name, value = line.split(b":", 1)
            headers[name.lower()] = value.strip()
        return headers, reader.read(int(headers[b"content-length"]))

    while True:
        headers, event = exchange(f"GET {NEXT} HTTP/1.1\r\nHost: floor\r\n\r\n".encode())
        json.loads(event)
        body = json.dumps({"message": "pong"}).encode()
        name = headers[b"lambda-runtime-aws-request-id"].decode()
        path = f"/2018-06-01/runtime/invocation/{name}/response"
        head = f"POST {path} HTTP/1.1\r\nHost: floor\r\nContent-Length: {len(body)}\r\n\r\n"
        exchange(head.encode() + body)


def main() -> None:
    """Run as the server or as a client."""
    port = int(sys.argv[1])
    if sys.argv[2:] == ["client"]:
        client(port)
    else:
        uvicorn.run(
            Floor(), port=port, loop="uvloop", http="httptools", access_log=False, log_level="error"
        )


if __name__ == "__main__":
    main()

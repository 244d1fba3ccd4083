"""Section `streaming`: 200 MB to each of 20 slow readers, and the memory that the server takes."""

from __future__ import annotations

import json
import selectors
import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from bench.figures import Effort, Figure, Outcome, Row, SkippedError
from bench.servers import Function, best_sandbox, create, pid_of, runtime_of, serving, watched

MB = 1024 * 1024
_READERS = 20
_MEGABYTES = 200
_RATE = 2 * MB  # bytes a second and reader; AWS gives no stream more after its first 6 MB
_TICK_S = 0.02
_RECEIVE_BUFFER = 64 * 1024
_BLOCK = 64 * 1024
_TAIL = 2048
_SLACK = 3.0  # a stream may take this many times what its rate asks for
_SOURCE = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  const block = Buffer.alloc(65536, 97);
  for (let left = event.bytes; left > 0; left -= block.length) {
    if (!stream.write(block)) await new Promise((go) => stream.once("drain", go));
  }
  stream.end();
});
"""


def streaming(effort: Effort, outcome: Outcome) -> None:
    """Stream to slow readers and watch the server's memory."""
    sandbox = best_sandbox()
    runtime = runtime_of(sandbox, "nodejs")
    size = effort.count(_MEGABYTES) * MB
    with serving(sandbox) as (server, caller):
        create(caller, Function("stream", runtime, _SOURCE, timeout_s=900))
        readers = read_slowly(server.url, _BLOCK, _READERS)  # every reader gets an environment
        if any(reader.status in (404, 501) for reader in readers):
            raise SkippedError(f"InvokeWithResponseStream answers {readers[0].status} here")
        _check(readers, "the first, short streams")
        with watched(pid_of(server)) as watch:
            start = time.monotonic()
            readers = read_slowly(server.url, size, _READERS)
            seconds = time.monotonic() - start
    wrong = sum(not reader.complete(size) for reader in readers)
    outcome.add(
        Row(
            f"streaming.{_READERS}",
            f"{size // MB} MB to {_READERS} slow readers, {sandbox}, {runtime}",
            _READERS,
            wrong,
            (
                Figure("growth", watch.growth_mb, "MB"),
                Figure("before", watch.samples[0][1], "MB"),
                Figure("took", seconds, "s"),
                Figure("each", size / MB / seconds, "MB/s", "higher"),
            ),
        )
    )


def _check(readers: list[Reader], what: str) -> None:
    bad = next((reader for reader in readers if not reader.complete(_BLOCK)), None)
    if bad is not None:
        raise RuntimeError(f"{what}: {bad.status}, {bad.received} bytes, {bad.tail[-300:]!r}")


class Reader:
    """One raw connection that streams an answer and takes no more than its allowance."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.received = 0
        self.head = b""
        self.tail = b""
        self.done = False

    def read(self, most: int) -> int:
        """Take up to `most` bytes that are there."""
        try:
            data = self._connection.recv(most)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            self.done = True
        if len(self.head) < _TAIL:
            self.head += data[:_TAIL]
        self.tail = (self.tail + data)[-_TAIL:]
        self.received += len(data)
        # The last chunk of a chunked answer; an answer with a length ends with its connection.
        self.done = self.done or self.tail.endswith(b"\r\n0\r\n\r\n")
        return len(data)

    @property
    def status(self) -> int:
        """The HTTP status; 0 while there is none."""
        words = self.head.split(b" ", 2)
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0

    def complete(self, size: int) -> bool:
        """Whether everything came, and the last event says that nothing failed."""
        ended = b"InvokeComplete" in self.tail and b"ErrorCode" not in self.tail
        return self.status == 200 and self.received >= size and ended  # noqa: PLR2004


def read_slowly(url: str, size: int, count: int) -> list[Reader]:
    """Open `count` streams of `size` bytes; read each at the bounded rate until all have ended.

    Raises TimeoutError after three times what the rate asks for (and a minute).
    """
    deadline = time.monotonic() + 60 + _SLACK * size / _RATE
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        readers = []
        for _ in range(count):
            connection = stack.enter_context(_request(url, size))
            readers.append(Reader(connection))
            selector.register(connection, selectors.EVENT_READ, readers[-1])
        start = time.monotonic()
        while any(not reader.done for reader in readers):
            now = time.monotonic()
            if now > deadline:
                raise TimeoutError(f"streams of {size} bytes did not end")
            allowed = int((now - start) * _RATE)
            for key, _ in selector.select(timeout=_TICK_S):
                reader: Reader = key.data
                while not reader.done and (most := min(_BLOCK, allowed - reader.received)) > 0:
                    if not reader.read(most):
                        break
                if reader.done:
                    selector.unregister(key.fileobj)
            time.sleep(_TICK_S)
        return readers


def _request(url: str, size: int) -> socket.socket:
    parts = urlsplit(url)
    connection = socket.socket()
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        connection.settimeout(30)
        connection.connect((parts.hostname, parts.port))
        body = json.dumps({"bytes": size}).encode()
        path = "/2021-11-15/functions/stream/response-streaming-invocations"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
        connection.setblocking(False)  # noqa: FBT003  the socket module's own word
    except BaseException:
        connection.close()
        raise
    return connection

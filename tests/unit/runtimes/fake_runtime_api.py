"""A small runtime API for testing bootstraps, and a way to run a bootstrap against it.

`FakeRuntimeApi` queues invocations and collects answers; `Bootstrap` runs a command against it and
collects its output. Both are context managers; neither leaves a thread, socket or process behind.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

DEADLINE_S = 60.0
ARN = "arn:aws:lambda:us-east-1:123456789012:function:tested"


@dataclass(frozen=True)
class Answer:
    """One POST; `kind` is response, error or init/error, header names are lower-case."""

    kind: str
    request_id: str
    headers: Mapping[str, str]
    body: bytes
    chunks: Sequence[int] = ()
    trailers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def fenced(self) -> bool:
        return self.headers.get("lambda-home-fence") == "1"


@dataclass
class _Connection:
    sock: socket.socket
    stream: BinaryIO
    closed: bool = False

    def close(self) -> None:
        self.closed = True
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


@dataclass
class _State:
    waiting: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    nexts: list[Mapping[str, str]] = field(default_factory=list)
    connections: list[_Connection] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    streamed: bytes = b""
    cut: _Cut | None = None
    parked: int = 0
    closing: bool = False


@dataclass(frozen=True)
class _Body:
    """A request's body, the sizes of its chunks, and its trailers."""

    data: bytes
    chunks: Sequence[int] = ()
    trailers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Cut:
    """What happens to a stream: nothing more is read after so many bytes."""

    after: int
    status: int | None


class FakeRuntimeApi:
    """The runtime API on a loopback port, for one bootstrap at a time."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._changed = threading.Condition()
        self._state = _State()
        self._reads = threading.Event()
        self._reads.set()
        self._threads = [threading.Thread(target=self._accept, name="fake-runtime-api")]
        self._threads[0].start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def answers(self) -> Sequence[Answer]:
        """All answers so far, in order of arrival."""
        return tuple(self._state.answers)

    @property
    def nexts(self) -> Sequence[Mapping[str, str]]:
        """The headers of every GET next."""
        return tuple(self._state.nexts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def queue(
        self, event: object, headers: Mapping[str, str] | None = None, *, timeout_s: float = 30.0
    ) -> str:
        """Queues an invocation (bytes go out as they are, anything else as JSON); its request id.

        A header with the value "" is left out.
        """
        request_id = str(uuid.uuid4())
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        deadline_ms = int((_wall_clock() + timeout_s) * 1000)
        given = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            "Lambda-Runtime-Trace-Id": "Root=1-5e1b4151-43a0913a12345678901234567;Sampled=0",
            **(headers or {}),
        }
        with self._changed:
            self._state.waiting.append(({k: v for k, v in given.items() if v}, body))
            self._changed.notify_all()
        return request_id

    def refuse_next_answer(self, status: int) -> None:
        """The next POST gets `status` instead of 202 (it is recorded all the same)."""
        self._state.refusals.append(status)

    def wait_until_streamed(self, data: bytes) -> None:
        """Waits until exactly `data` has come of the stream that is being read; AssertionError."""
        self.wait_for(lambda: self._state.streamed == data)

    def pause_reading(self) -> None:
        """Reads no more chunks of a stream, until `go_on_reading`."""
        self._reads.clear()

    def go_on_reading(self) -> None:
        """Ends `pause_reading`."""
        self._reads.set()

    def cut_next_stream(self, after: int, status: int | None = None) -> None:
        """Closes the connection after so many bytes of the next stream; first answers `status`."""
        self._state.cut = _Cut(after, status)

    def drop_connections(self) -> None:
        """Closes every connection, parked ones too; new ones are accepted."""
        with self._changed:
            for connection in self._state.connections:
                connection.close()
            self._state.connections.clear()
            self._state.parked = 0
            self._changed.notify_all()

    def invoke(self, event: object, headers: Mapping[str, str] | None = None) -> Answer:
        """Queues an invocation and waits for its answer."""
        request_id = self.queue(event, headers)
        return self.answer_to(request_id)

    def answer_to(self, request_id: str) -> Answer:
        """Waits for the answer to a request ("" for the init error)."""
        self.wait_for(lambda: any(a.request_id == request_id for a in self._state.answers))
        return next(a for a in self._state.answers if a.request_id == request_id)

    def wait_until_parked(self) -> None:
        """Waits until a bootstrap is in GET next with nothing to do."""
        self.wait_for(lambda: self._state.parked > 0)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = DEADLINE_S) -> None:
        """Waits until `condition` holds, looking again after every request; AssertionError."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s), "the bootstrap did not do it"

    def close(self) -> None:
        """Ends the server; may be called twice."""
        with self._changed:
            if self._state.closing:
                return
            self._state.closing = True
            self._changed.notify_all()
        self._reads.set()
        self.drop_connections()
        # Wakes the accepting thread; close() alone would leave it in accept().
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE_S)
        self._listener.close()

    def _accept(self) -> None:
        while not self._state.closing:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = _Connection(sock, sock.makefile("rb"))
            thread = threading.Thread(target=self._serve, args=(connection,))
            with self._changed:
                self._state.connections.append(connection)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: _Connection) -> None:
        with connection.sock, connection.stream, suppress(OSError, ValueError):
            for method, path, headers in _requests(connection.stream):
                body = self._body(connection, headers)
                if body is None:
                    return
                if method == "GET":
                    status, extra, answer = self._next(connection, headers)
                else:
                    status, extra, answer = self._record(path, headers, body)
                if connection.closed:
                    return
                lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(answer)}"]
                lines += [f"{name}: {value}" for name, value in extra.items()]
                connection.sock.sendall("\r\n".join([*lines, "", ""]).encode() + answer)

    def _body(self, connection: _Connection, headers: Mapping[str, str]) -> _Body | None:
        stream = connection.stream
        if headers.get("transfer-encoding") != "chunked":
            return _Body(stream.read(int(headers.get("content-length", 0))))
        pieces: list[bytes] = []
        self._note_streamed(b"")
        while self._reads.wait() and (size := int(stream.readline(), 16)):
            pieces.append(stream.read(size))
            stream.readline()
            self._note_streamed(pieces[-1])
            if self._cuts(connection, sum(map(len, pieces))):
                return None
        return _Body(b"".join(pieces), [len(piece) for piece in pieces], _headers(stream))

    def _note_streamed(self, piece: bytes) -> None:
        with self._changed:
            # Large streams are only ever compared as a whole, in the answer.
            self._state.streamed = (self._state.streamed + piece)[:1000] if piece else b""
            self._changed.notify_all()

    def _cuts(self, connection: _Connection, received: int) -> bool:
        cut = self._state.cut
        if cut is None or received < cut.after:
            return False
        self._state.cut = None
        if cut.status is not None:
            answer = f"HTTP/1.1 {cut.status} Whatever\r\nContent-Length: 0\r\n\r\n"
            connection.sock.sendall(answer.encode())
        connection.close()
        return True

    def _next(
        self, connection: _Connection, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        state = self._state
        with self._changed:
            state.nexts.append(headers)
            state.parked += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: state.waiting or connection.closed or state.closing)
            if connection.closed or state.closing:
                connection.closed = True
                return 500, {}, b""
            state.parked -= 1
            extra, body = state.waiting.pop(0)
        return 200, extra, body

    def _record(
        self, path: str, headers: Mapping[str, str], body: _Body
    ) -> tuple[int, Mapping[str, str], bytes]:
        parts = path.removeprefix("/2018-06-01/runtime/").split("/")
        if parts[0] == "invocation":
            kind, request_id = parts[2], parts[1]
        else:
            kind, request_id = "/".join(parts), ""
        answer = Answer(kind, request_id, headers, body.data, body.chunks, body.trailers)
        with self._changed:
            status = self._state.refusals.pop(0) if self._state.refusals else 202
            self._state.answers.append(answer)
            self._changed.notify_all()
        return status, {"Content-Type": "application/json"}, b'{"status":"OK"}\n'


def _requests(stream: BinaryIO) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    """The heads of the requests on a connection; the body is to be read before the next one."""
    while line := stream.readline():
        method, path, _ = line.decode("latin-1").split(" ")
        yield method, path, _headers(stream)


def _headers(stream: BinaryIO) -> Mapping[str, str]:
    headers = {}
    while header := stream.readline().strip():
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return headers


def _wall_clock() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME)


class Bootstrap:
    """A bootstrap's process, and everything it writes to descriptors 1 and 2."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], cwd: Path) -> None:
        self._process = subprocess.Popen(
            command,
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._written = bytearray()
        self._errors = bytearray()
        self._readers = [
            threading.Thread(target=self._read, args=(self._process.stdout, self._written)),
            threading.Thread(target=self._read, args=(self._process.stderr, self._errors)),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(pipe: BinaryIO, into: bytearray) -> None:
        while data := os.read(pipe.fileno(), 1 << 16):
            into.extend(data)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        """What has been read from descriptor 1 so far."""
        return self._written.decode()

    @property
    def stderr(self) -> str:
        """What has been read from the descriptor 2 it was started with."""
        return self._errors.decode()

    @property
    def ended(self) -> bool:
        """Whether every process that could write to its descriptors has ended."""
        return not any(reader.is_alive() for reader in self._readers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def output_of(self, request_id: str, previous: str | None = None) -> str:
        """Waits for the fence of a request; the output before it, since the fence of `previous`."""
        mark = f"\x1eFENCE {request_id}\x1e\n"
        self.wait_for_output(mark)
        text = self.output[: self.output.index(mark)]
        if previous is not None:
            text = text[text.index(f"\x1eFENCE {previous}\x1e\n") :].partition("\n")[2]
        return text

    def wait_for_output(self, text: str) -> None:
        """Waits until descriptor 1 has shown `text`; AssertionError."""
        deadline = time.monotonic() + DEADLINE_S
        while text not in self.output:
            assert time.monotonic() < deadline, f"no {text!r} in {self.output[-2000:]!r}"
            time.sleep(0.002)

    def wait(self) -> int:
        """Waits for the process to end by itself and for all its output; the exit code."""
        code = self._process.wait(DEADLINE_S)
        for reader in self._readers:
            reader.join(DEADLINE_S)
        return code

    def stop(self) -> None:
        """Kills the process if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

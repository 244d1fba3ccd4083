"""A Node function in its bootstrap, and a runtime API that reads chunked bodies and trailers."""

from __future__ import annotations

import json
import os
import queue
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

BOOTSTRAP = Path(__file__).parents[3] / "runtimes" / "nodejs" / "bootstrap.mjs"
ARN = "arn:aws:lambda:eu-west-1:111111111111:function:greet"
DEADLINE_SECONDS = 60
FENCE = re.compile(rb"\x1eFENCE (?!init\x1e)([^\x1e]+)\x1e\n")
INIT_FENCE = re.compile(rb"\x1eFENCE (init)\x1e\n")


@dataclass
class Answer:
    """What one POST to the runtime API carried, and the output that belongs to it."""

    path: str
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str] = field(default_factory=dict)
    chunks: int = 0
    output: str = ""

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def kind(self) -> str:
        return self.path.rsplit("/", 1)[1]


class RuntimeApi:
    """Answers polls from `events` and collects POSTs in `answers`; one thread a connection."""

    def __init__(self) -> None:
        self.events: queue.Queue[tuple[dict[str, str], bytes] | None] = queue.Queue()
        self.answers: queue.Queue[Answer] = queue.Queue()
        self.polls: queue.Queue[dict[str, str]] = queue.Queue()
        self.statuses: list[int] = []
        self.drop_next_poll = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self.close_all()
        for thread in self._threads:
            thread.join()

    def close_all(self) -> None:
        """The server goes away: nothing listens, every connection is cut."""
        self.events.put(None)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while self._exchange(connection, stream):
                    pass
            except OSError:
                return

    def _exchange(self, connection: socket.socket, stream: BufferedReader) -> bool:
        request = stream.readline().decode()
        if not request:
            return False
        method, path, _ = request.split()
        headers = _read_headers(stream)
        if headers["host"] != self.address:
            raise AssertionError(headers)
        if method == "GET":
            return self._answer_poll(connection, headers)
        self.answers.put(_read_answer(stream, path, headers))
        status = self.statuses.pop(0) if self.statuses else 202
        connection.sendall(_reply(status, {"Content-Type": "application/json"}, b'{"status":"OK"}'))
        return True

    def _answer_poll(self, connection: socket.socket, headers: dict[str, str]) -> bool:
        self.polls.put(headers)
        if self.drop_next_poll:
            self.drop_next_poll = False
            return False
        event = self.events.get()
        if event is None:
            self.events.put(None)  # for whoever else polls
            return False
        connection.sendall(_reply(200, *event))
        return True


def _read_headers(stream: BufferedReader) -> dict[str, str]:
    headers = {}
    while line := stream.readline().decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return headers


def _read_answer(stream: BufferedReader, path: str, headers: dict[str, str]) -> Answer:
    if headers.get("transfer-encoding") != "chunked":
        return Answer(path, headers, stream.read(int(headers["content-length"])))
    body = b""
    chunks = 0
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
        chunks += 1
    return Answer(path, headers, body, _read_headers(stream), chunks)


def _reply(status: int, headers: dict[str, str], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class NodeFunction:
    """A running bootstrap."""

    def __init__(self, api: RuntimeApi, process: subprocess.Popen[bytes]) -> None:
        self.api = api
        self.process = process
        self.ids = 0
        self._output = b""
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        while piece := os.read(self.process.stdout.fileno(), 65536):
            with self._grown:
                self._output += piece
                self._grown.notify_all()

    def send(self, event: Any = None, headers: dict[str, str] | None = None) -> str:
        self.ids += 1
        request_id = f"00000000-0000-4000-8000-{self.ids:012}"
        fixed = {
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": "4102444800000",
            "Lambda-Runtime-Invoked-Function-Arn": ARN,
            "Lambda-Runtime-Trace-Id": f"Root=1-{self.ids}",
        }
        payload = event if isinstance(event, bytes) else json.dumps(event).encode()
        self.api.events.put(({**fixed, **(headers or {})}, payload))
        return request_id

    def receive(self) -> Answer:
        answer = self.api.answers.get(timeout=DEADLINE_SECONDS)
        if answer.headers["lambda-home-fence"] == "1":
            failed_init = answer.path.endswith("/init/error")
            answer.output = self._take_fenced(INIT_FENCE if failed_init else FENCE)
        return answer

    def invoke(self, event: Any = None, headers: dict[str, str] | None = None) -> Answer:
        self.send(event, headers)
        return self.receive()

    def _take_fenced(self, end: re.Pattern[bytes]) -> str:
        with self._grown:
            fenced = self._grown.wait_for(lambda: end.search(self._output), DEADLINE_SECONDS)
            assert fenced, self._output[-2000:]
            before, self._output = self._output[: fenced.start()], self._output[fenced.end() :]
            return INIT_FENCE.sub(b"", before).decode()

    def exit_code(self) -> int:
        return self.process.wait(DEADLINE_SECONDS)

    def rest(self) -> str:
        self.exit_code()
        self._reader.join()
        return self._output.decode()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        if self.process.stdout is not None:
            self.process.stdout.close()


Run = Callable[..., AbstractContextManager[NodeFunction]]


def write_files(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@contextmanager
def running(
    node: list[str],
    root: Path,
    files: dict[str, str],
    handler: str = "index.handler",
    env: dict[str, str] | None = None,
) -> Iterator[NodeFunction]:
    """A function of `files` below `root`, started with the command `node`."""
    task = root / "task"
    write_files(task, files)
    api = RuntimeApi()
    environment = {
        "PATH": os.environ["PATH"],
        "TZ": ":UTC",
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "_HANDLER": handler,
        "LAMBDA_TASK_ROOT": str(task),
        "LAMBDA_RUNTIME_DIR": str(root / "runtime"),
        "AWS_LAMBDA_FUNCTION_NAME": "greet",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/greet",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/21/[$LATEST]0",
        **(env or {}),
    }
    process = subprocess.Popen(
        [*node, str(BOOTSTRAP)] if len(node) == 1 else node,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    function = NodeFunction(api, process)
    try:
        yield function
    finally:
        function.close()
        api.close()

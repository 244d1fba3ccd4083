"""Debuggers as editors speak to them: DAP with debugpy, the inspector's protocol with Node.js.

Sources: https://microsoft.github.io/debug-adapter-protocol/specification,
https://chromedevtools.github.io/devtools-protocol/v8/
"""

from __future__ import annotations

import base64
import json
import os
import socket
import urllib.request
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

_PATIENCE_S = 30.0


class DapClient:
    """One connection to a debug adapter."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self._file = self._socket.makefile("rb")
        self._number = 0
        self._kept: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._file.close()
        self._socket.close()

    def send(self, command: str, **arguments: Any) -> int:
        """Send a request; answers its number."""
        self._number += 1
        message = {"seq": self._number, "type": "request", "command": command}
        body = json.dumps({**message, "arguments": arguments}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        return self._number

    def ask(self, command: str, **arguments: Any) -> Any:
        """Send a request and wait for its answer's body."""
        number = self.send(command, **arguments)
        return self.answer(number)

    def answer(self, number: int) -> Any:
        """Wait for the answer to a request."""
        found = self._until(lambda m: m["type"] == "response" and m["request_seq"] == number)
        assert found["success"], found
        return found.get("body")

    def event(self, name: str) -> Any:
        """Wait for an event."""
        return self._until(lambda m: m["type"] == "event" and m["event"] == name).get("body")

    def _until(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for kept in self._kept:
            if fits(kept):
                self._kept.remove(kept)
                return kept
        while True:
            message = self._read()
            if fits(message):
                return message
            self._kept.append(message)

    def _read(self) -> dict[str, Any]:
        length = 0
        while line := self._file.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the debugger has hung up"
        found: dict[str, Any] = json.loads(self._file.read(length))
        return found


class InspectorClient:
    """A WebSocket to Node's inspector."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
            target = json.loads(answer.read())[0]["webSocketDebuggerUrl"]
        authority, _, path = str(target).removeprefix("ws://").partition("/")
        assert authority == f"127.0.0.1:{port}", "it leads past the server's port"
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)
        self._file = self._socket.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET /{path} HTTP/1.1",
            f"Host: {authority}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            "\r\n",
        )
        self._socket.sendall("\r\n".join(head).encode())
        assert b"101" in self._file.readline()
        while self._file.readline().strip():
            pass
        self._number = 0
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._file.close()
        self._socket.close()

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method and wait for its result."""
        self._number += 1
        self._write(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = self._read()
            if message.get("id") == self._number:
                assert "error" not in message, message
                found: dict[str, Any] = message["result"]
                return found
            self._events.append(message)

    def event(self, method: str) -> dict[str, Any]:
        """Wait for an event's parameters."""
        for kept in self._events:
            if kept.get("method") == method:
                self._events.remove(kept)
                return dict(kept["params"])
        while True:
            message = self._read()
            if message.get("method") == method:
                return dict(message["params"])
            self._events.append(message)

    def _write(self, text: str) -> None:
        data = text.encode()
        head = bytearray([0x81])
        if len(data) < 126:
            head.append(0x80 | len(data))
        else:
            head += bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
        self._socket.sendall(bytes(head) + mask + masked)

    def _read(self) -> dict[str, Any]:
        data, last = b"", False
        while not last:
            first, second = self._file.read(2)
            last = bool(first & 0x80)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
            data += self._file.read(size)
        found: dict[str, Any] = json.loads(data)
        return found

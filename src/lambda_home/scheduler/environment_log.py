r"""Which output of an environment belongs to which invocation, and the lines around it.

Everything that an environment writes is one stream of bytes that arrives beside the runtime API,
perhaps later than the answer it belongs to. Our own bootstraps therefore end the output of an
invocation with a fence, and say with their answer whether there is one to wait for:

    \x1eFENCE <request id>\x1e\n

A foreign runtime client sends no fences; its output counts for the invocation that is running, or
ran last, when it arrives.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lambda_home.invocations import LOG_TAIL_LIMIT

_FENCE = re.compile(rb"\x1eFENCE ([0-9A-Za-z-]{1,64})\x1e\r?\n")
_FENCE_START = b"\x1e"
_LONGEST_FENCE = 80
_LONGEST_LINE = 256 * 1024
INIT = "init"
"""What the fence of the init phase has for a request id."""


@dataclass(slots=True, eq=False)
class InvocationLog:
    """The log of one invocation while it is being written.

    `closing` are the END and REPORT lines, set once the runtime has answered; they are written when
    the fence has come, where one is awaited. Then `on_done` is called. `foreign`: the runtime
    client knows no fences.
    """

    request_id: str
    start_line: str
    tail: bytearray | None
    fenced: bool = False
    foreign: bool = False
    done: bool = False
    closing: list[str] | None = None
    on_done: Callable[[], None] | None = None

    def add(self, text: bytes) -> None:
        """Remember lines for the tail; only the last 4 KB are kept."""
        if self.tail is not None:
            self.tail += text[-4 * LOG_TAIL_LIMIT :]
            self.tail += b"\n"
            if len(self.tail) > 4 * LOG_TAIL_LIMIT:
                del self.tail[: len(self.tail) - LOG_TAIL_LIMIT]

    def last_4_kb(self) -> bytes:
        """What `X-Amz-Log-Result` carries, before base64."""
        return bytes(self.tail[-LOG_TAIL_LIMIT:]) if self.tail else b""


class AnyLog(Protocol):
    """What the scheduler does with the log of an environment."""

    @property
    def init_output(self) -> bytes:
        """The end of what was written before the first invocation."""

    def await_init(self) -> InvocationLog | None:
        """Output of the init phase still comes, and ends with a fence; None if it has come."""

    def give_init_output(self, log: InvocationLog) -> None:
        """The init phase failed: what it still writes belongs to the invocation that waited."""

    def begin(self, request_id: str, start_line: str, *, tail: bool) -> InvocationLog:
        """An invocation is delivered."""

    def finish(
        self,
        log: InvocationLog,
        closing: list[str],
        *,
        fence: bool | None,
        on_done: Callable[[], None] | None = None,
    ) -> None:
        """The runtime has answered, or is gone: write `closing` when the output is whole."""

    def release(self, log: InvocationLog) -> None:
        """The fence of this invocation is not waited for any longer."""

    def platform(self, line: str) -> None:
        """A line of the platform's own."""

    def write(self, chunk: bytes) -> None:
        """Output of the environment, cut anywhere."""

    def close(self) -> None:
        """The environment is gone."""


Emit = Callable[[bytes, str], None]
"""Takes lines, without the end of the last, and the id of the request that wrote them, or ""."""

Sift = Callable[[bytes], bytes | None]
"""What is kept of such lines; None: nothing."""


def everything(text: bytes) -> bytes:
    """Keep each line."""
    return text


class EnvironmentLog:
    """Gives the whole lines of an environment's output, as far as `sift` keeps them, to `emit`.

    Lines that come together stay together: a function may write thousands a second.
    """

    def __init__(self, emit: Emit, sift: Sift = everything) -> None:
        self._emit = emit
        self._sift = sift
        self._buffer = b""
        self._current: InvocationLog | None = None
        self._following: deque[InvocationLog] = deque()
        self._init_output = bytearray()
        self._init_is_whole = False

    @property
    def init_output(self) -> bytes:
        """The end of what was written before the first invocation."""
        return bytes(self._init_output[-LOG_TAIL_LIMIT:])

    def await_init(self) -> InvocationLog | None:
        """Hold the first invocation's lines back until the fence of the init phase has come."""
        if self._init_is_whole or self._current is not None:
            return None
        self._current = InvocationLog(INIT, "", None, closing=[])
        return self._current

    def give_init_output(self, log: InvocationLog) -> None:
        """All output is the one invocation's."""

    def begin(self, request_id: str, start_line: str, *, tail: bool) -> InvocationLog:
        """An invocation is delivered: output is its own once the one before is complete."""
        log = InvocationLog(request_id, start_line, bytearray() if tail else None)
        if self._current is not None and self._current.foreign:
            self.release(self._current)
        if self._current is not None and not self._current.done:
            self._following.append(log)
        else:
            self._open(log)
        return log

    def finish(
        self,
        log: InvocationLog,
        closing: list[str],
        *,
        fence: bool | None,
        on_done: Callable[[], None] | None = None,
    ) -> None:
        """The runtime has answered, or is gone: write `closing`, after the fence if there is one.

        `fence`: True if one comes, False if not, None if the runtime client knows no fences: then
        the log stays open for late output until `release`, or until the next invocation.
        """
        log.closing = closing
        log.on_done = on_done
        log.foreign = fence is None
        log.fenced = log.fenced or fence is False
        if log is self._current:
            self._complete_if_ready()

    def release(self, log: InvocationLog) -> None:
        """The fence of this invocation is not waited for any longer."""
        log.fenced = True
        if log is self._current:
            self._complete_if_ready()

    def platform(self, line: str) -> None:
        """A line of the platform's own."""
        self._add(line.encode())

    def write(self, chunk: bytes) -> None:
        """Output of the environment, cut anywhere."""
        data, self._buffer = self._buffer + chunk, b""
        while (match := _FENCE.search(data)) is not None:
            self._lines(data[: match.start()], complete=True)
            fenced = match[1].decode()
            self._init_is_whole = self._init_is_whole or fenced == INIT
            if self._current is not None and self._current.request_id == fenced:
                self.release(self._current)
            data = data[match.end() :]
        held = self._possible_fence(data)
        self._buffer = self._lines(data[:held], complete=False) + data[held:]

    def close(self) -> None:
        """The environment is gone: what is left is its last line, and no fence will come."""
        self._flush_partial()
        while (log := self._current) is not None and not log.done and log.closing is not None:
            self.release(log)

    def _open(self, log: InvocationLog) -> None:
        self._current = log
        if log.start_line:
            self.platform(log.start_line)

    def _complete_if_ready(self) -> None:
        log = self._current
        if log is None or log.done or log.closing is None or not log.fenced:
            return
        self._flush_partial()
        for line in log.closing:
            self.platform(line)
        log.done = True
        if log.on_done is not None:
            log.on_done()
        if self._following:
            self._open(self._following.popleft())
            self._complete_if_ready()

    def _flush_partial(self) -> None:
        if self._buffer:
            rest, self._buffer = self._buffer, b""
            self._lines(rest, complete=True)

    def _lines(self, data: bytes, *, complete: bool) -> bytes:
        """Emit whole lines; return the rest, which is emitted too if `complete` or too long."""
        end = data.rfind(b"\n")
        rest = data[end + 1 :]
        if rest and (complete or len(rest) > _LONGEST_LINE):
            text, rest = data, b""
        elif end < 0:
            return rest
        else:
            text = data[:end]
        kept = self._sift(text)
        if kept is not None:
            self._add(kept)
        return rest

    def _add(self, text: bytes) -> None:
        request_id = ""
        if self._current is not None and self._current.request_id != INIT:
            self._current.add(text)
            request_id = self._current.request_id
        else:
            self._init_output += text + b"\n"
            del self._init_output[: -4 * LOG_TAIL_LIMIT]
        self._emit(text, request_id)

    @staticmethod
    def _possible_fence(data: bytes) -> int:
        """Where a fence that has not wholly arrived may begin; the length if nowhere."""
        at = data.rfind(_FENCE_START, max(0, len(data) - _LONGEST_FENCE))
        if at < 0:
            return len(data)
        first = data.rfind(_FENCE_START, max(0, at - _LONGEST_FENCE), at)
        return first if first >= 0 and data.startswith(b"\x1eFENCE ", first) else at

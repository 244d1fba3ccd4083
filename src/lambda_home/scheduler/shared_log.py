r"""The log of an environment that runs several invocations at a time.

Our bootstraps mark each line with the request that wrote it, and end a request's output with a
fence, as in `environment_log`; a line without a mark belongs to the environment alone:

    \x1eFROM <request id>\x1e<line>\n
    \x1eFENCE <request id>\x1e\n

A foreign runtime client marks nothing: its lines are in the log stream, and in nobody's tail.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lambda_home.invocations import LOG_TAIL_LIMIT
from lambda_home.scheduler.environment_log import Emit, InvocationLog, Sift, everything

_FROM = re.compile(rb"\x1eFROM ([0-9A-Za-z-]{1,64})\x1e")
_FENCE = re.compile(rb"\x1eFENCE ([0-9A-Za-z-]{1,64})\x1e\r?")
_LONGEST_LINE = 256 * 1024


class SharedEnvironmentLog:
    """Sorts the lines of an environment's output by request; see `AnyLog`."""

    def __init__(self, emit: Emit, sift: Sift = everything) -> None:
        self._emit = emit
        self._sift = sift
        self._buffer = b""
        self._open: dict[str, InvocationLog] = {}
        self._init_output = bytearray()
        self._of_init: list[InvocationLog] = []

    @property
    def init_output(self) -> bytes:
        """The end of what was written before the first invocation."""
        return bytes(self._init_output[-LOG_TAIL_LIMIT:])

    def await_init(self) -> InvocationLog | None:
        """What the init phase writes has no mark, and needs no fence."""
        return None

    def give_init_output(self, log: InvocationLog) -> None:
        """Lines without a mark are this invocation's, too."""
        self._of_init.append(log)

    def begin(self, request_id: str, start_line: str, *, tail: bool) -> InvocationLog:
        """An invocation is delivered."""
        log = InvocationLog(request_id, start_line, bytearray() if tail else None)
        self._open[request_id] = log
        if start_line:
            self._line(start_line.encode(), log)
        return log

    def finish(
        self,
        log: InvocationLog,
        closing: list[str],
        *,
        fence: bool | None,
        on_done: Callable[[], None] | None = None,
    ) -> None:
        """The runtime has answered: write `closing` when the output is whole."""
        log.closing, log.on_done = closing, on_done
        log.fenced = log.fenced or fence is False
        self._complete_if_ready(log)

    def release(self, log: InvocationLog) -> None:
        """The fence of this invocation is not waited for any longer."""
        log.fenced = True
        self._complete_if_ready(log)

    def platform(self, line: str) -> None:
        """A line of the platform's own, about no invocation."""
        self._line(line.encode(), None)

    def write(self, chunk: bytes) -> None:
        """Output of the environment, cut anywhere."""
        *lines, rest = (self._buffer + chunk).split(b"\n")
        for line in lines:
            self._take(line)
        if len(rest) > _LONGEST_LINE:
            self._take(rest)
            rest = b""
        self._buffer = rest

    def close(self) -> None:
        """The environment is gone: no fence will come."""
        if self._buffer:
            rest, self._buffer = self._buffer, b""
            self._take(rest)
        for log in list(self._open.values()):
            if log.closing is not None:
                self.release(log)

    def _take(self, line: bytes) -> None:
        fence = _FENCE.fullmatch(line)
        if fence is not None:
            log = self._open.get(fence[1].decode())
            if log is not None:
                self.release(log)
            return
        mark = _FROM.match(line)
        log = self._open.get(mark[1].decode()) if mark else None
        text = self._sift(line[mark.end() :] if mark else line)
        if text is None:
            return
        if not self._open and not mark:
            self._init_output += text + b"\n"
            del self._init_output[: -4 * LOG_TAIL_LIMIT]
        for waiting in self._of_init if not mark else ():
            if not waiting.done:
                waiting.add(text)
        self._line(text, log)

    def _line(self, line: bytes, log: InvocationLog | None) -> None:
        if log is not None:
            log.add(line)
        self._emit(line, log.request_id if log is not None else "")

    def _complete_if_ready(self, log: InvocationLog) -> None:
        if log.done or log.closing is None or not log.fenced:
            return
        for line in log.closing:
            self._line(line.encode(), log)
        log.done = True
        self._open.pop(log.request_id, None)
        if log.on_done is not None:
            log.on_done()

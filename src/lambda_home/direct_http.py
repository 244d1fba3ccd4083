"""HTTP on the two hot paths: a connection without a task or an ASGI scope for each request.

An invocation is three exchanges, two with a runtime and one with its caller. They are served in the
parser's own callbacks, and an answer leaves in the call that makes it; through ASGI each would cost
a task, a scope and several awaits, more than everything else that an invocation needs. Requests
that the given routes do not take go on to uvicorn, and from there to FastAPI.

httptools also gives what ASGI has no words for: the trailers in which a streaming runtime says that
it failed midway (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lambda_home.front_limits import (
    MOST_DISCARDED,
    MOST_HEAD_BYTES,
    MOST_HEADERS,
    MOST_TARGET_BYTES,
    Patience,
    Phase,
    Unacceptable,
    Verdict,
    Watch,
    check_head,
    refusal,
    too_long,
)
from lambda_home.slow_clients import unsent

Fields = dict[bytes, bytes]
FieldList = list[tuple[bytes, bytes]]
T = TypeVar("T")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_STATUS_AT = len("HTTP/1.1 ")
_ZERO = ord("0")

_log = structlog.get_logger(__name__)


class Body(Protocol):
    """Who takes the body of a request, piece by piece."""

    def feed(self, data: bytes) -> None:
        """The next piece."""

    def end(self, trailers: Fields) -> None:
        """The body is whole."""

    def lost(self) -> None:
        """The connection went before the body was whole."""


class BoundedBody:
    """Collects a body of at most `limit` bytes; of a longer one nothing is kept.

    Past `patience` bytes `far_too_large` is called with each piece, so that no client is read for
    ever. See `Body`.
    """

    __slots__ = ("_chunks", "_limit", "_patience", "_size")

    def __init__(self, limit: int, patience: int) -> None:
        self._limit = limit
        self._patience = patience
        self._chunks: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Keep a piece while the whole can still be within the limit."""
        self._size += len(data)
        if self._size <= self._limit:
            self._chunks.append(data)
            return
        self._chunks.clear()
        if self._size > self._patience:
            self.far_too_large()

    def lost(self) -> None:
        """Half a body is none."""
        self._chunks.clear()

    def whole(self) -> bytes | None:
        """What has come; None if it was over the limit."""
        if self._size > self._limit:
            return None
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def far_too_large(self) -> None:
        """Answer now, and end the connection."""
        raise NotImplementedError


@dataclass(slots=True)
class Head:
    """The head of a request: `path` is raw, names of headers are lower-case, `port` is ours.

    `headers` has the last of several headers of a name, `fields` has all of them in their order.
    `client` is the caller's IP address, empty where it is not known.
    """

    method: bytes
    path: bytes
    query: bytes
    headers: Fields
    port: int
    fields: FieldList = field(default_factory=list)
    client: str = ""
    scheme: str = "http"


class Reply:
    """The place of one answer; answers leave in the order of their requests.

    An answer is sent as a whole, or started and written piece by piece.

    One that `gathers` takes those before it along: who asks for more in the write that brought an
    answer does not wait for its receipt alone, and a system call and a wake-up are saved.
    """

    __slots__ = ("_connection", "_data", "closes", "gathers", "is_whole", "statuses")

    def __init__(self, connection: DirectConnection, *, closes: bool) -> None:
        self._connection = connection
        self._data: bytes | None = None
        self.closes = closes
        self.gathers = False
        self.is_whole = True
        # Where answers are counted by the first digit of their status, if anywhere.
        self.statuses: list[int] | None = None

    @property
    def gone(self) -> bool:
        """Whether the connection was lost."""
        return self._connection.is_gone

    @property
    def data(self) -> bytes | None:
        """What was sent; None before."""
        return self._data

    def send(self, data: bytes, *, close: bool = False) -> None:
        """Answer with a whole HTTP response; `close` ends the connection after it."""
        if self._data is None:
            self._data = data
            self.closes = self.closes or close
            if self.statuses is not None:
                self.statuses[data[_STATUS_AT] - _ZERO] += 1
            self._connection.flush()

    def start(self, head: bytes) -> None:
        """Begin an answer whose body is written in pieces; `end` must follow."""
        if self._data is None:
            self._data = head
            self.is_whole = False
            if self.statuses is not None:
                self.statuses[head[_STATUS_AT] - _ZERO] += 1
            self._connection.flush()

    async def write(self, data: bytes) -> None:
        """Send a piece, framed as the head promised; waits while the client is slow.

        Does nothing once the client is `gone`.
        """
        if not self.gone:
            self._data = (self._data or b"") + data
            self._connection.flush()
            await self._connection.drained(self)

    def end(self, *, close: bool = False) -> None:
        """The body is complete; `close` ends the connection."""
        self.is_whole = True
        self.closes = self.closes or close
        self._connection.flush()

    def take(self) -> bytes | None:
        """What is to be written now, which is forgotten if more is to come."""
        data = self._data
        if not self.is_whole:
            self._data = b""
        return data

    def hold_back(self, *, held: bool) -> None:
        """Read no more of the request's body, or read on."""
        self._connection.hold_back(held=held)


class Routes(Protocol):
    """What is done with a request."""

    def begin(self, head: Head, reply: Reply) -> Body | None:
        """A request's head has come; answer by `reply`, now or later. None: it is not taken."""


class DirectConnection(HttpToolsProtocol):
    """One connection. Made by uvicorn, which also counts and closes it."""

    def __init__(self, routes: Routes, **given: Any) -> None:
        super().__init__(**given)
        self._routes = routes
        self._owed: deque[Reply] = deque()
        self._body: Body | None = None
        self._trailers: list[tuple[bytes, bytes]] | None = None
        self._reading = False
        self._turned = asyncio.Event()
        self.is_gone = False
        self._current: Reply | None = None  # of the request that is being read
        self._refused: Unacceptable | None = None
        self._watch = Watch()
        self._phase = Phase.FRESH
        self._progress = 0
        # Positions in the stream of bytes: its end, where the last piece began, up to where what
        # has come is known to have been of use, and where a message begins at the earliest.
        self._end = self._piece = self._used = self._begin = 0
        self._discarded = 0
        self._is_over = False  # whether it was refused: nothing more is read

    def data_received(self, data: bytes) -> None:
        """Bytes from the client; what they cause to be answered leaves in one write."""
        if self._is_over:
            return
        self._reading = True
        self._piece = self._begin = self._end
        self._end += len(data)
        try:
            super().data_received(data)
            if self._end - self._used > MOST_HEAD_BYTES and self._phase is not Phase.ANSWER:
                self._refuse(too_long(self.url))
        finally:
            self._reading = False
        if self._owed:
            self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, or was told to go."""
        self.is_gone = True
        self._owed.clear()
        self._turned.set()
        body, self._body = self._body, None
        if body is not None:
            body.lost()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: end the connection unless an answer is owed."""
        if self._owed:
            self._owed[-1].closes = True
        else:
            super().shutdown()

    # ---------------------------------------------------------------------- the parser's callbacks

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._body = self._trailers = self._current = None
        self._phase = Phase.HEAD
        self._progress += 1
        self._used = self._begin

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer; ASGI knows no trailers, so they are dropped there."""
        if self._phase is Phase.HEAD:
            super().on_header(name, value)
        elif self._trailers is not None:
            if len(self._trailers) >= MOST_HEADERS:
                raise self._remembered(Unacceptable(431, "There are too many trailers."))
            self._trailers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Choose who serves the request."""
        fields = self.headers
        method = self.parser.get_method()
        upgrade: bool = self.parser.should_upgrade()
        if (
            self._end - min(self._used, self._piece) > MOST_TARGET_BYTES
            or len(fields) > MOST_HEADERS
            or self.url[:1] != b"/"
            or b"#" in self.url
            or upgrade
        ):
            self._look_closer(method, upgrade=upgrade)
        self._phase = Phase.BODY
        self._progress += 1
        self._used = self._end
        path, _, query = self.url.partition(b"?")
        port = self.server[1] if self.server else None
        client = self.client[0] if self.client else ""
        scheme = self.scheme or "http"
        head = Head(method, path, query, dict(fields), port or 0, fields, client, scheme)
        reply = Reply(self, closes=upgrade or not self.parser.should_keep_alive())
        self._owed.append(reply)
        self._current = reply
        self._body = self._guarded(reply, self._routes.begin, head, reply)
        if self._body is None and reply.data is None:
            self._owed.pop()
            self._current = None
            self._pass_on()
            return
        self._trailers = []
        if self.expect_100_continue and len(self._owed) == 1 and reply.data is None:
            self.transport.write(_CONTINUE)

    def _look_closer(self, method: bytes, *, upgrade: bool) -> None:
        """Refuse a head that is over a limit or that we do not follow."""
        try:
            self.url = check_head(method, self.url, self.headers, upgrade=upgrade)
        except Unacceptable as error:
            raise self._remembered(error) from None

    def _remembered(self, error: Unacceptable) -> Unacceptable:
        """An error that goes through the parser, which makes one of its own of it."""
        self._refused = error
        return error

    def _pass_on(self) -> None:
        """Let uvicorn serve the request."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers.extend(headers)
        self._discarded = 0
        super().on_headers_complete()
        if self.parser.should_upgrade():  # nothing after it can be read
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A piece of a request's body."""
        self._used = self._end
        self._progress += 1
        if self._trailers is None:
            super().on_body(body)
            if self.cycle.response_complete:
                self._discard(len(body))
        elif self._body is not None:
            self._guarded(self._owed[-1] if self._owed else None, self._body.feed, body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        self._phase = Phase.ANSWER
        self._progress += 1
        self._begin = self._end
        self._current = None
        if self._trailers is None:
            super().on_message_complete()
            return
        body, self._body = self._body, None
        if body is not None:
            reply = self._owed[-1] if self._owed else None
            self._guarded(reply, body.end, dict(self._trailers))

    # ------------------------------------------------------------------------ what is not accepted

    def send_400_response(self, msg: str) -> None:
        """The parser stopped: at what is no HTTP, or because we refuse the request."""
        self._refuse(self._refused or Unacceptable(400, msg))

    def look(self, patience: Patience, now: float) -> None:
        """End the connection if its client is too slow; `now` is monotonic."""
        phase = self._phase
        buffered = unsent(self.transport)
        is_busy = self._is_asgi_busy()
        waits = self.flow.read_paused or (phase is Phase.HEAD and is_busy)
        if waits or self.transport.is_closing():
            phase = Phase.ANSWER
        elif phase is Phase.ANSWER and not (buffered or self._owed or is_busy):
            phase = Phase.IDLE
        verdict = self._watch.look(phase, self._progress, buffered, patience, now)
        if verdict is Verdict.LATE:
            self._refuse(Unacceptable(408, f"The request took too long: {phase.value} is missing."))
        elif verdict is Verdict.END:
            self.transport.abort()

    def on_response_complete(self) -> None:
        """ASGI has answered a request."""
        self._progress += 1
        super().on_response_complete()

    def _refuse(self, error: Unacceptable) -> None:
        """Answer after what is owed already, and end the connection."""
        self._is_over = True
        body, self._body = self._body, None
        if body is not None:
            self._guarded(None, body.lost)
        reply, answer = self._current, refusal(error)
        if reply is None and self._phase is Phase.HEAD and not self._is_asgi_busy():
            reply = Reply(self, closes=True)
            self._owed.append(reply)
        if reply is not None and reply.data is None:
            reply.send(answer, close=True)
            return
        if reply is None and self._phase is Phase.BODY and not self.cycle.response_started:
            self.transport.write(answer)
        self.transport.close()

    def _is_asgi_busy(self) -> bool:
        """Whether uvicorn has yet to answer a request."""
        return self.cycle is not None and not self.cycle.response_complete

    def _discard(self, size: int) -> None:
        """More of a body whose request was answered already."""
        self._discarded += size
        if self._discarded > MOST_DISCARDED:
            self.transport.close()

    # ------------------------------------------------------------------------------------ answers

    def flush(self) -> None:
        """Write the answers whose turn it is."""
        owed = self._owed
        if self._reading or (owed and owed[-1].gathers and owed[-1].data is None):
            return
        parts = []
        closes = False
        while owed and not closes and (data := owed[0].take()) is not None:
            parts.append(data)
            if not owed[0].is_whole:
                break
            closes = owed.popleft().closes
            self._progress += 1
            self._turned.set()
        if not parts or self.is_gone or self.transport.is_closing():
            return
        self.transport.write(parts[0] if len(parts) == 1 else b"".join(parts))
        if not owed:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        if closes:
            owed.clear()
            self.transport.close()

    async def drained(self, reply: Reply) -> None:
        """Wait until the client has taken most of an answer so far, or is gone."""
        while not self.is_gone and self._owed and self._owed[0] is not reply:
            self._turned.clear()
            await self._turned.wait()
        if not self.is_gone:
            await self.flow.drain()

    def hold_back(self, *, held: bool) -> None:
        """Pause or resume reading."""
        if self.is_gone or self.transport.is_closing():
            return
        if held:
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()

    @staticmethod
    def _guarded(reply: Reply | None, call: Callable[..., T], *given: object) -> T | None:
        """A mistake of ours must not look like one of the client's."""
        try:
            return call(*given)
        except Exception:
            _log.exception("a request failed")
            if reply is not None:
                reply.send(_FAILED, close=True)
            return None

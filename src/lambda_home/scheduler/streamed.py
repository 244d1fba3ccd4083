"""A response that comes while its function writes it, on its way to whoever asked for it.

A caller that reads along (`Invocation.sink`) gets each piece at once, and its slowness reaches the
function; for any other caller the pieces are put together.
Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lambda_home.invocations import RESPONSE_LIMIT, STREAM_LIMIT
from lambda_home.scheduler import outcomes
from lambda_home.scheduler.environments import Pending, RuntimeAnswer


class StreamedAnswer:
    """One streamed answer of a runtime; `finish` is called once with what it amounts to.

    `finish` answers whether the invocation was still waiting for it.
    """

    def __init__(
        self, pending: Pending, content_type: str, finish: Callable[[RuntimeAnswer], bool]
    ) -> None:
        self._pending = pending
        self._sink = pending.invocation.sink
        self._finish = finish
        self._limit = RESPONSE_LIMIT if self._sink is None else STREAM_LIMIT
        self._size = 0
        self._chunks: list[bytes] = []
        self._ended = False
        self.on_room: Callable[[], None] = _nothing
        if self._sink is not None:
            self._sink.begin(pending.invocation.function.version, content_type)

    @property
    def over(self) -> bool:
        """Whether more came than a response may have."""
        return self._size > self._limit

    def feed(self, data: bytes) -> bool:
        """Take a piece; False where the caller has enough for now (`on_room` will be called)."""
        self._size += len(data)
        if self.over or self._pending.over:
            return True  # nobody waits for it any more
        if self._sink is None:
            self._chunks.append(data)
            return True
        return self._sink.feed(data, self._room)

    def end(self, answer: RuntimeAnswer) -> bool:
        """The runtime has written all of it, or failed midway (`answer.error_type`)."""
        if self._ended:
            return False
        self._ended = True
        if self.over:
            payload = outcomes.too_large_payload(self._limit)
            answer = replace(answer, payload=payload, error_type=outcomes.TOO_LARGE)
        elif answer.error_type is None:
            answer = replace(answer, payload=b"".join(self._chunks))
        self._chunks.clear()
        return self._finish(answer)

    def torn(self) -> None:
        """The connection was lost: what came is no answer, the runtime's end will be noticed."""
        if not self._ended:
            message = "The runtime's connection was lost while it streamed its response."
            payload = outcomes.error_payload("Runtime.TruncatedResponse", message)
            self.end(RuntimeAnswer(payload, "Runtime.TruncatedResponse"))

    def _room(self) -> None:
        self.on_room()


def _nothing() -> None:
    """Nobody waits for room."""

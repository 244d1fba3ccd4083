"""Reading and answering requests on the bare ASGI interface, for the two hot paths.

FastAPI's routing, dependency and response machinery costs more than an invocation; the routes that
run on every invocation therefore speak ASGI themselves.
Source: https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

from lambda_home.front_limits import MOST_DISCARDED

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


class BodyTooLarge(Exception):
    """The body is longer than the limit; what was read is dropped.

    `more`: the rest still comes, and has to be read before its client hears of it.
    """

    def __init__(self, *, more: bool) -> None:
        super().__init__()
        self.more = more


class ClientGone(Exception):
    """The client went away before its body was complete."""


def refuse_length(headers: Iterable[tuple[bytes, bytes]], limit: int) -> None:
    """Raise BodyTooLarge if a Content-Length is over the limit, before a byte is read."""
    fields = dict(headers)
    length = declared_length(fields)
    if length > limit:
        raise BodyTooLarge(more=is_worth_reading(fields))


def declared_length(fields: Mapping[bytes, bytes]) -> int:
    """The Content-Length of a request; 0 without one."""
    length = fields.get(b"content-length", b"")
    return int(length) if length.isdigit() else 0


def is_worth_reading(fields: Mapping[bytes, bytes]) -> bool:
    """Whether the body of a refused request has to be read for its client to hear of it.

    One that waits to be told to go on hears of it at once, and an endless one is not read.
    """
    return b"expect" not in fields and declared_length(fields) <= MOST_DISCARDED


async def read_body(receive: Receive, limit: int) -> bytes:
    """Read a whole request body of at most `limit` bytes.

    Raises BodyTooLarge as soon as the limit is passed, without keeping what was read, and
    ClientGone.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body: bytes = message.get("body", b"")
    if len(body) > limit:
        raise BodyTooLarge(more=message.get("more_body", False))
    if not message.get("more_body", False):
        return body
    chunks = [body]
    size = len(body)
    while message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(more=message.get("more_body", False))
        chunks.append(chunk)
    return b"".join(chunks)


async def discard_rest(refused: BodyTooLarge, receive: Receive, most: int = MOST_DISCARDED) -> None:
    """Read on, up to `most` bytes, so that the answer reaches a client that is still sending."""
    size = 0
    while refused.more and size < most:
        message = await receive()
        size += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return


async def answer(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send a whole response; adds only Content-Length."""
    headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def is_gone(receive: Receive) -> bool:
    """Whether the client's connection was lost, without waiting; False where that is unknown.

    uvicorn keeps this on the request cycle that `receive` belongs to. A parked poll asks it before
    an invocation is handed over, because the ASGI way, awaiting `receive`, would cost every poll a
    task of its own.
    """
    return bool(getattr(getattr(receive, "__self__", None), "disconnected", False))

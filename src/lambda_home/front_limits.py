"""What one connection may cost the server: sizes of heads and bodies, patience, numbers; pure.

Sources: RFC 9110 sections 15.5.9 (408), 15.5.15 (414) and 15.5.4 (400), RFC 6585 section 5 (431).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Final

MOST_HEAD_BYTES: Final = 64 * 1024
MOST_TARGET_BYTES: Final = 16 * 1024
MOST_HEADERS: Final = 200
MOST_DISCARDED: Final = 128 * 1024 * 1024
"""Of a body that was refused; a client that sends on is hung up on."""

_LINE_BYTES: Final = 4  # ": " and CRLF
_REQUEST_LINE_BYTES: Final = len("  HTTP/1.1\r\n")
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_ABSOLUTE = re.compile(rb"https?://([^/?]+)((?:/.*|\?.*)?)", re.IGNORECASE)
_NEVER: Final = float("inf")
_UNSEEN: Final = -1
_SWEEPS_PER_TIMEOUT: Final = 4
_LONGEST_SWEEP_S: Final = 2.5

FieldList = list[tuple[bytes, bytes]]


class Phase(Enum):
    """What a connection waits for."""

    FRESH = "its first byte"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    ANSWER = "an answer of ours"
    IDLE = "the next request"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection may take, in seconds, and how many there may be.

    `header_s` is for a whole head, and for the first byte of a connection; `body_s` for the next
    piece of a body; `idle_s` for the next request; `write_s` for a client to take some of what
    is written to it.
    """

    header_s: float = _NEVER
    body_s: float = _NEVER
    idle_s: float = _NEVER
    write_s: float = _NEVER
    max_connections: int | None = None

    def of(self, phase: Phase) -> float:
        """For how long a connection may be in a phase."""
        if phase is Phase.ANSWER:
            return _NEVER
        if phase is Phase.BODY:
            return self.body_s
        return self.idle_s if phase is Phase.IDLE else self.header_s

    @property
    def sweep_s(self) -> float:
        """How often connections are looked at; infinite if nothing ends them."""
        shortest = min(self.header_s, self.body_s, self.idle_s, self.write_s)
        often = shortest / _SWEEPS_PER_TIMEOUT
        return min(often, _LONGEST_SWEEP_S) if shortest < _NEVER else _NEVER


ENDLESS: Final = Patience()
"""For the runtime API: runtimes wait for work, and stream results, as long as it takes."""


class Verdict(Enum):
    """What is done about a connection."""

    FINE = "go on"
    LATE = "408, and the end"
    END = "the end"


class Watch:
    """Judges one connection whenever it is looked at."""

    __slots__ = ("_buffered", "_progress", "_stuck_since", "_waits_since")

    def __init__(self) -> None:
        self._progress = _UNSEEN
        self._waits_since = 0.0
        self._buffered = 0
        self._stuck_since = 0.0

    def look(
        self, phase: Phase, progress: int, buffered: int, patience: Patience, now: float
    ) -> Verdict:
        """What is to be done; `now` is monotonic.

        `progress` is another number whenever the client achieved something, `buffered` bytes
        are still to be taken by it.
        """
        if buffered and buffered >= self._buffered > 0:
            if now - self._stuck_since >= patience.write_s:
                return Verdict.END
        else:
            self._stuck_since = now
        self._buffered = buffered
        if progress != self._progress:
            self._progress = progress
            self._waits_since = now
            return Verdict.FINE
        if now - self._waits_since < patience.of(phase):
            return Verdict.FINE
        return Verdict.LATE if phase in {Phase.HEAD, Phase.BODY} else Verdict.END


class Unacceptable(Exception):
    """A request that HTTP forbids, or that is too large or too slow; ends its connection."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


def check_head(method: bytes, target: bytes, fields: FieldList, *, upgrade: bool) -> bytes:
    """The request target in origin form; raises Unacceptable for a head that is not served.

    A target in absolute form becomes its path. It must name the host of the Host header, so that
    whoever reads the one decides about the other (RFC 9112 section 3.2.2).
    """
    if _is_oversize(method, target, fields):
        raise too_long(target)
    if len(fields) > MOST_HEADERS:
        raise Unacceptable(431, f"A request must have at most {MOST_HEADERS} headers.")
    if method == b"CONNECT":
        raise Unacceptable(400, "CONNECT is not served: this server is no proxy.")
    if b"#" in target:
        raise Unacceptable(400, "The request target must not have a fragment.")
    named = dict(fields)
    if upgrade and b"websocket" in named.get(b"upgrade", b"").lower():
        raise Unacceptable(403, "This server does not speak WebSocket.")
    if upgrade and named.keys() & _FRAMING:
        raise Unacceptable(400, "A request with a body cannot be an upgrade.")
    if target.startswith(b"/") or (method == b"OPTIONS" and target == b"*"):
        return target
    match = _ABSOLUTE.fullmatch(target)
    if match is None or match[1].lower() != named.get(b"host", b"").lower():
        raise Unacceptable(400, "The request target must name the host of the Host header.")
    return match[2] if match[2].startswith(b"/") else b"/" + match[2]


def too_long(target: bytes) -> Unacceptable:
    """A head is too large, of which `target` is known so far."""
    if len(target) > MOST_TARGET_BYTES:
        return Unacceptable(414, f"The request target must have at most {MOST_TARGET_BYTES} bytes.")
    return Unacceptable(
        431, f"The request line and the headers must have at most {MOST_HEAD_BYTES} bytes."
    )


def _is_oversize(method: bytes, target: bytes, fields: FieldList) -> bool:
    if len(target) > MOST_TARGET_BYTES:
        return True
    size = len(method) + len(target) + _REQUEST_LINE_BYTES
    size += sum(len(name) + len(value) + _LINE_BYTES for name, value in fields)
    return size > MOST_HEAD_BYTES


def refusal(error: Unacceptable) -> bytes:
    """A whole HTTP response that says so, and that the connection ends."""
    body = json.dumps({"message": error.message}).encode()
    head = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    return head.encode() + body

"""Events in chunks: what one stream wrote within moments is one row of the log store; pure.

A chunk is JSON in UTF-8, with its texts as they are but for JSON's escapes, so that a search can
look whether a text is in it without unpacking it. Rows of many lines make writing, searching and
deleting cheap, and let other threads go on: each row costs a hand-over of the interpreter's lock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from lambda_home.logs.events import BadLogToken

MOST_EVENTS = 200
MOST_CHARACTERS = 64 * 1024
LONGEST_SPAN_MS = 60_000
"""Between the first and the last event of a chunk."""

ROW_BYTES = 64
"""What a chunk costs beside its data, about."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_ESCAPES = b"\\\\u00"
_ID = re.compile(r"\d{56}")
_HIGHEST_INDEX = 10**10 - 1


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a stream, to be stored."""

    timestamp_ms: int
    message: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some events of one stream, packed, with the moments of the first and the last."""

    first_ms: int
    last_ms: int
    data: bytes
    count: int

    @property
    def size(self) -> int:
        """Bytes that it counts for."""
        return len(self.data) + ROW_BYTES


def chunks_of(lines: Sequence[Line]) -> Iterator[Chunk]:
    """Lines of one stream as chunks, by time; those of the same moment keep their order."""
    ordered = sorted(lines, key=_moment)
    start, characters = 0, 0
    for number, line in enumerate(ordered):
        full = (
            number - start >= MOST_EVENTS
            or characters >= MOST_CHARACTERS
            or line.timestamp_ms - ordered[start].timestamp_ms > LONGEST_SPAN_MS
        )
        if full:
            yield _pack(ordered[start:number])
            start, characters = number, 0
        characters += len(line.message)
    if ordered:
        yield _pack(ordered[start:])


def unpack(first_ms: int, data: bytes) -> list[Line]:
    """The lines of a chunk."""
    runs, offsets, messages = json.loads(data.decode("utf-8", "surrogatepass"))
    ids = [request_id for request_id, count in runs for _ in range(count)]
    return [
        Line(first_ms + offset, message, request_id)
        for offset, message, request_id in zip(offsets, messages, ids, strict=True)
    ]


def needle(text: str) -> bytes:
    """How a text stands in the data of every chunk that has it in one of its messages."""
    return _encode(text)[1:-1].encode("utf-8", "surrogatepass")


def may_have(data: bytes, needles: Sequence[bytes]) -> bool:
    """Whether a chunk may have a message with all these texts.

    A message that is JSON can spell a text with escapes of its own: then it may.
    """
    return all(text in data for text in needles) or _ESCAPES in data


Key = tuple[int, int, int]
"""Where an event stands among all of its group: moment, number of its chunk, place in it."""


def id_of(key: Key) -> str:
    """The id of the event at a place: 56 digits, as those of CloudWatch Logs."""
    timestamp_ms, chunk, index = key
    return f"{timestamp_ms:020}{chunk:026}{index:010}"


def key_of(event_id: str) -> Key:
    """The place that an id tells. Raises BadLogToken."""
    if _ID.fullmatch(event_id) is None or not event_id.isascii():
        raise BadLogToken("The specified token is not one that a page of log events gave.")
    return int(event_id[:20]), int(event_id[20:46]), int(event_id[46:])


def just_before(first_ms: int, chunk: int) -> Key:
    """A place between all events before a chunk and its own."""
    return first_ms, chunk - 1, _HIGHEST_INDEX


def just_after(last_ms: int, chunk: int) -> Key:
    """A place between a chunk's last event and all that come after."""
    return last_ms, chunk + 1, 0


def _moment(line: Line) -> int:
    return line.timestamp_ms


def _pack(lines: Sequence[Line]) -> Chunk:
    first, last = lines[0].timestamp_ms, lines[-1].timestamp_ms
    runs = [
        (request_id, sum(1 for _ in run))
        for request_id, run in groupby(lines, lambda line: line.request_id)
    ]
    offsets = [line.timestamp_ms - first for line in lines]
    document = (runs, offsets, [line.message for line in lines])
    data = _encode(document).encode("utf-8", "surrogatepass")
    return Chunk(first, last, data, len(lines))

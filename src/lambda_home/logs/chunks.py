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
_ID = re.compile(r"[0-9]{56}")
_LATEST_MS = 1 << 62
"""No event is as late; SQLite's numbers end soon after."""

_HIGHEST_INDEX = 10**10 - 1


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a stream."""

    timestamp_ms: int
    message: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """Events of one stream, moment and request, to be stored."""

    timestamp_ms: int
    messages: Sequence[str]
    request_id: str = ""

    def parts(self) -> Iterator[Run]:
        """It as runs that go into one chunk each, but for a message that is too long alone."""
        count = len(self.messages)
        if count == 1 or (count <= MOST_EVENTS and _characters(self) <= MOST_CHARACTERS):
            yield self
            return
        middle = count // 2
        for messages in (self.messages[:middle], self.messages[middle:]):
            yield from Run(self.timestamp_ms, messages, self.request_id).parts()


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


def chunks_of(runs: Sequence[Run]) -> Iterator[Chunk]:
    """What one stream wrote as chunks, by time; events of the same moment keep their order."""
    held: list[Run] = []
    events = characters = 0
    for run in sorted(runs, key=_moment):
        for part in run.parts():
            full = held and (
                events + len(part.messages) > MOST_EVENTS
                or characters >= MOST_CHARACTERS
                or part.timestamp_ms - held[0].timestamp_ms > LONGEST_SPAN_MS
            )
            if full:
                yield _pack(held)
                held, events, characters = [], 0, 0
            held.append(part)
            events += len(part.messages)
            characters += _characters(part)
    if held:
        yield _pack(held)


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
    if _ID.fullmatch(event_id) is None or int(event_id[:20]) > _LATEST_MS:
        raise BadLogToken("The specified token is not one that a page of log events gave.")
    return int(event_id[:20]), int(event_id[20:46]), int(event_id[46:])


def just_before(first_ms: int, chunk: int) -> Key:
    """A place between all events before a chunk and its own."""
    return first_ms, chunk - 1, _HIGHEST_INDEX


def just_after(last_ms: int, chunk: int) -> Key:
    """A place between a chunk's last event and all that come after."""
    return last_ms, chunk + 1, 0


def _moment(run: Run) -> int:
    return run.timestamp_ms


def _characters(run: Run) -> int:
    return sum(map(len, run.messages))


def _pack(runs: Sequence[Run]) -> Chunk:
    first, last = runs[0].timestamp_ms, runs[-1].timestamp_ms
    requests = [
        (request_id, sum(len(run.messages) for run in of_request))
        for request_id, of_request in groupby(runs, lambda run: run.request_id)
    ]
    offsets: list[int] = []
    messages: list[str] = []
    for run in runs:
        offsets += [run.timestamp_ms - first] * len(run.messages)
        messages += run.messages
    data = _encode((requests, offsets, messages)).encode("utf-8", "surrogatepass")
    return Chunk(first, last, data, len(messages))

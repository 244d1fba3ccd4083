"""Reads pages of events: chunks by time, merged where streams overlap, each page bounded."""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lambda_home.logs import chunks
from lambda_home.logs.chunks import Key, Line
from lambda_home.logs.events import EventPage, EventQuery, StoredEvent

MOST_SCANNED_BYTES = 12 * 1024 * 1024
MOST_EXAMINED = 3_500
"""How much a page looks at before it stops with what it has: bytes of chunks, and events against a
pattern."""

_MOST_CURSORS = 64
_FAR = 1 << 62
_COLUMNS = "SELECT id, stream_id, first_ms, last_ms, ingested_ms, data FROM chunks"
_Row = tuple[int, int, int, int, int, bytes]
_Waiting = tuple[Key, Line, int, int]
"""Where an event stands, itself, its stream and the moment of its ingestion."""


def page(connection: sqlite3.Connection, group_id: int, query: EventQuery) -> EventPage:
    """A page of a group's events. Raises BadLogToken."""
    names = _streams(connection, group_id, query)
    reader = _Reader(connection, group_id, query, names)
    return reader.page()


def _streams(
    connection: sqlite3.Connection, group_id: int, query: EventQuery
) -> dict[int, str] | None:
    """The streams that are asked for, by number; None for all."""
    if query.streams is None and not query.stream_prefix:
        return None
    rows = connection.execute("SELECT id, name FROM streams WHERE group_id = ?", (group_id,))
    wanted = None if query.streams is None else frozenset(query.streams)
    return {
        number: name
        for number, name in rows
        if name.startswith(query.stream_prefix) and (wanted is None or name in wanted)
    }


@dataclass(slots=True)
class _Reader:
    connection: sqlite3.Connection
    group_id: int
    query: EventQuery
    streams: dict[int, str] | None
    scanned: int = 0
    examined: int = 0
    needles: Sequence[bytes] = ()
    names: dict[int, str] = field(default_factory=dict)
    low: Key = (-1, 0, 0)
    high: Key = (_FAR, 0, 0)

    def page(self) -> EventPage:
        """Go through the chunks, oldest first or newest first, until the page is full."""
        query = self.query
        if query.after:
            self.low = chunks.key_of(query.after)
        if query.before:
            self.high = chunks.key_of(query.before)
        self.low = max(self.low, (query.start_ms - 1, _FAR, 0))
        if query.end_ms is not None:
            self.high = min(self.high, (query.end_ms, 0, 0))
        texts = [*(query.pattern.needles if query.pattern else ())]
        self.needles = [chunks.needle(text) for text in (*texts, query.request_id) if text]
        self.names = dict(self.streams or {})
        events: list[StoredEvent] = []
        more = ""
        for found in self._events():
            if isinstance(found, str):
                more = found
                break
            if len(events) == query.limit:
                more = events[-1].id
                break
            events.append(found)
        return EventPage(events[::-1] if query.backwards else events, more)

    def _events(self) -> Iterator[StoredEvent | str]:
        """Events in order; a text is where the next page goes on, when enough was looked at."""
        backwards = self.query.backwards
        heap: list[_Waiting] = []
        for row in self._rows():
            number, _, first_ms, last_ms, _, data = row
            if backwards:
                border = chunks.just_after(last_ms, number)
                until = _negated(border)
            else:
                border = until = chunks.just_before(first_ms, number)
            while heap and heap[0][0] <= until:
                yield from self._wanted(heapq.heappop(heap))
            if self.scanned > MOST_SCANNED_BYTES or (
                self.scanned and self.examined > MOST_EXAMINED
            ):
                yield chunks.id_of(border)
                return
            if self.low < border < self.high:  # else a page could end where it began
                self.scanned += len(data)
            if self.needles and not chunks.may_have(data, self.needles):
                continue
            for waiting in self._within(row):
                heapq.heappush(heap, waiting)
        while heap:
            yield from self._wanted(heapq.heappop(heap))

    def _within(self, row: _Row) -> Iterator[_Waiting]:
        """Events of a chunk that are in the time and of the request that are asked for."""
        number, stream_id, first_ms, _, ingested_ms, data = row
        request_id, backwards = self.query.request_id, self.query.backwards
        low, high = self.low, self.high
        for index, line in enumerate(chunks.unpack(first_ms, data)):
            key = (line.timestamp_ms, number, index)
            if low < key < high and (not request_id or line.request_id == request_id):
                yield _negated(key) if backwards else key, line, stream_id, ingested_ms

    def _wanted(self, waiting: _Waiting) -> Iterator[StoredEvent]:
        """The event whose turn it is, if the pattern wants it."""
        key, line, stream_id, ingested_ms = waiting
        if self.query.pattern is not None:
            self.examined += 1
            if not self.query.pattern.matches(line.message):
                return
        yield StoredEvent(
            chunks.id_of(_negated(key) if self.query.backwards else key),
            self._name(stream_id),
            line.timestamp_ms,
            ingested_ms,
            line.message,
            line.request_id,
        )

    def _rows(self) -> Iterator[_Row]:
        """Chunks that may have something, by their first moment, or backwards by their last."""
        streams = self.streams
        if streams is None or len(streams) > _MOST_CURSORS:
            rows = self._cursor("group_id", self.group_id)
            return rows if streams is None else (row for row in rows if row[1] in streams)
        cursors = [self._cursor("stream_id", stream_id) for stream_id in streams]
        if self.query.backwards:
            return heapq.merge(*cursors, key=_by_last, reverse=True)
        return heapq.merge(*cursors, key=_by_first)

    def _cursor(self, column: str, number: int) -> Iterator[_Row]:
        first, last = max(self.low[0], 0), self.high[0]
        span = chunks.LONGEST_SPAN_MS
        if self.query.backwards:
            text = (
                f"{_COLUMNS} WHERE {column} = ? AND last_ms BETWEEN ? AND ? AND first_ms <= ?"
                " ORDER BY last_ms DESC, id DESC"
            )
            return self.connection.execute(text, (number, first, last + span, last))
        text = (
            f"{_COLUMNS} WHERE {column} = ? AND first_ms BETWEEN ? AND ? AND last_ms >= ?"
            " ORDER BY first_ms, id"
        )
        return self.connection.execute(text, (number, first - span, last, first))

    def _name(self, stream_id: int) -> str:
        name = self.names.get(stream_id)
        if name is None:
            row = self.connection.execute(
                "SELECT name FROM streams WHERE id = ?", (stream_id,)
            ).fetchone()
            name = self.names[stream_id] = str(row[0]) if row else ""
        return name


def _negated(key: Key) -> Key:
    return -key[0], -key[1], -key[2]


def _by_first(row: _Row) -> tuple[int, int]:
    return row[2], row[0]


def _by_last(row: _Row) -> tuple[int, int]:
    return row[3], row[0]

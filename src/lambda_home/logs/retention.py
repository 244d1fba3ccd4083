"""What the log store lets go: events past their group's retention, and the oldest over a size cap.

Chunks go whole and in bounded steps, so that the writer is never long away from its queue.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable

DAY_MS = 86_400_000
_STEP = 500
VACUUM_PAGES = 1000
_KEPT_SHARE = 0.95
"""How much of its cap a group that went over it keeps: else each batch would delete a little."""


def trim_group(connection: sqlite3.Connection, group_id: int, most: int) -> int:
    """Delete a group's oldest chunks until it has at most `most` bytes; answers how many went."""
    oldest = (
        "SELECT id, group_id, stream_id, size FROM chunks WHERE group_id = ?"
        " ORDER BY first_ms, id LIMIT ?"
    )
    return _trim(connection, _bytes_of(connection, group_id), most, (oldest, (group_id, _STEP)))


def trim_store(connection: sqlite3.Connection, most: int) -> int:
    """Delete the chunks that came first until all have at most `most` bytes."""
    oldest = "SELECT id, group_id, stream_id, size FROM chunks ORDER BY id LIMIT ?"
    return _trim(connection, stored_bytes(connection), most, (oldest, (_STEP,)))


def stored_bytes(connection: sqlite3.Connection) -> int:
    """What all chunks count for."""
    (size,) = connection.execute("SELECT COALESCE(SUM(bytes), 0) FROM groups").fetchone()
    return int(size)


def expire(connection: sqlite3.Connection, now_ms: int, usual_days: int | None) -> int:
    """Delete some chunks past the retention of their groups; 0 if there are none left.

    `usual_days` is for groups that have no retention of their own.
    """
    gone = 0
    groups = connection.execute(
        "SELECT id, COALESCE(retention_days, ?1) FROM groups"
        " WHERE COALESCE(retention_days, ?1) IS NOT NULL",
        (usual_days,),
    ).fetchall()
    for group_id, days in groups:
        rows = connection.execute(
            "SELECT id, group_id, stream_id, size FROM chunks"
            " WHERE group_id = ? AND last_ms < ? ORDER BY last_ms, id LIMIT ?",
            (group_id, now_ms - days * DAY_MS, _STEP),
        ).fetchall()
        gone += _delete(connection, rows)
    return gone


def forget_empty_streams(connection: sqlite3.Connection, now_ms: int) -> int:
    """Delete streams all of whose events are gone, a day after the last; else they pile up."""
    return connection.execute(
        "DELETE FROM streams WHERE bytes <= 0 AND ingested_ms < ?", (now_ms - DAY_MS,)
    ).rowcount


def is_crowded(connection: sqlite3.Connection) -> bool:
    """Whether so many pages of the file are unused that some should go back to the system."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    return bool(free > VACUUM_PAGES and free * 4 > pages)


def _trim(
    connection: sqlite3.Connection, size: int, most: int, oldest: tuple[str, tuple[int, ...]]
) -> int:
    gone = 0
    excess = size - int(most * _KEPT_SHARE) if size > most else 0
    while excess > 0:
        rows = []
        for row in connection.execute(*oldest).fetchall():
            if excess <= 0:
                break
            rows.append(row)
            excess -= row[3]
        if not rows:
            break
        gone += _delete(connection, rows)
    return gone


def _bytes_of(connection: sqlite3.Connection, group_id: int) -> int:
    row = connection.execute("SELECT bytes FROM groups WHERE id = ?", (group_id,)).fetchone()
    return int(row[0]) if row else 0


def _delete(connection: sqlite3.Connection, rows: Iterable[tuple[int, int, int, int]]) -> int:
    """Delete chunks (id, group, stream, size) and take their bytes off."""
    ids: list[tuple[int]] = []
    groups: Counter[int] = Counter()
    streams: Counter[int] = Counter()
    for chunk_id, group_id, stream_id, size in rows:
        ids.append((chunk_id,))
        groups[group_id] += size
        streams[stream_id] += size
    connection.executemany("DELETE FROM chunks WHERE id = ?", ids)
    connection.executemany(
        "UPDATE groups SET bytes = bytes - ? WHERE id = ?",
        [(size, group_id) for group_id, size in groups.items()],
    )
    connection.executemany(
        "UPDATE streams SET bytes = bytes - ? WHERE id = ?",
        [(size, stream_id) for stream_id, size in streams.items()],
    )
    return len(ids)

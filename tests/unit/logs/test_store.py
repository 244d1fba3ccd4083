"""The log store: what is written is read, by group, stream, time and request, whatever happens."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_home.arns import Scope
from lambda_home.logs import LogLimits, LogStore, LogText, reading
from lambda_home.logs.chunks import MOST_CHARACTERS, MOST_EVENTS, Line, Run, chunks_of, unpack
from lambda_home.logs.events import (
    BadLogToken,
    EventQuery,
    LiveEvent,
    LogNameTaken,
    LogStoreUnavailable,
    NoSuchLogGroup,
    NoSuchLogStream,
)
from lambda_home.logs.filters import parse_pattern
from lambda_home.logs.queue import LineQueue

SCOPE = Scope("123456789012", "us-east-1")
OTHERS = [Scope("999999999999", "us-east-1"), Scope("123456789012", "eu-west-1")]
GROUP = "/aws/lambda/hello"
AT = 1_700_000_000.0
AT_MS = 1_700_000_000_000
DAY_S = 86_400
EVERYTHING = EventQuery()


class Now:
    """A clock turned by hand."""

    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def store(tmp_path: Path, now: Now) -> Iterator[LogStore]:
    made = LogStore(tmp_path / "logs.db", now=now)
    yield made
    made.close()


def event(
    message: str, *, stream: str = "s", at: float = AT, request_id: str = "", group: str = GROUP
) -> LogText:
    return LogText(SCOPE, group, stream, at, message.encode(), request_id)


def messages(store: LogStore, query: EventQuery = EVERYTHING, group: str = GROUP) -> list[str]:
    """All pages of a query, in ascending order."""
    found: list[str] = []
    more = "first"
    while more:
        page = store.events(SCOPE, group, query)
        texts = [stored.message for stored in page.events]
        found = [*texts, *found] if query.backwards else [*found, *texts]
        more = page.more
        changed = {"before": more} if query.backwards else {"after": more}
        query = EventQuery(
            query.streams,
            query.stream_prefix,
            query.start_ms,
            query.end_ms,
            query.pattern,
            query.request_id,
            **changed,
            backwards=query.backwards,
            limit=query.limit,
        )
    return found


# ------------------------------------------------------------------------------ what is written


def test_an_event_is_read_as_it_was_written(store: LogStore) -> None:
    odd = "päng \U0001f4a5 \x00 \r\t\"'\\ \u2028"
    store.append(event(odd, at=AT + 0.25, request_id="r1"))
    (read,) = store.events(SCOPE, GROUP).events
    assert read.message == odd
    assert (read.stream, read.timestamp_ms, read.request_id) == ("s", AT_MS + 250, "r1")
    assert read.ingestion_ms == AT_MS
    assert len(read.id) == 56


def test_each_line_is_an_event_and_what_is_no_utf_8_is_replaced(store: LogStore) -> None:
    store.append(LogText(SCOPE, GROUP, "s", AT, b"one\n\nthr\xffee \xe2\x82\nfour", "r1"))
    store.append(event("five"))
    read = store.events(SCOPE, GROUP).events
    assert [e.message for e in read] == ["one", "", "thr\ufffdee \ufffd", "four", "five"]
    assert [e.request_id for e in read] == ["r1"] * 4 + [""]


def test_a_message_that_was_put_may_have_lines_and_surrogates(store: LogStore) -> None:
    store.create_group(SCOPE, GROUP)
    store.create_stream(SCOPE, GROUP, "s")
    store.put(SCOPE, GROUP, "s", [(AT_MS, "two\nlines \udcff"), (AT_MS, "x" * 200_000)])
    assert messages(store) == ["two\nlines \udcff", "x" * 200_000]


@given(
    texts=st.lists(
        st.tuples(st.integers(0, 100_000), st.lists(st.text("ab", max_size=3), min_size=1)),
        max_size=20,
    )
)
def test_chunks_hold_every_event_in_order_of_time(texts: list[tuple[int, list[str]]]) -> None:
    runs = [Run(at, lines, f"r{at % 3}") for at, lines in texts]
    found = [line for chunk in chunks_of(runs) for line in unpack(chunk.first_ms, chunk.data)]
    ordered = sorted(runs, key=lambda run: run.timestamp_ms)
    wanted = [Line(r.timestamp_ms, m, r.request_id) for r in ordered for m in r.messages]
    assert found == wanted


@pytest.mark.parametrize(
    ("count", "length"), [(1, 10**6), (5, 50_000), (199, 1000), (200, 10), (201, 10), (5000, 1)]
)
def test_chunks_stay_small(count: int, length: int) -> None:
    chunks = list(chunks_of([Run(0, ["x" * length] * count)]))
    assert sum(chunk.count for chunk in chunks) == count
    assert all(chunk.count <= MOST_EVENTS for chunk in chunks)
    assert all(chunk.count == 1 or chunk.size < 2 * MOST_CHARACTERS for chunk in chunks)


def test_accounts_regions_and_groups_do_not_see_each_other(store: LogStore) -> None:
    for scope in (SCOPE, *OTHERS):
        for group in ("a", "b"):
            store.append(LogText(scope, group, "s", AT, f"{scope} {group}".encode()))
    for scope in (SCOPE, *OTHERS):
        assert [g.name for g in store.groups(scope)] == ["a", "b"]
        for group in ("a", "b"):
            (read,) = store.events(scope, group).events
            assert read.message == f"{scope} {group}"


def test_lines_of_the_same_moment_keep_their_order_over_flushes(store: LogStore) -> None:
    for number in range(1200):
        store.append(event(f"{number}"))
        if number % 100 == 0:
            store.flush()
    assert messages(store) == [f"{number}" for number in range(1200)]


def test_close_writes_everything_and_ends_the_writer(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = LogStore(tmp_path / "logs.db")
    for number in range(10_000):
        store.append(event(f"{number}"))
    store.close()
    assert set(threading.enumerate()) <= before
    again = LogStore(tmp_path / "logs.db")
    assert len(again.events(SCOPE, GROUP).events) == 10_000
    again.close()


def test_twenty_functions_that_log_from_several_threads_lose_nothing(store: LogStore) -> None:
    for number in range(20_000):
        store.append(
            event(f"{number}", group=f"g{number % 20}", stream=f"s{number % 3}", at=AT + number)
        )
    for group in range(20):
        assert messages(store, group=f"g{group}") == [f"{n}" for n in range(group, 20_000, 20)]
    assert store.dropped == 0


# --------------------------------------------------------------------------------- what is read


LINES = st.lists(
    st.tuples(
        st.integers(0, 200_000),  # moments, some further apart than a chunk may be
        st.sampled_from(["a", "b", "ab"]),
        st.sampled_from(["ERROR one", "WARN two", "fine"]),
        st.sampled_from(["", "r1", "r2"]),
        st.booleans(),
    ),
    max_size=40,
)
QUERIES = st.builds(
    EventQuery,
    streams=st.none() | st.lists(st.sampled_from(["a", "b", "ab", "none"]), max_size=2),
    stream_prefix=st.sampled_from(["", "a"]),
    start_ms=st.just(0) | st.integers(0, 200_000),
    end_ms=st.none() | st.integers(0, 200_000),
    pattern=st.sampled_from([None, parse_pattern("ERROR"), parse_pattern("?ERROR ?WARN")]),
    request_id=st.sampled_from(["", "r1"]),
    backwards=st.booleans(),
    limit=st.integers(1, 5) | st.just(1000),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=LINES, query=QUERIES, bytes_a_page=st.sampled_from([0, 10_000_000]))
def test_pages_have_exactly_what_is_asked_for_in_order_of_time(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lines: Sequence[tuple[int, str, str, str, bool]],
    query: EventQuery,
    bytes_a_page: int,
) -> None:
    monkeypatch.setattr(reading, "MOST_SCANNED_BYTES", bytes_a_page)
    store = LogStore(tmp_path / "logs.db")
    store.clear()
    store.create_group(SCOPE, GROUP)
    expected: list[tuple[int, int, str]] = []
    for number, (at_ms, stream, text, request_id, flush) in enumerate(lines):
        message = f"{text} {number}"
        store.append(event(message, stream=stream, at=at_ms / 1000, request_id=request_id))
        if flush:
            store.flush()
        wanted = (
            (query.streams is None or stream in query.streams)
            and stream.startswith(query.stream_prefix)
            and query.start_ms <= int(at_ms / 1000 * 1000)
            and (query.end_ms is None or int(at_ms / 1000 * 1000) < query.end_ms)
            and (query.pattern is None or query.pattern.matches(message))
            and (not query.request_id or query.request_id == request_id)
        )
        if wanted:
            expected.append((int(at_ms / 1000 * 1000), number, message))
    found = messages(store, query)
    store.close()
    assert sorted(found) == sorted(message for *_, message in expected)
    moments = {message: at for at, _, message in expected}
    assert [moments[m] for m in found] == sorted(moments[m] for m in found)


def test_a_page_that_looked_at_much_and_found_little_stops_early(
    store: LogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MOST_EXAMINED", 1000)
    for number in range(5000):
        store.append(event(f"line {number}", at=AT + number))
    pattern = parse_pattern("%4999%")
    page = store.events(SCOPE, GROUP, EventQuery(pattern=pattern))
    assert page.events == []
    assert page.more
    assert messages(store, EventQuery(pattern=pattern)) == ["line 4999"]


@pytest.mark.parametrize(
    "token", ["x", "1" * 55, "1" * 57, "-" + "1" * 55, "\u0661" * 56, "9" * 56]
)
def test_a_token_that_no_page_gave_is_refused(store: LogStore, token: str) -> None:
    store.create_group(SCOPE, GROUP)
    for query in (EventQuery(after=token), EventQuery(before=token)):
        with pytest.raises(BadLogToken):
            store.events(SCOPE, GROUP, query)


# --------------------------------------------------------------------------- groups and streams


def test_groups_come_by_name_in_pages(store: LogStore) -> None:
    for name in ("b", "a", "/aws/x", "a%", "a_"):
        store.create_group(SCOPE, name, {"tags": {"k": name}})
    assert [g.name for g in store.groups(SCOPE)] == ["/aws/x", "a", "a%", "a_", "b"]
    assert [g.name for g in store.groups(SCOPE, "a")] == ["a", "a%", "a_"]
    assert [g.name for g in store.groups(SCOPE, "a", after="a", limit=1)] == ["a%"]
    assert store.group(SCOPE, "b").settings == {"tags": {"k": "b"}}
    store.put_settings(SCOPE, "b", {})
    assert store.group(SCOPE, "b").settings == {}


def test_a_group_is_made_once_and_deleted_with_everything(store: LogStore) -> None:
    store.create_group(SCOPE, GROUP)
    with pytest.raises(LogNameTaken):
        store.create_group(SCOPE, GROUP)
    store.append(event("old"))
    store.delete_group(SCOPE, GROUP)
    for ask in (store.group, store.events, store.streams, store.delete_group):
        with pytest.raises(NoSuchLogGroup):
            ask(SCOPE, GROUP)
    store.append(event("new"))
    assert messages(store) == ["new"]


def test_streams_know_their_events(store: LogStore) -> None:
    store.create_group(SCOPE, GROUP)
    store.create_stream(SCOPE, GROUP, "empty")
    with pytest.raises(LogNameTaken):
        store.create_stream(SCOPE, GROUP, "empty")
    store.append(event("x", stream="b", at=AT + 9))
    store.append(event("x", stream="c", at=AT + 1))
    store.put(SCOPE, GROUP, "c", [(AT_MS + 5000, "y"), (AT_MS - 5000, "z")])
    assert [s.name for s in store.streams(SCOPE, GROUP)] == ["b", "c", "empty"]
    assert [s.name for s in store.streams(SCOPE, GROUP, "b")] == ["b"]
    by_time = store.streams(SCOPE, GROUP, by_time=True, descending=True)
    assert [s.name for s in by_time] == ["b", "c", "empty"]
    found = store.stream(SCOPE, GROUP, "c")
    assert (found.first_event_ms, found.last_event_ms) == (AT_MS - 5000, AT_MS + 5000)
    assert store.stream(SCOPE, GROUP, "empty").last_event_ms is None
    assert messages(store, EventQuery(["c"])) == ["z", "x", "y"]


def test_a_stream_is_deleted_with_its_events(store: LogStore) -> None:
    store.append(event("a", stream="a"))
    store.append(event("b", stream="b"))
    store.delete_stream(SCOPE, GROUP, "a")
    assert messages(store) == ["b"]
    store.append(event("again", stream="a"))
    assert messages(store, EventQuery(["a"])) == ["again"]


@pytest.mark.parametrize("made", [False, True])
def test_put_needs_its_group_and_stream(store: LogStore, made: object) -> None:
    if made:
        store.create_group(SCOPE, GROUP)
    with pytest.raises(NoSuchLogStream if made else NoSuchLogGroup):
        store.put(SCOPE, GROUP, "s", [(AT_MS, "x")])


# ------------------------------------------------------------------------------- what is let go


def test_a_group_over_its_cap_loses_its_oldest_events(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "logs.db", LogLimits(group_bytes=50_000))
    for number in range(300):
        store.append(event(f"{number:04} {'x' * 1000}", at=AT + number))
        store.flush()
    store.append(event("of another", group="other"))
    kept = [message[:4] for message in messages(store)]
    assert kept == [f"{number:04}" for number in range(300 - len(kept), 300)]
    assert 40 <= len(kept) < 50
    assert messages(store, group="other") == ["of another"]
    assert store.group(SCOPE, GROUP).stored_bytes <= 50_000
    store.close()


def test_the_store_over_its_cap_loses_what_came_first(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "logs.db", LogLimits(store_bytes=50_000))
    for number in range(100):
        store.append(event("x" * 1000, group=f"g{number % 2}"))
        store.flush()
    store.sweep()
    sizes = [group.stored_bytes for group in store.groups(SCOPE)]
    assert sum(sizes) <= 50_000
    assert min(sizes) > 15_000
    store.close()


@pytest.mark.parametrize(("own", "usual", "kept"), [(3, None, 2), (None, 3, 2), (7, 1, 3)])
def test_events_past_their_retention_go(
    tmp_path: Path, now: Now, own: int | None, usual: int | None, kept: int
) -> None:
    store = LogStore(tmp_path / "logs.db", LogLimits(retention_days=usual), now=now)
    for day in (0, 3, 4):
        store.append(event(f"{day}", at=AT + day * DAY_S))
        store.flush()
    store.put_retention(SCOPE, GROUP, own)
    assert store.group(SCOPE, GROUP).retention_days == own
    now.at = AT + 5 * DAY_S
    store.sweep()
    assert len(messages(store)) == kept
    store.close()


def test_streams_that_lost_everything_are_forgotten_and_empty_ones_are_not(
    store: LogStore, now: Now
) -> None:
    store.append(event("old", stream="gone"))
    store.append(event("new", stream="kept", at=AT + 9 * DAY_S))
    store.create_group(SCOPE, "other")
    store.create_stream(SCOPE, "other", "never written")
    store.put_retention(SCOPE, GROUP, 1)
    now.at = AT + 9 * DAY_S
    store.sweep()
    assert [stream.name for stream in store.streams(SCOPE, GROUP)] == ["kept"]
    assert [stream.name for stream in store.streams(SCOPE, "other")] == ["never written"]


# ------------------------------------------------------------------------------ what goes wrong


def test_a_damaged_file_is_put_aside_and_logging_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    path.write_bytes(b"no database at all" * 1000)
    store = LogStore(path)
    store.append(event("kept"))
    assert messages(store) == ["kept"]
    assert (tmp_path / "logs.db.damaged").exists()
    assert store.dropped == 0
    store.close()


def test_damage_while_running_costs_what_was_stored_and_nothing_new(tmp_path: Path) -> None:
    path = tmp_path / "logs.db"
    store = LogStore(path)
    for number in range(2000):
        store.append(event(f"{number}", stream=f"s{number}"))
    store.close()
    damaged = bytearray(path.read_bytes())
    damaged[8192:] = b"\xee" * (len(damaged) - 8192)
    path.write_bytes(damaged)
    store = LogStore(path)
    store.append(event("kept"))
    store.flush()
    assert messages(store) == ["kept"]
    assert store.dropped == 0
    store.close()


def test_a_store_that_cannot_be_written_loses_lines_counts_them_and_tells_later(
    tmp_path: Path,
) -> None:
    blocked = tmp_path / "folder"
    blocked.write_text("a file where the store's folder should be")
    store = LogStore(blocked / "logs.db")
    for _ in range(3):
        store.append(event("lost"))
    store.flush()
    assert store.dropped == 3
    with pytest.raises(LogStoreUnavailable):
        store.events(SCOPE, GROUP)
    blocked.unlink()
    store.append(event("kept"))
    told, kept = sorted(messages(store))
    assert told.startswith("[WARNING] lambda_home: 3 log lines were dropped here")
    assert kept == "kept"
    assert store.dropped == 3
    store.close()


def test_a_full_disk_does_not_end_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def limited(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.execute("PRAGMA page_size=8192")
        connection.execute("PRAGMA max_page_count=60")
        return connection

    monkeypatch.setattr(sqlite3, "connect", limited)
    store = LogStore(tmp_path / "logs.db")
    for number in range(60):
        store.append(event(f"{number} {'x' * 20_000}", at=AT + number))
        store.flush()
    newest = messages(store)[-1]
    assert newest.startswith("59 ")
    store.close()


def test_a_full_queue_drops_lines_and_says_how_many(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "logs.db", queue=LineQueue(most_lines=2))
    for number in range(5):
        store.append(event(f"{number}"))
    assert store.dropped == 3
    read = messages(store)
    assert read[:2] == ["0", "1"]
    assert read[2].startswith("[WARNING] lambda_home: 3 log lines were dropped here")
    store.close()


def test_a_queue_is_full_by_the_length_of_its_lines_too() -> None:
    queue = LineQueue(most_bytes=1000)
    for _ in range(3):
        queue.append(event("x" * 900))
    assert queue.dropped == 2
    assert len(queue.take()) == 1
    queue.append(event("x"))
    assert len(queue.take()) == 1


# ------------------------------------------------------------------------------------ who follows


def test_followers_hear_of_their_groups_in_order_of_time(store: LogStore) -> None:
    heard: list[LiveEvent] = []

    def failing(events: Sequence[LiveEvent]) -> None:
        raise ValueError(len(events))

    store.follow(SCOPE, [GROUP], failing)
    end = store.follow(SCOPE, [GROUP, "other"], heard.extend)
    store.append(event("2", stream="a", at=AT + 2, request_id="r"))
    store.append(event("1", stream="b", at=AT + 1))
    store.append(event("not mine", group="third"))
    store.append(LogText(OTHERS[0], GROUP, "s", AT, b"of another account"))
    store.flush()
    assert [(e.message, e.stream, e.request_id) for e in heard] == [("1", "b", ""), ("2", "a", "r")]
    end()
    store.append(event("3"))
    store.flush()
    assert len(heard) == 2

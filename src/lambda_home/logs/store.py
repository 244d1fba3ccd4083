"""The log store: what functions and the platform wrote, by account, region, group and stream.

Lines leave the invocation path through a bounded queue; one thread writes them into one SQLite
file, a few times a second. All methods but `append` may block for milliseconds: on the event loop
they are called by `asyncio.to_thread`. They are safe to call in any thread, and reads see every
line that was appended before. Those that touch the file raise LogStoreUnavailable.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import structlog

from lambda_home.arns import Scope
from lambda_home.clock import SystemClock
from lambda_home.logs import reading
from lambda_home.logs.catalogue import Catalogue
from lambda_home.logs.chunks import Run
from lambda_home.logs.events import (
    EventPage,
    EventQuery,
    Follower,
    LiveEvent,
    LogGroup,
    LogLimits,
    LogStoreUnavailable,
    LogStream,
    LogText,
)
from lambda_home.logs.file import LogFile
from lambda_home.logs.queue import LineQueue, Source
from lambda_home.logs.text_files import TextFiles
from lambda_home.logs.writing import BatchWriter

_WRITE_EVERY_S = 0.2
_SWEEP_EVERY_S = 5.0
_log = structlog.get_logger(__name__)


_USUAL_LIMITS = LogLimits()
_CLOCK = SystemClock()
_EVERYTHING = EventQuery()


class LogStore:
    """The log store at `path`, a SQLite file that is made when first needed.

    `text` also gets every line that is appended, for people who read files. `now` tells seconds
    since the epoch: moments of ingestion, and the age of events.
    """

    def __init__(
        self,
        path: Path,
        limits: LogLimits = _USUAL_LIMITS,
        text: TextFiles | None = None,
        queue: LineQueue | None = None,
        now: Callable[[], float] = _CLOCK.now,
    ) -> None:
        self._now = now
        self._text = text
        self._queue = queue or LineQueue()
        self._file = LogFile(path)
        self._writer = BatchWriter(self._file, limits, self._now_ms)
        self._catalogue = Catalogue(self._file, self._now_ms)
        self._followers: dict[object, tuple[Scope, frozenset[str], Follower]] = {}
        self._ended: dict[object, Callable[[], None]] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._write_until_closed, name="log-writer")
        self._thread.daemon = True
        self._thread.start()

    # ------------------------------------------------------------------------------ writing

    @property
    def dropped(self) -> int:
        """Lines that could not be kept: the queue was full, or the disk."""
        return self._queue.dropped

    def append(self, text: LogText) -> None:
        """Queue lines; never blocks, on the event loop only. Makes group and stream exist.

        A full queue drops them and counts; a line in the stream tells how many were.
        """
        self._queue.append(text)

    def put(self, scope: Scope, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Store events (milliseconds, message) now, as PutLogEvents does; all or none.

        Raises NoSuchLogGroup, NoSuchLogStream.
        """
        runs = [Run(timestamp_ms, (message,)) for timestamp_ms, message in events]
        with self._file.lock:
            self.stream(scope, group, stream)
            if runs:
                self._store({(scope, group, stream): runs})

    def flush(self) -> None:
        """Write everything appended so far."""
        with self._file.lock:
            self._write_queued()

    def sweep(self) -> None:
        """Let go what is past its retention or over the caps; the writer does so by itself."""
        with self._file.lock:
            self.flush()
            if self._file.in_use:
                self._writer.sweep()

    def close(self) -> None:
        """Write what is queued and end the writer."""
        self._ending.set()
        self._thread.join(timeout=10)
        self.flush()
        if self._text is not None:
            self._text.tidy()
        self._file.close()

    # ------------------------------------------------------------------- groups and streams

    def create_group(
        self, scope: Scope, group: str, settings: Mapping[str, object] | None = None
    ) -> None:
        """Make a log group with its `settings` (see LogGroup). Raises LogNameTaken."""
        self.flush()
        self._catalogue.create_group(scope, group, settings or {})

    def group(self, scope: Scope, group: str) -> LogGroup:
        """One group. Raises NoSuchLogGroup."""
        self.flush()
        return self._catalogue.group(scope, group)

    def groups(
        self, scope: Scope, prefix: str = "", *, after: str = "", limit: int = 50
    ) -> list[LogGroup]:
        """At most `limit` groups whose names begin with `prefix`, by name, after the name `after`.

        Ask for one more than a page has to know whether there is another.
        """
        self.flush()
        return self._catalogue.groups(scope, prefix, after, limit)

    def delete_group(self, scope: Scope, group: str) -> None:
        """Delete a group with its streams and events. Raises NoSuchLogGroup."""
        with self._file.lock:
            self.flush()
            self._catalogue.delete_group(scope, group)
            self._writer.forget()

    def clear(self, account: str | None = None) -> None:
        """Delete all groups of an account, or of all accounts (None), with streams and events."""
        with self._file.lock:
            self.flush()
            self._catalogue.clear(account)
            self._writer.forget()
            if self._text is not None:
                self._text.clear(account)

    def put_retention(self, scope: Scope, group: str, days: int | None) -> None:
        """Keep events of a group so many days; None: no end. Raises NoSuchLogGroup."""
        self.flush()
        self._catalogue.put_retention(scope, group, days)

    def put_settings(self, scope: Scope, group: str, settings: Mapping[str, object]) -> None:
        """Replace the `settings` of a group. Raises NoSuchLogGroup."""
        self.flush()
        self._catalogue.put_settings(scope, group, settings)

    def create_stream(self, scope: Scope, group: str, stream: str) -> None:
        """Make a log stream. Raises NoSuchLogGroup, LogNameTaken."""
        self.flush()
        self._catalogue.create_stream(scope, group, stream)

    def stream(self, scope: Scope, group: str, stream: str) -> LogStream:
        """One stream. Raises NoSuchLogGroup, NoSuchLogStream."""
        self.flush()
        return self._catalogue.stream(scope, group, stream)

    def streams(
        self,
        scope: Scope,
        group: str,
        prefix: str = "",
        *,
        by_time: bool = False,
        descending: bool = False,
    ) -> list[LogStream]:
        """All streams of a group whose names begin with `prefix`, by name or by last event.

        The caller cuts pages. Raises NoSuchLogGroup.
        """
        self.flush()
        found = self._catalogue.streams(scope, group, prefix)
        if by_time:
            found.sort(key=lambda stream: stream.last_event_ms or 0)
        return found[::-1] if descending else found

    def delete_stream(self, scope: Scope, group: str, stream: str) -> None:
        """Delete a stream with its events. Raises NoSuchLogGroup, NoSuchLogStream."""
        with self._file.lock:
            self.flush()
            self._catalogue.delete_stream(scope, group, stream)
            self._writer.forget()

    # ------------------------------------------------------------------------------ reading

    def events(self, scope: Scope, group: str, query: EventQuery = _EVERYTHING) -> EventPage:
        """A page of a group's events, by time. Raises NoSuchLogGroup, BadLogToken.

        It looks at a bounded amount of text: see EventPage for pages that stop early.
        """
        self.flush()
        with self._file.read() as connection:
            group_id = self._catalogue.group_id(connection, scope, group)
            return reading.page(connection, group_id, query)

    def follow(
        self,
        scope: Scope,
        groups: Collection[str],
        follower: Follower,
        ended: Callable[[], None] | None = None,
    ) -> Callable[[], None]:
        """Tell `follower` of all events of these groups from now on; call the answer to end it.

        `ended` is called, on the event loop, if the server stops before.

        Groups need not exist yet. Events come in batches, a few times a second, in the writer's
        thread. On the event loop use `logs.live.Tail`, which crosses over and bounds what waits:
        `async with Tail(store, scope, groups) as tail: async for events in tail: ...`.
        """
        key = object()
        self._followers[key] = (scope, frozenset(groups), follower)
        if ended is not None:
            self._ended[key] = ended

        def end() -> None:
            self._followers.pop(key, None)
            self._ended.pop(key, None)

        return end

    def end_following(self) -> None:
        """The server stops: whoever waits for events gets no more. On the event loop."""
        for ended in list(self._ended.values()):
            ended()

    # ------------------------------------------------------------------------------ the writer

    def _write_until_closed(self) -> None:
        turns = 0
        while not self._ending.wait(_WRITE_EVERY_S):
            try:
                self.flush()
                if self._text is not None:
                    self._text.tidy()
                turns += 1
                if turns * _WRITE_EVERY_S >= _SWEEP_EVERY_S:
                    turns = 0
                    self.sweep()
            except LogStoreUnavailable as error:
                _log.warning("the log store is not available", reason=str(error))
            except Exception:  # nothing ends the writer
                _log.exception("the log store failed")

    def _write_queued(self) -> None:
        taken = self._queue.take()
        lost = self._queue.take_lost()
        if not taken and not lost:
            return
        batch: dict[Source, list[Run]] = defaultdict(list)
        for text in taken:
            messages = text.text.decode("utf-8", "replace").split("\n")
            run = Run(int(text.at * 1000), messages, text.request_id)
            batch[text.scope, text.group, text.stream].append(run)
        for source, count in lost.items():
            batch[source].append(Run(self._now_ms(), (_told_of(count),)))
        try:
            self._store(batch)
        except LogStoreUnavailable as error:
            self._lose(batch, lost)
            _log.warning(
                "log lines were lost", reason=str(error), lines=sum(text.lines for text in taken)
            )
        if self._text is not None:
            self._write_text(self._text, batch)

    def _store(self, batch: Mapping[Source, Sequence[Run]]) -> None:
        try:
            ingestion_ms = self._writer.store(batch)
        except LogStoreUnavailable:
            # A full disk, or a damaged file that has been replaced by now.
            with suppress(LogStoreUnavailable):
                self._writer.make_room()
            ingestion_ms = self._writer.store(batch)
        self._tell(batch, ingestion_ms)

    def _lose(self, batch: Mapping[Source, Sequence[Run]], told: Counter[Source]) -> None:
        """Count what was not stored; a line that tells of lost ones is none itself."""
        for source, runs in batch.items():
            count = sum(len(run.messages) for run in runs) - (1 if source in told else 0)
            self._queue.lose(source, count)
        self._queue.lose_again(told)

    @staticmethod
    def _write_text(text: TextFiles, batch: Mapping[Source, Sequence[Run]]) -> None:
        groups: dict[tuple[Scope, str], list[tuple[str, Run]]] = defaultdict(list)
        for (scope, group, stream), runs in batch.items():
            groups[scope, group].extend((stream, run) for run in runs)
        for (scope, group), of_group in groups.items():
            with suppress(OSError):  # the store has them
                text.append(scope, group, of_group)

    def _tell(self, batch: Mapping[Source, Sequence[Run]], ingestion_ms: int) -> None:
        for scope, groups, follower in list(self._followers.values()):
            events = [
                LiveEvent(
                    scope,
                    source[1],
                    source[2],
                    run.timestamp_ms,
                    ingestion_ms,
                    message,
                    run.request_id,
                )
                for source, runs in batch.items()
                if source[0] == scope and source[1] in groups
                for run in runs
                for message in run.messages
            ]
            if events:
                events.sort(key=lambda event: event.timestamp_ms)
                try:
                    follower(events)
                except Exception:  # one that fails is no reason to fail the others
                    _log.exception("a follower of log events failed")

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def _told_of(count: int) -> str:
    return (
        f"[WARNING] lambda_home: {count} log lines were dropped here: they came faster than they"
        " could be written."
    )

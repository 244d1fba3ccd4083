"""What the log store keeps: groups, streams and events, and what may go wrong; pure.

Moments are milliseconds since the epoch, as CloudWatch Logs has them, unless a name says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from lambda_home.arns import Scope
from lambda_home.errors import LambdaHomeError

_NOTHING: Mapping[str, object] = MappingProxyType({})


class NoSuchLogGroup(LambdaHomeError):
    """There is no such log group."""


class NoSuchLogStream(LambdaHomeError):
    """There is no such log stream in its group."""


class LogNameTaken(LambdaHomeError):
    """A log group or stream of this name exists already."""


class BadLogToken(LambdaHomeError):
    """A token that no page handed out."""


class LogStoreUnavailable(LambdaHomeError):
    """The file of the log store cannot be read or written (disk full, permissions)."""


@dataclass(frozen=True, slots=True)
class LogLimits:
    """Most bytes of a log group and of the whole store; the oldest events go first.

    `retention_days` is for groups that have no retention of their own; None: no end.
    """

    group_bytes: int = 64 * 1024 * 1024
    store_bytes: int = 1024 * 1024 * 1024
    retention_days: int | None = None


@dataclass(slots=True)
class LogText:
    r"""What was written at one moment, on its way into the store: each line is an event.

    `text` is UTF-8 without a last line end; what is no UTF-8 is replaced. `at` is seconds since the
    epoch.
    """

    scope: Scope
    group: str
    stream: str
    at: float
    text: bytes
    request_id: str = ""

    @property
    def lines(self) -> int:
        """How many events it is."""
        return self.text.count(b"\n") + 1


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event as it is read.

    `id` names it for good, is no secret, and says where a page goes on (`EventQuery.after` and
    `.before`); `request_id` is "" where no invocation wrote it.
    """

    id: str
    stream: str
    timestamp_ms: int
    ingestion_ms: int
    message: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One event as followers hear of it, as soon as it is stored."""

    scope: Scope
    group: str
    stream: str
    timestamp_ms: int
    ingestion_ms: int
    message: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class LogGroup:
    """A log group. `retention_days` None keeps events as long as the size caps let them be.

    `settings` are members that the store keeps and does not read: tags, kmsKeyId, logGroupClass.
    """

    name: str
    created_ms: int
    retention_days: int | None = None
    stored_bytes: int = 0
    settings: Mapping[str, object] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class LogStream:
    """A log stream; what is None is not known of a stream without events."""

    name: str
    created_ms: int
    first_event_ms: int | None = None
    last_event_ms: int | None = None
    last_ingestion_ms: int | None = None
    stored_bytes: int = 0


class Matcher(Protocol):
    """What a page asks of a filter pattern (`logs.filters.FilterPattern`)."""

    @property
    def needles(self) -> Sequence[str]:
        """Texts that every message that matches contains; may be empty."""

    def matches(self, message: str) -> bool:
        """Whether an event with this message is wanted."""


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events of a group a page has.

    `streams`: names of streams, None for all; one that does not exist has no events.
    `stream_prefix`: only streams whose name begins so. From `start_ms` on, before `end_ms`
    (exclusive). `after` and `before`: ids of events, or `EventPage.more`; the page has what comes
    after (before) them. `backwards`: the newest `limit` of all that fit instead of the oldest; a
    page is in ascending order all the same. `request_id`: only what this invocation wrote.
    """

    streams: Sequence[str] | None = None
    stream_prefix: str = ""
    start_ms: int = 0
    end_ms: int | None = None
    pattern: Matcher | None = None
    request_id: str = ""
    after: str = ""
    before: str = ""
    backwards: bool = False
    limit: int = 10_000


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events by time; `more` is "" at the end, else `after` (backwards: `before`) of the next page.

    A page that has looked at much and found little stops early: it may be empty and have a `more`.
    """

    events: list[StoredEvent]
    more: str = ""


Follower = Callable[[Sequence[LiveEvent]], None]
"""Called with each batch in the thread that wrote it: must return at once and never raise."""

"""Sends lines of log groups to the functions that subscription filters name.

Filters are kept in the registry. Lines come from the log store as they are written, are packed as
AWS packs them, and go to the queue of asynchronous invokes, which tries again where AWS does.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, Final, Protocol, Self

import structlog

from lambda_home.arns import FunctionRef, Scope
from lambda_home.cloudwatch.loops import MOST_DELIVERIES, Loops
from lambda_home.cloudwatch.patterns import pattern_of
from lambda_home.companion.triggers import logs_event
from lambda_home.errors import ApiError, LimitExceededException, ResourceNotFoundException
from lambda_home.invocations import (
    ASYNC_PAYLOAD_LIMIT,
    InvocationRequest,
    InvocationResult,
    InvocationType,
)
from lambda_home.logs.events import Follower, LiveEvent, Matcher
from lambda_home.logs.live import Backlog
from lambda_home.registry.resources import Document, ResourceKind, Resources

_MOST_FILTERS: Final = 2
_MOST_WAITING: Final = 100_000
_ID_STEP: Final = 10**36
_KIND: Final = ResourceKind.LOG_SUBSCRIPTIONS
_log = structlog.get_logger(__name__)

Exists = Callable[[FunctionRef], object]
"""Raises ApiError for a function that is not there."""

_Group = tuple[Scope, str]


class Followed(Protocol):
    """What is needed of the log store."""

    def follow(
        self, scope: Scope, groups: Collection[str], follower: Follower
    ) -> Callable[[], None]:
        """See `LogStore.follow`."""


class Door(Protocol):
    """What is asked to invoke (`invoker.Invoker`)."""

    async def invoke(self, ref: FunctionRef, request: InvocationRequest) -> InvocationResult:
        """Invoke a function. Raises ApiError."""


@dataclass(frozen=True, slots=True)
class _Filter:
    name: str
    pattern: Matcher | None
    function: FunctionRef


@dataclass(frozen=True, slots=True)
class _Parcel:
    """What one invocation is told; `deliveries` with this one led to it."""

    function: FunctionRef
    group: str
    payload: bytes
    deliveries: int


class Subscriptions:
    """A context manager on the event loop; between its ends it delivers.

    The other methods are synchronous and usable in threads.
    """

    def __init__(
        self, store: Followed, resources: Resources, invoker: Door, exists: Exists
    ) -> None:
        self._store = store
        self._resources = resources
        self._invoker = invoker
        self._exists = exists
        self._lock = threading.Lock()
        self._filters: dict[_Group, tuple[_Filter, ...]] = {}
        self._ends: dict[_Group, Callable[[], None]] = {}
        self._waiting = Backlog(_MOST_WAITING)
        self._loops = Loops()
        self._news = asyncio.Event()
        self._ids = count()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Follow every group that has filters."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.reload)
        self._task = self._loop.create_task(self._deliver_for_ever())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Deliver no more."""
        with self._lock:
            for end in self._ends.values():
                end()
            self._ends.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -------------------------------------------------------------------------------- the book

    def reload(self) -> None:
        """Read all filters from the registry, and forget those that are not there."""
        kept = self._resources.everywhere(_KIND)
        for group in {*kept, *self._filters}:
            self._hold(group, kept.get(group))

    def of_group(self, scope: Scope, group: str) -> list[dict[str, Any]]:
        """The filters of a group, by name."""
        filters = _filters_in(self._resources.get(scope, _KIND, group))
        return [filters[name] for name in sorted(filters)]

    def put(self, scope: Scope, group: str, given: Mapping[str, Any]) -> None:
        """Add a filter, or replace the one of the same name. Raises LimitExceededException."""
        name = given["filterName"]

        def edit(document: Document | None) -> Document:
            filters = _filters_in(document)
            before = filters.get(name)
            if before is None and len(filters) >= _MOST_FILTERS:
                raise LimitExceededException("Resource limit exceeded.")
            created = before["creationTime"] if before else given["creationTime"]
            filters[name] = {**given, "creationTime": created}
            return {"filters": filters}

        document = self._resources.change(scope, _KIND, group, edit)
        self._hold((scope, group), document)

    def delete(self, scope: Scope, group: str, name: str) -> None:
        """Take one away. Raises ResourceNotFoundException."""

        def edit(document: Document | None) -> Document | None:
            filters = _filters_in(document)
            if name not in filters:
                raise ResourceNotFoundException("The specified subscription filter does not exist.")
            del filters[name]
            return {"filters": filters} if filters else None

        document = self._resources.change(scope, _KIND, group, edit)
        self._hold((scope, group), document)

    def forget(self, scope: Scope, group: str) -> None:
        """Take all of a group away."""
        if (scope, group) in self._filters:
            self._resources.change(scope, _KIND, group, lambda _: None)
            self._hold((scope, group), None)

    def can_call(self, caller: Scope, arn: str) -> bool:
        """Whether a function is there."""
        try:
            self._exists(FunctionRef.parse(caller, arn))
        except ApiError:
            return False
        return True

    def _hold(self, group: _Group, document: Document | None) -> None:
        """Follow a group, or follow it no longer."""
        filters = tuple(_filter_of(group[0], each) for each in _filters_in(document).values())
        with self._lock:
            if filters:
                self._filters[group] = filters
                if group not in self._ends:
                    self._ends[group] = self._store.follow(group[0], [group[1]], self._heard)
                return
            self._filters.pop(group, None)
            end = self._ends.pop(group, None)
        if end is not None:
            end()

    # ------------------------------------------------------------------------------ deliveries

    def _heard(self, events: Sequence[LiveEvent]) -> None:
        """In the writer's thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._add, tuple(events))

    def _add(self, events: Sequence[LiveEvent]) -> None:
        if self._waiting.add(events):
            self._news.set()
        else:
            _log.warning("log events were not delivered: too many wait", events=len(events))

    async def _deliver_for_ever(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            events = self._waiting.take()
            try:
                for parcel in await asyncio.to_thread(self._packed, events):
                    await self._send(parcel)
            except Exception:
                _log.exception("log events were not delivered")

    async def _send(self, parcel: _Parcel) -> None:
        request_id = str(uuid.uuid4())
        self._loops.remember(request_id, parcel.deliveries)
        request = InvocationRequest(parcel.payload, InvocationType.EVENT, request_id=request_id)
        try:
            await self._invoker.invoke(parcel.function, request)
        except ApiError as error:
            _log.warning(
                "log events were not delivered",
                group=parcel.group,
                function=parcel.function.arn,
                why=error.message,
            )

    def _packed(self, events: Sequence[LiveEvent]) -> list[_Parcel]:
        """Everything that has to be sent of some events."""
        by_stream: dict[tuple[Scope, str, str], list[LiveEvent]] = {}
        for event in events:
            by_stream.setdefault((event.scope, event.group, event.stream), []).append(event)
        return [
            parcel
            for (scope, group, stream), written in by_stream.items()
            for each in self._filters.get((scope, group), ())
            for parcel in self._parcels(group, stream, each, written)
        ]

    def _parcels(
        self, group: str, stream: str, filter_: _Filter, written: Sequence[LiveEvent]
    ) -> Iterator[_Parcel]:
        pattern, function = filter_.pattern, filter_.function
        matching = [e for e in written if pattern is None or pattern.matches(e.message)]
        wanted = [event for event in matching if not self._loops.ends(event, function)]
        looping = sum(self._loops.before(event) >= MOST_DELIVERIES for event in matching)
        if looping:
            _log.warning(
                "log events were not delivered: they come of deliveries of themselves",
                group=group,
                function=function.arn,
                events=looping,
            )
        if not wanted:
            return
        lines = [
            {
                "id": event.timestamp_ms * _ID_STEP + next(self._ids),
                "timestamp": event.timestamp_ms,
                "message": event.message,
            }
            for event in wanted
        ]
        owner = written[0].scope.account
        deliveries = 1 + max(map(self._loops.before, wanted))
        for payload in split(
            lambda part: _payload(owner, group, stream, filter_.name, part), lines
        ):
            yield _Parcel(function, group, payload, deliveries)


def split(
    pack: Callable[[Sequence[Any]], bytes], events: Sequence[Any], limit: int = ASYNC_PAYLOAD_LIMIT
) -> Iterator[bytes]:
    """Events packed, in as many pieces as it takes for each to be within the limit.

    A single event that is over it is left out.
    """
    payload = pack(events)
    if len(payload) <= limit:
        yield payload
        return
    middle = len(events) // 2
    if not middle:
        _log.warning("a log event was not delivered: it is too long", bytes=len(payload))
        return
    yield from split(pack, events[:middle], limit)
    yield from split(pack, events[middle:], limit)


def _payload(
    owner: str, group: str, stream: str, name: str, events: Sequence[Mapping[str, Any]]
) -> bytes:
    return json.dumps(logs_event(owner, group, stream, name, events)).encode()


def _filters_in(document: Document | None) -> dict[str, dict[str, Any]]:
    return dict(document["filters"]) if document else {}


def _filter_of(scope: Scope, given: Mapping[str, Any]) -> _Filter:
    return _Filter(
        given["filterName"],
        pattern_of(given["filterPattern"]),
        FunctionRef.parse(scope, given["destinationArn"]),
    )

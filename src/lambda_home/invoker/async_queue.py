"""Asynchronous invokes: durable before they are accepted, tried again as AWS does, at least once.

The store has every event; memory has the time and the id of each, and of as many as fit the event
itself, so that a burst is run without reading back what was just written. What a dead server had
accepted is found in the store and run by the next server.

Not everything that is due starts at once: that would leave no time for accepting, and make an
environment for each worker for functions that answer in a millisecond. A few start, fewer while a
burst comes in; those that take longer wait for something, and make room for others.
"""

from __future__ import annotations

import asyncio
import heapq
import uuid
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import structlog

from lambda_home.arns import LATEST, FunctionRef
from lambda_home.clock import Clock
from lambda_home.errors import (
    ApiError,
    KMSInvalidStateException,
    KMSNotFoundException,
    RecursiveInvocationException,
    ResourceNotFoundException,
    ServiceException,
    ServiceUnavailableException,
    TooManyRequestsException,
)
from lambda_home.invocations import InvocationRequest
from lambda_home.invoker.delivery import Deliverer, DeliveryError
from lambda_home.invoker.destinations import (
    Ending,
    Parcel,
    Response,
    dead_letter_parcel,
    destination_parcel,
    pack,
    unpack,
)
from lambda_home.invoker.event_settings import EventSettings, InForce
from lambda_home.invoker.invoker import Invoker
from lambda_home.invoker.journal import Journal
from lambda_home.invoker.retries import (
    MINIMUM_EVENT_AGE_S,
    AttemptResult,
    Condition,
    Retry,
    next_attempt,
    next_delivery,
)
from lambda_home.registry.events import EventStore, StoredEvent

_LONGEST_SLEEP_S = 5.0
_MOST_BYTES_HELD = 32 * 1024 * 1024
_LOADED_AT_ONCE = 64
_MOST_FRESH = 4
_MOST_FRESH_IN_A_BURST = 1
_FRESH_S = 0.02  # a warm function of the quick kind has answered by then
_BURST = 4  # events committed together
_BURST_S = 0.05
_REFUSED = 429
_NOT_THE_FUNCTION = (
    TooManyRequestsException,
    ServiceException,
    ServiceUnavailableException,
    KMSInvalidStateException,
    KMSNotFoundException,
)

_log = structlog.get_logger(__name__)


class AsyncQueue:
    """Between `open` and `close` it accepts, runs and retries events, and delivers their results.

    At most `workers` events are in hand at a time.
    """

    def __init__(
        self,
        store: EventStore,
        invoker: Invoker,
        clock: Clock,
        settings: EventSettings,
        deliverer: Deliverer,
        workers: int,
    ) -> None:
        self._store = store
        self._invoker = invoker
        self._clock = clock
        self._settings = settings
        self._deliverer = deliverer
        self._workers = workers
        self._journal = Journal(store, self._take)
        # When by the monotonic clock, order of arrival, request id.
        self._heap: list[tuple[float, int, str]] = []
        self._order = count()
        self._held: dict[str, StoredEvent] = {}
        self._held_bytes = 0
        self._running: dict[str, asyncio.Task[None]] = {}
        self._fresh: dict[str, asyncio.TimerHandle] = {}
        self._loading: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._burst_until = 0.0
        self._open = False

    async def open(self) -> None:
        """Start; events left by a dead server are due at once or at their retry time."""
        await self._journal.open()
        for due, request_id in await asyncio.to_thread(self._store.waiting):
            heapq.heappush(self._heap, (self._when(due), next(self._order), request_id))
        self._open = True
        self._pump()

    async def close(self) -> None:
        """Stop; what is running stays in the store and is run again by the next server."""
        self._open = False
        for handle in (self._timer, *self._fresh.values()):
            if handle is not None:
                handle.cancel()
        tasks = [*self._running.values(), *([self._loading] if self._loading else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._journal.close()

    async def put(self, ref: FunctionRef, request: InvocationRequest) -> None:
        """Accept an event; durable on return. Raises ServiceException if it could not be stored."""
        now = self._clock.now()
        await self._journal.add(
            StoredEvent(
                request_id=request.request_id,
                scope=ref.scope,
                name=ref.name,
                qualifier=ref.qualifier,
                payload=request.payload,
                accepted_at=now,
                client_context=request.client_context,
                trace_id=request.trace_id,
                not_before=now,
                tenant_id=request.tenant_id,
            )
        )

    def _when(self, not_before: float) -> float:
        """A time of day by the monotonic clock: a leap of the other moves nothing that waits."""
        return self._clock.monotonic() + max(0.0, not_before - self._clock.now())

    def wake(self) -> None:
        """Look now for due events: the clock went further than time has (tests turn it)."""
        self._pump()

    @property
    def next_due(self) -> float | None:
        """When, by the monotonic clock, the next event that waits is due; None if none waits."""
        return self._heap[0][0] if self._heap else None

    @property
    def at_rest(self) -> bool:
        """Whether nothing runs and nothing is due."""
        due = self._heap and self._heap[0][0] <= self._clock.monotonic()
        return not (self._running or due)

    def oldest_age_s(self) -> float:
        """Seconds since the oldest event that is not done was accepted. Blocks."""
        return self._store.oldest_age(self._clock.now())

    async def forget_removed(self) -> None:
        """Give up all events that somebody has removed from the store; they are not run again."""
        known = {name for _, _, name in self._heap} | self._running.keys()
        known -= {name for _, name in await asyncio.to_thread(self._store.waiting)}
        self._heap = [entry for entry in self._heap if entry[2] not in known]
        heapq.heapify(self._heap)
        for name in known & self._held.keys():
            self._held_bytes -= _size(self._held.pop(name))
        for name in known & self._running.keys():
            self._running.pop(name).cancel()
            if name in self._fresh:
                self._fresh.pop(name).cancel()
        self._pump()

    @property
    def backlog(self) -> int:
        """How many events are accepted and not done."""
        return len(self._heap) + len(self._running)

    # ----------------------------------------------------------------------------------- waiting

    def _take(self, events: Sequence[StoredEvent]) -> None:
        if len(events) >= _BURST:
            self._burst_until = asyncio.get_running_loop().time() + _BURST_S
        for event in events:
            self._wait(event)
        self._pump()

    def _wait(self, event: StoredEvent) -> None:
        when = self._when(event.not_before)
        heapq.heappush(self._heap, (when, next(self._order), event.request_id))
        if self._held_bytes < _MOST_BYTES_HELD:
            self._hold(event)

    def _hold(self, event: StoredEvent) -> None:
        self._held[event.request_id] = event
        self._held_bytes += _size(event)

    def _pump(self) -> None:
        """Start what is due and fits; see to it that this is done again in time."""
        if not self._open:
            return
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            if not self._has_room():
                return  # an end, or a try that is not fresh any more, pumps again
            event = self._held.pop(self._heap[0][2], None)
            if event is None:
                self._load()
                return  # so does the end of the loading
            self._held_bytes -= _size(event)
            heapq.heappop(self._heap)
            self._start(event)
        if self._heap:
            self._sleep(min(max(self._heap[0][0] - now, 0.001), _LONGEST_SLEEP_S))

    def _has_room(self) -> bool:
        burst = asyncio.get_running_loop().time() < self._burst_until
        most = _MOST_FRESH_IN_A_BURST if burst else _MOST_FRESH
        return len(self._running) < self._workers and len(self._fresh) < most

    def _sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= when and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._slept)

    def _slept(self) -> None:
        self._timer = None
        self._pump()

    def _load(self) -> None:
        if self._loading is None:
            self._loading = asyncio.get_running_loop().create_task(self._load_next())

    async def _load_next(self) -> None:
        """Bring back the events that are due next, and of which only the id is here."""
        following = heapq.nsmallest(_LOADED_AT_ONCE, self._heap)
        ids = [request_id for _, _, request_id in following if request_id not in self._held]
        try:
            loaded = await asyncio.to_thread(self._store.load, ids)
        except Exception:
            _log.exception("reading due events failed")
            await asyncio.sleep(_LONGEST_SLEEP_S)
        else:
            for event in loaded:
                self._hold(event)
            gone = set(ids) - {event.request_id for event in loaded}
            if gone:  # somebody emptied the store behind our back
                self._heap = [entry for entry in self._heap if entry[2] not in gone]
                heapq.heapify(self._heap)
        finally:
            self._loading = None
        self._pump()

    # ----------------------------------------------------------------------------------- running

    def _start(self, event: StoredEvent) -> None:
        loop = asyncio.get_running_loop()
        name = event.request_id
        self._fresh[name] = loop.call_later(_FRESH_S, self._not_fresh, name)
        self._running[name] = loop.create_task(self._run(event))

    def _not_fresh(self, request_id: str) -> None:
        if self._fresh.pop(request_id, None) is not None:
            self._pump()

    async def _run(self, event: StoredEvent) -> None:
        try:
            following = await (self._deliver(event) if event.parcels else self._try(event))
        except Exception:
            _log.exception("an asynchronous invoke failed", req_id=event.request_id)
            following = replace(event, not_before=self._clock.now() + _LONGEST_SLEEP_S)
        finally:
            handle = self._fresh.pop(event.request_id, None)
            if handle is not None:
                handle.cancel()
            self._running.pop(event.request_id, None)  # unless it was given up
        if following is None:
            self._journal.remove(event.request_id)
        else:
            self._journal.change_soon(following)
            self._wait(following)
        self._pump()

    async def _try(self, event: StoredEvent) -> StoredEvent | None:
        """Run an event; answers it with what has changed, None if it is done with."""
        ref = FunctionRef(event.scope, event.name, event.qualifier)
        if self._clock.now() - event.accepted_at > MINIMUM_EVENT_AGE_S:
            held = await self._settings.of(ref)
            if self._clock.now() - event.accepted_at > held.policy.max_age_s:
                refused = Response(_REFUSED) if event.throttles else None
                ended = (Condition.EVENT_AGE_EXCEEDED, event.attempt - 1, refused)
                return await self._end(event, ref, held, ended)
        try:
            outcome, response = await self._attempt(event, ref)
        except ResourceNotFoundException:
            return None  # deleted since: nobody is left to run it
        held = await self._settings.of(ref)
        ran = outcome in (AttemptResult.SUCCEEDED, AttemptResult.FUNCTION_ERROR)
        if outcome is AttemptResult.THROTTLED and held.stopped:
            outcome, response = AttemptResult.STOPPED, None
        following = next_attempt(
            outcome,
            now=self._clock.now(),
            accepted_at=event.accepted_at,
            attempt=event.attempt,
            throttles=event.throttles,
            policy=held.policy,
        )
        if isinstance(following, Retry):
            return replace(
                event,
                attempt=following.attempt,
                throttles=following.throttles,
                not_before=following.at,
            )
        tries = event.attempt if ran else event.attempt - 1
        return await self._end(event, ref, held, (following, tries, response))

    async def _attempt(
        self, event: StoredEvent, ref: FunctionRef
    ) -> tuple[AttemptResult, Response | None]:
        request = InvocationRequest(
            payload=event.payload,
            client_context=event.client_context,
            trace_id=event.trace_id,
            request_id=event.request_id,
            tenant_id=event.tenant_id,
        )
        try:
            result = await self._invoker.invoke(ref, request)
        except ResourceNotFoundException:
            raise
        except _NOT_THE_FUNCTION as error:
            return AttemptResult.THROTTLED, Response(error.status)
        except RecursiveInvocationException as error:
            return AttemptResult.LOOPING, Response(error.status)
        except ApiError as error:
            return AttemptResult.FUNCTION_ERROR, Response(error.status)
        failed = result.function_error is not None
        return (
            AttemptResult.FUNCTION_ERROR if failed else AttemptResult.SUCCEEDED,
            Response(200, result.executed_version, result.function_error, result.payload),
        )

    # -------------------------------------------------------------------------------- delivering

    async def _end(
        self,
        event: StoredEvent,
        ref: FunctionRef,
        held: InForce,
        ended: tuple[Condition, int, Response | None],
    ) -> StoredEvent | None:
        """Deliver how an event ended; durable first, so that it is not run for it again."""
        condition, tries, response = ended
        succeeded = condition is Condition.SUCCESS
        target = held.on_success if succeeded else held.on_failure
        dead_letter = "" if succeeded else held.dead_letter
        if not target and not dead_letter:
            return None
        ending = Ending(
            event.request_id,
            replace(ref, qualifier=ref.qualifier or LATEST).qualified_arn,
            condition,
            tries,
            event.payload,
            self._clock.now(),
            response,
            event.trace_id,
        )
        parcels: list[Parcel] = []
        if target:
            parcels.append(destination_parcel(ending, target, str(uuid.uuid4())))
        if dead_letter:
            parcels.append(dead_letter_parcel(ending, dead_letter))
        packed = replace(event, parcels=pack(parcels), deliveries=0, not_before=ending.ended_at)
        await self._journal.change(packed)
        return await self._deliver(packed)

    async def _deliver(self, event: StoredEvent) -> StoredEvent | None:
        """Send what has not arrived yet; answers the event if something is to be sent again."""
        left: list[Parcel] = []
        reason = ""
        for parcel in unpack(event.parcels):
            try:
                await self._deliverer.deliver(parcel, event.scope)
            except Exception as error:  # whatever it is, the function has run already
                if not isinstance(error, DeliveryError):
                    _log.exception("a delivery failed", target=parcel.target)
                left.append(parcel)
                reason = str(error)
        if not left:
            return None
        failures = event.deliveries + 1
        at = next_delivery(now=self._clock.now(), failures=failures)
        if at is None:
            _log.error("a destination was given up", req_id=event.request_id, reason=reason)
            return None
        _log.warning("a destination did not answer", req_id=event.request_id, reason=reason)
        return replace(event, deliveries=failures, not_before=at, parcels=pack(left))


def _size(event: StoredEvent) -> int:
    """About how many bytes an event takes."""
    return len(event.payload) + len(event.parcels) + len(event.client_context) + 500

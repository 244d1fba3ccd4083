"""Asynchronous invokes: durable before they are accepted, tried again as AWS does, at least once.

Events that arrive while a commit is going on are committed together by the next one: one fsync,
many callers. What a dead server had accepted is found in the store and run by the next server.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import structlog

from lambda_home.arns import FunctionRef
from lambda_home.clock import Clock
from lambda_home.errors import (
    ApiError,
    ResourceNotFoundException,
    ServiceException,
    ServiceUnavailableException,
    TooManyRequestsException,
)
from lambda_home.invocations import InvocationRequest
from lambda_home.invoker.invoker import Invoker
from lambda_home.invoker.retries import AttemptResult, Policy, Retry, next_attempt
from lambda_home.registry.events import EventStore, StoredEvent

_LONGEST_SLEEP_S = 5.0
_LOOK_AGAIN_S = 1.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Incoming:
    event: StoredEvent
    durable: asyncio.Future[None]


class AsyncQueue:
    """Between `open` and `close` it commits, runs and retries events."""

    def __init__(
        self, store: EventStore, invoker: Invoker, clock: Clock, policy: Policy, workers: int
    ) -> None:
        self._store = store
        self._invoker = invoker
        self._clock = clock
        self._policy = policy
        self._workers = workers
        self._incoming: list[_Incoming] = []
        self._finished: set[str] = set()
        # Held while the store is asked what is due and while it learns what is done: else an event
        # that was read as due could be started again after it has ended.
        self._reading = asyncio.Lock()
        self._to_commit = asyncio.Event()
        self._to_run = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._committer: asyncio.Task[None] | None = None
        self._runner: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> None:
        """Start; events left by a dead server are due at once or at their retry time."""
        loop = asyncio.get_running_loop()
        self._to_run.set()
        self._committer = loop.create_task(self._commit_until_closed())
        self._runner = loop.create_task(self._run_forever())

    async def close(self) -> None:
        """Stop; what is running stays in the store and is run again by the next server."""
        if self._runner is None or self._committer is None:
            return
        self._runner.cancel()
        await asyncio.gather(self._runner, return_exceptions=True)
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        self._closing = True  # a commit is never cut off: its callers wait for it
        self._to_commit.set()
        await self._committer

    async def put(self, ref: FunctionRef, request: InvocationRequest) -> None:
        """Accept an event; durable on return. Raises ServiceException if it could not be stored."""
        now = self._clock.now()
        event = StoredEvent(
            request_id=request.request_id,
            scope=ref.scope,
            name=ref.name,
            qualifier=ref.qualifier,
            payload=request.payload,
            accepted_at=now,
            client_context=request.client_context,
            trace_id=request.trace_id,
            not_before=now,
        )
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._incoming.append(_Incoming(event, durable))
        self._to_commit.set()
        await durable

    def wake(self) -> None:
        """Look now for due events: the clock went further than time has (tests turn it)."""
        self._to_run.set()

    # -------------------------------------------------------------------------------- committing

    async def _commit_until_closed(self) -> None:
        while True:
            await self._to_commit.wait()
            self._to_commit.clear()
            await self._commit()
            if self._closing and not self._incoming:
                return

    async def _commit(self) -> None:
        incoming, self._incoming = self._incoming, []
        finished = set(self._finished)
        try:
            if finished:
                async with self._reading:
                    await asyncio.to_thread(self._store.remove_many, finished)
                    self._finished -= finished
            if incoming:
                await asyncio.to_thread(self._store.add_many, [item.event for item in incoming])
        except Exception as error:
            _log.exception("events could not be stored")
            failure = ServiceException(f"The event could not be stored: {error}")
            for item in incoming:
                if not item.durable.done():
                    item.durable.set_exception(failure)
            return
        for item in incoming:
            if not item.durable.done():
                item.durable.set_result(None)
        self._to_run.set()

    # ----------------------------------------------------------------------------------- running

    async def _run_forever(self) -> None:
        while True:
            self._to_run.clear()
            try:
                wait_s = await self._start_due()
            except Exception:
                _log.exception("reading due events failed")
                wait_s = _LONGEST_SLEEP_S
            with contextlib.suppress(TimeoutError):
                # Not wait_for: Python 3.11's loses a cancellation that comes with the event.
                async with asyncio.timeout(wait_s):
                    await self._to_run.wait()

    async def _start_due(self) -> float:
        """Start what is due and fits; return how long nothing else will be due (seconds)."""
        free = self._workers - len(self._running)
        if free <= 0:
            return _LONGEST_SLEEP_S  # an ending try wakes us
        async with self._reading:
            skip = {*self._running, *self._finished}
            due = await asyncio.to_thread(self._store.due, self._clock.now(), free, skip)
            loop = asyncio.get_running_loop()
            for event in due:
                self._running[event.request_id] = loop.create_task(self._try(event))
        if len(due) == free:
            return 0.0
        following = await asyncio.to_thread(self._store.next_due)
        if following is None:
            return _LONGEST_SLEEP_S
        if self._running:  # they are in the store still, and hide when the next one is due
            return _LOOK_AGAIN_S
        return min(max(following - self._clock.now(), 0.01), _LONGEST_SLEEP_S)

    async def _try(self, event: StoredEvent) -> None:
        try:
            retry = await self._attempt(event)
            if retry is None:
                self._finished.add(event.request_id)
                self._to_commit.set()
            else:
                await self._put_off(event, retry)
        except Exception:
            _log.exception("an asynchronous invoke failed", req_id=event.request_id)
            await asyncio.sleep(_LONGEST_SLEEP_S)  # it is still due: not again at once
        finally:
            self._running.pop(event.request_id, None)
            self._to_run.set()

    async def _put_off(self, event: StoredEvent, retry: Retry) -> None:
        async with self._reading:
            await asyncio.to_thread(
                self._store.reschedule,
                event.request_id,
                retry.attempt + 1,
                retry.at,
                retry.throttles,
            )
            self._running.pop(event.request_id, None)

    async def _attempt(self, event: StoredEvent) -> Retry | None:
        request = InvocationRequest(
            payload=event.payload,
            client_context=event.client_context,
            trace_id=event.trace_id,
            request_id=event.request_id,
        )
        try:
            ref = FunctionRef(event.scope, event.name, event.qualifier)
            result = await self._invoker.invoke(ref, request)
        except ResourceNotFoundException:
            return None  # deleted since: nobody is left to run it
        except (TooManyRequestsException, ServiceException, ServiceUnavailableException):
            outcome = AttemptResult.THROTTLED
        except ApiError:
            outcome = AttemptResult.FUNCTION_ERROR
        else:
            failed = result.function_error is not None
            outcome = AttemptResult.FUNCTION_ERROR if failed else AttemptResult.SUCCEEDED
        return next_attempt(
            outcome,
            now=self._clock.now(),
            accepted_at=event.accepted_at,
            attempt=event.attempt - 1,
            throttles=event.throttles,
            policy=self._policy,
        )

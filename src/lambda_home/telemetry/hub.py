"""The telemetry of one environment: who has subscribed, and what each is still to be told.

Events of the init phase are kept until it is over, because extensions subscribe within it and hear
of it from its beginning. Everything runs on the event loop of the server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from lambda_home.telemetry import records
from lambda_home.telemetry.batches import TOO_SLOW, Batch, Batches
from lambda_home.telemetry.delivery import Deliverer, Reach, UndeliveredError
from lambda_home.telemetry.records import Category, Event
from lambda_home.telemetry.subscriptions import Subscription, SubscriptionRefusedError

_MOST_KEPT = 1_000
_FLUSH_PATIENCE_S = 1.0

Spawn = Callable[[Callable[[], Coroutine[Any, Any, None]]], asyncio.Task[None]]


@dataclass(slots=True, eq=False)
class _Subscriber:
    name: str
    wants: Subscription
    deliverer: Deliverer
    batches: Batches
    timer: asyncio.TimerHandle | None = None
    sending: asyncio.Task[None] | None = field(default=None)


class Telemetry:
    """Takes the events of an environment and delivers them to its subscribers.

    `now` is seconds since the epoch. `json_lines`: the function logs JSON.
    """

    def __init__(
        self, reach: Reach, spawn: Spawn, now: Callable[[], float], *, json_lines: bool = False
    ) -> None:
        self._reach = reach
        self._spawn = spawn
        self._now = now
        self._json_lines = json_lines
        self._subscribers: dict[str, _Subscriber] = {}
        self._kept: deque[Event] | None = deque(maxlen=_MOST_KEPT)
        self._rest = ""
        self._over = False

    def subscribe(self, name: str, wants: Subscription) -> str:
        """An extension subscribes; how AWS calls the outcome. Asking again changes nothing.

        Raises SubscriptionRefusedError.
        """
        closed = self._kept is None
        if closed:
            message = f"{wants.api} API subscription is closed already"
            raise SubscriptionRefusedError(403, f"{wants.api}.SubscriptionClosed", message)
        if any(other.wants.api is not wants.api for other in self._subscribers.values()):
            message = "An extension has subscribed to the other of the Telemetry and Logs APIs."
            raise SubscriptionRefusedError(403, f"{wants.api}.AlreadySubscribed", message)
        again = name in self._subscribers
        if not again:
            deliverer = Deliverer(wants.destination, self._reach)
            subscriber = _Subscriber(name, wants, deliverer, Batches(wants.buffering))
            self._subscribers[name] = subscriber
            for event in self._kept or ():
                self._offer(subscriber, event)
        state = "Already subscribed" if again else "Subscribed"
        self.tell(records.subscribed(name, state, wants.types, wants.schema, self._now()))
        return state

    def close_subscriptions(self) -> None:
        """The init phase is over: nobody subscribes any more."""
        self._kept = None

    def tell(self, event: Event) -> None:
        """Something has happened."""
        if self._over:
            return
        if self._kept is not None:
            self._kept.append(event)
        for subscriber in self._subscribers.values():
            self._offer(subscriber, event)

    def lines(self, text: bytes, category: Category) -> None:
        """Whole lines of output, without the end of the last."""
        if self._kept is None and not self._subscribers:
            return
        now = self._now()
        for line in text.decode(errors="replace").split("\n"):
            self.tell(records.line(line, category, now))

    def flush(self) -> None:
        """Deliver what is there without waiting for more."""
        for subscriber in self._subscribers.values():
            self._due(subscriber)

    async def drained(self) -> None:
        """Wait for what is being delivered, not for long."""
        self.flush()
        sending = {s.sending for s in self._subscribers.values() if s.sending is not None}
        if sending:
            await asyncio.wait(sending, timeout=_FLUSH_PATIENCE_S)

    def close(self) -> None:
        """The environment is gone: nothing is delivered any more."""
        self._over = True
        self._kept = None
        for subscriber in self._subscribers.values():
            if subscriber.timer is not None:
                subscriber.timer.cancel()
            if subscriber.sending is not None:
                subscriber.sending.cancel()
            subscriber.deliverer.close()
        self._subscribers.clear()

    def _offer(self, subscriber: _Subscriber, event: Event) -> None:
        if event.category not in subscriber.wants.types:
            return
        written = event.written(subscriber.wants.schema, json_lines=self._json_lines)
        if written is None:
            return
        if subscriber.batches.add(written):
            self._send(subscriber)
        if subscriber.timer is None:
            wait_s = subscriber.wants.buffering.timeout_ms / 1000
            loop = asyncio.get_running_loop()
            subscriber.timer = loop.call_later(wait_s, self._due, subscriber)

    def _due(self, subscriber: _Subscriber) -> None:
        if subscriber.timer is not None:
            subscriber.timer.cancel()
            subscriber.timer = None
        subscriber.batches.cut()
        self._send(subscriber)

    def _send(self, subscriber: _Subscriber) -> None:
        if subscriber.sending is None and subscriber.batches.due:
            subscriber.sending = self._spawn(lambda: self._deliver(subscriber))

    async def _deliver(self, subscriber: _Subscriber) -> None:
        batches = subscriber.batches
        try:
            while batches.due:
                batch = batches.due[0]
                reason = TOO_SLOW
                try:
                    await subscriber.deliverer.deliver(batch)
                except UndeliveredError as error:
                    batches.lose(batch)
                    reason = str(error)
                batches.due.popleft()
                lost, size = batches.take_losses()
                if lost and not _tells_of_losses(batch):
                    self._offer(subscriber, records.dropped(lost, size, reason, self._now()))
        finally:
            subscriber.sending = None


def _tells_of_losses(batch: Batch) -> bool:
    """Whether nothing but the loss of others was to be told: then nobody is told for ever."""
    return len(batch.events) == 1 and b'"platform.logsDropped"' in batch.events[0]

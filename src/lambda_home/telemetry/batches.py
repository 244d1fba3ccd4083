"""Which events are delivered together (pure).

A batch is due once it has as many events, or bytes, as the subscription wants; the time is kept by
whoever owns the batches. So many wait for a slow listener; those beyond are dropped and counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from lambda_home.telemetry.subscriptions import Buffering

MOST_WAITING = 8
TOO_SLOW = (
    "Some logs were dropped because the downstream consumer is slower than the logs production rate"
)


@dataclass(slots=True)
class Batch:
    """Events, each of them JSON."""

    events: list[bytes] = field(default_factory=list)
    size: int = 0


@dataclass(slots=True)
class Batches:
    """What one subscription has still to be told."""

    buffering: Buffering
    filling: Batch = field(default_factory=Batch)
    due: deque[Batch] = field(default_factory=deque)
    lost_records: int = 0
    lost_bytes: int = 0

    def add(self, event: bytes) -> bool:
        """Keep an event; True if that made a batch due."""
        filling = self.filling
        made_due = bool(filling.events) and filling.size + len(event) > self.buffering.max_bytes
        if made_due:
            self.cut()
        self.filling.events.append(event)
        self.filling.size += len(event)
        if len(self.filling.events) >= self.buffering.max_items:
            self.cut()
            made_due = True
        return made_due

    def cut(self) -> None:
        """The batch that fills is due."""
        batch, self.filling = self.filling, Batch()
        if not batch.events:
            return
        if len(self.due) >= MOST_WAITING:
            self.lose(batch)
        else:
            self.due.append(batch)

    def lose(self, batch: Batch) -> None:
        """A batch will never be delivered."""
        self.lost_records += len(batch.events)
        self.lost_bytes += batch.size

    def take_losses(self) -> tuple[int, int]:
        """How many records and bytes were lost since this was last asked."""
        lost, self.lost_records, self.lost_bytes = (self.lost_records, self.lost_bytes), 0, 0
        return lost

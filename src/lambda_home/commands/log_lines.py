"""What `lambda-home logs` shows of the events that a server has; pure.

Where the server does not say which lines belong to an invocation, it is told by START and REPORT,
or platform.start and platform.report in JSON, of the same stream. Sources:
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html,
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from lambda_home.commands.failures import WrongUse

Event = Mapping[str, Any]
"""`timestamp` (ms), `stream`, `request_id`, `message`, and `id` where it was stored already."""

_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_STARTS = ("START RequestId: ", '"platform.start"')
_ENDS = ("REPORT RequestId: ", '"platform.report"')
_OVERLAP_MS = 5000


def start_of(since: str, now_ms: int) -> int:
    """The moment that `--since` means: 30s, 10m, 2h, 1d, 1w before now, or one in ISO 8601, UTC.

    Raises WrongUse.
    """
    if (found := _DURATION.fullmatch(since)) is not None:
        return max(0, now_ms - int(found[1]) * _UNITS_MS[found[2]])
    try:
        at = datetime.fromisoformat(since)
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return max(0, int(at.timestamp() * 1000))
    except (ValueError, OverflowError):
        raise WrongUse(
            f"--since {since!r} is neither 30s, 10m, 2h, 1d, 1w nor a moment as"
            " 2026-11-21T14:00:00Z."
        ) from None


def of_cloudwatch(event: Mapping[str, Any]) -> Event:
    """An event as FilterLogEvents has it, as one of ours."""
    return {
        "id": event.get("eventId"),
        "timestamp": event["timestamp"],
        "stream": event.get("logStreamName"),
        "request_id": None,
        "message": event["message"],
    }


class OfRequest:
    """Picks the lines of one invocation out of those of its function."""

    def __init__(self, request_id: str) -> None:
        self.id = request_id.lower()
        self._inside: set[str] = set()

    def pick(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events that the invocation wrote, given in the order of their time."""
        for event in events:
            message, stream = str(event["message"]), str(event["stream"])
            is_marked = self.id in message.lower() or self.id == event["request_id"]
            if any(mark in message for mark in _STARTS):
                self._inside.discard(stream)
                if is_marked:
                    self._inside.add(stream)
            if is_marked or stream in self._inside:
                yield event
            if any(mark in message for mark in _ENDS):
                self._inside.discard(stream)


class Unseen:
    """Lets each event through once, though pages overlap: what is late has an earlier moment."""

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self._seen: dict[str, int] = {}

    def of(self, events: Iterable[Event]) -> list[Event]:
        """The events that are new; `start_ms` is where to ask from next."""
        fresh = [event for event in events if str(event["id"]) not in self._seen]
        for event in fresh:
            self._seen[str(event["id"])] = int(event["timestamp"])
        newest = max(self._seen.values(), default=0)
        self.start_ms = max(self.start_ms, newest - _OVERLAP_MS)
        self._seen = {key: at for key, at in self._seen.items() if at >= self.start_ms}
        return fresh


class Shown:
    """What was read while a live tail was open already, which will come by the tail, too."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._read = Counter(_face(event) for event in events)

    def is_new(self, event: Event) -> bool:
        """Whether an event of the tail was not among them; each counts once."""
        face = _face(event)
        if self._read[face] <= 0:
            del self._read[face]
            return True
        self._read[face] -= 1
        return False


def _face(event: Event) -> tuple[Any, Any, Any]:
    """An event by what can be seen of it: live ones have no id."""
    return event["timestamp"], event["stream"], event["message"]


def sent_events(lines: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Server-sent events: their kinds, and their data, which is JSON; a comment has the kind ""."""
    kind, data = "", ""
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield kind, json.loads(data)
            kind, data = "", ""
        elif not name:
            yield "", value
        elif name == "event":
            kind = value
        elif name == "data":
            data += value

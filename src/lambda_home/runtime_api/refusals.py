"""What environments were refused, in the server's log: hostile code must not be able to fill it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import structlog

_BURST = 20.0
_PER_SECOND = 1.0
_LONGEST = 200

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Kind:
    """How many lines about one kind of refusal there is room for, and how many found none."""

    at: float
    room: float = _BURST
    unlogged: int = 0


class Refusals:
    """Writes a line for each refusal; of each kind 20 at once, then one a second.

    A line says how many before it were left out. `now` is a monotonic clock in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kinds: defaultdict[str, _Kind] = defaultdict(lambda: _Kind(now()))

    def log(self, event: str, **facts: str) -> None:
        """Write one line, unless there were too many of `event` of late. Long facts are cut."""
        kind, now = self._kinds[event], self._now()
        kind.room = min(_BURST, kind.room + (now - kind.at) * _PER_SECOND)
        kind.at = now
        if kind.room < 1:
            kind.unlogged += 1
            return
        kind.room -= 1
        more = {"others_not_logged": kind.unlogged} if kind.unlogged else {}
        kind.unlogged = 0
        _log.warning(event, **{name: _cut(value) for name, value in facts.items()}, **more)


def _cut(value: str) -> str:
    value = value if value.isprintable() else ascii(value)
    return value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."

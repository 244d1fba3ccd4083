"""What PutLogEvents accepts of a batch; pure.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html,
and answers recorded on AWS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from lambda_home.errors import InvalidParameterException

EVENT_OVERHEAD: Final = 26
"""Bytes that an event counts for beside its message in UTF-8."""

PAGE_BYTES: Final = 1_048_576
_BATCH_BYTES: Final = 1_048_576
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_OLDEST_MS: Final = 14 * _DAY_MS
_NEWEST_MS: Final = 2 * _HOUR_MS


@dataclass(frozen=True, slots=True)
class Batch:
    """The events of a batch that are kept, and AWS's words about those that are not."""

    kept: list[tuple[int, str]]
    rejected: dict[str, int] | None


def size_of(message: str) -> int:
    """The bytes that an event counts for."""
    return len(message.encode("utf-8", "replace")) + EVENT_OVERHEAD


def checked(events: Sequence[Mapping[str, Any]], now_ms: int, retention_days: int | None) -> Batch:
    """What is kept of a batch's events, which may be at most 10,000 (the model says so).

    Raises InvalidParameterException for a batch or an event that is too large, for events that are
    not in order, and for good ones that are more than 24 hours apart.
    """
    sizes = [size_of(event["message"]) for event in events]
    if max(sizes) > _BATCH_BYTES:
        raise InvalidParameterException(
            f"Log event too large: {max(sizes)} bytes exceeds limit of {_BATCH_BYTES}"
        )
    if sum(sizes) > _BATCH_BYTES:
        raise InvalidParameterException(
            f"Upload too large: {sum(sizes)} bytes exceeds limit of {_BATCH_BYTES}"
        )
    moments = [event["timestamp"] for event in events]
    if any(later < earlier for earlier, later in pairwise(moments)):
        raise InvalidParameterException(
            "Log events in a single PutLogEvents request must be in chronological order."
        )
    first, rejected = _past(moments, now_ms, retention_days)
    end = _count(moments, until_ms=now_ms + _NEWEST_MS + 1)
    if end < len(moments):
        rejected["tooNewLogEventStartIndex"] = end
    kept = [(event["timestamp"], event["message"]) for event in events[first:end]]
    if kept and kept[-1][0] - kept[0][0] > _DAY_MS:
        raise InvalidParameterException(
            "The batch of log events in a single PutLogEvents request cannot span more than 24"
            " hours."
        )
    return Batch(kept, rejected or None)


def _past(
    moments: Sequence[int], now_ms: int, retention_days: int | None
) -> tuple[int, dict[str, int]]:
    """How many events are past keeping, and why."""
    rejected: dict[str, int] = {}
    first = _count(moments, until_ms=now_ms - _OLDEST_MS)
    if first:
        rejected["tooOldLogEventEndIndex"] = first
    if retention_days is not None:
        expired = _count(moments, until_ms=now_ms - retention_days * _DAY_MS)
        if expired > first:
            rejected["expiredLogEventEndIndex"] = first = expired
    return first, rejected


def _count(moments: Iterable[int], *, until_ms: int) -> int:
    return sum(moment < until_ms for moment in moments)


def newest_that_fit(sizes: Sequence[int], limit: int = PAGE_BYTES) -> int:
    """How many of the last sizes fit into a page; at least one."""
    return oldest_that_fit(sizes[::-1], limit)


def oldest_that_fit(sizes: Sequence[int], limit: int = PAGE_BYTES) -> int:
    """How many of the first sizes fit into a page; at least one."""
    total = 0
    for number, size in enumerate(sizes):
        total += size
        if total > limit and number:
            return number
    return len(sizes)

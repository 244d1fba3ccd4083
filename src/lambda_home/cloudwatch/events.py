"""Operations on log events: PutLogEvents, GetLogEvents, FilterLogEvents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from lambda_home.cloudwatch.batches import checked, newest_that_fit, oldest_that_fit, size_of
from lambda_home.cloudwatch.identifiers import bad_token, group_of, parts_of, token_of
from lambda_home.cloudwatch.operations import LogsBackend, LogsCall, Result, operation
from lambda_home.cloudwatch.patterns import pattern_of
from lambda_home.cloudwatch.positions import position_in, tokens_after
from lambda_home.cloudwatch.streams import sequence_token
from lambda_home.errors import InvalidParameterException
from lambda_home.logs.events import EventPage, EventQuery, StoredEvent

_PAGE: Final = 10_000
_OLDEST_FIRST: Final = "oldest"
_NEWEST_FIRST: Final = "newest"
_EARLIEST_NEWEST_FIRST_MS: Final = 1_704_067_200_000
"""2024-01-01: AWS searches older events from their beginning only."""


@operation("PutLogEvents")
def put_log_events(backend: LogsBackend, call: LogsCall) -> Result:
    """Store a batch of events; of those too old or too new the answer tells."""
    params = call.params
    group, stream = params["logGroupName"], params["logStreamName"]
    retention_days = backend.store.group(call.scope, group).retention_days
    batch = checked(params["logEvents"], call.now_ms, retention_days)
    if batch.kept:
        backend.store.put(call.scope, group, stream, batch.kept)
    else:
        backend.store.stream(call.scope, group, stream)
    return {
        "nextSequenceToken": sequence_token(call.now_ms),
        "rejectedLogEventsInfo": batch.rejected,
    }


@operation("GetLogEvents")
def get_log_events(backend: LogsBackend, call: LogsCall) -> Result:
    """A page of one stream, in the direction of its token; without one the newest or the oldest."""
    params = call.params
    group, stream = group_of(params, call.scope), params["logStreamName"]
    token = params.get("nextToken")
    position = position_in(token) if token is not None else None
    backend.store.stream(call.scope, group, stream)
    backwards = position.backwards if position else not params.get("startFromHead", False)
    place = position.place if position else ""
    query = EventQuery(
        streams=(stream,),
        start_ms=params.get("startTime", 0),
        end_ms=params.get("endTime"),
        after="" if backwards else place,
        before=place if backwards else "",
        backwards=backwards,
        limit=params.get("limit", _PAGE),
    )
    page = backend.store.events(call.scope, group, query)
    events = _fitting(page.events, backwards=backwards)
    forward, backward = tokens_after(events, position, page.more)
    return {
        "events": [_output(event) for event in events],
        "nextForwardToken": forward,
        "nextBackwardToken": backward,
    }


@operation("FilterLogEvents")
def filter_log_events(backend: LogsBackend, call: LogsCall) -> Result:
    """A page of a group's events that match a pattern, in all streams or some."""
    params = call.params
    group = group_of(params, call.scope)
    names, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix", "")
    if names is not None and prefix:
        raise InvalidParameterException(
            "LogStream names and LogStream name prefix are mutually exclusive parameters."
        )
    pattern = pattern_of(params.get("filterPattern", ""))
    kind, place = _direction(params)
    backwards = kind == _NEWEST_FIRST
    backend.store.group(call.scope, group)
    for name in names or ():
        backend.store.stream(call.scope, group, name)
    query = EventQuery(
        streams=names,
        stream_prefix=prefix,
        start_ms=params.get("startTime", 0),
        # Other than that of GetLogEvents, this one is within the range.
        end_ms=params["endTime"] + 1 if "endTime" in params else None,
        pattern=pattern,
        after="" if backwards else place,
        before=place if backwards else "",
        backwards=backwards,
        limit=params.get("limit", _PAGE),
    )
    page = backend.store.events(call.scope, group, query)
    events, more = _filtered(page, backwards=backwards)
    return {
        "events": [_filtered_event(event) for event in events],
        "searchedLogStreams": [],
        "nextToken": token_of(kind, more) if more else None,
    }


def _direction(params: Mapping[str, Any]) -> tuple[str, str]:
    """Which events come first, and where the page begins: as the token says, if there is one."""
    token = params.get("nextToken")
    if token is not None:
        kind, place = parts_of(token)
        if kind not in {_OLDEST_FIRST, _NEWEST_FIRST}:
            raise bad_token()
        return kind, place
    if params.get("startFromHead", True):
        return _OLDEST_FIRST, ""
    if params.get("startTime", _EARLIEST_NEWEST_FIRST_MS) < _EARLIEST_NEWEST_FIRST_MS:
        raise InvalidParameterException(
            "startFromHead can be false only with a startTime on or after January 1, 2024."
        )
    return _NEWEST_FIRST, ""


def _fitting(events: Sequence[StoredEvent], *, backwards: bool) -> Sequence[StoredEvent]:
    """As many of a page's events as one answer may have, from the end that it was read from."""
    sizes = [size_of(event.message) for event in events]
    if backwards:
        return events[len(events) - newest_that_fit(sizes) :]
    return events[: oldest_that_fit(sizes)]


def _filtered(page: EventPage, *, backwards: bool) -> tuple[Sequence[StoredEvent], str]:
    """The events of an answer in its order, and where the next one goes on."""
    events = _fitting(page.events, backwards=backwards)
    more = page.more
    if len(events) < len(page.events):
        more = events[0].id if backwards else events[-1].id
    return (events[::-1] if backwards else events), more


def _output(event: StoredEvent) -> dict[str, Any]:
    return {
        "timestamp": event.timestamp_ms,
        "message": event.message,
        "ingestionTime": event.ingestion_ms,
    }


def _filtered_event(event: StoredEvent) -> dict[str, Any]:
    return {"logStreamName": event.stream, **_output(event), "eventId": event.id}

"""Operations on log streams."""

from __future__ import annotations

from typing import Any, Final

from lambda_home.arns import Scope
from lambda_home.cloudwatch.identifiers import bad_token, group_of, place_in, stream_arn, token_of
from lambda_home.cloudwatch.operations import LogsBackend, LogsCall, Result, operation
from lambda_home.errors import InvalidParameterException
from lambda_home.logs.events import LogStream

_PAGE: Final = 50
_BY_TIME: Final = "LastEventTime"

_Place = tuple[int, str]
"""Where a stream stands among others: the moment of its last event (0 by name), and its name."""


@operation("CreateLogStream")
def create_log_stream(backend: LogsBackend, call: LogsCall) -> Result:
    """Make a log stream in a group that exists."""
    params = call.params
    backend.store.create_stream(call.scope, params["logGroupName"], params["logStreamName"])
    return None


@operation("DeleteLogStream")
def delete_log_stream(backend: LogsBackend, call: LogsCall) -> Result:
    """Delete a log stream with its events."""
    params = call.params
    backend.store.delete_stream(call.scope, params["logGroupName"], params["logStreamName"])
    return None


@operation("DescribeLogStreams")
def describe_log_streams(backend: LogsBackend, call: LogsCall) -> Result:
    """Log streams of a group, by name or by the time of their last event."""
    params = call.params
    group = group_of(params, call.scope)
    prefix, by_time = params.get("logStreamNamePrefix", ""), params.get("orderBy") == _BY_TIME
    if prefix and by_time:
        raise InvalidParameterException("Cannot order by LastEventTime with a logStreamNamePrefix.")
    descending = bool(params.get("descending"))
    kind = f"streams-{'time' if by_time else 'name'}-{'down' if descending else 'up'}"
    token = params.get("nextToken")
    after = _place_of(place_in(kind, token)) if token is not None else None

    def place(stream: LogStream) -> _Place:
        return (stream.last_event_ms or 0) if by_time else 0, stream.name

    streams = [
        stream
        for stream in backend.store.streams(
            call.scope, group, prefix, by_time=by_time, descending=descending
        )
        if after is None or (place(stream) < after if descending else place(stream) > after)
    ]
    page = streams[: params.get("limit", _PAGE)]
    more = len(page) < len(streams)
    return {
        "logStreams": [_described(call.scope, group, stream) for stream in page],
        "nextToken": token_of(kind, "{} {}".format(*place(page[-1]))) if more else None,
    }


def _place_of(text: str) -> _Place:
    moment, _, name = text.partition(" ")
    if not moment.isdecimal() or not moment.isascii():
        raise bad_token()
    return int(moment), name


def _described(scope: Scope, group: str, stream: LogStream) -> dict[str, Any]:
    """A stream as AWS describes it: its bytes have not been counted since 2019."""
    described: dict[str, Any] = {
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        "firstEventTimestamp": stream.first_event_ms,
        "lastEventTimestamp": stream.last_event_ms,
        "lastIngestionTime": stream.last_ingestion_ms,
        "arn": stream_arn(scope, group, stream.name),
        "storedBytes": 0,
    }
    if stream.last_ingestion_ms is not None:
        described["uploadSequenceToken"] = sequence_token(stream.last_ingestion_ms)
    return described


def sequence_token(at_ms: int) -> str:
    """A sequence token: AWS still gives them, and ignores what comes back."""
    return f"4{at_ms:055d}"

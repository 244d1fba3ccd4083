"""StartLiveTail: what is written to log groups from now on, once a second, as an event stream.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartLiveTail.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lambda_home.arns import Scope
from lambda_home.cloudwatch.batches import oldest_that_fit, size_of
from lambda_home.cloudwatch.identifiers import group_arn, group_in
from lambda_home.cloudwatch.operations import LogsBackend, LogsCall
from lambda_home.cloudwatch.patterns import pattern_of
from lambda_home.cloudwatch.wire import to_json
from lambda_home.errors import InvalidParameterException
from lambda_home.http_io import Receive, Send
from lambda_home.logs.events import LiveEvent, Matcher
from lambda_home.logs.live import Backlog
from lambda_home.user_api.protocol.event_stream import CONTENT_TYPE, exception_event, json_event

_EVERY_S: Final = 1.0
_SESSION_S: Final = 3 * 60 * 60
_MOST_SHOWN: Final = 500
_MOST_BYTES: Final = 3 * 1024 * 1024
"""Of messages in one update: clients take 24 MB of JSON, where a byte may become six."""

_MOST_WAITING: Final = 50_000


@dataclass(frozen=True, slots=True)
class Tailed:
    """What a session shows: groups of an account, all streams or some, what matches a pattern."""

    scope: Scope
    groups: tuple[str, ...]
    streams: frozenset[str]
    prefixes: tuple[str, ...]
    pattern: Matcher | None

    def shows(self, event: LiveEvent) -> bool:
        """Whether an event is shown."""
        if self.streams and event.stream not in self.streams:
            return False
        if self.prefixes and not event.stream.startswith(self.prefixes):
            return False
        return self.pattern is None or self.pattern.matches(event.message)


def tailed(backend: LogsBackend, call: LogsCall) -> Tailed:
    """What a request wants to see. Raises InvalidParameterException, NoSuchLogGroup and others."""
    params = call.params
    names, prefixes = params.get("logStreamNames"), params.get("logStreamNamePrefixes")
    if names and prefixes:
        raise InvalidParameterException(
            "Only one of logStreamNames or logStreamNamePrefixes can be provided."
        )
    identifiers = params["logGroupIdentifiers"]
    if (names or prefixes) and len(identifiers) > 1:
        raise InvalidParameterException(
            "logStreamNames and logStreamNamePrefixes can only be used with a single log group."
        )
    pattern = pattern_of(params.get("logEventFilterPattern", ""))
    groups = tuple(dict.fromkeys(group_in(each, call.scope) for each in identifiers))
    for group in groups:
        backend.store.group(call.scope, group)
    return Tailed(call.scope, groups, frozenset(names or ()), tuple(prefixes or ()), pattern)


def update(shown: Tailed, events: Sequence[LiveEvent], *, lost: bool = False) -> bytes:
    """The message about the events of a second; of very many it shows some, evenly chosen.

    `lost`: older ones are missing already, since the client was slow.
    """
    found = [event for event in events if shown.shows(event)]
    wanted = found
    step = len(wanted) / _MOST_SHOWN
    if step > 1:
        wanted = [wanted[int(number * step)] for number in range(_MOST_SHOWN)]
    wanted = wanted[: oldest_that_fit([size_of(event.message) for event in wanted], _MOST_BYTES)]
    sampled = lost or len(wanted) < len(found)
    results = [
        {
            "logStreamName": event.stream,
            "logGroupIdentifier": f"{event.scope.account}:{event.group}",
            "message": event.message,
            "timestamp": event.timestamp_ms,
            "ingestionTime": event.ingestion_ms,
        }
        for event in wanted
    ]
    document = {"sessionMetadata": {"sampled": sampled}, "sessionResults": results}
    return json_event("sessionUpdate", to_json(document))


def beginning(shown: Tailed, params: Mapping[str, Any], session_id: str) -> bytes:
    """The first messages: the empty answer that JSON protocols begin with, and what is shown."""
    document = {
        "requestId": session_id,
        "sessionId": session_id,
        "logGroupIdentifiers": [group_arn(shown.scope, group) for group in shown.groups],
        "logStreamNames": params.get("logStreamNames", []),
        "logStreamNamePrefixes": params.get("logStreamNamePrefixes", []),
        "logEventFilterPattern": params.get("logEventFilterPattern", ""),
    }
    return json_event("initial-response", b"{}") + json_event("sessionStart", to_json(document))


class _Waiting:
    """What a client has not been told yet."""

    def __init__(self) -> None:
        self._backlog = Backlog(_MOST_WAITING)
        self._lost = False

    def heard(self, events: Sequence[LiveEvent]) -> None:
        """In the writer's thread."""
        if self._backlog.add_newest(events):
            self._lost = True

    def take(self) -> tuple[list[LiveEvent], bool]:
        """All of it, and whether older ones are lost."""
        lost, self._lost = self._lost, False
        return self._backlog.take(), lost


class LiveTails:
    """Serves sessions until their clients go, three hours are over, or `close` ends them all.

    Every `every_s` seconds each says what is new; a slow client misses the oldest events.
    """

    def __init__(
        self, backend: LogsBackend, monotonic: Callable[[], float], every_s: float = _EVERY_S
    ) -> None:
        self._backend = backend
        self._monotonic = monotonic
        self._every_s = every_s
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End all sessions."""
        self._closing.set()

    async def serve(self, call: LogsCall, request_id: str, receive: Receive, send: Send) -> None:
        """Serve one. Raises as `tailed`, before anything was sent."""
        shown = await asyncio.to_thread(tailed, self._backend, call)
        waiting = _Waiting()
        end = self._backend.store.follow(call.scope, shown.groups, waiting.heard)
        ends = [
            asyncio.ensure_future(_until_gone(receive)),
            asyncio.ensure_future(self._closing.wait()),
        ]
        try:
            headers = [
                (b"content-type", CONTENT_TYPE.encode()),
                (b"x-amzn-requestid", request_id.encode()),
            ]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await _piece(send, beginning(shown, call.params, request_id))
            await self._updates(shown, waiting, ends, send)
        finally:
            end()
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    async def _updates(
        self,
        shown: Tailed,
        waiting: _Waiting,
        ends: Sequence[asyncio.Future[Any]],
        send: Send,
    ) -> None:
        until = self._monotonic() + _SESSION_S
        while True:
            over, _ = await asyncio.wait(
                ends, timeout=self._every_s, return_when=asyncio.FIRST_COMPLETED
            )
            if ends[0] in over:
                return
            events, lost = waiting.take()
            message = await asyncio.to_thread(update, shown, events, lost=lost)
            if over:
                break
            if self._monotonic() >= until:
                said = {"message": "Session timed out after 3 hours."}
                message += exception_event("SessionTimeoutException", to_json(said))
                break
            await _piece(send, message)
        await _piece(send, message, more=False)


async def _piece(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

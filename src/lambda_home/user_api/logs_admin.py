"""What a function logged: `GET /api/admin/logs/{name}` and, as it comes, `.../{name}/live`.

`{name}` is a function's name or ARN. Query of the first: `request_id`, `since` (milliseconds since
the epoch, or a length back from now such as 30s, 10m, 2h, 1d), `limit` (the newest so many that
fit), `before` (the `more` of the answer before, for what is older), `filter` (a filter pattern of
CloudWatch Logs). The second takes `request_id` and `filter` and answers server-sent events of all
environments at once; a reader who is too slow is let go with an event `dropped`. Whether the caller
may read is decided before (`front`).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from lambda_home.access.callers import caller_in
from lambda_home.arns import FunctionRef
from lambda_home.errors import (
    InvalidParameterValueException,
    ServiceException,
)
from lambda_home.functions import FunctionVersion
from lambda_home.logs.events import (
    BadLogToken,
    EventPage,
    EventQuery,
    LiveEvent,
    LogStoreUnavailable,
    NoSuchLogGroup,
    StoredEvent,
)
from lambda_home.logs.filters import BadFilterPattern, FilterPattern, parse_pattern
from lambda_home.logs.live import Tail
from lambda_home.logs.store import LogStore
from lambda_home.scheduler.variables import log_group_of
from lambda_home.user_api.admin_requests import in_aws_shape

PATH: Final = "/api/admin/logs/{name}"
LIVE_PATH: Final = "/api/admin/logs/{name}/live"
_USUAL: Final = 1000
_MOST: Final = 10_000
_SINCE = re.compile(r"(\d{1,15})(ms|s|m|h|d)?")
_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_KEEP_ALIVE_S: Final = 15.0

FindVersion = Callable[[FunctionRef], FunctionVersion]
"""The version that a reference names; raises ResourceNotFoundException. Blocks."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    ref: FunctionRef
    request_id: str
    pattern: FilterPattern | None


def log_routes(logs: LogStore, find: FindVersion, now: Callable[[], float]) -> APIRouter:
    """Both routes, for the user API; `now` is seconds since the epoch."""
    router = APIRouter()

    @router.get(PATH, response_model=None)
    @in_aws_shape
    async def read(name: str, request: Request) -> Response:
        wanted = _wanted(name, request)
        query = EventQuery(
            start_ms=_since_ms(request.query_params.get("since", ""), int(now() * 1000)),
            pattern=wanted.pattern,
            request_id=wanted.request_id,
            before=request.query_params.get("before", ""),
            backwards=True,
            limit=_limit(request.query_params.get("limit", "")),
        )
        page = await asyncio.to_thread(_page, logs, find, wanted.ref, query)
        events = [_document(event) for event in page.events]
        return JSONResponse({"events": events, "more": page.more or None})

    @router.get(LIVE_PATH, response_model=None)
    @in_aws_shape
    async def live(name: str, request: Request) -> Response:
        wanted = _wanted(name, request)
        version = await asyncio.to_thread(find, wanted.ref)

        def accepts(event: LiveEvent) -> bool:
            return not wanted.request_id or event.request_id == wanted.request_id

        tail = Tail(logs, version.scope, [log_group_of(version)], accepts=accepts)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        sent = _sent(tail, wanted.pattern)
        return StreamingResponse(sent, media_type="text/event-stream", headers=headers)

    return router


def _wanted(name: str, request: Request) -> _Wanted:
    given = request.query_params
    ref = FunctionRef.parse(caller_in(request.scope).scope, name, given.get("Qualifier"))
    pattern: FilterPattern | None = None
    if given.get("filter"):
        try:
            pattern = parse_pattern(given["filter"])
        except BadFilterPattern as error:
            raise InvalidParameterValueException(str(error)) from error
    return _Wanted(ref, given.get("request_id", ""), pattern)


def _page(logs: LogStore, find: FindVersion, ref: FunctionRef, query: EventQuery) -> EventPage:
    """One page; of a function that has never run an empty one. Raises ApiError."""
    version = find(ref)
    try:
        return logs.events(version.scope, log_group_of(version), query)
    except NoSuchLogGroup:
        return EventPage([])  # it has never run
    except BadLogToken as error:
        raise InvalidParameterValueException(str(error)) from error
    except LogStoreUnavailable as error:
        raise ServiceException(str(error)) from error


def _since_ms(given: str, now_ms: int) -> int:
    if not given:
        return 0
    match = _SINCE.fullmatch(given)
    if match is None or not given.isascii():
        raise InvalidParameterValueException(
            "since must be milliseconds since the epoch, or a length back from now like 30s, 10m,"
            " 2h or 1d."
        )
    if match[2] is None:
        return int(match[1])
    return max(0, now_ms - int(match[1]) * _UNITS_MS[match[2]])


def _limit(given: str) -> int:
    if not given:
        return _USUAL
    if not given.isascii() or not given.isdigit() or not 1 <= int(given[:9]) <= _MOST:
        raise InvalidParameterValueException(f"limit must be a number from 1 to {_MOST}.")
    return int(given)


def _document(event: StoredEvent | LiveEvent) -> dict[str, object]:
    return {
        **({"id": event.id} if isinstance(event, StoredEvent) else {}),
        "timestamp": event.timestamp_ms,
        "stream": event.stream,
        "request_id": event.request_id or None,
        "message": event.message,
    }


async def _sent(tail: Tail, pattern: FilterPattern | None) -> AsyncIterator[bytes]:
    """Server-sent events: `log` for each line, comments while there are none, `dropped` at last.

    The pattern is tried here, and not in the tail: an expression can take its time, and the log's
    writer must not wait for it.
    """
    time = asyncio.get_running_loop().time
    async with tail:
        yield b": following\n\n"
        quiet_since = time()
        while True:
            try:
                batch = await asyncio.wait_for(anext(tail), _KEEP_ALIVE_S)
            except TimeoutError:
                batch = []
            except StopAsyncIteration:
                break
            if pattern is not None and batch:
                batch = await asyncio.to_thread(_matching, pattern, batch)
            if batch:
                yield b"".join(_event("log", _document(event)) for event in batch)
            elif time() - quiet_since >= _KEEP_ALIVE_S:
                yield b": still here\n\n"
            else:
                continue
            quiet_since = time()
        if tail.fell_behind:
            reason = "lines came faster than they were read"
            yield _event("dropped", {"reason": reason})


def _matching(pattern: FilterPattern, events: list[LiveEvent]) -> list[LiveEvent]:
    return [event for event in events if pattern.matches(event.message)]


def _event(kind: str, document: dict[str, object]) -> bytes:
    """One event; JSON has no line breaks of its own, lone surrogates are escaped."""
    return f"event: {kind}\ndata: {json.dumps(document)}\n\n".encode()

"""The virtual clock, beside AWS's operations: `/api/admin/clock`, where `[testing]` has one.

POST `{"advance_s": N}` lets N seconds pass at once, beside the time that passes by itself. The
clock is moved from one due asynchronous invoke to the next, and each has ended before it goes on;
how long they take is not counted, so that 180 seconds are enough for the retries after 60 and 120
on slow machines, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lambda_home.clock import VirtualClock
from lambda_home.errors import InvalidParameterValueException, ResourceConflictException
from lambda_home.invoker.async_queue import AsyncQueue
from lambda_home.scheduler.pool import EnvironmentState
from lambda_home.scheduler.scheduler import Scheduler
from lambda_home.user_api.admin_requests import in_aws_shape, read_object

PATH = "/api/admin/clock"
LONGEST_S = 366 * 86_400
_LONGEST_BODY = 4096
_LOOK_AGAIN_S = 0.002
_PATIENCE_S = 30.0
_RESTING = frozenset({EnvironmentState.IDLE, EnvironmentState.FROZEN})


class Passage:
    """Lets time pass on a virtual clock; `patience_s` (real seconds) is how long work may take.

    `sweep`, which may block, removes what has grown too old.
    """

    def __init__(
        self,
        clock: VirtualClock,
        events: AsyncQueue,
        scheduler: Scheduler,
        sweep: Callable[[], None],
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self.clock = clock
        self._events = events
        self._scheduler = scheduler
        self._sweep = sweep
        self._patience_s = patience_s
        self._one_at_a_time = asyncio.Lock()

    async def advance(self, seconds: float) -> None:
        """Let time pass, and everything that comes due in it happen.

        Raises ResourceConflictException if something runs for longer than patience lasts.
        """
        async with self._one_at_a_time:
            left = seconds
            await self._rest()
            while left > 0:
                due = self._events.next_due
                step = left if due is None else max(0.0, due - self.clock.monotonic())
                step = min(left, step)
                self.clock.advance(step)
                left -= step
                self._scheduler.tick()
                self._events.wake()
                await self._rest()
            await asyncio.to_thread(self._sweep)

    async def _rest(self) -> None:
        """Wait until nothing runs, starts or ends."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._patience_s
        while not self._is_resting():
            if loop.time() > until:
                raise ResourceConflictException(
                    f"Something still runs after {self._patience_s:g} s, and time does not pass"
                    f" while it does: the clock stays {self.clock.ahead_s:g} s ahead. Let"
                    " invocations end before you advance the clock."
                )
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _is_resting(self) -> bool:
        scheduler = self._scheduler
        return (
            self._events.at_rest
            and not scheduler.in_flight
            and all(state in _RESTING for _, _, state in scheduler.pool.environments())
        )


def clock_routes(passage: Passage) -> APIRouter:
    """GET and POST of the clock, for the user API."""
    router = APIRouter()

    @router.get(PATH, response_model=None)
    @in_aws_shape
    async def get(request: Request) -> Response:
        del request
        return _answer(passage.clock)

    @router.post(PATH, response_model=None)
    @in_aws_shape
    async def advance(request: Request) -> Response:
        await passage.advance(_seconds(await read_object(request, _LONGEST_BODY)))
        return _answer(passage.clock)

    return router


def _answer(clock: VirtualClock) -> Response:
    return JSONResponse({"now": clock.now(), "ahead_s": clock.ahead_s})


def _seconds(document: dict[str, Any]) -> float:
    value = document.get("advance_s")
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or len(document) > 1
        or not 0 <= value <= LONGEST_S
    ):
        raise InvalidParameterValueException(
            f'The body must be {{"advance_s": N}} with a number N of seconds from 0 to {LONGEST_S}.'
        )
    return float(value)

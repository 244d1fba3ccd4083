"""Tails: events as they are stored, for as long as their reader keeps up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lambda_home.arns import Scope
from lambda_home.logs import LogStore, LogText
from lambda_home.logs.events import LiveEvent
from lambda_home.logs.live import Backlog, Tail

SCOPE = Scope("123456789012", "us-east-1")


def log(store: LogStore, *messages: str) -> None:
    for message in messages:
        store.append(LogText(SCOPE, "g", "s", 1.0, message.encode()))


async def rest(tail: Tail) -> list[str]:
    return [event.message async for events in tail for event in events]


def wants_no_b(event: LiveEvent) -> bool:
    return event.message != "b"


def test_a_tail_has_what_is_wanted_of_what_comes_while_it_is_open(tmp_path: Path) -> None:
    async def main() -> list[str]:
        log(store, "before")
        await asyncio.to_thread(store.flush)
        async with Tail(store, SCOPE, ["g"], accepts=wants_no_b) as tail:
            log(store, "a", "b", "c")
            first = [event.message for event in await anext(tail)]
            log(store, "d")
            return [*first, *(event.message for event in await anext(tail))]

    store = LogStore(tmp_path / "logs.db")
    assert asyncio.run(main()) == ["a", "c", "d"]
    store.close()


def test_a_reader_that_is_too_slow_is_let_go_and_holds_nobody_up(tmp_path: Path) -> None:
    async def main() -> tuple[list[str], bool]:
        async with Tail(store, SCOPE, ["g"], most=2) as tail:
            log(store, "a")
            await asyncio.to_thread(store.flush)
            log(store, "b", "c")
            await asyncio.to_thread(store.flush)
            log(store, "d")
            await asyncio.to_thread(store.flush)
            return await rest(tail), tail.fell_behind

    store = LogStore(tmp_path / "logs.db")
    assert asyncio.run(main()) == (["a"], True)
    assert [event.message for event in store.events(SCOPE, "g").events] == ["a", "b", "c", "d"]
    store.close()


def test_tails_end_when_the_server_stops(tmp_path: Path) -> None:
    async def main() -> list[str]:
        async with Tail(store, SCOPE, ["g"]) as tail:
            waiting = asyncio.create_task(rest(tail))
            await asyncio.sleep(0)
            store.end_following()
            return await asyncio.wait_for(waiting, 5)

    store = LogStore(tmp_path / "logs.db")
    assert asyncio.run(main()) == []
    store.close()


def live(*messages: str) -> list[LiveEvent]:
    return [LiveEvent(SCOPE, "g", "s", 1, 2, message) for message in messages]


@pytest.mark.parametrize(
    ("most", "characters", "taken", "kept", "gone"),
    [
        (4, 100, True, ["a", "b", "c", "dd"], 0),
        (3, 100, False, ["b", "c", "dd"], 1),
        (9, 5, True, ["a", "b", "c", "dd"], 0),
        (9, 4, False, ["b", "c", "dd"], 1),
        (9, 3, False, ["c", "dd"], 2),
        (9, 1, False, [], 4),
    ],
)
def test_what_waits_is_bounded_by_number_and_by_length(
    most: int, characters: int, *, taken: bool, kept: list[str], gone: int
) -> None:
    waiting = Backlog(most, characters)
    went = waiting.add_newest(live("a", "b"))
    went += waiting.add_newest(live("c", "dd"))
    assert ([event.message for event in waiting.take()], went) == (kept, gone)
    assert waiting.take() == []
    waiting.add(live("a"))
    assert waiting.add(live("b", "c", "dd")) is taken
    left = [event.message for event in waiting.take()]
    assert left == (["a", "b", "c", "dd"] if taken else ["a"])
    assert waiting.add([])

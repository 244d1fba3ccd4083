"""StartLiveTail's sessions: how they begin, what they say, and their four ends."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Collection, MutableMapping
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from fakes import HERE, HandTurnedClock, until

from lambda_home.arns import Scope
from lambda_home.cloudwatch.identifiers import group_arn
from lambda_home.cloudwatch.live_tail import LiveTails
from lambda_home.cloudwatch.operations import LogsBackend, LogsCall
from lambda_home.logs.events import Follower, LiveEvent, NoSuchLogGroup

THREE_HOURS = 3 * 60 * 60


class FakeStore:
    def __init__(self) -> None:
        self.followers: list[Follower] = []

    def group(self, scope: Scope, group: str) -> None:
        assert scope == HERE
        if group != "g":
            raise NoSuchLogGroup

    def follow(
        self, scope: Scope, groups: Collection[str], follower: Follower
    ) -> Callable[[], None]:
        assert (scope, tuple(groups)) == (HERE, ("g",))
        self.followers.append(follower)
        return lambda: self.followers.remove(follower)


class Session:
    """One session, with a client that goes when `gone` is set."""

    def __init__(self) -> None:
        self.store: Any = FakeStore()
        self.clock = HandTurnedClock()
        backend = LogsBackend(self.store, None, threading.Lock())  # type: ignore[arg-type]
        self.tails = LiveTails(backend, self.clock.monotonic, every_s=0.005)
        self.gone = asyncio.Event()
        self.held = asyncio.Event()
        self.held.set()
        self.said: list[tuple[str, str]] = []
        self.ended = False

    async def receive(self) -> MutableMapping[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        await self.held.wait()
        if message["type"] != "http.response.body":
            return
        buffer = EventStreamBuffer()
        buffer.add_data(message["body"])
        for event in buffer:
            kind = event.headers.get(":event-type") or event.headers[":exception-type"]
            self.said.append((kind, event.payload.decode()))
        self.ended = not message["more_body"]

    def serve(self, arn: str = group_arn(HERE, "g")) -> asyncio.Task[None]:
        call = LogsCall(HERE, {"logGroupIdentifiers": [arn]}, 0)
        return asyncio.create_task(self.tails.serve(call, "id", self.receive, self.send))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.said]

    def write(self, message: str) -> None:
        for follower in self.store.followers:
            follower([LiveEvent(HERE, "g", "s", 1, 2, message)])


def run(scenario: Callable[[Session], Any]) -> None:
    async def main() -> None:
        session = Session()
        await asyncio.wait_for(scenario(session), 60)
        assert not session.store.followers

    asyncio.run(main())


def test_a_session_begins_and_says_what_is_new_until_its_client_goes() -> None:
    async def scenario(session: Session) -> None:
        task = session.serve()
        await until(lambda: "sessionUpdate" in session.kinds())
        assert session.kinds()[:3] == ["initial-response", "sessionStart", "sessionUpdate"]
        session.write("hello")
        await until(lambda: any("hello" in text for _, text in session.said))
        session.gone.set()
        await task
        assert sum("hello" in text for _, text in session.said) == 1

    run(scenario)


def test_a_server_that_stops_ends_sessions_with_what_there_is() -> None:
    async def scenario(session: Session) -> None:
        task = session.serve()
        await until(lambda: "sessionUpdate" in session.kinds())
        session.write("last")
        session.tails.close()
        await task
        assert session.ended
        assert any("last" in text for _, text in session.said)

    run(scenario)


def test_a_session_ends_after_three_hours() -> None:
    async def scenario(session: Session) -> None:
        task = session.serve()
        await until(lambda: "sessionUpdate" in session.kinds())
        assert "SessionTimeoutException" not in session.kinds()
        session.clock.turn(THREE_HOURS)
        await task
        assert session.kinds()[-1] == "SessionTimeoutException"
        assert session.ended

    run(scenario)


def test_a_client_that_reads_slowly_misses_the_oldest_and_is_told() -> None:
    async def scenario(session: Session) -> None:
        session.held.clear()
        task = session.serve()
        await until(lambda: bool(session.store.followers))
        for number in range(40):
            session.write(f"{number} " + "x" * 1_000_000)
        session.held.set()
        await until(lambda: any(" xxx" in text for _, text in session.said))
        (full,) = [json.loads(text) for _, text in session.said if " xxx" in text]
        assert full["sessionMetadata"] == {"sampled": True}
        first = full["sessionResults"][0]["message"]
        assert first.startswith("7 ")  # 33 of them are within the bound of characters
        session.gone.set()
        await task

    run(scenario)


def test_a_group_that_is_not_there_is_refused_before_anything_is_said() -> None:
    async def scenario(session: Session) -> None:
        with pytest.raises(NoSuchLogGroup):
            await session.serve(group_arn(HERE, "nope"))
        assert session.said == []

    run(scenario)

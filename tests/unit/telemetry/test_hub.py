"""Batches, and their way to listeners."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from fakes import until

from lambda_home.telemetry import records
from lambda_home.telemetry.batches import MOST_WAITING, Batch, Batches
from lambda_home.telemetry.delivery import Deliverer, UndeliveredError
from lambda_home.telemetry.hub import Telemetry
from lambda_home.telemetry.records import Category, Schema
from lambda_home.telemetry.subscriptions import (
    Api,
    Buffering,
    Destination,
    Subscription,
    SubscriptionRefusedError,
)

NOW = 1_700_000_000.0
HURRY = Buffering(timeout_ms=25)


# ------------------------------------------------------------------------------------ batches


def test_a_batch_is_due_once_it_has_as_many_events_as_are_wanted() -> None:
    batches = Batches(Buffering(max_items=2))
    assert [batches.add(b"1"), batches.add(b"2"), batches.add(b"3")] == [False, True, False]
    assert [batch.events for batch in batches.due] == [[b"1", b"2"]]
    batches.cut()
    batches.cut()
    assert [batch.events for batch in batches.due] == [[b"1", b"2"], [b"3"]]


def test_a_batch_is_due_before_it_has_too_many_bytes() -> None:
    batches = Batches(Buffering(max_bytes=10))
    assert [batches.add(b"123456"), batches.add(b"12345"), batches.add(b"x" * 20)] == [
        False,
        True,
        True,
    ]
    assert [batch.size for batch in batches.due] == [6, 5]


def test_what_is_too_much_for_a_slow_listener_is_counted() -> None:
    batches = Batches(Buffering(max_items=1))
    for _ in range(MOST_WAITING + 2):
        batches.add(b"123")
    assert len(batches.due) == MOST_WAITING
    assert batches.take_losses() == (2, 6)
    assert batches.take_losses() == (0, 0)


# --------------------------------------------------------------------------------- the listener


@dataclass
class Listener:
    """Takes batches by HTTP or TCP; refuses the first `refusals`."""

    port: int = 0
    refusals: int = 0
    heads: list[str] = field(default_factory=list)
    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    telemetry: Telemetry | None = None
    reached: list[int] = field(default_factory=list)

    async def http(self, reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        head = (await reading.readuntil(b"\r\n\r\n")).decode()
        size = int(head.lower().partition("content-length: ")[2].partition("\r")[0])
        body = json.loads(await reading.readexactly(size))
        if self.refusals:
            self.refusals -= 1
            writing.write(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")
        else:
            self.heads.append(head)
            self.batches.append(body)
            writing.write(b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n")
        writing.close()

    async def tcp(self, reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        while line := await reading.readline():
            self.lines.append(json.loads(line))
        writing.close()

    async def reach(self, port: int) -> tuple[str, int] | None:
        self.reached.append(port)
        return ("127.0.0.1", self.port) if self.port else None

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for batch in self.batches for event in batch]


def play(scene: Callable[[Listener, Telemetry], Awaitable[None]], *, tcp: bool = False) -> None:
    async def main() -> None:
        listener = Listener()
        server = await asyncio.start_server(listener.tcp if tcp else listener.http, "127.0.0.1", 0)
        listener.port = server.sockets[0].getsockname()[1]
        tasks: set[asyncio.Task[None]] = set()

        def spawn(work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
            task = asyncio.get_running_loop().create_task(work())
            tasks.add(task)
            return task

        telemetry = Telemetry(listener.reach, spawn, lambda: NOW)
        try:
            await scene(listener, telemetry)
        finally:
            telemetry.close()
            await asyncio.gather(*tasks, return_exceptions=True)
            server.close()
            await server.wait_closed()

    asyncio.run(main())


BY_HTTP = Destination(4243, path="/x")


def wanting(
    *types: Category, destination: Destination = BY_HTTP, api: Api = Api.TELEMETRY
) -> Subscription:
    schema = Schema.TELEMETRY if api is Api.TELEMETRY else Schema.LOGS
    return Subscription(api, schema, types or (Category.PLATFORM,), destination, HURRY)


def test_a_subscriber_hears_of_what_was_before_it_and_of_what_comes() -> None:
    async def scene(listener: Listener, telemetry: Telemetry) -> None:
        telemetry.tell(records.start("r0", "1", None, NOW))
        assert telemetry.subscribe("one", wanting()) == "Subscribed"
        telemetry.close_subscriptions()
        telemetry.lines(b"not wanted", Category.FUNCTION)
        telemetry.tell(records.start("r1", "1", None, NOW))
        await until(lambda: listener.batches)
        assert listener.kinds == [
            "platform.start",
            "platform.telemetrySubscription",
            "platform.start",
        ]
        head = "POST /x HTTP/1.1\r\nHost: sandbox.localdomain:4243\r\n"
        assert listener.heads[0].startswith(head)
        assert set(listener.reached) == {4243}

    play(scene)


def test_lines_are_events_of_their_own() -> None:
    async def scene(listener: Listener, telemetry: Telemetry) -> None:
        telemetry.subscribe("one", wanting(Category.FUNCTION, Category.EXTENSION))
        telemetry.lines(b"a\nb\xff", Category.FUNCTION)
        telemetry.lines(b"c", Category.EXTENSION)
        telemetry.flush()
        await until(lambda: listener.batches)
        heard = [(e["type"], e["record"]) for e in listener.batches[0]]
        assert heard == [("function", "a"), ("function", "b\ufffd"), ("extension", "c")]

    play(scene)


def test_tcp_gets_a_line_for_each_event_on_one_connection() -> None:
    async def scene(listener: Listener, telemetry: Telemetry) -> None:
        telemetry.subscribe("one", wanting(destination=Destination(4243)))
        telemetry.flush()
        await until(lambda: len(listener.lines) == 1)
        telemetry.tell(records.start("r1", "1", None, NOW))
        telemetry.flush()
        await until(lambda: len(listener.lines) == 2)
        assert listener.lines[1]["record"]["requestId"] == "r1"
        assert len(listener.reached) == 1

    play(scene, tcp=True)


def test_a_listener_that_fails_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambda_home.telemetry.delivery.PAUSES_S", (0.0, 0.0))

    async def scene(listener: Listener, telemetry: Telemetry) -> None:
        listener.refusals = 2
        telemetry.subscribe("one", wanting())
        await until(lambda: listener.batches)
        assert listener.kinds == ["platform.telemetrySubscription"]

    play(scene)


def test_what_could_not_be_delivered_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambda_home.telemetry.delivery.PAUSES_S", ())

    async def scene(listener: Listener, telemetry: Telemetry) -> None:
        listener.refusals = 1
        telemetry.subscribe("one", wanting())
        await until(lambda: listener.batches)
        (event,) = listener.batches[0]
        assert event["type"] == "platform.logsDropped"
        assert event["record"]["droppedRecords"] == 1
        assert event["record"]["reason"] == "could not send events: the answer was 500"

    play(scene)


def test_where_nobody_listens_nothing_goes_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lambda_home.telemetry.delivery.PAUSES_S", ())

    async def scene(listener: Listener, telemetry: Telemetry) -> None:
        listener.port = 0
        telemetry.subscribe("one", wanting())
        await until(lambda: len(listener.reached) == 2)  # the event, and that it was lost
        await asyncio.sleep(0.08)
        assert len(listener.reached) == 2

    play(scene)


def test_nobody_subscribes_twice_late_or_by_both_apis() -> None:
    async def scene(listener: Listener, telemetry: Telemetry) -> None:
        telemetry.subscribe("one", wanting())
        assert telemetry.subscribe("one", wanting(Category.FUNCTION)) == "Already subscribed"
        with pytest.raises(SubscriptionRefusedError) as caught:
            telemetry.subscribe("two", wanting(api=Api.LOGS))
        assert caught.value.error_type == "Logs.AlreadySubscribed"
        telemetry.close_subscriptions()
        with pytest.raises(SubscriptionRefusedError) as caught:
            telemetry.subscribe("two", wanting())
        assert caught.value.error_type == "Telemetry.SubscriptionClosed"
        assert listener.batches == []

    play(scene)


def test_after_the_end_nothing_is_delivered() -> None:
    async def scene(listener: Listener, telemetry: Telemetry) -> None:
        telemetry.subscribe("one", wanting())
        telemetry.close()
        telemetry.tell(records.start("r1", "1", None, NOW))
        telemetry.flush()
        await asyncio.sleep(0.05)
        assert listener.batches == []

    play(scene)


@pytest.mark.parametrize("answer", [b"", b"hello\r\n", b"HTTP/1.1 \r\n", b"SSH-2.0-x\r\n"])
def test_an_answer_that_is_no_http_is_no_receipt(
    answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lambda_home.telemetry.delivery.PAUSES_S", ())

    async def respond(reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        await reading.readuntil(b"[]")
        writing.write(answer)
        writing.close()

    async def main() -> None:
        server = await asyncio.start_server(respond, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]

        async def reach(_: int) -> tuple[str, int] | None:
            return "127.0.0.1", port

        with pytest.raises(UndeliveredError):
            await Deliverer(Destination(1, path="/"), reach).deliver(Batch())
        server.close()
        await server.wait_closed()

    asyncio.run(main())

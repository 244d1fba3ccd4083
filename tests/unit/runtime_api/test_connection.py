"""What a runtime's connection does beyond one request and one answer."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from fakes import invocation, until
from unit.runtime_api.test_app import NEXT, RUNTIME, World, play
from unit.runtime_api.wire import Wire

from lambda_home.invocations import STREAM_LIMIT
from lambda_home.runtime_api import routes
from lambda_home.scheduler.environments import Outcome

OVER = STREAM_LIMIT // (1 << 20) + 1


def head(method: str, path: str, host: str, *lines: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def answer_of(request_id: str, body: bytes, host: str) -> bytes:
    path = f"{RUNTIME}invocation/{request_id}/response"
    return head("POST", path, host, f"Content-Length: {len(body)}") + body


def chunked(request_id: str, host: str) -> bytes:
    return head(
        "POST",
        f"{RUNTIME}invocation/{request_id}/response",
        host,
        "Transfer-Encoding: chunked",
        "Lambda-Runtime-Function-Response-Mode: streaming",
        "Content-Type: text/plain",
    )


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def first(world: World) -> tuple[Wire, str]:
    """A runtime that has been given invocation r1."""
    (spec,) = await world.environments()
    wire = Wire(world.routes)
    wire.send(head("GET", NEXT, spec.host))
    assert (await wire.answer()).headers["lambda-runtime-aws-request-id"] == "r1"
    return wire, spec.host


def test_an_answer_and_the_next_request_may_come_in_one_write() -> None:
    async def scene(world: World) -> None:
        callers = [world.run(invocation("r1"))]
        wire, host = await first(world)
        wire.send(answer_of("r1", b"1", host) + head("GET", NEXT, host))
        assert wire.transport.written == b""  # the receipt goes with the next invocation
        callers.append(world.run(invocation("r2")))
        assert (await wire.answer()).status == 202
        given = await wire.answer()
        assert given.headers["lambda-runtime-aws-request-id"] == "r2"
        wire.send(answer_of("r2", b"2", host))
        assert [(await caller).payload for caller in callers] == [b"1", b"2"]

    play(scene)


def test_a_request_may_come_in_pieces_of_any_size() -> None:
    async def scene(world: World) -> None:
        caller = world.run(invocation("r1"))
        wire, host = await first(world)
        for byte in answer_of("r1", b"piecemeal", host):
            wire.send(bytes([byte]))
        assert (await wire.answer()).status == 202
        assert (await caller).payload == b"piecemeal"

    play(scene)


def test_answers_leave_in_the_order_of_their_requests() -> None:
    async def scene(world: World) -> None:
        world.run(invocation("r1"))
        wire, host = await first(world)
        wire.send(answer_of("r1", b"1", host))
        assert (await wire.answer()).status == 202
        wire.send(head("GET", NEXT, host))
        wire.send(head("POST", f"{RUNTIME}invocation/r9/response", host, "Content-Length: 0"))
        assert wire.transport.written == b""  # the poll before it has no answer yet
        world.run(invocation("r2"))
        assert (await wire.answer()).headers["lambda-runtime-aws-request-id"] == "r2"
        assert (await wire.answer()).status == 400

    play(scene)


def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on() -> None:
    async def scene(world: World) -> None:
        caller = world.run(invocation("r1"))
        wire, host = await first(world)
        path = f"{RUNTIME}invocation/r1/response"
        wire.send(head("POST", path, host, "Expect: 100-continue", "Content-Length: 1"))
        assert (await wire.answer()).status == 100
        wire.send(b"1")
        assert (await wire.answer()).status == 202
        assert (await caller).payload == b"1"

    play(scene)


def test_a_connection_that_is_not_kept_alive_is_closed_after_its_answer() -> None:
    async def scene(world: World) -> None:
        world.run(invocation("r1"))
        (spec,) = await world.environments()
        wire = Wire(world.routes)
        wire.send(head("GET", NEXT, spec.host, "Connection: close"))
        assert (await wire.answer()).status == 200
        assert wire.transport.closed

    play(scene)


def test_an_invocation_is_not_given_to_a_connection_that_is_gone() -> None:
    async def scene(world: World) -> None:
        world.run(invocation("r1"))
        wire, host = await first(world)
        wire.send(answer_of("r1", b"1", host) + head("GET", NEXT, host))
        wire.lose()
        caller = world.run(invocation("r2"))
        await until(lambda: world.sandbox.verbs.count("start") == 2)
        assert not caller.done()

    play(scene)


def test_what_is_no_http_is_refused() -> None:
    async def scene(world: World) -> None:
        wire = Wire(world.routes)
        wire.send(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert b"400 Bad Request" in wire.transport.written
        assert wire.transport.closed

    play(scene)


# ------------------------------------------------------------------------------------- streaming


@dataclass
class Reader:
    """A caller that reads along; `full` after so many pieces."""

    room: int = 1_000_000
    content_type: str = ""
    pieces: list[bytes] = field(default_factory=list)
    on_room: Callable[[], None] | None = None

    def begin(self, version: str, content_type: str) -> None:
        assert version == "$LATEST"
        self.content_type = content_type

    def feed(self, data: bytes, on_room: Callable[[], None]) -> bool:
        self.pieces.append(data)
        self.on_room = on_room
        return len(self.pieces) < self.room


def test_a_streamed_response_reaches_its_caller_while_it_comes() -> None:
    async def scene(world: World) -> None:
        reader = Reader()
        wanted = invocation("r1")
        wanted.sink = reader
        caller = world.run(wanted)
        wire, host = await first(world)
        wire.send(chunked("r1", host) + chunk(b"one"))
        assert (reader.content_type, reader.pieces) == ("text/plain", [b"one"])
        wire.send(chunk(b"two"))
        assert not caller.done()
        wire.send(b"0\r\n\r\n")
        assert (await wire.answer()).status == 202
        assert await caller == Outcome(b"")
        assert b"".join(reader.pieces) == b"onetwo"

    play(scene)


def test_a_caller_that_does_not_read_along_gets_the_whole() -> None:
    async def scene(world: World) -> None:
        caller = world.run(invocation("r1"))
        wire, host = await first(world)
        wire.send(chunked("r1", host) + chunk(b"one") + chunk(b"two") + b"0\r\n\r\n")
        assert await caller == Outcome(b"onetwo")

    play(scene)


@pytest.mark.parametrize("reads_along", [False, True])
def test_an_error_in_mid_stream_comes_in_the_trailers(reads_along: bool) -> None:  # noqa: FBT001
    async def scene(world: World) -> None:
        wanted = invocation("r1")
        wanted.sink = Reader() if reads_along else None
        caller = world.run(wanted)
        wire, host = await first(world)
        body = b'{"errorType":"Mine","errorMessage":"m"}'
        trailers = (
            b"Lambda-Runtime-Function-Error-Type: Mine\r\n"
            b"Lambda-Runtime-Function-Error-Body: " + base64.b64encode(body) + b"\r\n"
        )
        wire.send(chunked("r1", host) + chunk(b"one") + b"0\r\n" + trailers + b"\r\n")
        assert (await wire.answer()).status == 202
        assert await caller == Outcome(body, "Mine")

    play(scene)


def test_a_slow_caller_holds_the_runtime_back() -> None:
    async def scene(world: World) -> None:
        reader = Reader(room=1)
        wanted = invocation("r1")
        wanted.sink = reader
        world.run(wanted)
        wire, host = await first(world)
        wire.send(chunked("r1", host) + chunk(b"one"))
        assert wire.transport.paused
        assert reader.on_room is not None
        reader.on_room()
        assert not wire.transport.paused

    play(scene)


def test_a_stream_over_the_limit_ends_with_an_error_and_the_connection() -> None:
    async def scene(world: World) -> None:
        reader = Reader()
        wanted = invocation("r1")
        wanted.sink = reader
        caller = world.run(wanted)
        wire, host = await first(world)
        wire.send(chunked("r1", host))
        piece = chunk(bytes(1 << 20))
        for _ in range(OVER):
            wire.send(piece)
            reader.pieces.clear()
        wire.send(chunk(b"x"))
        assert (await caller).error_type == "Function.ResponseSizeTooLarge"
        assert (await wire.answer()).status == 413
        assert wire.transport.closed

    play(scene)


def test_an_answer_that_goes_on_for_ever_is_refused_and_cut_off() -> None:
    async def scene(world: World) -> None:
        caller = world.run(invocation("r1"))
        wire, host = await first(world)
        path = f"{RUNTIME}invocation/r1/response"
        wire.send(head("POST", path, host, f"Content-Length: {1 << 30}"))
        piece = bytes(1 << 20)
        for _ in range(65):
            wire.send(piece)
        assert (await wire.answer()).status == 413
        assert wire.transport.closed
        assert (await caller).error_type == "Function.ResponseSizeTooLarge"

    play(scene)


def test_a_stream_whose_connection_is_torn_fails_unless_an_exit_says_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routes, "_EXIT_SHOWS_S", 0.1)

    async def scene(world: World) -> None:
        caller = world.run(invocation("r1"))
        wire, host = await first(world)
        wire.send(chunked("r1", host) + chunk(b"one"))
        wire.lose()
        outcome = await asyncio.wait_for(caller, 20)
        assert outcome.error_type == "Runtime.TruncatedResponse"
        assert json.loads(outcome.payload)["errorType"] == "Runtime.TruncatedResponse"

    play(scene)


def test_a_stream_for_another_environments_invocation_is_refused() -> None:
    async def scene(world: World) -> None:
        caller = world.run(invocation("r1"))
        wire, host = await first(world)
        wire.send(chunked("r9", host) + chunk(b"stolen") + b"0\r\n\r\n")
        assert (await wire.answer()).status == 400
        assert not caller.done()

    play(scene)


# ----------------------------------------------------------------------------------------- spares


def test_only_a_spare_may_ask_for_a_function() -> None:
    async def scene(world: World) -> None:
        world.run(invocation("r1"))
        wire, host = await first(world)
        for asker, status in ((host, 404), ("nobody.lambda-home.internal", 403)):
            wire = Wire(world.routes)
            wire.send(head("GET", f"{RUNTIME}lambda-home/function", asker))
            assert (await wire.answer()).status == status

    play(scene)

"""The path proxy on a connection: who is invoked with what, and what the client reads."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from fakes import HERE, HandTurnedClock, until
from unit.runtime_api.wire import Answer, Wire

from lambda_home.arns import FunctionRef
from lambda_home.direct_http import Head
from lambda_home.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceNotFoundException,
    ThrottleReason,
    TooManyRequestsException,
)
from lambda_home.gateway.exchange import Exchange
from lambda_home.gateway.path_proxy import PathProxy
from lambda_home.gateway.results import PRELUDE_END, PRELUDE_TYPE
from lambda_home.gateway.route_book import RouteBook
from lambda_home.gateway.routes import Route
from lambda_home.invocations import InvocationRequest, InvocationResult, ResponseSink
from lambda_home.invoker.invoker import Invoker, Told
from lambda_home.registry.database import Database
from lambda_home.registry.resources import ResourceKind, Resources

OK = b'{"statusCode": 200, "body": "ok"}'
IDENTITY = {"accountId": "111122223333", "userArn": "arn:me", "callerId": "me", "userId": "me"}


class Scripted(Invoker):
    """Answers with `payload` or raises `error`, at once or (`slow`) in a task.

    A function named "held" is answered by `told`. One with a sink is what `script` does with it.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[FunctionRef, InvocationRequest]] = []
        self.payload = OK
        self.error: Exception | None = None
        self.error_type: str | None = None
        self.slow = False
        self.told: Told | None = None
        self.script: Callable[[ResponseSink], Awaitable[None]] | None = None
        self.finished = asyncio.Event()

    @property
    def seen(self) -> list[dict[str, Any]]:
        return [json.loads(request.payload) for _, request in self.asked]

    def result(self) -> InvocationResult:
        return InvocationResult("id", self.payload, "1", error_type=self.error_type)

    def begin(self, ref: FunctionRef, request: InvocationRequest, told: Told) -> bool:
        if self.slow or len(request.payload) > 64 * 1024:
            return False
        self.asked.append((ref, request))
        if self.error is not None:
            raise self.error
        if ref.name == "held":
            self.told = told
        else:
            told(self.result())
        return True

    async def invoke(self, ref: FunctionRef, request: InvocationRequest) -> InvocationResult:
        self.asked.append((ref, request))
        try:
            await asyncio.sleep(0)
            if self.script is not None and request.sink is not None:
                await self.script(request.sink)
            if self.error is not None:
                raise self.error
            return self.result()
        finally:
            self.finished.set()


class Doorkeeper:
    """Lets in whom `error` does not keep out."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.checked: list[tuple[bytes, FunctionRef, Route | None]] = []

    def check(
        self, head: Head, body: bytes, ref: FunctionRef, route: Route | None
    ) -> Mapping[str, Any] | None:
        del head
        self.checked.append((body, ref, route))
        if self.error is not None:
            raise self.error
        return IDENTITY if route is not None and route.authorization == "AWS_IAM" else None


def exists(ref: FunctionRef) -> None:
    if ref.name == "nobody":
        raise ResourceNotFoundException(ref.arn)


class Stage:
    """A proxy on a wire."""

    def __init__(self, folder: str) -> None:
        self.database = Database.open(Path(folder) / "lhome.db")
        self.resources = Resources(self.database)
        self.clock = HandTurnedClock()
        self.book = self.opened()
        self.invoker = Scripted()
        self.door = Doorkeeper()
        proxy = PathProxy(self.book, Exchange(self.invoker), self.door, self.clock)
        self.wire = Wire(proxy, 9000)

    def opened(self) -> RouteBook:
        book = RouteBook(self.resources, HERE, self.clock, exists)
        book.load()
        return book

    def route(self, path: str, **members: object) -> Route:
        return self.book.add({"path": path, "function_name": "fn", **members})

    async def ask(self, line: str, *lines: str, body: bytes = b"") -> Answer:
        """One request and its answer."""
        length = [f"content-length: {len(body)}"] if body else []
        head = [f"{line} HTTP/1.1", "host: localhost:9000", *lines, *length, "", ""]
        self.wire.send("\r\n".join(head).encode("latin-1") + body)
        return await self.wire.answer()


def play(scene: Callable[[Stage], Awaitable[None]]) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            stage = Stage(folder)
            try:
                await scene(stage)
            finally:
                stage.wire.lose()
                stage.database.close()

    asyncio.run(main())


def message_of(answer: Answer) -> str:
    return str(json.loads(answer.body)["message"])


def test_a_route_leads_to_its_function_and_else_the_first_segment_names_one() -> None:
    async def scene(stage: Stage) -> None:
        stage.route("/pets", function_name="zoo:live")
        for path, name, qualifier, seen in (
            ("/pets/1", "zoo", "live", "/pets/1"),
            ("/other/a%2Fb/c", "other", None, "/other/a%2Fb/c"),
            ("/other", "other", None, "/other"),
            ("/%6Fther/x", "other", None, "/%6Fther/x"),
            ("/other:7/x", "other", "7", "/other:7/x"),
        ):
            answer = await stage.ask(f"GET {path}")
            assert (answer.status, answer.body) == (200, b"ok")
            ref = stage.invoker.asked[-1][0]
            assert (ref.scope, ref.name, ref.qualifier) == (HERE, name, qualifier)
            assert stage.invoker.seen[-1]["path"] == seen

    play(scene)


@pytest.mark.parametrize("path", ["/", "//x", "/a.b", "/a b", "/a%20b", "/" + "x" * 65, "/%2e%2e"])
def test_what_names_nothing_is_not_found_and_asks_nobody(path: str) -> None:
    async def scene(stage: Stage) -> None:
        answer = await stage.ask(f"GET {path.replace(' ', '%20')}", body=b"ignored")
        assert (answer.status, message_of(answer)) == (404, "Not Found")
        assert stage.invoker.asked == []
        assert stage.door.checked == []

    play(scene)


@pytest.mark.parametrize("slow", [False, True])
def test_an_unknown_function_is_not_found_but_a_route_to_one_is_broken(*, slow: bool) -> None:
    async def scene(stage: Stage) -> None:
        stage.invoker.slow = slow
        stage.invoker.error = ResourceNotFoundException("Function not found")
        stage.route("/pets")
        assert (await stage.ask("GET /other")).status == 404
        assert (await stage.ask("GET /pets")).status == 502

    play(scene)


def test_an_event_tells_of_the_request_as_a_front_end_of_aws_would() -> None:
    async def scene(stage: Stage) -> None:
        forwarded = ("x-forwarded-for: 10.0.0.1", "x-forwarded-proto: https", "X-A: 1")
        await stage.ask("GET /fn/x?b=1", *forwarded)
        headers = stage.invoker.seen[-1]["headers"]
        assert headers["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
        assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("http", "9000")
        assert (headers["x-a"], headers["host"]) == ("1", "localhost:9000")
        assert stage.invoker.asked[-1][1].trace_id == headers["x-amzn-trace-id"]
        await stage.ask("GET /fn", "x-amzn-trace-id: Root=1-1-1")
        assert stage.invoker.asked[-1][1].trace_id == "Root=1-1-1"

    play(scene)


def test_a_signed_request_tells_who_sends_it() -> None:
    async def scene(stage: Stage) -> None:
        stage.route("/one", authorization="AWS_IAM")
        stage.route("/two", authorization="AWS_IAM", payload_format="2.0")
        await stage.ask("POST /one", body=b"body")
        identity = stage.invoker.seen[-1]["requestContext"]["identity"]
        assert (identity["userArn"], identity["caller"]) == ("arn:me", "me")
        assert stage.door.checked[-1][0] == b"body"
        await stage.ask("GET /two")
        assert stage.invoker.seen[-1]["requestContext"]["authorizer"] == {"iam": IDENTITY}

    play(scene)


def test_who_may_not_is_refused_and_nobody_is_invoked() -> None:
    async def scene(stage: Stage) -> None:
        stage.route("/pets", cors={"allow_origins": ["*"]})
        stage.door.error = AccessDeniedException("User: x is not authorized")
        answer = await stage.ask("POST /pets", "origin: https://a.example", body=b"x")
        assert (answer.status, message_of(answer)) == (403, "User: x is not authorized")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert stage.invoker.asked == []

    play(scene)


def test_a_route_has_tokens_of_its_own() -> None:
    async def scene(stage: Stage) -> None:
        limits = {"rate_limit": 2, "burst_limit": 3}
        route = stage.route("/pets", throttle=limits)
        stage.route("/cats")
        assert [(await stage.ask("GET /pets")).status for _ in range(3)] == [200] * 3
        answer = await stage.ask("POST /pets", body=b"x")
        assert (answer.status, message_of(answer)) == (429, "Too Many Requests")
        assert answer.headers["retry-after"] == "1"
        assert (await stage.ask("GET /cats")).status == 200
        same = {"path": "/pets", "function_name": "fn", "throttle": limits, "strip_prefix": True}
        stage.book.replace(route.route_id, same)
        assert (await stage.ask("GET /pets")).status == 429
        stage.clock.turn(0.5)
        assert (await stage.ask("GET /pets")).status == 200
        assert (await stage.ask("GET /pets")).status == 429

    play(scene)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TooManyRequestsException(ThrottleReason.CONCURRENT), 429),
        (ZeroDivisionError("secret"), 500),
    ],
)
def test_what_keeps_an_invoke_from_beginning_is_answered(error: Exception, status: int) -> None:
    async def scene(stage: Stage) -> None:
        stage.invoker.error = error
        answer = await stage.ask("GET /fn")
        assert answer.status == status
        assert b"secret" not in answer.body
        assert (await stage.ask("GET /fn")).status == status  # the connection goes on

    play(scene)


def test_a_route_waits_only_so_long() -> None:
    async def scene(stage: Stage) -> None:
        stage.route("/pets", function_name="held", timeout_ms=1)
        answer = await stage.ask("GET /pets")
        assert (answer.status, message_of(answer)) == (504, "Endpoint request timed out")
        assert stage.invoker.told is not None
        stage.invoker.told(stage.invoker.result())  # too late, and nobody minds
        assert stage.wire.transport.written == b""

    play(scene)


def test_answers_leave_in_the_order_of_their_requests() -> None:
    async def scene(stage: Stage) -> None:
        stage.wire.send(b"GET /held HTTP/1.1\r\nhost: x\r\n\r\nGET /fn HTTP/1.1\r\nhost: x\r\n\r\n")
        assert stage.wire.transport.written == b""
        assert stage.invoker.told is not None
        stage.invoker.told(InvocationResult("id", b'"first"', "1"))
        assert (await stage.wire.answer()).body == b"first"
        assert (await stage.wire.answer()).body == b"ok"

    play(scene)


def test_long_bodies_and_results_are_taken_too() -> None:
    async def scene(stage: Stage) -> None:
        data = b"\xff" * 100_000
        text = "y" * 100_000
        stage.invoker.payload = json.dumps({"statusCode": 200, "body": text}).encode()
        assert (await stage.ask("POST /fn", body=data)).body == text.encode()
        assert stage.invoker.seen[-1]["isBase64Encoded"] is True
        stage.invoker.payload = b"x" * 100_000
        assert (await stage.ask("GET /fn")).status == 502

    play(scene)


def test_a_length_over_the_limit_is_refused_before_the_body_comes() -> None:
    async def scene(stage: Stage) -> None:
        stage.route("/pets", max_body_bytes=3)
        stage.wire.send(b"POST /pets HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n")
        assert (await stage.wire.answer()).status == 413
        stage.wire.send(b"body")
        assert (await stage.ask("POST /pets", body=b"abc")).status == 200
        chunked = b"POST /pets HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        stage.wire.send(chunked + b"4\r\nabcd\r\n0\r\n\r\n")
        answer = await stage.wire.answer()
        assert (answer.status, message_of(answer)) == (413, "Request Too Long")
        assert not stage.wire.transport.closed

    play(scene)


def test_a_preflight_is_answered_without_the_function() -> None:
    async def scene(stage: Stage) -> None:
        cors = {"allow_origins": ["https://a.example"], "allow_headers": ["*"]}
        stage.route("/pets", method="PUT", cors=cors)
        stage.route("/cats")
        wanted = ("access-control-request-method: PUT", "access-control-request-headers: x-a")
        origin = "origin: https://a.example"
        answer = await stage.ask("OPTIONS /pets", origin, *wanted)
        assert (answer.status, stage.invoker.asked) == (204, [])
        stage.route("/pets", method="GET", cors={**cors, "allow_methods": ["GET"]})
        wanted = ("access-control-request-method: GET", "access-control-request-headers: x-a")
        answer = await stage.ask("OPTIONS /pets", origin, *wanted)
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert answer.headers["access-control-allow-headers"] == "x-a"
        assert (await stage.ask("OPTIONS /cats", origin, *wanted)).status == 200
        assert stage.invoker.seen[-1]["httpMethod"] == "OPTIONS"

    play(scene)


def streaming(
    stage: Stage, content_type: str, *pieces: bytes
) -> Callable[[ResponseSink], Awaitable[None]]:
    async def script(sink: ResponseSink) -> None:
        sink.begin("1", content_type)
        for piece in pieces:
            sink.feed(piece, lambda: None)
            await asyncio.sleep(0)
        stage.invoker.payload = b""

    return script


async def raw(stage: Stage, line: str) -> bytes:
    """What a client of a streamed answer has read once the function is done and heard."""
    stage.wire.send(f"{line} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    await stage.invoker.finished.wait()

    def is_over() -> bool:
        written = stage.wire.transport.written
        return written.endswith((b"0\r\n\r\n", b"}")) or stage.wire.transport.closed

    await until(is_over)
    return stage.wire.transport.written


def test_a_stream_is_sent_in_chunks_under_the_head_of_its_prelude() -> None:
    async def scene(stage: Stage) -> None:
        stage.route("/s", stream=True)
        prelude = b'{"statusCode": 201, "headers": {"content-type": "a/b"}, "cookies": ["c=d"]}'
        halves = (prelude[:9], prelude[9:] + PRELUDE_END[:3], PRELUDE_END[3:] + b"one", b"two")
        stage.invoker.script = streaming(stage, PRELUDE_TYPE, *halves)
        head, _, body = (await raw(stage, "GET /s")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 201 Created\r\ncontent-type: a/b\r\nset-cookie: c=d\r\n")
        assert b"transfer-encoding: chunked" in head
        assert body in (
            b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n",
            b"6\r\nonetwo\r\n0\r\n\r\n",
        )

    play(scene)


@pytest.mark.parametrize(
    ("pieces", "kind"),
    [
        ((b"{}",), PRELUDE_TYPE),
        ((b'{"statusCode": "x"}' + PRELUDE_END,), PRELUDE_TYPE),
        ((b'{"headers": {"a": "b\\r\\nc: d"}}' + PRELUDE_END,), PRELUDE_TYPE),
        ((b"x",), "a/b\r\nset-cookie: stolen=1"),
    ],
)
def test_a_stream_whose_head_makes_no_sense_is_a_502(pieces: tuple[bytes, ...], kind: str) -> None:
    async def scene(stage: Stage) -> None:
        stage.route("/s", stream=True)
        stage.invoker.script = streaming(stage, kind, *pieces)
        assert (await raw(stage, "GET /s")).startswith(b"HTTP/1.1 502 ")

    play(scene)


def test_a_stream_that_fails_midway_ends_without_its_last_chunk() -> None:
    async def scene(stage: Stage) -> None:
        stage.route("/s", stream=True)
        stage.invoker.script = streaming(stage, "a/b", b"one")
        stage.invoker.error_type = "KeyError"
        written = await raw(stage, "GET /s")
        assert written.startswith(b"HTTP/1.1 502 ") or (
            written.endswith(b"3\r\none\r\n") and stage.wire.transport.closed
        )

    play(scene)


def test_a_function_that_does_not_stream_is_answered_on_a_streaming_route_too() -> None:
    async def scene(stage: Stage) -> None:
        stage.route("/s", stream=True)
        assert (await stage.ask("GET /s")).body == b"ok"
        stage.invoker.error_type = "KeyError"
        assert (await stage.ask("GET /s")).status == 502
        stage.invoker.error = TooManyRequestsException(ThrottleReason.CONCURRENT)
        assert (await stage.ask("GET /s")).status == 429

    play(scene)


def test_a_slow_reader_holds_the_function_back_until_it_reads_or_goes() -> None:
    async def scene(stage: Stage) -> None:
        stage.route("/s", stream=True)
        room = asyncio.Event()
        held = asyncio.Event()

        async def flood(sink: ResponseSink) -> None:
            sink.begin("1", "a/b")
            while sink.feed(b"x" * 65536, room.set):
                await asyncio.sleep(0)
            held.set()
            await room.wait()

        stage.invoker.script = flood
        stage.wire.connection.pause_writing()  # the client reads nothing
        stage.wire.send(b"GET /s HTTP/1.1\r\nhost: x\r\n\r\n")
        async with asyncio.timeout(60):
            await held.wait()
            assert not room.is_set()
            stage.wire.lose()
            await room.wait()

    play(scene)


def test_routes_are_kept_and_those_that_cannot_be_read_are_left_out() -> None:
    async def scene(stage: Stage) -> None:
        made = stage.route(
            "/pets", host="pets.example", throttle={"rate_limit": 1, "burst_limit": 2}
        )
        bad = {"path": "/x", "function_name": "fn", "from_the_future": 1}
        stage.resources.change(HERE, ResourceKind.ROUTE, "bad", lambda _: bad)
        again = stage.opened()
        assert again.all() == [made]
        again.remove(made.route_id)
        assert stage.opened().all() == []

    play(scene)


def test_changes_that_cannot_be_made_leave_everything_as_it_was() -> None:
    async def scene(stage: Stage) -> None:
        made = stage.route("/pets", method="GET")
        other = stage.route("/cats", method="GET")
        with pytest.raises(ResourceConflictException):
            stage.route("/pets/", method="GET")
        with pytest.raises(ResourceConflictException):
            stage.book.replace(
                other.route_id, {"path": "/pets", "method": "GET", "function_name": "fn"}
            )
        with pytest.raises(InvalidParameterValueException):
            stage.route("/dogs", function_name="nobody")
        with pytest.raises(ResourceNotFoundException):
            stage.book.replace("nothing", {"path": "/x", "function_name": "fn"})
        with pytest.raises(ResourceNotFoundException):
            stage.book.remove("nothing")
        assert {route.route_id for route in stage.opened().all()} == {made.route_id, other.route_id}

    play(scene)

"""The runtime API, byte for byte as a runtime meets it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from fakes import (
    VERSION,
    HandTurnedClock,
    QuietSandbox,
    ReadyPreparer,
    RememberingLogs,
    invocation,
    until,
)
from unit.runtime_api.wire import Answer, Wire

from lambda_home.invocations import RESPONSE_LIMIT, Invocation
from lambda_home.runtime_api.endpoints import RuntimeEndpoints
from lambda_home.runtime_api.routes import RuntimeRoutes
from lambda_home.sandboxes.base import SandboxSpec
from lambda_home.scheduler.environments import Outcome
from lambda_home.scheduler.machinery import Machinery
from lambda_home.scheduler.pool import PoolLimits
from lambda_home.scheduler.scheduler import Scheduler

RUNTIME = "/2018-06-01/runtime/"
NEXT = f"{RUNTIME}invocation/next"


class OnePort(RuntimeEndpoints):
    """Knows one environment by its port."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[int, str] = {}

    def environment_on(self, port: int) -> str | None:
        return self.known.get(port)


class World:
    """A scheduler, its runtime API and callers of both."""

    def __init__(self, preparer: ReadyPreparer | None = None) -> None:
        self.clock = HandTurnedClock()
        self.sandbox = QuietSandbox()
        self.logs = RememberingLogs()
        made_of = Machinery(
            self.sandbox, preparer or ReadyPreparer(), self.logs, self.clock, PoolLimits(), 8
        )
        self.scheduler = Scheduler(made_of)
        self.endpoints = OnePort()
        self.routes = RuntimeRoutes(self.scheduler, self.endpoints)
        self.callers: list[asyncio.Task[Outcome]] = []

    def run(self, wanted: Invocation) -> asyncio.Task[Outcome]:
        task = asyncio.get_running_loop().create_task(self.scheduler.run(wanted))
        self.callers.append(task)
        return task

    async def environments(self, count: int = 1) -> list[SandboxSpec]:
        await until(lambda: len(self.sandbox.running) == count)
        return list(self.sandbox.running.values())

    async def call(self, request: Request) -> Answer | None:
        """One request; None if it was not answered."""
        wire = Wire(self.routes, request.port)
        size = sum(map(len, request.chunks)) + request.torn
        given = {"host": request.host, "content-length": str(size), **request.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        wire.send(f"{request.method} {request.path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
        for chunk in request.chunks:
            wire.send(chunk)
        if request.torn:
            wire.lose()
            await asyncio.sleep(0)
            assert wire.transport.written == b""
            return None
        return await wire.answer()

    async def get(self, host: str, path: str = NEXT, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        answered = await self.call(Request(host, path, "GET", given))
        assert answered is not None
        return answered

    async def post(self, host: str, path: str, *chunks: bytes, **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        answered = await self.call(Request(host, RUNTIME + path, "POST", given, chunks))
        assert answered is not None
        return answered


@dataclass
class Request:
    host: str
    path: str
    method: str
    headers: dict[str, str] = field(default_factory=dict)
    chunks: tuple[bytes, ...] = ()
    torn: bool = False
    port: int = 9001


@asynccontextmanager
async def opened(preparer: ReadyPreparer | None = None) -> AsyncIterator[World]:
    world = World(preparer)
    await world.scheduler.open()
    await asyncio.sleep(0)
    try:
        yield world
    finally:
        for environment in list(world.sandbox.running):
            await world.sandbox.stop(environment)
        await world.scheduler.close(0)
        await asyncio.gather(*world.callers, return_exceptions=True)


def play(scene: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        async with opened() as world:
            await scene(world)

    asyncio.run(main())


def error_type_of(answered: Answer) -> str:
    return str(json.loads(answered.body)["errorType"])


async def delivered(world: World, request_id: str = "r1") -> tuple[str, asyncio.Task[Outcome]]:
    """The host of an environment that has been given an invocation, and who waits for it."""
    caller = world.run(invocation(request_id))
    (spec,) = await world.environments()
    assert (await world.get(spec.host)).status == 200
    return spec.host, caller


def test_a_runtime_gets_its_invocation_with_everything_about_it() -> None:
    async def scene(world: World) -> None:
        wanted = replace_all(invocation("r1"))
        world.run(wanted)
        (spec,) = await world.environments()
        answered = await world.get(f"{spec.host.upper()}:9001")
        deadline = str(int((world.clock.now() + VERSION.timeout_s) * 1000))
        assert (answered.status, answered.body) == (200, b'{"n":1}')
        assert answered.headers == {
            "content-type": "application/json",
            "content-length": "7",
            "lambda-runtime-aws-request-id": "r1",
            "lambda-runtime-deadline-ms": deadline,
            "lambda-runtime-invoked-function-arn": VERSION.arn,
            "lambda-runtime-trace-id": "Root=1",
            "lambda-runtime-client-context": '{"c": "\\u00e9"}',
            "lambda-runtime-cognito-identity": '{"id":1}',
        }

    def replace_all(bare: Invocation) -> Invocation:
        bare.trace_id = "Root=1"
        bare.client_context = '{"c":\n"é"}'
        bare.cognito_identity = '{"id":1}'
        return bare

    play(scene)


def test_a_response_reaches_the_caller() -> None:
    async def scene(world: World) -> None:
        host, caller = await delivered(world)
        path = "invocation/r1/response"
        answered = await world.post(host, path, b'{"o', b'k":1}', lambda_home_fence="0")
        assert (answered.status, json.loads(answered.body)) == (202, {"status": "OK"})
        assert await caller == Outcome(b'{"ok":1}')

    play(scene)


@pytest.mark.parametrize(
    ("headers", "error_type"),
    [({"lambda_runtime_function_error_type": "Mine"}, "Mine"), ({}, "Unhandled")],
)
def test_an_error_reaches_the_caller_with_its_type(
    headers: dict[str, str], error_type: str
) -> None:
    async def scene(world: World) -> None:
        host, caller = await delivered(world)
        answered = await world.post(host, "invocation/r1/error", b'{"errorType":"T"}', **headers)
        assert answered.status == 202
        assert await caller == Outcome(b'{"errorType":"T"}', error_type)

    play(scene)


def test_an_init_error_is_the_answer_of_the_invocation() -> None:
    async def scene(world: World) -> None:
        caller = world.run(invocation("r1"))
        (spec,) = await world.environments()
        type_header = {"lambda_runtime_function_error_type": "Runtime.ImportModuleError"}
        answered = await world.post(spec.host, "init/error", b'{"errorType":"E"}', **type_header)
        assert answered.status == 202
        assert await caller == Outcome(b'{"errorType":"E"}', "Runtime.ImportModuleError")

    play(scene)


@pytest.mark.parametrize("host", ["", "127.0.0.1:9001", "0123.lambda-home.internal"])
def test_an_unknown_host_is_refused_whatever_it_asks_for(host: str) -> None:
    async def scene(world: World) -> None:
        await delivered(world)
        for path in (NEXT, f"{RUNTIME}invocation/r1/response", f"{RUNTIME}unknown"):
            answered = await world.get(host, path)
            assert (answered.status, error_type_of(answered)) == (403, "Runtime.UnknownEnvironment")
        refused = await world.post(host, "invocation/r1/response", b"stolen")
        assert refused.status == 403
        assert world.scheduler.in_flight == 1

    play(scene)


def test_an_environment_without_a_host_name_is_known_by_its_port() -> None:
    async def scene(world: World) -> None:
        world.run(invocation("r1"))
        (spec,) = await world.environments()
        world.endpoints.known[4242] = spec.id
        refused = await world.call(Request("127.0.0.1:4243", NEXT, "GET", port=4243))
        assert refused is not None
        assert refused.status == 403
        answered = await world.call(Request("127.0.0.1:4242", NEXT, "GET", port=4242))
        assert answered is not None
        assert answered.status == 200

    play(scene)


@pytest.mark.parametrize("kind", ["response", "error"])
def test_an_answer_that_comes_twice_or_late_is_refused(kind: str) -> None:
    async def scene(world: World) -> None:
        host, caller = await delivered(world)
        assert (await world.post(host, "invocation/r1/response", b"first")).status == 202
        late = await world.post(host, f"invocation/r1/{kind}", b"second")
        assert (late.status, error_type_of(late)) == (400, "InvalidRequestID")
        assert await caller == Outcome(b"first")

    play(scene)


@pytest.mark.parametrize("kind", ["response", "error"])
def test_the_request_id_of_another_environment_is_refused(kind: str) -> None:
    async def scene(world: World) -> None:
        host, caller = await delivered(world)
        world.run(invocation("r2", replace(VERSION, name="other", run_key="other")))
        other = (await world.environments(2))[1].host
        assert (await world.get(other)).status == 200
        stolen = await world.post(other, f"invocation/r1/{kind}", b"stolen")
        assert (stolen.status, error_type_of(stolen)) == (400, "InvalidRequestID")
        assert (await world.post(host, "invocation/r1/response", b"own")).status == 202
        assert await caller == Outcome(b"own")

    play(scene)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", NEXT),
        ("GET", f"{RUNTIME}invocation/r1/response"),
        ("GET", f"{RUNTIME}init/error"),
        ("POST", f"{RUNTIME}invocation/r1/unknown"),
        ("POST", f"{RUNTIME}invocation/r1"),
        ("POST", f"{RUNTIME}invocation/r1/response/"),
        ("GET", f"{NEXT}/"),
        ("GET", RUNTIME),
    ],
)
def test_an_unknown_path_or_method_is_not_found(method: str, path: str) -> None:
    async def scene(world: World) -> None:
        host, _ = await delivered(world)
        answered = await world.call(Request(host, path, method))
        assert answered is not None
        assert (answered.status, error_type_of(answered)) == (404, "Runtime.NotFound")

    play(scene)


def test_a_response_over_the_limit_is_refused_and_told_to_the_caller() -> None:
    async def scene(world: World) -> None:
        host, caller = await delivered(world)
        chunks = [b"x" * RESPONSE_LIMIT, b"x", b"x" * 1000]
        answered = await world.post(host, "invocation/r1/response", *chunks)
        assert (answered.status, error_type_of(answered)) == (413, "RequestEntityTooLarge")
        outcome = await caller
        assert outcome.error_type == "Function.ResponseSizeTooLarge"
        assert json.loads(outcome.payload)["errorMessage"] == (
            "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
        )

    play(scene)


def test_a_response_of_just_the_limit_is_taken() -> None:
    async def scene(world: World) -> None:
        host, caller = await delivered(world)
        whole = b"x" * RESPONSE_LIMIT
        assert (await world.post(host, "invocation/r1/response", whole)).status == 202
        assert (await caller).payload == whole

    play(scene)


@pytest.mark.parametrize("path", ["invocation/r1/error", "init/error"])
def test_an_error_over_the_limit_is_refused(path: str) -> None:
    async def scene(world: World) -> None:
        host, _ = await delivered(world)
        answered = await world.post(host, path, b"x" * (RESPONSE_LIMIT + 1))
        assert answered.status == 413

    play(scene)


def test_a_runtime_that_goes_away_in_mid_response_gets_no_answer_and_gives_none() -> None:
    async def scene(world: World) -> None:
        host, caller = await delivered(world)
        path = f"{RUNTIME}invocation/r1/response"
        assert await world.call(Request(host, path, "POST", {}, (b"torn",), torn=True)) is None
        assert not caller.done()

    play(scene)


def test_a_parked_poll_ends_when_its_environment_is_stopped() -> None:
    async def scene(world: World) -> None:
        host, _ = await delivered(world)
        await world.post(host, "invocation/r1/response", b"1")
        poll = asyncio.get_running_loop().create_task(world.get(host))
        await asyncio.sleep(0)
        world.clock.turn(10_000)
        answered = await poll
        assert (answered.status, error_type_of(answered)) == (410, "Runtime.Stopping")
        assert (await world.get(host)).status == 403

    play(scene)


def test_what_a_runtime_says_of_its_init_and_memory_is_reported() -> None:
    async def scene(world: World) -> None:
        caller = world.run(invocation("r1", replace(VERSION), tail=True))
        (spec,) = await world.environments()
        await world.get(spec.host, lambda_home_init_micros="1500")
        headers = {"lambda_home_fence": "0", "lambda_home_peak_kib": "10241"}
        await world.post(spec.host, "invocation/r1/response", b"1", **headers)
        tail = (await caller).log_tail
        assert tail is not None
        assert b"Max Memory Used: 11 MB\tInit Duration: 1.50 ms\t" in tail

    play(scene)


@pytest.mark.parametrize("value", ["", "-1", "many", "1e3", "9" * 400, "9" * 5000])
def test_numbers_that_a_runtime_gets_wrong_are_ignored(value: str) -> None:
    async def scene(world: World) -> None:
        caller = world.run(invocation("r1", tail=True))
        (spec,) = await world.environments()
        assert (await world.get(spec.host, lambda_home_init_micros=value)).status == 200
        headers = {"lambda_home_fence": "0", "lambda_home_peak_kib": value}
        path = "invocation/r1/response"
        assert (await world.post(spec.host, path, b"1", **headers)).status == 202
        assert b"Max Memory Used: 42 MB" in ((await caller).log_tail or b"")

    play(scene)


@pytest.mark.parametrize("path", ["/healthz", "/2018-06-01/ping"])
def test_anybody_may_ask_whether_it_is_well(path: str) -> None:
    async def scene(world: World) -> None:
        answered = await world.get("anything", path)
        assert (answered.status, json.loads(answered.body)) == (200, {"status": "ok"})

    play(scene)

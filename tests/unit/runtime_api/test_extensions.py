"""The extensions API, byte for byte as an extension meets it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable

import pytest
from fakes import VERSION, invocation, until
from unit.runtime_api.test_app import Request, World, opened
from unit.runtime_api.wire import Answer, Wire

from lambda_home.direct_http import Body, Head, Reply
from lambda_home.runtime_api.extensions import ExtensionRoutes

API = "/2020-01-01/extension/"
BOTH = b'{"events":["INVOKE","SHUTDOWN"]}'


class TakesNothing:
    def begin(self, head: Head, reply: Reply) -> Body | None:
        del head, reply
        return None


def play(scene: Callable[[World, str], Awaitable[None]]) -> None:
    """Run a scene with an environment whose runtime has not polled yet: its host name."""

    async def main() -> None:
        async with opened() as world:
            world.routes = ExtensionRoutes(world.scheduler, world.routes, TakesNothing())  # type: ignore[assignment]
            world.run(invocation("r1"))
            (spec,) = await world.environments()
            await scene(world, spec.host)

    asyncio.run(main())


async def post(world: World, host: str, path: str, body: bytes, **headers: str) -> Answer:
    given = {f"lambda-extension-{name.replace('_', '-')}": v for name, v in headers.items()}
    answered = await world.call(Request(host, API + path, "POST", given, (body,)))
    assert answered is not None
    return answered


async def register(world: World, host: str, body: bytes = BOTH, name: str = "one") -> str:
    answered = await post(world, host, "register", body, name=name)
    assert answered.status == 200
    return answered.headers["lambda-extension-identifier"]


def asking(world: World, host: str, identifier: str) -> Wire:
    """A parked request for the next event."""
    wire = Wire(world.routes)
    lines = f"Host: {host}\r\nLambda-Extension-Identifier: {identifier}\r\n"
    wire.send(f"GET {API}event/next HTTP/1.1\r\n{lines}\r\n".encode())
    return wire


def is_uuid(text: str) -> bool:
    return str(uuid.UUID(text)) == text


def said(answer: Answer) -> tuple[int, str]:
    body = json.loads(answer.body)
    assert body["errorMessage"]
    return answer.status, body["errorType"]


def test_a_registration_tells_about_the_function() -> None:
    async def scene(world: World, host: str) -> None:
        plain = await post(world, host, "register", BOTH, name="one")
        about = {"functionName": "hello", "functionVersion": "$LATEST", "handler": "index.handler"}
        assert plain.status == 200
        assert json.loads(plain.body) == about
        assert is_uuid(plain.headers["lambda-extension-identifier"])
        feature = "other, accountId"
        more = await post(world, host, "register", BOTH, name="two", accept_feature=feature)
        assert json.loads(more.body) == {**about, "accountId": VERSION.scope.account}

    play(scene)


@pytest.mark.parametrize(
    ("body", "name", "expected"),
    [
        (BOTH, "", (400, "Extension.InvalidExtensionName")),
        (b'{"events":["SLEEP"]}', "one", (400, "Extension.InvalidEventType")),
        (b'{"events":"INVOKE"}', "one", (400, "InvalidRequestFormat")),
        (b"[]", "one", (400, "InvalidRequestFormat")),
        (b"", "one", (400, "InvalidRequestFormat")),
        (b"\xff", "one", (400, "InvalidRequestFormat")),
        (b"[" * 100_000, "one", (400, "InvalidRequestFormat")),
        (b" " * 1_100_000, "one", (413, "RequestEntityTooLarge")),
    ],
)
def test_a_bad_registration_is_refused(body: bytes, name: str, expected: tuple[int, str]) -> None:
    async def scene(world: World, host: str) -> None:
        assert said(await post(world, host, "register", body, name=name)) == expected

    play(scene)


def test_nobody_registers_after_the_runtime_has_polled() -> None:
    async def scene(world: World, host: str) -> None:
        assert (await world.get(host)).status == 200
        late = await post(world, host, "register", BOTH, name="late")
        assert said(late) == (403, "Extension.RegistrationClosed")

    play(scene)


def test_an_extension_hears_of_an_invocation() -> None:
    async def scene(world: World, host: str) -> None:
        wire = asking(world, host, await register(world, host))
        deadline = (await world.get(host)).headers["lambda-runtime-deadline-ms"]
        answer = await wire.answer()
        assert is_uuid(answer.headers["lambda-extension-event-identifier"])
        assert json.loads(answer.body) == {
            "eventType": "INVOKE",
            "deadlineMs": int(deadline),
            "requestId": "r1",
            "invokedFunctionArn": VERSION.arn,
        }

    play(scene)


def test_an_extension_hears_of_the_end_and_keeps_the_environment_until_it_asks_again() -> None:
    async def scene(world: World, host: str) -> None:
        identifier = await register(world, host, b'{"events":["SHUTDOWN"]}')
        wire = asking(world, host, identifier)
        await world.get(host)
        assert (await world.post(host, "invocation/r1/response", b"1")).status == 202
        runtime = Wire(world.routes)
        path = "/2018-06-01/runtime/invocation/next"
        runtime.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        world.scheduler.retire_except(VERSION.arn, frozenset())
        event = json.loads((await wire.answer()).body)
        assert (event["eventType"], event["shutdownReason"]) == ("SHUTDOWN", "spindown")
        assert runtime.transport.written == b""
        assert world.sandbox.running
        asking(world, host, identifier)
        await until(lambda: not world.sandbox.running)
        assert (await asking(world, host, identifier).answer()).status == 403

    play(scene)


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("", "Extension.MissingExtensionIdentifier"),
        ("me", "Extension.InvalidExtensionIdentifier"),
        (str(uuid.UUID(int=0)), "Extension.UnknownExtensionIdentifier"),
    ],
)
def test_an_unknown_identifier_is_refused(identifier: str, expected: str) -> None:
    async def scene(world: World, host: str) -> None:
        await register(world, host)
        assert said(await asking(world, host, identifier).answer()) == (403, expected)
        error = {"identifier": identifier, "function_error_type": "Extension.Any"}
        answered = await post(world, host, "exit/error", b"{}", **error)
        assert said(answered) == (403, expected)

    play(scene)


def test_another_environment_cannot_use_an_identifier() -> None:
    async def scene(world: World, host: str) -> None:
        identifier = await register(world, host)
        world.run(invocation("r2"))
        other = next(e.host for e in await world.environments(2) if e.host != host)
        refused = await asking(world, other, identifier).answer()
        assert said(refused) == (403, "Extension.UnknownExtensionIdentifier")

    play(scene)


def test_an_unknown_host_and_an_unknown_path_are_refused() -> None:
    async def scene(world: World, host: str) -> None:
        foreign = await post(world, "evil.example", "register", BOTH, name="one")
        assert said(foreign) == (403, "Runtime.UnknownEnvironment")
        assert said(await post(world, host, "unknown", b"")) == (404, "Runtime.NotFound")
        assert said(await world.get(host, API + "register")) == (404, "Runtime.NotFound")

    play(scene)


def test_an_exit_error_is_accepted_and_ends_the_extension() -> None:
    async def scene(world: World, host: str) -> None:
        identifier = await register(world, host)
        bare = await post(world, host, "exit/error", b"{}", identifier=identifier)
        assert said(bare) == (403, "Extension.MissingHeader")
        error = {"identifier": identifier, "function_error_type": "Extension.Broken"}
        told = await post(world, host, "exit/error", b"{}", **error)
        assert (told.status, told.body) == (202, b'{"status":"OK"}\n')
        refused = await asking(world, host, identifier).answer()
        assert said(refused) == (403, "Extension.InvalidExtensionState")

    play(scene)


def test_an_init_error_fails_the_invocation_that_waits() -> None:
    async def scene(world: World, host: str) -> None:
        identifier = await register(world, host)
        error = {"identifier": identifier, "function_error_type": "Extension.NoKey"}
        body = b'{"errorMessage":"no key","errorType":"Extension.NoKey"}'
        # The pool takes it for a failed init only once the start is known to be over.
        await asyncio.sleep(0)
        assert (await post(world, host, "init/error", body, **error)).status == 202
        outcome = await world.callers[0]
        assert outcome.error_type == "Extension.InitError"
        assert json.loads(outcome.payload) == {
            "errorMessage": "Extension one: no key",
            "errorType": "Extension.InitError",
        }
        await until(lambda: not world.sandbox.running)

    play(scene)

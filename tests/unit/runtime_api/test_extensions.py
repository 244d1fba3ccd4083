"""The Extensions, Telemetry and Logs APIs, byte for byte as an extension meets them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fakes import VERSION, ReadyPreparer, invocation, until
from unit.runtime_api.test_app import Request, World, opened
from unit.runtime_api.wire import Answer, Wire
from unit.scheduler.asking import WithOne

from lambda_home.direct_http import Body, Head, Reply
from lambda_home.runtime_api.extensions import ExtensionRoutes
from lambda_home.sandboxes.base import Exit

API = "/2020-01-01/extension/"
SUPERVISOR = "/2020-01-01/lambda-home/supervisor/"
BOTH = b'{"events":["INVOKE","SHUTDOWN"]}'
INVOKE = b'{"events":["INVOKE"]}'


class TakesNothing:
    def begin(self, head: Head, reply: Reply) -> Body | None:
        del head, reply
        return None


def play(
    scene: Callable[[World, str], Awaitable[None]], preparer: ReadyPreparer | None = None
) -> None:
    """Run a scene with an environment whose runtime has not polled yet: its host name."""

    async def main() -> None:
        async with opened(preparer) as world:
            world.routes = ExtensionRoutes(world.scheduler, world.routes, TakesNothing())  # type: ignore[assignment]
            world.run(invocation("r1"))
            (spec,) = await world.environments()
            await scene(world, spec.host)
            for environment_id in list(world.sandbox.running):
                world.sandbox.die(Exit(environment_id, signal=9))

    asyncio.run(main())


def play_external(scene: Callable[[World, str], Awaitable[None]]) -> None:
    """The same where `one` is an external extension."""
    play(scene, WithOne())


async def send(
    world: World, host: str, path: str, body: bytes, method: str = "POST", **headers: str
) -> Answer:
    given = {f"lambda-extension-{name.replace('_', '-')}": v for name, v in headers.items()}
    answered = await world.call(Request(host, path, method, given, (body,)))
    assert answered is not None
    return answered


async def post(world: World, host: str, path: str, body: bytes, **headers: str) -> Answer:
    return await send(world, host, API + path, body, **headers)


async def register(world: World, host: str, body: bytes = INVOKE, name: str = "one") -> str:
    answered = await post(world, host, "register", body, name=name)
    assert answered.status == 200
    return answered.headers["lambda-extension-identifier"]


def asking(world: World, host: str, identifier: str) -> Wire:
    """A parked request for the next event."""
    wire = Wire(world.routes)
    lines = f"Host: {host}\r\nLambda-Extension-Identifier: {identifier}\r\n"
    wire.send(f"GET {API}event/next HTTP/1.1\r\n{lines}\r\n".encode())
    return wire


def calling(world: World, host: str, what: str) -> Wire:
    """A call of the supervisor."""
    wire = Wire(world.routes)
    wire.send(f"POST {SUPERVISOR}{what} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    return wire


def is_uuid(text: str) -> bool:
    return str(uuid.UUID(text)) == text


def said(answer: Answer) -> tuple[int, str]:
    body = json.loads(answer.body)
    assert body["errorMessage"]
    return answer.status, body["errorType"]


def test_a_registration_tells_about_the_function() -> None:
    async def scene(world: World, host: str) -> None:
        plain = await post(world, host, "register", INVOKE, name="one")
        about = {"functionName": "hello", "functionVersion": "$LATEST", "handler": "index.handler"}
        assert plain.status == 200
        assert json.loads(plain.body) == about
        assert is_uuid(plain.headers["lambda-extension-identifier"])
        feature = "other, accountId"
        more = await post(world, host, "register", INVOKE, name="two", accept_feature=feature)
        assert json.loads(more.body) == {**about, "accountId": VERSION.scope.account}

    play(scene)


@pytest.mark.parametrize(
    ("body", "name", "expected"),
    [
        (INVOKE, "", (403, "Extension.InvalidExtensionName")),
        (b"[]", "", (403, "Extension.InvalidExtensionName")),
        (b'{"events":["SLEEP"]}', "one", (403, "Extension.InvalidEventType")),
        (BOTH, "one", (403, "Extension.InvalidEventType")),
        (b'{"events":"INVOKE"}', "one", (403, "InvalidRequestFormat")),
        (b'{"events":[],"configurationKeys":["k"]}', "one", (403, "InvalidRequestFormat")),
        (b"[]", "one", (403, "InvalidRequestFormat")),
        (b"", "one", (403, "InvalidRequestFormat")),
        (b"\xff", "one", (403, "InvalidRequestFormat")),
        (b"[" * 100_000, "one", (403, "InvalidRequestFormat")),
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
        late = await post(world, host, "register", INVOKE, name="late")
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
        identifier = await register(world, host, BOTH)
        wire = asking(world, host, identifier)
        await world.get(host)
        assert (await world.post(host, "invocation/r1/response", b"1")).status == 202
        assert json.loads((await wire.answer()).body)["eventType"] == "INVOKE"
        wire = asking(world, host, identifier)
        runtime = Wire(world.routes)
        path = "/2018-06-01/runtime/invocation/next"
        runtime.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        ending = calling(world, host, "ending")
        world.scheduler.retire_except(VERSION.arn, frozenset())
        assert (await ending.answer()).status == 200
        assert runtime.transport.written == b""
        calling(world, host, "exit/runtime/143")
        event = json.loads((await wire.answer()).body)
        assert (event["eventType"], event["shutdownReason"]) == ("SHUTDOWN", "spindown")
        assert world.sandbox.running
        asking(world, host, identifier)
        await until(lambda: not world.sandbox.running)
        assert (await asking(world, host, identifier).answer()).status == 403

    play_external(scene)


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
        wants = await send(world, host, TELEMETRY, asked_for(), "PUT", identifier=identifier)
        assert said(wants) == (403, expected)

    play(scene)


def test_another_environment_cannot_use_an_identifier() -> None:
    async def scene(world: World, host: str) -> None:
        identifier = await register(world, host)
        world.run(invocation("r2"))
        other = next(e.host for e in await world.environments(2) if e.host != host)
        refused = await asking(world, other, identifier).answer()
        assert said(refused) == (403, "Extension.UnknownExtensionIdentifier")
        wants = await send(world, other, TELEMETRY, asked_for(), "PUT", identifier=identifier)
        assert said(wants) == (403, "Extension.UnknownExtensionIdentifier")

    play(scene)


def test_an_unknown_host_and_an_unknown_path_are_refused() -> None:
    async def scene(world: World, host: str) -> None:
        foreign = await post(world, "evil.example", "register", INVOKE, name="one")
        assert said(foreign) == (403, "Runtime.UnknownEnvironment")
        assert said(await post(world, host, "unknown", b"")) == (404, "Runtime.NotFound")
        assert said(await world.get(host, API + "register")) == (404, "Runtime.NotFound")
        assert said(await world.get(host, TELEMETRY)) == (404, "Runtime.NotFound")

    play(scene)


def test_an_exit_error_is_accepted_and_ends_an_internal_extension() -> None:
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


def test_an_init_error_of_an_internal_extension_fails_the_invocation_that_waits() -> None:
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


@pytest.mark.parametrize(
    ("what", "expected"),
    [("init/error", "Extension.InitError"), ("exit/error", "Extension.ExitError")],
)
def test_an_error_of_an_external_extension_is_what_its_exit_ends_the_environment_with(
    what: str, expected: str
) -> None:
    async def scene(world: World, host: str) -> None:
        identifier = await register(world, host, BOTH)
        error = {"identifier": identifier, "function_error_type": "Extension.NoKey"}
        assert (await post(world, host, what, b"{}", **error)).status == 202
        assert not world.callers[0].done()
        assert (await calling(world, host, "exit/0/2").answer()).status == 200
        outcome = await world.callers[0]
        assert outcome.error_type == expected
        assert b"Error: exit status 2" in outcome.payload

    play_external(scene)


# --------------------------------------------------------------------------------- supervisor


def test_the_supervisor_may_start_the_runtime_once_all_have_registered() -> None:
    async def scene(world: World, host: str) -> None:
        waiting = calling(world, host, "registered")
        await asyncio.sleep(0)
        assert waiting.transport.written == b""
        await register(world, host, BOTH)
        assert (await waiting.answer()).status == 200

    play_external(scene)


@pytest.mark.parametrize("what", ["registered", "ending", "exit/0/1", "exit/runtime/1"])
def test_without_external_extensions_there_is_no_supervisor(what: str) -> None:
    async def scene(world: World, host: str) -> None:
        assert said(await calling(world, host, what).answer()) == (404, "Runtime.NotFound")
        assert not world.callers[0].done()

    play(scene)


@pytest.mark.parametrize(
    "what", ["", "exit/0", "exit/-1/0", "exit/0/x", "exit/\u0663/0", "exit/9999/0", "exit/a/b/c"]
)
def test_nonsense_of_a_supervisor_is_refused(what: str) -> None:
    async def scene(world: World, host: str) -> None:
        answered = await world.call(Request(host, f"{SUPERVISOR}{ascii(what)[1:-1]}", "POST", {}))
        assert answered is not None
        assert said(answered) == (404, "Runtime.NotFound")

    play_external(scene)


def test_a_launch_error_fails_the_invocation_that_waits() -> None:
    async def scene(world: World, host: str) -> None:
        answer = await calling(world, host, "launch-error/0/PermissionDenied").answer()
        assert answer.status == 200
        outcome = await world.callers[0]
        assert outcome.error_type == "Extension.LaunchError"
        assert b"fork/exec /opt/extensions/one: permission denied" in outcome.payload

    play_external(scene)


# ---------------------------------------------------------------------------------- telemetry

TELEMETRY = "/2022-07-01/telemetry"
LOGS = "/2020-08-15/logs"


def asked_for(**members: Any) -> bytes:
    document = {
        "schemaVersion": "2022-12-13",
        "types": ["platform"],
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243"},
        **members,
    }
    return json.dumps(document).encode()


def test_a_subscription_is_answered_and_written_to_the_log() -> None:
    async def scene(world: World, host: str) -> None:
        identifier = await register(world, host)
        for path in (TELEMETRY, f"{TELEMETRY}/"):
            answer = await send(world, host, path, asked_for(), "PUT", identifier=identifier)
            assert (answer.status, answer.body) == (200, b'"OK"')
        lines = [line for line in world.logs.lines if line.startswith("TELEMETRY")]
        assert lines == [
            "TELEMETRY\tName: one\tState: Subscribed\tTypes: [platform]",
            "TELEMETRY\tName: one\tState: Already subscribed\tTypes: [platform]",
        ]
        logs = asked_for(schemaVersion="2020-08-15")
        other = await send(world, host, LOGS, logs, "PUT", identifier=identifier)
        assert said(other) == (403, "Logs.AlreadySubscribed")

    play(scene)


@pytest.mark.parametrize(("path", "name"), [(TELEMETRY, "Telemetry"), (LOGS, "Logs")])
def test_nobody_subscribes_after_the_init_phase(path: str, name: str) -> None:
    async def scene(world: World, host: str) -> None:
        identifier = await register(world, host)
        asking(world, host, identifier)
        assert (await world.get(host)).status == 200
        version = "2020-08-15" if path == LOGS else "2022-07-01"
        body = asked_for(schemaVersion=version)
        late = await send(world, host, path, body, "PUT", identifier=identifier)
        assert said(late) == (403, f"{name}.SubscriptionClosed")
        assert f"{name} API subscription is closed already" in late.body.decode()

    play(scene)


def test_a_bad_subscription_is_a_validation_error() -> None:
    async def scene(world: World, host: str) -> None:
        identifier = await register(world, host)
        answer = await send(world, host, TELEMETRY, b"{}", "PUT", identifier=identifier)
        assert said(answer) == (400, "ValidationError")

    play(scene)

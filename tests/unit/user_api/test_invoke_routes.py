"""Invoke on its own connection, byte for byte as a client meets it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from fakes import HERE
from unit.runtime_api.wire import Wire

from lambda_home.access.callers import Callers
from lambda_home.access.cross_account import CrossAccount
from lambda_home.access.gate import Believing, Gate
from lambda_home.access.hosts import HostRules
from lambda_home.arns import FunctionRef
from lambda_home.errors import ResourceNotFoundException
from lambda_home.invocations import SYNC_PAYLOAD_LIMIT, InvocationRequest, InvocationResult
from lambda_home.invoker.invoker import Invoker, Told
from lambda_home.registry.policies import Stored
from lambda_home.user_api.invoke import InvokeRoutes
from lambda_home.user_api.invoke_requests import new_request_id

PATH = "/2015-03-31/functions/{}/invocations"


class NoPolicies:
    """Functions without policies."""

    def get(self, ref: FunctionRef) -> Stored:
        del ref
        return Stored(None, "")


class Scripted(Invoker):
    """Answers at once with what it was asked; `held` names have to wait for `let_go`."""

    def __init__(self) -> None:
        self.asked: list[tuple[FunctionRef, InvocationRequest]] = []
        self.held: dict[str, Callable[[], None]] = {}
        self.slow = False

    def begin(self, ref: FunctionRef, request: InvocationRequest, told: Told) -> bool:
        self.asked.append((ref, request))
        if self.slow:
            return False
        result = InvocationResult(request.request_id, request.payload, "7")
        if ref.name == "missing":
            raise ResourceNotFoundException(f"Function not found: {ref.arn}")
        if ref.name == "broken":
            raise ZeroDivisionError
        if ref.name.startswith("held"):
            self.held[ref.name] = lambda: told(result)
        else:
            told(result)
        return True

    async def invoke(self, ref: FunctionRef, request: InvocationRequest) -> InvocationResult:
        await asyncio.sleep(0)
        if ref.name == "missing":
            raise ResourceNotFoundException(f"Function not found: {ref.arn}")
        return InvocationResult(request.request_id, b"slowly", "8", "Unhandled", b"tail")


def play(scene: Callable[[Wire, Scripted], Awaitable[None]]) -> None:
    async def main() -> None:
        invoker = Scripted()
        gate = Gate(HostRules(), Believing(Callers(HERE)))
        routes = InvokeRoutes(invoker, gate, CrossAccount(NoPolicies()))
        await scene(Wire(routes, 9000), invoker)

    asyncio.run(main())


def post(name: str, body: bytes = b"{}", query: str = "", *lines: str) -> bytes:
    head = [f"POST {PATH.format(name)}{query} HTTP/1.1", "Host: localhost", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


def test_a_result_is_answered_with_its_headers() -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        wire.send(post("fn", b'{"a":1}', "?Qualifier=live", "X-Amz-Log-Type: Tail"))
        answer = await wire.answer()
        assert (answer.status, answer.body) == (200, b'{"a":1}')
        ((ref, request),) = invoker.asked
        assert answer.headers == {
            "content-type": "application/json",
            "x-amz-executed-version": "7",
            "x-amzn-requestid": request.request_id,
            "content-length": "7",
        }
        assert (ref.name, ref.qualifier, request.tail) == ("fn", "live", True)

    play(scene)


def test_what_has_to_wait_is_answered_later() -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        invoker.slow = True
        wire.send(post("fn"))
        answer = await wire.answer()
        assert (answer.status, answer.body) == (200, b"slowly")
        assert answer.headers["x-amz-function-error"] == "Unhandled"
        assert answer.headers["x-amz-log-result"] == "dGFpbA=="

    play(scene)


@pytest.mark.parametrize("slow", [False, True])
def test_an_error_has_the_shape_of_aws(slow: bool) -> None:  # noqa: FBT001
    async def scene(wire: Wire, invoker: Scripted) -> None:
        invoker.slow = slow
        wire.send(post("missing"))
        answer = await wire.answer()
        assert answer.status == 404
        assert answer.headers["x-amzn-errortype"] == "ResourceNotFoundException"
        assert json.loads(answer.body)["Type"] == "User"

    play(scene)


def test_a_mistake_of_ours_is_a_service_exception() -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        del invoker
        wire.send(post("broken"))
        answer = await wire.answer()
        assert answer.status == 500
        assert answer.headers["x-amzn-errortype"] == "ServiceException"

    play(scene)


def test_pipelined_invokes_are_answered_in_their_order() -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        wire.send(post("held1", b"1") + post("held2", b"2") + post("fn", b"3"))
        assert wire.transport.written == b""
        invoker.held["held2"]()
        assert wire.transport.written == b""
        invoker.held["held1"]()
        assert [(await wire.answer()).body for _ in range(3)] == [b"1", b"2", b"3"]

    play(scene)


def test_a_client_that_went_away_is_not_answered() -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        wire.send(post("held", b"1"))
        wire.lose()
        invoker.held["held"]()
        assert wire.transport.written == b""

    play(scene)


def test_a_payload_over_the_limit_is_refused_and_not_kept() -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        head = f"POST {PATH.format('fn')} HTTP/1.1\r\nHost: localhost\r\n"
        head += "Transfer-Encoding: chunked\r\n\r\n"
        wire.send(head.encode())
        piece = b"x" * (1 << 20)
        for _ in range(SYNC_PAYLOAD_LIMIT // len(piece) + 1):
            wire.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        wire.send(b"0\r\n\r\n")
        answer = await wire.answer()
        assert answer.status == 413
        assert answer.headers["x-amzn-errortype"] == "RequestTooLargeException"
        wire.send(post("fn", b"9"))
        assert (await wire.answer()).body == b"9"
        assert len(invoker.asked) == 1

    play(scene)


@pytest.mark.parametrize("path", ["/healthz", "/2015-03-31/functions/a/b/invocations"])
def test_anything_else_goes_on_to_fastapi(path: str) -> None:
    async def scene(wire: Wire, invoker: Scripted) -> None:
        wire.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        assert (await wire.answer()).status in (404, 405)
        assert invoker.asked == []

    play(scene)


def test_request_ids_are_random_uuids() -> None:
    ids = {new_request_id() for _ in range(1000)}
    assert len(ids) == 1000
    for request_id in ids:
        parts = request_id.split("-")
        assert [len(part) for part in parts] == [8, 4, 4, 4, 12]
        assert parts[2][0] == "4"
        assert parts[3][0] in "89ab"

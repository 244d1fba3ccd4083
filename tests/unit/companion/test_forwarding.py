"""Requests streamed to another server, and its answers streamed back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from lambda_home.access.callers import Caller, put_caller, root_arn
from lambda_home.access.roles import Role
from lambda_home.arns import Scope
from lambda_home.companion.forwarding import CompanionDownError, Elsewhere, Forwarder

S3 = (
    b"authorization",
    b"AWS4-HMAC-SHA256 Credential=000000000000/20261121/us-east-1/s3/aws4_request, Signature=0",
)
HOST = (b"host", b"photos.s3.localhost:9000")
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"

Answering = Callable[["Other"], Awaitable[None]]


@dataclass
class Other:
    """A server of one connection: what it got, and how it answers."""

    answering: Answering
    got: bytes = b""
    torn: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    writer: Any = None
    reader: Any = None
    url: str = ""

    async def __aenter__(self) -> Other:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        if self.writer is not None:
            self.writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.got = await reader.readuntil(b"\r\n\r\n")
        self.reached.set()
        await self.answering(self)

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@dataclass
class Client:
    """An ASGI client: what it sends, what it hears."""

    messages: list[dict[str, Any]] = field(
        default_factory=lambda: [{"type": "http.request", "body": b"", "more_body": False}]
    )
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    pieces: int = 0

    async def receive(self) -> MutableMapping[str, Any]:
        if self.messages:
            return self.messages.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        else:
            self.body += message.get("body", b"")
            self.pieces += bool(message.get("body"))


def scope(path: bytes = b"/", query: bytes = b"", *more: tuple[bytes, bytes]) -> dict[str, Any]:
    given = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": query,
        "headers": [HOST, S3, *more],
    }
    home = Scope("111122223333", "us-east-1")
    put_caller(given, Caller(home, root_arn(home.account), Role.ADMIN, is_verified=True))
    return given


async def hi(other: Other) -> None:
    await other.say(OK)


async def ask(
    url: str, client: Client | None = None, given: dict[str, Any] | None = None
) -> Client:
    client = client or Client()
    forwarder = Forwarder(Elsewhere(url))
    try:
        await forwarder(given or scope(), client.receive, client.send)
    finally:
        await forwarder.close()
    return client


@pytest.mark.parametrize(
    ("path", "query", "line"),
    [
        (b"/photos/a%2Fb%20c", b"", b"GET /photos/a%2Fb%20c HTTP/1.1"),
        (b"//photos//a/../b/./c", b"", b"GET //photos//a/../b/./c HTTP/1.1"),
        (b"//evil.example/x", b"a=%2B&&b", b"GET //evil.example/x?a=%2B&&b HTTP/1.1"),
        (b"/%7Euser/~/%e4", b"list-type=2", b"GET /%7Euser/~/%e4?list-type=2 HTTP/1.1"),
    ],
)
def test_path_and_query_go_on_in_the_clients_own_spelling(
    path: bytes, query: bytes, line: bytes
) -> None:
    async def main() -> None:
        async with Other(hi) as other:
            client = await ask(other.url, given=scope(path, query))
            assert other.got.partition(b"\r\n")[0] == line
            assert (client.status, client.body) == (200, b"hi")

    asyncio.run(main())


def test_a_companion_below_a_path_is_asked_there() -> None:
    async def main() -> None:
        async with Other(hi) as other:
            await ask(f"{other.url}/base/", given=scope(b"/x"))
            assert other.got.startswith(b"GET /base/x HTTP/1.1\r\n")

    asyncio.run(main())


def test_headers_go_on_but_those_of_the_connection() -> None:
    async def main() -> None:
        more = (
            (b"connection", b"keep-alive, x-mine"),
            (b"x-mine", b"1"),
            (b"keep-alive", b"timeout=5"),
            (b"te", b"trailers"),
            (b"upgrade", b"h2c"),
            (b"expect", b"100-continue"),
            (b"x-moto-account-id", b"999999999999"),
            (b"x-amz-meta-a", b"1"),
            (b"x-amz-meta-a", b"2"),
        )
        async with Other(hi) as other:
            await ask(other.url, given=scope(b"/", b"", *more))
            lines = other.got.split(b"\r\n")[1:-2]
            assert sorted(lines) == sorted(
                [
                    b"host: photos.s3.localhost:9000",
                    b": ".join(S3),
                    b"x-amz-meta-a: 1",
                    b"x-amz-meta-a: 2",
                    b"x-moto-account-id: 111122223333",
                    b"via: 1.1 lambda-home",
                ]
            )

    asyncio.run(main())


def test_the_answer_opens_nothing_to_other_sites() -> None:
    async def main() -> None:
        async def answering(other: Other) -> None:
            await other.say(
                b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://evil.example/\r\n"
                b"Access-Control-Allow-Origin: *\r\naccess-control-allow-methods: PUT\r\n"
                b"Connection: close, X-Hop\r\nX-Hop: 1\r\nServer: x\r\nETag: a\r\nETag: b\r\n"
                b"Set-Cookie: a=1\r\nContent-Length: 0\r\n\r\n"
            )

        async with Other(answering) as other:
            client = await ask(other.url)
            assert (client.status, client.body) == (307, b"")
            assert client.headers == [
                (b"location", b"http://evil.example/"),
                (b"etag", b"a"),
                (b"etag", b"b"),
                (b"set-cookie", b"a=1"),
                (b"content-length", b"0"),
            ]

    asyncio.run(main())


def test_a_body_of_unknown_length_goes_on_piece_by_piece() -> None:
    async def main() -> None:
        async def answering(other: Other) -> None:
            while not other.got.endswith(b"0\r\n\r\n"):
                other.got += await other.reader.read(1024)
            await other.say(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
                b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"
            )

        pieces = [
            {"type": "http.request", "body": b"one", "more_body": True},
            {"type": "http.request", "body": b"two", "more_body": False},
        ]
        async with Other(answering) as other:
            given = scope(b"/", b"", (b"transfer-encoding", b"chunked"))
            client = await ask(other.url, Client(pieces), given)
            assert b"3\r\none\r\n3\r\ntwo\r\n0\r\n" in other.got
            assert client.body == b"abc"

    asyncio.run(main())


def test_a_client_that_goes_away_ends_the_request() -> None:
    async def main() -> None:
        async def answering(other: Other) -> None:
            assert await other.reader.read() == b""
            other.torn.set()

        async with Other(answering) as other:
            client = Client()
            asking = asyncio.ensure_future(ask(other.url, client))
            await other.reached.wait()
            client.gone.set()
            await asyncio.wait_for(other.torn.wait(), 60)
            await asking
            assert client.status == 0

    asyncio.run(main())


def test_a_client_that_goes_away_in_the_middle_of_its_body_does_so_too() -> None:
    async def main() -> None:
        async def answering(other: Other) -> None:
            await other.reader.read()
            other.torn.set()

        async with Other(answering) as other:
            pieces: list[dict[str, Any]] = [
                {"type": "http.request", "body": b"one", "more_body": True},
                {"type": "http.disconnect"},
            ]
            client = Client(pieces)
            await ask(other.url, client, scope(b"/", b"", (b"content-length", b"9")))
            await asyncio.wait_for(other.torn.wait(), 60)
            assert client.status == 0

    asyncio.run(main())


def test_an_answer_that_breaks_off_is_not_made_whole() -> None:
    async def main() -> None:
        async def answering(other: Other) -> None:
            await other.say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            other.writer.close()

        async with Other(answering) as other:
            client = Client()
            ended: list[bool] = []
            send = client.send

            async def watching(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.body":
                    ended.append(not message.get("more_body", False))
                await send(message)

            client.send = watching  # type: ignore[method-assign]
            await ask(other.url, client)
            assert (client.status, client.body, any(ended)) == (200, b"half", False)

    asyncio.run(main())


def test_nobody_there_is_told_in_one_line_that_helps() -> None:
    async def main() -> None:
        async with Other(hi) as other:
            url = other.url
        client = await ask(url)
        assert client.status == 503
        assert b"<Code>ServiceUnavailable</Code>" in client.body
        assert url.encode() in client.body
        assert b"--companion moto" in client.body

    asyncio.run(main())


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n"])
def test_what_is_no_answer_is_a_bad_gateway(said: bytes) -> None:
    async def main() -> None:
        async def answering(other: Other) -> None:
            await other.say(said)
            other.writer.close()

        async with Other(answering) as other:
            client = await ask(other.url)
            assert (client.status, b"<Code>BadGateway</Code>" in client.body) == (502, True)

    asyncio.run(main())


def test_without_a_companion_a_service_is_not_there() -> None:
    async def main() -> None:
        client = Client()
        forwarder = Forwarder(None)
        await forwarder(scope(), client.receive, client.send)
        await forwarder.close()
        assert client.status == 501
        assert b"nobody stands beside it for s3" in client.body
        assert b"--companion moto" in client.body

    asyncio.run(main())


class Down:
    url = "http://127.0.0.1:1"

    async def until_ready(self) -> None:
        raise CompanionDownError("moto's server does not start: see the log.")


def test_a_companion_that_does_not_start_says_why() -> None:
    async def main() -> None:
        client = Client()
        forwarder = Forwarder(Down())
        await forwarder(scope(), client.receive, client.send)
        await forwarder.close()
        assert (client.status, b"moto's server does not start" in client.body) == (503, True)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (scope(b"/", b"", (b"via", b"1.1 lambda-home")), 508),
        (scope(b"*"), 400),
        (scope(b"http://evil.example/"), 400),
        (scope(b""), 400),
        (scope(b"/a b"), 400),
        (scope(b"/", b"", (b"x-bad", b"a\r\nb")), 400),
    ],
)
def test_what_cannot_be_forwarded_goes_nowhere(given: dict[str, Any], status: int) -> None:
    async def main() -> None:
        async with Other(hi) as other:
            client = await ask(other.url, given=given)
            assert (client.status, other.got) == (status, b"")

    asyncio.run(main())

"""front_limits.py and direct_http.py: heads that are refused, and clients that are too slow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from unit.runtime_api.wire import Answer, Wire

from lambda_home.direct_http import Body, Fields, Head, Reply
from lambda_home.front_limits import (
    MOST_HEAD_BYTES,
    MOST_HEADERS,
    MOST_TARGET_BYTES,
    Patience,
    Phase,
    Verdict,
    Watch,
)

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
PATIENCE = Patience(header_s=10, body_s=30, idle_s=75, write_s=60)


class Taking:
    """Takes what is not below /asgi; answers when the body is whole, unless the path is /held."""

    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.bodies: list[bytes] = []
        self.lost_bodies = 0
        self.held: list[Reply] = []

    def begin(self, head: Head, reply: Reply) -> Body | None:
        if head.path.startswith(b"/asgi"):
            return None
        self.heads.append(head)
        return Whole(self, head, reply)


class Whole:
    def __init__(self, routes: Taking, head: Head, reply: Reply) -> None:
        self.routes, self.head, self.reply = routes, head, reply
        self.data = b""

    def feed(self, data: bytes) -> None:
        self.data += data

    def lost(self) -> None:
        self.routes.lost_bodies += 1

    def end(self, trailers: Fields) -> None:
        del trailers
        self.routes.bodies.append(self.data)
        if self.head.path == b"/held":
            self.routes.held.append(self.reply)
        else:
            self.reply.send(OK)


def play(scene: Callable[[Wire, Taking], Awaitable[None]]) -> None:
    async def main() -> None:
        routes = Taking()
        await scene(Wire(routes, 9000), routes)

    asyncio.run(main())


def is_closed(wire: Wire) -> bool:
    return wire.transport.closed


async def refused(wire: Wire, status: int) -> Answer:
    answer = await wire.answer()
    assert answer.status == status, answer
    assert answer.headers["connection"] == "close"
    message = json.loads(answer.body)["message"]
    assert message
    assert "\n" not in message
    assert is_closed(wire)
    return answer


def get(*lines: str, target: str = "/") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def head_of(size: int, *, name: str = "X-Long") -> bytes:
    """A head of exactly so many bytes, without the empty line that ends it."""
    bare = get(f"{name}: ")
    return bare.replace(b": \r\n\r\n", b": " + b"x" * (size - len(bare) + 2) + b"\r\n\r\n")


@pytest.mark.parametrize("piece", [1 << 20, 1000, 65_535])
@pytest.mark.parametrize(("over", "status"), [(0, 200), (1, 431)])
def test_a_head_has_64_kilobytes(over: int, status: int, piece: int) -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        data = head_of(MOST_HEAD_BYTES + over)
        for at in range(0, len(data), piece):
            wire.send(data[at : at + piece])
        if status == 200:
            assert (await wire.answer()).body == b"ok"
        else:
            await refused(wire, 431)
            assert routes.heads == []

    play(scene)


@pytest.mark.parametrize("piece", [1 << 20, 777])
@pytest.mark.parametrize(("over", "status"), [(0, 200), (1, 414)])
def test_a_target_has_16_kilobytes(over: int, status: int, piece: int) -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        del routes
        data = get(target="/" + "a" * (MOST_TARGET_BYTES - 1 + over))
        for at in range(0, len(data), piece):
            wire.send(data[at : at + piece])
        answer = await wire.answer()
        assert answer.status == status

    play(scene)


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
def test_a_request_has_200_headers(more: int, status: int) -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        del routes
        wire.send(get(*(f"X-{number}: y" for number in range(MOST_HEADERS - 1 + more))))
        assert (await wire.answer()).status == status

    play(scene)


@pytest.mark.parametrize("start", ["GET /" + "a" * 20_000, "GET / HTTP/1.1\r\nX: y"])
def test_a_head_without_an_end_is_not_kept(start: str) -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        wire.send(start.encode())
        for _ in range(100):
            wire.send(b"a" * 1000)
        await refused(wire, 414 if "HTTP" not in start else 431)
        assert routes.heads == []
        before = wire.transport.written
        wire.send(get())
        assert wire.transport.written == before
        assert routes.heads == []

    play(scene)


def test_a_head_after_a_large_body_is_measured_by_itself() -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        body = b"b" * 200_000
        post = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200000\r\n\r\n" + body
        following = head_of(60_000)
        wire.send(post + following[:30_000])
        wire.send(following[30_000:])
        assert (await wire.answer()).status == 200
        assert (await wire.answer()).status == 200
        wire.send(post + head_of(MOST_HEAD_BYTES + 1))
        assert (await wire.answer()).status == 200
        await refused(wire, 431)
        assert routes.bodies == [body, b"", body]

    play(scene)


CHUNKED = b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("asgi", [False, True])
@pytest.mark.parametrize("begin", [b"0\r\nX-Trailer: ", b"5;extension="])
def test_what_comes_with_a_body_is_bounded_like_a_head(begin: bytes, *, asgi: bool) -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        wire.send(CHUNKED.replace(b"/", b"/asgi", 1) if asgi else CHUNKED)
        wire.send(begin)
        for _ in range(80):
            wire.send(b"t" * 1000)
        await refused(wire, 431)
        assert routes.lost_bodies == (0 if asgi else 1)
        wire.lose()

    play(scene)


def test_trailers_are_few() -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        del routes
        trailers = b"".join(b"X-%d: y\r\n" % number for number in range(MOST_HEADERS + 1))
        wire.send(CHUNKED + b"0\r\n" + trailers + b"\r\n")
        await refused(wire, 431)

    play(scene)


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: 5", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 5"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 5, 5"],
        ["Content-Length: +5"],
        ["Content-Length: -5"],
        ["Content-Length: 0x5"],
        ["Content-Length : 5"],
        ["Transfer-Encoding: identity"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, gzip"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["X: a\x00b"],
        ["X: a", " folded"],
        [": nameless"],
        ["X Y: z"],
    ],
)
def test_what_two_readers_could_frame_differently_is_refused(lines: list[str]) -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        head = "\r\n".join(["POST / HTTP/1.1", "Host: localhost", *lines, "", ""])
        wire.send(head.encode() + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await refused(wire, 400)
        assert routes.bodies == []

    play(scene)


def test_a_refusal_waits_for_the_answers_before_it() -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        wire.send(get(target="/held") + b"\x16\x03\x01")
        assert wire.transport.written == b""
        assert not is_closed(wire)
        wire.send(b"more of it")
        routes.held[0].send(OK)
        assert (await wire.answer()).body == b"ok"
        await refused(wire, 400)
        assert wire.transport.written == b""

    play(scene)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://localhost/a/b?c=d", b"/a/b", b"c=d"),
        ("HTTP://LOCALHOST/a", b"/a", b""),
        ("http://localhost", b"/", b""),
        ("https://localhost?c=d", b"/", b"c=d"),
    ],
)
def test_a_target_in_absolute_form_is_its_path(target: str, path: bytes, query: bytes) -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        wire.send(get(target=target))
        assert (await wire.answer()).status == 200
        assert (routes.heads[0].path, routes.heads[0].query) == (path, query)

    play(scene)


@pytest.mark.parametrize(
    ("method", "target", "lines", "status"),
    [
        ("GET", "http://evil.com/a", [], 400),
        ("GET", "http://localhost:81/a", [], 400),
        ("GET", "http://localhost@evil.com/", [], 400),
        ("GET", "ftp://localhost/a", [], 400),
        ("GET", "*", [], 400),
        ("GET", "/a#b", [], 400),
        ("CONNECT", "localhost:443", [], 400),
        ("GET", "/", ["Connection: Upgrade", "Upgrade: websocket"], 403),
        ("POST", "/", ["Connection: Upgrade", "Upgrade: h2c", "Content-Length: 3"], 400),
    ],
)
def test_targets_and_upgrades_that_are_not_served(
    method: str, target: str, lines: list[str], status: int
) -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        wire.send(get(*lines, target=target).replace(b"GET", method.encode(), 1))
        await refused(wire, status)
        assert routes.heads == []

    play(scene)


def test_an_upgrade_that_is_only_offered_is_ignored() -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        wire.send(get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"))
        assert (await wire.answer()).status == 200
        assert is_closed(wire)
        assert len(routes.heads) == 1

    play(scene)


# ------------------------------------------------------------------------------------ slow clients


def look(wire: Wire, *moments: float) -> None:
    for now in moments:
        wire.connection.look(PATIENCE, now)


@pytest.mark.parametrize(
    ("sent", "late_after"),
    [
        (b"G", 10),
        (b"GET / HTTP/1.1\r\nHost: local", 10),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf", 30),
        (b"POST /asgi HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf", 30),
        (CHUNKED + b"4\r\nha", 30),
    ],
)
def test_half_a_request_is_waited_for_and_then_answered_408(sent: bytes, late_after: int) -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        wire.send(sent)
        look(wire, 100, 101, 99.9 + late_after)
        assert wire.transport.written == b""
        look(wire, 100 + late_after)
        await refused(wire, 408)
        assert routes.bodies == []
        wire.lose()

    play(scene)


def test_a_head_that_dribbles_in_is_late_all_the_same() -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        for number, letter in enumerate(b"GET / HTTP"):
            wire.send(bytes([letter]))
            look(wire, 100 + number)
        look(wire, 110)
        await refused(wire, 408)
        assert routes.heads == []

    play(scene)


def test_a_body_that_comes_piece_by_piece_is_taken() -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        wire.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n")
        for number in range(20):
            look(wire, 100 + 25 * number)
            wire.send(b"x")
        assert (await wire.answer()).status == 200
        assert routes.bodies == [b"x" * 20]

    play(scene)


def test_a_connection_that_says_nothing_is_closed_without_an_answer() -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        del routes
        look(wire, 100, 109)
        assert not is_closed(wire)
        look(wire, 110)
        assert is_closed(wire)
        assert wire.transport.written == b""

    play(scene)


def test_a_slow_function_is_not_a_slow_client() -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        wire.send(get(target="/held"))
        look(wire, 100, 5000)
        routes.held[0].send(OK)
        assert (await wire.answer()).status == 200
        look(wire, 5001, 5075)
        assert not is_closed(wire)
        wire.send(b"\r\n")  # is no request
        look(wire, 5076)
        assert is_closed(wire)

    play(scene)


def test_a_client_that_does_not_take_its_answer_is_cut_off() -> None:
    async def scene(wire: Wire, routes: Taking) -> None:
        del routes
        wire.send(get())
        wire.transport.buffered = 1000
        look(wire, 100, 130)
        wire.transport.buffered = 900
        look(wire, 159, 160, 218)
        assert not is_closed(wire)
        look(wire, 219)
        assert is_closed(wire)

    play(scene)


@pytest.mark.parametrize(
    ("phase", "after", "verdict"),
    [
        (Phase.FRESH, 10, Verdict.END),
        (Phase.HEAD, 10, Verdict.LATE),
        (Phase.BODY, 29, Verdict.FINE),
        (Phase.BODY, 30, Verdict.LATE),
        (Phase.IDLE, 74, Verdict.FINE),
        (Phase.IDLE, 75, Verdict.END),
        (Phase.ANSWER, 1e9, Verdict.FINE),
    ],
)
def test_what_is_waited_for_decides_how_long(phase: Phase, after: float, verdict: Verdict) -> None:
    watch = Watch()
    assert watch.look(phase, 1, 0, PATIENCE, 100) is Verdict.FINE
    assert watch.look(phase, 1, 0, PATIENCE, 100 + after) is verdict
    assert watch.look(phase, 2, 0, PATIENCE, 101 + after) is Verdict.FINE


def test_connections_are_looked_at_often_enough() -> None:
    assert PATIENCE.sweep_s == 2.5
    assert Patience(header_s=0.4).sweep_s == pytest.approx(0.1)
    assert Patience().sweep_s == float("inf")

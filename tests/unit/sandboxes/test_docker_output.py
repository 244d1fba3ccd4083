from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_home.sandboxes.base import Exit
from lambda_home.sandboxes.docker import exit_of
from lambda_home.sandboxes.docker_output import DaemonStreams, Demultiplexer, pump


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=8),
    st.integers(1, 20),
)
def test_output_is_the_same_however_the_stream_is_cut(
    frames: list[tuple[int, bytes]], size: int
) -> None:
    stream = b"".join(frame(kind, data) for kind, data in frames)
    demultiplexer = Demultiplexer()
    output = [demultiplexer.feed(stream[at : at + size]) for at in range(0, len(stream), size)]
    assert b"".join(output) == b"".join(data for _, data in frames)


@pytest.mark.parametrize(
    ("code", "oom", "expected"),
    [
        (0, False, Exit("e", code=0)),
        (1, True, Exit("e", code=1)),
        (128, False, Exit("e", code=128)),
        (137, False, Exit("e", signal=9)),
        (137, True, Exit("e", signal=9, out_of_memory=True)),
        (143, True, Exit("e", signal=15)),
        (255, False, Exit("e", code=255)),
        (None, False, Exit("e")),
    ],
)
def test_codes_above_128_are_signals(code: int | None, oom: bool, expected: Exit) -> None:  # noqa: FBT001
    assert exit_of("e", code, out_of_memory=oom) == expected


class TcpClient:
    """As much of docker.APIClient as the streams look at."""

    api_version = "1.41"
    verify = True
    cert = None

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}"

    def get_adapter(self, url: str) -> object:
        return url


def talk(answer: bytes) -> tuple[bytes, list[bytes]]:
    """Attach to a daemon that gives this answer; its request, and the output read."""
    heads: list[bytes] = []
    output: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            streams = DaemonStreams(TcpClient(server.sockets[0].getsockname()[1]))
            await pump(await streams.attach("c1"), output.append)

    asyncio.run(main())
    return heads[0], output


def test_output_of_a_daemon_over_tcp_is_read() -> None:
    head, output = talk(b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n" + frame(1, b"hello"))
    assert head.startswith(b"POST /v1.41/containers/c1/attach?stream=1&stdout=1&stderr=1 HTTP/1.1")
    assert b"".join(output) == b"hello"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 404 Not Found\r\n\r\n", b"HTTP/1.1", b""])
def test_refused_attach_is_told(answer: bytes) -> None:
    with pytest.raises(Exception, match=r"Docker (refused|closed)"):
        talk(answer)

"""Reading pipes: everything, in order, whatever is written when, and without a look per line."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.output_pipe import CHUNK, NamedPipes, OutputPipe

PATIENCE_S = 20.0


def reading(test: Callable[[OutputPipe, int, list[bytes]], Awaitable[None]]) -> list[bytes]:
    """Run a test with a pipe, its writing end and what was delivered; the latter."""
    got: list[bytes] = []

    async def main() -> None:
        reading_end, writing_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reading_end, False)
        pipe = OutputPipe(reading_end, got.append)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await test(pipe, writing_end, got)
        finally:
            pipe.close()

    asyncio.run(main())
    return got


def test_everything_arrives_in_order_and_the_end_is_told() -> None:
    sent = b"".join(b"%d\n" % number for number in range(200_000))

    def write(end: int) -> None:
        with os.fdopen(end, "wb", buffering=0) as file:
            rest = memoryview(sent)
            while rest:
                rest = rest[file.write(rest[:50_000]) or 0 :]

    async def main(pipe: OutputPipe, end: int, _: list[bytes]) -> None:
        writer = threading.Thread(target=write, args=(end,))
        writer.start()
        await pipe.ended.wait()
        writer.join()

    assert b"".join(reading(main)) == sent


def test_many_small_writes_are_few_deliveries() -> None:
    async def main(pipe: OutputPipe, end: int, got: list[bytes]) -> None:
        for _ in range(500):
            os.write(end, b"line\n")
            await asyncio.sleep(0)
        os.close(end)
        await pipe.ended.wait()
        assert got

    got = reading(main)
    assert b"".join(got) == b"line\n" * 500
    assert len(got) < 250


def test_the_first_after_a_pause_is_read_at_once_and_the_next_when_collected() -> None:
    async def main(pipe: OutputPipe, end: int, got: list[bytes]) -> None:
        os.write(end, b"first")
        while not got:
            await asyncio.sleep(0)
        os.write(end, b"second")
        pipe.collect()
        assert got == [b"first", b"second"]
        pipe.collect()
        assert len(got) == 2
        os.write(end, b"third")  # nobody collects it
        while len(got) < 3:
            await asyncio.sleep(0.001)
        os.close(end)
        await pipe.ended.wait()

    reading(main)


def test_a_full_pipe_is_emptied_without_pauses() -> None:
    async def main(pipe: OutputPipe, end: int, got: list[bytes]) -> None:
        os.set_blocking(end, False)
        for _ in range(20):
            size = 0
            while size < CHUNK:
                size += os.write(end, b"x" * (CHUNK - size))
            taken = sum(map(len, got))
            while sum(map(len, got)) < taken + CHUNK:
                await asyncio.sleep(0)
        os.close(end)
        await pipe.ended.wait()

    assert sum(map(len, reading(main))) == 20 * CHUNK


def test_a_closed_pipe_delivers_nothing_more() -> None:
    async def main(pipe: OutputPipe, end: int, got: list[bytes]) -> None:
        os.write(end, b"lost")
        pipe.close()
        pipe.close()
        pipe.collect()
        await asyncio.sleep(0)
        os.close(end)
        assert got == []

    reading(main)


def test_named_pipes_are_for_writing_and_leave_nothing(tmp_path: Path) -> None:
    root = tmp_path / "outputs"
    root.mkdir()
    (root / "left").touch()
    pipes = NamedPipes(root)
    assert list(root.iterdir()) == []
    descriptor = pipes.open("one")
    assert pipes.path("one").stat().st_mode & 0o777 == 0o622
    with pytest.raises(SandboxError, match="could not be made"):
        pipes.open("nowhere/one")
    with pytest.raises(SandboxError, match="could not be made"):
        pipes.open("one")
    assert pipes.path("one").exists()
    os.close(descriptor)
    pipes.drop("one")
    pipes.drop("one")
    assert list(root.iterdir()) == []

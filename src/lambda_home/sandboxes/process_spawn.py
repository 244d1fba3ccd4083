"""Starting a process with the file descriptors that it needs, and none too many."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

# Most of what bwrap tells about itself, in bytes.
_INFO = 4096


async def spawn(
    words: list[str], variables: dict[str, str], shared: tuple[int, ...], cwd: str | None
) -> tuple[asyncio.subprocess.Process, int]:
    """Start a program whose output and errors come through one pipe; returns its reading end."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(reading, False)
    try:
        process = await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            env=variables,
            cwd=cwd,
            pass_fds=shared,
            start_new_session=True,
        )
    except BaseException:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return process, reading


@contextmanager
def readable(text: str) -> Iterator[int]:
    """A file descriptor from which `text` can be read once."""
    descriptor = os.memfd_create("lambda-home", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class Pipe:
    """Two ends, each closed once; -1 when closed."""

    reading: int
    writing: int

    def close_writing(self) -> None:
        """Close our copy of the writing end."""
        if self.writing >= 0:
            os.close(self.writing)
            self.writing = -1


@contextmanager
def pipe() -> Iterator[Pipe]:
    """A pipe that is closed afterwards."""
    made = Pipe(*os.pipe2(os.O_CLOEXEC))
    try:
        yield made
    finally:
        made.close_writing()
        os.close(made.reading)


async def child_pid(info: Pipe) -> int | None:
    """The process that bwrap made inside, from its info descriptor; None if bwrap failed."""
    info.close_writing()
    told = await asyncio.to_thread(_read_all, info.reading)
    with suppress(ValueError, KeyError):
        return int(json.loads(told)["child-pid"])
    return None


def _read_all(descriptor: int) -> bytes:
    """Read to the end: bwrap writes in pieces, and dies if nobody reads the last."""
    told = b""
    while piece := os.read(descriptor, _INFO):
        told += piece
    return told

"""Starting a process with the file descriptors that it needs, and none too many."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager


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

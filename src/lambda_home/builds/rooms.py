"""Where the steps of a build run: what a sandbox has to be, and how its output is followed."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lambda_home.builds.diagnosis import Stop

PROCESSES = 1024
_CHUNK = 1 << 16
_TICK_S = 0.1
_MOST_AFTER_END = 64
"""Chunks that are still read once a program has ended: others may hold its pipe open for ever."""

Sink = Callable[[bytes], None]
Stopping = Callable[[], Stop | None]
"""Asked ten times a second whether a step must end, and why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a build may use: memory, /tmp and disk in MB."""

    memory_mb: int
    tmp_mb: int
    disk_mb: int


@dataclass(frozen=True, slots=True)
class Ground:
    """The folders of one build on this machine, by where its programs see them."""

    id: str
    writable: Mapping[str, Path]
    read_only: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a step ended: the program's exit code, or why it was stopped."""

    code: int
    stop: Stop | None = None


class Room(Protocol):
    """A sandbox for the steps of one build, one after the other."""

    place: str
    """For people: "this machine", or an image's name."""
    note: str
    """What is to be said in the log; empty for nothing."""

    def run(
        self, words: Sequence[str], variables: Mapping[str, str], sink: Sink, stopping: Stopping
    ) -> Ended:
        """Run one program to its end; nothing of it is left. Raises SandboxError."""

    def close(self) -> None:
        """The build is over."""


class Rooms(Protocol):
    """A kind of sandbox."""

    name: str

    def open(self, ground: Ground, runtime: str) -> Room:
        """A room for a build of a runtime, empty for none in particular. Raises SandboxError."""

    def close(self) -> None:
        """The server stops; no room is open any more."""


def follow(
    descriptor: int, has_ended: Callable[[], bool], stopping: Stopping, sink: Sink
) -> Stop | None:
    """Pass on what is written to a pipe until its program ends, or must end; says why it must."""
    quiet = False
    while not has_ended():
        why = stopping()
        if why is not None:
            return why
        if quiet:
            time.sleep(_TICK_S / 5)
        elif select.select([descriptor], [], [], _TICK_S)[0]:
            quiet = not _pass_on(descriptor, sink)
    for _ in range(_MOST_AFTER_END):
        if quiet or not _pass_on(descriptor, sink):
            break
    return None


def _pass_on(descriptor: int, sink: Sink) -> bool:
    """Read once; False if there is nothing."""
    try:
        chunk = os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return False
    if chunk:
        sink(chunk)
    return bool(chunk)

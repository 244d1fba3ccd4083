"""Reads the kernel's process table (/proc) and signals processes found there.

Everything here tolerates processes that end meanwhile: what is gone is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_PROC = Path("/proc")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024
_START_TIME_FIELD = 19  # of what follows the command name: field 22 of proc(5)'s stat
_STATE_FIELD = 0


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (OSError, ValueError):
        return None
    return text.rpartition(")")[2].split()


def start_time(pid: int) -> int | None:
    """When a process started (clock ticks since boot): with its pid, its identity."""
    fields = _stat(pid)
    return None if fields is None else int(fields[_START_TIME_FIELD])


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and only waits for its parent to notice (or is gone)."""
    fields = _stat(pid)
    return fields is None or fields[_STATE_FIELD] in {"Z", "X"}


def children(pid: int) -> tuple[int, ...]:
    """Pids of a process's own children, those of all its threads."""
    found: list[int] = []
    try:
        for task in (_PROC / str(pid) / "task").iterdir():
            found.extend(map(int, (task / "children").read_text().split()))
    except OSError:
        pass
    return tuple(found)


def descendants(pid: int) -> tuple[int, ...]:
    """Pids below a process, parents before children, without itself."""
    found = list(children(pid))
    for one in found:
        found.extend(children(one))
    return tuple(found)


def _pids() -> Iterator[int]:
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            yield int(entry.name)


def owned_by(uid: int) -> tuple[int, ...]:
    """Pids of all processes of a user id."""
    found = []
    for pid in _pids():
        try:
            if (_PROC / str(pid)).stat().st_uid == uid:
                found.append(pid)
        except OSError:
            continue
    return tuple(pid for pid in found if not is_zombie(pid))


def values_of(variable: str) -> dict[int, str]:
    """The value of an environment variable in each process that was started with it, by pid."""
    start = f"{variable}=".encode()
    found: dict[int, str] = {}
    for pid in _pids():
        try:
            entries = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for entry in entries:
            if entry.startswith(start):
                found[pid] = entry.removeprefix(start).decode(errors="replace")
                break
    return found


def carrying(variable: str) -> tuple[int, ...]:
    """Pids of processes that were started with the environment entry `variable` (NAME=value)."""
    name, _, wanted = variable.partition("=")
    return tuple(pid for pid, value in values_of(name).items() if value == wanted)


def resident_kib(pids: Iterable[int]) -> int:
    """Resident memory of processes, added up (shared pages count once each)."""
    pages = 0
    for pid in pids:
        try:
            pages += int((_PROC / str(pid) / "statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
    return pages * _PAGE_KIB


def send(pids: Iterable[int], signal_number: int) -> None:
    """Signal processes; one that is gone is no error."""
    for pid in pids:
        try:
            os.kill(pid, signal_number)
        except (ProcessLookupError, PermissionError):
            continue

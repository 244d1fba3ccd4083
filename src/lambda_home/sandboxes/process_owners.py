"""Whose a sandboxed process is: the server that started it, and the user that it runs as.

Everything that outlives a killed server carries the server's name (pid, start time, pid namespace):
control groups and temporary folders in their own names, processes in a variable. `reap` finds them
by it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog

from lambda_home.sandboxes import process_table
from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.interpreters import Interpreter
from lambda_home.sandboxes.process_cgroups import Cgroups, Group

MARK = "_LAMBDA_HOME_ENVIRONMENT"
FOLDER_PREFIX = "lambda-home-tmp-"
# Nobody else hands out the first range (https://systemd.io/UIDS-GIDS/); the second is for machines
# that map only the 65,536 ids that a container usually has.
_UID_RANGES = (range(1_900_000_000, 1_900_065_536), range(60_600, 61_100))
_REMOVAL_TRIES, _REMOVAL_PAUSE_S = 1000, 0.002

_log = structlog.get_logger(__name__)


def name_here() -> str:
    """The name of this server among all that see the same process numbers."""
    pid = os.getpid()
    return f"{pid}.{process_table.start_time(pid)}"


def owner() -> str:
    """The name of this server, which no later one will have, nor one in another container."""
    return f"{name_here()}.{_namespace()}"


def is_dead(name: str) -> bool:
    """Whether `name` is that of a server that has ended.

    False if it is no server's name, or that of one in another pid namespace (pid_namespaces(7)):
    what its number means there cannot be told from here. A container's processes are seen from
    outside, and temporary folders may be shared.
    """
    pid, _, rest = name.partition(".")
    started, _, namespace = rest.partition(".")
    if not pid.isdecimal() or not started.isdecimal() or namespace not in {"", _namespace()}:
        return False
    return str(process_table.start_time(int(pid))) != started or process_table.is_zombie(int(pid))


def _namespace() -> str:
    """The number of the pid namespace; the same after every boot for that of the machine."""
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def private_folder(uid: int | None) -> Path:
    """Make an environment's own temporary folder, for that user if one is given."""
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{owner()}-"))
    if uid is not None:
        os.chown(folder, uid, uid)
    return folder


def shown_first(interpreter: Interpreter, folder: Path) -> Path:
    """A folder for PATH in which the runtime's interpreter has the name that bootstraps call."""
    shown = folder / "bin"
    shown.mkdir(mode=0o755)
    if interpreter.program:
        (shown / interpreter.program).symlink_to(interpreter.path)
    return shown


async def remove_group(group: Group) -> None:
    """Kill what is inside and remove the group; the kernel takes a moment to let go."""
    for _ in range(_REMOVAL_TRIES):
        group.kill()
        if group.remove():
            return
        await asyncio.sleep(_REMOVAL_PAUSE_S)
    _log.warning(
        "a control group could not be removed", folders=[*map(str, group.folders.values())]
    )


async def reap(cgroups: Cgroups) -> None:
    """Kill and remove what dead servers left: processes, control groups, temporary folders."""
    marked = process_table.values_of(MARK)
    left = [pid for pid, value in marked.items() if is_dead(value.partition("-")[0])]
    process_table.send(left, signal.SIGKILL)
    names = {folder.name for base in cgroups.bases.values() for folder in base.glob("*/")}
    for name in names:
        if is_dead(name.partition("-")[0]):
            folders = {controller: base / name for controller, base in cgroups.bases.items()}
            await remove_group(Group(cgroups.version, folders))
    await asyncio.to_thread(_remove_folders_of_dead)


def _remove_folders_of_dead() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        if is_dead(folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0]):
            shutil.rmtree(folder, ignore_errors=True)


class Uids:
    """Gives each environment a user id of its own, for a server that runs as root.

    Ids are not used again soon: the processes of the one before may take a moment to go. Two
    servers begin at random places, and an id that runs anything is left out.
    """

    def __init__(self, uid_map: str | None = None) -> None:
        text = Path("/proc/self/uid_map").read_text() if uid_map is None else uid_map
        self._range = _mapped(text)
        self._next = secrets.randbelow(len(self._range)) if self._range else 0
        self._used: set[int] = set()

    @property
    def all(self) -> range:
        """Every id that may be given out; servers of one machine share them."""
        return self._range

    def take(self) -> int:
        """An id that nobody uses. Raises SandboxError if there is none."""
        for uid in self._turn():
            if uid not in self._used and not process_table.owned_by(uid):
                self._used.add(uid)
                return uid
        raise SandboxError("No user id is free for another environment.")

    def give_back(self, uid: int | None) -> None:
        """Let others have it; None and unknown ones are no error."""
        self._used.discard(-1 if uid is None else uid)

    def _turn(self) -> Iterator[int]:
        for _ in self._range:
            self._next = (self._next + 1) % len(self._range)
            yield self._range[self._next]


def _mapped(uid_map: str) -> range:
    spans = [tuple(map(int, line.split())) for line in uid_map.splitlines()]

    def holds(wanted: range, spans: Iterable[tuple[int, ...]]) -> bool:
        return any(first <= wanted[0] and wanted[-1] < first + size for first, _, size in spans)

    return next((wanted for wanted in _UID_RANGES if holds(wanted, spans)), range(0))

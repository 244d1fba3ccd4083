"""The folders that spare environments see as task root and /opt, and filling them quickly.

An environment sees its own folders alone, read-only. A function's code and layers are put there as
hard links to what was unpacked: no bytes are copied, and what is linked belongs to the server and
is writable for nobody. Where links are not possible (another file system) files are copied.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from lambda_home.sandboxes.base import Prepared, SandboxError

# So many entries take about a millisecond; more go to a thread.
_AT_ONCE = 32
_TASK, _OPT, _LIB = "task", "opt", "lib"


@dataclass(frozen=True, slots=True)
class Folders:
    """What one spare sees as its task root and as /opt."""

    task: Path
    opt: Path


class TaskFolders:
    """Two folders per spare below `root`; making this object empties it."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        if self._root.exists():
            _remove(self._root)
        self._root.mkdir(parents=True)
        self._root.chmod(0o755)

    async def make(self, environment_id: str) -> Folders:
        """Folders as `sandboxes.base` describes those of a spare. Raises SandboxError."""
        home = self.path(environment_id)
        folders = Folders(home / _TASK, home / _OPT)
        try:
            for folder in (home, folders.task, folders.opt):
                folder.mkdir(exist_ok=True)
                folder.chmod(0o755)
            for folder in (folders.task, folders.opt):
                if not (folder / _LIB).is_symlink():
                    (folder / _LIB).symlink_to(".")
            (folders.task / environment_id).touch(0o444)
        except OSError as error:
            raise SandboxError(f"The folder of a spare could not be made: {error}") from error
        return folders

    async def fill(self, environment_id: str, package: Prepared) -> None:
        """Show an environment its code and layers. Raises SandboxError."""
        home = f"{self._root}/{environment_id}"
        task, opt = f"{home}/{_TASK}", f"{home}/{_OPT}"
        try:
            # A link goes in 9 microseconds, a folder in 64.
            for name in (f"{task}/{environment_id}", f"{task}/{_LIB}", f"{opt}/{_LIB}"):
                os.unlink(name)  # noqa: PTH108
            await _show(package.code, task)
            if package.opt:
                await _show(package.opt, opt)
        except OSError as error:
            raise SandboxError(f"The code could not be placed: {error}") from error

    async def drop(self, environment_id: str) -> None:
        """Remove an environment's folders; none is no error."""
        home = self.path(environment_id)
        if home.exists():
            await asyncio.to_thread(_remove, home)

    def path(self, environment_id: str) -> Path:
        """Where an environment's folders lie."""
        return self._root / environment_id


async def _show(source: str, target: str) -> None:
    entries = list(os.scandir(source))
    flat = not any(entry.is_dir(follow_symlinks=False) for entry in entries)
    if flat and len(entries) <= _AT_ONCE:
        _fill(entries, target)
    else:
        await asyncio.to_thread(_fill, entries, target)


def _fill(entries: list[os.DirEntry[str]], target: str) -> None:
    for entry in entries:
        place = os.path.join(target, entry.name)  # noqa: PTH118
        if entry.is_dir(follow_symlinks=False):
            os.mkdir(place, 0o755)  # noqa: PTH102
            _fill(list(os.scandir(entry.path)), place)
        else:
            _link(entry.path, place)


def _link(source: str, place: str) -> None:
    try:
        os.link(source, place, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, place, follow_symlinks=False)


def _remove(folder: Path) -> None:
    for inner, _, _ in os.walk(folder):
        os.chmod(inner, 0o700)  # noqa: PTH101
    shutil.rmtree(folder, ignore_errors=True)

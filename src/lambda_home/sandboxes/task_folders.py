"""The folders that spare environments see as their task root, and filling them quickly.

An environment sees its own folder alone, read-only. A function's code is put there as hard links to
the unpacked package: no bytes are copied, and what is linked belongs to the server and is writable
for nobody. Where links are not possible (another file system) files are copied.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from lambda_home.sandboxes.base import SandboxError

# So many entries take about a millisecond; more go to a thread.
_AT_ONCE = 32


class TaskFolders:
    """One folder per spare below `root`; making this object empties it."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        if self._root.exists():
            _remove(self._root)
        self._root.mkdir(parents=True)
        self._root.chmod(0o755)

    async def make(self, environment_id: str) -> Path:
        """An empty folder but for the file `environment_id`. Raises SandboxError."""
        folder = self.path(environment_id)
        try:
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
            (folder / environment_id).touch(0o444)
        except OSError as error:
            raise SandboxError(f"The folder of a spare could not be made: {error}") from error
        return folder

    async def fill(self, environment_id: str, source: str) -> None:
        """Show what is in `source` in the environment's folder. Raises SandboxError."""
        folder = str(self.path(environment_id))
        try:
            os.unlink(os.path.join(folder, environment_id))  # noqa: PTH108, PTH118  hot path
            entries = list(os.scandir(source))
            flat = not any(entry.is_dir(follow_symlinks=False) for entry in entries)
            if flat and len(entries) <= _AT_ONCE:
                _fill(entries, folder)
            else:
                await asyncio.to_thread(_fill, entries, folder)
        except OSError as error:
            raise SandboxError(f"The code could not be placed: {error}") from error

    async def drop(self, environment_id: str) -> None:
        """Remove an environment's folder; none is no error."""
        folder = self.path(environment_id)
        if folder.exists():
            await asyncio.to_thread(_remove, folder)

    def path(self, environment_id: str) -> Path:
        """Where an environment's folder lies."""
        return self._root / environment_id


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

"""Puts new files into a folder in the place of old ones, whole or not at all, by renaming.

What is replaced waits in `.replaced-*` until all that is new has its name; renaming that folder to
`.done-*` is the one moment when the new holds. Before the first new name it lists them in `.new`.
`settle`, after a crash, takes back what did not get so far.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from lambda_home.operations.files import private_file, sync_folder

_OLD, _DONE, _NEW = ".replaced-", ".done-", ".new"
STAGING = ".restore-"
"""How folders begin in which what is new is made; `settle` removes those of crashes."""


def replace(staging: Path, target: Path, going: Iterable[str]) -> None:
    """Move all of `staging` into `target`, in the place of what is there of the names `going`.

    Raises OSError, with `target` as it was before.
    """
    old = Path(tempfile.mkdtemp(prefix=_OLD, dir=target))
    try:
        for name in going:
            if (target / name).exists():
                (target / name).rename(old / name)
        sync_folder(target)
        placed = sorted(staging.iterdir())
        with private_file(old / f"{_NEW}.made") as file:
            file.write("\n".join(path.name for path in placed).encode())
        (old / f"{_NEW}.made").rename(old / _NEW)
        sync_folder(old)
        for path in placed:
            path.rename(target / path.name)
        sync_folder(target)
        old = old.rename(target / f"{_DONE}{old.name.removeprefix(_OLD)}")
        sync_folder(target)
    except OSError:
        _take_back(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def settle(target: Path) -> None:
    """Undo what a crash left half replaced, and remove what is over. Raises OSError."""
    for old in sorted(target.glob(f"{_OLD}*")):
        _take_back(old, target)
    for pattern in (f"{_DONE}*", f"{STAGING}*"):
        for left in target.glob(pattern):
            shutil.rmtree(left, ignore_errors=True)


def _take_back(old: Path, target: Path) -> None:
    (old / f"{_NEW}.made").unlink(missing_ok=True)
    if (old / _NEW).exists():
        for name in (old / _NEW).read_text().splitlines():
            _remove(target / name)
        (old / _NEW).unlink()  # from here on what has a name in the folder is the old
        sync_folder(old)
    for path in sorted(old.iterdir()):
        path.rename(target / path.name)
    sync_folder(target)
    old.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

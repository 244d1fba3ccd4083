"""Data directories: one server at a time, and none left behind by servers that were killed.

Whoever uses a directory holds a lock (flock(2)) on the file `.lock` in it, which the kernel gives
back however the holder ends. That also tells which temporary directories nobody needs any more.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lambda_home.errors import LambdaHomeError
from lambda_home.operations import replacing

LOCK_FILE = ".lock"
_PREFIX = "lambda-home-"
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_ADVICE = {
    errno.EROFS: "name a folder that can be written with --data-dir, or use --ephemeral",
    errno.EACCES: "name a folder of your own with --data-dir, or use --ephemeral",
    errno.EPERM: "name a folder of your own with --data-dir, or use --ephemeral",
    errno.ENOSPC: "make room on its disk",
    errno.EDQUOT: "make room in your quota",
    errno.ENOTDIR: "name a folder with --data-dir",
    errno.EEXIST: "name a folder with --data-dir",
}


class InUseError(LambdaHomeError):
    """Another server, or a restore, uses the data directory."""


def unusable(path: Path, error: OSError) -> LambdaHomeError:
    """The one line for a data directory that the system keeps from being used."""
    reason = error.strerror or type(error).__name__
    advice = _ADVICE.get(error.errno or 0, "name another with --data-dir")
    return LambdaHomeError(f"Cannot use the data directory {path}: {reason}; {advice}.")


def take(path: Path) -> int:
    """Make a data directory if there is none, and lock it; close the descriptor to let go.

    A restore that a crash cut off is undone. Raises InUseError, and LambdaHomeError if it cannot be
    used.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / LOCK_FILE, _FLAGS, 0o600)
    except OSError as error:
        raise unusable(path, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise InUseError(
            f"The data directory {path} is in use by another server: stop it, or give another"
            " directory with --data-dir."
        ) from error
    try:
        replacing.settle(path)
    except OSError as error:
        os.close(lock)
        raise unusable(path, error) from error
    return lock


@contextmanager
def taken(path: Path) -> Iterator[None]:
    """Hold the lock of a data directory. Raises as `take`."""
    lock = take(path)
    try:
        yield
    finally:
        os.close(lock)


def is_taken(path: Path) -> bool:
    """Whether somebody holds the lock; writes nothing."""
    try:
        lock = os.open(path / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def make_temporary() -> tuple[Path, int]:
    """A new data directory in the temporary folder, locked: close the descriptor to let go.

    Raises LambdaHomeError if there can be none.
    """
    try:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        beside = path / f"{LOCK_FILE}.new"
        lock = os.open(beside, _FLAGS, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        beside.rename(path / LOCK_FILE)  # locked before it has the name that others look for
    except OSError as error:
        raise unusable(Path(tempfile.gettempdir()), error) from error
    return path, lock


def clear_leftovers(folder: Path | None = None) -> list[Path]:
    """Remove the temporary data directories of servers that were killed; answers which."""
    root = Path(tempfile.gettempdir()) if folder is None else folder
    removed = []
    for path in sorted(root.glob(f"{_PREFIX}*")):
        with suppress(OSError):  # somebody else is faster, or it is not ours to open
            if _is_left(path):
                shutil.rmtree(path, ignore_errors=True)
                removed.append(path)
    return removed


def _is_left(path: Path) -> bool:
    """Whether a folder of ours has a lock that nobody holds; without one it is not judged."""
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return False
    lock = path / LOCK_FILE
    return stat.S_ISREG(lock.lstat().st_mode) and not is_taken(path)

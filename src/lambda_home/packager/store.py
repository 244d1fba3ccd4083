"""Deployment packages on disk, each under the SHA-256 of its bytes.

A package is either there in full or not at all, also after a power cut: it is written beside its
place, flushed, and renamed. One server owns the folder; its threads may use one store together.
All methods block on the disk, so an event loop calls them in a thread.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from lambda_home.errors import LambdaHomeError
from lambda_home.functions import Code
from lambda_home.packager.archive import Bytes, code_of

_KEY = re.compile(r"[0-9a-f]{64}")
_SUFFIX = ".zip"
_TEMPORARY = ".put-"


class CodeUnavailableError(LambdaHomeError):
    """A package is not in the store, or is damaged; the message says which."""


def is_key(name: str) -> bool:
    """True for 64 lower-case hex digits."""
    return _KEY.fullmatch(name) is not None


def checked_key(key: str) -> str:
    """The key itself. Raises ValueError if it is none, so that no key can name another path."""
    if not is_key(key):
        raise ValueError(f"not a code key: {key[:80]!r}")
    return key


class CodeStore:
    """Content-addressed packages below `root`, which is made if it is not there.

    `clock` gives seconds that never go back; it dates puts for `delete_except`.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._root = root
        self._clock = clock
        self._lock = threading.Lock()
        self._put_at: dict[str, float] = {}
        self._likes: dict[str, str] = {}
        root.mkdir(parents=True, exist_ok=True)
        for leftover in root.glob(f"{_TEMPORARY}*"):
            leftover.unlink(missing_ok=True)

    def put(self, data: Bytes, like: str = "") -> Code:
        """Keep a package; it survives a power cut from here on. The same bytes are kept once.

        `like` is the key of one that differs in little, for whoever unpacks it.
        """
        code = code_of(data)
        path = self.path(code.key)
        with self._lock:
            self._put_at[code.key] = self._clock()
            if like not in ("", code.key):
                self._likes[code.key] = like
        if not _has_size(path, code.size):
            self._write(path, data)
        return code

    def path(self, key: str) -> Path:
        """Where the package of that key lies, whether it is there or not."""
        return self._root / f"{checked_key(key)}{_SUFFIX}"

    def has(self, key: str) -> bool:
        """True if the package is there."""
        return self.path(key).is_file()

    def open(self, key: str) -> BinaryIO:
        """The package as an open file; it stays readable if it is deleted meanwhile.

        Raises CodeUnavailableError.
        """
        try:
            return self.path(key).open("rb")
        except FileNotFoundError:
            raise CodeUnavailableError(f"The code {key} is not in the store.") from None

    def read(self, key: str) -> bytes:
        """The package's bytes, checked against the key. Raises CodeUnavailableError."""
        with self.open(key) as package:
            data = package.read()
        if code_of(data).key != key:
            raise CodeUnavailableError(f"The code {key} is damaged in the store; deploy it again.")
        return data

    def resembled(self, key: str) -> str:
        """The key of a package that differs in little from that one; "" if none is known."""
        with self._lock:
            return self._likes.get(key, "")

    def release(self, key: str) -> None:
        """Whoever put a package does not need it any more: no grace for it."""
        with self._lock:
            self._put_at.pop(key, None)

    def delete_except(self, keys: frozenset[str], grace_s: float) -> frozenset[str]:
        """Delete every other package; returns the keys of the deleted.

        What this store was given in the last `grace_s` seconds stays: whoever put it may not have
        written down yet that it is needed. Nobody can be waiting so after a restart.
        """
        deleted = set()
        for path in self._root.glob(f"*{_SUFFIX}"):
            key = path.name.removesuffix(_SUFFIX)
            if key in keys or not is_key(key):
                continue
            with self._lock:  # a put says its name under the same lock before it looks for the file
                put_at = self._put_at.get(key)
                if put_at is not None and self._clock() - put_at < grace_s:
                    continue
                self._put_at.pop(key, None)
                self._likes.pop(key, None)
                path.unlink(missing_ok=True)
            deleted.add(key)
        return frozenset(deleted)

    def _write(self, path: Path, data: Bytes) -> None:
        handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=self._root)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False

"""What package managers keep from one build to the next: one folder for each kind of build.

A folder's name is `GROUP-CONTENT`: the group is the account, the runtime, the sandbox and the
manifest, or the cache key that was given; the content is that of the lock files. A build takes the
folder of its content, else the newest of its group, else an empty one, and has it for itself alone:
folders are moved, not shared, so that no two builds write to one, and none reads another account's.
What a killed build had is thrown away.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambda_home.packager.folder import remove_tree

_HEX = 24


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Which folder is wanted."""

    group: str
    content: str

    @classmethod
    def of(cls, group: Sequence[str], content: Iterable[str]) -> CacheKey:
        """The key of some words and texts."""
        return cls(_digest(group), _digest(content))


class BuildCache:
    """The folders below `root`, of at most `limit` bytes together; usable from several threads."""

    def __init__(self, root: Path, limit: int) -> None:
        self._root = root
        self._limit = limit
        self._lock = threading.Lock()
        root.mkdir(parents=True, exist_ok=True)

    def take(self, key: CacheKey, place: Path) -> str:
        """Move a folder to `place`, where there is none; says `exact`, `older` or `empty`."""
        with self._lock:
            exact = self._root / f"{key.group}-{key.content}"
            others = sorted(self._root.glob(f"{key.group}-*"), key=_age, reverse=True)
            for found in (exact, *others):
                try:
                    found.rename(place)
                except OSError:
                    continue
                return "exact" if found == exact else "older"
        place.mkdir()
        return "empty"

    def give_back(self, key: CacheKey, place: Path) -> None:
        """Move the folder back; one that another build gave back meanwhile stays, this one goes."""
        size = size_of(place)
        target = self._root / f"{key.group}-{key.content}"
        with self._lock:
            if size and size <= self._limit and not target.exists():
                place.rename(target)
                os.utime(target)
            self._make_room()
        if place.exists():
            remove_tree(place)

    def _make_room(self) -> None:
        """Throw the oldest away until the rest fits."""
        left = self._limit
        for folder in sorted(self._root.iterdir(), key=_age, reverse=True):
            left -= size_of(folder)
            if left < 0:
                shutil.rmtree(folder, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Bytes on the disk of all files below a folder; what goes away meanwhile does not count."""
    total = 0
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return total


def _age(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _digest(words: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for word in words:
        digest.update(word.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()[:_HEX]

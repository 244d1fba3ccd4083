"""Packages unpacked to folders, for sandboxes that run processes of this machine.

The layers of a list are unpacked into one folder, which all functions with that list share.

A folder is unpacked beside its place and renamed, so it is there in full or not at all. Folders are
read-only and readable for everyone, because functions run as another user.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from lambda_home.errors import ApiError
from lambda_home.functions import layers_key
from lambda_home.packager.archive import Bytes, Entry, Kind, content, inspect
from lambda_home.packager.layers import Piece, merged
from lambda_home.packager.store import CodeStore, CodeUnavailableError, checked_key, is_key
from lambda_home.sandboxes.base import NotNowError, Package, Prepared, SandboxError

_UNPACKING = ".unpacking-"
_DISCARDED = ".discarded-"
_BOOT = ".boot"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE_BITS = 0o222
# Linking so many entries takes some 20 ms; beyond, a start of its own is as quick.
_MOST_PLACED = 2000


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A folder that was unpacked read-only before, and the files that were."""

    folder: str
    files: Mapping[str, Entry]

    def link(self, root: int, entry: Entry) -> bool:
        """Put the same file into another folder as a hard link; False if it is another."""
        known = self.files.get(entry.path)
        if known is None or _face(known) != _face(entry):
            return False
        source = f"{self.folder}/{entry.path}"
        try:
            os.link(source, entry.path, dst_dir_fd=root, follow_symlinks=False)
        except OSError:  # too many links, or it has gone
            return False
        return True


def extract(
    pieces: Sequence[Piece],
    target_dir: Path,
    *,
    read_only: bool = False,
    like: Unpacked | None = None,
) -> None:
    """Unpack into `target_dir`, an empty folder that nobody else can write to.

    Links are made last, so that no write can go through one. With `read_only` nobody gets the
    right to write, and what is as in `like` is no copy of its own.

    Raises InvalidParameterValueException where the contents belie their headers, and OSError;
    after any error `target_dir` is gone. ValueError says that it was not empty.
    """
    masked = _WRITE_BITS if read_only else 0
    if target_dir.is_symlink() or any(target_dir.iterdir()):
        raise ValueError(f"not an empty folder: {target_dir}")
    try:
        root = os.open(target_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            _fill(root, pieces, masked, like if read_only else None)
        finally:
            os.close(root)
    except BaseException:
        remove_tree(target_dir)
        raise


def remove_tree(path: Path) -> None:
    """Delete a folder that may be read-only, with everything in it; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return
    for folder, _, _ in os.walk(path):
        os.chmod(folder, 0o700)  # noqa: PTH101 - walk yields strings and never enters a link
    shutil.rmtree(path)


class FolderPreparer:
    """The CodePreparer of the process sandbox: `root`/<key> holds what was unpacked.

    The key is that of the code, or of a list of layers.

    `check_runtime` raises SandboxError for a runtime that cannot run here; it is asked first, so
    that a missing interpreter is told while the function is being made. Making the preparer blocks
    on the disk: it deletes what an interrupted unpacking left, and all folders that an operating
    system wrote which has been restarted since (they were never flushed to the disk).
    """

    def __init__(self, store: CodeStore, root: Path, check_runtime: Callable[[str], None]) -> None:
        self._store = store
        self._root = root
        self._check_runtime = check_runtime
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._sizes: dict[str, int] = {}
        self._latest: tuple[str, Mapping[str, Entry]] = ("", {})
        root.mkdir(parents=True, exist_ok=True)
        root.chmod(0o755)
        boot_id = _boot_id()
        stale = _read(root / _BOOT) != boot_id
        for path in root.iterdir():
            if path.is_dir() and (stale or path.name.startswith(".")):
                remove_tree(path)
        (root / _BOOT).write_text(boot_id)

    async def prepare(self, package: Package) -> Prepared:
        """The folders with the unpacked package. Raises SandboxError."""
        self._check_runtime(package.runtime)
        code = await self._folder(checked_key(package.code_key), (package.code_key,))
        if not package.layer_keys:
            return Prepared(code)
        opt = await self._folder(layers_key(package.layer_keys), package.layer_keys)
        return Prepared(code, opt, extensions=external_extensions(opt))

    async def unpack(self, package: Package) -> Prepared | None:
        """The same folders; None if they have too many entries to be placed quickly."""
        prepared = await self.prepare(package)
        size = await self._size(package.code_key, prepared.code)
        if prepared.opt:
            size += await self._size(layers_key(package.layer_keys), prepared.opt)
        return prepared if size <= _MOST_PLACED else None

    async def discard_except(self, code_keys: frozenset[str]) -> None:
        """Delete the folders of all other code, save those being prepared at this moment.

        They lose their names before anything is awaited: what is prepared from then on is prepared
        anew, though the caller did not know of it.
        """
        doomed = self._set_aside(code_keys | frozenset(self._locks))
        for folder in doomed:
            await asyncio.to_thread(remove_tree, folder)

    async def _folder(self, key: str, zips: tuple[str, ...]) -> str:
        folder = self._root / key
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            if not os.path.isdir(folder):  # noqa: ASYNC240, PTH112 - one stat, no wait
                await asyncio.to_thread(self._unpack, zips, folder)
        return str(folder)

    async def _size(self, key: str, folder: str) -> int:
        size = self._sizes.get(key)
        if size is None:
            size = self._sizes[key] = await asyncio.to_thread(_entries, folder)
        return size

    def _unpack(self, zips: tuple[str, ...], folder: Path) -> None:
        unfinished = None
        try:
            found = contents(self._store, zips)
            like = self._resembled(zips)
            unfinished = Path(tempfile.mkdtemp(prefix=_UNPACKING, dir=self._root))
            extract(found, unfinished, read_only=True, like=like)
            unfinished.rename(folder)
            if like is not None:  # the next one is like this one
                self._latest = (folder.name, _files(piece.entry for piece in found))
        except (ApiError, CodeUnavailableError) as error:
            raise SandboxError(f"Cannot unpack the code: {error}") from error
        except OSError as error:
            if unfinished is not None:
                remove_tree(unfinished)
            if not folder.is_dir():  # else an unpacking whose waiter gave up was faster
                raise NotNowError(f"Cannot unpack the code: {error}") from error

    def _resembled(self, zips: tuple[str, ...]) -> Unpacked | None:
        """What was unpacked before of a package that differs in little."""
        like = self._store.resembled(zips[0]) if len(zips) == 1 else ""
        folder = self._root / like
        if not like or not folder.is_dir():
            return None
        if self._latest[0] == like:
            return Unpacked(str(folder), self._latest[1])
        try:
            return Unpacked(str(folder), _files(inspect(self._store.read(like)).entries))
        except (ApiError, CodeUnavailableError, OSError):
            return None

    def _set_aside(self, keep: frozenset[str]) -> list[Path]:
        self._sizes = {key: size for key, size in self._sizes.items() if key in keep}
        going = [Path(f) for f in os.scandir(self._root) if f.name not in keep and is_key(f.name)]
        mark = f"{_DISCARDED}{secrets.token_hex(4)}-"
        return [path.rename(path.with_name(f"{mark}{path.name}")) for path in going]


def external_extensions(opt: str) -> tuple[str, ...]:
    """The names of the files in `extensions` of a folder for /opt: each is to be started."""
    try:
        found = list(os.scandir(f"{opt}/extensions"))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(sorted(e.name for e in found if not e.is_dir(follow_symlinks=False)))


def extensions_among(pieces: Sequence[Piece]) -> tuple[str, ...]:
    """The same of what is to be unpacked to /opt."""
    files = (p.entry.path for p in pieces if p.entry.kind is not Kind.DIRECTORY)
    named = (path.removeprefix("extensions/") for path in files if path.startswith("extensions/"))
    return tuple(sorted(name for name in named if "/" not in name))


def contents(store: CodeStore, keys: Sequence[str]) -> list[Piece]:
    """What one ZIP of the store holds, or several unzipped one over the other.

    Raises CodeUnavailableError, and InvalidParameterValueException for what may not be unpacked.
    """
    datas = [store.read(key) for key in keys]
    return merged([(inspect(data), data) for data in datas])


def _files(entries: Iterable[Entry]) -> dict[str, Entry]:
    return {entry.path: entry for entry in entries if entry.kind is Kind.FILE}


def _face(entry: Entry) -> tuple[object, ...]:
    """What two files that are the same have in common."""
    return entry.kind, entry.mode, entry.size, entry.modified, entry.crc


def _fill(root: int, pieces: Sequence[Piece], masked: int, like: Unpacked | None) -> None:
    entries = [piece.entry for piece in pieces]
    directories = [entry for entry in entries if entry.kind is Kind.DIRECTORY]
    for entry in directories:
        os.mkdir(entry.path, 0o700, dir_fd=root)
    for piece in pieces:
        if piece.entry.kind is Kind.FILE and not (like and like.link(root, piece.entry)):
            _write_file(root, piece.entry, piece.data, piece.entry.mode & ~masked)
    for entry in entries:
        if entry.kind is Kind.SYMLINK:
            os.symlink(entry.target, entry.path, dir_fd=root)
    for entry in reversed(directories):  # children first: times and rights change last
        os.utime(entry.path, (entry.modified, entry.modified), dir_fd=root)
        os.chmod(entry.path, entry.mode & ~masked, dir_fd=root)
    os.fchmod(root, 0o755 & ~masked)


def _write_file(root: int, entry: Entry, data: Bytes, mode: int) -> None:
    file = os.open(entry.path, _NEW_FILE, 0o600, dir_fd=root)
    try:
        for chunk in content(entry, data):
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(file, rest) :]
        os.fchmod(file, mode)
        os.utime(file, (entry.modified, entry.modified))
    finally:
        os.close(file)


def _entries(folder: str) -> int:
    return sum(len(folders) + len(files) for _, folders, files in os.walk(folder))


def _boot_id() -> str:
    """What differs after each start of the operating system; a new value each time if unknown."""
    return _read(_BOOT_ID) or os.urandom(16).hex()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

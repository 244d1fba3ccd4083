"""A folder as a deployment package: the same files always give the same bytes.

Nothing outside the folder is read, whatever happens to it meanwhile: it is opened once, its real
place is asked of the kernel, and from there no name is followed through a link. Links are kept as
links, and refused where they lead out. Entries are stored, not compressed: that takes a tenth of
the time, and who waits for a reload has the disk beside him. Files that have not changed since the
last time are not read again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lambda_home.errors import InvalidParameterValueException
from lambda_home.functions import UNZIPPED_LIMIT
from lambda_home.hot_reload.folders import FolderRules, link_target
from lambda_home.hot_reload.stored_zip import Part, written
from lambda_home.packager.ignoring import IgnoreRules

IGNORE_FILE = ".lambdaignore"
MOST_FILES = 50_000
_MOST_RULES = 1024 * 1024  # bytes of an ignore file
_MOST_KEPT = 64 * 1024 * 1024  # bytes of a package that is kept for the next time
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# A file that changed so lately (ns) may change again without its times telling.
_SETTLED_NS = 2_000_000_000
_LONG_PATH = 1024


class UnsettledError(Exception):
    """A file changed, came or went while it was read: look again in a moment."""


Face = tuple[int, ...]
"""What tells two states of a file apart without reading it."""


@dataclass(frozen=True, slots=True)
class Known:
    """One file at the time of a snapshot: where its bytes are in the package."""

    face: Face
    start: int
    size: int
    mode: int
    crc: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The folder's real path, and its files as a ZIP.

    `plain`: nothing in it needs a second look, as links and very long names do.
    """

    folder: str
    package: bytes
    plain: bool = True
    known: Mapping[str, Known] = field(default_factory=dict)


def ignore_rules(folder: str, patterns: tuple[str, ...]) -> IgnoreRules:
    """The patterns of the settings, and those of the folder's own `.lambdaignore`."""
    lines: list[str] = []
    try:
        file = os.open(Path(folder) / IGNORE_FILE, _FILE)
    except OSError:
        return IgnoreRules(patterns)
    with os.fdopen(file, "rb") as ignore_file:
        if stat.S_ISREG(os.fstat(file).st_mode):
            lines = ignore_file.read(_MOST_RULES).decode(errors="replace").splitlines()
    return IgnoreRules([*patterns, f"/{IGNORE_FILE}", *lines])


def take(
    asked: str,
    rules: FolderRules,
    patterns: tuple[str, ...],
    before: Snapshot | None = None,
    now_ns: int = 0,
) -> Snapshot:
    """Read a folder as it is now, at `now_ns` (since the epoch), by what was there `before`.

    Raises InvalidParameterValueException for one that may not be read, or is no package, and
    UnsettledError for one that is just being written.
    """
    root, real = _opened(asked, rules)
    try:
        reading = _Reading(asked, real, before if before and before.folder == real else None)
        for name, parent, entry in _below(root, "", ignore_rules(real, patterns)):
            reading.add(name, parent, entry)
    except FileNotFoundError as error:
        raise UnsettledError(str(error)) from error
    except OSError as error:
        raise InvalidParameterValueException(
            f"{error.filename or asked} cannot be read: {error.strerror}."
        ) from error
    finally:
        os.close(root)
    return reading.whole(now_ns)


class _Reading:
    """What is found of a folder so far."""

    def __init__(self, asked: str, real: str, before: Snapshot | None) -> None:
        self._asked = asked
        self._real = real
        self._known = before.known if before else {}
        self._package = memoryview(before.package if before else b"")
        self._parts: list[Part] = []
        self._faces: list[Face] = []
        self._size = 0
        self._plain = True

    def add(self, name: str, parent: int, entry: os.DirEntry[str]) -> None:
        """Take one more file or link. Raises as `take`, and OSError."""
        face = _face(entry.stat(follow_symlinks=False))
        known = self._known.get(name)
        if known is not None and known.face == face:
            content = self._package[known.start : known.start + known.size]
            part = Part(name, known.mode, content, known.crc)
        else:
            mode, read = _content(name, parent, entry, self._real)
            part = _part(name, mode, read)
        self._parts.append(part)
        self._faces.append(face)
        self._size += len(part.content)
        self._plain = self._plain and stat.S_ISREG(part.mode) and len(name) < _LONG_PATH
        if self._size >= UNZIPPED_LIMIT or len(self._parts) > MOST_FILES:
            raise InvalidParameterValueException(
                f"{self._asked} has more than Lambda takes ({UNZIPPED_LIMIT} bytes) or"
                f" {MOST_FILES} files: leave some out with {IGNORE_FILE}, or move them to a layer."
            )

    def whole(self, now_ns: int) -> Snapshot:
        """All of it. Raises InvalidParameterValueException if that is nothing."""
        if not self._parts:
            raise InvalidParameterValueException(
                f"There is nothing to run in {self._asked}: no file, or all are left out."
            )
        package, starts = written(self._parts)
        known = {}
        if len(package) <= _MOST_KEPT:
            for part, face, start in zip(self._parts, self._faces, starts, strict=True):
                if stat.S_ISREG(part.mode) and max(face[-2:]) < now_ns - _SETTLED_NS:
                    size = len(part.content)
                    known[part.name] = Known(face, start, size, part.mode, part.crc)
        return Snapshot(self._real, package, self._plain, known)


def _opened(asked: str, rules: FolderRules) -> tuple[int, str]:
    """A descriptor of the folder, and its real path, checked."""
    try:
        root = os.open(asked, _FOLDER)
    except OSError as error:
        rules.check(os.path.realpath(asked), asked)  # no word about what may not be read
        raise InvalidParameterValueException(
            f"The folder {asked} for hot reload cannot be read: {error.strerror}."
        ) from error
    try:
        real = _path_of(root, asked)
        rules.check(real, asked)
    except BaseException:
        os.close(root)
        raise
    return root, real


def _path_of(descriptor: int, asked: str) -> str:
    """Where an open folder really lies: by the kernel where it tells, else by its name."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
    except OSError:
        return os.path.realpath(asked)


def _below(
    folder: int, prefix: str, ignored: IgnoreRules
) -> Iterator[tuple[str, int, os.DirEntry[str]]]:
    """Files and links, sorted: name in the package, descriptor of the parent, entry."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = prefix + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if ignored.ignores(name, is_folder=is_folder):
            continue
        if not is_folder:
            yield name, folder, entry
            continue
        inner = os.open(entry.name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
        try:
            yield from _below(inner, f"{name}/", ignored)
        finally:
            os.close(inner)


def _face(found: os.stat_result) -> Face:
    """The times come last."""
    numbers = (found.st_dev, found.st_ino, found.st_size, found.st_mode)
    return (*numbers, found.st_mtime_ns, found.st_ctime_ns)


def _content(name: str, parent: int, entry: os.DirEntry[str], folder: str) -> tuple[int, bytes]:
    """Mode and bytes of a file; of a link, where it leads."""
    if entry.is_symlink():
        target = os.readlink(entry.name, dir_fd=parent)
        inside = link_target(name, target, folder)
        if inside is None:
            raise InvalidParameterValueException(
                f"The link {name} leads out of the folder, to {target}: copy what it means, or"
                f" name it in {IGNORE_FILE}."
            )
        return stat.S_IFLNK | 0o777, os.fsencode(inside)
    if not entry.is_file(follow_symlinks=False):
        raise InvalidParameterValueException(
            f"{name} is neither a file nor a folder: name it in {IGNORE_FILE}."
        )
    file = os.open(entry.name, _FILE, dir_fd=parent)
    with os.fdopen(file, "rb") as opened:
        before = os.fstat(file)
        content = opened.read(UNZIPPED_LIMIT + 1)
        after = os.fstat(file)
    if _face(before) != _face(after):
        raise UnsettledError(name)
    runs = before.st_mode & stat.S_IXUSR
    return stat.S_IFREG | (0o755 if runs else 0o644), content


def _part(name: str, mode: int, content: bytes) -> Part:
    try:
        return Part.of(name, mode, content)
    except UnicodeEncodeError:
        raise InvalidParameterValueException(
            f"The file name {name!r} is not UTF-8: rename it, or name it in {IGNORE_FILE}."
        ) from None

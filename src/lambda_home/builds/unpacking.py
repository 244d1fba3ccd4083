"""Uploaded sources, unpacked: a ZIP, or a tar that was compressed by gzip.

A tar is held to the rules of ZIPs by being made one first: no name climbs, no link leads out.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from lambda_home.builds.trees import PlanError, Tree
from lambda_home.errors import ApiError
from lambda_home.functions import UNZIPPED_LIMIT
from lambda_home.packager.archive import (
    MAX_ENTRIES,
    UNZIPPED_TOO_LARGE,
    check_contents,
    inspect,
)
from lambda_home.packager.folder import extract
from lambda_home.packager.layers import merged

_ZIP, _GZIP = b"PK", b"\x1f\x8b"
_HEADERS = 64 * 1024 * 1024
_TEXT_LIMIT = 4 * 1024 * 1024
_NEVER_LOOKED_INTO = frozenset({".git", "__pycache__"})


def is_archive(data: bytes) -> bool:
    """Whether bytes begin as an archive that can be unpacked here."""
    return data.startswith((_ZIP, _GZIP))


def unpack(data: bytes, folder: Path) -> None:
    """Unpack an archive into an empty folder. Raises PlanError, in one line; OSError."""
    if data.startswith(_GZIP):
        data = _zip_of_tar(data)
    elif not data.startswith(_ZIP):
        raise PlanError("The sources are neither a ZIP nor a tar.gz.")
    try:
        archive = inspect(data)
        check_contents(archive, data)
        extract(merged([(archive, data)]), folder)
    except ApiError as error:
        raise PlanError(f"The sources cannot be unpacked: {error.message}") from error


def tree_of(folder: Path) -> Tree:
    """The regular files of a folder. Links are not followed, neither to files nor to folders."""
    names = frozenset(_regular_files(folder))

    def read(name: str) -> str:
        if name not in names:
            raise PlanError(f"There is no {name}.")
        file = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(file, "rb") as opened:
            return opened.read(_TEXT_LIMIT).decode("utf-8", "replace")

    return Tree(names, read)


def _regular_files(folder: Path) -> Iterator[str]:
    base = str(folder)
    for where, folders, files in os.walk(base):
        folders[:] = [name for name in folders if name not in _NEVER_LOOKED_INTO]
        prefix = os.path.relpath(where, base)
        for name in files:
            path = os.path.join(where, name)  # noqa: PTH118  a hundred thousand of them
            if stat.S_ISREG(os.lstat(path).st_mode):
                yield name if prefix == "." else f"{prefix}/{name}"


class _Bounded(io.RawIOBase):
    """A stream that fails rather than give more than so many bytes."""

    def __init__(self, inner: gzip.GzipFile, limit: int) -> None:
        self._inner = inner
        self._left = limit

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        wanted = self._left + 1 if size < 0 else min(size, self._left + 1)
        data = self._inner.read(wanted)
        self._left -= len(data)
        if self._left < 0:
            raise PlanError(UNZIPPED_TOO_LARGE)
        return data


def _zip_of_tar(data: bytes) -> bytes:
    made = io.BytesIO()
    try:
        with (
            gzip.GzipFile(fileobj=io.BytesIO(data)) as unzipped,
            tarfile.open(
                fileobj=_Bounded(unzipped, UNZIPPED_LIMIT + _HEADERS), mode="r|"
            ) as archive,
            zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as written,
        ):
            for number, member in enumerate(archive):
                if number > MAX_ENTRIES:
                    raise PlanError(f"The sources have more than {MAX_ENTRIES} entries.")
                _copy(archive, member, written)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise PlanError(f"The tar.gz cannot be read: {error}.") from error
    return made.getvalue()


def _copy(archive: tarfile.TarFile, member: tarfile.TarInfo, written: zipfile.ZipFile) -> None:
    name = member.name.removeprefix("./")
    if name in ("", ".", "pax_global_header"):
        return
    if member.islnk():
        raise PlanError(f"{name[:200]!r} in the tar.gz is a hard link: send a ZIP.")
    if not (member.isreg() or member.isdir() or member.issym()):
        raise PlanError(f"{name[:200]!r} in the tar.gz is neither a file, a folder nor a link.")
    entry = zipfile.ZipInfo(f"{name}/" if member.isdir() else name)
    entry.create_system = 3  # Unix
    entry.compress_type = zipfile.ZIP_DEFLATED
    if member.issym():
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        written.writestr(entry, member.linkname)
        return
    kind = stat.S_IFDIR if member.isdir() else stat.S_IFREG
    entry.external_attr = (kind | (member.mode & 0o755) | 0o400) << 16
    source = archive.extractfile(member) if member.isreg() else None
    written.writestr(entry, source.read() if source is not None else b"")

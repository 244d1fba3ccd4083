"""A deployment package of what a build made: the same files always make the same bytes.

Entries are sorted, dated 1980-01-01 and have mode 0755 or 0644, so that CodeSha256 tells whether
anything has changed. What is walked through was made by a stranger's programs, which have ended:
nothing is read through a link, and only regular files are read at all.
"""

from __future__ import annotations

import os
import posixpath
import stat
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lambda_home.builds.compiled import choose_jar
from lambda_home.builds.trees import Part, PlanError
from lambda_home.errors import ApiError
from lambda_home.functions import UNZIPPED_LIMIT
from lambda_home.packager.archive import (
    UNZIPPED_TOO_LARGE,
    check_contents,
    code_of,
    inspect,
)
from lambda_home.packager.folder import extract
from lambda_home.packager.ignoring import ALWAYS, IgnoreRules
from lambda_home.packager.layers import merged

IGNORE_FILE = ".lambdaignore"
_LEFT = ("/.lock",)
"""What installers leave beside what they install."""
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_CHUNK = 1 << 20
_LONGEST_IGNORE_FILE = 1 << 20
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Packed:
    """A package on disk: its sizes in bytes, its `CodeSha256`, and what was left out of it."""

    size: int
    unpacked_size: int
    code_sha256: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """A file, or a link to `target`."""

    path: Path
    size: int
    executable: bool = False
    target: str = ""


def pack(parts: Iterable[Part], roots: Mapping[str, Path], file: Path, scratch: Path) -> Packed:
    """Write the package of some parts to `file`. Raises PlanError, in one line; OSError.

    `roots` are the folders that parts are below, `scratch` an empty folder for a JAR's entries.
    """
    notes: list[str] = []
    found: dict[str, _Found] = {}
    lines = _ignore_lines(roots["build"])
    for part in parts:
        rules = IgnoreRules([*ALWAYS, *(lines if part.root == "build" and not part.jar else _LEFT)])
        folder = _below(roots[part.root], part.folder)
        if part.jar:
            folder = _unpacked_jar(folder, scratch)
        place = f"{part.root}/{part.folder}".rstrip("/")
        for name, each in _walk(folder, "", rules, notes, (folder, f"/{place}")):
            _put(found, f"{part.into}/{name}" if part.into else name, each)
    if not found:
        raise PlanError("The build made no files: is output_directory right?")
    unpacked = sum(each.size for each in found.values())
    if unpacked >= UNZIPPED_LIMIT:
        raise PlanError(f"{UNZIPPED_TOO_LARGE}; this package has {unpacked}.")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(found):
            _write(archive, name, found[name])
    data = file.read_bytes()
    try:
        check_contents(inspect(data), data)
    except ApiError as error:
        raise PlanError(f"The package cannot be deployed: {error.message}") from error
    return Packed(len(data), unpacked, code_of(data).sha256, tuple(notes))


def _below(root: Path, folder: str) -> Path:
    """A folder below a root, on a way without links."""
    path = root
    for part in filter(None, folder.split("/")):
        path /= part
        if path.is_symlink() or not path.is_dir():
            raise PlanError(f"The build made no folder {folder}.")
    return path


def _walk(
    folder: Path, prefix: str, rules: IgnoreRules, notes: list[str], base: tuple[Path, str]
) -> Iterator[tuple[str, _Found]]:
    """Files and links below a folder; `base` is the part's root, here and as the build saw it."""
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        name = prefix + entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if rules.ignores(name, is_folder=is_folder):
            continue
        path = Path(entry.path)
        if entry.is_symlink():
            target = _target(path, name, base)
            if target is None:
                notes.append(f"The link {name} leads nowhere in the package: it is left out.")
            else:
                yield name, _Found(path, len(target.encode()), target=target)
        elif is_folder:
            yield from _walk(path, f"{name}/", rules, notes, base)
        elif entry.is_file(follow_symlinks=False):
            status = entry.stat(follow_symlinks=False)
            yield name, _Found(path, status.st_size, bool(status.st_mode & stat.S_IXUSR))
        else:
            notes.append(f"{name} is neither a file nor a folder: it is left out.")


def _target(link: Path, name: str, base: tuple[Path, str]) -> str | None:
    """Where a link leads, relative to itself; None if that is not in its part."""
    target = str(link.readlink())
    root, seen_as = base
    if target.startswith("/"):
        if not f"{target}/".startswith(f"{seen_as}/"):
            return None
        inside = posixpath.relpath(target, seen_as)
    else:
        inside = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    if inside == ".." or inside.startswith("../"):
        return None
    if not os.path.lexists(root / inside):
        return None
    return posixpath.relpath(inside, posixpath.dirname(name) or ".")


def _put(found: dict[str, _Found], name: str, each: _Found) -> None:
    """Add a file; what an earlier part has at its place, or below or above it, goes."""
    ancestor = posixpath.dirname(name)
    while ancestor:
        found.pop(ancestor, None)
        ancestor = posixpath.dirname(ancestor)
    if each.target:
        for other in [other for other in found if other.startswith(f"{name}/")]:
            del found[other]
    found[name] = each


def _write(archive: zipfile.ZipFile, name: str, each: _Found) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise PlanError(f"The file name {name!r} is not UTF-8: rename it.") from None
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system = _UNIX
    entry.compress_type = zipfile.ZIP_DEFLATED
    if each.target:
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, each.target)
        return
    entry.external_attr = (stat.S_IFREG | (0o755 if each.executable else 0o644)) << 16
    entry.file_size = each.size
    descriptor = os.open(each.path, _READING)
    with os.fdopen(descriptor, "rb") as source, archive.open(entry, "w") as written:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PlanError(f"{name} changed while the package was made.")
        while chunk := source.read(_CHUNK):
            written.write(chunk)


def _ignore_lines(folder: Path) -> list[str]:
    try:
        descriptor = os.open(folder / IGNORE_FILE, _READING)
    except OSError:
        return []
    with os.fdopen(descriptor, "rb") as file:
        return file.read(_LONGEST_IGNORE_FILE).decode("utf-8", "replace").splitlines()


def _unpacked_jar(folder: Path, scratch: Path) -> Path:
    """The entries of the JAR that has everything: a JAR's own times would change each digest."""
    sizes = {
        entry.name: entry.stat(follow_symlinks=False).st_size
        for entry in os.scandir(folder)
        if entry.name.endswith(".jar") and entry.is_file(follow_symlinks=False)
    }
    name = choose_jar(sizes)
    if sizes[name] >= UNZIPPED_LIMIT:
        raise PlanError(UNZIPPED_TOO_LARGE)
    with os.fdopen(os.open(folder / name, _READING), "rb") as file:
        data = file.read()
    try:
        extract(merged([(inspect(data), data)]), scratch)
    except ApiError as error:
        raise PlanError(f"{name} cannot be unpacked: {error.message}") from error
    return scratch

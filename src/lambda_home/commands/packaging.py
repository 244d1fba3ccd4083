"""A deployment package of a folder, a file or a ZIP: the same files always give the same bytes.

Files are sorted, dated 1980-01-01 and have mode 0755 or 0644, so that CodeSha256 tells whether
anything has changed. Links are followed as long as they stay in the folder.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lambda_home.commands.failures import WrongUse
from lambda_home.packager.ignoring import ALWAYS, IgnoreRules

IGNORE_FILE = ".lambdaignore"
_MADE = {
    "Cargo.toml": "/target/",
    "pom.xml": "/target/",
    "build.gradle": "/build/",
    "build.gradle.kts": "/build/",
    "settings.gradle": "/.gradle/",
    "settings.gradle.kts": "/.gradle/",
}
"""What compilers make beside sources, by the file that tells that they do."""

LARGEST_UNPACKED = 262_144_000
LARGEST_SENT = 52_428_800
"""Bytes, unpacked and as a ZIP in a request.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_EXECUTABLE = 0o755
_PLAIN = 0o644
_TEXT_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Package:
    """A ZIP, and what is in it."""

    content: bytes
    names: frozenset[str]
    executables: frozenset[str]

    def text(self, name: str) -> str:
        """A file of it as text; what is not UTF-8 is replaced. Raises WrongUse."""
        try:
            with (
                zipfile.ZipFile(io.BytesIO(self.content)) as archive,
                archive.open(name) as file,
            ):
                return file.read(_TEXT_LIMIT).decode(errors="replace")
        except (RuntimeError, zipfile.BadZipFile, zlib.error) as error:  # encrypted, or broken
            raise WrongUse(f"{name} in the ZIP cannot be read: {error}.") from error


def package_of(path: Path, *, as_sources: bool = False) -> Package:
    """The package of a folder, one file, or a ZIP as it is. Raises WrongUse.

    With `as_sources` it is not what is deployed but what that is made of: what `.lambdaignore`
    names is in it, what compilers made is not.
    """
    try:
        made = _made_of(path, as_sources=as_sources)
    except OSError as error:
        raise WrongUse(f"{error.filename or path} cannot be read: {error.strerror}.") from error
    if len(made.content) > LARGEST_SENT:
        raise WrongUse(
            f"{path} makes a ZIP of {len(made.content)} bytes, and {LARGEST_SENT} can be sent:"
            f" leave some out with {IGNORE_FILE}, or move them to a layer."
        )
    return made


def _made_of(path: Path, *, as_sources: bool) -> Package:
    if path.is_dir():
        return _packed(path, dict(_files_of(path, as_sources=as_sources)))
    if not path.exists():
        raise WrongUse(f"There is no {path}: give the folder, file or .zip of the function.")
    if path.suffix.lower() == ".zip":
        return in_zip(path.read_bytes(), path)
    return _packed(path, {path.name: path})


def _packed(path: Path, files: dict[str, Path]) -> Package:
    if not files:
        raise WrongUse(f"There is nothing to deploy in {path}: no file, or all are left out.")
    size = sum(file.stat().st_size for file in files.values())
    if size > LARGEST_UNPACKED:
        raise WrongUse(
            f"{path} has {size} bytes, and Lambda takes {LARGEST_UNPACKED}: leave some out with"
            f" {IGNORE_FILE}, or move them to a layer."
        )
    buffer = io.BytesIO()
    executables = set()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            is_executable = bool(files[name].stat().st_mode & stat.S_IXUSR)
            if is_executable:
                executables.add(name)
            archive.writestr(_entry(name, is_executable=is_executable), files[name].read_bytes())
    return Package(buffer.getvalue(), frozenset(files), frozenset(executables))


def _entry(name: str, *, is_executable: bool) -> zipfile.ZipInfo:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise WrongUse(f"The file name {name!r} is not UTF-8: rename it.") from None
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system = _UNIX
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = (stat.S_IFREG | (_EXECUTABLE if is_executable else _PLAIN)) << 16
    return entry


def in_zip(content: bytes, path: Path | str) -> Package:
    """A ZIP as it is; `path` is what messages call it. Raises WrongUse."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise WrongUse(f"{path} is not a ZIP that can be read: {error}.") from error
    if not entries:
        raise WrongUse(f"There is nothing to deploy in {path}: it has no files.")
    runnable = {entry.filename for entry in entries if entry.external_attr >> 16 & stat.S_IXUSR}
    return Package(content, frozenset(entry.filename for entry in entries), frozenset(runnable))


def _files_of(folder: Path, *, as_sources: bool = False) -> Iterator[tuple[str, Path]]:
    root = folder.resolve()
    if as_sources:
        made = [line for name, line in _MADE.items() if (root / name).is_file()]
        yield from _Walk(root, IgnoreRules([*ALWAYS, f"!/{IGNORE_FILE}", *made])).below(
            root, "", (root,)
        )
        return
    ignore_file = root / IGNORE_FILE
    lines = ignore_file.read_text(errors="replace").splitlines() if ignore_file.is_file() else []
    yield from _Walk(root, IgnoreRules([*ALWAYS, *lines])).below(root, "", (root,))


@dataclass(frozen=True, slots=True)
class _Walk:
    """Finds the files of a folder."""

    root: Path
    rules: IgnoreRules

    def below(
        self, folder: Path, prefix: str, ancestors: tuple[Path, ...]
    ) -> Iterator[tuple[str, Path]]:
        """Names in the package, and files; `ancestors` are the folders that lead here."""
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            name = prefix + entry.name
            path = Path(entry.path)
            is_folder = path.is_dir()
            if self.rules.ignores(name, is_folder=is_folder):
                continue
            if entry.is_symlink():
                path = self._target(name, path)
            if not is_folder:
                _refuse_special(name, path)
                yield name, path
            elif path in ancestors:
                raise WrongUse(f"The link {name} leads to a folder that it is in: remove it.")
            else:
                yield from self.below(path, f"{name}/", (*ancestors, path))

    def _target(self, name: str, link: Path) -> Path:
        """Where a link leads, which must be in the folder."""
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):  # Python 3.11 and 3.12 raise the latter for a loop
            raise WrongUse(
                f"The link {name} leads nowhere: remove it, or name it in {IGNORE_FILE}."
            ) from None
        if not target.is_relative_to(self.root):
            raise WrongUse(
                f"The link {name} leads out of the folder: copy what it means, or name it in"
                f" {IGNORE_FILE}."
            )
        return target


def _refuse_special(name: str, path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise WrongUse(f"{name} is neither a file nor a folder: name it in {IGNORE_FILE}.")

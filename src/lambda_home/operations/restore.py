"""Restore: a data directory from a backup. Everything is checked before anything is replaced."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lambda_home.errors import LambdaHomeError
from lambda_home.operations import archives, data_dir, replacing
from lambda_home.operations.archives import BadBackupError, Manifest, Member, package_name
from lambda_home.operations.files import private_file
from lambda_home.registry import snapshots
from lambda_home.registry.tables import SCHEMA

_PIECE = 1024 * 1024
_REPLACED = ("lhome.db", "lhome.db-wal", "lhome.db-shm", "lhome.db-journal", "code")
_REPLACED_LOGS = ("logs.db", "logs.db-wal", "logs.db-shm", "logs.db-journal")


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored. `needs_key`: there are secrets, and no key file in the directory."""

    manifest: Manifest
    needs_key: bool


def restore(file: Path, target: Path, *, force: bool = False) -> Restored:
    """Make a data directory of a backup; one that is not empty is replaced only with `force`.

    A key file that is there stays where the backup has none. The database of an older version is
    migrated when the server starts. Raises LambdaHomeError, with the directory as it was before:
    for a file that is no backup, is damaged, or is of a newer version, for a directory that a
    server uses, and for too little room.
    """
    if not file.is_file():
        raise LambdaHomeError(f"There is no backup {file}.")
    made = not target.exists()
    try:
        with data_dir.taken(target):
            if not force and _holds_anything(target):
                raise LambdaHomeError(
                    f"The data directory {target} is not empty: name another with --data-dir, or"
                    " replace what is there with --force."
                )
            return _restore(file, target)
    except OSError as error:
        raise data_dir.unusable(target, error) from error
    finally:
        if made and not _holds_anything(target):
            shutil.rmtree(target, ignore_errors=True)


def _holds_anything(target: Path) -> bool:
    return target.is_dir() and any(path.name != data_dir.LOCK_FILE for path in target.iterdir())


def _restore(file: Path, target: Path) -> Restored:
    with tempfile.TemporaryDirectory(prefix=replacing.STAGING, dir=target) as folder:
        staging = Path(folder)
        try:
            manifest = _unpack(file, staging)
            _check_registry(staging, manifest)
        except BadBackupError as error:
            raise BadBackupError(f"{file} cannot be restored: {error}.") from error
        needs_key = _lacks_key(staging, target)
        _replace(staging, target, manifest)
    return Restored(manifest, needs_key)


def _unpack(file: Path, staging: Path) -> Manifest:
    """Write the members where they are checked. Raises BadBackupError."""
    (staging / "code").mkdir()
    with _reading(file) as following:
        manifest = _manifest(following)
        if manifest.schema > SCHEMA:
            raise BadBackupError(
                f"it has schema {manifest.schema}, written by a newer lambda_home"
                f" ({manifest.version}); this one knows {SCHEMA}: upgrade it"
            )
        free = shutil.disk_usage(staging).free
        if manifest.size > free:
            raise BadBackupError(
                f"it takes {_mb(manifest.size)} MB, and {_mb(free)} MB are free: make room"
            )
        for member in manifest.members:
            entry = following()
            if entry is None:
                raise BadBackupError(f"{member.name} is not in it")
            head, read = entry
            _check_head(head, member.name, member.size)
            _write(staging / member.name, member, read)
        more = following()
        if more is not None:
            raise BadBackupError(f"it holds {more[0].name[:80]!r}, which it does not list")
    return manifest


Entry = tuple[tarfile.TarInfo, Callable[[int], bytes]]
Following = Callable[[], Entry | None]


@contextmanager
def _reading(file: Path) -> Iterator[Following]:
    """Gives each call the next member, and what reads it; None at the end."""
    try:
        with tarfile.open(file, "r|gz") as archive:
            members = iter(archive)

            def following() -> Entry | None:
                head = next(members, None)
                if head is None:
                    return None
                content = archive.extractfile(head) if head.isreg() else None
                if content is None:
                    raise BadBackupError(f"it holds {head.name[:80]!r}, which is no file")
                return head, content.read

            yield following
    except (tarfile.TarError, EOFError, ValueError, zlib.error) as error:
        raise BadBackupError(f"it is no backup of lambda_home, or is damaged ({error})") from error


def _manifest(following: Following) -> Manifest:
    first = following()
    if first is None:
        raise BadBackupError("it is empty")
    head, read = first
    if head.name != archives.MANIFEST or head.size > archives.LONGEST_MANIFEST:
        raise BadBackupError("it is no backup of lambda_home")
    return archives.read_manifest(read(head.size))


def _check_head(head: tarfile.TarInfo, name: str, size: int) -> None:
    if (head.name, head.size) != (name, size):
        raise BadBackupError(f"it holds {head.name[:80]!r} in the place of {name}")


def _write(path: Path, member: Member, read: Callable[[int], bytes]) -> None:
    digest = hashlib.sha256()
    with private_file(path) as file:
        while piece := read(_PIECE):
            digest.update(piece)
            file.write(piece)
    if digest.hexdigest() != member.sha256 or path.stat().st_size != member.size:
        raise BadBackupError(f"{member.name} in it is damaged")


def _check_registry(staging: Path, manifest: Manifest) -> None:
    """The database must be sound, of a version that is known, and miss no package."""
    database = staging / archives.DATABASE
    inspected = snapshots.inspect(database)
    if inspected.fault:
        raise BadBackupError(f"the database in it is damaged ({inspected.fault})")
    if inspected.is_newer:
        raise BadBackupError("a newer lambda_home wrote the database in it: upgrade this one")
    for key in snapshots.code_keys_in(database):
        if key and package_name(key) not in manifest.names:
            raise BadBackupError(f"the package {key} is not in it")


def _lacks_key(staging: Path, target: Path) -> bool:
    has_key = (staging / archives.KEY).exists() or (target / archives.KEY).exists()
    return not has_key and snapshots.has_secrets(staging / archives.DATABASE)


def _replace(staging: Path, target: Path, manifest: Manifest) -> None:
    going = [*_REPLACED]
    if archives.LOGS in manifest.names:
        going += _REPLACED_LOGS
    if archives.KEY in manifest.names:
        going.append(archives.KEY)
    replacing.replace(staging, target, going)


def _mb(size: int) -> int:
    return -(-size // 1_000_000)

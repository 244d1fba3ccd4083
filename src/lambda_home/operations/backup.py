"""Backup: one file with all that a data directory keeps, made while a server runs or not."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lambda_home import __version__
from lambda_home.errors import LambdaHomeError
from lambda_home.operations import archives
from lambda_home.operations.archives import Manifest, Member, package_name
from lambda_home.operations.files import private_file, sync_folder
from lambda_home.registry import snapshots

_TRIES = 5
_LEVEL = 1  # most of it is compressed already
_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Source:
    """What is backed up: a data directory, and the registry's file, which may lie elsewhere."""

    data_dir: Path
    database: Path


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made; `size` in bytes. `needs_key`: secrets are in it, their key is not."""

    manifest: Manifest
    size: int
    needs_key: bool


class _ChangedError(Exception):
    """A package went while it was about to be read: nobody needs it any more."""


def backup(
    source: Source, file: Path, now: float, *, with_logs: bool = False, with_key: bool = False
) -> Made:
    """Write a backup; it is there in full or not at all, and only its owner may read it.

    `now` is seconds since the epoch. The file holds the registry, whose environment variables are
    readable, and access keys and secrets as they are encrypted. Raises LambdaHomeError.
    """
    if not source.database.is_file():
        raise LambdaHomeError(
            f"There is no database {source.database}: name the data directory of the server with"
            " --data-dir."
        )
    if file.exists() and not file.is_file():
        raise LambdaHomeError(f"There is {file}, and it is no file: name another.")
    try:
        with tempfile.TemporaryDirectory(prefix=".lambda-home-backup-", dir=file.parent) as made:
            return _backup(source, file, Path(made), now, (with_logs, with_key))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise LambdaHomeError(f"Cannot write the backup {file}: {reason}.") from error


def _backup(
    source: Source, file: Path, staging: Path, now: float, wanted: tuple[bool, bool]
) -> Made:
    beside = staging / "backup"
    for _ in range(_TRIES):
        # Functions may change while this goes on; then their old packages go in the end.
        try:
            manifest, found = _collect(source, staging, now, wanted)
            _write(beside, manifest, found)
        except _ChangedError:
            continue
        break
    else:
        raise LambdaHomeError("The functions change faster than they can be read: try again.")
    needs_key = archives.KEY not in manifest.names and snapshots.has_secrets(
        found[archives.DATABASE]
    )
    size = beside.stat().st_size
    beside.replace(file)
    sync_folder(file.parent)
    return Made(manifest, size, needs_key)


def _collect(
    source: Source, staging: Path, now: float, wanted: tuple[bool, bool]
) -> tuple[Manifest, dict[str, Path]]:
    """What goes into the backup, and where it lies. Raises _ChangedError."""
    with_logs, with_key = wanted
    database = staging / archives.DATABASE
    snapshots.snapshot(source.database, database)
    inspected = snapshots.inspect(database)
    if inspected.fault or inspected.schema is None:
        raise LambdaHomeError(f"The database {source.database} is damaged: {inspected.fault}.")
    found = {archives.DATABASE: database}
    for key in sorted(snapshots.code_keys_in(database)):
        if key:
            found[package_name(key)] = source.data_dir / "code" / f"{key}.zip"
    if with_logs and (source.data_dir / archives.LOGS).is_file():
        found[archives.LOGS] = staging / archives.LOGS
        snapshots.snapshot(source.data_dir / archives.LOGS, found[archives.LOGS])
    if with_key and (source.data_dir / archives.KEY).is_file():
        found[archives.KEY] = source.data_dir / archives.KEY
    elif with_key and snapshots.has_secrets(database):
        raise LambdaHomeError(
            f"There is no key file {source.data_dir / archives.KEY}: the key is in the setting"
            " secrets.key; keep that, and leave --with-key out."
        )
    members = tuple(_measured(name, path) for name, path in found.items())
    return Manifest(__version__, inspected.schema, now, members), found


def _measured(name: str, path: Path) -> Member:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return Member(name, file.tell(), digest)
    except FileNotFoundError:
        raise _ChangedError from None


def _write(path: Path, manifest: Manifest, found: dict[str, Path]) -> None:
    with (
        private_file(path) as raw,
        tarfile.open(fileobj=raw, mode="w:gz", compresslevel=_LEVEL) as archive,
    ):
        text = manifest.encode()
        archive.addfile(_head(Member(archives.MANIFEST, len(text), ""), manifest), io.BytesIO(text))
        for member in manifest.members:
            with _reading(found[member.name]) as file:
                archive.addfile(_head(member, manifest), file)


@contextmanager
def _reading(path: Path) -> Iterator[io.BufferedReader]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise _ChangedError from None
    with file:
        yield file


def _head(member: Member, manifest: Manifest) -> tarfile.TarInfo:
    head = tarfile.TarInfo(member.name)
    head.size, head.mode, head.mtime = member.size, _MODE, int(manifest.created_at)
    return head

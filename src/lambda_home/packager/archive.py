"""A deployment ZIP, read safely: what is in it, and whether it may be unpacked at all.

`inspect` judges names, kinds and declared sizes without unpacking; `content` unpacks one entry and
believes no header; `check_contents` does so for all. An `Archive` can be trusted to describe a tree
that stays below its root whichever way it is written: no name climbs, no entry lies below a file or
a symbolic link, no link leads out. Refusals are InvalidParameterValueException, in AWS's words
where AWS has words, else in one line that names the entry.

Nothing here reads a file, a clock or the network. Limits:
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

import base64
import hashlib
import re
import stat
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import BinaryIO

from lambda_home.errors import InvalidParameterValueException, RequestEntityTooLargeException
from lambda_home.functions import UNZIPPED_LIMIT, ZIPPED_LIMIT, Code
from lambda_home.packager.central_directory import (
    FLAG_ENCRYPTED,
    FLAG_MASKED,
    FLAG_STRONGLY_ENCRYPTED,
    Record,
    read_records,
    unreadable,
)

Bytes = bytes | bytearray | memoryview

MAX_ENTRIES = 200_000
MAX_DEPTH = 128
MAX_PATH_BYTES = 2048
MAX_NAME_BYTES = 255
MAX_LINK_BYTES = 1024
MAX_LINK_HOPS = 40  # what Linux follows
MAX_LINK_STEPS = 500_000  # path components looked at for all links of an archive together

EMPTY = "Uploaded file must be a non-empty zip"
ZIPPED_TOO_LARGE = f"Zipped size must be smaller than {ZIPPED_LIMIT} bytes"
UNZIPPED_TOO_LARGE = f"Unzipped size must be smaller than {UNZIPPED_LIMIT} bytes"

NO_TIME = 315_532_800  # 1980-01-01T00:00:00Z, the first moment that a ZIP can state

_STORED = 0
_DEFLATED = 8
_PIECE = 1 << 16
_CHUNK = 1 << 20
_DRIVE = re.compile(r"[A-Za-z]:")


class Kind(StrEnum):
    """What an entry becomes on disk."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


_KINDS = {
    0: Kind.FILE,  # the maker stated no type
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, directory or symbolic link of an archive.

    `path` is relative, `/`-separated and normal (no empty, `.` or `..` component). `mode` holds
    permission bits only, widened so that everyone can read (and enter directories, and run what
    its owner can run). `modified` is in seconds since 1970. `target` is a link's, as stored. The
    rest says where the data lies in the ZIP.
    """

    path: str
    kind: Kind
    mode: int
    size: int = 0
    modified: int = NO_TIME
    target: str = ""
    method: int = _STORED
    crc: int = 0
    data_at: int = 0
    packed_size: int = 0


@dataclass(frozen=True, slots=True)
class Archive:
    """The entries of a ZIP, directories before what they hold; `size` is their sum in bytes.

    Directories that the ZIP only implies are entries too.
    """

    entries: tuple[Entry, ...]
    size: int


def code_of(data: Bytes) -> Code:
    """Digest and size of a deployment package: its key in the store, `CodeSha256`, `CodeSize`."""
    digest = hashlib.sha256(data)
    return Code(
        key=digest.hexdigest(),
        sha256=base64.b64encode(digest.digest()).decode(),
        size=memoryview(data).nbytes,
    )


def check_uploaded(data: Bytes) -> None:
    """Raise RequestEntityTooLargeException for a ZIP that is too large to be sent directly.

    AWS looks at this first. From S3 a ZIP may be as large as what is in it.
    """
    if len(data) >= ZIPPED_LIMIT:
        raise RequestEntityTooLargeException(ZIPPED_TOO_LARGE)


def inspect(data: Bytes | BinaryIO) -> Archive:
    """Judge a ZIP by its headers.

    Only the targets of links are unpacked. Raises InvalidParameterValueException.
    """
    view = memoryview(_whole(data)).cast("B")
    if view.nbytes >= UNZIPPED_LIMIT:
        raise InvalidParameterValueException(UNZIPPED_TOO_LARGE)
    if not view.nbytes:
        raise InvalidParameterValueException(EMPTY)
    records = _bounded(read_records(view))
    if not records:
        raise InvalidParameterValueException(EMPTY)
    _refuse_overlaps(records)
    tree = _tree(records, view)
    if not tree:
        raise InvalidParameterValueException(EMPTY)
    _refuse_escaping_links({e.path: e.target for e in tree.values() if e.kind is Kind.SYMLINK})
    return Archive(tuple(tree.values()), sum(entry.size for entry in tree.values()))


def content(entry: Entry, data: Bytes) -> Iterator[bytes]:
    """The bytes of a file, in chunks of at most 1 MiB.

    Stops with InvalidParameterValueException as soon as there is more than the header declared, and
    at the end where there is less or the checksum differs: what came before must be thrown away.
    """
    left, crc = entry.size, 0
    view = memoryview(data).cast("B")[entry.data_at : entry.data_at + entry.packed_size]
    for chunk in _inflate(view, entry.size) if entry.method == _DEFLATED else _slices(view):
        left -= len(chunk)
        if left < 0:
            raise unreadable()
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if left or crc != entry.crc:
        raise unreadable()


def check_contents(archive: Archive, data: Bytes) -> None:
    """Unpack everything to nowhere, so that a damaged ZIP is refused when it is uploaded.

    Takes about as long as unpacking without the writing; call it in a thread.
    """
    for entry in archive.entries:
        if entry.kind is Kind.FILE:
            for _ in content(entry, data):
                pass


def _whole(data: Bytes | BinaryIO) -> Bytes:
    if isinstance(data, bytes | bytearray | memoryview):
        return data
    data.seek(0)
    return data.read(UNZIPPED_LIMIT + 1)


def _bounded(records: Iterable[Record]) -> list[Record]:
    """All records, unless they are too many or declare too much."""
    taken: list[Record] = []
    size = 0
    for record in records:
        taken.append(record)
        size += record.size
        if size >= UNZIPPED_LIMIT:
            raise InvalidParameterValueException(UNZIPPED_TOO_LARGE)
        if len(taken) > MAX_ENTRIES:
            raise _too_many()
    return taken


def _refuse_overlaps(records: list[Record]) -> None:
    """Entries that share bytes are how a small ZIP holds petabytes (Fifield, WOOT 2019)."""
    end = 0
    for record in sorted(records, key=lambda record: record.header_at):
        if record.header_at < end:
            raise _refusal(record.name, "shares its bytes with another entry")
        end = record.data_at + record.packed_size


def _tree(records: list[Record], view: memoryview) -> dict[str, Entry]:
    """Entries by path, implied directories included, parents first."""
    named: dict[str, Entry] = {}
    for record in records:
        entry = _entry(record, view)
        if entry is None:
            continue
        if entry.path in named:
            raise _refusal(record.name, "is there more than once")
        named[entry.path] = entry
    for path in list(named):
        parent = path.rpartition("/")[0]
        while parent and parent not in named:
            named[parent] = Entry(parent, Kind.DIRECTORY, 0o755)
            parent = parent.rpartition("/")[0]
        if parent and named[parent].kind is not Kind.DIRECTORY:
            raise _refusal(path, f"lies below a {named[parent].kind}")
        if len(named) > MAX_ENTRIES:
            raise _too_many()
    return dict(sorted(named.items()))  # "a" sorts before "a/b"


def _entry(record: Record, view: memoryview) -> Entry | None:
    """What a record becomes; None for the root itself (`./`)."""
    if record.flags & (FLAG_ENCRYPTED | FLAG_STRONGLY_ENCRYPTED | FLAG_MASKED):
        raise _refusal(record.name, "is encrypted")
    kind = _kind(record)
    path = _path(record.name, kind)
    if kind is Kind.DIRECTORY:
        return Entry(path, kind, _mode(record, kind), modified=_time(record)) if path else None
    if record.method not in (_STORED, _DEFLATED):
        raise _refusal(record.name, f"uses compression method {record.method}, not deflate")
    entry = Entry(
        path=path,
        kind=Kind.FILE,
        mode=_mode(record, kind),
        size=record.size,
        modified=_time(record),
        method=record.method,
        crc=record.crc,
        data_at=record.data_at,
        packed_size=record.packed_size,
    )
    if kind is Kind.SYMLINK:
        target = _target(entry, view)
        return Entry(path, kind, 0o777, modified=entry.modified, target=target)
    return entry


def _kind(record: Record) -> Kind:
    kind = _KINDS.get(stat.S_IFMT(record.unix_mode))
    if kind is None:
        raise _refusal(record.name, "is neither a file nor a directory nor a symbolic link")
    if record.name.endswith("/"):
        if kind is Kind.SYMLINK:
            raise _refusal(record.name, "is a symbolic link with a directory's name")
        kind = Kind.DIRECTORY
    if kind is Kind.DIRECTORY and record.size:
        raise _refusal(record.name, "is a directory with content")
    return kind


def _path(name: str, kind: Kind) -> str:
    """The normal path of a name. Backslashes are ordinary characters, as on AWS."""
    if "\0" in name:
        raise _refusal(name, "has a NUL byte in its name")
    if name.startswith("/") or _DRIVE.match(name):
        raise _refusal(name, "has an absolute path")
    parts = name.split("/")
    if ".." in parts:
        raise _refusal(name, "has '..' in its path")
    if kind is not Kind.DIRECTORY and parts[-1] in ("", "."):
        raise _refusal(name, "has no file name")
    parts = [part for part in parts if part not in ("", ".")]
    path = "/".join(parts)
    if (
        len(parts) > MAX_DEPTH
        or len(path.encode()) > MAX_PATH_BYTES
        or any(len(part.encode()) > MAX_NAME_BYTES for part in parts)
    ):
        raise _refusal(name, "has a path that is too long")
    return path


def _mode(record: Record, kind: Kind) -> int:
    """Permission bits: the ZIP's, opened for reading by everyone; never set-id or sticky."""
    mode = stat.S_IMODE(record.unix_mode) & 0o777
    if kind is Kind.DIRECTORY:
        return (mode or 0o755) | 0o555
    mode = (mode or 0o644) | 0o444
    return mode | 0o111 if mode & 0o111 else mode


def _time(record: Record) -> int:
    """The DOS time, which knows no time zone, taken as UTC."""
    day, clock = record.dos_date, record.dos_time
    try:
        moment = datetime(
            1980 + (day >> 9),
            day >> 5 & 0xF,
            day & 0x1F,
            clock >> 11,
            clock >> 5 & 0x3F,
            (clock & 0x1F) * 2,
            tzinfo=UTC,
        )
    except ValueError:
        return NO_TIME
    return int(moment.timestamp())


def _target(entry: Entry, view: memoryview) -> str:
    if not 0 < entry.size <= MAX_LINK_BYTES:
        raise _refusal(entry.path, "is a symbolic link whose target is empty or too long")
    try:
        target = b"".join(content(entry, view)).decode()
    except UnicodeDecodeError:
        raise _refusal(entry.path, "is a symbolic link whose target is not UTF-8") from None
    if "\0" in target:
        raise _refusal(entry.path, "is a symbolic link with a NUL byte in its target")
    return target


def _refuse_escaping_links(links: dict[str, str]) -> None:
    """Follow every link as the kernel would, through other links, and refuse what leaves the root.

    A link that dangles is harmless; one that climbs above the root is refused even if it comes
    back, because what lies above differs from one sandbox to the next.
    """
    steps = 0
    for path, target in links.items():
        here = path.split("/")[:-1]
        ahead = target.split("/")[::-1]
        hops = 0
        if target.startswith("/"):
            raise _refusal(path, "is a symbolic link to an absolute path")
        while ahead:
            steps += 1
            part = ahead.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not here:
                    raise _refusal(path, "is a symbolic link that leads out of the package")
                here.pop()
                continue
            shallow = len(here) < MAX_DEPTH  # nothing of the archive lies deeper
            onward = links.get("/".join([*here, part])) if shallow else None
            if onward is None:
                here.append(part)
                continue
            ahead.extend(onward.split("/")[::-1])
            hops += 1
            if hops > MAX_LINK_HOPS or steps > MAX_LINK_STEPS:
                raise _refusal(path, "is a symbolic link through too many others")
        if steps > MAX_LINK_STEPS:
            raise _refusal(path, "is one symbolic link too many")


def _slices(view: memoryview) -> Iterator[bytes]:
    for at in range(0, len(view), _CHUNK):
        yield bytes(view[at : at + _CHUNK])


def _inflate(view: memoryview, size: int) -> Iterator[bytes]:
    """Inflate at most one byte more than `size`, piece by piece, so that a bomb finds no memory."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    left = size
    for at in range(0, len(view), _PIECE):
        pending: bytes | memoryview = view[at : at + _PIECE]
        room = 0
        chunk = b""
        while not inflater.eof and (pending or len(chunk) == room):
            room = min(left + 1, _CHUNK)
            try:
                chunk = inflater.decompress(pending, room)
            except zlib.error:
                raise unreadable() from None
            left -= len(chunk)
            pending = inflater.unconsumed_tail
            if chunk:
                yield chunk
    if view and not inflater.eof:
        raise unreadable()


def _refusal(name: str, why: str) -> InvalidParameterValueException:
    shown = name if len(name) <= MAX_NAME_BYTES else f"{name[:MAX_NAME_BYTES]}..."
    return InvalidParameterValueException(f"Could not use uploaded file: entry {shown!r} {why}.")


def _too_many() -> InvalidParameterValueException:
    return InvalidParameterValueException(
        f"Could not use uploaded file: it has more than {MAX_ENTRIES} entries."
    )

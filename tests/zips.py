"""Deployment ZIPs for tests: honest ones made by zipfile, and hand-made ones that lie."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777
FOLDER = stat.S_IFDIR | 0o755


def zip_of(files: dict[str, bytes | str]) -> bytes:
    """A ZIP of those files, deflated; names that end with a slash are directories."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in files.items():
            package.writestr(name, content)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Item:
    """One entry as its headers shall claim it; None means the truth."""

    name: str | bytes
    content: bytes = b"x"
    mode: int = FILE
    method: int = 8
    flags: int = 0
    size: int | None = None
    crc: int | None = None
    local_name: bytes | None = None
    extra: bytes = b""
    date: tuple[int, int] = (0, (41 << 9) | (2 << 5) | 3)  # 2021-02-03 00:00:00
    header_at: int | None = None
    zip64: bool = False

    @property
    def raw_name(self) -> bytes:
        return self.name if isinstance(self.name, bytes) else self.name.encode()

    @property
    def packed(self) -> bytes:
        if self.method != 8:
            return self.content
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        return deflate.compress(self.content) + deflate.flush()

    @property
    def claimed_size(self) -> int:
        return len(self.content) if self.size is None else self.size

    @property
    def claimed_crc(self) -> int:
        return zlib.crc32(self.content) if self.crc is None else self.crc

    def local(self) -> bytes:
        name = self.raw_name if self.local_name is None else self.local_name
        return (
            struct.pack(
                "<4s5H3L2H",
                b"PK\3\4",
                20,
                self.flags,
                self.method,
                *self.date,
                self.claimed_crc,
                len(self.packed),
                self.claimed_size & 0xFFFFFFFF,
                len(name),
                0,
            )
            + name
            + self.packed
        )

    def central(self, header_at: int) -> bytes:
        at = header_at if self.header_at is None else self.header_at
        sizes = (len(self.packed), self.claimed_size, at)
        extra = self.extra
        if self.zip64:
            extra += struct.pack("<2H3Q", 1, 24, sizes[1], sizes[0], sizes[2])
            sizes = (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
        return (
            struct.pack(
                "<4s6H3L5H2L",
                b"PK\1\2",
                (3 << 8) | 20,
                20,
                self.flags,
                self.method,
                *self.date,
                self.claimed_crc,
                sizes[0],
                sizes[1],
                len(self.raw_name),
                len(extra),
                0,
                0,
                0,
                self.mode << 16,
                sizes[2],
            )
            + self.raw_name
            + extra
        )


def hand_made(items: Sequence[Item], *, before: bytes = b"", zip64: bool = False) -> bytes:
    """A ZIP that claims what the items claim; `before` stands in front of it."""
    body = b""
    directory = b""
    for item in items:
        directory += item.central(len(body))
        body += item.local()
    count, size, offset = len(items), len(directory), len(body)
    end64 = b""
    if zip64:
        end64 = struct.pack(
            "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset
        ) + struct.pack("<4sLQL", b"PK\6\7", 0, offset + size, 1)
        count, size, offset = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, offset, 0)
    return before + body + directory + end64 + end

"""A ZIP whose entries are stored, written quickly, and its parts used again; pure.

The same entries in the same order give the same bytes. Source of the form: PKWARE's APPNOTE.TXT.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

Bytes = bytes | memoryview

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s4B4H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION, _UNIX = 20, 3
_UTF_8 = 0x800
_DATE = 1 << 5 | 1  # 1980-01-01, the first moment that a ZIP can state


@dataclass(frozen=True, slots=True)
class Part:
    """One entry: its name, its mode as stat(2) has it, its bytes and their CRC-32."""

    name: str
    mode: int
    content: Bytes
    crc: int

    @classmethod
    def of(cls, name: str, mode: int, content: bytes) -> Part:
        """An entry of these bytes. Raises UnicodeEncodeError for a name that is not UTF-8."""
        name.encode()
        return cls(name, mode, content, zlib.crc32(content))


def written(parts: Sequence[Part]) -> tuple[bytes, list[int]]:
    """The ZIP, and where in it the bytes of each entry begin.

    It must have fewer than 65,536 entries and be smaller than 4 GiB.
    """
    pieces: list[Bytes] = []
    starts: list[int] = []
    directory: list[bytes] = []
    at = 0
    for part in parts:
        name, size, flags = part.name.encode(), len(part.content), _flags(part.name)
        common = (flags, 0, 0, _DATE, part.crc, size, size, len(name), 0)
        head = _LOCAL.pack(b"PK\3\4", _VERSION, *common) + name
        central = _CENTRAL.pack(
            b"PK\1\2", _VERSION, _UNIX, _VERSION, 0, *common, 0, 0, 0, part.mode << 16, at
        )
        directory.append(central + name)
        pieces += (head, part.content)
        starts.append(at + len(head))
        at += len(head) + size
    listed = b"".join(directory)
    count = len(parts)
    end = _END.pack(b"PK\5\6", 0, 0, count, count, len(listed), at, 0)
    return b"".join((*pieces, listed, end)), starts


def _flags(name: str) -> int:
    return 0 if name.isascii() else _UTF_8

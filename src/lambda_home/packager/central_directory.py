"""The ZIP format: where the entries of a ZIP lie and what their headers say.

Reading is strict where leniency would let two readers see two archives: a local header must agree
with the central directory, entries must not share bytes. Nothing is decompressed here and nothing
is judged beyond the format itself; `archive` does both. Only bytes go in, so this module is pure.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 (structure) and 4.5 (extra fields).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from lambda_home.errors import InvalidParameterValueException

UNREADABLE = "Could not unzip uploaded file. Please check your file, then try to upload again."

FLAG_ENCRYPTED = 0x1
FLAG_STRONGLY_ENCRYPTED = 0x40
FLAG_UTF8 = 0x800
FLAG_MASKED = 0x2000

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64_LOCATOR_SIGNATURE = b"PK\x06\x07"
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_SIGNATURE = b"PK\x06\x06"
_HEADER = struct.Struct("<4s6H3L5H2L")
_HEADER_SIGNATURE = b"PK\x01\x02"
_LOCAL = struct.Struct("<4s5H3L2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_EXTRA = struct.Struct("<2H")
_EXTRA_ZIP64 = 0x0001
_EXTRA_UNICODE_PATH = 0x7075

_LONGEST_COMMENT = 0xFFFF
_SIZE_IN_ZIP64 = 0xFFFFFFFF
_COUNT_IN_ZIP64 = 0xFFFF


class Record(NamedTuple):
    """One entry as its headers describe it.

    `name` is as stored (neither normalised nor checked), `unix_mode` the upper half of the external
    attributes (0 where the maker knew no Unix modes), `dos_time` and `dos_date` the packed DOS
    fields, `header_at` and `data_at` positions in the ZIP; sizes are bytes.
    """

    name: str
    flags: int
    method: int
    unix_mode: int
    dos_time: int
    dos_date: int
    crc: int
    packed_size: int
    size: int
    header_at: int
    data_at: int


def unreadable() -> InvalidParameterValueException:
    """What AWS answers to bytes that are no ZIP, or a damaged one."""
    return InvalidParameterValueException(UNREADABLE)


def read_records(data: memoryview) -> Iterator[Record]:
    """Every entry, in the order of the central directory.

    Raises InvalidParameterValueException at the first byte that does not fit. It is lazy, so that
    the caller can stop at a limit before a million headers have been read.
    """
    start, end, shift = _locate(data)
    directory = bytes(data[start:end])
    at = 0
    while at < len(directory):
        if at + _HEADER.size > len(directory):
            raise unreadable()
        header = _HEADER.unpack_from(directory, at)
        name_at = at + _HEADER.size
        extra_at = name_at + header[10]
        at = extra_at + header[11] + header[12]
        if header[0] != _HEADER_SIGNATURE or at > len(directory):
            raise unreadable()
        raw_name = directory[name_at:extra_at]
        extra = _extra_fields(directory[extra_at : extra_at + header[11]])
        packed_size, size, header_at = _wide_sizes(header[8], header[9], header[16], extra)
        header_at += shift
        data_at = _data_position(data[:start], header_at, raw_name, header)
        if data_at + packed_size > start:
            raise unreadable()
        yield Record(
            name=_decode_name(raw_name, header[3], extra.get(_EXTRA_UNICODE_PATH)),
            flags=header[3],
            method=header[4],
            unix_mode=header[15] >> 16,
            dos_time=header[5],
            dos_date=header[6],
            crc=header[7],
            packed_size=packed_size,
            size=size,
            header_at=header_at,
            data_at=data_at,
        )


def _locate(data: memoryview) -> tuple[int, int, int]:
    """Start and end of the central directory, and how far stored offsets are off.

    They are off where something stands before the ZIP, as in a self-executing JAR.
    """
    tail_at = max(0, len(data) - _END.size - _LONGEST_COMMENT)
    found = bytes(data[tail_at:]).rfind(_END_SIGNATURE)
    end = tail_at + found
    if found < 0 or end + _END.size > len(data):
        raise unreadable()
    fields = _END.unpack_from(data, end)
    count, size, offset = fields[4], fields[5], fields[6]
    if count == _COUNT_IN_ZIP64 or _SIZE_IN_ZIP64 in (size, offset):
        end, size, offset = _locate_zip64(data, end) or (end, size, offset)
    start = end - size
    shift = start - offset
    if start < 0 or shift < 0:
        raise unreadable()
    return start, end, shift


def _locate_zip64(data: memoryview, end: int) -> tuple[int, int, int] | None:
    """The Zip64 end record's position, directory size and offset; None where there is none."""
    locator_at = end - _END64_LOCATOR.size
    if locator_at < _END64.size:
        return None
    signature, _, stored_at, _ = _END64_LOCATOR.unpack_from(data, locator_at)
    if signature != _END64_LOCATOR_SIGNATURE:
        return None
    for at in (locator_at - _END64.size, stored_at):
        if at + _END64.size <= locator_at:
            fields = _END64.unpack_from(data, at)
            if fields[0] == _END64_SIGNATURE:
                return at, fields[8], fields[9]
    raise unreadable()


def _extra_fields(extra: bytes) -> dict[int, bytes]:
    """Extra fields by their id; a cut-off rest is ignored, as every common reader does."""
    fields: dict[int, bytes] = {}
    at = 0
    while at + _EXTRA.size <= len(extra):
        kind, length = _EXTRA.unpack_from(extra, at)
        at += _EXTRA.size
        fields.setdefault(kind, extra[at : at + length])
        at += length
    return fields


def _wide_sizes(
    packed_size: int, size: int, offset: int, extra: dict[int, bytes]
) -> tuple[int, int, int]:
    """Packed size, size and offset, each taken from the Zip64 field where 32 bits say so."""
    if _SIZE_IN_ZIP64 not in (packed_size, size, offset):
        return packed_size, size, offset
    wide = extra.get(_EXTRA_ZIP64, b"")
    values: list[int] = []
    for value in (size, packed_size, offset):  # the order inside the Zip64 field
        if value == _SIZE_IN_ZIP64:
            if len(wide) < 8:  # noqa: PLR2004 - the bytes of one 64-bit number
                raise unreadable()
            values.append(int.from_bytes(wide[:8], "little"))
            wide = wide[8:]
        else:
            values.append(value)
    return values[1], values[0], values[2]


def _data_position(
    before: memoryview, header_at: int, raw_name: bytes, header: tuple[int, ...]
) -> int:
    """Where an entry's data begins; its local header must agree with the central one."""
    if header_at + _LOCAL.size > len(before):
        raise unreadable()
    local = _LOCAL.unpack_from(before, header_at)
    name_at = header_at + _LOCAL.size
    extra_at: int = name_at + local[9]
    secret = FLAG_ENCRYPTED | FLAG_STRONGLY_ENCRYPTED | FLAG_MASKED
    if (
        local[0] != _LOCAL_SIGNATURE
        or (local[2] ^ header[3]) & secret
        or local[3] != header[4]
        or before[name_at:extra_at] != raw_name
    ):
        raise unreadable()
    data_at: int = extra_at + local[10]
    return data_at


def _decode_name(raw: bytes, flags: int, unicode_path: bytes | None) -> str:
    """The name as text.

    Info-ZIP keeps the UTF-8 name in an extra field, macOS writes UTF-8 without saying so; CP437 is
    what the format means where nothing else is said.
    """
    if unicode_path is not None and len(unicode_path) > 5:  # noqa: PLR2004 - version and CRC
        version, crc = struct.unpack_from("<BL", unicode_path)
        if version == 1 and crc == zlib.crc32(raw):
            raw, flags = unicode_path[5:], flags | FLAG_UTF8
    try:
        return raw.decode()
    except UnicodeDecodeError:
        if flags & FLAG_UTF8:
            raise unreadable() from None
        return raw.decode("cp437")

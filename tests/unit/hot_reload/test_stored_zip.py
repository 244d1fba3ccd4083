"""The ZIPs that are written for folders are what everybody else reads as ZIPs."""

from __future__ import annotations

import io
import stat
import zipfile

import pytest

from lambda_home.hot_reload.stored_zip import Part, written
from lambda_home.packager import archive

PARTS = [
    Part.of("app.py", stat.S_IFREG | 0o644, b"one"),
    Part.of("bin/run", stat.S_IFREG | 0o755, b""),
    Part.of("grüße/日本.txt", stat.S_IFREG | 0o644, b"\0" * 70_000),
    Part.of("link", stat.S_IFLNK | 0o777, b"app.py"),
]


def test_other_readers_find_every_entry_as_it_was() -> None:
    package, starts = written(PARTS)
    with zipfile.ZipFile(io.BytesIO(package)) as found:
        assert found.testzip() is None
        assert found.namelist() == [part.name for part in PARTS]
        assert [found.read(part.name) for part in PARTS] == [part.content for part in PARTS]
        modes = [info.external_attr >> 16 for info in found.infolist()]
    assert modes == [part.mode for part in PARTS]
    for part, start in zip(PARTS, starts, strict=True):
        assert package[start : start + len(part.content)] == part.content
    kinds = [str(entry.kind) for entry in archive.inspect(package).entries if "/" not in entry.path]
    assert sorted(kinds) == ["directory", "directory", "file", "symlink"]
    archive.check_contents(archive.inspect(package), package)


def test_the_same_parts_give_the_same_bytes() -> None:
    assert written(PARTS) == written([Part.of(p.name, p.mode, bytes(p.content)) for p in PARTS])


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        Part.of("\udcff", stat.S_IFREG, b"")

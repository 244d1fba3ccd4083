"""Uploaded sources: what is unpacked, and what is refused before anything is written outside."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from lambda_home.builds.trees import PlanError
from lambda_home.builds.unpacking import is_archive, tree_of, unpack


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644
) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    return made


def zipped(*entries: tuple[str, str, int]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def test_a_tar_becomes_files_folders_and_links(tmp_path: Path) -> None:
    data = tar(
        (entry("./"), b""),
        (entry("./src", tarfile.DIRTYPE, mode=0o755), b""),
        (entry("./src/run.sh", mode=0o755), b"#!/bin/sh\n"),
        (entry("./app.py"), b"x"),
        (entry("./link", tarfile.SYMTYPE, "src/run.sh"), b""),
    )
    assert is_archive(data)
    place = tmp_path / "to"
    place.mkdir()
    unpack(data, place)
    assert (place / "src" / "run.sh").stat().st_mode & stat.S_IXUSR
    assert (place / "link").readlink() == Path("src/run.sh")
    assert tree_of(place).names == {"src/run.sh", "app.py"}


S = stat.S_IFLNK | 0o777
F = stat.S_IFREG | 0o644


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"PK\x03\x04 not really",
        b"\x1f\x8b not really",
        gzip.compress(b"no tar" * 200),
        zipped(("../evil", "x", F)),
        zipped(("/etc/evil", "x", F)),
        zipped(("a", "/etc", S), ("a/evil", "x", F)),
        zipped(("a", "../../etc/passwd", S)),
        tar((entry("../evil"), b"x")),
        tar((entry("/evil"), b"x")),
        tar((entry("a", tarfile.SYMTYPE, ".."), b""), (entry("a/evil"), b"x")),
        tar((entry("a", tarfile.SYMTYPE, "/etc/passwd"), b"")),
        tar((entry("f"), b"x"), (entry("a", tarfile.LNKTYPE, "f"), b"")),
        tar((entry("a", tarfile.FIFOTYPE), b"")),
        tar((entry("a", tarfile.CHRTYPE), b"")),
        tar((entry("a"), b"x"))[:-30],
    ],
)
def test_what_climbs_leads_out_or_is_broken_is_refused(tmp_path: Path, data: bytes) -> None:
    place = tmp_path / "to"
    place.mkdir()
    with pytest.raises(PlanError):
        unpack(data, place)
    assert [path.name for path in tmp_path.rglob("*") if path.name != "to"] == []


def test_a_bomb_is_refused_by_what_it_says_and_by_what_it_is(tmp_path: Path) -> None:
    header = tarfile.TarInfo("zeros")
    header.size = 400 << 20
    # gzip members one after the other are one stream (RFC 1952, section 2.2).
    data = gzip.compress(header.tobuf()) + 400 * gzip.compress(bytes(1 << 20))
    with pytest.raises(PlanError, match="262144000"):
        unpack(data, tmp_path)


def test_a_tree_has_no_links_and_reads_none(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("inside")
    (tmp_path / "requirements.txt").symlink_to("/etc/passwd")
    (tmp_path / "b").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    tree = tree_of(tmp_path)
    assert tree.names == {"a/x"}
    assert tree.read("a/x") == "inside"
    assert tree.has_below("a")
    with pytest.raises(PlanError):
        tree.read("requirements.txt")

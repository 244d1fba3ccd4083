"""Packages: the same bytes for the same files, and nothing that lies outside."""

from __future__ import annotations

import io
import os
import stat
import time
import zipfile
from pathlib import Path

import pytest

from lambda_home.builds.packing import Packed, pack
from lambda_home.builds.trees import Part, PlanError

SOURCES_LAST = (Part("out"), Part("build"))


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Path]:
    made = {name: tmp_path / name for name in ("build", "out")}
    for folder in (*made.values(), tmp_path / "jar"):
        folder.mkdir()
    return made


def packed(roots: dict[str, Path], *parts: Part) -> tuple[Packed, zipfile.ZipFile]:
    base = roots["build"].parent
    done = pack(parts or (Part("build"),), roots, base / "package.zip", base / "jar")
    return done, zipfile.ZipFile(io.BytesIO((base / "package.zip").read_bytes()))


def test_the_same_files_make_the_same_bytes(roots: dict[str, Path]) -> None:
    for name in ("b.py", "a.py"):
        (roots["build"] / name).write_text(name)
    first, _ = packed(roots)
    os.utime(roots["build"] / "a.py", (0, time.monotonic()))
    (roots["build"] / "a.py").chmod(0o600)
    second, archive = packed(roots)
    assert first == second
    assert archive.namelist() == ["a.py", "b.py"]
    (roots["build"] / "a.py").chmod(0o700)
    third, archive = packed(roots)
    assert third.code_sha256 != second.code_sha256
    assert archive.getinfo("a.py").external_attr >> 16 == stat.S_IFREG | 0o755


def test_of_two_parts_the_later_wins(roots: dict[str, Path]) -> None:
    (roots["out"] / "six.py").write_text("theirs")
    (roots["out"] / "folder").mkdir()
    (roots["out"] / "folder" / "x").write_text("x")
    (roots["build"] / "six.py").write_text("ours")
    _, archive = packed(roots, *SOURCES_LAST)
    assert archive.read("six.py") == b"ours"
    assert archive.namelist() == ["folder/x", "six.py"]
    _, archive = packed(roots, Part("out"), Part("build", into="lib"))
    assert "lib/six.py" in archive.namelist()


def test_what_is_ignored_stays_out_of_the_sources_alone(roots: dict[str, Path]) -> None:
    (roots["build"] / ".lambdaignore").write_text("*.txt\n")
    (roots["build"] / ".git").mkdir()
    (roots["build"] / ".git" / "config").write_text("")
    for root in roots.values():
        (root / f"{root.name}.txt").write_text("")
    (roots["build"] / "app.py").write_text("")
    _, archive = packed(roots, *SOURCES_LAST)
    assert archive.namelist() == ["app.py", "out.txt"]


def test_links_stay_links_and_lead_nowhere_else(roots: dict[str, Path]) -> None:
    build = roots["build"]
    (build / "libs").mkdir()
    (build / "libs" / "a.js").write_text("")
    (build / "node_modules").mkdir()
    (build / "node_modules" / "libs").symlink_to("../libs")
    (build / "node_modules" / "absolute").symlink_to("/build/libs")
    (build / "node_modules" / "out").symlink_to("/etc/passwd")
    (build / "node_modules" / "climbing").symlink_to("../../../etc")
    (build / "node_modules" / "dangling").symlink_to("nothing")
    os.mkfifo(build / "pipe")
    done, archive = packed(roots)
    assert archive.namelist() == ["libs/a.js", "node_modules/absolute", "node_modules/libs"]
    assert archive.read("node_modules/libs") == b"../libs"
    assert archive.read("node_modules/absolute") == b"../libs"
    assert archive.getinfo("node_modules/libs").external_attr >> 16 == stat.S_IFLNK | 0o777
    assert len(done.notes) == 4
    assert "etc" not in str(archive.namelist())


def test_an_output_directory_is_a_folder_without_links(roots: dict[str, Path]) -> None:
    with pytest.raises(PlanError, match="no folder dist"):
        packed(roots, Part("build", "dist"))
    (roots["build"] / "dist").symlink_to("/etc")
    with pytest.raises(PlanError, match="no folder dist"):
        packed(roots, Part("build", "dist"))
    with pytest.raises(PlanError, match="made no files"):
        packed(roots)


def test_a_jar_is_unpacked_so_that_its_times_do_not_count(roots: dict[str, Path]) -> None:
    target = roots["build"] / "target"
    target.mkdir()
    digests = set()
    for year in (1999, 2020):
        with zipfile.ZipFile(target / "a-1.jar", "w") as jar:
            jar.writestr(zipfile.ZipInfo("a/H.class", (year, 1, 1, 0, 0, 0)), "class")
        for left in (roots["build"].parent / "jar").glob("*"):
            (left / "H.class").unlink()
            left.rmdir()
        done, archive = packed(roots, Part("build", "target", jar=True))
        digests.add(done.code_sha256)
        assert archive.namelist() == ["a/H.class"]
    assert len(digests) == 1


def test_a_package_over_the_limit_is_refused_in_awss_words(roots: dict[str, Path]) -> None:
    with (roots["build"] / "big").open("wb") as file:
        file.truncate(262_144_000)
    with pytest.raises(PlanError, match="Unzipped size must be smaller than 262144000 bytes"):
        packed(roots)

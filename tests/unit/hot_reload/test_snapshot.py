"""A folder as a package: what is in it, what is not, and what is refused."""

from __future__ import annotations

import io
import os
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from lambda_home.errors import InvalidParameterValueException
from lambda_home.hot_reload import snapshot
from lambda_home.hot_reload.folders import FolderRules
from lambda_home.packager import archive

PATTERNS = (".git/", "__pycache__/", "*.pyc", "*~", ".*.sw?")


def taken(folder: Path, root: Path | None = None) -> dict[str, bytes]:
    rules = FolderRules("hot-reload", (str((root or folder).resolve()),))
    package = snapshot.take(str(folder), rules, PATTERNS).package
    archive.inspect(package)  # it can be unpacked
    with zipfile.ZipFile(io.BytesIO(package)) as found:
        return {name: found.read(name) for name in found.namelist()}


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)


def test_everything_but_what_is_left_out_is_taken(tmp_path: Path) -> None:
    write(tmp_path, "app.py", "lib/a/b.py", ".git/config", "__pycache__/app.pyc", "lib/b.pyc")
    write(tmp_path, "app.py~", ".app.py.swp", "secret.env", ".lambdaignore", "node_modules/m/i.js")
    (tmp_path / ".lambdaignore").write_text("*.env\n")
    assert sorted(taken(tmp_path)) == ["app.py", "lib/a/b.py", "node_modules/m/i.js"]


def test_the_same_files_give_the_same_bytes_and_others_do_not(tmp_path: Path) -> None:
    write(tmp_path, "b.py", "a.py")
    rules = FolderRules("hot-reload", (str(tmp_path.resolve()),))
    first = snapshot.take(str(tmp_path), rules, PATTERNS)
    os.utime(tmp_path / "a.py", (1, 1))
    assert snapshot.take(str(tmp_path), rules, PATTERNS) == first
    (tmp_path / "a.py").chmod(0o755)
    assert snapshot.take(str(tmp_path), rules, PATTERNS) != first


def test_what_has_not_changed_is_not_read_again_and_what_has_is(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "lib/b.py", "c.py")
    os.utime(tmp_path / "a.py", (1, 1))
    rules = FolderRules("hot-reload", (str(tmp_path.resolve()),))
    asked = str(tmp_path)
    later = time.time_ns() + 10_000_000_000
    first = snapshot.take(asked, rules, PATTERNS, None, later)
    assert sorted(first.known) == ["a.py", "c.py", "lib/b.py"]
    (tmp_path / "c.py").write_text("d.py")  # as long as before
    (tmp_path / "lib/b.py").unlink()
    again = snapshot.take(asked, rules, PATTERNS, first, later)
    fresh = snapshot.take(asked, rules, PATTERNS)
    assert again.package == fresh.package != first.package
    # Taken from the package and not from the folder: what is known is believed.
    believed = replace(first.known["a.py"], crc=1)
    known = {**again.known, "a.py": believed}
    third = snapshot.take(asked, rules, PATTERNS, replace(first, known=known), later)
    assert third.package != again.package


def test_what_changed_a_moment_ago_is_read_again(tmp_path: Path) -> None:
    """It may change once more in the same tick of the file system's clock."""
    write(tmp_path, "a.py")
    rules = FolderRules("hot-reload", (str(tmp_path.resolve()),))
    assert not snapshot.take(str(tmp_path), rules, PATTERNS, None, time.time_ns()).known


def test_links_within_stay_links(tmp_path: Path) -> None:
    write(tmp_path, "real/app.py")
    (tmp_path / "one").symlink_to("real")
    (tmp_path / "two.py").symlink_to(tmp_path.resolve() / "real" / "app.py")
    found = taken(tmp_path)
    assert found["one"] == b"real"
    assert found["two.py"] == b"real/app.py"


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside.py", "/etc"])
def test_a_link_that_leads_out_is_refused_by_name(tmp_path: Path, target: str) -> None:
    folder = tmp_path / "fn"
    write(folder, "app.py")
    write(tmp_path, "outside.py")
    (folder / "link").symlink_to(target)
    with pytest.raises(InvalidParameterValueException, match="The link link leads out"):
        taken(folder, root=tmp_path)


def test_a_folder_that_is_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    allowed, elsewhere = tmp_path / "allowed", tmp_path / "elsewhere"
    write(elsewhere, "app.py")
    allowed.mkdir()
    (allowed / "fn").symlink_to(elsewhere)
    with pytest.raises(InvalidParameterValueException, match="is not allowed"):
        taken(allowed / "fn", root=allowed)
    rules = FolderRules("hot-reload", (str(tmp_path.resolve()),))
    real = snapshot.take(str(allowed / "fn"), rules, PATTERNS).folder
    assert real == str(elsewhere.resolve())


@pytest.mark.parametrize("missing", ["fn", "fn/app.py"])
def test_what_is_no_folder_is_refused(tmp_path: Path, missing: str) -> None:
    if missing != "fn":
        write(tmp_path, "fn/app.py")
    with pytest.raises(InvalidParameterValueException, match="cannot be read"):
        taken(tmp_path / missing, root=tmp_path)


def test_nothing_is_said_about_folders_that_may_not_be_read(tmp_path: Path) -> None:
    """Whether they are there, is nobody's business."""
    (tmp_path / "there").mkdir()
    told = []
    for name in ("there", "not-there"):
        with pytest.raises(InvalidParameterValueException) as refused:
            taken(tmp_path / name, root=tmp_path / "allowed")
        told.append(str(refused.value).replace(name, "NAME"))
    assert told[0] == told[1]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path, "app.py")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidParameterValueException, match="pipe is neither"):
        taken(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ".git/config")
    with pytest.raises(InvalidParameterValueException, match="nothing to run"):
        taken(tmp_path)


def test_a_folder_beyond_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "MOST_FILES", 2)
    write(tmp_path, "a", "b", "c")
    with pytest.raises(InvalidParameterValueException, match="more than Lambda takes"):
        taken(tmp_path)

"""Replacing files: whole or not at all, wherever it is cut off, also while it is being undone."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from lambda_home.operations import replacing

Tree = dict[str, "str | Tree"]

OLD: Tree = {"lhome.db": "old", "lhome.db-wal": "old", "code": {"a": "old"}, "kept": "old"}
NEW: Tree = {"lhome.db": "new", "code": {"b": "new"}, "secrets.key": "new"}
AFTER: Tree = {**NEW, "kept": "old"}
GOING = ("lhome.db", "lhome.db-wal", "lhome.db-shm", "code", "secrets.key")


class Cut(BaseException):
    """The power goes."""


def write(folder: Path, tree: Tree) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in tree.items():
        if isinstance(content, str):
            (folder / name).write_text(content)
        else:
            write(folder / name, content)


def read(folder: Path) -> Tree:
    return {
        path.name: read(path) if path.is_dir() else path.read_text() for path in folder.iterdir()
    }


class CutAfter:
    """Lets so many renames and removals happen, then cuts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
        self.left = steps
        rename, unlink = Path.rename, Path.unlink

        def renamed(path: Path, place: Path) -> Path:
            self.step()
            return rename(path, place)

        def unlinked(path: Path, *, missing_ok: bool = False) -> None:
            self.step()
            unlink(path, missing_ok=missing_ok)

        monkeypatch.setattr(Path, "rename", renamed)
        monkeypatch.setattr(Path, "unlink", unlinked)

    def step(self) -> None:
        if self.left == 0:
            raise Cut
        self.left -= 1


@pytest.mark.parametrize("again", range(8))
@pytest.mark.parametrize("steps", range(10))
@pytest.mark.parametrize("before", [OLD, {}], ids=["full", "empty"])
def test_it_is_whole_or_not_at_all_wherever_it_is_cut(
    before: Tree, steps: int, again: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    write(target, before)
    staging = target / f"{replacing.STAGING}x"
    write(staging, NEW)
    with monkeypatch.context() as patch, suppress(Cut):
        CutAfter(patch, steps)
        replacing.replace(staging, target, GOING)
    with monkeypatch.context() as patch, suppress(Cut):
        CutAfter(patch, again)
        replacing.settle(target)
    replacing.settle(target)
    after = AFTER if before else NEW
    assert read(target) in (before, after)
    assert not [name for name in read(target) if name.startswith(".")]


def test_nothing_is_cut_and_all_of_it_is_replaced(tmp_path: Path) -> None:
    write(tmp_path / "target", OLD)
    write(tmp_path / "staging", NEW)
    replacing.replace(tmp_path / "staging", tmp_path / "target", GOING)
    assert read(tmp_path / "target") == AFTER
    replacing.settle(tmp_path / "target")
    assert read(tmp_path / "target") == AFTER


def test_nothing_in_the_place_of_nothing_removes_nothing(tmp_path: Path) -> None:
    write(tmp_path / "target", OLD)
    old = tmp_path / "target" / ".replaced-x"
    write(old, {".new": ""})
    replacing.settle(tmp_path / "target")
    assert read(tmp_path / "target") == OLD


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "target"
    write(target, OLD)
    write(tmp_path / "staging", NEW)
    (target / "secrets.key").mkdir()  # no file can take its place
    (target / "secrets.key" / "x").touch()
    with pytest.raises(OSError, match="secrets"):
        replacing.replace(tmp_path / "staging", target, ("lhome.db", "code"))
    assert read(target)["lhome.db"] == "old"
    assert read(target)["code"] == {"a": "old"}

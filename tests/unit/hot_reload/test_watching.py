"""What a watcher hears: changes, replaced files, a folder that goes and comes back."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from observing import until

from lambda_home.hot_reload.watching import Watcher, is_left_out
from lambda_home.packager.ignoring import IgnoreRules

RULES = IgnoreRules([".git/", "__pycache__/", "*.pyc", "*~", ".*.sw?", "4913"])


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("app.py", False),
        ("node_modules/m/index.js", False),
        ("__pycache__/app.cpython-311.pyc", True),
        ("lib/__pycache__", True),
        (".git/index.lock", True),
        (".git/objects/ab/cdef", True),
        ("app.py~", True),
        (".app.py.swp", True),
        ("lib/4913", True),
        ("lib/app.pyc", True),
        ("git/config", False),
        (".", False),
    ],
)
def test_changes_of_what_is_left_out_do_not_count(name: str, *, left_out: bool) -> None:
    assert is_left_out(name, RULES) is left_out


class Ears:
    """Collects what a watcher tells."""

    def __init__(self) -> None:
        self.heard: set[str] = set()
        self.looks = 0
        self._lock = threading.Lock()

    def told(self, names: set[str]) -> None:
        with self._lock:
            self.heard |= names
            self.looks += not names

    def hears(self, name: str) -> None:
        until(lambda: name in self.heard, f"{name} was not heard of, only {self.heard}")


@pytest.fixture(params=[0, 50], ids=["notices", "polling"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Ears]]:
    folder, ears = tmp_path / "fn", Ears()
    folder.mkdir()
    watcher = Watcher(str(folder), lambda: RULES, ears.told, request.param)
    watcher.start()
    until(lambda: ears.looks == 1, "the watcher does not begin")
    yield folder, ears
    watcher.stop()


def replaced(folder: Path) -> str:
    (folder / ".app.py.swp").write_text("new")
    (folder / ".app.py.swp").replace(folder / "app.py")
    return "app.py"


def made_below(folder: Path) -> str:
    (folder / "lib").mkdir()
    (folder / "lib" / "new.py").write_text("new")
    return "lib"


def deleted(folder: Path) -> str:
    (folder / "old.py").write_text("old")
    (folder / "old.py").unlink()
    (folder / "seen.py").write_text("")
    return "seen.py"


@pytest.mark.parametrize("change", [replaced, made_below, deleted])
def test_a_change_is_heard_of(watched: tuple[Path, Ears], change: Callable[[Path], str]) -> None:
    folder, ears = watched
    ears.hears(change(folder))
    assert not any(is_left_out(name, RULES) for name in ears.heard)


def test_a_new_folder_is_looked_at_once_more(watched: tuple[Path, Ears]) -> None:
    """Files may be in it before the kernel tells of them."""
    folder, ears = watched
    (folder / "lib").mkdir()
    until(lambda: ears.looks == 2, "it is not")


def test_a_folder_that_comes_back_is_looked_at_as_a_whole_and_watched(
    watched: tuple[Path, Ears],
) -> None:
    folder, ears = watched
    shutil.rmtree(folder)
    fresh = folder.with_name("fresh")
    fresh.mkdir()
    fresh.rename(folder)
    until(lambda: ears.looks >= 2, "the new folder is not looked at")
    (folder / "app.py").write_text("new")
    ears.hears("app.py")

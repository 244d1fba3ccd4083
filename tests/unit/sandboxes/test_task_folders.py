"""What a spare sees before it has a function, and after."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lambda_home.sandboxes.base import Prepared, SandboxError
from lambda_home.sandboxes.task_folders import TaskFolders

ID = "0" * 32


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def tree(root: Path, **files: str) -> str:
    for name, text in files.items():
        path = root / name.replace("_", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


@pytest.fixture
def tasks(tmp_path: Path) -> TaskFolders:
    return TaskFolders(tmp_path / "tasks")


def test_a_spare_sees_lib_in_both_folders_and_its_own_name_in_one(tasks: TaskFolders) -> None:
    # glibc never looks again at a folder of LD_LIBRARY_PATH that it has once not found.
    folders = asyncio.run(tasks.make(ID))
    assert asyncio.run(tasks.make(ID)) == folders  # Docker tries again without docker-init
    assert names(folders.task) == {ID, "lib"}
    assert names(folders.opt) == {"lib"}


def test_code_alone_leaves_opt_empty(tasks: TaskFolders, tmp_path: Path) -> None:
    folders = asyncio.run(tasks.make(ID))
    code = tree(tmp_path / "code", app="code")
    asyncio.run(tasks.fill(ID, Prepared(code)))
    assert names(folders.task) == {"app"}
    assert names(folders.opt) == set()
    assert (folders.task / "app").stat().st_ino == (tmp_path / "code" / "app").stat().st_ino


def test_layers_are_linked_into_opt(tasks: TaskFolders, tmp_path: Path) -> None:
    folders = asyncio.run(tasks.make(ID))
    code = tree(tmp_path / "code", lib_x="code", app="code")
    opt = tree(tmp_path / "opt", lib_y="layer", bin_z_run="layer")
    asyncio.run(tasks.fill(ID, Prepared(code, opt)))
    assert names(folders.task) == {"app", "lib", "lib/x"}
    assert names(folders.opt) == {"lib", "lib/y", "bin", "bin/z", "bin/z/run"}
    assert (folders.opt / "lib" / "y").stat().st_ino == (
        tmp_path / "opt" / "lib" / "y"
    ).stat().st_ino


def test_a_file_may_have_the_name_of_the_folder_that_was_there(
    tasks: TaskFolders, tmp_path: Path
) -> None:
    folders = asyncio.run(tasks.make(ID))
    asyncio.run(tasks.fill(ID, Prepared(tree(tmp_path / "code", lib="a file"))))
    assert (folders.task / "lib").read_text() == "a file"


def test_an_environment_leaves_nothing(tasks: TaskFolders, tmp_path: Path) -> None:
    asyncio.run(tasks.make(ID))
    opt = tree(tmp_path / "opt", lib_y="layer")
    (tmp_path / "opt" / "lib").chmod(0o555)
    asyncio.run(tasks.fill(ID, Prepared(tree(tmp_path / "code", app="x"), opt)))
    asyncio.run(tasks.drop(ID))
    asyncio.run(tasks.drop(ID))
    assert list((tmp_path / "tasks").iterdir()) == []


def test_code_is_placed_once_and_only_where_a_spare_is(tasks: TaskFolders, tmp_path: Path) -> None:
    code = Prepared(tree(tmp_path / "code", app="x"))
    with pytest.raises(SandboxError, match="could not be placed"):
        asyncio.run(tasks.fill(ID, code))
    asyncio.run(tasks.make(ID))
    asyncio.run(tasks.fill(ID, code))
    with pytest.raises(SandboxError, match="could not be placed"):
        asyncio.run(tasks.fill(ID, code))

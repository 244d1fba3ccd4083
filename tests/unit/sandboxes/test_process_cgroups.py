"""Control groups of both kernel interfaces, on a tree of ordinary files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambda_home.sandboxes.process_cgroups import Cgroups, Group, discover

CONTROLLERS = ("memory", "cpu", "pids", "freezer")


def proc(root: Path, groups: str, mounts: list[str]) -> Path:
    folder = root / "proc"
    folder.mkdir()
    (folder / "cgroup").write_text(groups)
    (folder / "mountinfo").write_text("".join(f"{line}\n" for line in mounts))
    return folder


def version_1(root: Path, own: str = "/ours") -> Path:
    mounts, groups = [], []
    for number, name in enumerate(CONTROLLERS):
        (root / name / own.strip("/")).mkdir(parents=True)
        mounts.append(f"3{number} 31 0:9 / {root / name} rw - cgroup cgroup rw,{name}")
        groups.append(f"{number}:{name}:{own}\n")
    return proc(root, "".join(groups), mounts)


def version_2(root: Path, inside: str = "", controllers: str = "cpu memory pids") -> Path:
    own = root / "unified" / "ours"
    own.mkdir(parents=True)
    (own / "cgroup.controllers").write_text(controllers)
    (own / "cgroup.procs").write_text(inside)
    (own / "cgroup.subtree_control").write_text("")
    (own / "lambda-home").mkdir()
    (own / "lambda-home" / "cgroup.subtree_control").write_text("")
    mount = f"30 1 0:9 / {root / 'unified'} rw - cgroup2 cgroup2 rw"
    return proc(root, "0::/ours\n", [mount])


def group(root: Path, version: int, *names: str) -> Group:
    """A group with the named control files, empty."""
    folder = root / "group"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("")
    return Group(version, dict.fromkeys(CONTROLLERS, folder))


def test_version_1_makes_groups_below_the_servers_own(tmp_path: Path) -> None:
    found = discover(version_1(tmp_path))
    assert found.version == 1
    assert found.bases == {name: tmp_path / name / "ours" / "lambda-home" for name in CONTROLLERS}
    assert all(base.is_dir() for base in found.bases.values())


def test_version_1_without_some_controllers_says_which(tmp_path: Path) -> None:
    folder = version_1(tmp_path)
    lines = (folder / "mountinfo").read_text().splitlines()
    (folder / "mountinfo").write_text("\n".join(lines[:2]))
    found = discover(folder)
    assert set(found.bases) == {"memory", "cpu"}
    assert found.reason == "control groups version 1, without pids, freezer"


@pytest.mark.parametrize("root", ["/docker/abc", "/docker/abc/below", "/elsewhere"])
def test_a_container_that_sees_only_its_own_group_uses_what_is_mounted(
    tmp_path: Path, root: str
) -> None:
    point = tmp_path / "memory"
    point.mkdir()
    mount = f"30 1 0:9 {root} {point} rw - cgroup cgroup rw,memory"
    found = discover(proc(tmp_path, "4:memory:/docker/abc\n", [mount]))
    assert {name: str(base) for name, base in found.bases.items()} == {
        "memory": str(point / "lambda-home")
    }


def test_version_2_enables_its_controllers_and_freezes_always(tmp_path: Path) -> None:
    found = discover(version_2(tmp_path))
    base = tmp_path / "unified" / "ours" / "lambda-home"
    assert found == Cgroups(2, dict.fromkeys(CONTROLLERS, base), "control groups version 2")
    for folder in (base.parent, base):
        assert (folder / "cgroup.subtree_control").read_text() == "+memory +cpu +pids"


def test_version_2_without_the_memory_controller_is_not_used(tmp_path: Path) -> None:
    found = discover(version_2(tmp_path, controllers="cpu pids"))
    assert found.bases == {}
    assert "not delegated" in found.reason


@pytest.mark.parametrize("alone", [True, False])
def test_version_2_moves_the_server_to_a_leaf_only_where_it_is_alone(
    tmp_path: Path, *, alone: bool
) -> None:
    folder = version_2(tmp_path, inside=f"{os.getpid()}\n" + ("" if alone else "1\n"))
    own = tmp_path / "unified" / "ours"
    (own / "cgroup.subtree_control").unlink()  # opening it fails, as the kernel's write would
    found = discover(folder)
    if alone:
        assert (own / "lambda-home-server" / "cgroup.procs").read_text() == str(os.getpid())
    else:
        assert found.bases == {}
        assert "shares it with other processes" in found.reason
        assert not (own / "lambda-home-server").exists()


def test_nothing_is_used_where_nothing_is_mounted(tmp_path: Path) -> None:
    found = discover(proc(tmp_path, "", []))
    assert (found.bases, found.reason) == ({}, "no control group is writable here")


def test_version_1_limits_are_written(tmp_path: Path) -> None:
    made = group(tmp_path, 1, "memory.memsw.limit_in_bytes", "cpu.shares", "pids.max")
    made.limit(1769, 1024)
    read = {path.name: path.read_text() for path in (tmp_path / "group").iterdir()}
    assert read == {
        "memory.limit_in_bytes": str(1769 << 20),
        "memory.memsw.limit_in_bytes": str(1769 << 20),
        "cpu.shares": "1024",
        "pids.max": "1024",
    }


@pytest.mark.parametrize(("memory_mb", "weight"), [(128, "7"), (1769, "100"), (10_240, "578")])
def test_version_2_limits_are_written(tmp_path: Path, memory_mb: int, weight: str) -> None:
    made = group(tmp_path, 2, "memory.swap.max", "memory.oom.group", "cpu.weight", "pids.max")
    made.limit(memory_mb, 1024)
    read = {path.name: path.read_text() for path in (tmp_path / "group").iterdir()}
    assert read == {
        "memory.max": str(memory_mb << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.weight": weight,
        "pids.max": "1024",
    }


@pytest.mark.parametrize("version", [1, 2])
def test_a_memory_limit_that_is_refused_is_an_error(tmp_path: Path, version: int) -> None:
    with pytest.raises(OSError, match="No such file"):
        Group(version, {"memory": tmp_path / "gone"}).limit(128, 1024)


@pytest.mark.parametrize(
    ("version", "name", "paused", "resumed"),
    [(1, "freezer.state", "FROZEN", "THAWED"), (2, "cgroup.freeze", "1", "0")],
)
def test_pausing_and_resuming_is_written(
    tmp_path: Path, version: int, name: str, paused: str, resumed: str
) -> None:
    made = group(tmp_path, version, name)
    assert made.can_freeze
    made.freeze(frozen=True)
    assert (tmp_path / "group" / name).read_text() == paused
    made.freeze(frozen=False)
    assert (tmp_path / "group" / name).read_text() == resumed


def test_without_a_freezer_nothing_can_be_paused(tmp_path: Path) -> None:
    assert not Group(1, {"memory": tmp_path}).can_freeze


@pytest.mark.parametrize(
    ("version", "name", "text", "full"),
    [
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", True),
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n", False),
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 1\n", False),
        (2, "memory.events", "low 0\nmax 9\noom 1\noom_kill 1\n", True),
        (2, "memory.events", "low 0\nmax 9\noom 1\noom_kill 0\n", False),
        (2, "other", "", False),
    ],
)
def test_a_kill_for_memory_is_read(
    tmp_path: Path, version: int, name: str, text: str, *, full: bool
) -> None:
    made = group(tmp_path, version, name)
    (tmp_path / "group" / name).write_text(text)
    assert made.out_of_memory() is full


@pytest.mark.parametrize(
    ("version", "files", "peak"),
    [
        (1, {"memory.max_usage_in_bytes": "4096\n"}, 4096),
        (2, {"memory.peak": "8192\n", "memory.current": "4096\n"}, 8192),
        (2, {"memory.current": "4096\n"}, 4096),  # before Linux 5.19
        (2, {"memory.current": "none\n"}, 0),
        (1, {}, 0),
    ],
)
def test_peak_memory_is_read(
    tmp_path: Path, version: int, files: dict[str, str], peak: int
) -> None:
    made = group(tmp_path, version)
    for name, text in files.items():
        (tmp_path / "group" / name).write_text(text)
    assert made.peak_bytes() == peak


def test_version_2_kills_with_one_write(tmp_path: Path) -> None:
    made = group(tmp_path, 2, "cgroup.kill")
    made.kill()
    assert (tmp_path / "group" / "cgroup.kill").read_text() == "1"


def test_version_1_thaws_what_it_kills_and_one_that_is_gone_is_no_error(tmp_path: Path) -> None:
    made = group(tmp_path, 1, "freezer.state", "cgroup.procs")
    made.kill()
    assert (tmp_path / "group" / "freezer.state").read_text() == "THAWED"
    Group(1, dict.fromkeys(CONTROLLERS, tmp_path / "gone")).kill()


def test_each_process_is_told_once(tmp_path: Path) -> None:
    folders = {}
    for name in ("memory", "cpu"):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        (folders[name] / "cgroup.procs").write_text("7\n9\n")
    made = Group(1, folders)
    assert made.processes() == (7, 9)
    assert made.entrances == tuple(folder / "cgroup.procs" for folder in folders.values())


def test_groups_are_made_and_removed_in_every_tree(tmp_path: Path) -> None:
    found = discover(version_1(tmp_path))
    made = found.create("e1")
    assert all((base / "e1").is_dir() for base in found.bases.values())
    assert made.remove()
    assert made.remove()
    found.close()
    assert not any(base.exists() for base in found.bases.values())


def test_a_group_with_something_inside_is_not_removed_but_the_others_are(tmp_path: Path) -> None:
    found = discover(version_1(tmp_path))
    made = found.create("e1")
    (made.folders["memory"] / "busy").mkdir()
    assert not made.remove()
    assert [name for name in CONTROLLERS if made.folders[name].exists()] == ["memory"]
    found.close()
    assert found.bases["memory"].exists()


def test_a_group_that_cannot_be_made_leaves_none_of_its_parts(tmp_path: Path) -> None:
    found = discover(version_1(tmp_path))
    (found.bases["freezer"] / "e1").write_text("in the way")
    with pytest.raises(FileExistsError):
        found.create("e1")
    (found.bases["freezer"] / "e1").unlink()
    assert not any((base / "e1").exists() for base in found.bases.values())

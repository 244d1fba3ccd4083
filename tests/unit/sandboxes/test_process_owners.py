"""What a killed server leaves is known by its name; users are given out one by one."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import pytest

from lambda_home.sandboxes import process_table
from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.process_cgroups import Cgroups
from lambda_home.sandboxes.process_owners import Uids, is_dead, owner, private_folder, reap

WHOLE = "0 0 4294967295\n"


def test_only_dead_servers_are_dead() -> None:
    pid, started, namespace = owner().split(".")
    assert not is_dead(owner())
    assert is_dead(f"{pid}.{int(started) + 1}"), "its pid is another process's now"
    assert is_dead(f"{pid}.{int(started) + 1}.{namespace}")
    assert not is_dead(f"{pid}.{int(started) + 1}.{int(namespace) + 1}"), "of another container"
    assert is_dead("4194999.1")
    assert not is_dead("no-server")
    assert not is_dead("123")


def test_reaping_takes_from_the_dead_and_spares_the_living(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cgroups = Cgroups(1, {"pids": tmp_path / "p", "memory": tmp_path / "m"}, "")
    living, dead = f"{owner()}-abc", "4194999.1-abc"
    for base in ("p", "m"):
        (tmp_path / base / living).mkdir(parents=True)
    (tmp_path / "m" / dead).mkdir()  # its other half went in time
    (tmp_path / "m" / "somebody-elses").mkdir()
    mine = private_folder(None)
    (tmp_path / f"lambda-home-tmp-{dead}" / "inner").mkdir(parents=True)
    asyncio.run(reap(cgroups))
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.glob("*")}
    assert left == {"p", "m", mine.name}
    assert {path.name for path in (tmp_path / "m").iterdir()} == {living, "somebody-elses"}


def test_a_private_folder_is_its_users_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert private_folder(os.getuid()).stat().st_mode & 0o777 == 0o700


def test_every_environment_gets_another_user() -> None:
    uids = Uids(WHOLE)
    taken = {uids.take() for _ in range(100)}
    assert len(taken) == 100
    assert all(1_900_000_000 <= uid < 1_900_065_536 for uid in taken)


def test_a_user_is_not_used_again_at_once() -> None:
    uids = Uids(WHOLE)
    first = uids.take()
    uids.give_back(first)
    uids.give_back(None)
    assert uids.take() != first


def test_a_user_with_processes_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_table, "owned_by", lambda uid: (1,) * (uid % 2))
    uids = Uids(WHOLE)
    assert {uids.take() % 2 for _ in range(10)} == {0}


def test_a_container_with_few_ids_gets_ids_that_it_has() -> None:
    uids = Uids("0 100000 65536\n")
    assert 60_000 <= uids.take() < 65_536
    with pytest.raises(SandboxError, match="user id"):
        Uids("0 1000 1\n").take()

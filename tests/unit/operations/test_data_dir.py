from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambda_home.errors import LambdaHomeError
from lambda_home.operations import data_dir


def test_a_data_directory_has_one_user_at_a_time(tmp_path: Path) -> None:
    target = tmp_path / "a" / "data"
    with data_dir.taken(target):
        assert data_dir.is_taken(target)
        with pytest.raises(data_dir.InUseError, match="in use by another server: stop it"):
            data_dir.take(target)
    assert not data_dir.is_taken(target)
    with data_dir.taken(target):
        pass


def test_asking_whether_it_is_taken_makes_nothing(tmp_path: Path) -> None:
    assert not data_dir.is_taken(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_the_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(LambdaHomeError, match=r"Cannot use the data directory .*; name"):
        data_dir.take(tmp_path / "data")


def test_only_temporary_directories_whose_lock_nobody_holds_are_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    alive, lock = data_dir.make_temporary()
    dead, ended = data_dir.make_temporary()
    (dead / "code").mkdir()
    (dead / "code" / "x").write_text("x")
    os.close(ended)
    without_lock = tmp_path / "lambda-home-tmp-1.2-x"
    without_lock.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / data_dir.LOCK_FILE).write_text("")
    (tmp_path / "lambda-home-link").symlink_to(elsewhere)
    (tmp_path / "lambda-home-file").write_text("")
    try:
        assert data_dir.clear_leftovers() == [dead]
        assert not dead.exists()
        assert alive.exists()
        assert without_lock.exists()
        assert (elsewhere / data_dir.LOCK_FILE).exists()
    finally:
        os.close(lock)

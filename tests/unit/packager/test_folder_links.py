"""Unpacking a package that differs in little from one that is unpacked already."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from live import zip_of

from lambda_home.packager.folder import FolderPreparer
from lambda_home.packager.store import CodeStore
from lambda_home.sandboxes.base import Package

FILES = {"app.py": "first", "lib/same.py": "same", "lib/gone.py": "gone"}


@pytest.fixture
def store(tmp_path: Path) -> CodeStore:
    return CodeStore(tmp_path / "code")


@pytest.fixture
def folders(tmp_path: Path, store: CodeStore) -> FolderPreparer:
    return FolderPreparer(store, tmp_path / "unpacked", lambda _: None)


def unpacked(folders: FolderPreparer, key: str) -> Path:
    return Path(asyncio.run(folders.prepare(Package(key, "python3.12"))).code)


def test_files_that_are_the_same_are_links_and_others_are_not(
    store: CodeStore, folders: FolderPreparer
) -> None:
    first = store.put(zip_of(FILES))
    before = unpacked(folders, first.key)
    second = store.put(zip_of({"app.py": "secon", "lib/same.py": "same", "new": "x"}), first.key)
    after = unpacked(folders, second.key)
    assert (after / "lib/same.py").samefile(before / "lib/same.py")
    assert (after / "app.py").read_text() == "secon"
    assert (before / "app.py").read_text() == "first"
    assert not (after / "lib/gone.py").exists()
    assert (after / "new").read_text() == "x"


def test_what_is_linked_stays_when_the_one_before_goes(
    store: CodeStore, folders: FolderPreparer
) -> None:
    first = store.put(zip_of(FILES))
    before = unpacked(folders, first.key)
    second = store.put(zip_of({**FILES, "app.py": "second"}), first.key)
    after = unpacked(folders, second.key)
    asyncio.run(folders.discard_except(frozenset({second.key})))
    assert not before.exists()
    assert (after / "lib/same.py").read_text() == "same"
    assert (after / "lib/same.py").stat().st_mode & 0o222 == 0


def test_one_that_is_not_unpacked_or_not_there_is_done_without(
    store: CodeStore, folders: FolderPreparer
) -> None:
    first = store.put(zip_of(FILES))
    second = store.put(zip_of({**FILES, "app.py": "second"}), first.key)
    third = store.put(zip_of({**FILES, "app.py": "third"}), "0" * 64)
    assert (unpacked(folders, second.key) / "app.py").read_text() == "second"
    assert (unpacked(folders, third.key) / "lib/same.py").read_text() == "same"

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lambda_home.packager.archive import code_of
from lambda_home.packager.store import CodeStore, CodeUnavailableError

NOBODY = "0" * 64


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def test_what_was_put_is_found_by_its_key(tmp_path: Path) -> None:
    store = CodeStore(tmp_path / "made" / "code")
    code = store.put(b"package")
    assert code == code_of(b"package")
    assert store.has(code.key)
    assert store.read(code.key) == b"package"
    assert store.path(code.key).read_bytes() == b"package"
    with store.open(code.key) as package:
        assert package.read() == b"package"


def test_the_next_store_finds_what_the_last_one_put(tmp_path: Path) -> None:
    key = CodeStore(tmp_path).put(b"package").key
    assert CodeStore(tmp_path).read(key) == b"package"


def test_the_same_content_is_one_file(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    first = store.put(b"package")
    inode = store.path(first.key).stat().st_ino
    assert store.put(bytearray(b"package")) == first
    assert store.path(first.key).stat().st_ino == inode
    assert names(tmp_path) == {f"{first.key}.zip"}


def test_parallel_puts_leave_whole_packages_only(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    packages = [bytes([n % 4]) * 200_000 for n in range(32)]
    together = threading.Barrier(8)

    def put(package: bytes) -> str:
        together.wait(timeout=30)
        return store.put(package).key

    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(put, packages))
    assert len(keys) == 4
    assert names(tmp_path) == {f"{key}.zip" for key in keys}
    assert {store.read(key)[0] for key in keys} == {0, 1, 2, 3}


def test_a_put_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    blocked = store.path(code_of(b"package").key)
    blocked.mkdir()  # the rename onto it fails
    with pytest.raises(OSError, match=r".*"):
        store.put(b"package")
    assert names(tmp_path) == {blocked.name}


def test_half_written_files_of_a_killed_server_are_removed(tmp_path: Path) -> None:
    key = CodeStore(tmp_path).put(b"package").key
    (tmp_path / ".put-abc123").write_bytes(b"pack")
    CodeStore(tmp_path)
    assert names(tmp_path) == {f"{key}.zip"}


def test_a_package_cut_short_is_told_and_mended_by_the_next_put(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    key = store.put(b"package").key
    store.path(key).write_bytes(b"pack")
    with pytest.raises(CodeUnavailableError, match="damaged"):
        store.read(key)
    store.put(b"package")
    assert store.read(key) == b"package"


def test_a_missing_package_is_told_by_its_key(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    assert not store.has(NOBODY)
    with pytest.raises(CodeUnavailableError, match=NOBODY):
        store.open(NOBODY)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "../../etc/passwd",
        "a" * 63,
        "a" * 65,
        "A" * 64,
        "g" * 64,
        f"../{'a' * 61}",
        "a" * 64 + "\n",
    ],
)
def test_a_key_can_name_nothing_but_a_package(tmp_path: Path, key: str) -> None:
    store = CodeStore(tmp_path)
    for use in (store.path, store.has, store.open, store.read):
        with pytest.raises(ValueError, match="not a code key"):
            use(key)


def test_everything_but_the_kept_keys_is_deleted(tmp_path: Path) -> None:
    clock = Clock()
    store = CodeStore(tmp_path, clock)
    kept, other = store.put(b"kept").key, store.put(b"other").key
    (tmp_path / "readme.zip").write_bytes(b"not ours")
    clock.now += 60
    assert store.delete_except(frozenset({kept}), grace_s=60) == {other}
    assert names(tmp_path) == {f"{kept}.zip", "readme.zip"}


def test_what_was_just_put_is_not_deleted(tmp_path: Path) -> None:
    clock = Clock()
    store = CodeStore(tmp_path, clock)
    key = store.put(b"package").key
    clock.now += 59
    assert store.delete_except(frozenset(), grace_s=60) == frozenset()
    clock.now += 1
    assert store.delete_except(frozenset(), grace_s=60) == {key}


def test_putting_known_content_again_renews_its_grace(tmp_path: Path) -> None:
    clock = Clock()
    store = CodeStore(tmp_path, clock)
    key = store.put(b"package").key
    clock.now += 100
    store.put(b"package")
    assert store.delete_except(frozenset(), grace_s=60) == frozenset()
    assert store.has(key)


def test_nothing_has_grace_after_a_restart(tmp_path: Path) -> None:
    key = CodeStore(tmp_path, Clock()).put(b"package").key
    assert CodeStore(tmp_path, Clock()).delete_except(frozenset(), grace_s=60) == {key}


def test_an_open_package_outlives_its_deletion(tmp_path: Path) -> None:
    store = CodeStore(tmp_path)
    key = store.put(b"package").key
    with store.open(key) as package:
        assert store.delete_except(frozenset(), grace_s=0) == {key}
        assert package.read() == b"package"

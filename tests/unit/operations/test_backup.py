from __future__ import annotations

import gzip
import io
import os
import sqlite3
import stat
import tarfile
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from lambda_home.arns import Scope
from lambda_home.errors import LambdaHomeError
from lambda_home.operations import data_dir
from lambda_home.operations.backup import Source, backup
from lambda_home.operations.restore import restore
from lambda_home.packager.store import CodeStore
from lambda_home.registry.database import Database
from lambda_home.registry.layers import Layers
from lambda_home.registry.resources import ResourceKind, Resources

HERE = Scope("000000000000", "us-east-1")
CODE = b"PK\x05\x06" + bytes(18)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A data directory with a package that the database needs, and one that nobody needs."""
    folder = tmp_path / "data"
    database = Database.open(folder / "lhome.db")
    store = CodeStore(folder / "code")
    Layers(database).publish(HERE, "layer", store.put(CODE), {})
    store.put(b"nobody needs this")
    Resources(database).change(HERE, ResourceKind.SECRET, "S", lambda _: {"value": "x"})
    database.close()
    (folder / "secrets.key").write_text("a key\n")
    with closing(sqlite3.connect(folder / "logs.db")) as logs:
        logs.execute("CREATE TABLE lines (x)")
    return Source(folder, folder / "lhome.db")


def names(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path.name != data_dir.LOCK_FILE
    }


def test_a_backup_takes_the_place_of_nothing_but_a_file(source: Source, tmp_path: Path) -> None:
    pipe, folder, link = tmp_path / "pipe", tmp_path / "folder", tmp_path / "link"
    os.mkfifo(pipe)
    folder.mkdir()
    link.symlink_to(pipe)
    for special in (pipe, folder, link):
        with pytest.raises(LambdaHomeError, match="is no file: name another"):
            backup(source, special, 5.0)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("with_logs", [False, True])
@pytest.mark.parametrize("with_key", [False, True])
def test_a_backup_is_restored_as_what_it_was_made_of(
    source: Source, tmp_path: Path, *, with_logs: bool, with_key: bool
) -> None:
    file, target = tmp_path / "file", tmp_path / "other" / "data"
    made = backup(source, file, 5.0, with_logs=with_logs, with_key=with_key)
    assert made.needs_key is not with_key
    assert file.stat().st_mode & 0o777 == 0o600
    restored = restore(file, target)
    assert restored.needs_key is not with_key
    wanted = {
        "lhome.db",
        *(["logs.db"] if with_logs else []),
        *(["secrets.key"] if with_key else []),
    }
    found = names(target)
    assert {name for name in found if not name.startswith("code/")} == wanted
    (package,) = (target / "code").iterdir()
    assert package.read_bytes() == CODE
    assert all((target / name).stat().st_mode & 0o077 == 0 for name in found)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "file", "other"}


def test_a_backup_made_while_somebody_writes_is_one_moment(source: Source, tmp_path: Path) -> None:
    database = Database.open(source.database)
    resources = Resources(database)
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            changes = {name: {"number": number} for name in ("a", "b")}
            resources.change_all(HERE, ResourceKind.ROUTE, lambda _, c=changes: c)  # type: ignore[misc]

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            backup(source, tmp_path / f"file{number}", 5.0)
    finally:
        ended.set()
        writer.join()
        database.close()
    for number in range(3):
        restore(tmp_path / f"file{number}", tmp_path / f"r{number}")
        copy = Database.open(tmp_path / f"r{number}" / "lhome.db")
        documents = Resources(copy).all_of(HERE, ResourceKind.ROUTE)
        copy.close()
        assert len({document["number"] for document in documents.values()}) <= 1


def test_without_a_database_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    with pytest.raises(LambdaHomeError, match="There is no database"):
        backup(Source(tmp_path, tmp_path / "lhome.db"), tmp_path / "file", 5.0)
    assert not list(tmp_path.iterdir())


def test_a_package_that_is_missing_for_good_is_told_and_leaves_no_file(
    source: Source, tmp_path: Path
) -> None:
    for package in (source.data_dir / "code").iterdir():
        package.unlink()
    with pytest.raises(LambdaHomeError, match="try again"):
        backup(source, tmp_path / "file", 5.0)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_directory_that_is_not_empty_is_replaced_only_by_force_and_keeps_its_key(
    source: Source, tmp_path: Path
) -> None:
    file, target = tmp_path / "file", tmp_path / "target"
    backup(source, file, 5.0)
    target.mkdir()
    (target / "lhome.db").write_text("old")
    (target / "lhome.db-wal").write_text("old")
    (target / "secrets.key").write_text("theirs")
    with pytest.raises(LambdaHomeError, match="--force"):
        restore(file, target)
    assert (target / "lhome.db").read_text() == "old"
    assert not restore(file, target, force=True).needs_key
    assert (target / "secrets.key").read_text() == "theirs"
    assert not (target / "lhome.db-wal").exists()
    assert len(list((target / "code").iterdir())) == 1
    assert not [name for name in names(target) if name.startswith(".re")]


def test_a_directory_that_a_server_uses_is_not_restored_into(
    source: Source, tmp_path: Path
) -> None:
    backup(source, tmp_path / "file", 5.0)
    with data_dir.taken(source.data_dir), pytest.raises(data_dir.InUseError):
        restore(tmp_path / "file", source.data_dir, force=True)


Members = dict[str, tuple[tarfile.TarInfo, bytes]]


def rewritten(file: Path, change: Callable[[Members], Mapping[str, object] | None]) -> None:
    """Write a backup anew after a change of its members."""
    members: Members = {}
    with tarfile.open(file) as archive:
        for head in archive:
            content = archive.extractfile(head)
            assert content is not None
            members[head.name] = (head, content.read())
    change(members)
    with tarfile.open(file, "w:gz") as archive:
        for head, data in members.values():
            if head.isreg():
                head.size = len(data)
            archive.addfile(head, io.BytesIO(data))


def damaged_package(members: Members) -> None:
    name = next(name for name in members if name.startswith("code/"))
    members[name] = (members[name][0], bytes(len(CODE)))


def shorter_package(members: Members) -> None:
    name = next(name for name in members if name.startswith("code/"))
    members[name] = (members[name][0], b"")


def one_more(members: Members) -> None:
    members["x"] = (tarfile.TarInfo("../x"), b"x")


def a_link(members: Members) -> None:
    head = tarfile.TarInfo("lhome.db")
    head.type, head.linkname = tarfile.SYMTYPE, "/etc/passwd"
    members["lhome.db"] = (head, b"")


def one_less(members: Members) -> None:
    members.popitem()


def no_manifest(members: Members) -> None:
    del members["manifest.json"]


def newer(members: Members) -> None:
    head, text = members["manifest.json"]
    members["manifest.json"] = (head, text.replace(b'"schema": "', b'"schema": "9'))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (damaged_package, "is damaged"),
        (shorter_package, "in the place of"),
        (one_more, "does not list"),
        (a_link, "is no file"),
        (one_less, "cannot be restored"),
        (no_manifest, "is no backup"),
        (newer, "upgrade it"),
    ],
)
def test_a_backup_that_was_changed_is_refused_in_one_line_and_changes_nothing(
    source: Source, tmp_path: Path, change: Callable[[Members], None], said: str
) -> None:
    file, target = tmp_path / "file", tmp_path / "target"
    backup(source, file, 5.0)
    rewritten(file, change)
    with pytest.raises(LambdaHomeError, match=said) as caught:
        restore(file, target)
    assert "\n" not in str(caught.value)
    assert not target.exists()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "content", [b"", b"no backup", gzip.compress(b"no backup"), gzip.compress(bytes(20_000))]
)
def test_another_file_is_no_backup(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(LambdaHomeError, match="cannot be restored"):
        restore(tmp_path / "file", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_backup_that_is_cut_off_anywhere_is_refused(source: Source, tmp_path: Path) -> None:
    backup(source, tmp_path / "file", 5.0)
    whole = (tmp_path / "file").read_bytes()
    for length in range(0, len(whole) - 100, max(1, len(whole) // 40)):
        (tmp_path / "part").write_bytes(whole[:length])
        with pytest.raises(LambdaHomeError, match="cannot be restored"):
            restore(tmp_path / "part", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(LambdaHomeError, match="There is no backup"):
        restore(tmp_path / "file", tmp_path / "target")

from __future__ import annotations

import asyncio
import os
import stat
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zips import FILE, LINK, Item, hand_made, zip_of

from lambda_home.errors import ApiError, InvalidParameterValueException
from lambda_home.packager import folder as folder_module
from lambda_home.packager.archive import inspect
from lambda_home.packager.folder import FolderPreparer, extract, remove_tree
from lambda_home.packager.layers import Piece, pieces
from lambda_home.packager.store import CodeStore
from lambda_home.sandboxes.base import Package, SandboxError

RUNTIME = "python3.12"


def anything_runs(_runtime: str) -> None:
    return


class World:
    """A store and a preparer in a folder, and what is around them."""

    def __init__(self, root: Path) -> None:
        self.store = CodeStore(root / "code")
        self.unpacked = root / "unpacked"
        self.preparer = self.restarted()

    def restarted(self) -> FolderPreparer:
        return FolderPreparer(self.store, self.unpacked, anything_runs)

    def folders(self) -> set[str]:
        return {path.name for path in self.unpacked.iterdir() if path.is_dir()}

    def prepare(self, data: bytes) -> Path:
        package = Package(self.store.put(data).key, RUNTIME)
        return Path(asyncio.run(self.preparer.prepare(package)).code)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def unpack(data: bytes, target: Path, *, read_only: bool = False) -> Path:
    target.mkdir()
    extract(pieces(inspect(data), data), target, read_only=read_only)
    return target


def wait_for_folder(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.is_dir():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# extract


def test_a_package_comes_out_as_it_went_in(tmp_path: Path) -> None:
    out = unpack(
        hand_made(
            [
                Item("app.py", b"print()"),
                Item("bootstrap", b"#!/bin/sh", stat.S_IFREG | 0o755),
                Item("lib/grüße/日本.txt", "こんにちは".encode()),
                Item("back\\slash", b"literal"),
                Item("empty/", b"", stat.S_IFDIR | 0o755),
                Item("zero", b""),
                Item("lib/now", b"../app.py", LINK),
            ]
        ),
        tmp_path / "out",
    )
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*")) == [
        "app.py",
        "back\\slash",
        "bootstrap",
        "empty",
        "lib",
        "lib/grüße",
        "lib/grüße/日本.txt",
        "lib/now",
        "zero",
    ]
    assert (out / "app.py").read_bytes() == b"print()"
    assert (out / "lib/grüße/日本.txt").read_text() == "こんにちは"
    assert (out / "lib/now").readlink() == Path("../app.py")
    assert mode_of(out / "app.py") == 0o644
    assert mode_of(out / "bootstrap") == 0o755
    assert mode_of(out / "lib") == 0o755
    assert (out / "app.py").stat().st_mtime == 1_612_310_400
    assert (out / "empty").stat().st_mtime == 1_612_310_400


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        out = unpack(zip_of({"d/a.py": "x"}), tmp_path / "out")
    finally:
        os.umask(before)
    assert [mode_of(out), mode_of(out / "d"), mode_of(out / "d/a.py")] == [0o755, 0o755, 0o644]


def test_a_read_only_tree_can_be_written_by_nobody(tmp_path: Path) -> None:
    data = hand_made([Item("d/run", mode=stat.S_IFREG | 0o777), Item("a", mode=FILE | 0o022)])
    out = unpack(data, tmp_path / "out", read_only=True)
    assert mode_of(out / "d/run") == 0o555
    assert mode_of(out / "a") == 0o444
    assert mode_of(out / "d") == mode_of(out) == 0o555


@pytest.mark.parametrize(
    "bad", [Item("z", b"text", crc=1), Item("z", bytes(1 << 24), size=9), Item("z", b"t", size=99)]
)
def test_nothing_stays_of_a_package_whose_contents_lie(tmp_path: Path, bad: Item) -> None:
    with pytest.raises(InvalidParameterValueException):
        unpack(hand_made([Item("a/b", b"good"), bad]), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    data = zip_of({"a.py": "x"})
    with pytest.raises(ValueError, match="not an empty folder"):
        extract(pieces(inspect(data), data), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_unpacking_does_not_start_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to("elsewhere")
    data = zip_of({"a.py": "x"})
    with pytest.raises(ValueError, match="not an empty folder"):
        extract(pieces(inspect(data), data), tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


HOSTILE = [
    [Item("../escaped")],
    [Item("a/../../escaped")],
    [Item("/tmp/escaped")],
    [Item("l", b"..", LINK), Item("l/escaped")],
    [Item("l", b"/tmp", LINK), Item("l/escaped")],
    [Item("d/l", b"..", LINK), Item("m", b"d/l/..", LINK), Item("m/escaped")],
    [Item("l", b"../victim", LINK), Item("l")],
    [Item("l", b"../victim", LINK)],
]


@pytest.mark.parametrize("items", HOSTILE)
def test_hostile_packages_write_nothing(tmp_path: Path, items: list[Item]) -> None:
    (tmp_path / "victim").write_text("untouched")
    data = hand_made(items)
    with pytest.raises(ApiError):
        unpack(data, tmp_path / "out")
    assert (tmp_path / "victim").read_text() == "untouched"
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "victim"]


PARTS = st.sampled_from(["..", ".", "", "a", "b", "l", "victim", "\\", "c:"])
NAMES = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
MODES = st.sampled_from([0, FILE, LINK, stat.S_IFDIR | 0o755, stat.S_IFREG | 0o4000])
ITEMS = st.builds(Item, name=NAMES, content=NAMES.map(str.encode), mode=MODES)


@settings(max_examples=300, deadline=None)
@given(items=st.lists(ITEMS, min_size=1, max_size=4), flip=st.integers(0, 10_000))
def test_whatever_a_zip_says_nothing_outside_changes(
    tmp_path_factory: pytest.TempPathFactory, items: list[Item], flip: int
) -> None:
    top = tmp_path_factory.mktemp("top")
    (top / "victim").write_text("untouched")
    before = sorted(top.rglob("*"))
    data = bytearray(hand_made(items))
    if flip < len(data):
        data[flip] ^= 0x21
    out = top / "out"
    try:
        unpack(bytes(data), out)
    except ApiError:
        remove_tree(out)  # there still if `inspect` refused it
    else:
        for path in out.rglob("*"):
            if path.is_symlink():
                assert Path(os.path.realpath(path)).is_relative_to(out)
        remove_tree(out)
    assert sorted(top.rglob("*")) == before
    assert (top / "victim").read_text() == "untouched"


# remove_tree


def test_a_read_only_tree_is_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o750)
    (outside / "a").write_text("stays")
    tree = unpack(zip_of({"d/e/a.py": "x"}), tmp_path / "tree")
    (tree / "d" / "link").symlink_to(outside)
    for path in (tree / "d/e", tree / "d", tree):
        path.chmod(0o555)
    remove_tree(tree)
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "a").read_text() == "stays"
    assert mode_of(outside) == 0o750


def test_removing_what_is_not_there_or_is_a_link_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    remove_tree(tmp_path / "missing")
    remove_tree(tmp_path / "link")
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link"}


# FolderPreparer


def test_a_prepared_folder_holds_the_code_for_everyone_to_read(world: World) -> None:
    folder = world.prepare(zip_of({"app.py": "x = 1", "lib/b.py": "y = 2"}))
    assert folder.parent == world.unpacked
    assert (folder / "lib/b.py").read_text() == "y = 2"
    modes = [mode_of(path) for path in (world.unpacked, folder, folder / "lib", folder / "app.py")]
    assert modes == [0o755, 0o555, 0o555, 0o444]


def test_preparing_again_unpacks_nothing(world: World) -> None:
    data = zip_of({"app.py": "x"})
    folder = world.prepare(data)
    inode = folder.stat().st_ino
    assert world.prepare(data).stat().st_ino == inode


def test_the_runtime_is_asked_for_before_anything_else(tmp_path: Path) -> None:
    def missing(runtime: str) -> None:
        raise SandboxError(f"{runtime} is not installed")

    preparer = FolderPreparer(CodeStore(tmp_path / "code"), tmp_path / "unpacked", missing)
    with pytest.raises(SandboxError, match=r"ruby3\.4 is not installed"):
        asyncio.run(preparer.prepare(Package("0" * 64, "ruby3.4")))


def test_a_hundred_callers_share_one_unpacking(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpacked: list[Path] = []

    def counting(found: Sequence[Piece], target: Path, *, read_only: bool, **more: Any) -> None:
        unpacked.append(target)
        extract(found, target, read_only=read_only, **more)

    monkeypatch.setattr(folder_module, "extract", counting)
    keys = [world.store.put(zip_of({"app.py": f"x = {n}"})).key for n in range(4)]

    async def main() -> set[str]:
        preparing = (world.preparer.prepare(Package(key, RUNTIME)) for key in keys * 25)
        return {prepared.code for prepared in await asyncio.gather(*preparing)}

    folders = asyncio.run(main())
    assert {Path(folder).name for folder in folders} == set(keys) == world.folders()
    assert len(unpacked) == 4


def test_a_caller_that_gives_up_does_not_spoil_it_for_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = world.store.put(zip_of({"app.py": "x"})).key
    gates = [threading.Event(), threading.Event()]
    begun = [threading.Event(), threading.Event()]
    turns = iter((0, 1))

    def slow(found: Sequence[Piece], target: Path, *, read_only: bool, **more: Any) -> None:
        turn = next(turns)
        begun[turn].set()
        assert gates[turn].wait(30)
        extract(found, target, read_only=read_only, **more)

    monkeypatch.setattr(folder_module, "extract", slow)

    async def main() -> str:
        impatient = asyncio.ensure_future(world.preparer.prepare(Package(key, RUNTIME)))
        assert await asyncio.to_thread(begun[0].wait, 30)
        impatient.cancel()
        await asyncio.gather(impatient, return_exceptions=True)
        patient = asyncio.ensure_future(world.preparer.prepare(Package(key, RUNTIME)))
        assert await asyncio.to_thread(begun[1].wait, 30)
        gates[0].set()  # the thread of the one who gave up wins after all
        await asyncio.to_thread(wait_for_folder, world.unpacked / key)
        gates[1].set()
        return (await patient).code

    folder = Path(asyncio.run(main()))
    assert (folder / "app.py").read_text() == "x"
    assert world.folders() == {key}


def test_code_that_is_not_there_or_damaged_is_a_sandbox_error(world: World) -> None:
    key = world.store.put(zip_of({"app.py": "x"})).key
    world.store.path(key).write_bytes(b"not any more")
    for lost, why in ((key, "damaged"), ("0" * 64, "not in the store")):
        with pytest.raises(SandboxError, match=why):
            asyncio.run(world.preparer.prepare(Package(lost, RUNTIME)))
    assert world.folders() == set()


def test_code_that_cannot_be_unpacked_is_a_sandbox_error_and_leaves_nothing(world: World) -> None:
    for data in (b"no zip", hand_made([Item("a"), Item("b", crc=1)]), hand_made([Item("../a")])):
        with pytest.raises(SandboxError, match="Cannot unpack the code: Could not"):
            world.prepare(data)
    assert world.folders() == set()


def test_a_full_disk_is_a_sandbox_error_and_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    key = world.store.put(zip_of({"app.py": "x"})).key
    monkeypatch.setattr(os, "write", full)

    async def main() -> str:
        with pytest.raises(SandboxError) as caught:
            await world.preparer.prepare(Package(key, RUNTIME))
        return str(caught.value)

    assert "No space left on device" in asyncio.run(main())
    assert world.folders() == set()


def test_a_key_cannot_lead_out_of_the_root(world: World) -> None:
    with pytest.raises(ValueError, match="not a code key"):
        asyncio.run(world.preparer.prepare(Package("../code", RUNTIME)))


def test_what_an_interrupted_server_left_is_removed_and_the_rest_kept(world: World) -> None:
    folder = world.prepare(zip_of({"app.py": "x"}))
    half = world.unpacked / ".unpacking-abc"
    (half / "d").mkdir(parents=True)
    (half / "d" / "app.py").write_text("x =")
    (half / "d").chmod(0o555)
    (world.unpacked / f".discarded-{'1' * 64}" / "lib").mkdir(parents=True)
    world.restarted()
    assert world.folders() == {folder.name}


def test_folders_from_before_a_reboot_are_not_trusted(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = zip_of({"app.py": "x"})
    folder = world.prepare(data)
    (tmp_path / "boot_id").write_text("the next one")
    monkeypatch.setattr(folder_module, "_BOOT_ID", tmp_path / "boot_id")
    world.preparer = world.restarted()
    assert world.folders() == set()
    assert world.prepare(data) == folder
    world.restarted()
    assert world.folders() == {folder.name}


def test_discarding_keeps_what_is_asked_for(world: World) -> None:
    kept, other = (world.prepare(zip_of({"d/app.py": text})) for text in ("1", "2"))
    (world.unpacked / "notes").mkdir()
    asyncio.run(world.preparer.discard_except(frozenset({kept.name})))
    assert world.folders() == {kept.name, "notes"}
    asyncio.run(world.preparer.discard_except(frozenset({kept.name, other.name})))
    assert world.prepare(zip_of({"d/app.py": "2"})) == other


def test_what_is_discarded_loses_its_name_before_anything_is_awaited(world: World) -> None:
    data = zip_of({"app.py": "x"})
    folder = world.prepare(data)

    async def main() -> None:
        discarding = asyncio.ensure_future(world.preparer.discard_except(frozenset()))
        await asyncio.sleep(0)
        assert not folder.exists()
        again = await world.preparer.prepare(Package(folder.name, RUNTIME))
        await discarding
        assert again.code == str(folder)

    asyncio.run(main())
    assert (folder / "app.py").read_text() == "x"
    assert world.folders() == {folder.name}


def test_discarding_spares_what_is_being_prepared(world: World) -> None:
    key = world.store.put(zip_of({"app.py": "x"})).key
    unpacked, go_on = threading.Event(), threading.Event()

    class SlowToReturn(FolderPreparer):
        def _unpack(self, zips: tuple[str, ...], folder: Path) -> None:
            super()._unpack(zips, folder)
            unpacked.set()
            assert go_on.wait(30)

    preparer = SlowToReturn(world.store, world.unpacked, anything_runs)

    async def main() -> str:
        preparing = asyncio.ensure_future(preparer.prepare(Package(key, RUNTIME)))
        assert await asyncio.to_thread(unpacked.wait, 30)
        await preparer.discard_except(frozenset())
        go_on.set()
        return (await preparing).code

    assert (Path(asyncio.run(main())) / "app.py").read_text() == "x"

"""Layers unzipped one over the other, and the folders that hold what comes of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from zips import FILE, FOLDER, LINK, Item, hand_made

from lambda_home.errors import InvalidParameterValueException
from lambda_home.functions import layers_key
from lambda_home.packager.archive import inspect
from lambda_home.packager.folder import FolderPreparer, extract
from lambda_home.packager.layers import merged
from lambda_home.packager.store import CodeStore
from lambda_home.sandboxes.base import Package, Prepared, SandboxError

RUNTIME = "python3.12"


def file(name: str, content: str = "", mode: int = 0o644) -> Item:
    return Item(name, (content or name).encode(), (FILE & ~0o777) | mode)


def link(name: str, target: str) -> Item:
    return Item(name, target.encode(), LINK, method=0)


def folder(name: str) -> Item:
    return Item(f"{name}/", b"", FOLDER, method=0)


def seen(root: Path) -> dict[str, str]:
    """All files with their contents, links with their targets, folders with nothing in them."""
    found = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"  # noqa: PTH115 - as it is, not made normal
        elif path.is_file():
            found[name] = path.read_text()
        elif not any(path.iterdir()):
            found[name] = "/"
    return found


def unzipped(target: Path, *layers: list[Item]) -> dict[str, str]:
    datas = [hand_made(layer) for layer in layers]
    target.mkdir()
    extract(merged([(inspect(data), data) for data in datas]), target, read_only=True)
    return seen(target)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        pytest.param([[file("a", "1")]], {"a": "1"}, id="one"),
        pytest.param([[file("a", "1")], [file("b", "2")]], {"a": "1", "b": "2"}, id="both"),
        pytest.param([[file("a", "1")], [file("a", "2")]], {"a": "2"}, id="the later wins"),
        pytest.param(
            [[file("a", "1")], [file("a", "2")], [file("a", "3"), file("b", "3")]],
            {"a": "3", "b": "3"},
            id="the last wins",
        ),
        pytest.param(
            [[file("d/a", "1"), file("d/b", "1")], [file("d/b", "2"), file("d/c", "2")]],
            {"d/a": "1", "d/b": "2", "d/c": "2"},
            id="folders become one",
        ),
        pytest.param(
            [[file("d/a", "1")], [folder("d")]], {"d/a": "1"}, id="a folder empties nothing"
        ),
        pytest.param([[file("d/e/a", "1")], [file("d", "2")]], {"d": "2"}, id="file over folder"),
        pytest.param([[file("d", "1")], [file("d/a", "2")]], {"d/a": "2"}, id="folder over file"),
        pytest.param(
            [[file("a", "1"), link("l", "a")], [file("l", "2")]],
            {"a": "1", "l": "2"},
            id="a file replaces a link and not what it names",
        ),
        pytest.param([[file("d/a", "1")], [link("d", "e")]], {"d": "-> e"}, id="link over folder"),
        pytest.param(
            [[file("lib/a", "1"), link("lib64", "lib")], [file("lib64/b", "2")]],
            {"lib/a": "1", "lib/b": "2", "lib64": "-> lib"},
            id="through a link to a folder",
        ),
        pytest.param(
            [
                [file("x/lib/a", "1"), link("y/to", "../x"), link("z", "y/./to//lib")],
                [file("z/a", "2"), file("z/d/b", "2")],
            ],
            {"x/lib/a": "2", "x/lib/d/b": "2", "y/to": "-> ../x", "z": "-> y/./to//lib"},
            id="through links behind links",
        ),
        pytest.param(
            [[link("l", "gone")], [file("l/a", "2")]], {"l/a": "2"}, id="over a link to nothing"
        ),
        pytest.param(
            [[file("a", "1"), link("l", "a")], [file("l/b", "2")]],
            {"a": "1", "l/b": "2"},
            id="over a link to a file",
        ),
        pytest.param(
            [[link("l", "m"), link("m", "d")], [link("m", "l")], [file("l/a", "3")]],
            {"l/a": "3", "m": "-> l"},
            id="over a link without end",
        ),
        pytest.param(
            [
                [file("p/q/a", "1"), link("up", "p/q/../..")],
                [link("p/q", "r"), file("p/r/s", "2")],
                [file("up/b", "3")],
            ],
            {"p/q": "-> r", "p/r/s": "2", "up": "-> p/q/../..", "b": "3"},
            id="up within the root",
        ),
        pytest.param(
            [
                [file("p/q/a", "1"), link("up", "p/q/../..")],
                [link("p/q", ".")],
                [file("up/b", "3")],
            ],
            {"p/q": "-> .", "up/b": "3"},
            id="never out of the root",
        ),
        pytest.param(
            [
                [link("lib-x", ".")],
                [file("lib/y", "2"), file("lib-x/lib", "2"), file("k", "2")],
            ],
            {"lib-x": "-> .", "lib": "2", "k": "2"},
            id="a folder that its own layer replaces through a link",
        ),
    ],
)
def test_layers_are_unzipped_one_over_the_other(
    tmp_path: Path, layers: list[list[Item]], expected: dict[str, str]
) -> None:
    assert unzipped(tmp_path / "opt", *layers) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["opt"]


def test_modes_are_those_of_the_layer_that_wins_and_nobody_may_write(tmp_path: Path) -> None:
    first = [file("bin/run", "1", 0o755), file("bin/data", "1", 0o600)]
    unzipped(tmp_path / "opt", first, [file("bin/data", "2", 0o740), file("bin/x", "2", 0o644)])
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "opt").rglob("*")}
    assert modes == {"bin": 0o555, "run": 0o555, "data": 0o555, "x": 0o444}


NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
TARGETS = st.lists(st.sampled_from(["a", "b", "c", "..", "."]), min_size=1, max_size=4)
ITEMS = st.one_of(NAMES.map(file), NAMES.map(folder), st.builds(link, NAMES, TARGETS.map("/".join)))


@settings(deadline=None, max_examples=150)
@example(layers=[[link("c", "a")], [file("a/c/a"), file("c/c")]])
@given(layers=st.lists(st.lists(ITEMS, min_size=1, max_size=5), min_size=2, max_size=4))
def test_any_layers_make_a_tree_that_stays_below_its_root(
    tmp_path_factory: pytest.TempPathFactory, layers: list[list[Item]]
) -> None:
    usable = []
    for layer in layers:
        data = hand_made(layer)
        try:
            usable.append((inspect(data), data))
        except InvalidParameterValueException:
            continue
    above = tmp_path_factory.mktemp("any")
    target = above / "opt"
    target.mkdir()
    pieces = merged(usable)
    extract(pieces, target)
    assert [path.name for path in above.iterdir()] == ["opt"]
    paths = {str(path.relative_to(target)) for path in target.rglob("*")}
    assert paths == {piece.entry.path for piece in pieces}
    last = usable[-1][0].entries if usable else ()
    gone = [target / entry.path for entry in last if not os.path.lexists(target / entry.path)]
    # Only a folder whose place another entry took, by way of a link, takes what it held along.
    for path in gone:
        assert any(above.is_file() or above.is_symlink() for above in path.parents)


def test_paths_that_get_too_long_together_are_refused(tmp_path: Path) -> None:
    name = "/".join("d" * 100)
    layers = [[file(f"{name}/a"), link("l", name)], [file(f"l/{name}/b")]]
    with pytest.raises(InvalidParameterValueException, match=r"layers do not fit.*too long"):
        unzipped(tmp_path / "opt", *layers)


def test_links_that_take_too_long_to_follow_are_refused(tmp_path: Path) -> None:
    way = "/".join(["."] * 500)
    chain = [link(f"l{n}", f"{way}/l{n + 1}") for n in range(38)] + [file("l38/a")]
    below = [link(f"m{n}", "l0") for n in range(100)]
    with pytest.raises(InvalidParameterValueException, match="one symbolic link too many"):
        unzipped(tmp_path / "opt", chain, below, [file(f"m{n}/b") for n in range(100)])


# ---------------------------------------------------------------------------- folders of layers


class World:
    """A store, and a preparer of folders."""

    def __init__(self, root: Path) -> None:
        self.store = CodeStore(root / "code")
        self.unpacked = root / "unpacked"
        self.preparer = self.restarted()
        self.code = self.put(file("app.py", "code"))

    def restarted(self) -> FolderPreparer:
        return FolderPreparer(self.store, self.unpacked, lambda _: None)

    def put(self, *items: Item) -> str:
        return self.store.put(hand_made(list(items))).key

    def prepare(self, *layers: str, code: str = "") -> Prepared:
        package = Package(code or self.code, RUNTIME, layers)
        return asyncio.run(self.preparer.prepare(package))

    def keep(self, *keys: str) -> set[str]:
        """Discard all but this; the names that are left."""
        asyncio.run(self.preparer.discard_except(frozenset(keys)))
        return {path.name for path in self.unpacked.iterdir()} - {".boot"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_layers_have_a_folder_that_functions_with_the_same_list_share(world: World) -> None:
    one, two = world.put(file("a", "1")), world.put(file("a", "2"))
    prepared = world.prepare(one, two)
    assert (Path(prepared.opt) / "a").read_text() == "2"
    other = world.prepare(one, two, code=world.put(file("other.py")))
    assert other.opt == prepared.opt
    assert other.code != prepared.code
    assert (Path(world.prepare(two, one).opt) / "a").read_text() == "1"
    assert (Path(world.prepare(one).opt) / "a").read_text() == "1"
    assert world.prepare().opt == ""


def test_a_list_has_another_key_than_its_layers_and_than_other_lists() -> None:
    keys = {
        layers_key(("a" * 64,)),
        layers_key(("a" * 64, "b" * 64)),
        layers_key(("b" * 64, "a" * 64)),
    }
    assert len(keys | {"a" * 64, "b" * 64}) == 5


def test_layers_are_unzipped_once_also_after_a_restart(world: World) -> None:
    keys = (world.put(file("a", "1")), world.put(file("b", "2")))
    first = Path(world.prepare(*keys).opt).stat().st_ino
    world.preparer = world.restarted()
    assert Path(world.prepare(*keys).opt).stat().st_ino == first


def test_layers_are_kept_as_long_as_their_list_is_in_use(world: World) -> None:
    one, two = world.put(file("a", "1")), world.put(file("a", "2"))
    both, single = (Path(world.prepare(*keys).opt).name for keys in ((one, two), (two,)))
    assert {both, single} == {layers_key((one, two)), layers_key((two,))}
    assert world.keep(world.code, one, two, both, single) == {both, single, world.code}
    world.preparer = world.restarted()
    assert world.keep(world.code, one, two, single) == {single, world.code}
    assert world.keep() == set()
    assert (Path(world.prepare(one, two).opt) / "a").read_text() == "2"


@pytest.mark.parametrize(
    ("items", "why"),
    [([link("l", "../../etc")], "leads out"), ([file("../a")], r"'\.\.' in its path")],
)
def test_a_hostile_layer_is_refused_and_leaves_nothing(
    world: World, items: list[Item], why: str
) -> None:
    hostile = world.put(*items)
    with pytest.raises(SandboxError, match=why):
        world.prepare(world.put(file("a", "1")), hostile)
    assert {path.name for path in world.unpacked.iterdir()} == {".boot", world.code}


def test_a_layer_that_is_not_in_the_store_is_told(world: World) -> None:
    with pytest.raises(SandboxError, match="not in the store"):
        world.prepare("0" * 64)


def test_code_and_layers_together_must_be_few_enough_to_be_placed(world: World) -> None:
    big = world.put(*(file(f"f{n}") for n in range(1500)))
    code = world.put(*(file(f"f{n}") for n in range(600)))

    def placed(*layers: str, code: str) -> bool:
        package = Package(code, RUNTIME, layers)
        return asyncio.run(world.preparer.unpack(package)) is not None

    assert placed(big, code=world.code)
    assert placed(code=code)
    assert not placed(big, code=code)

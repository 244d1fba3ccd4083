"""What processes of this machine run: interpreters, programs of packages, and what is said."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from zips import FILE, Item, hand_made, zip_of

from lambda_home.packager.entrypoints import Entrypoints
from lambda_home.packager.runnable import RunnablePreparer
from lambda_home.packager.store import CodeStore
from lambda_home.sandboxes.base import Package, RuntimeMissingError, SandboxError
from lambda_home.sandboxes.interpreters import Search

SHELL = b"#!/bin/sh\nexit 1\n"
DENIED = "fork/exec /var/task/bootstrap: permission denied"


class World:
    """A store, bootstraps of some families, and a Python."""

    def __init__(self, root: Path, *families: str) -> None:
        self.store = CodeStore(root / "code")
        runtimes = root / "runtimes"
        for family in families:
            (runtimes / family).mkdir(parents=True)
            (runtimes / family / "bootstrap").write_text("")
        python = root / "py" / "bin" / "python3.12"
        python.parent.mkdir(parents=True)
        answer = json.dumps([(3, 12, 1), str(root / "py"), str(root / "py")])
        python.write_text(f"#!/bin/sh\necho '{answer}'\n")
        python.chmod(0o755)
        search = Search((python.parent,), pyenv=root / "none", nvm=root / "none")
        self.preparer = RunnablePreparer(
            self.store, root / "unpacked", search, runtimes, shows_opt=True
        )

    def package(self, data: bytes, runtime: str = "provided.al2023") -> Package:
        return Package(self.store.put(data).key, runtime)


def program(mode: int) -> bytes:
    return hand_made([Item("bootstrap", SHELL, mode)])


def test_a_program_without_its_exec_bit_is_prepared_and_said_to_be_unstartable(
    tmp_path: Path,
) -> None:
    world = World(tmp_path, "provided")
    package = world.package(program(FILE))
    prepared = asyncio.run(world.preparer.prepare(package))
    assert Path(prepared.code, "bootstrap").is_file()
    assert prepared.unstartable == DENIED
    assert "chmod +x bootstrap" in (world.preparer.warning_for(package) or "")


def test_a_program_that_can_be_started_is_not_spoken_of(tmp_path: Path) -> None:
    world = World(tmp_path, "provided")
    package = world.package(program(FILE | 0o111))
    assert asyncio.run(world.preparer.prepare(package)).unstartable == ""
    assert world.preparer.warning_for(package) is None


def test_a_family_without_a_bootstrap_here_is_refused_with_its_name(tmp_path: Path) -> None:
    world = World(tmp_path, "nodejs")
    with pytest.raises(RuntimeMissingError, match="no bootstrap for the runtimes of provided"):
        asyncio.run(world.preparer.prepare(world.package(program(FILE))))


@pytest.mark.parametrize(("runtime", "code"), [("python3.12", ""), ("provided.al2023", None)])
def test_spares_are_for_families_that_preload(
    tmp_path: Path, runtime: str, code: str | None
) -> None:
    world = World(tmp_path, "python", "provided")
    assert asyncio.run(world.preparer.bare(runtime)) == code


def test_a_package_is_looked_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    package = world.package(program(FILE))
    entrypoints = Entrypoints(world.store)
    assert asyncio.run(entrypoints.verdict(package)).error == DENIED
    world.store.path(package.code_key).unlink()
    assert asyncio.run(entrypoints.verdict(package)).error == DENIED


def test_a_package_of_another_family_is_not_looked_at(tmp_path: Path) -> None:
    entrypoints = Entrypoints(CodeStore(tmp_path))
    assert asyncio.run(entrypoints.verdict(Package("0" * 64, "python3.12"))).error == ""


def test_a_package_that_is_gone_is_a_sandbox_error(tmp_path: Path) -> None:
    entrypoints = Entrypoints(CodeStore(tmp_path))
    with pytest.raises(SandboxError, match="Cannot unpack the code"):
        asyncio.run(entrypoints.verdict(Package("0" * 64, "provided.al2")))


def test_a_layer_brings_the_program(tmp_path: Path) -> None:
    world = World(tmp_path, "provided")
    layer = world.store.put(program(FILE)).key
    code = world.store.put(zip_of({"data.txt": "x"})).key
    found = asyncio.run(world.preparer.prepare(Package(code, "provided.al2", (layer,))))
    assert found.unstartable == "fork/exec /opt/bootstrap: permission denied"

"""Which interpreter runs which runtime: the rule, the note, and what to install."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.interpreters import (
    Interpreter,
    Search,
    choose,
    find,
    installed,
)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def python(prefix: Path, version: tuple[int, int, int], name: str = "python3") -> Path:
    """An executable that answers as that Python does."""
    answer = json.dumps([version, str(prefix), str(prefix)])
    text = f"#!/bin/sh\necho '{answer}'\n"
    script(prefix / "bin" / f"python3.{version[1]}", text)
    return script(prefix / "bin" / name, text)


def search(root: Path, *folders: Path) -> Search:
    return Search(folders, pyenv=root / "pyenv", nvm=root / "nvm", share=root / "share")


@pytest.mark.parametrize(
    ("versions", "wanted", "chosen"),
    [
        pytest.param([(3, 11, 7), (3, 12, 1), (3, 13, 0)], 12, (3, 12, 1), id="exact"),
        pytest.param([(3, 12, 1), (3, 12, 11), (3, 12, 9)], 12, (3, 12, 11), id="newest patch"),
        pytest.param([(3, 9, 1), (3, 14, 0), (3, 13, 0)], 12, (3, 13, 0), id="nearest newer"),
        pytest.param([(3, 11, 9), (3, 14, 0)], 12, (3, 14, 0), id="newer before nearer"),
        pytest.param([(3, 9, 1), (3, 11, 7), (3, 10, 2)], 12, (3, 11, 7), id="nearest older"),
    ],
)
def test_the_exact_version_then_a_newer_then_an_older_one_is_chosen(
    tmp_path: Path, versions: list[tuple[int, int, int]], wanted: int, chosen: tuple[int, ...]
) -> None:
    for version in versions:
        name = ".".join(map(str, version))
        python(tmp_path / "pyenv" / "versions" / name, version, "python")
    found = find(f"python3.{wanted}", search(tmp_path))
    assert found.version == chosen
    assert found.exact == (chosen[1] == wanted)
    prefix = tmp_path / "pyenv" / "versions" / ".".join(map(str, chosen))
    assert (found.prefix, found.path) == (prefix, prefix / "bin" / f"python3.{chosen[1]}")
    assert found.folders == (prefix,)


@pytest.mark.parametrize(
    ("versions", "wanted", "chosen"),
    [
        ([(18, 20, 1), (20, 9, 0), (22, 1, 0)], 20, (20, 9, 0)),
        ([(18, 20, 1), (22, 1, 0), (24, 0, 0)], 20, (22, 1, 0)),
        ([(16, 0, 0), (18, 20, 1)], 20, (18, 20, 1)),
        ([], 20, None),
    ],
)
def test_node_follows_the_same_rule(
    versions: list[tuple[int, ...]], wanted: int, chosen: tuple[int, ...] | None
) -> None:
    found = tuple(
        Interpreter("nodejs", Path(f"/n{v[0]}/bin/node"), v, Path(f"/n{v[0]}")) for v in versions
    )
    best = choose((wanted,), found)
    assert (best.version if best else None) == chosen


def test_a_stand_in_says_what_runs_and_what_to_install(tmp_path: Path) -> None:
    python(tmp_path / "p", (3, 13, 2))
    found = find("python3.12", search(tmp_path, tmp_path / "p" / "bin"))
    assert found.note == (
        "python3.12 is not installed here; running on Python 3.13.2."
        " Install Python 3.12 to run on the exact version."
    )
    assert find("python3.13", search(tmp_path, tmp_path / "p" / "bin")).note == ""


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        (
            "python3.12",
            "no Python was found. Install Python 3.12 (for example `pyenv install 3.12`",
        ),
        ("nodejs22.x", "no Node.js was found. Install Node.js 22 (for example `nvm install 22`)"),
        ("ruby3.3", "no Ruby was found. Install Ruby 3.3 (for example `rbenv install 3.3`)"),
        ("java21", "(for example `apt-get install openjdk-21-jre-headless`)"),
        ("dotnet8", "dotnet8 cannot run as a process: only runtimes of Python, Node.js,"),
        ("python2.7", "python2.7 cannot run as a process"),
        ("cobol85", "sandbox.kind = docker"),
    ],
)
def test_what_cannot_run_says_what_to_do(tmp_path: Path, runtime: str, message: str) -> None:
    with pytest.raises(SandboxError) as told:
        find(runtime, search(tmp_path, tmp_path))
    assert message in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("#!/bin/sh\nexit 1\n", id="fails"),
        pytest.param("#!/bin/sh\necho hello\n", id="says something else"),
        pytest.param("#!/bin/sh\necho 7\n", id="says a number"),
        pytest.param("#!/nonexistent/interpreter\n", id="cannot start"),
        pytest.param('#!/bin/sh\necho \'[[2, 7, 18], "/p", "/p"]\'\n', id="another major version"),
        pytest.param('#!/bin/sh\necho \'[[3, 12, 1], "/p", "/q"]\'\n', id="in two places"),
        pytest.param('#!/bin/sh\necho \'[[3, 12, 1], "/none", "/none"]\'\n', id="not there"),
    ],
)
def test_what_does_not_answer_as_python_3_is_left_out(tmp_path: Path, text: str) -> None:
    script(tmp_path / "bin" / "python3", text)
    assert installed("python", search(tmp_path, tmp_path / "bin")) == ()


def test_shims_and_wrapper_scripts_are_left_out(tmp_path: Path) -> None:
    python(tmp_path / "real", (3, 12, 1))
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "python3").symlink_to(tmp_path / "real" / "bin" / "python3")
    script(tmp_path / "bin" / "node", "#!/bin/sh\necho v22.1.0\n")
    assert installed("python", search(tmp_path, shims)) == ()
    assert installed("nodejs", search(tmp_path, tmp_path / "bin")) == ()


def test_one_installation_under_many_names_is_asked_once(tmp_path: Path) -> None:
    real = python(tmp_path / "p", (3, 12, 1))
    log = tmp_path / "asked"
    real.write_text(real.read_text().replace("echo", f"echo x >>{log}; echo", 1))
    (tmp_path / "p" / "bin" / "python3.12").unlink()
    for name in ("python", "python3.12"):
        (tmp_path / "p" / "bin" / name).symlink_to(real)
    where = search(tmp_path, tmp_path / "p" / "bin", tmp_path / "p" / "bin")
    assert len(installed("python", where)) == 1
    assert installed("python", where) == installed("python", where)
    assert log.read_text() == "x\n"


def test_places_are_read_from_the_servers_environment() -> None:
    found = Search.of({"PATH": "/a::/b", "HOME": "/home/u", "NVM_DIR": "/nvm"}, Path("/share"))
    assert found.path == (Path("/a"), Path("/b"), Path("/usr/local/bin"), Path("/usr/bin"))
    assert (found.pyenv, found.nvm) == (Path("/home/u/.pyenv"), Path("/nvm"))
    assert found.share == Path("/share")
    assert Search.of({}).pyenv == Path("/nonexistent/.pyenv")


@pytest.mark.parametrize("runtime", ["provided.al2", "provided.al2023", "rust", "go1.x"])
def test_a_package_with_its_own_program_needs_nothing(tmp_path: Path, runtime: str) -> None:
    found = find(runtime, search(tmp_path))
    assert (found.family, found.program, found.folders, found.note) == ("provided", "", (), "")
    assert not found.has_own_folder


def test_what_is_too_old_for_our_bootstrap_never_stands_in(tmp_path: Path) -> None:
    python(tmp_path / "p", (3, 7, 17))
    with pytest.raises(SandboxError, match="no Python was found"):
        find("python3.8", search(tmp_path, tmp_path / "p" / "bin"))


def test_ruby_stays_where_it_was_installed(tmp_path: Path) -> None:
    prefix = tmp_path / "rbenv" / "versions" / "3.4.1"
    answer = "\\n".join(("3.4.1", f"{prefix}/bin/ruby", str(prefix)))
    script(prefix / "bin" / "ruby", f"#!/bin/sh\nprintf '{answer}\\n'\n")
    where = Search((), pyenv=tmp_path, nvm=tmp_path, rbenv=tmp_path / "rbenv")
    found = find("ruby3.3", where)
    assert (found.version, found.path, found.prefix) == ((3, 4, 1), prefix / "bin/ruby", prefix)
    assert found.fixed
    assert not found.has_own_folder
    assert "running on Ruby 3.4.1" in found.note


@pytest.mark.parametrize(
    ("said", "version"),
    [('"17.0.12"', (17, 0, 12)), ('"1.8.0_402"', (8, 0, 402)), ('"25"', (25, 0, 0))],
)
def test_java_says_its_version_in_its_release_file(
    tmp_path: Path, said: str, version: tuple[int, ...]
) -> None:
    home = tmp_path / "jdk"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "java").write_bytes(b"\x7fELF")
    (home / "bin" / "java").chmod(0o755)
    (home / "release").write_text(f"IMPLEMENTOR=X\nJAVA_VERSION={said}\n")
    found = find(f"java{version[0]}", Search((), pyenv=tmp_path, nvm=tmp_path, java_home=home))
    assert (found.version, found.prefix, found.note) == (version, home, "")
    assert found.has_own_folder


def test_a_system_interpreter_needs_no_more_folders() -> None:
    system = Interpreter("python", Path("/usr/bin/python3.11"), (3, 11, 2), Path("/usr"))
    assert system.in_system
    assert system.folders == ()


def test_folders_that_cannot_be_looked_into_hold_nothing(tmp_path: Path) -> None:
    python(tmp_path / "here", (3, 12, 1))
    closed = tmp_path / ("x" * 300)  # fails for root as well, whom no mode keeps out
    looked_for = Search((tmp_path / "here" / "bin",), pyenv=closed, nvm=closed, share=closed)
    assert [found.version for found in installed("python", looked_for)] == [(3, 12, 1)]
    assert installed("nodejs", looked_for) == ()

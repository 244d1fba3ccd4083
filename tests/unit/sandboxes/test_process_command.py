"""Command lines of sandboxed processes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lambda_home.sandboxes.base import SandboxSpec
from lambda_home.sandboxes.interpreters import Interpreter
from lambda_home.sandboxes.process_command import (
    Files,
    Tools,
    chain,
    hosts_file,
    isolation,
    joining,
    namespaces,
    trial,
)

TOOLS = Tools("/usr/bin/bwrap", "/usr/bin/setpriv", "/usr/bin/prlimit", "/usr/bin/env")
SPEC = SandboxSpec("a" * 32, "name.test", "python3.12", "/data/code", {}, 128, 512, {})
PYENV = Interpreter("python", Path("/p/3.12.1/bin/python3.12"), (3, 12, 1), Path("/p/3.12.1"))


def pairs(words: list[str], name: str) -> list[tuple[str, str]]:
    return [(words[n + 1], words[n + 2]) for n, word in enumerate(words) if word == name]


def options(*, as_root: bool) -> list[str]:
    files = Files(11, 12, 13)
    return isolation(SPEC, PYENV, {"x.py": Path("/r/x.py")}, 1000, files, as_root=as_root)


def test_root_makes_no_user_namespace_and_keeps_only_what_gives_root_up() -> None:
    words = namespaces(1000, as_root=True)
    assert "--unshare-user" not in words
    kept = {words[n + 1] for n, word in enumerate(words) if word == "--cap-add"}
    assert kept == {"CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"}
    assert "--cap-add" not in namespaces(1000, as_root=False)
    assert "--unshare-user" in namespaces(1000, as_root=False)


def test_only_the_code_runtime_and_interpreter_are_shown_beside_the_system() -> None:
    bound = dict(pairs(options(as_root=True), "--ro-bind"))
    beside = {source: at for source, at in bound.items() if at.startswith("/var")}
    assert beside == {
        "/data/code": "/var/task",
        "/r/x.py": "/var/runtime/x.py",
        "/p/3.12.1": "/var/lang",
    }
    assert all(at.split("/")[1] in {"usr", "etc", "var", "lib", "lib64"} for at in bound.values())
    assert "--bind" not in options(as_root=True)


def test_the_trial_takes_no_mount_along_that_may_go_while_it_runs() -> None:
    bound = dict(pairs(trial(TOOLS, 1000, as_root=True), "--ro-bind"))
    shown = dict(pairs(options(as_root=True), "--ro-bind"))
    assert bound.items() <= shown.items()
    assert "/usr" in bound


def test_tmp_has_its_size_and_the_root_is_read_only_last() -> None:
    words = options(as_root=False)
    at = words.index("--size")
    assert words[at : at + 4] == ["--size", str(512 << 20), "--tmpfs", "/tmp"]
    assert words[-4:] == ["--remount-ro", "/", "--chdir", "/var/task"]


def test_the_loaders_variables_reach_the_function_only() -> None:
    variables = {"LD_PRELOAD": "/var/task/x.so", "GLIBC_TUNABLES": "x", "NAME": "value"}
    words, early = chain(TOOLS, variables, ["/run"], uid=5, limit_processes=True)
    assert early == {"NAME": "value"}
    after = words.index("/usr/bin/env")
    assert words.index("/usr/bin/setpriv") < after
    assert words[after + 1 :] == ["LD_PRELOAD=/var/task/x.so", "GLIBC_TUNABLES=x", "/run"]


def test_another_user_has_no_way_back() -> None:
    words, _ = chain(TOOLS, {}, ["/run"], uid=5, limit_processes=True)
    assert words[:4] == ["/usr/bin/prlimit", "--nofile=1024:1024", "--core=0", "--nproc=1024:1024"]
    for word in ("--no-new-privs", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"):
        assert word in words
    assert words[words.index("--reuid") + 1] == words[words.index("--regid") + 1] == "5"


def test_a_process_joins_its_groups_before_it_becomes_the_program(tmp_path: Path) -> None:
    doors = (tmp_path / "one", tmp_path / "two two")
    command = joining(doors, ["/bin/echo", "a  b", "$HOME"])
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert done.stdout == "a  b $HOME\n"
    assert [door.read_text() for door in doors] == ["0\n", "0\n"]
    assert joining((), ["x"]) == ["x"]


def test_a_closed_group_keeps_the_program_from_starting(tmp_path: Path) -> None:
    command = joining((tmp_path / "none" / "x",), ["/bin/echo", "started"])
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode != 0
    assert done.stdout == ""


def test_the_environments_name_leads_to_loopback() -> None:
    assert "127.0.0.1 name.test\n" in hosts_file("name.test", "127.7.7.7")

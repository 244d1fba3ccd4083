"""The command lines of sandboxed processes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lambda_home.sandboxes.base import Prepared, SandboxSpec
from lambda_home.sandboxes.interpreters import Interpreter
from lambda_home.sandboxes.process_command import (
    SITE_PACKAGES,
    Files,
    Tools,
    chain,
    group_file,
    hosts_file,
    isolation,
    passwd_file,
    seen_plain,
)

TOOLS = Tools("/usr/bin/bwrap", "/usr/bin/setpriv", "/usr/bin/prlimit", "/usr/bin/env")
SPEC = SandboxSpec(
    id="0" * 32,
    host="name.lambda-home.internal",
    runtime="python3.12",
    code="/data/unpacked/one",
    environment={},
    memory_mb=128,
    tmp_mb=64,
    labels={},
)
SYSTEM = Interpreter("python", Path("/usr/bin/python3.12"), (3, 12, 1), Path("/usr"))
PYENV = Interpreter("nodejs", Path("/n/22/bin/node"), (22, 1, 0), Path("/n/22"))


def options(interpreter: Interpreter = SYSTEM, *, as_root: bool = True) -> list[str]:
    runtime = {"bootstrap": Path("/runtimes/python/bootstrap")}
    return isolation(SPEC, interpreter, runtime, 60_001, Files(7, 8, 9), as_root=as_root)


def has(found: list[str], *words: str) -> bool:
    """Whether the words stand there in a row."""
    size = len(words)
    return any(tuple(found[at : at + size]) == words for at in range(len(found)))


def sources(found: list[str]) -> set[str]:
    """Every path of the host that is shown."""
    binds = ("--bind", "--bind-try", "--ro-bind", "--ro-bind-try", "--dev-bind")
    return {found[at + 1] for at, word in enumerate(found) if word in binds}


@pytest.mark.parametrize("as_root", [True, False])
def test_processes_names_and_messages_are_its_own(*, as_root: bool) -> None:
    found = options(as_root=as_root)
    assert {"--unshare-pid", "--unshare-ipc", "--unshare-uts"} <= set(found)
    assert {"--die-with-parent", "--new-session"} <= set(found)
    assert has(found, "--hostname", "sandbox")
    assert "--unshare-net" not in found


def test_root_makes_no_user_namespace_and_keeps_what_leaving_root_takes() -> None:
    found = options(as_root=True)
    assert "--unshare-user" not in found
    kept = {found[at + 1] for at, word in enumerate(found) if word == "--cap-add"}
    assert kept == {"CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"}


def test_an_ordinary_user_makes_one_user_namespace_and_no_more() -> None:
    found = options(as_root=False)
    assert {"--unshare-user", "--disable-userns"} <= set(found)
    assert has(found, "--uid", "60001", "--gid", "60001")
    assert "--cap-add" not in found


@pytest.mark.parametrize("as_root", [True, False])
def test_only_system_folders_code_and_runtime_are_shown_and_nothing_writable(
    *, as_root: bool
) -> None:
    found = options(as_root=as_root)
    assert not {"--bind", "--bind-try", "--dev-bind"} & set(found)
    top = {source for source in sources(found) if not source.startswith("/etc/")}
    system = {"/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32", "/sbin"}
    assert top - system == {SPEC.code, "/runtimes/python/bootstrap"}
    assert not {"/etc/passwd", "/etc/shadow", "/etc/hosts", "/etc", "/"} & sources(found)


def test_code_tmp_and_root_are_where_and_as_aws_has_them() -> None:
    found = options()
    assert has(found, "--ro-bind", SPEC.code, "/var/task")
    assert has(found, "--perms", "1777", "--size", str(64 << 20), "--tmpfs", "/tmp")
    assert has(found, "--ro-bind", "/runtimes/python/bootstrap", "/var/runtime/bootstrap")
    assert found.index("--remount-ro") > max(at for at, w in enumerate(found) if w == "--ro-bind")
    assert found[-4:] == ["--remount-ro", "/", "--chdir", "/var/task"]


def test_small_files_come_through_descriptors() -> None:
    found = options()
    for descriptor, name in (("7", "hosts"), ("8", "passwd"), ("9", "group")):
        assert has(found, "--perms", "0444", "--ro-bind-data", descriptor, f"/etc/{name}")


def test_the_interpreter_is_at_var_lang() -> None:
    assert has(options(SYSTEM), "--symlink", "/usr/bin/python3.12", "/var/lang/bin/python3")
    assert has(options(PYENV), "--ro-bind", "/n/22", "/var/lang")


def test_a_java_of_the_system_is_at_var_lang_with_its_settings() -> None:
    home, settings = Path("/usr/lib/jvm/java-17"), Path("/etc/java-17-openjdk")
    java = Interpreter("java", home / "bin/java", (17, 0, 12), home, also=(settings,))
    found = options(java)
    assert has(found, "--ro-bind", "/usr/lib/jvm/java-17", "/var/lang")
    assert has(found, "--ro-bind", "/etc/java-17-openjdk", "/etc/java-17-openjdk")


def test_a_ruby_that_must_stay_is_shown_where_it_is() -> None:
    prefix = Path("/home/u/.rbenv/versions/3.4.1")
    ruby = Interpreter("ruby", prefix / "bin/ruby", (3, 4, 1), prefix, fixed=True)
    found = options(ruby)
    assert has(found, "--ro-bind", str(prefix), str(prefix))
    assert has(found, "--symlink", str(prefix / "bin/ruby"), "/var/lang/bin/ruby")


def test_where_packages_bring_their_program_var_lang_is_empty() -> None:
    found = options(Interpreter("provided", Path("/usr"), (), Path("/usr")))
    assert has(found, "--dir", "/var/lang/bin")
    assert not any(word.startswith("/var/lang/bin/") for word in found)


def test_the_small_files_name_the_host_and_one_user() -> None:
    assert hosts_file("a.b", "127.1.2.3").splitlines() == [
        "127.0.0.1 localhost",
        "::1 localhost",
        "127.0.0.1 a.b",
        "127.1.2.3 sandbox.localdomain sandbox",
    ]
    assert passwd_file(60_001).split(":")[2:4] == ["60001", "60001"]
    assert len(passwd_file(60_001).splitlines()) == len(group_file(60_001).splitlines()) == 1


def test_the_chain_limits_then_leaves_root_then_runs() -> None:
    words, variables = chain(TOOLS, {"A": "1"}, ["run"], uid=60_001, limit_processes=True)
    assert words == [
        "/usr/bin/prlimit",
        "--nofile=1024:1024",
        "--core=0",
        "--nproc=1024:1024",
        "/usr/bin/setpriv",
        "--no-new-privs",
        "--reuid",
        "60001",
        "--regid",
        "60001",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "run",
    ]
    assert variables == {"A": "1"}


def test_without_a_user_of_its_own_the_user_stays() -> None:
    words, _ = chain(TOOLS, {}, ["run"], uid=None, limit_processes=False, die_with_parent=True)
    assert words == [
        "/usr/bin/prlimit",
        "--nofile=1024:1024",
        "--core=0",
        "/usr/bin/setpriv",
        "--no-new-privs",
        "--pdeathsig",
        "KILL",
        "run",
    ]


def test_tools_that_are_missing_are_left_out() -> None:
    bare = Tools(None, None, None, "/usr/bin/env")
    assert chain(bare, {}, ["run"], uid=None, limit_processes=True)[0] == ["run"]


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "GCONV_PATH",
        "GLIBC_TUNABLES",
        "MALLOC_CHECK_",
        "LOCPATH",
        "NLSPATH",
        "RES_OPTIONS",
        "HOSTALIASES",
    ],
)
def test_the_loaders_variables_come_after_the_programs_with_privileges(name: str) -> None:
    words, early = chain(
        TOOLS, {name: "/tmp/x.so", "PATH": "/bin"}, ["run"], uid=1, limit_processes=True
    )
    assert early == {"PATH": "/bin"}
    assert words[-3:] == ["/usr/bin/env", f"{name}=/tmp/x.so", "run"]
    assert words.index("/usr/bin/env") > words.index("/usr/bin/setpriv")


def test_opt_is_empty_but_for_layers() -> None:
    assert has(options(), "--dir", "/opt")
    spec = replace(SPEC, opt="/data/unpacked/layers")
    found = isolation(spec, SYSTEM, {}, 60_001, Files(7, 8, 9), as_root=True)
    assert has(found, "--ro-bind", "/data/unpacked/layers", "/opt")
    assert not has(found, "--dir", "/opt")


OWN = {
    "TMPDIR": "/tmp/own",
    "PYTHONPATH": "/share/python",
    "PATH": "/tmp/own/bin",
    "LAMBDA_RUNTIME_DIR": "/runtimes/python",
    SITE_PACKAGES: "python/lib/python3.12/site-packages",
}


@pytest.mark.parametrize(
    ("name", "value", "opt", "seen"),
    [
        ("PATH", "/usr/bin:/opt/bin", "", "/tmp/own/bin:/usr/bin:/opt/bin"),
        ("PATH", "/usr/bin:/opt/bin", "/l", "/tmp/own/bin:/usr/bin:/l/bin"),
        ("LD_LIBRARY_PATH", "/var/task/lib:/opt/lib", "/l", "/var/task/lib:/l/lib"),
        (
            "NODE_PATH",
            "/opt/nodejs/node_modules:/optional",
            "/l",
            "/l/nodejs/node_modules:/optional",
        ),
        ("AWS_LAMBDA_EXEC_WRAPPER", "/opt/wrap", "/l", "/l/wrap"),
        ("PYTHONPATH", "/opt:/mine", "/l", "/l:/mine"),
        ("MINE", "/opt/bin", "/l", "/opt/bin"),
    ],
)
def test_a_plain_process_is_led_to_its_layers(name: str, value: str, opt: str, seen: str) -> None:
    assert seen_plain({name: value}, OWN, Prepared("/code", opt))[name] == seen


def test_a_plain_process_finds_the_packages_of_layers_before_those_of_aws() -> None:
    assert seen_plain({}, OWN, Prepared("/code"))["PYTHONPATH"] == "/share/python"
    found = seen_plain({}, OWN, Prepared("/code", "/l"))
    assert found["PYTHONPATH"] == ("/l/python/lib/python3.12/site-packages:/l/python:/share/python")
    assert found["LAMBDA_TASK_ROOT"] == "/code"

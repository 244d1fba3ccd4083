"""What runs in a container image, by its names, its configuration and its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lambda_home.packager.entrypoint import Machine
from lambda_home.packager.image_program import (
    Found,
    digest_of,
    has_shell,
    is_name,
    judge_program,
    launch_error,
    made_for,
    may_be_asked,
    program_of,
    repository_of,
)
from lambda_home.sandboxes.base import ImageCode, Program

DIGEST, OTHER = "a" * 64, "b" * 64
HERE = Machine("x86_64")


def elf(machine: int) -> bytes:
    return b"\x7fELF\x02\x01" + bytes(12) + machine.to_bytes(2, "little")


FILES: Mapping[str, Found] = {
    "/": Found(0o755, is_folder=True),
    "/app": Found(0o755, is_folder=True),
    "/bin/sh": Found(0o755, head=elf(62)),
    "/usr/bin/python3": Found(0o755, head=elf(62)),
    "/app/arm": Found(0o755, head=elf(183)),
    "/app/script": Found(0o755, head=b"#!/bin/sh\necho"),
    "/app/by-env": Found(0o755, head=b"#! /usr/bin/python3 -u\n"),
    "/app/windows": Found(0o755, head=b"#!/bin/sh\r\necho"),
    "/app/no-interpreter": Found(0o755, head=b"#!/opt/perl\n"),
    "/app/text": Found(0o755, head=b"echo"),
    "/app/empty": Found(0o755),
    "/app/roots": Found(0o700, head=elf(62)),
    "/app/ours": Found(0o700, owner=1000, head=elf(62)),
    "/app/groups": Found(0o710, group=1000, head=elf(62)),
    "/app/not-the-owners": Found(0o077, owner=1000, head=elf(62)),
    "/app/plain": Found(0o644, head=elf(62)),
}


@pytest.mark.parametrize(
    ("uri", "repository"),
    [
        ("name", "name"),
        ("name:tag", "name"),
        ("host:5000/a/b", "host:5000/a/b"),
        ("host:5000/a/b:tag", "host:5000/a/b"),
        (f"host/a@sha256:{DIGEST}", "host/a"),
        (f"host/a:tag@sha256:{DIGEST}", "host/a"),
    ],
)
def test_a_repository_is_a_name_without_tag_and_digest(uri: str, repository: str) -> None:
    assert repository_of(uri) == repository


@pytest.mark.parametrize(
    ("uri", "digests", "expected"),
    [
        ("mine:1", [], OTHER),
        ("mine:1", [f"elsewhere/mine@sha256:{DIGEST}"], OTHER),
        ("host/mine:1", [f"other@sha256:{OTHER}", f"host/mine@sha256:{DIGEST}"], DIGEST),
        ("docker.io/library/debian", [f"debian@sha256:{DIGEST}"], DIGEST),
    ],
)
def test_the_digest_is_that_of_the_repository_else_the_images_own(
    uri: str, digests: list[str], expected: str
) -> None:
    assert digest_of({"Id": f"sha256:{OTHER}", "RepoDigests": digests}, uri) == expected


@pytest.mark.parametrize(
    ("uri", "asked"),
    [
        ("name:1", True),
        ("localhost:5000/name", True),
        ("10.0.0.1/name", True),
        ("169.254.169.254/latest:1", False),
        ("169.254.170.2:80/name", False),
        ("[fe80::1]:80/name", False),
    ],
)
def test_no_registry_is_asked_at_a_link_local_address(uri: str, *, asked: bool) -> None:
    assert may_be_asked(uri) is asked


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("name", True),
        ("host:5000/a_b/c-d:1.0", True),
        (f"host/a@sha256:{DIGEST}", True),
        ("[::1]:5000/name", True),
        ("", False),
        ("--privileged", False),
        ("../containers/json", False),
        ("a/../../containers/json", False),
        ("a//b", False),
        ("http://host/name", False),
        ("name?all=1", False),
        ("name#x", False),
        ("a b", False),
        ("a%2e", False),
        ("name\n", False),
    ],
)
def test_what_names_no_image_does_not_reach_the_daemon(uri: str, *, expected: bool) -> None:
    assert is_name(uri) is expected


@pytest.mark.parametrize(
    ("docker", "machine"), [("amd64", "x86_64"), ("arm64", "aarch64"), ("riscv64", "riscv64")]
)
def test_docker_names_machines_otherwise(docker: str, machine: str) -> None:
    assert made_for({"Architecture": docker}) == machine


@pytest.mark.parametrize(
    ("code", "argv", "folder"),
    [
        (ImageCode("u", DIGEST), ("/entry", "a"), "/app"),
        (ImageCode("u", DIGEST, command=("b", "c")), ("/entry", "b", "c"), "/app"),
        (ImageCode("u", DIGEST, entry_point=("/mine",)), ("/mine", "a"), "/app"),
        (ImageCode("u", DIGEST, working_directory="/srv"), ("/entry", "a"), "/srv"),
    ],
)
def test_image_config_overrides_each_member_for_itself(
    code: ImageCode, argv: tuple[str, ...], folder: str
) -> None:
    config: dict[str, Any] = {
        "Entrypoint": ["/entry"],
        "Cmd": ["a"],
        "WorkingDir": "/app",
        "Env": ["A=b=c"],
    }
    program = program_of(config, code, has_shell=False)
    assert (program.argv, program.working_directory) == (argv, folder)
    assert (program.variables, program.has_shell) == ((("A", "b=c"),), False)


def test_an_image_that_says_nothing_runs_nothing_in_the_root_folder() -> None:
    config: dict[str, Any] = {"Entrypoint": None, "Cmd": None, "Env": None, "WorkingDir": ""}
    program = program_of(config, ImageCode("u", DIGEST), has_shell=True)
    assert (program.argv, program.working_directory) == ((), "/")


MISSING = "no such file or directory"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("/usr/bin/python3", ""),
        ("python3", ""),
        ("script", "Couldn't find valid bootstrap(s): [script]"),
        ("app.handler", "Couldn't find valid bootstrap(s): [app.handler]"),
        ("./script", ""),
        ("../bin/sh", ""),
        ("/app/by-env", ""),
        ("/app/ours", ""),
        ("/app/groups", ""),
        ("", "Couldn't find valid bootstrap(s): []"),
        ("/nothing", f"fork/exec /nothing: {MISSING}"),
        ("./nothing", f"fork/exec ./nothing: {MISSING}"),
        ("/app/windows", f"fork/exec /app/windows: {MISSING}"),
        ("/app/no-interpreter", f"fork/exec /app/no-interpreter: {MISSING}"),
        ("/app", "fork/exec /app: permission denied"),
        ("/app/plain", "fork/exec /app/plain: permission denied"),
        ("/app/roots", "fork/exec /app/roots: permission denied"),
        ("/app/not-the-owners", "fork/exec /app/not-the-owners: permission denied"),
        ("/app/text", "fork/exec /app/text: exec format error"),
        ("/app/empty", "fork/exec /app/empty: exec format error"),
        ("/app/arm", "fork/exec /app/arm: exec format error"),
    ],
)
def test_what_cannot_be_started_is_known_before(name: str, error: str) -> None:
    program = Program((name,), working_directory="/app")
    assert judge_program(program, "", FILES.get, HERE) == error


def test_a_machine_that_emulates_runs_foreign_programs() -> None:
    program = Program(("/app/arm",), working_directory="/app")
    assert judge_program(program, "", FILES.get, Machine("x86_64", emulates=True)) == ""


@pytest.mark.parametrize(
    ("of_image", "of_function", "found"),
    [("/nowhere", "", False), ("/nowhere:/app", "", True), ("/nowhere", "/app", True)],
)
def test_programs_are_searched_in_the_functions_path_else_the_images(
    of_image: str, of_function: str, *, found: bool
) -> None:
    program = Program(("script",), variables=(("PATH", of_image),))
    assert (judge_program(program, of_function, FILES.get, HERE) == "") is found


@pytest.mark.parametrize(
    ("folder", "error"),
    [
        ("/not/yet", ""),
        ("srv", "the working directory 'srv' is invalid, it needs to be an absolute path"),
        ("/bin/sh", "chdir /bin/sh: not a directory"),
    ],
)
def test_a_working_directory_is_an_absolute_folder(folder: str, error: str) -> None:
    program = Program(("/bin/sh",), working_directory=folder)
    assert judge_program(program, "", FILES.get, HERE) == error


def test_a_shell_counts_that_the_user_of_functions_may_run() -> None:
    assert has_shell(FILES.get)
    assert not has_shell(lambda _: None)
    assert not has_shell({"/bin/sh": Found(0o700)}.get)


def test_the_log_says_what_was_to_be_started() -> None:
    program = Program(("/a", "-m"), ("b.c",), "/app")
    assert launch_error(program, "why") == (
        "IMAGE\tLaunch error: why\tEntrypoint: [/a,-m]\tCmd: [b.c]\tWorkingDir: [/app]"
    )

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from lambda_home.sandboxes.base import Program, SandboxSpec
from lambda_home.sandboxes.docker_profile import (
    OUTPUT,
    Owner,
    Wiring,
    container_config,
    container_name,
    cpu_shares,
    labels,
)
from lambda_home.sandboxes.task_folders import Folders

HERE = Owner.this_process()
SPEC = SandboxSpec(
    id="0123456789abcdef0123456789abcdef",
    host="token.example",
    runtime="python3.12",
    code="image:tag",
    environment={"A": "1", "AWS_LAMBDA_RUNTIME_API": "spoofed"},
    memory_mb=128,
    tmp_mb=512,
    labels={"function": "Übung/Nr 1", "version": "$LATEST", "owner": "spoofed"},
)
WIRING = Wiring("net", "172.18.0.1", 9001)


def test_name_is_one_that_docker_takes() -> None:
    assert container_name(SPEC) == "lambda-home--bung-Nr-1-0123456789ab"


@pytest.mark.parametrize(
    ("memory_mb", "expected"),
    [(1, 2), (128, 74), (1769, 1024), (3538, 2048), (10240, 5927)],
)
def test_cpu_shares_follow_memory(memory_mb: int, expected: int) -> None:
    assert cpu_shares(memory_mb) == expected


def test_only_the_adapter_says_where_the_runtime_api_is() -> None:
    config = container_config(SPEC, WIRING, {}, init=True)
    assert config["Env"] == ["A=1", "AWS_LAMBDA_RUNTIME_API=token.example:9001"]


def test_labels_for_people_cannot_replace_ours() -> None:
    marks = labels(SPEC, "instance", HERE)
    assert marks["lambda-home.owner"] == HERE.label
    assert marks["lambda-home.environment"] == SPEC.id
    assert marks["lambda-home.function"] == "Übung/Nr 1"


def test_owner_survives_its_label() -> None:
    assert Owner.parse(HERE.label) == HERE


@pytest.mark.parametrize("label", ["", "a/b/c", "a/b/c/d", "a/b/1/2/3"])
def test_foreign_label_is_nobodys(label: str) -> None:
    assert Owner.parse(label) is None


def test_this_process_is_alive() -> None:
    assert not HERE.is_dead(HERE)


def test_reused_process_id_is_not_the_owner() -> None:
    assert Owner(HERE.machine, HERE.boot, os.getpid(), "1").is_dead(HERE)


def test_owner_before_a_reboot_is_dead() -> None:
    assert Owner(HERE.machine, "before", os.getpid(), HERE.started).is_dead(HERE)


def test_owner_on_another_machine_is_never_called_dead() -> None:
    assert not Owner("other", "before", 999_999_999, "1").is_dead(HERE)


def test_output_goes_into_a_pipe_where_there_is_one() -> None:
    piped = replace(WIRING, output=Path("/p/one"))
    config = container_config(replace(SPEC, command=("/b", "x")), piped, {}, init=True)
    host = config["HostConfig"]
    assert isinstance(host, dict)
    assert [(mount["Source"], mount["Target"]) for mount in host["Mounts"]] == [("/p/one", OUTPUT)]
    shell = ["/bin/sh", "-c", f'exec "$@" >{OUTPUT} 2>&1', "sh", "/b", "x"]
    assert config["Entrypoint"] == shell
    assert "Entrypoint" not in container_config(SPEC, WIRING, {}, init=True)


@pytest.mark.parametrize("output", [None, Path("/p/one")])
@pytest.mark.parametrize("program", [None, Program(("/b",), ("x",))])
def test_external_extensions_come_before_whatever_runs(
    output: Path | None, program: Program | None
) -> None:
    spec = replace(SPEC, command=("/b", "x"), program=program, extensions=("one", "two"))
    config = container_config(spec, replace(WIRING, output=output), {}, init=True)
    words = config["Entrypoint"]
    assert isinstance(words, list)
    assert words[-6:] == ["/opt/extensions", "2", "one", "two", "/b", "x"]
    assert words[-7] == "lambda-home-supervisor"


def test_listeners_within_are_found_by_name() -> None:
    config = container_config(SPEC, WIRING, {}, init=True)
    assert (config["Hostname"], config["Domainname"]) == ("sandbox", "localdomain")


def test_a_spare_sees_its_own_folders_read_only() -> None:
    config = container_config(
        SPEC, WIRING, {}, init=True, folders=Folders(Path("/t/task"), Path("/t/opt"))
    )
    host = config["HostConfig"]
    assert isinstance(host, dict)
    mounts = {mount["Target"]: (mount["Source"], mount["ReadOnly"]) for mount in host["Mounts"]}
    assert mounts == {"/var/task": ("/t/task", True), "/opt": ("/t/opt", True)}
    assert "/opt" not in str(container_config(SPEC, WIRING, {}, init=True))


def test_a_functions_own_image_runs_its_program_in_its_folder() -> None:
    spec = replace(SPEC, program=Program(("/entry",), ("a.b",), "/app"))
    config = container_config(spec, WIRING, {}, init=True)
    assert (config["Entrypoint"], config["WorkingDir"]) == (["/entry", "a.b"], "/app")
    piped = container_config(spec, replace(WIRING, output=Path("/p/one")), {}, init=True)
    assert piped["Entrypoint"] == [
        "/bin/sh",
        "-c",
        f'exec "$@" >{OUTPUT} 2>&1',
        "sh",
        "/entry",
        "a.b",
    ]
    assert (config["User"], config["WorkingDir"]) == ("1000:1000", "/app")


def test_volumes_that_an_image_declares_are_read_only() -> None:
    for name, expected in (("keeper", ["keeper:ro"]), ("", [])):
        spec = replace(SPEC, program=Program(("/entry",), volumes_from=name))
        host = container_config(spec, WIRING, {}, init=True)["HostConfig"]
        assert isinstance(host, dict)
        assert host["VolumesFrom"] == expected

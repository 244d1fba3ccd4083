from __future__ import annotations

from dataclasses import replace

import pytest

from lambda_home.operations import diagnosis
from lambda_home.operations.diagnosis import (
    DataFacts,
    DockerFacts,
    Finding,
    MachineFacts,
    PortFacts,
    ProcessFacts,
    Status,
)

OK, WARNING, FAILED = Status.OK, Status.WARNING, Status.FAILED
GB = 1_000_000_000
DOCKER = DockerFacts(version="28.1", network="lambda-home", has_network=True, free_bytes=50 * GB)
PROCESSES = ProcessFacts(
    works=True,
    how="isolated by bubblewrap",
    as_root=True,
    cgroup_version=2,
    cgroups_writable=True,
    firewall="nft",
)
DATA = DataFacts("data", free_bytes=50 * GB, schema="0004", known="0004")


def worst(findings: list[Finding]) -> Status:
    return max((f.status for f in findings), key=[OK, WARNING, FAILED].index)


@pytest.mark.parametrize(
    ("facts", "kind", "status"),
    [
        (DOCKER, "auto", OK),
        (DockerFacts(fault="no Docker daemon answers"), "auto", WARNING),
        (DockerFacts(fault="no Docker daemon answers"), "docker", FAILED),
        (DockerFacts(fault="no Docker daemon answers"), "process", OK),
        (replace(DOCKER, no_images="no base image is there"), "auto", WARNING),
        (replace(DOCKER, no_images="no base image is there"), "docker", FAILED),
        (replace(DOCKER, has_network=False), "docker", OK),
        (replace(DOCKER, free_bytes=GB), "docker", WARNING),
        (replace(DOCKER, free_bytes=100_000_000), "docker", FAILED),
        (replace(DOCKER, free_bytes=None), "docker", OK),
    ],
)
def test_docker_must_work_only_where_it_is_asked_for(
    facts: DockerFacts, kind: str, status: Status
) -> None:
    assert worst(diagnosis.of_docker(facts, kind)) is status


@pytest.mark.parametrize(
    ("facts", "kind", "docker_works", "status"),
    [
        (PROCESSES, "auto", True, OK),
        (replace(PROCESSES, works=False, how="no Python"), "auto", True, WARNING),
        (replace(PROCESSES, works=False, how="no Python"), "auto", False, FAILED),
        (replace(PROCESSES, works=False, how="no Python"), "process", True, FAILED),
        (replace(PROCESSES, works=False, how="no Python"), "docker", True, WARNING),
        (replace(PROCESSES, how="without bubblewrap (not installed)"), "process", False, WARNING),
        (replace(PROCESSES, cgroup_version=0), "process", False, WARNING),
        (replace(PROCESSES, cgroups_writable=False), "process", False, WARNING),
        (replace(PROCESSES, firewall=""), "process", False, WARNING),
        (replace(PROCESSES, as_root=False), "process", False, WARNING),
    ],
)
def test_processes_must_work_where_docker_does_not(
    facts: ProcessFacts,
    kind: str,
    docker_works: bool,  # noqa: FBT001  a column of the table
    status: Status,
) -> None:
    assert worst(diagnosis.of_processes(facts, kind, docker_works=docker_works)) is status


@pytest.mark.parametrize(
    ("found", "kind", "status"),
    [
        ([("python", "3.12.1"), ("nodejs", "22.0.0")], "auto", OK),
        ([("python", "3.12.1")], "process", WARNING),
        ([], "auto", WARNING),
        ([], "docker", OK),
    ],
)
def test_a_missing_interpreter_is_told_where_processes_may_need_it(
    found: list[tuple[str, str]], kind: str, status: Status
) -> None:
    assert diagnosis.of_runtimes(found, kind).status is status


@pytest.mark.parametrize(
    ("facts", "status", "said"),
    [
        (PortFacts("port_user_api", 9000), OK, "free"),
        (PortFacts("port_user_api", 9000, "nginx (pid 7)"), FAILED, "taken by nginx (pid 7)"),
        (PortFacts("port_user_api", 9000, "python (pid 7)", ours=True), OK, "python (pid 7)"),
    ],
)
def test_a_port_that_another_program_has_is_a_failure_that_names_it(
    facts: PortFacts, status: Status, said: str
) -> None:
    finding = diagnosis.of_port(facts)
    assert finding.status is status
    assert said in finding.message


@pytest.mark.parametrize(
    ("facts", "status", "said"),
    [
        (DATA, OK, "ready"),
        (replace(DATA, in_use=True), OK, "in use"),
        (DataFacts("data", exists=False, free_bytes=50 * GB), OK, "will be made"),
        (DataFacts("data", fault="/x cannot be written"), FAILED, "cannot be written"),
        (replace(DATA, schema="0003"), OK, "migrated to 0004"),
        (replace(DATA, schema="0005"), FAILED, "0005"),
        (replace(DATA, damage="row 3 missing"), FAILED, "row 3 missing"),
        (replace(DATA, free_bytes=1), FAILED, "0 MB"),
    ],
)
def test_the_data_directory_is_judged_by_what_is_in_it(
    facts: DataFacts, status: Status, said: str
) -> None:
    findings = diagnosis.of_data(facts)
    assert worst(findings) is status
    assert any(said in finding.message for finding in findings)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        (MachineFacts(2e9, 1.9e9, 8000), OK),
        (MachineFacts(2e9, 1.9e9, None), OK),
        (MachineFacts(1e9, 1.9e9, 8000), FAILED),
        (MachineFacts(2e9, 1.9e9, 800), WARNING),
        (MachineFacts(2e9, 1.9e9, 100), FAILED),
    ],
)
def test_clock_and_memory(facts: MachineFacts, status: Status) -> None:
    assert worst(diagnosis.of_machine(facts)) is status


def test_only_a_failure_makes_the_exit_code_1_and_whatever_is_not_well_has_advice() -> None:
    warning = diagnosis.of_docker(DockerFacts(fault="none"), "auto")
    failure = diagnosis.of_docker(DockerFacts(fault="none"), "docker")
    assert (diagnosis.exit_code(warning), diagnosis.exit_code(failure)) == (0, 1)
    assert all(finding.advice for finding in [*warning, *failure])

"""Which functions of foreign architectures run here."""

from __future__ import annotations

import pytest

from lambda_home.packager.architectures import is_portable, note, refusal, runs
from lambda_home.packager.entrypoint import Machine

X86, ARM = Machine("x86_64"), Machine("aarch64")


@pytest.mark.parametrize(
    ("machine", "architecture", "expected"),
    [
        (X86, "x86_64", True),
        (X86, "arm64", False),
        (ARM, "arm64", True),
        (Machine("arm64"), "arm64", True),
        (ARM, "x86_64", False),
        (Machine("x86_64", emulates=True), "arm64", True),
    ],
)
def test_a_machine_runs_its_own_programs_and_what_it_emulates(
    machine: Machine, architecture: str, *, expected: bool
) -> None:
    assert runs(machine, architecture) is expected


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ("python3.12", True),
        ("nodejs22.x", True),
        ("java21", True),
        ("ruby3.3", True),
        ("provided.al2023", False),
        ("rust", False),
        ("", False),
    ],
)
def test_only_what_an_interpreter_runs_is_portable(runtime: str, *, expected: bool) -> None:
    assert is_portable(runtime) is expected


@pytest.mark.parametrize(
    ("machine", "runtime", "architecture", "words"),
    [
        (X86, "python3.12", "x86_64", ""),
        (X86, "python3.12", "arm64", "made for arm64 and runs as x86_64"),
        (X86, "provided.al2023", "arm64", "made for arm64 and runs as x86_64"),
        (ARM, "nodejs22.x", "x86_64", "made for x86_64 and runs as arm64"),
        (Machine("x86_64", emulates=True), "provided.al2023", "arm64", ""),
        (Machine("x86_64", emulates=True), "python3.12", "arm64", "runs as x86_64"),
    ],
)
def test_the_log_says_what_does_not_run_as_it_is_made(
    machine: Machine, runtime: str, architecture: str, words: str
) -> None:
    said = note(machine, runtime, architecture)
    assert words in said
    assert bool(said) is bool(words)


def test_a_refusal_names_the_setting() -> None:
    assert "functions.ignore_architecture = true" in refusal("arm64")

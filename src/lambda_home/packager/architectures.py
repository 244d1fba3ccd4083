"""Functions made for another architecture than this machine's: which of them run here (pure).

See docs/decisions/0014-foreign-architectures.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lambda_home.packager.entrypoint import Machine
from lambda_home.runtimes import runtime

SETTING: Final = "functions.ignore_architecture"

_OF_MACHINES: Mapping[str, str] = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


def native(machine: Machine) -> str:
    """The architecture of a machine as AWS names it; its own name where AWS has none."""
    return _OF_MACHINES.get(machine.name, machine.name)


def runs(machine: Machine, architecture: str) -> bool:
    """Whether programs made for an architecture run on a machine, emulated or not."""
    return machine.emulates or native(machine) == architecture


def is_portable(runtime_name: str) -> bool:
    """Whether code for a runtime runs on any machine that has an interpreter for it.

    A container image (no runtime) does not, nor does a package that brings a program.
    """
    known = runtime(runtime_name)
    return known is not None and not known.family.brings_program


def refusal(architecture: str) -> str:
    """Why a function of that architecture cannot be made here, and what to do."""
    return (
        f"Programs made for {architecture} do not run on this machine, which emulates no other."
        f" Build for its own architecture, install QEMU's user emulation (binfmt_misc), or set"
        f" {SETTING} = true to run functions as if they were made for this machine."
    )


def note(machine: Machine, runtime_name: str, architecture: str) -> str:
    """What the log should say of a function that runs on another machine than it is made for."""
    here = native(machine)
    if here == architecture or (machine.emulates and not is_portable(runtime_name)):
        return ""
    return (
        f"The function is made for {architecture} and runs as {here} here: what it brings of"
        f" native code must be built for {here}."
    )

"""Whether the program that a package brings can be started: judged before anything is (pure).

Go's os/exec, with which AWS starts it, words the errors: `fork/exec /var/task/bootstrap: permission
denied`. Source: AWS's runtime interface emulator, and answers that people have reported.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lambda_home.packager.archive import Kind, content
from lambda_home.packager.layers import Piece
from lambda_home.runtimes import Runtime, StartedBy

NAME = "bootstrap"
_PLACES = ("/var/task", "/opt")
_HOPS = 8
_HEAD = 256
_ELF = b"\x7fELF"
_MACHINE_AT = 18
_LITTLE = 1

# e_machine of what each machine runs without emulation: its own programs and their 32-bit kin.
_MACHINES: Mapping[str, frozenset[int]] = {
    "x86_64": frozenset({62, 3}),
    "aarch64": frozenset({183, 40}),
}
_NAMES = {62: "x86_64", 3: "32-bit x86", 183: "arm64", 40: "32-bit ARM"}


@dataclass(frozen=True, slots=True)
class Machine:
    """What runs programs: its name as `uname -m` has it; `emulates` foreign ones."""

    name: str
    emulates: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a program cannot be started, in AWS's words, and what to do; empty where it can be."""

    error: str = ""
    advice: str = ""


STARTABLE = Verdict()


def judge(
    runtime: Runtime, code: Sequence[Piece], opt: Sequence[Piece], machine: Machine
) -> Verdict:
    """Look at what a package and its layers bring. Nothing is known of what an image has itself."""
    if not runtime.family.brings_program or runtime.started_by is StartedBy.HANDLER:
        return STARTABLE
    for place, pieces in zip(_PLACES, (code, opt), strict=True):
        found = _followed({piece.entry.path: piece for piece in pieces}, NAME)
        if found is None or found.entry.kind is Kind.DIRECTORY:
            continue
        if found.entry.kind is Kind.SYMLINK:  # it leads to where the package cannot be seen from
            return STARTABLE
        return _judge_file(f"{place}/{NAME}", found, machine)
    if runtime.started_by is StartedBy.EITHER:
        return STARTABLE
    tried = " ".join(f"{place}/{NAME}" for place in _PLACES)
    return Verdict(
        f"Couldn't find valid bootstrap(s): [{tried}]",
        f"{runtime.id} starts the executable {NAME!r} at the top of the package, or of a layer:"
        f" give your program that name, and zip it without a folder around it.",
    )


def _judge_file(path: str, piece: Piece, machine: Machine) -> Verdict:
    if not piece.entry.mode & 0o111:
        return Verdict(
            f"fork/exec {path}: permission denied",
            f"{path} is not executable: `chmod +x {NAME}` before it is zipped.",
        )
    head = b"".join(_beginning(piece))
    if head.startswith(b"#!"):
        return _judge_script(path, head)
    error = f"fork/exec {path}: exec format error"
    if not head.startswith(_ELF) or len(head) <= _MACHINE_AT + 1:
        return Verdict(
            error,
            f"{path} is neither a Linux program nor a script that begins with #! and the path of"
            " its interpreter, as #!/bin/sh.",
        )
    other = foreign(head, machine)
    if not other:
        return STARTABLE
    return Verdict(
        error,
        f"{path} is a program for {other}, this is {machine.name}: build it for this machine.",
    )


def foreign(head: bytes, machine: Machine) -> str:
    """The machine that an ELF program is made for, if this one does not run it; else empty."""
    order = "little" if head[5:6] == bytes([_LITTLE]) else "big"
    made_for = int.from_bytes(head[_MACHINE_AT : _MACHINE_AT + 2], order)  # type: ignore[arg-type]
    runs = _MACHINES.get(machine.name)
    if machine.emulates or runs is None or made_for in runs:
        return ""
    return _NAMES.get(made_for, "another machine")


def _judge_script(path: str, head: bytes) -> Verdict:
    if head.partition(b"\n")[0].endswith(b"\r"):  # a part of the interpreter's name, for Linux
        return Verdict(
            f"fork/exec {path}: no such file or directory",
            f"{path} has the line ends of Windows: save it with those of Linux (dos2unix {NAME}).",
        )
    return STARTABLE


def _beginning(piece: Piece) -> list[bytes]:
    """The first bytes of a file."""
    for chunk in content(piece.entry, piece.data):
        return [chunk[:_HEAD]]
    return []


def _followed(pieces: Mapping[str, Piece], path: str) -> Piece | None:
    """The entry of that path, links within the package followed; a link where they lead out."""
    piece = pieces.get(path)
    for _ in range(_HOPS):
        if piece is None or piece.entry.kind is not Kind.SYMLINK:
            break
        target = posixpath.join(posixpath.dirname(piece.entry.path), piece.entry.target)
        inside = pieces.get(posixpath.normpath(target))
        if inside is None:
            break
        piece = inside
    return piece

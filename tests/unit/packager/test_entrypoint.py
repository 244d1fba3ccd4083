"""Whether the program that a package brings can be started, in AWS's words."""

from __future__ import annotations

import struct

import pytest
from zips import FILE, FOLDER, LINK, Item, hand_made

from lambda_home.packager.archive import inspect
from lambda_home.packager.entrypoint import Machine, judge
from lambda_home.packager.layers import Piece, pieces
from lambda_home.runtimes import catalogue

RUN = FILE | 0o111
MISSING = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
DENIED = "fork/exec {}/bootstrap: permission denied"
FORMAT = "fork/exec {}/bootstrap: exec format error"
NO_FILE = "fork/exec {}/bootstrap: no such file or directory"
SHELL = b"#!/bin/sh\nexit 1\n"


def elf(machine: int, order: int = 1) -> bytes:
    number = struct.pack("<H" if order == 1 else ">H", machine)
    return b"\x7fELF\x02" + bytes([order, 1]) + bytes(9) + b"\x02\x00" + number + bytes(44)


def package(*items: Item) -> list[Piece]:
    data = hand_made(items)
    return pieces(inspect(data), data)


def file(content: bytes = SHELL, name: str = "bootstrap", mode: int = RUN) -> Item:
    return Item(name, content, mode)


OTHER = file(name="main")


@pytest.mark.parametrize(
    ("code", "opt", "error"),
    [
        pytest.param([file()], [], "", id="script"),
        pytest.param([file(elf(62))], [], "", id="program"),
        pytest.param([file(elf(3))], [], "", id="32-bit program"),
        pytest.param([OTHER], [file()], "", id="in a layer"),
        pytest.param([OTHER], [], MISSING, id="nowhere"),
        pytest.param([OTHER], [OTHER], MISSING, id="nowhere in a layer either"),
        pytest.param([file(name="app/bootstrap")], [], MISSING, id="in a folder"),
        pytest.param([file(name="Bootstrap")], [], MISSING, id="other case"),
        pytest.param([Item("bootstrap/", b"", FOLDER), OTHER], [], MISSING, id="is a folder"),
        pytest.param([Item("bootstrap/", b"", FOLDER)], [file()], "", id="folder, then a layer"),
        pytest.param([file(mode=FILE)], [], DENIED.format("/var/task"), id="no exec bit"),
        pytest.param([OTHER], [file(mode=FILE)], DENIED.format("/opt"), id="not of the layer"),
        pytest.param([file(mode=FILE)], [file()], DENIED.format("/var/task"), id="code before"),
        pytest.param([file(elf(183))], [], FORMAT.format("/var/task"), id="arm64"),
        pytest.param([OTHER], [file(elf(183))], FORMAT.format("/opt"), id="arm64 in a layer"),
        pytest.param([file(elf(22, order=2))], [], FORMAT.format("/var/task"), id="big endian"),
        pytest.param([file(b"echo hi\n")], [], FORMAT.format("/var/task"), id="no shebang"),
        pytest.param([file(b"")], [], FORMAT.format("/var/task"), id="empty"),
        pytest.param([file(b"\x7fELF")], [], FORMAT.format("/var/task"), id="cut off"),
        pytest.param([file(b"MZ\x90")], [], FORMAT.format("/var/task"), id="Windows program"),
        pytest.param([file(b"#!/bin/sh\r\n")], [], NO_FILE.format("/var/task"), id="Windows lines"),
        pytest.param([Item("bootstrap", b"main", LINK), OTHER], [], "", id="link to a program"),
        pytest.param(
            [Item("bootstrap", b"main", LINK), file(name="main", mode=FILE)],
            [],
            DENIED.format("/var/task"),
            id="link to what is not one",
        ),
        pytest.param([Item("bootstrap", b"gone", LINK), OTHER], [], "", id="link out of sight"),
    ],
)
def test_what_aws_would_say(code: list[Item], opt: list[Item], error: str) -> None:
    layers = package(*opt) if opt else []
    verdict = judge(catalogue()["provided.al2023"], package(*code), layers, Machine("x86_64"))
    assert verdict.error == error
    assert bool(verdict.advice) == bool(error)


@pytest.mark.parametrize(
    ("machine", "fits"),
    [
        (Machine("aarch64"), True),
        (Machine("x86_64"), False),
        (Machine("x86_64", emulates=True), True),
        (Machine("riscv64"), True),  # nothing is known of it
    ],
)
def test_a_program_is_for_a_machine(machine: Machine, *, fits: bool) -> None:
    verdict = judge(catalogue()["provided.al2"], package(file(elf(183))), [], machine)
    assert (verdict.error == "") == fits
    assert fits or "program for arm64, this is x86_64" in verdict.advice


@pytest.mark.parametrize("runtime", ["python3.12", "nodejs22.x", "java21", "go1.x", "rust"])
def test_other_runtimes_need_no_bootstrap(runtime: str) -> None:
    """A package of go1.x or rust may name its program in the handler."""
    assert judge(catalogue()[runtime], package(OTHER), [], Machine("x86_64")).error == ""

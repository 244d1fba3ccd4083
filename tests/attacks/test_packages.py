"""Contract row 31: hostile ZIPs at a live server, through every door that takes one.

What is refused is refused in AWS's words and leaves nothing; what AWS takes is taken as data. The
tables of the rules themselves are in unit/packager/test_archive.py.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from folders import below
from functions_under_test import PYTHON, QUICK_WAITER, create, fresh_name, invoke
from live import ROLE, LiveServer
from polling import refusal
from zips import FOLDER, LINK, Item, hand_made, zip_of

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

CODE = "def handler(event, context):\n    return event\n"
GOOD = zip_of({"lambda_function.py": CODE})
OUTSIDE = "Could not use uploaded file: entry "
BROKEN = "Could not unzip uploaded file"
TOO_LARGE = "Unzipped size must be smaller than 262144000 bytes"


def with_code(*items: Item) -> bytes:
    return hand_made([Item("lambda_function.py", CODE.encode()), *items])


def overlapping() -> bytes:
    kernel = Item("kernel", bytes(1 << 20))
    again = [Item("kernel", bytes(1 << 20), header_at=0) for _ in range(200)]
    return hand_made([kernel, *again])


HOSTILE: dict[str, tuple[bytes, str]] = {
    "one up": (with_code(Item("../evil")), OUTSIDE),
    "far up": (with_code(Item("a/../../../../../../../../tmp/evil")), OUTSIDE),
    "absolute": (with_code(Item("/tmp/lambda-home-evil")), OUTSIDE),
    "a drive": (with_code(Item("C:\\evil.py")), OUTSIDE),
    "link out": (with_code(Item("l", b"/etc/passwd", LINK)), OUTSIDE),
    "link up": (with_code(Item("l", b"../../..", LINK)), OUTSIDE),
    "write through a link": (with_code(Item("l", b"/tmp", LINK), Item("l/evil")), OUTSIDE),
    "link, then folder": (with_code(Item("l", b"a", LINK), Item("l/", b"", FOLDER)), OUTSIDE),
    "twice": (with_code(Item("a"), Item("a")), OUTSIDE),
    "twice in other words": (with_code(Item("a/b"), Item("a//b")), OUTSIDE),
    "NUL": (with_code(Item(b"evil\0.py")), OUTSIDE),
    "device": (with_code(Item("d", mode=0o060666)), OUTSIDE),
    "overlapping": (overlapping(), OUTSIDE),
    "lies about its size": (with_code(Item("a", bytes(1000), size=10)), BROKEN),
    "lies about its checksum": (with_code(Item("a", b"text", crc=1)), BROKEN),
    "two names": (with_code(Item("a", local_name=b"../b")), BROKEN),
    "cut off": (GOOD[:-30], BROKEN),
    "claims 4 GB": (with_code(Item("a", b"x", size=0xFFFFFFFE)), TOO_LARGE),
    "claims 2^60": (with_code(Item("a", b"x", size=1 << 60, zip64=True)), TOO_LARGE),
}


def tree(target: LiveServer) -> set[str]:
    """Everything around and in the data directory, but what a server writes by itself."""
    top = target.data_dir.parent
    found = {str(path.relative_to(top)) for path in below(top)}
    mine = ("data/lhome.db", "data/logs", "data/tasks", "data/outputs", "data/audit")
    return {name for name in found if not name.startswith(mine)}


@pytest.fixture(scope="module")
def client(target: LiveServer) -> LambdaClient:
    return target.client()


@pytest.fixture(scope="module")
def standing(client: LambdaClient) -> str:
    return create(client, CODE)


def doors(client: LambdaClient, name: str) -> dict[str, Callable[..., Any]]:
    new: Any = {
        "FunctionName": fresh_name("zip"),
        "Runtime": PYTHON,
        "Handler": "lambda_function.handler",
        "Role": ROLE,
    }

    def layer(data: bytes) -> object:
        return client.publish_layer_version(LayerName="hostile", Content={"ZipFile": data})

    return {
        "create": lambda data: client.create_function(**new, Code={"ZipFile": data}),
        "update": lambda data: client.update_function_code(FunctionName=name, ZipFile=data),
        "layer": layer,
    }


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_zip_is_refused_and_leaves_nothing(
    target: LiveServer, client: LambdaClient, standing: str, what: str
) -> None:
    package, words = HOSTILE[what]
    before, outside = tree(target), Path("/tmp/lambda-home-evil")
    for door, call in doors(client, standing).items():
        status, code, message = refusal(call, data=package)
        assert (status, code) == (400, "InvalidParameterValueException"), door
        assert message.startswith(words), (door, message)
    assert tree(target) == before
    assert not outside.exists()
    assert client.list_layer_versions(LayerName="hostile")["LayerVersions"] == []


def test_what_was_refused_changed_no_function(client: LambdaClient, standing: str) -> None:
    assert invoke(client, standing, {"a": 1}).payload == {"a": 1}
    names = [f["FunctionName"] for f in client.list_functions()["Functions"]]
    assert not [name for name in names if name.startswith("zip-")]


def nested_bomb() -> bytes:
    """Zeros in ZIPs in ZIPs: 16 GB, if somebody unpacked them all."""
    data = zip_of({"zeros": bytes(1 << 20)})
    for _ in range(4):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
            for number in range(12):
                package.writestr(f"{number}.zip", data)
        data = zip_of({"in.zip": buffer.getvalue()})
    return data


def test_names_and_zips_that_are_only_odd_are_data(
    target: LiveServer, client: LambdaClient
) -> None:
    source = """
import os
def handler(event, context):
    return sorted(os.path.join(f, n) for f, _, names in os.walk("/var/task") for n in names)
"""
    odd = ["..\\up.py", "$(touch x)", "a\nb", "-rf", "ünï", "con", "..."]
    package = hand_made(
        [
            Item("lambda_function.py", source.encode()),
            Item("bomb.zip", nested_bomb(), method=0),
            *(Item(name) for name in odd),
        ]
    )
    name = fresh_name("odd")
    before = {path for path in tree(target) if not path.startswith(("data/code", "data/unpacked"))}
    client.create_function(
        FunctionName=name,
        Runtime=PYTHON,
        Handler="lambda_function.handler",
        Role=ROLE,
        Code={"ZipFile": package},
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)
    answer = invoke(client, name, {})
    assert answer.payload == sorted(
        f"/var/task/{entry}" for entry in ["lambda_function.py", "bomb.zip", *odd]
    )
    after = {path for path in tree(target) if not path.startswith(("data/code", "data/unpacked"))}
    assert after == before

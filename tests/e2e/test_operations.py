"""Upkeep of a server that runs: backup and restore, reset, disks that cannot be written."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from functions_under_test import create, fresh_name, invoke
from live import LiveServer, zip_of
from observing import until

pytestmark = pytest.mark.process

_RETRY_S = 0.3
_PATIENCE_S = 60
LAYERED = """
import os
from from_layer import TEXT
def handler(event, context):
    return [TEXT, os.environ["PASSWORD"]]
"""
COUNT = """
calls = 0
def handler(event, context):
    global calls
    calls += 1
    return calls
"""


def cli(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lambda_home", *words]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)


def post(server: LiveServer, path: str, body: Any = None) -> httpx.Response:
    return httpx.post(server.url + path, json=body, trust_env=False, timeout=_PATIENCE_S)


def get(server: LiveServer, path: str) -> httpx.Response:
    return httpx.get(server.url + path, trust_env=False, timeout=_PATIENCE_S)


# ------------------------------------------------------------------------------ backup, restore


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Backups made while a server ran that has a function, a layer, a route and a secret."""
    folder = tmp_path_factory.mktemp("furnished")
    data = str(folder / "data")
    with LiveServer("--sandbox", "process", "--data-dir", data) as server:
        client = server.client()
        layer = client.publish_layer_version(
            LayerName="texts", Content={"ZipFile": zip_of({"python/from_layer.py": "TEXT = 'hi'"})}
        )
        assert post(server, "/api/admin/secrets", {"name": "P", "value": "geheim"}).is_success
        variables = {"Variables": {"PASSWORD": "SECRET_REF:P"}}
        layers = [layer["LayerVersionArn"]]
        create(client, LAYERED, "restored", Environment=variables, Layers=layers)
        client.publish_version(FunctionName="restored")
        route = {"path": "/hello", "function_name": "restored"}
        assert post(server, "/api/admin/api-gateway/routes", route).is_success
        assert invoke(client, "restored").payload == ["hi", "geheim"]
        for name, flags in {"with-key": ["--with-key", "--with-logs"], "without": []}.items():
            done = cli("backup", str(folder / name), "--data-dir", data, "--json", *flags)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["files"] >= 3
            assert ("their key is not in it" in done.stderr) is not bool(flags)
        done = cli("restore", str(folder / "without"), "--data-dir", data, "--force")
        assert (done.returncode, done.stderr.count("\n")) == (1, 2)
        assert "in use by another server" in done.stderr
        done = cli("backup", str(folder / "without"), "--data-dir", data)
        assert done.returncode == 1
        assert "--force" in done.stderr
    return folder


def test_a_restored_server_has_functions_layers_routes_and_secrets(
    furnished: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    assert cli("restore", str(furnished / "with-key"), "--data-dir", str(data)).returncode == 0
    with LiveServer("--sandbox", "process", "--data-dir", str(data)) as server:
        client = server.client()
        for qualifier in ("$LATEST", "1"):
            answer = invoke(client, "restored", Qualifier=qualifier)
            assert answer.payload == ["hi", "geheim"]
        assert get(server, "/hello").json() == ["hi", "geheim"]
        (layer,) = client.list_layers()["Layers"]
        assert layer["LayerName"] == "texts"


def test_without_its_key_a_restored_secret_is_told_to_be_unreadable_until_the_key_is_back(
    furnished: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    done = cli("restore", str(furnished / "without"), "--data-dir", str(data))
    assert done.returncode == 0
    assert "secrets.key" in done.stderr
    assert not (data / "secrets.key").exists()
    with LiveServer("--sandbox", "process", "--data-dir", str(data)) as server:
        client = server.client()
        with pytest.raises(client.exceptions.ClientError, match=r"secrets\.key") as caught:
            invoke(client, "restored")
        assert "geheim" not in str(caught.value)
    key = (furnished / "data" / "secrets.key").read_bytes()
    (data / "secrets.key").write_bytes(key)
    (data / "secrets.key").chmod(0o600)
    with LiveServer("--sandbox", "process", "--data-dir", str(data)) as server:
        assert invoke(server.client(), "restored").payload == ["hi", "geheim"]


# ---------------------------------------------------------------------------------------- reset


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    environment = {"LAMBDA_HOME_ASYNC__RETRY_BASE_S": str(_RETRY_S)}
    with LiveServer("--sandbox", "process", "--ephemeral", environment=environment) as live:
        yield live


def test_a_reset_empties_the_server_and_names_are_free_at_once(server: LiveServer) -> None:
    client = server.client()
    names = [create(client, COUNT) for _ in range(10)]
    for name in names:
        assert invoke(client, name).payload == 1
    assert post(server, "/api/admin/secrets", {"name": "S", "value": "x"}).is_success
    route = {"path": "/gone", "function_name": names[0]}
    assert post(server, "/api/admin/api-gateway/routes", route).is_success
    client.publish_version(FunctionName=names[0])
    assert post(server, "/api/admin/reset").json()["functions"] == 10
    assert client.list_functions()["Functions"] == []
    assert get(server, "/gone").status_code == 404
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        invoke(client, names[1])
    for name in names[:3]:
        create(client, COUNT, name)
        assert invoke(client, name).payload == 1, "an environment of the old function answered"
    published = client.publish_version(FunctionName=names[0], Description="new")
    assert published["Version"] == "1"


def test_a_reset_keeps_spares_warm(server: LiveServer) -> None:
    client = server.client()
    create(client, COUNT)

    def spares() -> Any:
        return get(server, "/api/admin/spares").json()["ready"]

    until(lambda: spares() >= 1, "there is no spare")
    assert post(server, "/api/admin/reset").is_success
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        time.sleep(0.05)
        assert spares() >= 1, "the spares went with the functions"


def test_a_reset_of_an_account_leaves_the_others(server: LiveServer) -> None:
    mine, other = server.client(), server.client(account="111111111111")
    create(mine, COUNT, "both")
    create(other, COUNT, "both")
    # Without a signature the caller is the server's own account.
    assert post(server, "/api/admin/reset?scope=account").json()["functions"] == 1
    assert mine.list_functions()["Functions"] == []
    assert invoke(other, "both").payload == 1
    assert post(server, "/api/admin/reset").json()["functions"] == 1


def test_a_reset_gives_up_events_and_no_function_of_the_same_name_gets_them(
    server: LiveServer,
) -> None:
    client = server.client()
    name = create(client, "def handler(event, context):\n    raise ValueError('again')\n")
    for _ in range(3):
        invoke(client, name, {}, InvocationType="Event")
    assert invoke(client, name).error  # the others have failed as well, or are about to
    assert post(server, "/api/admin/reset").is_success
    create(client, COUNT, name)
    assert invoke(client, name).payload == 1
    time.sleep(3 * _RETRY_S)  # longer than an event would wait for its next try
    assert invoke(client, name).payload == 2, "the new function got an event of the old one"
    assert post(server, "/api/admin/reset").json()["events"] == 0


@pytest.mark.parametrize("query", ["?scope=everything", "?scope=", "?account=1", "?scope=all&x=1"])
def test_a_reset_of_anything_else_is_refused(server: LiveServer, query: str) -> None:
    answer = post(server, f"/api/admin/reset{query}")
    assert answer.status_code == 400
    assert "scope" in answer.text


# --------------------------------------------------------------------------------------- doctor


def test_the_doctor_knows_a_server_of_ours_from_another_program_at_its_port(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAMBDA_HOME_SERVER__PORT_USER_API", server.url.rsplit(":", 1)[1])
    monkeypatch.setenv("LAMBDA_HOME_SERVER__PORT_RUNTIME_API", str(server.runtime_port))
    monkeypatch.setenv("LAMBDA_HOME_SANDBOX__KIND", "process")
    words = ("doctor", "--data-dir", str(tmp_path / "none"), "--json")
    ours = json.loads(cli(*words).stdout)["checks"]
    assert [c["status"] for c in ours if c["name"].startswith("port ")] == ["ok", "ok"]
    assert not (tmp_path / "none").exists()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        monkeypatch.setenv("LAMBDA_HOME_SERVER__PORT_USER_API", port)
        done = cli(*words)
    theirs = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1
    assert f"pid {os.getpid()}" in theirs[f"port {port}"]["message"]
    assert "server.port_user_api" in theirs[f"port {port}"]["advice"]


_TOO_LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        ("backup", _TOO_LONG),
        ("backup", "backup", "--data-dir", _TOO_LONG),
        ("restore", _TOO_LONG),
        ("serve", "--data-dir", _TOO_LONG),
    ],
)
def test_a_path_that_cannot_be_is_told_in_one_line(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(*words)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if not line.endswith(" ...")]
    assert len(lines) == 1, done.stderr
    assert "File name too long" in lines[0]


def test_the_doctor_tells_of_a_data_directory_that_cannot_be() -> None:
    done = cli("doctor", "--data-dir", _TOO_LONG, "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert (done.returncode, checks["data"]["status"]) == (1, "failed")
    assert "File name too long" in checks["data"]["message"]


# ----------------------------------------------------------------------------------- leftovers


def test_the_next_start_clears_the_temporary_directory_of_a_killed_server(tmp_path: Path) -> None:
    environment = {"TMPDIR": str(tmp_path)}
    flags = ("--sandbox", "process", "--ephemeral")
    with LiveServer(*flags, environment=environment) as dead:
        left = dead.data_dir
        dead.stop(signal.SIGKILL)
    assert left.parent == tmp_path
    with LiveServer(*flags, environment=environment) as server:
        until(lambda: not left.exists(), "the dead server's folder is left")
        assert server.data_dir.exists()
        with LiveServer(*flags, environment=environment) as other:
            assert other.data_dir != server.data_dir
        assert server.data_dir.exists(), "a living server's folder was cleared"


# -------------------------------------------------------------------- disks that cannot be written


def mounted(*words: str) -> None:
    if subprocess.run(["mount", *words], check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount")


def refused(data: Path) -> str:
    """What a start says that must fail with one line."""
    done = cli("serve", "--sandbox", "process", "--data-dir", str(data), "--port-user-api", "0",
               "--port-runtime-api", "0")  # fmt: skip
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_read_only_data_directory_is_told_in_one_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with LiveServer("--sandbox", "process", "--data-dir", str(data)):
        pass
    mounted("--bind", str(data), str(data))
    try:
        mounted("-o", "remount,ro,bind", str(data))
        line = refused(data)
        assert "Read-only file system" in line
        assert "--data-dir" in line
        done = cli("doctor", "--data-dir", str(data), "--json")
        checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
        assert (done.returncode, checks["data"]["status"]) == (1, "failed")
    finally:
        subprocess.run(["umount", str(data)], check=True)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB without room for anything."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted("-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk))
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb") as file:
        for size in (65_536, 4096):
            found = os.statvfs(disk)
            for _ in range(found.f_bavail * found.f_bsize // size):
                file.write(b"x" * size)
                file.flush()
    return filler


def again(call: Callable[[], object]) -> None:
    """What is written already has some room left, for a while."""
    for _ in range(200):
        call()


def test_with_a_full_disk_a_new_server_says_so_in_one_line(full_disk: Path) -> None:
    fill(full_disk)
    line = refused(full_disk / "data")
    assert "No space left" in line or "disk is full" in line or "disk I/O" in line


def test_when_the_disk_fills_writes_are_refused_and_reads_and_warm_invokes_go_on(
    full_disk: Path,
) -> None:
    with LiveServer("--sandbox", "process", "--data-dir", str(full_disk / "data")) as server:
        client = server.client()
        name = create(client, COUNT)
        assert invoke(client, name).payload == 1
        filler = fill(full_disk)
        for call in (
            lambda: create(client, COUNT, fresh_name()),
            lambda: client.put_function_concurrency(
                FunctionName=name, ReservedConcurrentExecutions=1
            ),
            lambda: client.publish_layer_version(
                LayerName="x", Content={"ZipFile": zip_of({"a": os.urandom(500_000)})}
            ),
        ):
            with pytest.raises(client.exceptions.ServiceException, match=r"full|No space"):
                again(call)
        assert invoke(client, name).payload == 2
        assert client.get_function(FunctionName=name)["Configuration"]["FunctionName"] == name
        filler.unlink()
        assert invoke(client, create(client, COUNT)).payload == 1

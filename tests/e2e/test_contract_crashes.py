"""Servers that are killed or run out of disk: rows 12, 13 and 15 of the forty tests to survive.

Which test holds which row is told in test_contract_faults.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from conftest import SANDBOXES
from functions_under_test import QUICK_WAITER, create, fresh_name, invoke
from live import LiveServer, steady_port, zip_of
from observing import below, containers, until, until_logged
from raw_http import dial, invocations

from lambda_home.sandboxes.process_owners import MARK
from lambda_home.sandboxes.process_table import start_time, values_of

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

COUNT = """
import time
calls = 0
def handler(event, context):
    global calls
    calls += 1
    print("begun", flush=True)
    time.sleep(event.get("seconds", 0))
    return {"calls": calls}
"""


@pytest.fixture(params=SANDBOXES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def updated(client: LambdaClient, name: str) -> None:
    client.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig=QUICK_WAITER)


# ------------------------------------------------------------------------ 12: killed while updating


def twice(number: int) -> bytes:
    """Code that says its number in two files, so that a mixture would show."""
    source = "from part import N\ndef handler(event, context):\n    return [N, {}]\n"
    return zip_of({"part.py": f"N = {number}\n", "lambda_function.py": source.format(number)})


def update_until_it_fails(client: LambdaClient, name: str, state: dict[str, int]) -> None:
    with contextlib.suppress(BotoCoreError, ClientError):
        while True:
            state["tried"] += 1
            client.update_function_code(FunctionName=name, ZipFile=twice(state["tried"]))
            state["done"] = state["tried"]


@pytest.mark.slow
@pytest.mark.process
def test_row_12_a_server_killed_while_it_updates_code_has_the_old_or_the_new(
    tmp_path: Path,
) -> None:
    dice = random.Random(12)
    state = {"tried": 0, "done": 0}
    name = fresh_name("killed")
    for round_ in range(5):
        with LiveServer("--sandbox", "process", "--data-dir", str(tmp_path)) as server:
            client = server.client()
            if round_ == 0:
                create(client, "", name, Code={"ZipFile": twice(0)})
            until(partial(settled, client, name), "the update never ended")
            first, second = invoke(client, name).payload
            assert first == second, "files of two packages are mixed"
            assert state["done"] <= first <= state["tried"]
            thread = threading.Thread(target=update_until_it_fails, args=(client, name, state))
            last = state["done"]
            thread.start()
            until(partial(gone_on, state, last), "no update went through")
            time.sleep(dice.random() * 0.05)  # the kill must not always come at the same place
            server.stop(SIGKILL)
            thread.join()
    assert state["done"] >= 5


def gone_on(state: dict[str, int], last: int) -> bool:
    return state["done"] > last


def settled(client: LambdaClient, name: str) -> bool:
    found: Any = client.get_function_configuration(FunctionName=name)
    return bool(found["State"] == "Active" and found["LastUpdateStatus"] == "Successful")


# ------------------------------------------------------------------- 13: killed, and what is left


def left_by(owner: str) -> list[str]:
    """Processes, control groups and folders that carry a dead server's name."""
    folders = Path(tempfile.gettempdir()).glob(f"lambda-home-tmp-{owner}*")
    groups = [path for path in below(Path("/sys/fs/cgroup")) if path.name.startswith(owner)]
    processes = [str(pid) for pid, of in values_of(MARK).items() if of.startswith(owner)]
    return [*processes, *map(str, folders), *map(str, groups)]


def ids(server: LiveServer, kind: str) -> set[str]:
    return {container["ID"] for container in containers(server)} if kind == "docker" else set()


def test_row_13_a_restart_clears_away_what_a_killed_server_left_and_has_its_ports(
    kind: str, tmp_path: Path
) -> None:
    flags = ("--sandbox", kind, "--data-dir", str(tmp_path / "data"))
    user_port, runtime_port = str(steady_port()), str(steady_port())
    ports = ("--port-user-api", user_port, "--port-runtime-api", runtime_port)
    with LiveServer(*flags, *ports) as server:
        assert server.process is not None
        owner = f"{server.process.pid}.{start_time(server.process.pid)}."
        client = server.client()
        name, asleep = create(client, COUNT), create(client, COUNT, Timeout=60)
        assert invoke(client, name, {}).payload["calls"] == 1
        with dial(server) as caller:
            body = b'{"seconds": 50}'
            head = f"POST {invocations(asleep)} HTTP/1.1\r\nHost: localhost\r\n"
            head += f"Content-Length: {len(body)}"
            caller.sendall(f"{head}\r\n\r\n".encode() + body)
            until_logged(server, asleep, "begun")
            tasks = tmp_path / "data" / "tasks"
            until(lambda: len(list(tasks.iterdir())) >= 3, "no spare is there")
            server.stop(SIGKILL)
        before = ids(server, kind)
        assert bool(before) is (kind == "docker")
        folders = {path.name for path in tasks.iterdir()}
    with LiveServer(*flags, *ports) as server:
        assert (server.url.rsplit(":", 1)[1], str(server.runtime_port)) == (user_port, runtime_port)
        until(lambda: not left_by(owner), "something of the dead server is left")
        until(lambda: not before & ids(server, kind), "a container of the dead server is left")
        until(lambda: not folders & {path.name for path in tasks.iterdir()}, "folders are left")
        assert invoke(server.client(), name, {}).payload["calls"] == 1
        assert invoke(server.client(), asleep, {}).error is None


# ----------------------------------------------------------------------------------- 15: disk full


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@contextlib.contextmanager
def only_free(disk: Path, size: int) -> Iterator[None]:
    """Fill a disk but for `size` bytes; give it back at the end."""
    found = os.statvfs(disk)
    filler = disk / "filler"
    filler.write_bytes(b"x" * max(0, found.f_bavail * found.f_bsize - size))
    try:
        yield
    finally:
        filler.unlink()


def noisy(number: int, size: int) -> bytes:
    source = f"def handler(event, context):\n    return {number}\n"
    noise = random.Random(number).randbytes(size)
    return zip_of({"lambda_function.py": source, "noise": noise})


def versions(client: LambdaClient, name: str) -> list[str]:
    found = client.list_versions_by_function(FunctionName=name)["Versions"]
    return [version["Version"] for version in found]


def test_row_15_a_full_disk_is_told_breaks_no_version_and_is_forgotten_when_there_is_room(
    kind: str, small_disk: Path
) -> None:
    data = small_disk / "data"
    with LiveServer("--sandbox", kind, "--data-dir", str(data)) as server:
        client = server.client()
        name = create(client, "", Code={"ZipFile": noisy(1, 10)})
        assert invoke(client, name).payload == 1

        with only_free(small_disk, 500_000):  # no room for the package
            with pytest.raises(ClientError, match="could not be stored: No space") as caught:
                client.update_function_code(
                    FunctionName=name, ZipFile=noisy(2, 1_000_000), Publish=True
                )
            assert caught.value.response["Error"]["Code"] == "ServiceException"
            assert versions(client, name) == ["$LATEST"]
            assert not list((data / "code").glob(".*"))
            assert invoke(client, name).payload == 1

        with only_free(small_disk, 1_500_000):  # room for the package, none to unpack it
            made = client.update_function_code(
                FunctionName=name, ZipFile=noisy(3, 1_000_000), Publish=True
            )
            assert made["Version"] == "1"
            until(lambda: update_status(client, name) != "InProgress", "it never ended")
            if update_status(client, name) == "Failed":
                with pytest.raises(ClientError, match="No space left"):
                    invoke(client, name, Qualifier="1")
        assert invoke(client, name, Qualifier="1").payload == 3, "a version is broken for good"
        assert invoke(client, name).payload == 3

        with only_free(small_disk, 80_000):  # no room for the registry any more, some time
            acknowledged = ["$LATEST", "1", *published_until_refused(client, name)]
            assert versions(client, name) == acknowledged

        package = noisy(1000, 10)
        client.update_function_code(FunctionName=name, ZipFile=package, Publish=True)
        updated(client, name)
        answer = invoke(client, name, Qualifier=str(len(acknowledged)))
        assert answer.payload == 1000
        until_logged(server, name, answer.request_id)


def published_until_refused(client: LambdaClient, name: str) -> Iterator[str]:
    """Versions that were acknowledged before a full disk was told."""
    for number in range(4, 200):
        try:
            client.update_function_code(FunctionName=name, ZipFile=noisy(number, 10))
            made = client.publish_version(FunctionName=name)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ServiceException"  # noqa: PT017
            assert "disk is full" in str(error) or "No space left" in str(error)  # noqa: PT017
            return
        yield made["Version"]
    raise AssertionError("the disk is never full")


def update_status(client: LambdaClient, name: str) -> str:
    found: Any = client.get_function_configuration(FunctionName=name)
    return str(found["LastUpdateStatus"])

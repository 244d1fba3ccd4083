"""Features row 55: what the kernel says of a live environment, seen from the machine."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from functions_under_test import create, fresh_name, invoke
from live import LiveServer
from observing import containers

SOURCE = """
import os
def handler(event, context):
    return os.getuid()
"""
MB = 1 << 20


@dataclass
class Live:
    """A live environment's process on the machine, and its container if it is one."""

    pid: int
    inspected: dict[str, Any]

    @property
    def status(self) -> dict[str, str]:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def limit(self, controller: str, *names: str) -> int | None:
        """A value of its control group; None where this machine has no such file."""
        for line in Path(f"/proc/{self.pid}/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if controller not in kinds.split(",") and kinds:
                continue
            for name in names:
                file = Path("/sys/fs/cgroup", kinds and controller, path.lstrip("/"), name)
                if file.exists():
                    return int(file.read_text().split()[0])
        return None


def environment(target: LiveServer, memory_mb: int) -> Live:
    name = create(target.client(), SOURCE, fresh_name(f"hard{memory_mb}"), MemorySize=memory_mb)
    uid = invoke(target.client(), name, {}).payload
    if target.facts["sandbox"].startswith("docker"):
        (row, *_) = [
            row
            for row in containers(target)
            if (found := _inspect(row["ID"])) and found["HostConfig"]["Memory"] == memory_mb * MB
        ]
        inspected = _inspect(row["ID"])
        return Live(inspected["State"]["Pid"], inspected)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if entry.stat().st_uid == uid and "bootstrap" in (entry / "cmdline").read_text():
                return Live(int(entry.name), {})
        except OSError:
            continue
    raise AssertionError(f"no process of user {uid}")


def _inspect(container: str) -> dict[str, Any]:
    done = subprocess.run(
        ["docker", "inspect", container], check=False, capture_output=True, text=True
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found[0] if found else {}  # gone meanwhile


@pytest.fixture(scope="module")
def small(target: LiveServer) -> Live:
    return environment(target, 192)


@pytest.fixture(scope="module")
def large(target: LiveServer) -> Live:
    return environment(target, 1769)


def test_it_has_no_rights(small: Live) -> None:
    status = small.status
    assert "0" not in status["Uid"].split() + status["Gid"].split()
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    if os.geteuid() == 0:
        assert int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_its_root_is_read_only_and_its_tmp_has_a_size(small: Live) -> None:
    mounts = [line.split() for line in Path(f"/proc/{small.pid}/mounts").read_text().splitlines()]
    options = {words[1]: words[3].split(",") for words in mounts}
    for point in ("/", "/var/task"):
        if point in options:
            assert "ro" in options[point], point
    assert {"nosuid", "nodev"} <= set(options["/tmp"])
    assert any(word in options["/tmp"] for word in ("size=524288k", "size=512m"))


def test_its_memory_processes_and_processor_are_limited(small: Live, large: Live) -> None:
    limits = [one.limit("memory", "memory.limit_in_bytes", "memory.max") for one in (small, large)]
    assert limits == [192 * MB, 1769 * MB]
    for one, memory in ((small, 192 * MB), (large, 1769 * MB)):
        swap = one.limit("memory", "memory.memsw.limit_in_bytes")
        assert swap in {None, memory}, "no swap beside the memory"
        assert one.limit("memory", "memory.swap.max") in {None, 0}
        assert one.limit("pids", "pids.max") == 1024
    shares = [one.limit("cpu", "cpu.shares", "cpu.weight") for one in (small, large)]
    assert None not in shares
    ratio = (shares[1] or 0) / (shares[0] or 1)
    assert ratio == pytest.approx(1769 / 192, rel=0.25), shares


def test_its_network_keeps_containers_apart(small: Live, target: LiveServer) -> None:
    own = Path(f"/proc/{small.pid}/ns/net").readlink()
    if not target.facts["sandbox"].startswith("docker"):
        assert own == Path("/proc/self/ns/net").readlink(), "processes share it: docs/security.md"
        return
    assert own != Path("/proc/self/ns/net").readlink()
    (name,) = small.inspected["NetworkSettings"]["Networks"]
    done = subprocess.run(
        ["docker", "network", "inspect", name], check=True, capture_output=True, text=True
    )
    options = json.loads(done.stdout)[0]["Options"]
    assert options["com.docker.network.bridge.enable_icc"] == "false"
    host = small.inspected["HostConfig"]
    assert (host["Privileged"], host["PidMode"], host["IpcMode"]) == (False, "", "private")
    assert host["Binds"] is None


def test_it_has_namespaces_of_its_own(small: Live, large: Live) -> None:
    for kind in ("pid", "ipc", "mnt", "uts"):
        seen = {Path(f"/proc/{pid}/ns/{kind}").readlink() for pid in ("self", small.pid, large.pid)}
        assert len(seen) == 3, kind

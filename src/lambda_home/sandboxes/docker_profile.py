"""What a container of an execution environment is: names, labels, limits, and who owns it.

The isolation profile of docs/architecture.md stands here as one dictionary, in the words of the
Docker Engine API (`POST /containers/create`).
"""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lambda_home.sandboxes.base import SandboxSpec, addressed
from lambda_home.sandboxes.supervision import supervised
from lambda_home.sandboxes.task_folders import Folders

MARK = "lambda-home"
INSTANCE = "lambda-home.instance"
OWNER = "lambda-home.owner"
ENVIRONMENT = "lambda-home.environment"

MB = 1024 * 1024
MB_OF_ONE_CPU = 1769
"""Memory at which a function has one vCPU
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html)."""

_LEAST_SHARES = 2  # the kernel takes no less

USER = "1000:1000"
OUTPUT = "/run/lambda-home/output"
"""Where a container sees the named pipe for its output."""
_INTO_PIPE = f'exec "$@" >{OUTPUT} 2>&1'
PROCESSES = 1024
OPEN_FILES = 1024
_OUT_OF_MEMORY_FIRST = 500  # when the host runs out, functions go before the server


@dataclass(frozen=True, slots=True)
class Owner:
    """The server process that started a container, recognisable after its death.

    `machine` tells hosts and process namespaces apart, `started` is the process's start in clock
    ticks since boot, so that a reused process id is not mistaken for its owner.
    """

    machine: str
    boot: str
    pid: int
    started: str

    @classmethod
    def this_process(cls) -> Owner:
        """The owner of what this process starts."""
        pid = os.getpid()
        return cls(_machine(), _read("/proc/sys/kernel/random/boot_id"), pid, _start_of(pid))

    @classmethod
    def parse(cls, label: str) -> Owner | None:
        """The owner written in a label; None if the label is not one of ours."""
        parts = label.split("/")
        if len(parts) != 4 or not parts[2].isdecimal():  # noqa: PLR2004 - as `label` writes it
            return None
        return cls(parts[0], parts[1], int(parts[2]), parts[3])

    @property
    def label(self) -> str:
        """The value of the label `lambda-home.owner`."""
        return f"{self.machine}/{self.boot}/{self.pid}/{self.started}"

    def is_dead(self, here: Owner) -> bool:
        """True if the owner ran on the machine of `here` and lives no more."""
        if self.machine != here.machine:
            return False
        return self.boot != here.boot or _start_of(self.pid) != self.started


@dataclass(frozen=True, slots=True)
class Wiring:
    """How environments reach the runtime API: the network, and `address:port` as they see it.

    `output` is the named pipe that what they print goes to; None: the daemon passes it on.
    """

    network: str
    address: str
    port: int
    output: Path | None = None


def container_name(spec: SandboxSpec) -> str:
    """A name for people: the function, and enough of the id to be unique."""
    function = re.sub(r"[^a-zA-Z0-9_.-]", "-", spec.labels.get("function", "environment"))
    return f"lambda-home-{function[:64]}-{spec.id[:12]}"


def cpu_shares(memory_mb: int) -> int:
    """The weight of a memory size among containers that compete; 1024 is one CPU's worth.

    A weight, not a cap: see docs/decisions/0002-cpu-is-a-share.md.
    """
    return max(_LEAST_SHARES, memory_mb * 1024 // MB_OF_ONE_CPU)


def labels(spec: SandboxSpec, instance_id: str, owner: Owner) -> dict[str, str]:
    """The labels by which a later server and people know a container."""
    return {
        **{f"{MARK}.{key}": value for key, value in spec.labels.items()},
        MARK: "1",
        INSTANCE: instance_id,
        ENVIRONMENT: spec.id,
        OWNER: owner.label,
    }


def container_config(
    spec: SandboxSpec,
    wiring: Wiring,
    marks: Mapping[str, str],
    *,
    init: bool,
    folders: Folders | None = None,
) -> dict[str, object]:
    """The body of `POST /containers/create`. `init`: a small init process reaps zombies.

    `folders` are shown as the task root and as /opt, read-only.
    """
    shown = {"/var/task": folders.task, "/opt": folders.opt} if folders is not None else {}
    if wiring.output is not None:
        shown[OUTPUT] = wiring.output
    mounts = [
        {
            "Type": "bind",
            "Source": str(source),
            "Target": target,
            "ReadOnly": True,  # a pipe is written to nevertheless: it is no part of a file system
            "BindOptions": {"Propagation": "rprivate"},
        }
        for target, source in shown.items()
    ]
    api = f"{spec.host}:{wiring.port}"
    environment = {**addressed(spec.environment, api), "AWS_LAMBDA_RUNTIME_API": api}
    memory = spec.memory_mb * MB
    start: dict[str, object] = {}
    program = spec.program
    volumes = [f"{program.volumes_from}:ro"] if program and program.volumes_from else []
    command = supervised(program.argv if program else spec.command, spec.extensions)
    if wiring.output is not None:
        start["Entrypoint"] = ["/bin/sh", "-c", _INTO_PIPE, "sh", *command]
    elif spec.extensions or program is not None:
        start["Entrypoint"] = command
    return {
        **start,
        "Image": spec.code,
        "User": USER,
        "WorkingDir": program.working_directory if program else "/var/task",
        "Hostname": "sandbox",
        "Domainname": "localdomain",
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": dict(marks),
        "AttachStdin": False,
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "Memory": memory,
            "MemorySwap": memory,
            "CpuShares": cpu_shares(spec.memory_mb),
            "PidsLimit": PROCESSES,
            "Ulimits": [
                {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
                {"Name": "core", "Soft": 0, "Hard": 0},
            ],
            "Tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={spec.tmp_mb}m"},  # noqa: S108
            "Mounts": mounts,
            "VolumesFrom": volumes,
            "OomScoreAdj": _OUT_OF_MEMORY_FIRST,
            "Init": init,
            "NetworkMode": wiring.network,
            "ExtraHosts": [f"{spec.host}:{wiring.address}"],
            # Output is read from the attached stream; a second copy on disk would only grow.
            "LogConfig": {"Type": "none", "Config": {}},
            "RestartPolicy": {"Name": "no"},
        },
    }


def peak_files(container_id: str) -> tuple[Path, ...]:
    """Where the kernel may count the most memory that a container used.

    cgroup v1 and v2, each with Docker's own or systemd's names.
    """
    root = Path("/sys/fs/cgroup")
    scopes = (f"docker/{container_id}", f"system.slice/docker-{container_id}.scope")
    return tuple(
        file
        for scope in scopes
        for file in (
            root / "memory" / scope / "memory.max_usage_in_bytes",
            root / scope / "memory.peak",
        )
    )


def _machine() -> str:
    identity = _read("/etc/machine-id") or f"{uuid.getnode():x}"
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        namespace = ""
    return hashlib.sha256(f"{identity} {namespace}".encode()).hexdigest()[:16]


def _start_of(pid: int) -> str:
    """When a process started (ticks since boot); "" if there is none. proc(5), field 22."""
    stat = _read(f"/proc/{pid}/stat")
    if stat:
        return stat.rpartition(")")[2].split()[19]
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError:
        return ""

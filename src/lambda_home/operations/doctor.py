"""Looks at this machine for the doctor, and changes nothing; `diagnosis` says what it means."""

from __future__ import annotations

import os
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lambda_home.clock import SystemClock
from lambda_home.config import Settings
from lambda_home.operations import data_dir, diagnosis
from lambda_home.operations.diagnosis import (
    DataFacts,
    DockerFacts,
    Finding,
    MachineFacts,
    PortFacts,
    ProcessFacts,
)
from lambda_home.preparation import share
from lambda_home.registry import snapshots
from lambda_home.registry.tables import SCHEMA
from lambda_home.runtimes import families
from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.interpreters import Search, installed
from lambda_home.sandboxes.process_tools import probe

_ANSWERS_S = 1.0
_LISTENING = "0A"
_CGROUP = Path("/sys/fs/cgroup")


def examine(settings: Settings) -> list[Finding]:
    """All checks, in the order in which they are shown. Takes seconds; raises nothing."""
    kind = settings.sandbox.kind
    docker = _docker(settings) if kind != "process" else DockerFacts()
    search = Search.of(os.environ, share())
    docker_works = kind != "process" and not (docker.fault or docker.no_images)
    return [
        *diagnosis.of_docker(docker, kind),
        *diagnosis.of_processes(_processes(search), kind, docker_works=docker_works),
        diagnosis.of_runtimes(_runtimes(search), kind),
        *(diagnosis.of_port(facts) for facts in _ports(settings)),
        *diagnosis.of_data(_data(settings)),
        *diagnosis.of_machine(_machine()),
    ]


def _docker(settings: Settings) -> DockerFacts:
    from lambda_home.packager.base_image import BaseImages  # noqa: PLC0415  a tenth of a start
    from lambda_home.sandboxes.docker_daemon import FAILURES, connect, reason  # noqa: PLC0415

    chosen = settings.docker
    try:
        client = connect(chosen.host, timeout_s=5.0)
    except SandboxError as error:
        return DockerFacts(fault=str(error))
    try:
        no_images = ""
        try:
            BaseImages(client, chosen.images, allow_pull=False).find_any()
        except SandboxError as error:
            no_images = str(error)
        info: dict[str, Any] = client.info()
        networks = client.networks(names=[chosen.network])
        return DockerFacts(
            version=str(info.get("ServerVersion", "")),
            no_images=no_images,
            network=chosen.network,
            has_network=any(network["Name"] == chosen.network for network in networks),
            free_bytes=_free(Path(str(info.get("DockerRootDir", "")))),
        )
    except FAILURES as error:
        return DockerFacts(fault=reason(error))
    finally:
        client.close()


def _processes(search: Search) -> ProcessFacts:
    works, how = probe(search)
    version, folder = _cgroup()
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    filters = ("nft", "iptables-restore")
    return ProcessFacts(
        works=works,
        how=how,
        as_root=os.geteuid() == 0,
        cgroup_version=version,
        cgroups_writable=folder is not None and os.access(folder, os.W_OK),
        firewall=next((name for name in filters if shutil.which(name, path=path)), ""),
    )


def _cgroup() -> tuple[int, Path | None]:
    """The version of control groups, 0 for none, and the folder that new ones would go into."""
    try:
        own = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return 0, None
    paths = {
        entry.split(":", 2)[1]: entry.split(":", 2)[2] for entry in own if entry.count(":") > 1
    }
    if (_CGROUP / "cgroup.controllers").exists():
        return 2, _inside(_CGROUP, paths.get("", "/"))
    if (_CGROUP / "memory").is_dir():
        return 1, _inside(_CGROUP / "memory", paths.get("memory", "/"))
    return 0, None


def _inside(root: Path, path: str) -> Path:
    folder = root / path.lstrip("/")
    return folder if folder.is_dir() else root


def _runtimes(search: Search) -> Iterator[tuple[str, str]]:
    for family in families():
        for interpreter in installed(family, search):
            yield family, ".".join(map(str, interpreter.version))


def _ports(settings: Settings) -> Iterator[PortFacts]:
    server = settings.server
    scheme = "https" if server.tls_certificate else "http"
    answers = _answers(f"{scheme}://127.0.0.1:{server.port_user_api}/api/healthz")
    for setting, host in (("port_user_api", server.bind), ("port_runtime_api", "127.0.0.1")):
        port: int = getattr(server, setting)
        if port and not _is_free(host, port):
            yield PortFacts(setting, port, _holder(port), ours=answers)
        elif port:
            yield PortFacts(setting, port)


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError:
            return False
    return True


def _answers(url: str) -> bool:
    """Whether one of our servers answers there, well or not."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_ANSWERS_S) as answer:
            return b"runtime_api" in answer.read(65_536)
    except urllib.error.HTTPError as error:
        with error:
            return b"runtime_api" in error.read(65_536)
    except (OSError, ValueError):
        return False


def _holder(port: int) -> str:
    """The program that listens on a port, as far as this user may see."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and _has_open(entry, inodes):
            return f"{_name_of(entry)} (pid {entry.name})"
    return "another program"


def _has_open(process: Path, targets: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in targets for link in (process / "fd").iterdir())
    except OSError:
        return False


def _name_of(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:
        return "a program"


def _data(settings: Settings) -> DataFacts:
    path, database = settings.data.dir, settings.data.database
    try:
        return _data_at(path, database)
    except OSError as error:  # a folder above it that this user may not enter, say
        return DataFacts(str(path), fault=error.strerror or type(error).__name__)


def _data_at(path: Path, database: Path) -> DataFacts:
    shown = str(path)
    nearest = next((one for one in (path, *path.absolute().parents) if one.exists()), Path("/"))
    if not nearest.is_dir():
        return DataFacts(shown, fault=f"{nearest} is no folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        return DataFacts(shown, fault=f"{nearest} cannot be written")
    free = _free(nearest)
    in_use = data_dir.is_taken(path)
    if not database.exists():
        return DataFacts(shown, path.exists(), in_use=in_use, free_bytes=free)
    inspected = snapshots.inspect(database)
    return DataFacts(
        shown,
        in_use=in_use,
        free_bytes=free,
        schema=inspected.schema or "",
        known=SCHEMA,
        damage=inspected.fault,
    )


def _machine() -> MachineFacts:
    available = None
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) // 1024
    except OSError:
        pass
    return MachineFacts(SystemClock().now(), Path(__file__).stat().st_mtime, available)


def _free(path: Path) -> int | None:
    """Bytes free where a folder lies; None if it is not on this machine."""
    try:
        return shutil.disk_usage(path).free if path.is_absolute() or path.exists() else None
    except OSError:
        return None

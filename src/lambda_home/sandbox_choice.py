"""Which sandbox a server uses, made ready: Docker where it works, else processes, and why.

What speaks to Docker is imported only where Docker is asked for: it is a tenth of the server's
start and memory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from lambda_home.bundled import bundled
from lambda_home.config import Settings
from lambda_home.packager.folder import FolderPreparer
from lambda_home.packager.runnable import RunnablePreparer
from lambda_home.packager.store import CodeStore
from lambda_home.preparation import share
from lambda_home.runtime_api.endpoints import RuntimeEndpoints
from lambda_home.sandboxes.base import CodePreparer, Sandbox, SandboxError
from lambda_home.sandboxes.egress import Firewall
from lambda_home.sandboxes.interpreters import Search, look_around
from lambda_home.sandboxes.output_pipe import NamedPipes
from lambda_home.sandboxes.process import Place, ProcessSandbox
from lambda_home.sandboxes.process_tools import probe as probe_process
from lambda_home.sandboxes.task_folders import TaskFolders


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a sandbox stands: the server's settings, folders, runtime API, and what is beside it.

    `closed_ports` are TCP ports of this machine where functions have no business, as far as the
    server knows them: the user API's, a companion's.
    """

    settings: Settings
    data_dir: Path
    store: CodeStore
    endpoints: RuntimeEndpoints
    runtime_port: int
    closed_ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """A sandbox with the preparer of its code.

    `gateway_address` gives the address, beside loopback, that the runtime API must listen on, once
    the sandbox is open; `check` raises if the sandbox does not work any more; `later` is done once
    the server is ready; `statistics` is what Docker says about itself, None without it.
    """

    sandbox: Sandbox
    preparer: CodePreparer
    reason: str
    gateway_address: Callable[[], str | None]
    check: Callable[[], Awaitable[Any]]
    close: Callable[[], Awaitable[None]]
    later: Callable[[], Awaitable[None]]
    statistics: Callable[[], Awaitable[dict[str, Any] | None]]


async def choose(ground: Ground) -> Chosen:
    """Make the sandbox that `sandbox.kind` asks for. Raises SandboxError if it cannot be had."""
    kind = ground.settings.sandbox.kind
    if kind == "process":
        return await _process(ground, "asked for")
    from lambda_home.sandboxes.docker_daemon import (  # noqa: PLC0415  see the module
        described,
        ready_client,
    )

    host = ground.settings.docker.host
    try:
        client, version = await asyncio.to_thread(ready_client, host, _find_base(ground))
    except SandboxError as error:
        if kind == "docker":
            raise SandboxError(
                f"The Docker sandbox cannot be used: {error}. Mend that (lambda-home doctor tells"
                " more), or do without: --sandbox process."
            ) from error
        return await _process(ground, f"Docker cannot be used: {error}")
    reason = described(version)
    return _docker(ground, client, reason if kind == "auto" else f"asked for; {reason}")


def _find_base(ground: Ground) -> Callable[[Any], object]:
    from lambda_home.packager.base_image import BaseImages  # noqa: PLC0415  see the module

    docker = ground.settings.docker

    def find(client: Any) -> object:
        return BaseImages(client, docker.images, allow_pull=docker.allow_pull).find_any()

    return find


def _docker(ground: Ground, client: Any, reason: str) -> Chosen:
    from lambda_home.packager.image import ImagePreparer  # noqa: PLC0415  see the module
    from lambda_home.sandboxes.docker import DockerSandbox  # noqa: PLC0415
    from lambda_home.sandboxes.docker_statistics import statistics  # noqa: PLC0415

    settings = ground.settings.docker
    instance = instance_id(ground.data_dir)
    sparing = ground.settings.spares.per_size > 0
    preparer = ImagePreparer(
        client,
        ground.store,
        settings.images,
        allow_pull=settings.allow_pull,
        instance_id=instance,
        folders=FolderPreparer(ground.store, ground.data_dir / "unpacked", _anything)
        if sparing
        else None,
    )
    sandbox = DockerSandbox(
        client,
        settings,
        instance,
        ground.runtime_port,
        preparer.rebuild,
        TaskFolders(ground.data_dir / "tasks") if sparing else None,
    )
    sandbox.firewall = _firewall(ground)
    sandbox.pipes = NamedPipes(ground.data_dir / "outputs")

    async def close() -> None:
        await asyncio.to_thread(client.close)

    async def check() -> None:
        await asyncio.to_thread(client.ping)

    async def later() -> None:
        """Nothing is left for later."""

    async def ask() -> dict[str, Any]:
        return await asyncio.to_thread(statistics, client, available_memory())

    return Chosen(sandbox, preparer, reason, sandbox.gateway_address, check, close, later, ask)


def available_memory() -> int:
    """Bytes of memory that this machine can still give out; 0 where it does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def _firewall(ground: Ground) -> Firewall:
    rules = ground.settings.sandbox
    return Firewall((*ground.closed_ports, *rules.closed_ports), wanted=rules.firewall)


def _anything(runtime: str) -> None:
    """Whether a runtime can run here is known by its image."""


def instance_id(data_dir: Path) -> str:
    """The name of this installation, made at its first start and kept beside its data."""
    path = data_dir / "instance-id"
    if not path.exists():
        path.write_text(uuid4().hex)
    return path.read_text().strip()


async def _process(ground: Ground, reason: str) -> Chosen:
    libraries = share()
    search = Search.of(os.environ, libraries)
    found, how = await asyncio.to_thread(probe_process, search)
    if not found:
        raise SandboxError(f"{reason}; and as processes: {how}")
    runtimes = bundled("runtimes")
    tasks = TaskFolders(ground.data_dir / "tasks")
    place = Place(runtimes, libraries / "python", search, tasks)
    sandbox = ProcessSandbox(place, ground.runtime_port, ground.endpoints, _firewall(ground))
    unpacked = ground.data_dir / "unpacked"
    preparer = RunnablePreparer(ground.store, unpacked, search, runtimes, shows_opt=sandbox.wrapped)

    async def nothing() -> None:
        """Nothing can be asked of processes that run nowhere else, and nothing is open."""

    async def later() -> None:
        await asyncio.to_thread(look_around, search)  # the first function would wait for this

    async def none() -> None:
        """There is no Docker."""

    reason = f"{how} ({reason})"
    return Chosen(sandbox, preparer, reason, lambda: None, nothing, nothing, later, none)

"""The sandbox of hardened Docker containers, one for each execution environment.

Start: create, attach to the output, start. End: the output ends, the daemon is asked how the
container ended, the observer is told, the container is removed. One task watches each container;
the synchronous docker-py client runs in threads of its own, so starts go on side by side.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import docker.errors
import structlog

from lambda_home.config import DockerSettings
from lambda_home.sandboxes.base import (
    Exit,
    Prepared,
    SandboxError,
    SandboxObserver,
    SandboxSpec,
    addressed,
)
from lambda_home.sandboxes.docker_daemon import FAILURES, Daemon, reason
from lambda_home.sandboxes.docker_network import HOST_GATEWAY, ensure_network, is_local_address
from lambda_home.sandboxes.docker_output import (
    AttachedOutput,
    ContainerOutput,
    DaemonStreams,
    PipedOutput,
)
from lambda_home.sandboxes.docker_profile import (
    MB,
    Owner,
    Wiring,
    container_config,
    container_name,
    labels,
    peak_files,
)
from lambda_home.sandboxes.egress import Firewall, Functions
from lambda_home.sandboxes.output_pipe import NamedPipes
from lambda_home.sandboxes.task_folders import Folders, TaskFolders

_KILL_PATIENCE_S = 20.0
_SIGNAL_BASE = 128
_LAST_SIGNAL = 64
_SIGKILL = 9
_LOOPBACK = "127.0.0.1"
_REAP_AGAIN_S = 15.0
_UNSEEN = "bind source path does not exist"

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Container:
    """One running container; `watcher` ends when it is gone."""

    environment_id: str
    id: str
    api: str
    output: ContainerOutput | None = None
    watcher: asyncio.Task[None] | None = None
    frozen: bool = False
    killed: bool = False
    silent: bool = False
    peak_file: Path | None = None
    peak_looked_for: bool = False
    peak_mb: int = 0
    address: str = ""
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)


class DockerSandbox:
    """See `sandboxes.base.Sandbox` for the lifecycle.

    `client` is a docker.APIClient (see `connect`); the caller closes it. `rebuild(tag)` makes an
    image again that was removed while the server ran. After `open`, bind the runtime API to
    `gateway_address()` and set `runtime_api_port`, then start environments. `firewall`, set before
    `open`, is opened and closed with the sandbox; `pipes`, set before `open`, are used where the
    daemon sees them.

    The network is shared by all servers of this host and stays when one closes.
    """

    name = "docker"

    def __init__(
        self,
        client: Any,
        settings: DockerSettings,
        instance_id: str,
        runtime_api_port: int = 0,
        rebuild: Callable[[str], Awaitable[None]] | None = None,
        task_folders: TaskFolders | None = None,
    ) -> None:
        self.runtime_api_port = runtime_api_port
        self._daemon = Daemon(client)
        self.firewall: Firewall | None = None
        self.pipes: NamedPipes | None = None
        self._network = settings.network
        self._internet = settings.internet
        self._instance_id = instance_id
        self._rebuild = rebuild
        self._task_folders = task_folders
        self._owner = Owner.this_process()
        self._streams = DaemonStreams(client)
        self._containers: dict[str, _Container] = {}
        self._starting: set[asyncio.Task[Any]] = set()
        self._observer: SandboxObserver | None = None
        self._address = HOST_GATEWAY
        self._init = True
        self._closing = False
        self._reaping: asyncio.Task[None] | None = None

    def gateway_address(self) -> str:
        """The address that the runtime API must listen on for environments to reach it.

        Loopback where the bridge is not on this host (Docker Desktop forwards to it).
        """
        return _LOOPBACK if self._address == HOST_GATEWAY else self._address

    async def open(self, observer: SandboxObserver) -> None:
        """Check the daemon, reap containers of dead servers, make the network."""
        self._observer = observer
        try:
            await self._daemon.call(self._daemon.client.ping)
            await self._daemon.reap(self._owner)
            network = await self._daemon.call(
                partial(ensure_network, internet=self._internet),
                self._daemon.client,
                self._network,
            )
        except FAILURES as error:
            raise SandboxError(f"Docker cannot be used: {reason(error)}") from error
        self._network = network.name
        local = is_local_address(network.gateway)
        self._address = network.gateway if local else HOST_GATEWAY
        self._reaping = asyncio.create_task(self._reap_again())
        if not local:  # a pipe joins processes of one kernel
            self.pipes = None
        if self.firewall is not None:
            elsewhere = "Docker's network is not on this machine"
            await self.firewall.open(Functions(subnet=network.subnet) if local else elsewhere)

    async def _reap_again(self) -> None:
        """A container that the daemon was just making for a server that died has come by now."""
        await asyncio.sleep(_REAP_AGAIN_S)
        try:
            await self._daemon.reap(self._owner)
        except FAILURES as error:
            _log.warning("containers_not_reaped", error=reason(error))

    async def start(self, spec: SandboxSpec) -> None:
        """Start one container."""
        if self._closing:
            raise SandboxError("The server is stopping.")
        task = asyncio.create_task(self._start(spec))
        self._keep(task)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            self._keep(asyncio.create_task(self._abandon(task, spec.id)))
            raise

    async def place(
        self, environment_id: str, package: Prepared, environment: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Put links into the folders that the container sees as its task root and /opt."""
        box = self._containers.get(environment_id)
        if self._task_folders is None or box is None:
            raise SandboxError(f"Environment {environment_id} is no spare.")
        await self._task_folders.fill(environment_id, package)
        return addressed(environment, box.api)

    async def stop(self, environment_id: str, grace_s: float = 0) -> None:
        """SIGTERM, `grace_s` seconds, SIGKILL, removal."""
        box = self._containers.get(environment_id)
        if box is None or box.watcher is None:
            return
        if grace_s > 0:
            await self._ask_to_end(box)
            await asyncio.wait({box.watcher}, timeout=grace_s)
        if not box.watcher.done() and environment_id in self._containers:
            box.killed = True
            async with box.changing:  # a pause that is under way would come after the kill
                await self._daemon.signal(box.id, "SIGKILL")
        _, waiting = await asyncio.wait({box.watcher}, timeout=_KILL_PATIENCE_S)
        if waiting:
            _log.error("container_does_not_die", container=box.id, environment=environment_id)
            box.watcher.cancel()
            await asyncio.wait({box.watcher})

    async def freeze(self, environment_id: str, *, frozen: bool) -> None:
        """Pause or resume all processes of a container."""
        box = self._containers.get(environment_id)
        if box is not None:
            await self._set_frozen(box, frozen=frozen)

    async def reach(self, environment_id: str, port: int) -> tuple[str, int] | None:
        """At the container's address, where its network is on this machine."""
        box = self._containers.get(environment_id)
        if box is None or self._address == HOST_GATEWAY:
            return None
        if not box.address:
            try:
                about = await self._daemon.call(self._daemon.client.inspect_container, box.id)
            except FAILURES:
                return None
            networks = about["NetworkSettings"]["Networks"]
            box.address = str(networks.get(self._network, {}).get("IPAddress", ""))
        alive = self._containers.get(environment_id) is box
        return (box.address, port) if box.address and alive else None

    def collect(self, environment_id: str) -> None:
        """Read the container's pipe, where it has one."""
        box = self._containers.get(environment_id)
        if box is not None and box.output is not None:
            box.output.collect()

    def peak_memory_mb(self, environment_id: str) -> int:
        """From the container's cgroup, where this host has it."""
        box = self._containers.get(environment_id)
        if box is None:
            return 0
        if not box.peak_looked_for:
            box.peak_looked_for = True
            box.peak_file = next((file for file in peak_files(box.id) if file.exists()), None)
        if box.peak_file is not None:
            try:
                box.peak_mb = -(-int(box.peak_file.read_text()) // MB)
            except (OSError, ValueError):
                box.peak_file = None  # it is just ending; the last value stands
        return box.peak_mb

    async def close(self) -> None:
        """Stop all containers of this server."""
        self._closing = True
        if self._reaping is not None:
            self._reaping.cancel()
            await asyncio.wait({self._reaping})
        while self._starting or self._containers:
            if self._starting:
                await asyncio.wait(set(self._starting))
            boxes = list(self._containers.values())
            await asyncio.gather(*(self.stop(box.environment_id) for box in boxes))
        self._daemon.close()
        if self.firewall is not None:
            await self.firewall.close()

    async def _start(self, spec: SandboxSpec) -> None:
        if spec.id in self._containers:
            raise SandboxError(f"Environment {spec.id} runs already.")
        shell = spec.program.has_shell if spec.program is not None else bool(spec.command)
        pipe = self.pipes.open(spec.id) if self.pipes is not None and shell else None
        try:
            box = await self._create(spec, piped=pipe is not None)
        except BaseException as error:
            self._drop_pipe(spec.id, pipe)
            if pipe is None or _UNSEEN not in str(error):
                raise
            _log.warning("docker_does_not_see_our_files", consequence="it passes output on")
            self.pipes = None
            await self._start(spec)
            return
        output = box.output = self._output_of(box, pipe)
        try:
            await output.attach(box.id)
            await self._daemon.call(self._daemon.client.start, box.id)
        except (OSError, SandboxError, *FAILURES) as error:
            output.close()
            await self._daemon.remove(box.id)
            await self._after_failed_start(spec, reason(error))
            return
        finally:
            self._drop_pipe(spec.id, None)  # the container holds the pipe itself
        self._containers[spec.id] = box
        box.watcher = asyncio.create_task(self._watch(box, output))

    def _output_of(self, box: _Container, pipe: int | None) -> ContainerOutput:
        deliver = partial(self._tell_output, box)
        if pipe is None:
            return AttachedOutput(self._streams, deliver)
        return PipedOutput(self._streams, deliver, pipe)

    async def _after_failed_start(self, spec: SandboxSpec, why: str) -> None:
        """Try again where that helps. Raises SandboxError."""
        if self._init and "docker-init" in why:
            self._init = False
            _log.warning("docker_init_is_missing", consequence="zombies are not reaped")
            await self._start(spec)
            return
        await self._drop_task_folder(spec.id)
        raise SandboxError(f"Docker could not start a container: {why}")

    def _drop_pipe(self, environment_id: str, descriptor: int | None) -> None:
        if descriptor is not None:
            os.close(descriptor)
        if self.pipes is not None:
            self.pipes.drop(environment_id)

    async def _create(self, spec: SandboxSpec, *, piped: bool) -> _Container:
        pipe = self.pipes.path(spec.id) if self.pipes is not None and piped else None
        wiring = Wiring(self._network, self._address, self.runtime_api_port, pipe)
        marks = labels(spec, self._instance_id, self._owner)
        folders = await self._folders_of(spec)
        config = container_config(spec, wiring, marks, init=self._init, folders=folders)
        create = partial(
            self._daemon.call,
            self._daemon.client.create_container_from_config,
            config,
            container_name(spec),
        )
        try:
            try:
                created = await create()
            except docker.errors.NotFound:  # an image, or the container with an image's volumes
                if self._rebuild is None:
                    raise
                await self._rebuild(spec.code)
                created = await create()
        except FAILURES as error:
            await self._drop_task_folder(spec.id)
            raise SandboxError(f"Docker could not make a container: {reason(error)}") from error
        return _Container(spec.id, str(created["Id"]), f"{spec.host}:{self.runtime_api_port}")

    async def _folders_of(self, spec: SandboxSpec) -> Folders | None:
        if not spec.spare:
            return None
        if self._task_folders is None:
            raise SandboxError("Spares need folders that the Docker daemon sees.")
        return await self._task_folders.make(spec.id)

    async def _drop_task_folder(self, environment_id: str) -> None:
        if self._task_folders is not None:
            await self._task_folders.drop(environment_id)

    async def _abandon(self, starting: asyncio.Task[None], environment_id: str) -> None:
        """Undo a start whose caller gave up; nobody hears of that environment."""
        await asyncio.wait({starting})
        if starting.exception() is None and (box := self._containers.get(environment_id)):
            box.silent = True
            await self.stop(environment_id)

    async def _watch(self, box: _Container, output: ContainerOutput) -> None:
        how = Exit(box.environment_id)
        try:
            how = await self._how_it_ended(box, await output.follow(box.id))
        except (OSError, *FAILURES) as error:
            _log.warning("container_lost", container=box.id, error=reason(error))
        finally:
            self.peak_memory_mb(box.environment_id)
            self._tell_exit(box, how)
            await self._daemon.remove(box.id)
            await self._drop_task_folder(box.environment_id)
            self._containers.pop(box.environment_id, None)

    def _tell_output(self, box: _Container, chunk: bytes) -> None:
        if self._observer is not None and not box.silent:
            self._observer.output(box.environment_id, chunk)

    def _tell_exit(self, box: _Container, how: Exit) -> None:
        if self._observer is not None and not box.silent:
            self._observer.exited(how)

    async def _how_it_ended(self, box: _Container, code: int | None) -> Exit:
        if box.killed:
            return Exit(box.environment_id, signal=_SIGKILL)
        try:
            state = (await self._daemon.call(self._daemon.client.inspect_container, box.id))[
                "State"
            ]
        except docker.errors.NotFound:
            state = {}
        return exit_of(box.environment_id, code, out_of_memory=bool(state.get("OOMKilled")))

    async def _ask_to_end(self, box: _Container) -> None:
        try:
            await self._set_frozen(box, frozen=False)
        except SandboxError as error:  # SIGKILL, which comes next, also reaches frozen processes
            _log.warning("container_not_resumed", container=box.id, error=str(error))
        await self._daemon.signal(box.id, "SIGTERM")

    async def _set_frozen(self, box: _Container, *, frozen: bool) -> None:
        async with box.changing:
            if box.frozen != frozen and not (frozen and box.killed):
                await self._daemon.pause(box.id, paused=frozen)
                box.frozen = frozen

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._starting.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._starting.discard(task)
        if not task.cancelled():
            task.exception()  # whoever started it was told


def exit_of(environment_id: str, code: int | None, *, out_of_memory: bool) -> Exit:
    """An exit code in runc's words: 128 + n is a death by signal n."""
    signal = code - _SIGNAL_BASE if code is not None else 0
    if 0 < signal <= _LAST_SIGNAL:
        return Exit(
            environment_id, signal=signal, out_of_memory=out_of_memory and signal == _SIGKILL
        )
    return Exit(environment_id, code=code)

"""Builds in containers of the runtime's own image, each step in one of its own.

A container sees the folders of its build and nothing else of the disk, has no capability, a
read-only root, limits for memory and processes, and the network of functions, rules of the firewall
included. The socket of Docker is never in it. Which image, in this order: the setting
`builds.images`; AWS's image with build tools (public.ecr.aws/sam/build-<runtime>) if the daemon has
it; the base image of the runtime, to which pip and npm are lent.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import docker.errors

from lambda_home.builds.diagnosis import Stop
from lambda_home.builds.machine_rooms import give_to
from lambda_home.builds.rooms import PROCESSES, Ended, Ground, Limits, Sink, Stopping, follow
from lambda_home.builds.toolbox import LANG, VARIABLES, Toolbox, trust
from lambda_home.builds.trees import BUILD
from lambda_home.config import DockerSettings
from lambda_home.packager.base_image import BaseImages
from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.docker_daemon import FAILURES, reason
from lambda_home.sandboxes.docker_network import ensure_network
from lambda_home.sandboxes.docker_profile import MARK, MB, OPEN_FILES, OWNER, Owner, cpu_shares
from lambda_home.sandboxes.process_owners import Uids

_BUILD_IMAGES = "public.ecr.aws/sam/build-"
_OUTPUT = "/run/lambda-home/output"
_INTO_PIPE = f'exec "$@" >{_OUTPUT} 2>&1'
_PATH = f"{LANG}/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNSEEN = "bind source path does not exist"
_OUT_OF_MEMORY_FIRST = 700  # before functions, and long before the server
_KILLED = 137


class ContainerRooms:
    """See `rooms.Rooms`. `client` is a docker.APIClient; the caller closes it."""

    name = "docker"

    def __init__(
        self,
        client: Any,
        settings: DockerSettings,
        images: Mapping[str, str],
        limits: Limits,
        lent: Toolbox,
    ) -> None:
        self._client = client
        self._settings = settings
        self._images = images
        self._limits = limits
        self._lent = lent
        self._owner = Owner.this_process()
        self._lock = threading.Lock()
        self._uids = Uids() if os.geteuid() == 0 else None

    def open(self, ground: Ground, runtime: str) -> ContainerRoom:
        """A room in the image of a runtime. Raises SandboxError."""
        try:
            with self._lock:
                image, note = self._image(runtime)
                settings = self._settings
                network = ensure_network(
                    self._client, settings.network, internet=settings.internet
                ).name
                uid = self._uids.take() if self._uids is not None else os.geteuid()
        except FAILURES as error:
            raise SandboxError(f"The Docker daemon does not answer: {reason(error)}") from error
        if self._uids is not None:
            for folder in ground.writable.values():
                give_to(folder, uid)
        config = partial(self._config, ground, image, uid, network)
        return ContainerRoom(
            self._client, image, ground, config, partial(self._release, uid), note=note
        )

    def close(self) -> None:
        """The client is somebody else's, the network stays."""

    def _release(self, uid: int) -> None:
        if self._uids is not None:
            with self._lock:
                self._uids.give_back(uid)

    def _image(self, runtime: str) -> tuple[str, str]:
        """The image to build in, and what is to be said of it."""
        chosen = self._images.get(runtime)
        settings = self._settings
        if chosen:
            base = BaseImages(self._client, {runtime: chosen}, allow_pull=settings.allow_pull)
            return base.find(runtime).reference, ""
        tools = _BUILD_IMAGES + runtime
        if self._has(tools):
            return tools, ""
        base = BaseImages(self._client, settings.images, allow_pull=settings.allow_pull)
        found = base.find(runtime or "python3.13")
        return found.reference, (found.warning or "") if runtime else ""

    def _has(self, image: str) -> bool:
        try:
            self._client.inspect_image(image)
        except docker.errors.DockerException:
            return False
        return True

    def _config(  # noqa: PLR0913, PLR0917  a container is many things
        self,
        ground: Ground,
        image: str,
        uid: int,
        network: str,
        words: Sequence[str],
        variables: Mapping[str, str],
        pipe: Path,
    ) -> dict[str, Any]:
        """The body of `POST /containers/create`."""
        path = ":".join((*self._lent.path, _PATH))
        seen = {**VARIABLES, **trust(), **variables, "PATH": path}
        shown = [(target, source, True) for target, source in self._lent.shown.items()]
        shown += [(target, source, True) for target, source in ground.read_only.items()]
        shown += [(target, source, False) for target, source in ground.writable.items()]
        shown.append((_OUTPUT, pipe, True))
        limits = self._limits
        memory = limits.memory_mb * MB
        most = limits.disk_mb * MB
        return {
            "Image": image,
            "Entrypoint": ["/bin/sh", "-c", _INTO_PIPE, "sh", *words],
            "Cmd": [],
            "User": f"{uid}:{uid}" if self._uids is not None else f"{uid}:{os.getegid()}",
            "WorkingDir": BUILD,
            "Hostname": "build",
            "Env": [f"{name}={value}" for name, value in seen.items()],
            "Labels": {MARK: "1", OWNER: self._owner.label, f"{MARK}.build": ground.id},
            "AttachStdin": False,
            "AttachStdout": False,
            "AttachStderr": False,
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges:true"],
                "Memory": memory,
                "MemorySwap": memory,
                "CpuShares": cpu_shares(limits.memory_mb),
                "PidsLimit": PROCESSES,
                "Ulimits": [
                    {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
                    {"Name": "core", "Soft": 0, "Hard": 0},
                    {"Name": "fsize", "Soft": most, "Hard": most},
                ],
                "Tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,mode=1777,size={limits.tmp_mb}m"},  # noqa: S108
                "Mounts": [
                    {
                        "Type": "bind",
                        "Source": str(source.resolve()),
                        "Target": target,
                        "ReadOnly": is_read_only,
                        "BindOptions": {"Propagation": "rprivate"},
                    }
                    for target, source, is_read_only in shown
                ],
                "OomScoreAdj": _OUT_OF_MEMORY_FIRST,
                "Init": True,
                "NetworkMode": network,
                "LogConfig": {"Type": "none", "Config": {}},
                "RestartPolicy": {"Name": "no"},
            },
        }


class ContainerRoom:
    """See `rooms.Room`."""

    def __init__(
        self,
        client: Any,
        image: str,
        ground: Ground,
        config: Callable[[Sequence[str], Mapping[str, str], Path], dict[str, Any]],
        release: Callable[[], None],
        *,
        note: str = "",
    ) -> None:
        self._client = client
        self._config = config
        self._release = release
        self._pipe = next(iter(ground.writable.values())).parent / "output"
        self.place = f"Image {image}"
        self.note = note

    def run(
        self, words: Sequence[str], variables: Mapping[str, str], sink: Sink, stopping: Stopping
    ) -> Ended:
        """Run one program in a container of its own."""
        container_id = ""
        self._pipe.unlink(missing_ok=True)
        os.mkfifo(self._pipe, 0o600)
        self._pipe.chmod(0o622)
        # Our own writing end keeps the pipe from ending before the container has begun.
        descriptor = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            made = self._client.create_container_from_config(
                self._config(words, variables, self._pipe)
            )
            container_id = made["Id"]
            self._client.start(container_id)
            return self._followed(container_id, descriptor, sink, stopping)
        except FAILURES as error:
            raise SandboxError(_said(error)) from error
        finally:
            if container_id:
                self._remove(container_id)
            os.close(descriptor)
            self._pipe.unlink(missing_ok=True)

    def close(self) -> None:
        """Give the user id back."""
        self._release()

    def _followed(
        self, container_id: str, descriptor: int, sink: Sink, stopping: Stopping
    ) -> Ended:
        ended = threading.Event()

        def wait() -> None:
            with suppress(*FAILURES):  # it was removed, or the daemon is gone: that is found out
                self._client.wait(container_id, timeout=None)
            ended.set()

        waiter = threading.Thread(target=wait, name="build-wait")
        waiter.start()
        try:
            why = follow(descriptor, ended.is_set, stopping, sink)
            if why is not None:
                return Ended(_KILLED, why)
            state = self._client.inspect_container(container_id)["State"]
            full = Stop.MEMORY if state.get("OOMKilled") and state["ExitCode"] else None
            return Ended(int(state["ExitCode"]), full)
        finally:
            self._remove(container_id)
            waiter.join()

    def _remove(self, container_id: str) -> None:
        try:
            self._client.remove_container(container_id, v=True, force=True)
        except FAILURES as error:
            if getattr(error, "status_code", None) not in {404, 409}:
                raise SandboxError(
                    f"A build's container is left behind: {reason(error)}"
                ) from error


def _said(error: Exception) -> str:
    if _UNSEEN in str(error):
        return (
            "The Docker daemon does not see this server's data directory, so that builds cannot be"
            " done in containers: set builds.sandbox = process."
        )
    return f"The build's container could not be run: {reason(error)}"

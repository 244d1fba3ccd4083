"""The Docker daemon: connecting to it, and asking it without blocking the event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import docker
import docker.errors
import requests
import structlog

from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.docker_profile import MARK, OWNER, Owner

_THREADS = 16
_UNIX = "unix://"
_LOCAL_SOCKET = "unix:///var/run/docker.sock"
_GONE = 404
_CONFLICT = 409

FAILURES = (docker.errors.DockerException, requests.RequestException)
"""What docker-py raises where the daemon refuses or does not answer."""

_log = structlog.get_logger(__name__)
_TIMEOUT_S, _PROBE_S = 60.0, 2.0


def connect(host: str, timeout_s: float = _TIMEOUT_S) -> Any:
    """Return a docker.APIClient of a daemon that answers. Blocks; raises SandboxError.

    `host` is the setting docker.host: empty means DOCKER_HOST (with its TLS variables), else the
    local socket.
    """
    arguments = docker.utils.kwargs_from_env()
    if host:
        arguments["base_url"] = host
    where = arguments.get("base_url") or _LOCAL_SOCKET
    try:
        _knock(where, timeout_s)
        return docker.APIClient(version="auto", timeout=timeout_s, **arguments)
    except PermissionError as error:
        raise SandboxError(
            f"this user may not use the Docker daemon at {where}: add it to the group docker"
        ) from error
    except (OSError, *FAILURES) as error:
        raise SandboxError(f"no Docker daemon answers at {where}") from error


def _knock(where: str, timeout_s: float) -> None:
    """Open and close a Unix socket: docker-py leaks its own where nobody listens."""
    if where.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
            visitor.settimeout(timeout_s)
            visitor.connect(where.removeprefix(_UNIX))


def ready_client(host: str, find_base_image: Callable[[Any], object]) -> tuple[Any, str]:
    """A client of a daemon that containers can be run by, and its version. Blocks for seconds.

    `find_base_image(client)` raises SandboxError if there is no base image and none can be pulled.
    Raises SandboxError, in one line.
    """
    client = connect(host, timeout_s=_PROBE_S)
    try:
        find_base_image(client)
        version = str(client.version()["Version"])
    except (SandboxError, *FAILURES) as error:
        client.close()
        raise SandboxError(reason(error)) from error
    client.timeout = _TIMEOUT_S
    return client, version


def probe(host: str, find_base_image: Callable[[Any], object]) -> tuple[bool, str]:
    """Say whether containers can be used here, and why (not), in one line. Blocks for seconds."""
    try:
        client, version = ready_client(host, find_base_image)
    except SandboxError as error:
        return False, str(error)
    client.close()
    return True, described(version)


def described(version: str) -> str:
    """What is said of a daemon that can be used."""
    return f"Docker {version} answers and has base images"


def reason(error: Exception) -> str:
    """What the daemon said, without the request that it answered."""
    return str(getattr(error, "explanation", None) or error)


class Daemon:
    """Calls the synchronous `client` (docker.APIClient) in threads of its own."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="docker")

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """Await `method(*args, **kwargs)`; it raises one of FAILURES."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._threads, partial(method, *args, **kwargs))

    async def signal(self, container_id: str, signal: str) -> None:
        """Send a signal; one that has ended is no error, other failures are logged."""
        await self._try("container_kill_failed", container_id, self.client.kill, signal)

    async def remove(self, container_id: str) -> None:
        """Kill and remove a container; one that is gone is no error, failures are logged."""
        remove = partial(self.client.remove_container, v=True, force=True)
        await self._try("container_left", container_id, remove)

    async def pause(self, container_id: str, *, paused: bool) -> None:
        """Pause or resume; a container that has just ended is no error. Raises SandboxError."""
        try:
            await self.call(self.client.pause if paused else self.client.unpause, container_id)
        except FAILURES as error:
            if getattr(error, "status_code", None) not in {_GONE, _CONFLICT}:
                raise SandboxError(
                    f"Docker could not {'pause' if paused else 'resume'}: {reason(error)}"
                ) from error

    async def reap(self, here: Owner) -> None:
        """Remove the containers of dead servers of this machine. Raises one of FAILURES."""
        found = await self.call(
            self.client.containers, all=True, filters={"label": [f"{MARK}=1", OWNER]}
        )
        dead = [
            container["Id"]
            for container in found
            if (owner := Owner.parse(container["Labels"][OWNER])) and owner.is_dead(here)
        ]
        if dead:
            _log.info("containers_reaped", count=len(dead))
        await asyncio.gather(*(self.remove(container_id) for container_id in dead))

    def close(self) -> None:
        """End the threads; no call may be under way."""
        self._threads.shutdown(wait=True)

    async def _try(
        self, failed: str, container_id: str, method: Callable[..., Any], *args: Any
    ) -> None:
        try:
            await self.call(method, container_id, *args)
        except FAILURES as error:
            if getattr(error, "status_code", None) not in {_GONE, _CONFLICT}:
                _log.warning(failed, container=container_id, error=reason(error))

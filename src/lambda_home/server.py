"""Builds every object once, runs both APIs, and takes everything down in order."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from lambda_home.config import Settings
from lambda_home.direct_http import DirectConnection
from lambda_home.engine import build
from lambda_home.entrance import build_entrance
from lambda_home.errors import ConfigurationError, LambdaHomeError
from lambda_home.health import Check, Health, knock
from lambda_home.listening import Listener, bind, port_of
from lambda_home.logs import LogStore
from lambda_home.packager.store import CodeStore
from lambda_home.registry.database import Database
from lambda_home.runtime_api.app import RuntimeApi
from lambda_home.runtime_api.endpoints import RuntimeEndpoints
from lambda_home.runtime_api.extensions import ExtensionRoutes
from lambda_home.runtime_api.routes import RuntimeRoutes
from lambda_home.sandbox_choice import Chosen, Ground, choose
from lambda_home.user_api import protocol

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_USER_KEEP_ALIVE_S = 75
_RUNTIME_KEEP_ALIVE_S = 3600
_RUNTIME_GRACE_S = 2  # by then no environment is left

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """What a server that is up has to say about itself."""

    user_api: str
    runtime_api: str
    sandbox: str
    sandbox_reason: str
    data_dir: Path


async def serve(settings: Settings, *, ephemeral: bool, ready: Callable[[Running], None]) -> None:
    """Run until SIGINT or SIGTERM; `ready` is told once both APIs answer.

    Raises LambdaHomeError, with one line, for whatever keeps the server from starting.
    """
    _refuse_open_bind(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        data_dir = _data_dir(settings, stack, ephemeral=ephemeral)
        running, later = await _start(settings, data_dir, stack)
        ready(running)
        # Nobody waits for these but the first operation of the control plane, if it comes at once.
        await asyncio.gather(asyncio.to_thread(protocol.warm), later())
        _collect_garbage_from_now_on()
        await stop.wait()
        _log.info("stopping")


async def _start(
    settings: Settings, data_dir: Path, stack: AsyncExitStack
) -> tuple[Running, Callable[[], Awaitable[None]]]:
    """Build from the bottom up; the stack takes down in the opposite order.

    Also answers what can be done later.
    """
    user_socket = bind(settings.server.bind, settings.server.port_user_api)
    stack.callback(user_socket.close)
    runtime_socket = bind("127.0.0.1", settings.server.port_runtime_api)
    stack.callback(runtime_socket.close)
    runtime_port = port_of(runtime_socket)

    temporary = data_dir != settings.data.dir
    database = Database.open(data_dir / "lhome.db" if temporary else settings.data.database)
    stack.callback(database.close)
    store = CodeStore(data_dir / "code")
    logs = LogStore(data_dir / "logs", settings.data.log_max_mb * 1024 * 1024)
    stack.callback(logs.close)
    endpoints = RuntimeEndpoints()
    chosen = await choose(Ground(settings, data_dir, store, endpoints, runtime_port))
    stack.push_async_callback(chosen.close)
    if temporary:  # what was made of the code goes with it
        stack.push_async_callback(chosen.preparer.discard_except, frozenset())
    engine = build(settings, database, store, logs, chosen)

    await engine.scheduler.open()
    checks: dict[str, Check] = {
        "registry": lambda: asyncio.to_thread(engine.registry.unsettled),
        "sandbox": chosen.check,
        "runtime_api": lambda: knock(runtime_port),
    }
    health = Health(checks, chosen.sandbox.name)
    runtimes = RuntimeRoutes(engine.scheduler, endpoints)
    entrance = build_entrance(settings, engine, health, runtimes.version_at)
    runtime = Listener(
        RuntimeApi(entrance.functions.app),
        [runtime_socket, *_gateway_socket(chosen, runtime_port, stack)],
        keep_alive_s=_RUNTIME_KEEP_ALIVE_S,
        grace_s=_RUNTIME_GRACE_S,
        http=partial(
            DirectConnection, ExtensionRoutes(engine.scheduler, runtimes, entrance.functions.routes)
        ),
    )
    endpoints.serve_with(runtime.protocol)
    stack.push_async_callback(runtime.stop)
    await runtime.start()
    await engine.work(stack, settings.server.shutdown_grace_s)

    user = Listener(
        entrance.user.app,
        [user_socket],
        keep_alive_s=_USER_KEEP_ALIVE_S,
        grace_s=settings.server.shutdown_grace_s,
        http=partial(DirectConnection, entrance.user.routes),
    )
    await user.start()
    stack.push_async_callback(user.stop)
    running = Running(
        user_api=f"http://{_shown(settings.server.bind)}:{port_of(user_socket)}",
        runtime_api=f"http://127.0.0.1:{runtime_port}",
        sandbox=chosen.sandbox.name,
        sandbox_reason=chosen.reason,
        data_dir=data_dir,
    )
    return running, chosen.later


def _collect_garbage_from_now_on() -> None:
    """Take what was made so far for everlasting: no collection has to walk it again.

    Else each full one would hold up the event loop for tens of milliseconds, as this one does.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def _gateway_socket(
    chosen: Chosen, runtime_port: int, stack: AsyncExitStack
) -> list[socket.socket]:
    """Containers reach the runtime API on their network's gateway, and nobody else does."""
    address = chosen.gateway_address()
    if address is None or address in _LOOPBACK:
        return []
    listener = bind(address, runtime_port)
    stack.callback(listener.close)
    return [listener]


def _refuse_open_bind(settings: Settings) -> None:
    if settings.server.bind not in _LOOPBACK and not settings.server.insecure:
        raise ConfigurationError(
            f"server.bind = {settings.server.bind} lets others in, and there is no authentication"
            " yet: bind to 127.0.0.1, or set server.insecure = true if you mean it."
        )


def _data_dir(settings: Settings, stack: AsyncExitStack, *, ephemeral: bool) -> Path:
    """Make and lock the data directory: two servers on one would tear each other down."""
    if ephemeral:
        path = Path(tempfile.mkdtemp(prefix="lambda-home-"))
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        return path
    path = settings.data.dir
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise LambdaHomeError(f"Cannot use the data directory {path}: {error.strerror}.") from error
    stack.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise LambdaHomeError(
            f"The data directory {path} is in use by another server: stop it, or give another"
            " directory with --data-dir."
        ) from error
    return path


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host

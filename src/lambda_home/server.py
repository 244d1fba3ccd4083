"""Builds every object once, runs both APIs, and takes everything down in order."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from lambda_home.access.audit import AuditLog
from lambda_home.clock import Clock, SystemClock, VirtualClock
from lambda_home.companion.beside import Beside
from lambda_home.config import ServerSettings, Settings
from lambda_home.direct_http import DirectConnection
from lambda_home.engine import Kept, build
from lambda_home.entrance import build_entrance
from lambda_home.errors import ConfigurationError
from lambda_home.front_limits import Patience
from lambda_home.health import Check, Health, knock
from lambda_home.listening import Listener, bind, port_of, tls_context
from lambda_home.logs import LogLimits, LogStore
from lambda_home.logs.text_files import TextFiles
from lambda_home.operations import data_dir as data_dirs
from lambda_home.packager.store import CodeStore
from lambda_home.registry.database import Database
from lambda_home.registry.secrets import open_vault, renew
from lambda_home.runtime_api.app import RuntimeApi
from lambda_home.runtime_api.endpoints import RuntimeEndpoints
from lambda_home.runtime_api.extensions import ExtensionRoutes
from lambda_home.runtime_api.routes import RuntimeRoutes
from lambda_home.sandbox_choice import Chosen, Ground, choose
from lambda_home.service_manager import READY, STOPPING, ServiceManager
from lambda_home.user_api import protocol

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_USER_KEEP_ALIVE_S = 75
_RUNTIME_GRACE_S = 2  # by then no environment is left
_NO_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

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
    manager = ServiceManager()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        data_dir = _data_dir(settings, stack, ephemeral=ephemeral)
        beside = Beside(settings)
        stack.push_async_callback(beside.close)
        try:
            running, later = await _start(settings, beside, data_dir, stack)
        except OSError as error:
            if error.errno not in _NO_DISK:
                raise
            raise data_dirs.unusable(data_dir, error) from error
        ready(running)
        manager.tell(READY)
        # Nobody waits for these but the first operation of the control plane, if it comes at once.
        await asyncio.gather(
            asyncio.to_thread(protocol.warm),
            later(),
            asyncio.to_thread(data_dirs.clear_leftovers),
        )
        _collect_garbage_from_now_on()
        await stop.wait()
        manager.tell(STOPPING)
        _log.info("stopping")


async def _start(
    settings: Settings, beside: Beside, data_dir: Path, stack: AsyncExitStack
) -> tuple[Running, Callable[[], Awaitable[None]]]:
    """Build from the bottom up; the stack takes down in the opposite order.

    Also answers what can be done later.
    """
    tls = tls_context(settings.server.tls_certificate, settings.server.tls_key)
    user_socket = bind(settings.server.bind, settings.server.port_user_api)
    stack.callback(user_socket.close)
    runtime_socket = bind("127.0.0.1", settings.server.port_runtime_api)
    stack.callback(runtime_socket.close)
    runtime_port = port_of(runtime_socket)

    clock = VirtualClock() if settings.testing.virtual_clock else SystemClock()
    kept = _kept(settings, data_dir, clock, stack)
    endpoints = RuntimeEndpoints()
    closed = (port_of(user_socket), *beside.ports)
    chosen = await choose(Ground(settings, data_dir, kept.store, endpoints, runtime_port, closed))
    stack.push_async_callback(chosen.close)
    if _is_temporary(settings, data_dir):  # what was made of the code goes with it
        stack.push_async_callback(chosen.preparer.discard_except, frozenset())
    engine = build(beside.settings, kept, chosen, clock)

    await engine.scheduler.open()
    checks: dict[str, Check] = {
        "registry": lambda: asyncio.to_thread(engine.registry.unsettled),
        "sandbox": chosen.check,
        "runtime_api": lambda: knock(runtime_port),
    }
    health = Health(checks, chosen.sandbox.name)
    runtimes = RuntimeRoutes(engine.scheduler, endpoints)
    audit = AuditLog(data_dir / "audit.log", settings.data.log_max_mb * 1024 * 1024, SystemClock())
    stack.callback(audit.close)
    entrance = build_entrance(settings, engine, health, runtimes.version_at, audit, beside)
    runtime = Listener(
        RuntimeApi(entrance.functions.app),
        [runtime_socket, *_gateway_socket(chosen, runtime_port, stack)],
        grace_s=_RUNTIME_GRACE_S,
        http=partial(
            DirectConnection, ExtensionRoutes(engine.scheduler, runtimes, entrance.functions.routes)
        ),
    )
    endpoints.serve_with(runtime.protocol)
    stack.push_async_callback(runtime.stop)
    await runtime.start()
    await engine.work(stack, settings.server.shutdown_grace_s)
    await stack.enter_async_context(entrance.subscriptions)

    user = Listener(
        entrance.user.app,
        [user_socket],
        grace_s=settings.server.shutdown_grace_s,
        http=partial(DirectConnection, entrance.user.routes),
        patience=_patience(settings.server),
        tls=tls,
    )
    await user.start()
    stack.push_async_callback(user.stop)
    stack.callback(entrance.logs.close)
    stack.callback(kept.logs.end_following)
    stack.callback(engine.builds.end_following)
    beside.start(f"http://127.0.0.1:{runtime_port}")
    running = Running(
        user_api=f"{'https' if tls else 'http'}://{_shown(settings.server.bind)}:{port_of(user_socket)}",
        runtime_api=f"http://127.0.0.1:{runtime_port}",
        sandbox=chosen.sandbox.name,
        sandbox_reason=chosen.reason,
        data_dir=data_dir,
    )
    return running, chosen.later


def _kept(settings: Settings, data_dir: Path, clock: Clock, stack: AsyncExitStack) -> Kept:
    """Open what lies in the data directory; the stack closes it."""
    is_temporary = _is_temporary(settings, data_dir)
    database = Database.open(data_dir / "lhome.db" if is_temporary else settings.data.database)
    stack.callback(database.close)
    vault = open_vault(settings.secrets.key.get_secret_value(), data_dir, database)
    if count := renew(database, vault):
        _log.info("secrets and access keys are encrypted by the first key now", count=count)
    logs = _log_store(settings, data_dir, clock)
    stack.callback(logs.close)
    return Kept(database, CodeStore(data_dir / "code"), logs, vault, data_dir / "builds")


def _is_temporary(settings: Settings, data_dir: Path) -> bool:
    return data_dir != settings.data.dir


def _log_store(settings: Settings, data_dir: Path, clock: Clock) -> LogStore:
    group_bytes = settings.data.log_max_mb * 1024 * 1024
    limits = LogLimits(
        group_bytes, settings.logs.max_mb * 1024 * 1024, settings.logs.retention_days or None
    )
    text = TextFiles(data_dir / "logs", group_bytes) if settings.logs.files else None
    return LogStore(data_dir / "logs.db", limits, text, now=clock.now)


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


def _patience(server: ServerSettings) -> Patience:
    """Of the file descriptors, half are left to execution environments and to files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Patience(
        header_s=server.header_timeout_s,
        body_s=server.body_timeout_s,
        idle_s=_USER_KEEP_ALIVE_S,
        write_s=server.write_timeout_s,
        max_connections=min(server.max_connections, max(1, files // 2)),
    )


def _refuse_open_bind(settings: Settings) -> None:
    server = settings.server
    if server.bind in _LOOPBACK or server.insecure or settings.access.auth != "none":
        return
    raise ConfigurationError(
        f"server.bind = {server.bind} lets others in, and access.auth is none: set access.auth ="
        ' "sigv4" and make a key with `lambda-home keys create`, bind to 127.0.0.1, or give'
        " --insecure if you mean it."
    )


def _data_dir(settings: Settings, stack: AsyncExitStack, *, ephemeral: bool) -> Path:
    """Make and lock the data directory: two servers on one would tear each other down."""
    if ephemeral:
        path, lock = data_dirs.make_temporary()
        stack.callback(os.close, lock)
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        return path
    path = settings.data.dir
    stack.callback(os.close, data_dirs.take(path))
    return path


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host

"""The sandbox of local processes, for machines without Docker.

With bubblewrap each environment has mounts, processes and a host name of its own and sees no file
of the host but system folders, read-only (see `process_command`). Without it a function is only a
process with another working folder and a clean environment: no protection from hostile code.
As root, each environment also runs as a user id of its own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from lambda_home.sandboxes import process_table
from lambda_home.sandboxes.base import Exit, SandboxError, SandboxObserver, SandboxSpec
from lambda_home.sandboxes.interpreters import Interpreter, Search, find
from lambda_home.sandboxes.process_cgroups import Cgroups, Group, discover
from lambda_home.sandboxes.process_command import (
    PROCESSES,
    Files,
    Tools,
    chain,
    group_file,
    hosts_file,
    isolation,
    passwd_file,
)
from lambda_home.sandboxes.process_spawn import child_pid, pipe, readable, spawn

_UIDS = range(60_000, 64_000)
_INNER_UID = 1000
_CHUNK = 256 * 1024
_SIGNAL_BASE = 128
_LAST_SIGNAL = 64
_DRAIN_S = 2.0
_WATCH_S = 0.25
_MB = 1024 * 1024

_log = structlog.get_logger(__name__)


class Endpoints(Protocol):
    """Gives environments without a host name of their own an address of the runtime API."""

    async def open(self, environment_id: str) -> str:
        """Open and return `address:port`."""

    async def close(self, environment_id: str) -> None:
        """Close it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are: our runtimes, the Python packages that functions find, interpreters."""

    runtimes: Path
    libraries: Path
    search: Search


@dataclass(slots=True, eq=False)
class _Environment:
    """One running environment; `watcher` ends when it is gone."""

    id: str
    process: asyncio.subprocess.Process
    output: int
    uid: int | None
    group: Group | None
    memory_mb: int
    folder: Path | None = None
    watcher: asyncio.Task[None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    peak_kib: int = 0
    over_limit: bool = False


class ProcessSandbox:
    """See `sandboxes.base.Sandbox` for the lifecycle."""

    name = "process"

    def __init__(self, place: Place, runtime_api_port: int, endpoints: Endpoints) -> None:
        self._place = place
        self._port = runtime_api_port
        self._endpoints = endpoints
        self._as_root = os.geteuid() == 0
        self._tools = find_tools()
        self._cgroups = Cgroups(0, {}, "not open")
        self._environments: dict[str, _Environment] = {}
        self._observer: SandboxObserver | None = None
        self._guard: asyncio.Task[None] | None = None

    @property
    def wrapped(self) -> bool:
        """Whether bubblewrap isolates environments."""
        return self._tools.bwrap is not None

    async def open(self, observer: SandboxObserver) -> None:
        """Find control groups; reap those of dead servers."""
        self._observer = observer
        self._cgroups = discover()
        _reap(self._cgroups)
        if not self._cgroups.bases:
            _log.info("memory limits are watched, not held by the kernel", why=self._cgroups.reason)
        if "memory" not in self._cgroups.bases:
            self._guard = asyncio.get_running_loop().create_task(self._watch_memory())

    async def start(self, spec: SandboxSpec) -> None:
        """Start one process tree."""
        interpreter = find(spec.runtime, self._place.search)
        group = self._group(spec)
        try:
            start = self._start_wrapped if self.wrapped else self._start_plain
            environment = await start(spec, interpreter, group)
        except BaseException as error:
            if group is not None:
                group.kill()
                group.remove()
            await self._endpoints.close(spec.id)
            if isinstance(error, OSError):
                raise SandboxError(f"The process could not be started: {error}") from error
            raise
        self._environments[spec.id] = environment
        environment.watcher = asyncio.get_running_loop().create_task(self._watch(environment))

    async def stop(self, environment_id: str, grace_s: float = 0) -> None:
        """End one process tree."""
        environment = self._environments.get(environment_id)
        if environment is None:
            return
        if grace_s > 0:
            await self.freeze(environment_id, frozen=False)
            process_table.send(self._inner(environment), signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(environment.ended.wait(), grace_s)
        self._kill(environment)
        await environment.ended.wait()

    async def freeze(self, environment_id: str, *, frozen: bool) -> None:
        """Pause or resume a process tree."""
        environment = self._environments.get(environment_id)
        if environment is None:
            return
        if environment.group is not None and environment.group.can_freeze:
            try:
                environment.group.freeze(frozen=frozen)
            except OSError as error:
                raise SandboxError(f"The process could not be paused: {error}") from error
        else:
            number = signal.SIGSTOP if frozen else signal.SIGCONT
            process_table.send(self._inner(environment), number)

    def peak_memory_mb(self, environment_id: str) -> int:
        """From the control group, else the most that was seen resident."""
        environment = self._environments.get(environment_id)
        if environment is None:
            return 0
        if environment.group is not None and environment.group.limits_memory:
            return -(-environment.group.peak_bytes() // _MB)
        self._look(environment)
        return -(-environment.peak_kib // 1024)

    async def close(self) -> None:
        """Stop everything."""
        if self._guard is not None:
            self._guard.cancel()
            await asyncio.gather(self._guard, return_exceptions=True)
        await asyncio.gather(*(self.stop(name) for name in list(self._environments)))
        watchers = [e.watcher for e in self._environments.values() if e.watcher is not None]
        await asyncio.gather(*watchers, return_exceptions=True)
        self._cgroups.close()

    # ---------------------------------------------------------------------------------- starting

    def _group(self, spec: SandboxSpec) -> Group | None:
        if not self._cgroups.bases:
            return None
        try:
            group = self._cgroups.create(f"{_owner()}-{spec.id}")
            group.limit(spec.memory_mb, PROCESSES)
        except OSError as error:
            raise SandboxError(f"The memory limit could not be set: {error}") from error
        return group

    def _uid(self) -> int:
        used = {environment.uid for environment in self._environments.values()}
        for uid in _UIDS:
            if uid not in used and not process_table.owned_by(uid):
                return uid
        raise SandboxError("All user ids for environments are in use.")

    async def _start_wrapped(
        self, spec: SandboxSpec, interpreter: Interpreter, group: Group | None
    ) -> _Environment:
        uid = self._uid() if self._as_root else _INNER_UID
        runtime_files = self._runtime_files(interpreter.family)
        command, variables = chain(
            self._tools,
            {**spec.environment, "AWS_LAMBDA_RUNTIME_API": f"{spec.host}:{self._port}"},
            ["/bin/sh", "/var/runtime/bootstrap"],
            uid=uid if self._as_root else None,
            limit_processes=True,
        )
        with ExitStack() as stack:
            files = Files(
                stack.enter_context(readable(hosts_file(spec.host))),
                stack.enter_context(readable(passwd_file(uid))),
                stack.enter_context(readable(group_file(uid))),
            )
            options = isolation(spec, interpreter, runtime_files, uid, files, as_root=self._as_root)
            for name, value in variables.items():
                options += ["--setenv", name, value]
            info, block = stack.enter_context(pipe()), stack.enter_context(pipe())
            options += ["--info-fd", str(info.writing), "--block-fd", str(block.reading)]
            arguments = stack.enter_context(readable("\0".join(options) + "\0"))
            shared = (arguments, info.writing, block.reading, *astuple(files))
            words = [str(self._tools.bwrap), "--args", str(arguments), "--", *command]
            process, output = await spawn(words, {}, shared, None)
            inner = await child_pid(info)
            if inner is not None and group is not None:
                _enter(group, inner)
            os.write(block.writing, b"x")
        return _Environment(
            spec.id, process, output, uid if self._as_root else None, group, spec.memory_mb
        )

    async def _start_plain(
        self, spec: SandboxSpec, interpreter: Interpreter, group: Group | None
    ) -> _Environment:
        if self._as_root and not _reachable(Path(spec.code)):
            raise SandboxError(
                f"{spec.code} cannot be read by an unprivileged user, and functions never run as"
                " root: install bubblewrap, or start the server as an ordinary user."
            )
        uid = self._uid() if self._as_root else None
        folder = Path(tempfile.mkdtemp(prefix="lambda-home-tmp-"))
        if uid is not None:
            os.chown(folder, uid, uid)
        family = interpreter.family
        runtime_dir = self._place.runtimes / family
        command, variables = chain(
            self._tools,
            {
                "TMPDIR": str(folder),
                **({"PYTHONPATH": str(self._place.libraries)} if family == "python" else {}),
                **spec.environment,
                "PATH": f"{interpreter.path.parent}:{spec.environment.get('PATH', '')}",
                "LAMBDA_TASK_ROOT": spec.code,
                "LAMBDA_RUNTIME_DIR": str(runtime_dir),
                "AWS_LAMBDA_RUNTIME_API": await self._endpoints.open(spec.id),
                _MARK: spec.id,
            },
            ["/bin/sh", str(runtime_dir / "bootstrap")],
            uid=uid,
            limit_processes=self._as_root,
            die_with_parent=True,
        )
        process, output = await spawn(command, variables, (), spec.code)
        if group is not None:
            _enter(group, process.pid)
        return _Environment(spec.id, process, output, uid, group, spec.memory_mb, folder)

    def _runtime_files(self, family: str) -> dict[str, Path]:
        """What /var/runtime shows: our bootstrap, and for Python the packages that AWS brings."""
        folders = [self._place.runtimes / family]
        if family == "python" and self._place.libraries.is_dir():
            folders.insert(0, self._place.libraries)
        hidden = {"__pycache__", "Dockerfile", "requirements.lock", "bin"}
        return {
            entry.name: entry
            for folder in folders
            for entry in sorted(folder.iterdir())
            if entry.name not in hidden and not entry.name.startswith(".")
        }

    # ---------------------------------------------------------------------------------- watching

    async def _watch(self, environment: _Environment) -> None:
        """Pass output on; when the process has ended, end its tree and tell the observer."""
        loop = asyncio.get_running_loop()
        drained = asyncio.Event()

        def read() -> None:
            try:
                chunk = os.read(environment.output, _CHUNK)
            except BlockingIOError:
                return
            if chunk and self._observer is not None:
                self._observer.output(environment.id, chunk)
            elif not chunk:
                loop.remove_reader(environment.output)
                drained.set()

        loop.add_reader(environment.output, read)
        code = await environment.process.wait()
        self._kill(environment)
        try:
            await asyncio.wait_for(drained.wait(), _DRAIN_S)
        except TimeoutError:
            loop.remove_reader(environment.output)
        os.close(environment.output)
        how = self._how(environment, code)
        await self._tidy(environment)
        del self._environments[environment.id]
        if self._observer is not None:
            self._observer.exited(how)
        environment.ended.set()

    @staticmethod
    def _how(environment: _Environment, code: int) -> Exit:
        group = environment.group
        if environment.over_limit or (group is not None and group.out_of_memory()):
            return Exit(environment.id, signal=signal.SIGKILL, out_of_memory=True)
        if code < 0:
            return Exit(environment.id, signal=-code)
        if _SIGNAL_BASE < code <= _SIGNAL_BASE + _LAST_SIGNAL:  # as bwrap and shells report it
            return Exit(environment.id, signal=code - _SIGNAL_BASE)
        return Exit(environment.id, code=code)

    async def _tidy(self, environment: _Environment) -> None:
        if environment.folder is not None:
            await asyncio.to_thread(shutil.rmtree, environment.folder, ignore_errors=True)
            await self._endpoints.close(environment.id)
        group = environment.group
        if group is None:
            return
        for _ in range(200):  # the kernel takes a moment to let killed processes go
            if group.remove():
                return
            group.kill()
            await asyncio.sleep(0.01)
        _log.warning("a control group could not be removed", container_id=environment.id)

    def _kill(self, environment: _Environment) -> None:
        """SIGKILL the whole tree; with bubblewrap the process namespace goes with its parent."""
        if environment.group is not None:
            environment.group.kill()
        if environment.folder is not None:
            tree = (*process_table.carrying(f"{_MARK}={environment.id}"), *self._inner(environment))
            process_table.send(tree, signal.SIGKILL)
        if environment.process.returncode is None:
            process_table.send((environment.process.pid,), signal.SIGKILL)

    def _inner(self, environment: _Environment) -> tuple[int, ...]:
        """The processes of an environment, without bwrap's own two."""
        pid = environment.process.pid
        if environment.process.returncode is not None:
            return ()
        below = process_table.descendants(pid)
        return below[1:] if self.wrapped else (pid, *below)

    def _look(self, environment: _Environment) -> int:
        kib = process_table.resident_kib(self._inner(environment))
        environment.peak_kib = max(environment.peak_kib, kib)
        return kib

    async def _watch_memory(self) -> None:
        """Hold the memory limit where the kernel does not."""
        while True:
            await asyncio.sleep(_WATCH_S)
            for environment in list(self._environments.values()):
                if self._look(environment) > environment.memory_mb * 1024:
                    environment.over_limit = True
                    self._kill(environment)


_MARK = "_LAMBDA_HOME_ENVIRONMENT"


def find_tools() -> Tools:
    """Look for the programs of the chain; bwrap counts only if it works here."""
    bwrap = shutil.which("bwrap")
    if bwrap is not None and _why_bwrap_fails(bwrap) is not None:
        bwrap = None
    setpriv, prlimit = shutil.which("setpriv"), shutil.which("prlimit")
    if bwrap is not None and os.geteuid() == 0 and setpriv is None:
        bwrap = None  # could not leave root behind
    return Tools(bwrap, setpriv, prlimit, shutil.which("env") or "/usr/bin/env")


def probe(search: Search) -> tuple[bool, str]:
    """Say whether processes can be used here, and how well isolated, in one line."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        how = "without bubblewrap (not installed): functions are NOT isolated from your files"
    elif (why := _why_bwrap_fails(bwrap)) is not None:
        how = f"without bubblewrap ({why}): functions are NOT isolated from your files"
    else:
        how = "isolated by bubblewrap"
    try:
        find("python3.12", search)
    except SandboxError as error:
        return False, str(error)
    return True, how


def _why_bwrap_fails(bwrap: str) -> str | None:
    command = [bwrap, "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or ["it fails"])[-1]


def _enter(group: Group, pid: int) -> None:
    for entrance in group.entrances:
        try:
            entrance.write_text(str(pid))
        except OSError as error:
            _log.warning("a process did not enter its control group", reason=str(error))


def _reachable(path: Path) -> bool:
    """Whether any user can get to a folder."""
    needed = stat.S_IROTH | stat.S_IXOTH
    return all(folder.stat().st_mode & needed == needed for folder in (path, *path.parents))


def _owner() -> str:
    pid = os.getpid()
    return f"{pid}.{process_table.start_time(pid)}"


def _reap(cgroups: Cgroups) -> None:
    """Kill and remove what servers that are dead left in their control groups."""
    for base in dict.fromkeys(cgroups.bases.values()):
        for folder in base.iterdir():
            owner = folder.name.partition("-")[0]
            pid, _, started = owner.partition(".")
            if not folder.is_dir() or not pid.isdecimal() or not started:
                continue
            if str(process_table.start_time(int(pid))) != started:
                group = Group(
                    cgroups.version, {name: b / folder.name for name, b in cgroups.bases.items()}
                )
                group.kill()
                group.remove()

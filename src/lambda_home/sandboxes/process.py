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
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Protocol

import structlog

from lambda_home.sandboxes import process_table
from lambda_home.sandboxes.base import (
    Exit,
    Prepared,
    SandboxError,
    SandboxObserver,
    SandboxSpec,
    addressed,
)
from lambda_home.sandboxes.egress import Firewall, Functions
from lambda_home.sandboxes.interpreters import Interpreter, Search, find
from lambda_home.sandboxes.output_pipe import OutputPipe
from lambda_home.sandboxes.own_ports import address_of, loopback_address
from lambda_home.sandboxes.process_cgroups import Cgroups, Group, discover
from lambda_home.sandboxes.process_command import (
    PROCESSES,
    SITE_PACKAGES,
    Files,
    chain,
    group_file,
    hosts_file,
    isolation,
    joining,
    passwd_file,
    seen_plain,
)
from lambda_home.sandboxes.process_owners import (
    MARK,
    Uids,
    owner,
    private_folder,
    reap,
    remove_group,
    shown_first,
)
from lambda_home.sandboxes.process_spawn import readable, spawn
from lambda_home.sandboxes.process_tools import INNER_UID, find_tools, reachable
from lambda_home.sandboxes.supervision import supervised
from lambda_home.sandboxes.task_folders import TaskFolders

_SIGNAL_BASE = 128
_LAST_SIGNAL = 64
_DRAIN_S = 2.0
_WATCH_S = 0.25

_log = structlog.get_logger(__name__)


class Endpoints(Protocol):
    """Gives environments without a host name of their own an address of the runtime API."""

    async def open(self, environment_id: str) -> str:
        """Open and return `address:port`."""

    async def close(self, environment_id: str) -> None:
        """Close it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where things are: our runtimes, the Python packages that functions find, interpreters.

    `tasks` are the task roots of spares, and their /opt.
    """

    runtimes: Path
    libraries: Path
    search: Search
    tasks: TaskFolders


@dataclass(slots=True, eq=False)
class _Environment:
    """One environment: what was made for it so far, in this order, and how it goes on.

    `watcher` ends when it is gone.
    """

    id: str
    memory_mb: int
    group: Group | None = None
    uid: int | None = None
    folder: Path | None = None
    process: asyncio.subprocess.Process | None = None
    output: OutputPipe | None = None
    watcher: asyncio.Task[None] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    peak_kib: int = 0
    over_limit: bool = False
    own: Mapping[str, str] = field(default_factory=dict)
    api: str = ""
    spare: bool = False
    stopping: bool = False


class ProcessSandbox:
    """See `sandboxes.base.Sandbox` for the lifecycle."""

    name = "process"

    def __init__(
        self,
        place: Place,
        runtime_api_port: int,
        endpoints: Endpoints,
        firewall: Firewall | None = None,
    ) -> None:
        self._place = place
        self._port = runtime_api_port
        self._endpoints = endpoints
        self._firewall = firewall
        self._as_root = os.geteuid() == 0
        self._tools = find_tools()
        self._uids = Uids() if self._as_root else None
        self._cgroups = Cgroups(0, {}, "not open")
        self._environments: dict[str, _Environment] = {}
        self._observer: SandboxObserver | None = None
        self._guard: asyncio.Task[None] | None = None
        self._starting: set[asyncio.Future[None]] = set()
        self._closing = False

    @property
    def wrapped(self) -> bool:
        """Whether bubblewrap isolates environments."""
        return self._tools.bwrap is not None

    async def open(self, observer: SandboxObserver) -> None:
        """Find control groups; reap those of dead servers; lay the firewall's rules down."""
        self._observer = observer
        self._cgroups = discover()
        begun = [reap(self._cgroups)]
        if self._firewall is not None:
            begun.append(self._firewall.open(Functions(self._uids.all if self._uids else range(0))))
        await asyncio.gather(*begun)
        if not self._cgroups.bases:
            _log.info("memory limits are watched, not held by the kernel", why=self._cgroups.reason)
        if "memory" not in self._cgroups.bases:
            self._guard = asyncio.get_running_loop().create_task(self._watch_memory())

    async def start(self, spec: SandboxSpec) -> None:
        """Start one process tree."""
        if self._closing:
            raise SandboxError("The server is stopping.")
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._starting.add(started)
        try:
            await self._start(spec)
        finally:
            self._starting.discard(started)
            started.set_result(None)

    async def _start(self, spec: SandboxSpec) -> None:
        interpreter = await asyncio.to_thread(find, spec.runtime, self._place.search)
        environment = _Environment(spec.id, spec.memory_mb, spare=spec.spare)
        try:
            if spec.spare:
                folders = await self._place.tasks.make(spec.id)
                spec = replace(spec, code=str(folders.task), opt=str(folders.opt))
            os.listdir(spec.code)  # noqa: PTH208  (not there: fail here, not inside)
            environment.group = self._group(spec)
            environment.uid = self._uids.take() if self._uids else None
            start = self._start_wrapped if self.wrapped else self._start_plain
            await start(spec, interpreter, environment)
        except BaseException as error:
            await self._tidy(environment)
            if isinstance(error, OSError):
                raise SandboxError(f"The process could not be started: {error}") from error
            raise
        self._environments[spec.id] = environment
        environment.watcher = asyncio.get_running_loop().create_task(self._watch(environment))

    async def place(
        self, environment_id: str, package: Prepared, environment: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Show a spare its code: in folders of its own, or without bubblewrap where it lies."""
        found = self._environments.get(environment_id)
        if found is None or not found.spare:
            raise SandboxError(f"Environment {environment_id} is no spare.")
        if self.wrapped:
            await self._place.tasks.fill(environment_id, package)
            return addressed(environment, found.api)
        if self._as_root:
            self._refuse_root(Path(package.code))
        return seen_plain(addressed(environment, found.api), found.own, package)

    async def stop(self, environment_id: str, grace_s: float = 0) -> None:
        """End one process tree."""
        environment = self._environments.get(environment_id)
        if environment is None:
            return
        environment.stopping = True
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
        if environment is None or (frozen and environment.stopping):
            return  # what is frozen after its SIGKILL would never die
        if environment.group is not None and environment.group.can_freeze:
            try:
                environment.group.freeze(frozen=frozen)
            except FileNotFoundError:
                return  # it has just ended
            except OSError as error:
                raise SandboxError(f"The process could not be paused: {error}") from error
        else:
            number = signal.SIGSTOP if frozen else signal.SIGCONT
            process_table.send(self._tree(environment), number)

    async def reach(self, environment_id: str, port: int) -> tuple[str, int] | None:
        """By the sockets that the environment's processes hold."""
        found = self._environments.get(environment_id)
        if found is None:
            return None
        tree = await asyncio.to_thread(self._tree, found)
        own = loopback_address(environment_id)
        return await asyncio.to_thread(address_of, tree, port, own)

    def collect(self, environment_id: str) -> None:
        """Read the pipe of an environment."""
        environment = self._environments.get(environment_id)
        if environment is not None and environment.output is not None:
            environment.output.collect()

    def peak_memory_mb(self, environment_id: str) -> int:
        """From the control group, else the most that was seen resident."""
        environment = self._environments.get(environment_id)
        if environment is None:
            return 0
        self._look(environment)
        return -(-environment.peak_kib // 1024)

    async def close(self) -> None:
        """Stop everything, also what is just being started."""
        self._closing = True
        if self._guard is not None:
            self._guard.cancel()
            await asyncio.gather(self._guard, return_exceptions=True)
        while self._starting or self._environments:
            await asyncio.gather(*(self.stop(name) for name in list(self._environments)))
            if self._starting:
                await asyncio.wait(set(self._starting))
        self._cgroups.close()
        if self._firewall is not None:
            await self._firewall.close()

    # ---------------------------------------------------------------------------------- starting

    def _group(self, spec: SandboxSpec) -> Group | None:
        if not self._cgroups.bases:
            return None
        try:
            group = self._cgroups.create(f"{owner()}-{spec.id}")
            group.limit(spec.memory_mb, PROCESSES)
        except OSError as error:
            raise SandboxError(f"The memory limit could not be set: {error}") from error
        return group

    async def _start_wrapped(
        self, spec: SandboxSpec, interpreter: Interpreter, environment: _Environment
    ) -> None:
        uid = INNER_UID if environment.uid is None else environment.uid
        runtime_files = self._runtime_files(interpreter.family)
        api = environment.api = f"{spec.host}:{self._port}"
        command, variables = chain(
            self._tools,
            {**addressed(spec.environment, api), "AWS_LAMBDA_RUNTIME_API": api},
            supervised(["/bin/sh", "/var/runtime/bootstrap"], spec.extensions),
            uid=environment.uid,
            limit_processes=True,
        )
        with ExitStack() as stack:
            files = Files(
                stack.enter_context(readable(hosts_file(spec.host, loopback_address(spec.id)))),
                stack.enter_context(readable(passwd_file(uid))),
                stack.enter_context(readable(group_file(uid))),
            )
            options = isolation(spec, interpreter, runtime_files, uid, files, as_root=self._as_root)
            # The mark is bwrap's own: by it what outlives a kill in its first moments is found.
            options += ["--unsetenv", MARK]
            for name, value in variables.items():
                options += ["--setenv", name, value]
            arguments = stack.enter_context(readable("\0".join(options) + "\0"))
            words = [str(self._tools.bwrap), "--args", str(arguments), "--", *command]
            environment.process, output = await spawn(
                joining(self._entrances(environment), words),
                {MARK: _mark(environment)},
                (arguments, *astuple(files)),
                None,
            )
        environment.output = self._pipe(environment.id, output)

    async def _start_plain(
        self, spec: SandboxSpec, interpreter: Interpreter, environment: _Environment
    ) -> None:
        runtime_dir = self._place.runtimes / interpreter.family
        if self._as_root:
            needed = [Path(spec.code), Path(spec.opt)] if spec.opt else [Path(spec.code)]
            self._refuse_root(*needed, interpreter.path, runtime_dir)
        environment.folder = private_folder(environment.uid)
        environment.own = {
            "TMPDIR": str(environment.folder),
            "PYTHONPATH": str(self._place.libraries) if interpreter.family == "python" else "",
            "PATH": str(shown_first(interpreter, environment.folder)),
            "LAMBDA_RUNTIME_DIR": str(runtime_dir),
            SITE_PACKAGES: f"python/lib/python{interpreter.series_text}/site-packages",
        }
        api = environment.api = await self._endpoints.open(spec.id)
        seen = seen_plain(spec.environment, environment.own, Prepared(spec.code, spec.opt))
        command, variables = chain(
            self._tools,
            {
                **addressed(seen, api),
                "AWS_LAMBDA_RUNTIME_API": api,
                MARK: _mark(environment),
            },
            supervised(
                ["/bin/sh", str(runtime_dir / "bootstrap")],
                spec.extensions,
                f"{spec.opt}/extensions",
            ),
            uid=environment.uid,
            limit_processes=self._as_root,
            die_with_parent=True,
        )
        words = joining(self._entrances(environment), command)
        environment.process, output = await spawn(words, variables, (), spec.code)
        environment.output = self._pipe(environment.id, output)

    def _pipe(self, environment_id: str, descriptor: int) -> OutputPipe:
        def deliver(chunk: bytes) -> None:
            if self._observer is not None:
                self._observer.output(environment_id, chunk)

        return OutputPipe(descriptor, deliver)

    @staticmethod
    def _entrances(environment: _Environment) -> tuple[Path, ...]:
        return environment.group.entrances if environment.group is not None else ()

    def _refuse_root(self, *needed: Path) -> None:
        """Functions never run as root, and another user must be able to get at what they need."""
        advice = "install bubblewrap, or start the server as an ordinary user"
        if self._tools.setpriv is None:
            raise SandboxError(f"Functions never run as root, and setpriv is missing: {advice}.")
        for path in needed:
            if not reachable(path):
                raise SandboxError(
                    f"{path} cannot be read by an unprivileged user, and functions never run as"
                    f" root: {advice}."
                )

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
        if environment.process is None or environment.output is None:
            raise RuntimeError("an environment is watched only once its process exists")
        code = await environment.process.wait()
        self._kill(environment)
        environment.output.collect()
        with suppress(TimeoutError):
            await asyncio.wait_for(environment.output.ended.wait(), _DRAIN_S)
        self._look(environment)
        how = self._how(environment, code)
        await self._tidy(environment)
        if self._observer is not None:
            self._observer.exited(how)
        del self._environments[environment.id]
        environment.ended.set()

    @staticmethod
    def _how(environment: _Environment, code: int) -> Exit:
        if code < 0:
            code = _SIGNAL_BASE - code
        if code == _SIGNAL_BASE + signal.SIGKILL:
            group = environment.group
            full = environment.over_limit or (group is not None and group.out_of_memory())
            return Exit(environment.id, signal=signal.SIGKILL, out_of_memory=full)
        if _SIGNAL_BASE < code <= _SIGNAL_BASE + _LAST_SIGNAL:  # as bwrap and shells report it
            return Exit(environment.id, signal=code - _SIGNAL_BASE)
        return Exit(environment.id, code=code)

    async def _tidy(self, environment: _Environment) -> None:
        """Undo whatever was made for an environment, complete or not."""
        self._kill(environment)
        if environment.process is not None:
            await environment.process.wait()
        if environment.group is None:
            await self._kill_marked(environment)
        if environment.group is not None:
            await remove_group(environment.group)
        if environment.output is not None:
            environment.output.close()
        if environment.folder is not None:
            await asyncio.to_thread(shutil.rmtree, environment.folder, ignore_errors=True)
        if environment.spare:
            await self._place.tasks.drop(environment.id)
        await self._endpoints.close(environment.id)
        if self._uids is not None:
            self._uids.give_back(environment.uid)

    def _kill(self, environment: _Environment) -> None:
        """SIGKILL the whole tree; with bubblewrap the process namespace goes with its parent."""
        tree = self._tree(environment)
        if environment.group is not None:
            environment.group.kill()
        process_table.send(tree, signal.SIGKILL)
        if environment.process is not None and environment.process.returncode is None:
            process_table.send((environment.process.pid,), signal.SIGKILL)

    async def _kill_marked(self, environment: _Environment) -> None:
        """Kill what a killed bwrap has left: its child dies with it only once it has asked to."""
        while marked := process_table.carrying(f"{MARK}={_mark(environment)}"):
            process_table.send(marked, signal.SIGKILL)
            await asyncio.sleep(0.005)

    def _tree(self, environment: _Environment) -> tuple[int, ...]:
        """The processes of an environment; without bubblewrap also those that left their parent."""
        if environment.folder is None:
            return self._inner(environment)
        marked = process_table.carrying(f"{MARK}={_mark(environment)}")
        owned = () if environment.uid is None else process_table.owned_by(environment.uid)
        return tuple({*marked, *owned, *self._inner(environment)})

    def _inner(self, environment: _Environment) -> tuple[int, ...]:
        """The processes of an environment, without bwrap's own two."""
        if environment.process is None or environment.process.returncode is not None:
            return ()
        pid = environment.process.pid
        below = process_table.descendants(pid)
        return below[1:] if self.wrapped else (pid, *below)

    def _look(self, environment: _Environment) -> int:
        """Remember the most memory; returns what is in use now where no control group knows."""
        if environment.group is not None and environment.group.limits_memory:
            environment.peak_kib = max(environment.peak_kib, environment.group.peak_bytes() // 1024)
            return 0
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


def _mark(environment: _Environment) -> str:
    """What tells an environment's processes from all others."""
    return f"{owner()}-{environment.id}"

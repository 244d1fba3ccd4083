"""Builds with the programs of this machine, each step in a sandbox of bubblewrap.

A step sees the machine's programs read-only, the folders of its own build and nothing else of the
disk: no home, no other build, no socket of Docker. It has a process namespace, a control group, a
/tmp and, where the server runs as root, a user id of its own. The network is the machine's, as for
functions; rules of the firewall for user ids of functions hold for it too.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from lambda_home.builds.diagnosis import Stop
from lambda_home.builds.rooms import PROCESSES, Ended, Ground, Limits, Sink, Stopping, follow
from lambda_home.builds.toolbox import VARIABLES, Toolbox, of_this_machine, trust
from lambda_home.builds.trees import BUILD
from lambda_home.sandboxes import process_table
from lambda_home.sandboxes.base import SandboxError
from lambda_home.sandboxes.interpreters import Search
from lambda_home.sandboxes.process_cgroups import Cgroups, Group, discover
from lambda_home.sandboxes.process_command import (
    HOST_FILES,
    Tools,
    chain,
    group_file,
    joining,
    namespaces,
    passwd_file,
    system,
)
from lambda_home.sandboxes.process_owners import MARK, Uids, owner
from lambda_home.sandboxes.process_spawn import readable
from lambda_home.sandboxes.process_tools import INNER_UID, find_tools

_REMOVAL_TRIES, _REMOVAL_PAUSE_S = 1000, 0.002
_ALSO_OF_ETC = ("java-*", "maven", "gradle", "php", "ruby*", "gemrc")
_SIGNAL_BASE = 128


class MachineRooms:
    """See `rooms.Rooms`. `lent` is shown to every build."""

    name = "process"

    def __init__(self, limits: Limits, lent: Toolbox, search: Search) -> None:
        self._limits = limits
        self._lent = lent
        self._search = search
        self._lock = threading.Lock()
        self._tools: Tools | None = None
        self._cgroups: Cgroups | None = None
        self._uids = Uids() if os.geteuid() == 0 else None

    def open(self, ground: Ground, runtime: str) -> MachineRoom:
        """A room, the folders of the build given to its user. Raises SandboxError."""
        tools, cgroups = self._found()
        if tools.bwrap is None:
            raise SandboxError(
                "Builds with the tools of this machine need bubblewrap (Debian: apt-get install"
                " bubblewrap), and the right to make namespaces; or give Docker images."
            )
        own = of_this_machine(runtime, self._search)
        box = Toolbox(
            {**own.shown, **self._lent.shown},
            (*self._lent.path, *own.path),
            own.links,
            own.variables,
            own.note,
        )
        uid = None
        if self._uids is not None:
            with self._lock:
                uid = self._uids.take()
        room = MachineRoom(ground, self._limits, box, tools, cgroups, self._release)
        room.own(uid)
        return room

    def _release(self, uid: int | None) -> None:
        """Let others have a user id."""
        if self._uids is not None:
            with self._lock:
                self._uids.give_back(uid)

    def close(self) -> None:
        """Remove what control groups are left."""
        if self._cgroups is not None:
            self._cgroups.close()

    def _found(self) -> tuple[Tools, Cgroups]:
        with self._lock:
            if self._tools is None or self._cgroups is None:
                self._tools = find_tools()
                self._cgroups = discover()
            return self._tools, self._cgroups


class MachineRoom:
    """See `rooms.Room`."""

    place = "this machine"

    def __init__(
        self,
        ground: Ground,
        limits: Limits,
        box: Toolbox,
        tools: Tools,
        cgroups: Cgroups,
        release: Callable[[int | None], None],
    ) -> None:
        self._ground = ground
        self._limits = limits
        self._box = box
        self._tools = tools
        self._cgroups = cgroups
        self._release = release
        self._steps = 0
        self.uid: int | None = None
        self.note = box.note

    def own(self, uid: int | None) -> None:
        """Give the build's folders to its user; None: they are the server's."""
        self.uid = uid
        if uid is not None:
            for folder in self._ground.writable.values():
                give_to(folder, uid)

    def run(
        self, words: Sequence[str], variables: Mapping[str, str], sink: Sink, stopping: Stopping
    ) -> Ended:
        """Run one program in a sandbox of its own."""
        self._steps += 1
        name = f"{owner()}-build-{self._ground.id}-{self._steps}"
        group = self._group(name)
        try:
            with ExitStack() as stack:
                process = self._spawn(words, variables, group, name, stack)
                return self._followed(process, group, sink, stopping)
        except OSError as error:
            raise SandboxError(f"The sandbox could not be started: {error}") from error
        finally:
            if group is not None:
                _remove(group)

    def close(self) -> None:
        """Give the user id back."""
        self._release(self.uid)

    def _group(self, name: str) -> Group | None:
        if not self._cgroups.bases:
            return None
        try:
            group = self._cgroups.create(name)
            group.limit(self._limits.memory_mb, PROCESSES)
        except OSError as error:
            raise SandboxError(f"The memory limit could not be set: {error}") from error
        return group

    def _spawn(
        self,
        words: Sequence[str],
        variables: Mapping[str, str],
        group: Group | None,
        name: str,
        stack: ExitStack,
    ) -> subprocess.Popen[bytes]:
        uid = INNER_UID if self.uid is None else self.uid
        seen = {
            **VARIABLES,
            **trust(),
            **self._box.variables,
            **variables,
            "PATH": ":".join(self._box.path),
        }
        command, early = chain(
            self._tools, seen, self._bounded(words), uid=self.uid, limit_processes=True
        )
        files = {
            "passwd": stack.enter_context(readable(passwd_file(uid))),
            "group": stack.enter_context(readable(group_file(uid))),
            "hosts": stack.enter_context(readable("127.0.0.1 localhost\n::1 localhost\n")),
        }
        options = [*self._options(uid, files), "--unsetenv", MARK]
        for variable, value in early.items():
            options += ["--setenv", variable, value]
        arguments = stack.enter_context(readable("\0".join(options) + "\0"))
        entrances = group.entrances if group is not None else ()
        process = subprocess.Popen(  # noqa: S603  bubblewrap, and what is asked for inside it
            joining(entrances, [str(self._tools.bwrap), "--args", str(arguments), "--", *command]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={MARK: name},
            pass_fds=(arguments, *files.values()),
            start_new_session=True,
            cwd="/",
        )
        if process.stdout is not None:
            stack.callback(process.stdout.close)
        return process

    def _bounded(self, words: Sequence[str]) -> list[str]:
        """No file may be longer than all may be."""
        if self._tools.prlimit is None:
            return list(words)
        size = self._limits.disk_mb << 20
        return [self._tools.prlimit, f"--fsize={size}:{size}", *words]

    def _options(self, uid: int, files: Mapping[str, int]) -> list[str]:
        options = [*namespaces(uid, as_root=self.uid is not None), *system()]
        options += ["--perms", "0755", "--dir", "/etc"]
        also = [str(path) for kind in _ALSO_OF_ETC for path in sorted(Path("/etc").glob(kind))]
        for path_name in (*HOST_FILES, *also):
            options += ["--ro-bind-try", path_name, path_name]
        for name, descriptor in files.items():
            options += ["--perms", "0444", "--ro-bind-data", str(descriptor), f"/etc/{name}"]
        options += ["--proc", "/proc", "--dev", "/dev"]
        size = str(self._limits.tmp_mb << 20)
        options += ["--perms", "1777", "--size", size, "--tmpfs", "/tmp"]  # noqa: S108
        for folder in _parents((*self._box.shown, *self._box.links)):
            options += ["--perms", "0755", "--dir", folder]
        for target, source in {**self._box.shown, **self._ground.read_only}.items():
            options += ["--ro-bind", str(source), target]
        for link, target in self._box.links.items():
            options += ["--symlink", target, link]
        for target, source in self._ground.writable.items():
            options += ["--bind", str(source), target]
        return [*options, "--remount-ro", "/", "--chdir", BUILD]

    def _followed(
        self,
        process: subprocess.Popen[bytes],
        group: Group | None,
        sink: Sink,
        stopping: Stopping,
    ) -> Ended:
        pipe = process.stdout
        if pipe is None:
            raise SandboxError("The sandbox has no output.")
        os.set_blocking(pipe.fileno(), False)

        def must_stop() -> Stop | None:
            return stopping() or self._over_memory(process, group)

        try:
            why = follow(pipe.fileno(), lambda: process.poll() is not None, must_stop, sink)
        finally:
            _kill(process, group)
        full = group is not None and group.limits_memory and group.out_of_memory()
        if why is None and full and process.returncode != 0:
            why = Stop.MEMORY
        code = process.returncode
        return Ended(code if code >= 0 else _SIGNAL_BASE - code, why)

    def _over_memory(self, process: subprocess.Popen[bytes], group: Group | None) -> Stop | None:
        """Hold the limit where the kernel does not."""
        if group is not None and group.limits_memory:
            return None
        used = process_table.resident_kib(process_table.descendants(process.pid))
        return Stop.MEMORY if used > self._limits.memory_mb * 1024 else None


def give_to(folder: Path, uid: int) -> None:
    """Make a folder and all below a user's, links themselves and not what they lead to."""
    os.lchown(folder, uid, uid)
    folder.chmod(0o700)
    for where, folders, files in os.walk(folder):
        for name in folders + files:
            os.lchown(os.path.join(where, name), uid, uid)  # noqa: PTH118  many thousands


def _parents(places: Sequence[str]) -> list[str]:
    """Folders on the way to mounts, which bwrap would make for root alone."""
    found: dict[str, None] = {}
    for place in places:
        for parent in reversed(Path(place).parents):
            found[str(parent)] = None
    known = {"/", "/usr", "/etc", "/tmp"}  # noqa: S108
    return [name for name in found if name not in known]


def _kill(process: subprocess.Popen[bytes], group: Group | None) -> None:
    """End the whole tree; the process namespace goes with its parent."""
    tree = process_table.descendants(process.pid) if process.poll() is None else ()
    if group is not None:
        group.kill()
    process_table.send(tree, 9)
    if process.poll() is None:
        process.kill()
    process.wait()


def _remove(group: Group) -> None:
    for _ in range(_REMOVAL_TRIES):
        group.kill()
        if group.remove():
            return
        time.sleep(_REMOVAL_PAUSE_S)

"""Control groups for sandboxed processes: memory limit, CPU weight, process count, freezer.

Groups are made below the server's own group, so that limits set on the server hold for all of
its functions. Both kernel interfaces are served: version 1 (one tree per controller) and version 2
(one tree, cgroups(7)). In version 2 a group with processes cannot have controlled children, so the
server first moves itself into a leaf; it does so only where it is alone in its group.

The CPU weight follows AWS's rule that 1,769 MB are one vCPU
(https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lambda_home.sandboxes import process_table

_CONTROLLERS = ("memory", "cpu", "pids", "freezer")
_BASE = "lambda-home"
_LEAF = "lambda-home-server"
_MB_PER_CPU = 1769
_SHARES_PER_CPU, _WEIGHT_PER_CPU = 1024, 100
_MAX_WEIGHT = 10_000
_UNKNOWN = 0
_UNIFIED = 2  # the version of the interface with one tree


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _write(path: Path, value: str) -> bool:
    """False where the kernel refuses or the file is not there (optional controls)."""
    try:
        with path.open("r+") as file:
            file.write(value)
    except OSError:
        return False
    return True


def _number(text: str) -> int:
    text = text.strip()
    return int(text) if text.isdecimal() else _UNKNOWN


def _count(text: str, key: str) -> int:
    lines = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    return _number(lines.get(key, ""))


@dataclass(frozen=True, slots=True)
class Group:
    """The control groups of one environment: controller -> folder (all the same in version 2)."""

    version: int
    folders: Mapping[str, Path]

    @property
    def entrances(self) -> tuple[Path, ...]:
        """The files to which a process writes 0 to move itself in."""
        return tuple(folder / "cgroup.procs" for folder in dict.fromkeys(self.folders.values()))

    def limit(self, memory_mb: int, processes: int) -> None:
        """Set the limits. Raises OSError where the memory limit is not accepted."""
        size = str(memory_mb * 1024 * 1024)
        share = memory_mb / _MB_PER_CPU
        if "memory" in self.folders:
            memory = self.folders["memory"]
            if self.version == 1:
                (memory / "memory.limit_in_bytes").write_text(size)
                _write(memory / "memory.memsw.limit_in_bytes", size)
            else:
                (memory / "memory.max").write_text(size)
                _write(memory / "memory.swap.max", "0")
                _write(memory / "memory.oom.group", "1")
        if "cpu" in self.folders:
            shares, weight = max(2, int(share * _SHARES_PER_CPU)), int(share * _WEIGHT_PER_CPU)
            _write(self.folders["cpu"] / "cpu.shares", str(shares))
            _write(self.folders["cpu"] / "cpu.weight", str(min(max(1, weight), _MAX_WEIGHT)))
        if "pids" in self.folders:
            _write(self.folders["pids"] / "pids.max", str(processes))

    def processes(self) -> tuple[int, ...]:
        """Pids of everything inside."""
        found: dict[int, None] = {}
        for entrance in self.entrances:
            found.update((int(pid), None) for pid in _read(entrance).split())
        return tuple(found)

    @property
    def limits_memory(self) -> bool:
        """Whether the kernel holds the memory limit."""
        return "memory" in self.folders

    @property
    def can_freeze(self) -> bool:
        """Whether `freeze` works here."""
        return "freezer" in self.folders

    def freeze(self, *, frozen: bool) -> None:
        """Pause or resume everything inside."""
        folder = self.folders["freezer"]
        if self.version == 1:
            (folder / "freezer.state").write_text("FROZEN" if frozen else "THAWED")
        else:
            (folder / "cgroup.freeze").write_text("1" if frozen else "0")

    def kill(self) -> None:
        """SIGKILL everything inside; thaws a version 1 group, where frozen processes cannot die."""
        folder = next(iter(self.folders.values()), None)
        if folder is None or (self.version == _UNIFIED and _write(folder / "cgroup.kill", "1")):
            return
        process_table.send(self.processes(), signal.SIGKILL)
        if self.can_freeze:
            _write(self.folders["freezer"] / "freezer.state", "THAWED")

    def peak_bytes(self) -> int:
        """The most memory used so far; 0 if unknown."""
        folder = self.folders.get("memory")
        if folder is None:
            return _UNKNOWN
        names = (
            ("memory.max_usage_in_bytes",)
            if self.version == 1
            else ("memory.peak", "memory.current")
        )
        return next((size for name in names if (size := _number(_read(folder / name)))), _UNKNOWN)

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something inside for the memory limit."""
        folder = self.folders.get("memory")
        if folder is None:
            return False
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        return _count(_read(folder / name), "oom_kill") > 0

    def remove(self) -> bool:
        """Remove the groups; False while a process is still inside."""
        gone = True
        for folder in dict.fromkeys(self.folders.values()):
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                gone = False
        return gone


@dataclass(frozen=True, slots=True)
class Cgroups:
    """Makes groups. `bases` is empty where nothing is writable; `reason` says what was chosen."""

    version: int
    bases: Mapping[str, Path]
    reason: str

    def create(self, environment_id: str) -> Group:
        """Make the groups of one environment. Raises OSError, leaving nothing behind."""
        group = Group(
            self.version, {name: base / environment_id for name, base in self.bases.items()}
        )
        try:
            for folder in dict.fromkeys(group.folders.values()):
                if not folder.parent.exists():
                    self._remake(folder.parent)
                folder.mkdir()
        except OSError:
            group.remove()
            raise
        return group

    def _remake(self, base: Path) -> None:
        """Another server, which shared our parent group, has removed it at its end."""
        base.mkdir(exist_ok=True)
        if self.version == _UNIFIED:
            enabled = [name for name in self.bases if name != "freezer"]
            (base / "cgroup.subtree_control").write_text(" ".join(f"+{n}" for n in enabled))

    def close(self) -> None:
        """Remove our parent groups unless another server uses them."""
        for base in dict.fromkeys(self.bases.values()):
            try:
                base.rmdir()
            except OSError:
                continue


def discover(proc: Path = Path("/proc/self")) -> Cgroups:
    """Choose what is writable here: version 1's memory controller, else version 2, else nothing."""
    own = _own_folders(proc)
    unified = own.pop("", None)
    if "memory" in own and (bases := _writable(own)).get("memory"):
        missing = [name for name in _CONTROLLERS if name not in bases]
        lack = f", without {', '.join(missing)}" if missing else ""
        return Cgroups(1, bases, f"control groups version 1{lack}")
    if unified is None:
        return Cgroups(0, {}, "no control group is writable here")
    return _delegated(unified)


def _own_folders(proc: Path) -> dict[str, Path]:
    """The server's own group in each tree: controller -> folder, "" for the unified one."""
    paths: dict[str, str] = {}
    for line in _read(proc / "cgroup").splitlines():
        _, names, path = line.split(":", 2)
        paths.update((name, path) for name in names.split(","))
    folders: dict[str, Path] = {}
    for line in _read(proc / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split()[3:5]
        kind, _, options = after.split(" ", 2)
        controllers = [""] if kind == "cgroup2" else options.split(",") if kind == "cgroup" else []
        for name in controllers:
            if name in paths and (name in _CONTROLLERS or not name):
                inner = os.path.relpath(paths[name], root)
                # Outside of what is mounted here: a container that sees only its own group.
                folders[name] = Path(point) if inner.startswith("..") else Path(point, inner)
    return folders


def _writable(own: Mapping[str, Path]) -> dict[str, Path]:
    bases: dict[str, Path] = {}
    for name in _CONTROLLERS:
        if name not in own:
            continue
        base = own[name] / _BASE
        try:
            base.mkdir(exist_ok=True)
        except OSError:
            continue
        if os.access(base, os.W_OK):
            bases[name] = base
    return bases


def _delegated(own: Path) -> Cgroups:
    available = _read(own / "cgroup.controllers").split()
    wanted = [name for name in ("memory", "cpu", "pids") if name in available]
    if "memory" not in wanted or not os.access(own, os.W_OK):
        return Cgroups(0, {}, f"control group {own} is not delegated to this user with `memory`")
    enable = " ".join(f"+{name}" for name in wanted)
    base = own / _BASE
    try:
        if not _write(own / "cgroup.subtree_control", enable):
            _move_to_leaf(own)
            (own / "cgroup.subtree_control").write_text(enable)
        base.mkdir(exist_ok=True)
        (base / "cgroup.subtree_control").write_text(enable)
    except OSError as error:
        return Cgroups(0, {}, f"control group {own} cannot be divided: {error}")
    return Cgroups(_UNIFIED, dict.fromkeys([*wanted, "freezer"], base), "control groups version 2")


def _move_to_leaf(own: Path) -> None:
    inside = {int(pid) for pid in _read(own / "cgroup.procs").split()}
    if inside != {os.getpid()}:
        raise OSError(
            "the server shares it with other processes; start the server in a group of its own"
            " (for example `systemd-run --user --scope -p Delegate=yes`)"
        )
    leaf = own / _LEAF
    leaf.mkdir(exist_ok=True)
    (leaf / "cgroup.procs").write_text(str(os.getpid()))

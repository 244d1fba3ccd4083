"""The command lines of sandboxed processes: pure, so that isolation can be read in one place.

A command is a chain in which each program does one thing and becomes the next:

    bwrap     own mounts, process, IPC and host name spaces; options through a pipe, not in `ps`
    prlimit   open files, processes, core dumps
    setpriv   (server runs as root) another user, no groups, no capabilities
    env       the variables that would change the programs above
    bootstrap the runtime

The network is shared with the host: functions need the runtime API and the internet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambda_home.sandboxes.base import Prepared, SandboxSpec
from lambda_home.sandboxes.interpreters import Interpreter

OPEN_FILES = 1024
PROCESSES = 1024
TASK_ROOT, RUNTIME_DIR, _OPT = "/var/task", "/var/runtime", "/opt"

SITE_PACKAGES = "SITE_PACKAGES"
"""Among a plain process's own things: where below /opt its Python looks for a layer's packages."""

OPT_HERE = "_LAMBDA_HOME_OPT"
"""Tells bootstraps where the layers of a plain process are."""

_LEADING_TO_LAYERS = (
    "PATH",
    "LD_LIBRARY_PATH",
    "NODE_PATH",
    "PYTHONPATH",
    "GEM_PATH",
    "RUBYLIB",
    "AWS_LAMBDA_EXEC_WRAPPER",
)

# Variables that the loader and the C library heed in any program. They are the function's, and must
# not reach the programs that still have privileges.
_LOADER_PREFIXES = (
    "LD_",
    "GCONV_",
    "GLIBC_",
    "MALLOC_",
    "LOCPATH",
    "NLSPATH",
    "RES_",
    "HOSTALIASES",
)

HOST_FILES = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
)
_JOIN = (
    'set -e; n=$1; shift; while [ "$n" -gt 0 ]; do echo 0 >"$1"; shift; n=$((n-1)); done; exec "$@"'
)
_MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the programs of the chain are; None for one that is not there."""

    bwrap: str | None
    setpriv: str | None
    prlimit: str | None
    env: str


@dataclass(frozen=True, slots=True)
class Files:
    """File descriptors that bwrap reads small files from."""

    hosts: int
    passwd: int
    group: int


def hosts_file(host: str, own: str) -> str:
    """`/etc/hosts` with the environment's own name for the runtime API, and its `own` address."""
    names = f"127.0.0.1 localhost\n::1 localhost\n127.0.0.1 {host}\n"
    return f"{names}{own} sandbox.localdomain sandbox\n"


def passwd_file(uid: int) -> str:
    """`/etc/passwd` with nobody but the function's user, named as on AWS."""
    return f"sbx_user1051:x:{uid}:{uid}::/tmp:/usr/sbin/nologin\n"


def group_file(uid: int) -> str:
    """`/etc/group` to go with it."""
    return f"sbx_user1051:x:{uid}:\n"


def isolation(
    spec: SandboxSpec,
    interpreter: Interpreter,
    runtime_files: Mapping[str, Path],
    uid: int,
    files: Files,
    *,
    as_root: bool,
) -> list[str]:
    """Options of bwrap. `runtime_files` are the entries of /var/runtime by name."""
    options = [*namespaces(uid, as_root=as_root), *system()]
    # Folders that are made on the way to a mount would be for root alone.
    options += ["--perms", "0755", "--dir", "/etc"]
    for path_name in HOST_FILES:
        options += ["--ro-bind-try", path_name, path_name]
    for descriptor, name in (
        (files.hosts, "hosts"),
        (files.passwd, "passwd"),
        (files.group, "group"),
    ):
        options += ["--perms", "0444", "--ro-bind-data", str(descriptor), f"/etc/{name}"]
    options += ["--proc", "/proc", "--dev", "/dev"]
    options += ["--ro-bind", spec.opt, _OPT] if spec.opt else ["--perms", "0755", "--dir", _OPT]
    options += ["--perms", "1777", "--size", str(spec.tmp_mb << 20), "--tmpfs", "/tmp"]  # noqa: S108
    options += ["--perms", "0755", "--dir", "/var", "--ro-bind", spec.code, TASK_ROOT]
    options += ["--perms", "0755", "--dir", RUNTIME_DIR]
    for name, source in runtime_files.items():
        options += ["--ro-bind", str(source), f"{RUNTIME_DIR}/{name}"]
    options += _interpreter(interpreter)
    return [*options, "--remount-ro", "/", "--chdir", TASK_ROOT]


def trial(tools: Tools, uid: int, *, as_root: bool) -> list[str]:
    """A command that fails where `isolation` would: an old bwrap, no right to namespaces.

    It shows what `isolation` shows and not the whole of "/": that would take every mount of the
    machine along, and fail when one of them goes meanwhile, as a container's does.
    """
    options = [*namespaces(uid, as_root=as_root), *system(), "--proc", "/proc", "--dev", "/dev"]
    options += ["--perms", "1777", "--size", "1048576", "--tmpfs", "/tmp"]  # noqa: S108
    command, _ = chain(tools, {}, ["true"], uid=uid if as_root else None, limit_processes=True)
    return [str(tools.bwrap), *options, "--remount-ro", "/", "--", *command]


def namespaces(uid: int, *, as_root: bool) -> list[str]:
    """What an environment has of its own.

    As root there is no user namespace: one made by root would map the inner user to the host's
    root.
    """
    options = ["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"]
    if as_root:
        for capability in ("SETUID", "SETGID", "SETPCAP"):
            options += ["--cap-add", f"CAP_{capability}"]
    else:
        options += ["--unshare-user", "--uid", str(uid), "--gid", str(uid), "--disable-userns"]
    options += ["--die-with-parent", "--new-session", "--hostname", "sandbox"]
    return options


def system() -> list[str]:
    """The machine's programs and libraries, as they are."""
    options = ["--ro-bind", "/usr", "/usr"]
    for name in _MERGED:
        path = Path("/", name)
        if path.is_symlink():
            options += ["--symlink", f"usr/{name}", f"/{name}"]
        elif path.exists():
            options += ["--ro-bind", f"/{name}", f"/{name}"]
    return options


def _interpreter(interpreter: Interpreter) -> list[str]:
    """Show the interpreter as /var/lang, where AWS has it."""
    shown = interpreter.also
    if interpreter.fixed and not interpreter.in_system:
        shown = (interpreter.prefix, *shown)
    options = [word for folder in shown for word in ("--ro-bind", str(folder), str(folder))]
    if interpreter.has_own_folder:
        return [*options, "--ro-bind", str(interpreter.prefix), "/var/lang"]
    for folder in ("/var/lang", "/var/lang/bin"):
        options += ["--perms", "0755", "--dir", folder]
    if interpreter.program:
        link = f"/var/lang/bin/{interpreter.program}"
        options += ["--symlink", str(interpreter.path), link]
    return options


def chain(
    tools: Tools,
    variables: Mapping[str, str],
    command: list[str],
    *,
    uid: int | None,
    limit_processes: bool,
    die_with_parent: bool = False,
) -> tuple[list[str], dict[str, str]]:
    """What runs inside: the command, and the variables to start it with. `uid` None: as it is."""
    words: list[str] = []
    if tools.prlimit:
        words += [tools.prlimit, f"--nofile={OPEN_FILES}:{OPEN_FILES}", "--core=0"]
        words += [f"--nproc={PROCESSES}:{PROCESSES}"] if limit_processes else []
    if tools.setpriv:
        words += [tools.setpriv, "--no-new-privs"]
        words += ["--pdeathsig", "KILL"] if die_with_parent else []
    if tools.setpriv and uid is not None:
        words += ["--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
        words += ["--bounding-set=-all", "--inh-caps=-all"]
    late = {n: v for n, v in variables.items() if n.startswith(_LOADER_PREFIXES)}
    early = {n: v for n, v in variables.items() if n not in late}
    if late:
        words += [tools.env, *(f"{name}={value}" for name, value in late.items())]
    return [*words, *command], early


def seen_plain(
    environment: Mapping[str, str], own: Mapping[str, str], package: Prepared
) -> dict[str, str]:
    """Variables for a process that sees the machine's files: where its `own` things are.

    What leads to /opt leads to where the layers are instead.
    """
    first = {name: own[name] for name in ("TMPDIR", "PYTHONPATH") if own[name]}
    if package.opt and "PYTHONPATH" in first:
        layers = f"{_OPT}/{own[SITE_PACKAGES]}:{_OPT}/python"
        first["PYTHONPATH"] = f"{layers}:{first['PYTHONPATH']}"
    seen = {**first, **environment}
    if package.opt:
        for name in _LEADING_TO_LAYERS:
            if name in seen:
                seen[name] = ":".join(_moved(path, package.opt) for path in seen[name].split(":"))
    path = f"{own['PATH']}:{seen.get('PATH', '')}"
    places = {"PATH": path, "LAMBDA_RUNTIME_DIR": own["LAMBDA_RUNTIME_DIR"]}
    if package.opt:
        places[OPT_HERE] = package.opt
    return {**seen, **places, "LAMBDA_TASK_ROOT": package.code}


def _moved(path: str, opt: str) -> str:
    return opt + path.removeprefix(_OPT) if f"{path}/".startswith(f"{_OPT}/") else path


def joining(entrances: Sequence[Path], command: Sequence[str]) -> list[str]:
    """`command`, entering control groups first: whoever enters later has escaped them until then.

    Fails, with a line on standard error, where an entrance is closed.
    """
    if not entrances:
        return list(command)
    return ["/bin/sh", "-c", _JOIN, "sh", str(len(entrances)), *map(str, entrances), *command]

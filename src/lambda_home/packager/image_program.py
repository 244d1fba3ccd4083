"""What runs in a container image, and whether it can: its names, its program, its variables (pure).

ImageConfig overrides what the image says of itself, each of its three members for itself. Sources:
"Create a Lambda function using a container image" of the Developer Guide; errors as people have
reported them from AWS, where Go's os/exec starts the program.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from lambda_home.packager.entrypoint import Machine, foreign
from lambda_home.sandboxes.base import ImageCode, Program

USER_ID = 1000
"""The user, and the group, that programs of images are run as."""

MACHINES: Mapping[str, str] = {"amd64": "x86_64", "arm64": "aarch64", "386": "x86_64"}
"""What runs an image of an architecture as Docker names it, by `uname -m`."""

SHELL = "/bin/sh"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # Docker's
_OF_LAMBDA: Mapping[str, str] = {"x86_64": "amd64", "arm64": "arm64"}
_DIGEST = re.compile(r"@sha256:([0-9a-f]{64})$")
_NAME = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9])[A-Za-z0-9._/:@-]*")
_ELF, _SCRIPT = b"\x7fELF", b"#!"
_NO_ENTRY = "no such file or directory"
_DENIED = "permission denied"
_BAD_FORMAT = "exec format error"


@dataclass(frozen=True, slots=True)
class Found:
    """A file or folder of an image: who may run it, and what it begins with."""

    mode: int
    owner: int = 0
    group: int = 0
    is_folder: bool = False
    head: bytes = b""

    @property
    def runs(self) -> bool:
        """Whether the user of functions may run it, or enter it."""
        shift = 6 if self.owner == USER_ID else 3 if self.group == USER_ID else 0
        return bool(self.mode >> shift & 0o1)


Look = Callable[[str], Found | None]
"""What is at an absolute path of the image, links followed; None: nothing."""


# ------------------------------------------------------------------------------------------- names


def repository_of(uri: str) -> str:
    """`host:5000/a/b` of `host:5000/a/b:tag` and `host:5000/a/b@sha256:...`."""
    named = uri.partition("@")[0]
    path, slash, last = named.rpartition("/")
    return f"{path}{slash}{last.partition(':')[0]}"


def digest_in(uri: str) -> str | None:
    """The digest that a name ends with, as hex digits."""
    found = _DIGEST.search(uri)
    return found[1] if found else None


def digest_of(image: Mapping[str, Any], uri: str) -> str:
    """The digest of an image that the daemon has: that of its repository, else its own id."""
    wanted = _familiar(repository_of(uri))
    for name in image.get("RepoDigests") or ():
        digest = digest_in(name)
        if digest is not None and _familiar(repository_of(name)) == wanted:
            return digest
    return str(image["Id"]).removeprefix("sha256:")


def is_name(uri: str) -> bool:
    """Whether it could name an image: it becomes a part of paths of the daemon's API."""
    return bool(_NAME.fullmatch(uri)) and not {"", ".", ".."} & set(uri.split("/"))


def may_be_asked(uri: str) -> bool:
    """Whether the daemon may ask the registry of that name: not at an address of this link.

    The metadata services of cloud machines are there, and nobody's registry.
    """
    host = repository_of(uri).partition("/")[0]
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return not ip_address(name).is_link_local
    except ValueError:
        return True


def _familiar(repository: str) -> str:
    """Docker's short name of a repository of Docker Hub."""
    return repository.removeprefix("docker.io/").removeprefix("library/")


def platform_of(architecture: str) -> str:
    """`linux/amd64` of `x86_64`, to pull with."""
    return f"linux/{_OF_LAMBDA.get(architecture, architecture)}"


def made_for(image: Mapping[str, Any]) -> str:
    """What runs the image, as `uname -m` names it; empty if it does not say."""
    said = str(image.get("Architecture") or "")
    return MACHINES.get(said, said)


# ----------------------------------------------------------------------------------------- program


def program_of(config: Mapping[str, Any], code: ImageCode, *, has_shell: bool) -> Program:
    """What is run: what the image says (its `Config`), but for what ImageConfig says."""
    entry_point = code.entry_point or tuple(config.get("Entrypoint") or ())
    command = code.command or tuple(config.get("Cmd") or ())
    working_directory = code.working_directory or str(config.get("WorkingDir") or "") or "/"
    variables = (pair.partition("=") for pair in config.get("Env") or ())
    return Program(
        entry_point=entry_point,
        command=command,
        working_directory=working_directory,
        variables=tuple((name, value) for name, _, value in variables),
        has_shell=has_shell,
    )


def launch_error(program: Program, error: str) -> str:
    """The line of the log that says what could not be started, in AWS's words."""
    entry_point, command = ",".join(program.entry_point), ",".join(program.command)
    return (
        f"IMAGE\tLaunch error: {error}\tEntrypoint: [{entry_point}]\tCmd: [{command}]"
        f"\tWorkingDir: [{program.working_directory}]"
    )


def judge_program(program: Program, search_path: str, look: Look, machine: Machine) -> str:
    """Why a program cannot be started, in AWS's words; empty if nothing speaks against it.

    `search_path` is the function's own PATH, empty if it has none.
    """
    argv = program.argv
    if not argv or not argv[0]:
        return "Couldn't find valid bootstrap(s): []"
    folder = program.working_directory
    if not posixpath.isabs(folder):
        return f"the working directory '{folder}' is invalid, it needs to be an absolute path"
    there = look(folder)
    if there is not None and not there.is_folder:
        return f"chdir {folder}: not a directory"
    name = argv[0]
    if "/" not in name:
        path = search_path or dict(program.variables).get("PATH") or _DEFAULT_PATH
        found = _searched(name, path.split(":"), folder, look)
        if found is None:
            return f"Couldn't find valid bootstrap(s): [{name}]"
    else:
        found = posixpath.normpath(posixpath.join(folder, name))
    why = _why_not(look(found), look, machine)
    return f"fork/exec {name if '/' in name else found}: {why}" if why else ""


def has_shell(look: Look) -> bool:
    """Whether the image has a shell that the user of functions may run."""
    shell = look(SHELL)
    return shell is not None and not shell.is_folder and shell.runs


def _searched(name: str, folders: Sequence[str], working: str, look: Look) -> str | None:
    for folder in folders:
        path = posixpath.normpath(posixpath.join(working, folder, name))
        found = look(path)
        if found is not None and not found.is_folder and found.runs:
            return path
    return None


def _why_not(found: Found | None, look: Look, machine: Machine) -> str:
    if found is None:
        return _NO_ENTRY
    if found.is_folder or not found.runs:
        return _DENIED
    if found.head.startswith(_SCRIPT):
        line = found.head.partition(b"\n")[0][len(_SCRIPT) :].replace(b"\t", b" ").strip(b" ")
        interpreter = line.partition(b" ")[0].decode(errors="replace")
        return "" if interpreter and look(interpreter) is not None else _NO_ENTRY
    if not found.head.startswith(_ELF) or foreign(found.head, machine):
        return _BAD_FORMAT
    return ""

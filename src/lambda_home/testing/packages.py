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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from lambda_home.commands import packaging
from lambda_home.commands.detection import Files, entry_of
from lambda_home.commands.failures import WrongUse

Code = Callable[..., Any] | str | bytes | Path | Mapping[str, str | bytes]

_SUFFIXES = (".py", ".js", ".mjs", ".cjs", ".zip")
_PATH = re.compile(r"[\w./~-]+")
_NODE = re.compile(r"^(?:export\b|(?:module\.)?exports\b)", re.MULTILINE)
_PLAIN = (str, bytes, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Package:
    """A ZIP file, its runtime, and the handler in it; "" if that cannot be told."""

    content: bytes
    runtime: str
    handler: str


def package(code: Code, runtime: str = "") -> Package:
    """Make a package of what was given; without a runtime it is found, as `deploy` finds it.

    Raises ValueError, with a line that says what to do, for a handler that leans on its module
    and for what makes no package, and FileNotFoundError for a path that is not there.
    """
    if isinstance(code, str):
        if not _is_path(code):
            code = {_entry_name(code, runtime): textwrap.dedent(code)}
        else:
            code = Path(code)
    if isinstance(code, Path):
        return _of_path(code, runtime)
    if isinstance(code, Mapping):
        return _of_files(code, runtime)
    if isinstance(code, bytes):
        return _of_zip(code, runtime)
    content = _zip({"lambda_function.py": _source_of(code)})
    return Package(content, runtime or this_runtime(), f"lambda_function.{code.__name__}")


def this_runtime() -> str:
    """The runtime of the Python that runs the tests."""
    return f"python{sys.version_info.major}.{sys.version_info.minor}"


def _is_path(text: str) -> bool:
    """Whether a text is a path, also of what is not there: no code is a single word."""
    if "\n" in text:
        return False
    try:
        return Path(text).exists() or text.endswith(_SUFFIXES) or bool(_PATH.fullmatch(text))
    except OSError:  # longer than a name can be
        return False


def _entry_name(source: str, runtime: str) -> str:
    text = textwrap.dedent(source)
    is_node = runtime.startswith("nodejs") or (not runtime and _NODE.search(text))
    if not is_node:
        return "lambda_function.py"
    is_module = re.search(r"^(?:export|import)\b", text, re.MULTILINE)
    return "index.mjs" if is_module else "index.js"


def _of_files(files: Mapping[str, str | bytes], runtime: str) -> Package:
    def read(name: str) -> str:
        content = files[name]
        return content if isinstance(content, str) else content.decode(errors="replace")

    return _found(_zip(files), Files(files.keys(), files.keys(), read), runtime)


def _of_path(path: Path, runtime: str) -> Package:
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}: give the function's file, folder or .zip.")
    try:
        made = packaging.package_of(path)
    except WrongUse as error:
        raise ValueError(str(error)) from error
    return _found(made.content, Files(made.names, made.executables, made.text), runtime)


def _of_zip(content: bytes, runtime: str) -> Package:
    """Of a ZIP as it is: the server says what is wrong with it."""
    try:
        made = packaging.in_zip(content, "the ZIP")
    except WrongUse:
        return Package(content, runtime or this_runtime(), "")
    return _found(content, Files(made.names, made.executables, made.text), runtime)


def _found(content: bytes, files: Files, runtime: str) -> Package:
    try:
        entry = entry_of(files, runtime or None, None, this_runtime())
    except WrongUse:  # the test may say so itself
        return Package(content, runtime or this_runtime(), "")
    return Package(content, entry.runtime, entry.handler)


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

"""What runs in a deployment package: its runtime and its handler, told from its files; pure."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from lambda_home.commands.failures import WrongUse

PYTHON_FILES = ("lambda_function.py", "app.py", "main.py", "handler.py", "index.py")
NODE_FILES = tuple(
    f"{stem}{suffix}"
    for stem in ("index", "app", "main", "handler")
    for suffix in (".mjs", ".js", ".cjs")
)
PYTHON_RUNTIMES = tuple(f"python3.{minor}" for minor in range(9, 15))
NODE_RUNTIMES = tuple(f"nodejs{major}.x" for major in (18, 20, 22, 24))
DEFAULT_PYTHON = "python3.13"
DEFAULT_NODE = "nodejs22.x"
OWN_RUNTIME = "provided.al2023"
_HANDLERS = ("lambda_handler", "handler")
_ON_AWS = frozenset({"boto3", "botocore"})  # runtimes bring them
_NODE_SUFFIXES = (".js", ".mjs", ".cjs")


@dataclass(frozen=True, slots=True)
class Files:
    """What is known of a package. `read` gives a file as text."""

    names: AbstractSet[str]
    executables: AbstractSet[str]
    read: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a function is started with; `is_guess` where nobody told the runtime's version."""

    runtime: str
    handler: str
    is_guess: bool = False


def entry_of(
    files: Files, runtime: str | None, handler: str | None, this_python: str = DEFAULT_PYTHON
) -> Entry:
    """Runtime and handler; those that are given are kept. Raises WrongUse.

    `this_python` is the Python that a function gets whose folder says nothing about it.
    """
    if runtime and handler:
        return Entry(runtime, handler)
    family = family_of(runtime) if runtime else _found_family(files, handler)
    if family == "python":
        told = runtime or _python_told(files)
        usual = this_python if this_python in PYTHON_RUNTIMES else DEFAULT_PYTHON
        return Entry(told or usual, handler or _python_handler(files), told is None)
    if family == "nodejs":
        told = runtime or _node_told(files)
        return Entry(told or DEFAULT_NODE, handler or _node_handler(files), told is None)
    if family == "provided":
        _check_bootstrap(files)
        return Entry(runtime or OWN_RUNTIME, handler or "bootstrap")
    raise WrongUse(f"Give --handler: only for Python and Node.js it is found, not for {runtime}.")


def check_handler(files: Files, entry: Entry) -> None:
    """Raise WrongUse for a handler that the package cannot have."""
    family = family_of(entry.runtime)
    if family == "python":
        module, _, name = entry.handler.rpartition(".")
        found = _python_file(files, module)
        if not module or found is None:
            raise _no_file(entry, f"{module.replace('.', '/') or entry.handler}.py")
        names = _names_in(files.read(found))
        if names is not None and name not in names and "*" not in names:
            raise WrongUse(f"{found} has no {name}: correct --handler {entry.handler}.")
    elif family == "nodejs":
        stem, found = _node_file(files, entry.handler)
        if found is None:
            raise _no_file(entry, f"{stem}.js")
    elif family == "provided":
        _check_bootstrap(files)


def advice_of(files: Files) -> str | None:
    """What somebody may have forgotten to put beside a function; None for nothing."""
    if "requirements.txt" in files.names and not any(".dist-info/" in name for name in files.names):
        wanted = re.findall(r"^\s*([\w.-]+)", files.read("requirements.txt"), re.MULTILINE)
        if {name.lower() for name in wanted} - _ON_AWS:
            return "requirements.txt is not installed: pip install -r requirements.txt -t FOLDER."
    has_modules = any(name.startswith("node_modules/") for name in files.names)
    if _manifest(files).get("dependencies") and not has_modules:
        return "The dependencies of package.json are not installed: npm install --omit=dev."
    return None


def _no_file(entry: Entry, name: str) -> WrongUse:
    return WrongUse(
        f"The package has no {name} for the handler {entry.handler}: correct --handler (it is"
        " FILE.FUNCTION)."
    )


def family_of(runtime: str) -> str:
    """The language of a runtime: python of python3.12."""
    found = re.match(r"[a-z]+", runtime)
    return found[0] if found else runtime


def _found_family(files: Files, handler: str | None) -> str:
    """The one family of runtimes that a package is for."""
    if "bootstrap" in files.names:
        return "provided"
    families = set(_families(files, handler))
    if len(families) == 1:
        return families.pop()
    if families:
        raise WrongUse("The package has a Python and a Node.js function: give --runtime.")
    if handler:
        raise WrongUse(f"The package has no file for the handler {handler}: give --runtime, too.")
    raise WrongUse(
        f"Cannot tell what to run: there is no {', '.join(PYTHON_FILES[:-1])}, index.js, index.mjs,"
        ' package.json with "main", or bootstrap. Give --runtime and --handler.'
    )


def _families(files: Files, handler: str | None) -> Iterator[str]:
    if handler:
        if _python_file(files, handler.rpartition(".")[0]) is not None:
            yield "python"
        if _node_file(files, handler)[1] is not None:
            yield "nodejs"
    else:
        if _python_main(files) is not None:
            yield "python"
        if _node_main(files) is not None:
            yield "nodejs"


def _check_bootstrap(files: Files) -> None:
    if "bootstrap" in files.names and "bootstrap" not in files.executables:
        raise WrongUse("bootstrap is not executable: chmod +x bootstrap.")


def _python_file(files: Files, module: str) -> str | None:
    stem = module.replace(".", "/")
    candidates = (f"{stem}.py", f"{stem}/__init__.py")
    return next((name for name in candidates if name in files.names), None)


def _python_main(files: Files) -> str | None:
    """The file that a Python function stands in: of a usual name, or the only one."""
    usual = next((name for name in PYTHON_FILES if name in files.names), None)
    own = [name for name in files.names if name.endswith(".py") and "/" not in name]
    return usual or (own[0] if len(own) == 1 else None)


def _python_handler(files: Files) -> str:
    name = _python_main(files)
    if name is None:
        raise WrongUse(f"There is no {', '.join(PYTHON_FILES[:-1])}: give --handler FILE.FUNCTION.")
    source = files.read(name)
    names = _names_in(source)
    if names is None:
        raise WrongUse(f"{name} cannot be read as Python here: correct it, or give --handler.")
    found = next((handler for handler in _HANDLERS if handler in names), None)
    functions = _functions_in(source)
    if found is None and len(functions) == 1:
        found = functions[0]
    if found is None:
        raise WrongUse(
            f"Cannot tell which function of {name} is the handler: name it lambda_handler or"
            " handler, or give --handler."
        )
    return f"{name.removesuffix('.py')}.{found}"


def _names_in(source: str) -> set[str] | None:
    """Names that a module binds, `*` for those of others; None for what is not Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
    return names | {"*"} if {"__getattr__", "globals"} & names else names


def _functions_in(source: str) -> list[str]:
    return [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_"
    ]


def _python_told(files: Files) -> str | None:
    """The runtime that the files ask for; None where they do not, or where there is none."""
    if ".python-version" not in files.names:
        return None
    found = re.match(r"\s*(3\.\d+)", files.read(".python-version"))
    runtime = f"python{found[1]}" if found else ""
    return runtime if runtime in PYTHON_RUNTIMES else None


def _manifest(files: Files) -> dict[str, object]:
    if "package.json" not in files.names:
        return {}
    try:
        document = json.loads(files.read("package.json"))
    except ValueError as error:
        raise WrongUse(f"package.json is not JSON: {error}.") from None
    return document if isinstance(document, dict) else {}


def _node_main(files: Files) -> str | None:
    main = _manifest(files).get("main")
    if isinstance(main, str):
        stem = main.removeprefix("./").rstrip("/")
        for name in (stem, *(f"{stem}{end}" for end in _NODE_SUFFIXES), f"{stem}/index.js"):
            if name in files.names and name.endswith(_NODE_SUFFIXES):
                return name
    usual = next((name for name in NODE_FILES if name in files.names), None)
    own = [name for name in files.names if name.endswith(_NODE_SUFFIXES) and "/" not in name]
    return usual or (own[0] if len(own) == 1 else None)


def _node_file(files: Files, handler: str) -> tuple[str, str | None]:
    """The file of `folder/file.function`, without and with its suffix."""
    folder, _, last = handler.rpartition("/")
    stem = f"{folder}/{last.split('.')[0]}".lstrip("/")
    found = next((stem + end for end in _NODE_SUFFIXES if stem + end in files.names), None)
    return stem, found


_EXPORTS = (
    re.compile(r"\bexports\.(\w+)\s*="),
    re.compile(r"^\s*export\s+(?:async\s+)?function\s*\*?\s*(\w+)", re.MULTILINE),
    re.compile(r"^\s*export\s+(?:const|let|var)\s+(\w+)", re.MULTILINE),
)
_EXPORT_LISTS = (
    re.compile(r"\bexport\s*\{([^}]*)\}"),
    re.compile(r"\bmodule\.exports\s*=\s*\{([^}]*)\}"),
)
_OTHER_EXPORTS = re.compile(r"\bmodule\.exports\s*=\s*(?!\{)|\bexport\s*\*|\b__export\w*\(")


def _node_handler(files: Files) -> str:
    name = _node_main(files)
    if name is None:
        raise WrongUse(
            'There is no index.js, index.mjs or package.json with "main": give --handler'
            " FILE.FUNCTION."
        )
    source = files.read(name)
    names = {found for pattern in _EXPORTS for found in pattern.findall(source)}
    for pattern in _EXPORT_LISTS:
        for members in pattern.findall(source):
            names.update(_exported(members))
    if "handler" in names or (not names and _OTHER_EXPORTS.search(source)):
        return f"{name.rpartition('.')[0]}.handler"
    if len(names) == 1:
        return f"{name.rpartition('.')[0]}.{names.pop()}"
    raise WrongUse(
        f"Cannot tell which export of {name} is the handler: name it handler, or give --handler."
    )


def _exported(members: str) -> Iterator[str]:
    for member in members.split(","):
        words = re.findall(r"\w+", member.split(":")[0])
        if words:
            yield words[-1] if "as" in words[:-1] else words[0]


def _node_told(files: Files) -> str | None:
    """As `_python_told`."""
    engines = _manifest(files).get("engines")
    wanted = str(engines.get("node", "")) if isinstance(engines, dict) else ""
    if ".nvmrc" in files.names:
        wanted = files.read(".nvmrc")
    found = re.search(r"\d+", wanted)
    runtime = f"nodejs{found[0]}.x" if found else ""
    return runtime if runtime in NODE_RUNTIMES else None

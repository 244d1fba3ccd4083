"""What tests give as functions, as deployment packages."""

from __future__ import annotations

import io
import json as renamed
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lambda_home.testing.packages import Code, Package, package, this_runtime

LIMIT = 3
PYTHON = "def lambda_handler(event, context):\n    return 1\n"
NODE_MODULE = "export const handler = async (event) => event;\n"
NODE_COMMON = "exports.handler = async (event) => event;\n"


def names(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.namelist()


def whole(event: Any, *_: Any) -> Any:
    def inner() -> str:
        return renamed.dumps([LIMIT, event])

    return inner()


def leaning(event: Any, *_: Any) -> Any:
    return OrderedDict(event)


@pytest.mark.parametrize(
    ("code", "runtime", "files", "handler"),
    [
        (PYTHON, "python3.12", ["lambda_function.py"], "lambda_function.lambda_handler"),
        ("    def handler(e, c):\n        pass\n", "python3.12", None, "lambda_function.handler"),
        (NODE_MODULE, "nodejs22.x", ["index.mjs"], "index.handler"),
        (NODE_COMMON, "nodejs22.x", ["index.js"], "index.handler"),
        ({"app.py": "", "other.py": b""}, "python3.12", ["app.py", "other.py"], ""),
        ({"app.py": PYTHON, "x.py": ""}, "python3.12", None, "app.lambda_handler"),
        (NODE_COMMON, "", ["index.js"], "index.handler"),
        ({"index.mjs": NODE_MODULE}, "", ["index.mjs"], "index.handler"),
        ({"index.mjs": NODE_MODULE}, "nodejs22.x", ["index.mjs"], "index.handler"),
        (whole, "python3.12", ["lambda_function.py"], "lambda_function.whole"),
    ],
)
def test_what_is_packed_and_called(
    code: Code, runtime: str, files: list[str] | None, handler: str
) -> None:
    made = package(code, runtime)
    assert names(made.content) == files or files is None
    assert made.handler == handler
    assert made.runtime == (runtime or "nodejs22.x")


def test_a_function_brings_the_modules_and_constants_that_it_names() -> None:
    made = package(whole, this_runtime())
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        source = archive.read("lambda_function.py")
    module: dict[str, Any] = {}
    exec(compile(source, "lambda_function.py", "exec"), module)
    assert module["whole"]("x", None) == '[3, "x"]'


def around(value: int) -> Callable[..., Any]:
    def inside(*_: Any) -> int:
        return value

    return inside


@pytest.mark.parametrize(
    ("handler", "why"),
    [
        (leaning, "leaning uses OrderedDict of its module.*import it inside leaning"),
        (around(1), "inside uses value of the function around it"),
        (lambda event, _: event, "made by def"),
        (print, "made by def"),
    ],
)
def test_a_function_that_cannot_go_alone_is_refused(handler: Code, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        package(handler, "python3.12")


def test_files_folders_and_archives(tmp_path: Path) -> None:
    (tmp_path / "pkg" / "__pycache__").mkdir(parents=True)
    (tmp_path / "pkg" / "__pycache__" / "x.pyc").touch()
    (tmp_path / "pkg" / "part.py").touch()
    single = tmp_path / "lambda_function.py"
    single.write_text(PYTHON)
    folder = package(tmp_path, "python3.12")
    assert names(folder.content) == ["lambda_function.py", "pkg/part.py"]
    assert folder.handler == "lambda_function.lambda_handler"
    assert package(str(tmp_path), "python3.12") == folder
    assert package(single, "python3.12").handler == "lambda_function.lambda_handler"
    archive = tmp_path / "function.zip"
    archive.write_bytes(folder.content)
    assert package(archive, "python3.12").content == folder.content
    assert package(folder.content, "python3.12") == folder
    assert package(b"no ZIP") == Package(b"no ZIP", this_runtime(), "")
    with pytest.raises(ValueError, match="nothing to deploy"):
        package(tmp_path / "pkg" / "__pycache__")


@pytest.mark.parametrize("path", ["none.py", "my tests/none.js", "./none", "functions/none"])
def test_a_path_that_is_not_there_is_no_source(path: str) -> None:
    with pytest.raises(FileNotFoundError, match="none"):
        package(path)
    with pytest.raises(FileNotFoundError, match="none"):
        package(Path(path))


def test_a_long_line_is_source() -> None:
    assert package(f"def handler(e, c): return {'x' * 5000!r}").handler.endswith(".handler")


def test_the_runtime_is_that_of_the_tests() -> None:
    assert this_runtime() == f"python3.{sys.version_info.minor}"

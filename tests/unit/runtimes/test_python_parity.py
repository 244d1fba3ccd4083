"""The same functions in AWS's own runtime client and in our bootstrap give the same answers."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from unit.runtimes.python_function import OURS, Answer, running

CLIENT = """
import os, sys
sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
from awslambdaric.__main__ import main
main(["", os.environ["_HANDLER"]])
"""
AWS = (sys.executable, "-c", CLIENT)

VALUES = """
    import collections, datetime, decimal, enum, typing, uuid
    Point = collections.namedtuple("Point", "x y")
    D = decimal.Decimal
    class Colour(str, enum.Enum):
        RED = "red"
    class Size(enum.IntEnum):
        BIG = 3
    class Row:
        def _asdict(self): return {"row": 1}
    class Odd:
        def _asdict(self): return 1
    loop = []
    loop.append(loop)
    VALUES = {
        "none": None, "true": True,
        "text": "h\\u00e9 \\U0001f600 \\x7f \\u2028 \\" \\\\ \\n /",
        "float": 1.5,
        "whole float": 2.0, "tiny": 1e-7, "huge": 1e300, "nan": float("nan"), "inf": -float("inf"),
        "big": 10 ** 30, "list": [1, [2, (3, 4)]], "empty": {}, "nested": {"a": {"b": [None]}},
        "keys": {1: 1, 1.5: 2, True: 3, None: 4},
        "bytes": b"raw \\xff", "bytes inside": {"a": b"h\\xc3\\xa9"},
        "bytes key": {b"k": 1}, "bad bytes": [b"\\xff"], "namedtuple": Point(1, [Point(2, 3)]),
        "row": [Row()], "odd": Odd(),
        "decimal": [D("1.10"), D("1E+5"), D("-0"), D("NaN"), D("Infinity")],
        "decimal key": {D(1): 1}, "tuple key": {(1,): 1}, "enum": [Colour.RED, Size.BIG],
        "set": {1},
        "frozenset": {"a": frozenset()}, "complex": 1j, "date": datetime.date(2026, 1, 1),
        "bytearray": bytearray(b"x"),
        "object": [{"a": Ellipsis}], "class": dict, "loop": loop,
        "ordered": collections.OrderedDict(b=1, a=2),
        "default": collections.defaultdict(list, {"a": [D("1.5")]}), "generator": (i for i in ()),
        "memoryview": memoryview(b"x"), "uuid": uuid.UUID(int=1),
        "counter": collections.Counter("aab"),
        "namedtuple type": Point,
    }
    def handler(event, context):
        return VALUES[event]
    def names(event, context):
        return list(VALUES)
"""
FAILURES = {
    "plain": "raise ValueError('x')",
    "no message": "raise KeyError",
    "own type": "raise type('Größe', (Exception,), {})('é\\n\\t\"')",
    "chained": "try:\n        {}['a']\n    except KeyError as e:\n        raise OSError from e",
    "nested": "(lambda: [int(x) for x in ('1', 'y')])()",
    "recursion": "def f(n): return f(n - 1) if n else 1 / 0\n    f(20)",
    "os error": "open('/nonexistent')",
    "from a library": "json.loads('{')",
    "group": "raise ExceptionGroup('g', [ValueError('a')])",
    "evaluated": "eval('1/0')",
    "coroutine": "async def f(): pass\n    c = f(); c.close(); return c",
    "multi-line": "return dict(\n        a=1,\n        b=1 / 0,\n    )",
}
BROKEN: dict[str, tuple[dict[str, str], str]] = {
    "no module": ({}, "missing.handler"),
    "no module in a folder": ({}, "folder/missing.handler"),
    "no function": ({"app.py": "x = 1\n"}, "app.handler"),
    "no dot": ({"app.py": "x = 1\n"}, "handler"),
    "empty": ({}, ""),
    "built-in module": ({}, "sys.exit"),
    "syntax": ({"app.py": "x = 1\ndef handler(:\n    pass\n"}, "app.handler"),
    "indentation": ({"app.py": "def handler():\npass\n"}, "app.handler"),
    "syntax elsewhere": ({"app.py": "import other\n", "other.py": "e = (\n"}, "app.handler"),
    "missing import": ({"app.py": "import not_there\n"}, "app.handler"),
    "missing name": ({"app.py": "from os import not_there\n"}, "app.handler"),
    "raises": ({"app.py": "def f():\n    raise Exception('at import')\nf()\n"}, "app.handler"),
    "raises elsewhere": ({"app.py": "import other\n", "other.py": "1 / 0\n"}, "app.handler"),
    "relative import": ({"app.py": "from . import x\n"}, "app.handler"),
}


def _seen(answer: Answer) -> tuple[str, str | None, bytes]:
    body = answer.body.replace(answer.request_id.encode() or b"\0", b"<id>")
    return answer.kind, answer.headers.get("content-type"), body


def _both(
    folder: Path, code: str | Mapping[str, str], events: list[object], handler: str = "app.handler"
) -> tuple[list[tuple[str, str | None, bytes]], list[tuple[str, str | None, bytes]]]:
    with running(folder, code, handler, AWS) as function:
        theirs = [_seen(function.invoke(event)) for event in events]
    with running(folder, code, handler) as function:
        ours = [_seen(function.invoke(event)) for event in events]
    return theirs, ours


@pytest.mark.parametrize("version", ["3.11", "3.12"])
def test_responses_are_written_as_aws_writes_them(version: str, tmp_path: Path) -> None:
    environ = {"AWS_EXECUTION_ENV": f"AWS_Lambda_python{version}"}
    with running(tmp_path, VALUES, "app.names") as function:
        names: Any = function.result()
    seen: list[dict[str, Any]] = []
    for command in (AWS, (sys.executable, *OURS)):
        with running(tmp_path, VALUES, command=command, environ=environ) as function:
            seen.append({name: _seen(function.invoke(name)) for name in names})
    assert seen[1] == seen[0]
    text = b"h\xc3\xa9 " if version == "3.12" else b"h\\u00e9 "
    assert seen[1]["text"][2].startswith(b'"' + text)


@pytest.mark.parametrize("name", FAILURES)
def test_handler_errors_are_told_as_aws_tells_them(name: str, tmp_path: Path) -> None:
    code = f"import json, sys\ndef handler(event, context):\n    {FAILURES[name]}\n"
    theirs, ours = _both(tmp_path, {"app.py": code}, [1])
    assert ours[0][2].decode() == theirs[0][2].decode()
    assert ours[0][0] == "error"


@pytest.mark.parametrize("name", BROKEN)
def test_init_errors_are_told_as_aws_tells_them(name: str, tmp_path: Path) -> None:
    files, handler = BROKEN[name]
    files = {"present.py": "", **files}
    with running(tmp_path, files, handler, AWS) as function:
        theirs = function.init_error()
        assert function.process.wait() == 1
    with running(tmp_path, files, handler) as function:
        ours = function.init_error()
        assert function.process.wait() == 1
        output = function.process.output
    header = "lambda-runtime-function-error-type"
    assert (ours.kind, ours.json(), ours.headers[header]) == (
        theirs.kind,
        theirs.json(),
        theirs.headers[header],
    )
    assert output.startswith(f"[ERROR] {ours.json()['errorType']}: ")
    assert output.endswith("\x1eFENCE init\x1e\n")
    assert ours.fenced


def test_handlers_in_folders_and_packages_are_found(tmp_path: Path) -> None:
    files = {
        "folder/app.py": "def handler(event, context):\n    return __name__\n",
        "package/__init__.py": "",
        "package/inner/__init__.py": "def handler(event, context):\n    return __name__\n",
    }
    for handler in ("folder/app.handler", "folder.app.handler", "package.inner.handler"):
        theirs, ours = _both(tmp_path, files, [1], handler)
        assert ours == theirs


def test_events_are_read_as_aws_reads_them(tmp_path: Path) -> None:
    code = "def handler(event, context):\n    return repr(event)\n"
    events: list[object] = [
        b' {"a": [1, 2.0, 1e5, -0, true, null]} \n',
        b'"\xc3\xa9 \\u00e9 \\ud83d\\ude00"',
        b"123456789012345678901234567890",
        b"",
        b"\xff",
        b'{"a":1} x',
        b"nope",
        b"NaN",
        b'"open',
        b"\xef\xbb\xbf{}",
    ]
    theirs, ours = _both(tmp_path, code, events)
    assert ours == theirs


def test_other_content_types_reach_the_handler_as_bytes(tmp_path: Path) -> None:
    code = "def handler(event, context):\n    return event\n"
    for command in (AWS, (sys.executable, *OURS)):
        with running(tmp_path, code, command=command) as function:
            answer = function.invoke(b"raw", {"Content-Type": "text/plain"})
            assert (answer.body, answer.headers["content-type"]) == (b"raw", "application/unknown")


def test_bad_context_headers_are_told_as_aws_tells_them(tmp_path: Path) -> None:
    code = "def handler(event, context):\n    return repr(context.client_context)\n"
    seen = []
    for command in (AWS, (sys.executable, *OURS)):
        with running(tmp_path, code, command=command) as function:
            answers = [
                function.invoke(1, {"Lambda-Runtime-Client-Context": text})
                for text in ("{", '{"custom": {"a": 1}}')
            ]
            seen.append([_seen(answer)[2] for answer in answers])
    assert json.loads(seen[0][0])["errorType"] == "Runtime.LambdaContextUnmarshalError"
    assert seen[1] == seen[0]


def test_a_failure_at_import_is_the_one_recorded_on_aws(tmp_path: Path) -> None:
    """Held against AWS's recording of 24-11-2025 (Python 3.13), whatever the line numbers here."""
    code = {"lambda_runtime_error.py": 'raise Exception("Runtime startup fails")\n'}
    with running(tmp_path, code, "lambda_runtime_error.handler") as function:
        told = function.init_error().json()
    stack = [re.sub(r'"[^"<]*/|line \d+', "", entry) for entry in told.pop("stackTrace")]
    assert told == {
        "errorMessage": "Runtime startup fails",
        "errorType": "Exception",
        "requestId": "",
    }
    assert stack[0] == (
        '  File __init__.py", , in import_module\n'
        "    return _bootstrap._gcd_import(name[level:], package, level)\n"
    )
    assert stack[1] == '  File "<frozen importlib._bootstrap>", , in _gcd_import\n'
    assert stack[-1] == (
        '  File lambda_runtime_error.py", , in <module>\n'
        '    raise Exception("Runtime startup fails")\n'
    )

from __future__ import annotations

import pytest

from lambda_home.commands.detection import Entry, Files, advice_of, check_handler, entry_of
from lambda_home.commands.failures import WrongUse

PY = "def lambda_handler(event, context): ..."
JS = "exports.handler = async () => 1;"


def files_of(sources: dict[str, str], executables: frozenset[str] = frozenset()) -> Files:
    return Files(sources.keys(), executables, sources.__getitem__)


@pytest.mark.parametrize(
    ("sources", "runtime", "is_guess"),
    [
        ({"app.py": PY}, None, True),
        ({"app.py": PY}, "python3.12", False),
        ({"app.py": PY, ".python-version": "3.12"}, None, False),
        ({"app.py": PY, ".python-version": "3.2"}, None, True),
        ({"index.js": JS}, None, True),
        ({"index.js": JS, ".nvmrc": "v20"}, None, False),
    ],
)
def test_a_version_that_nobody_told_is_a_guess(
    sources: dict[str, str],
    runtime: str | None,
    is_guess: bool,  # noqa: FBT001
) -> None:
    assert entry_of(files_of(sources), runtime, None).is_guess is is_guess


def found(sources: dict[str, str], runtime: str | None = None, handler: str | None = None) -> str:
    entry = entry_of(files_of(sources), runtime, handler, "python3.11")
    return f"{entry.runtime} {entry.handler}"


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({"lambda_function.py": PY}, "python3.11 lambda_function.lambda_handler"),
        ({"lambda_function.py": PY, "app.py": PY}, "python3.11 lambda_function.lambda_handler"),
        ({"app.py": "async def handler(e, c): ..."}, "python3.11 app.handler"),
        ({"main.py": "handler = Mangum(app)"}, "python3.11 main.handler"),
        ({"handler.py": "from impl import handler"}, "python3.11 handler.handler"),
        ({"app.py": "from x import run as handler"}, "python3.11 app.handler"),
        ({"app.py": "def go(e, c): ...\ndef _own(): ..."}, "python3.11 app.go"),
        ({"tool.py": PY}, "python3.11 tool.lambda_handler"),
        ({"tool.py": PY, "lib/other.py": ""}, "python3.11 tool.lambda_handler"),
        ({"app.py": PY, ".python-version": "3.12.4\n"}, "python3.12 app.lambda_handler"),
        ({"app.py": PY, ".python-version": "pypy"}, "python3.11 app.lambda_handler"),
        ({"app.py": PY, ".python-version": "3.2"}, "python3.11 app.lambda_handler"),
        ({"index.js": JS}, "nodejs22.x index.handler"),
        ({"index.mjs": "export const handler = 1"}, "nodejs22.x index.handler"),
        ({"index.mjs": "export async function handler() {}"}, "nodejs22.x index.handler"),
        ({"index.mjs": "const f = 1;\nexport { f as handler };"}, "nodejs22.x index.handler"),
        ({"index.mjs": "export function run() {}"}, "nodejs22.x index.run"),
        ({"index.js": "module.exports = { run, handler: f };"}, "nodejs22.x index.handler"),
        ({"index.js": "module.exports.main = 1"}, "nodejs22.x index.main"),
        ({"index.js": "module.exports = require('./x')"}, "nodejs22.x index.handler"),
        ({"app.cjs": JS}, "nodejs22.x app.handler"),
        (
            {"package.json": '{"main": "src/fn.js"}', "src/fn.js": JS, "index.js": "x"},
            "nodejs22.x src/fn.handler",
        ),
        ({"package.json": '{"main": "./lib"}', "lib/index.js": JS}, "nodejs22.x lib/index.handler"),
        (
            {"package.json": '{"main": "gone.js", "engines": {"node": ">=20"}}', "index.js": JS},
            "nodejs20.x index.handler",
        ),
        ({"package.json": "{}", ".nvmrc": "v18.20.1", "index.js": JS}, "nodejs18.x index.handler"),
        ({"package.json": "[]", ".nvmrc": "lts/*", "index.js": JS}, "nodejs22.x index.handler"),
    ],
)
def test_runtime_and_handler_are_found_from_the_files(
    sources: dict[str, str], expected: str
) -> None:
    assert found(sources) == expected


@pytest.mark.parametrize(
    ("sources", "runtime", "handler", "expected"),
    [
        ({"app.py": PY}, "python3.9", None, "python3.9 app.lambda_handler"),
        ({"app.py": PY}, None, "app.x", "python3.11 app.x"),
        ({"a/b.py": PY}, None, "a.b.lambda_handler", "python3.11 a.b.lambda_handler"),
        ({"a/b.mjs": JS}, None, "a/b.handler", "nodejs22.x a/b.handler"),
        ({"app.py": PY, "index.js": JS}, "nodejs20.x", None, "nodejs20.x index.handler"),
        ({"app.py": PY, "index.js": JS}, None, "index.handler", "nodejs22.x index.handler"),
        ({"A.class": ""}, "java21", "A::b", "java21 A::b"),
    ],
)
def test_what_is_given_is_kept(
    sources: dict[str, str], runtime: str | None, handler: str | None, expected: str
) -> None:
    assert found(sources, runtime, handler) == expected


def test_a_program_of_its_own_is_named_bootstrap_and_executable() -> None:
    runnable = files_of({"bootstrap": ""}, frozenset({"bootstrap"}))
    assert entry_of(runnable, None, None) == Entry("provided.al2023", "bootstrap")
    with pytest.raises(WrongUse, match=r"chmod \+x"):
        entry_of(files_of({"bootstrap": ""}), None, None)


@pytest.mark.parametrize(
    ("sources", "runtime", "handler", "message"),
    [
        ({"readme.md": ""}, None, None, "Cannot tell what to run"),
        ({"a.py": PY, "b.py": PY}, None, None, "Cannot tell what to run"),
        ({"app.py": PY, "index.js": JS}, None, None, "give --runtime"),
        ({"readme.md": ""}, None, "app.x", "no file for the handler app.x"),
        ({"app.py": "def a(): ...\ndef b(): ..."}, None, None, "which function of app.py"),
        ({"app.py": "x = 1"}, None, None, "which function of app.py"),
        ({"app.py": "def ("}, None, None, "cannot be read as Python"),
        ({"index.js": "let x = 1"}, None, None, "which export of index.js"),
        ({"index.js": "exports.a = 1; exports.b = 2"}, None, None, "which export of index.js"),
        ({"package.json": "{", "index.js": JS}, None, None, "package.json is not JSON"),
        ({"readme.md": ""}, "python3.12", None, "There is no lambda_function.py"),
        ({"readme.md": ""}, "nodejs20.x", None, "There is no index.js"),
        ({"A.class": ""}, "java21", None, "Give --handler"),
    ],
)
def test_what_cannot_be_told_is_asked_for(
    sources: dict[str, str], runtime: str | None, handler: str | None, message: str
) -> None:
    with pytest.raises(WrongUse, match=message):
        found(sources, runtime, handler)


@pytest.mark.parametrize(
    ("sources", "runtime", "handler"),
    [
        ({"app.py": PY}, "python3.12", "app.lambda_handler"),
        ({"app.py": "if x:\n  def go(): ..."}, "python3.12", "app.go"),
        ({"app.py": "from x import *"}, "python3.12", "app.go"),
        ({"app.py": "type X = int  # of a newer Python\ndef ("}, "python3.12", "app.go"),
        ({"a/__init__.py": PY}, "python3.12", "a.lambda_handler"),
        ({"a/b.js": JS}, "nodejs20.x", "a/b.c.d"),
        ({}, "java21", "whatever"),
        ({}, "provided.al2023", "whatever"),
    ],
)
def test_handlers_that_can_be_are_not_refused(
    sources: dict[str, str], runtime: str, handler: str
) -> None:
    check_handler(files_of(sources), Entry(runtime, handler))


@pytest.mark.parametrize(
    ("sources", "runtime", "handler", "message"),
    [
        ({"app.py": PY}, "python3.12", "app.gone", "app.py has no gone"),
        ({"app.py": PY}, "python3.12", "gone.handler", "no gone.py"),
        ({"app.py": PY}, "python3.12", "app", "no app.py for the handler app:"),
        ({"index.js": JS}, "nodejs20.x", "src/index.handler", "no src/index.js"),
        ({"bootstrap": ""}, "provided.al2", "x", "executable"),
    ],
)
def test_handlers_that_are_nowhere_are_refused(
    sources: dict[str, str], runtime: str, handler: str, message: str
) -> None:
    with pytest.raises(WrongUse, match=message):
        check_handler(files_of(sources), Entry(runtime, handler))


@pytest.mark.parametrize(
    ("sources", "advice"),
    [
        ({"app.py": PY}, None),
        ({"requirements.txt": "requests==2\n"}, "pip install"),
        ({"requirements.txt": "requests", "requests-2.dist-info/METADATA": ""}, None),
        ({"requirements.txt": "# nothing\n\nBoto3>=1\n"}, None),
        ({"package.json": '{"dependencies": {"ws": "8"}}'}, "npm install"),
        ({"package.json": '{"dependencies": {"ws": "8"}}', "node_modules/ws/index.js": ""}, None),
        ({"package.json": '{"dependencies": {}}'}, None),
    ],
)
def test_dependencies_that_are_not_in_the_package_are_pointed_out(
    sources: dict[str, str], advice: str | None
) -> None:
    said = advice_of(files_of(sources))
    assert said is None if advice is None else advice in str(said)

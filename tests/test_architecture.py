"""The shape of the code: sizes, one handler per operation, settings and modules told truthfully."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader

from lambda_home import errors
from lambda_home.config import Settings, load
from lambda_home.user_api import app
from lambda_home.user_api.operations import HANDLERS
from lambda_home.user_api.protocol import operation_names
from lambda_home.user_api.protocol.model import API_VERSION

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "lambda_home"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "_bundled" not in path.parts)
LONGEST_MODULE = 500
MOST_COLLABORATORS = 7  # six and self
MOST_VERBS = 7  # five verbs, open and close

# Operations of AWS's model that answer 501 today, a name a line. It only ever gets shorter.
NOT_YET = Path(__file__).with_name("operations_not_yet.txt")


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_module_keeps_its_size(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE
    assert path.stem not in {"utils", "helpers", "models"}
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", path.read_text())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_constructors_take_few_collaborators(path: Path) -> None:
    for function in functions_of(path):
        if function.name == "__init__":
            taken = len(function.args.args) + len(function.args.kwonlyargs)
            assert taken <= MOST_COLLABORATORS, f"{path.name}:{function.lineno}"


def test_ports_are_small() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and "Protocol" in {
                getattr(base, "id", "") for base in node.bases
            }:
                verbs = [part for part in node.body if isinstance(part, ast.AsyncFunctionDef)]
                assert len(verbs) <= MOST_VERBS, f"{path.name}:{node.name}"


def test_every_operation_of_the_model_has_a_handler_or_is_listed_as_missing() -> None:
    assert app.OPERATION_MODULES
    known = {*operation_names()}
    handled = {*HANDLERS, "Invoke", "InvokeWithResponseStream"}  # endpoints of their own
    assert handled <= known
    listed = NOT_YET.read_text().split()
    assert sorted(known - handled) == listed


def test_every_error_is_one_that_aws_has() -> None:
    """Codes that AWS sends without modelling them are listed with where they were seen."""
    loader = Loader()
    model = loader.load_service_model("lambda", "service-2", API_VERSION)
    logs_model = loader.load_service_model("logs", "service-2")
    shapes = {**model["shapes"], **logs_model["shapes"]}
    modelled = {name for name, shape in shapes.items() if shape.get("exception")}
    unmodelled = {
        "RequestEntityTooLargeException",  # recorded: CreateFunction
        "SerializationException",  # AWS's JSON services in general
        "UnknownOperationException",  # AWS's gateways in general
        "MissingAuthenticationTokenException",  # AWS's gateways in general, as these three
        "IncompleteSignatureException",
        "InvalidSignatureException",
        "ExpiredTokenException",
        "NotImplementedException",  # ours alone: says that an operation is missing
    }
    ours = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type)
        and issubclass(value, errors.ApiError)
        and value is not errors.ApiError
    }
    assert ours - modelled == unmodelled


def test_every_setting_stands_in_the_default_file_and_the_reverse() -> None:
    with (ROOT / "configs" / "default.toml").open("rb") as file:
        written: dict[str, Any] = tomllib.load(file)
    fields = {field.alias or name: field for name, field in Settings.model_fields.items()}
    assert set(written) == set(fields)
    settings = load()
    for section, field in fields.items():
        model = getattr(settings, (field.alias and "asynchronous") or section)
        keys = set(type(model).model_fields)
        assert keys == set(written[section]), section


def test_the_architecture_page_names_every_package_and_module() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_]+)*)`", page))
    for path in MODULES:
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if parts[-1] in {"__init__", "__main__"} or len(parts) > 2:
            continue
        assert "/".join(parts) in named, f"docs/architecture.md does not name {'/'.join(parts)}"
    for name in named:
        if name.split("/")[0] in {p.name for p in SOURCE.iterdir() if p.is_dir()} and "/" in name:
            assert (SOURCE / f"{name}.py").exists() or (SOURCE / name).is_dir(), name

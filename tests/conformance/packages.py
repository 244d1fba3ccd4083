"""Deployment packages of the conformance suite's functions, one for each runtime client."""

from __future__ import annotations

import importlib.util
import io
import re
import shutil
import zipfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from compiled import built
from live import zip_of

from scripts.runtime_layer import NoProgramError, program_of, write_layer

FUNCTIONS = Path(__file__).parent / "functions"
ROOT = Path(__file__).parents[2]
JAVA_CLIENT = ROOT / "runtimes" / "java" / "client"
EXECUTABLE = 0o755

# AWS_LAMBDA_EXEC_WRAPPER gets our bootstrap's command; the first word of it is the interpreter.
PYTHON_WRAPPER = (
    '#!/bin/sh\nPYTHONPATH=/var/task:/opt/python exec "$1" -m awslambdaric "$_HANDLER"\n'
)
NODE_WRAPPER = (
    '#!/bin/sh\nexec "$1" /var/task/node_modules/aws-lambda-ric/bin/index.mjs "$_HANDLER" 2>&1\n'
)
NODE_CLIENT = "3.3.0"
"""The last one that runs on Node.js 18 and 20."""
_NODE_PARTS = re.compile(r"node_modules/aws-lambda-ric/(bin/|dist/|package\.json$)")
_NPM = f"""{{
  "private": true,
  "scripts": {{
    "package": "if [ -d /usr/include/node ]; then export npm_config_nodedir=/usr; fi; \
npm install aws-lambda-ric@{NODE_CLIENT} --no-audit --no-fund && \
python3 -m zipfile -c client.zip node_modules"
  }}
}}
"""


def text(name: str) -> str:
    """A file of the functions."""
    return (FUNCTIONS / name).read_text()


def archive(files: Mapping[str, tuple[bytes, int]], beside: bytes | None = None) -> bytes:
    """A ZIP of files with their modes, and of what another ZIP has."""
    buffer = io.BytesIO(beside or b"")
    with zipfile.ZipFile(buffer, "a" if beside else "w", zipfile.ZIP_DEFLATED) as made:
        for name, (content, mode) in files.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system, entry.external_attr = 3, (0o100000 | mode) << 16
            made.writestr(entry, content)
    return buffer.getvalue()


@cache
def python() -> bytes:
    """For our Python bootstrap."""
    return zip_of({"app.py": text("python/app.py"), "pieces.py": text("python/pieces.py")})


@cache
def nodejs() -> bytes:
    """For our Node.js bootstrap."""
    return zip_of({"app.mjs": text("nodejs/app.mjs")})


@cache
def ruby() -> bytes:
    """For our Ruby bootstrap."""
    return zip_of({"app.rb": text("ruby/app.rb")})


@cache
def php() -> bytes:
    """For the PHP layer."""
    return zip_of({"app.php": text("php/app.php")})


@cache
def typescript() -> bytes:
    """For the layers of Deno and Bun."""
    return zip_of({"app.ts": text("typescript/app.ts")})


@cache
def awslambdaric() -> bytes:
    """The Python function with AWS's client as a user vendors it."""
    spec = importlib.util.find_spec("awslambdaric")
    if spec is None or spec.origin is None:
        pytest.fail("awslambdaric is not installed")
    site = Path(spec.origin).parent.parent
    patterns = (
        "awslambdaric/**/*.py",
        "runtime_client*.so",
        "snapshot_restore_py*.py",
        "simplejson/**/*.py",
    )
    vendored = (path for pattern in patterns for path in site.glob(pattern))
    files: dict[str, tuple[bytes, int]] = {
        str(path.relative_to(site)): (path.read_bytes(), 0o644) for path in vendored
    }
    files["app.py"] = (text("python/app.py").encode(), 0o644)
    files["wrapper"] = (PYTHON_WRAPPER.encode(), EXECUTABLE)
    return archive(files)


@cache
def aws_lambda_ric() -> bytes:
    """The Node.js function with AWS's client from npm, whose native part is compiled here."""
    for tool in ("autoreconf", "libtoolize", "cmake", "g++"):
        if shutil.which(tool) is None:
            pytest.skip(f"npm's aws-lambda-ric is compiled with {tool}, which is not installed")
    made = built("npm", {"package.json": _NPM}, ["npm", "run", "package"], "client.zip")
    files: dict[str, tuple[bytes, int]] = {
        "app.mjs": (text("nodejs/app.mjs").encode(), 0o644),
        "wrapper": (NODE_WRAPPER.encode(), EXECUTABLE),
    }
    with zipfile.ZipFile(io.BytesIO(made)) as client:  # with all that it was compiled of
        for name in client.namelist():
            if _NODE_PARTS.match(name) and not name.endswith("/"):
                files[name] = (client.read(name), 0o644)
    return archive(files)


@cache
def java() -> bytes:
    """Classes for Java 8 and later."""
    if not JAVA_CLIENT.is_dir():
        pytest.skip("AWS's Java runtime client is not here (make java-client)")
    jar = str(JAVA_CLIENT / "aws-lambda-java-core.jar")
    command = ["javac", "-nowarn", "-Xlint:-options", "--release", "8", "-cp", jar, "-d", "out"]
    files = {"app/App.java": text("java/App.java")}
    made = built("javac", files, [*command, "app/App.java"], "out/app/App.class")
    return zip_of({"app/App.class": made})


@cache
def go() -> bytes:
    """A program with aws-lambda-go."""
    files = {name: text(f"go/{name}") for name in ("go.mod", "main.go")}
    command = ["go", "build", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", "bootstrap", "."]
    return _program(built("go", files, command, "bootstrap"))


@cache
def rust() -> bytes:
    """A program with the crate lambda_runtime."""
    files = {name: text(f"rust/{name}") for name in ("Cargo.toml", "src/main.rs")}
    command = ["cargo", "build", "--release", "--quiet"]
    return _program(built("cargo", files, command, "target/release/bootstrap"))


def _program(content: bytes) -> bytes:
    return archive({"bootstrap": (content, EXECUTABLE)})


def language_layer(language: str) -> bytes:
    """The layer that `make php-layer`, `deno-layer` or `bun-layer` makes; skips without it."""
    try:
        program = program_of(language, fetch=False)
    except NoProgramError as why:
        pytest.skip(str(why))
    out = FUNCTIONS / f".{language}.zip"
    try:
        write_layer(language, program, out)
        return out.read_bytes()
    finally:
        out.unlink(missing_ok=True)


# What is in a layer of every function: a file, and a module where the language looks for some.
LAYER = zip_of(
    {
        "conformance.txt": "a file of a layer: ü",
        "python/conformance_layer.py": "TEXT = 'a module of a layer'\n",
        "nodejs/node_modules/conformance_layer/index.js": "exports.text = 'a module of a layer';\n",
        "ruby/lib/conformance_layer.rb": "CONFORMANCE_TEXT = 'a module of a layer'\n",
    }
)

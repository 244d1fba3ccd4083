"""Code in place of the bytes that the recordings leave out."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Mapping
from functools import cache
from typing import Any

UNZIPPED_LIMIT = 262_144_000
_LARGE = 1_000_000
_DATE = (2021, 2, 3, 0, 0, 0)
_FILES = ("handler.py", "index.py", "lambda_handler.py", "index.js", "lambda_handler.js")


def codes_recorded(answers: Mapping[str, Any]) -> int:
    """How many different packages AWS's answers show, by their hashes."""
    return len(set(re.findall(r"<code-sha256:\d+>", json.dumps(answers))))


def is_large(size: int) -> bool:
    """Whether an upload was that large that its size mattered."""
    return size > _LARGE


@cache
def package(mark: str) -> bytes:
    """A ZIP with handlers of the names that the cases use; its content depends on the mark."""
    python = f"# {mark}\ndef handler(event, context):\n    return event\n"
    script = f"// {mark}\nexports.handler = async (event) => event;\n"
    files = {name: python if name.endswith("py") else script for name in _FILES}
    return _zip(files, zipfile.ZIP_DEFLATED)


def upload_of(size: int) -> bytes:
    """A ZIP of exactly that size in bytes."""
    empty = len(_zip({"handler.py": ""}, zipfile.ZIP_STORED))
    return _zip({"handler.py": "#" * (size - empty)}, zipfile.ZIP_STORED)


@cache
def package_of(unzipped: int) -> bytes:
    """A small ZIP of one file that has that many bytes when it is unzipped."""
    buffer = io.BytesIO()
    block = bytes(1 << 20)
    with (
        zipfile.ZipFile(buffer, "w", compresslevel=1) as archive,
        archive.open(_entry("handler.py", zipfile.ZIP_DEFLATED), "w") as file,
    ):
        for start in range(0, unzipped, len(block)):
            file.write(block[: unzipped - start])
    return buffer.getvalue()


def _zip(files: Mapping[str, str], method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(_entry(name, method), content)
    return buffer.getvalue()


def _entry(name: str, method: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.external_attr = 0o100644 << 16
    entry.compress_type = method
    return entry

"""What the conformance suite found, for docs/runtimes.json: kept only when it is asked for.

    CONFORMANCE_RESULTS=docs/runtimes.json pytest tests/e2e/test_conformance.py

A run adds to what the file has, so that the slow part can follow the fast one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "CONFORMANCE_RESULTS"


class Results:
    """Answers by client, sandbox and column: "yes", "no", or "-" where there is no such thing."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.clients: dict[str, dict[str, dict[str, str]]] = {}
        self.runtimes: dict[str, dict[str, str]] = {}

    @classmethod
    def wanted(cls) -> Results:
        """Kept in the file that the variable names, if it does."""
        given = os.environ.get(VARIABLE)
        return cls(Path(given) if given else None)

    @contextmanager
    def of(self, client: str, sandbox: str, column: str) -> Iterator[None]:
        """Note how the block ends: one failure makes a column "no". Skipped ones are not noted."""
        told = self.clients.setdefault(client, {}).setdefault(sandbox, {})
        try:
            yield
        except pytest.skip.Exception:
            raise
        except BaseException:
            told[column] = "no"
            raise
        told.setdefault(column, "yes")

    def none(self, client: str, sandbox: str, column: str) -> None:
        """Note that the language has no such thing."""
        self.clients.setdefault(client, {}).setdefault(sandbox, {})[column] = "-"

    def write(self) -> None:
        """Add what was found to the file."""
        if self._path is None:
            return
        known: dict[str, Any] = {"clients": {}, "runtimes": {}}
        if self._path.exists():
            known = json.loads(self._path.read_text())
        for client, by_sandbox in self.clients.items():
            for sandbox, columns in by_sandbox.items():
                known["clients"].setdefault(client, {}).setdefault(sandbox, {}).update(columns)
        for runtime, versions in self.runtimes.items():
            known["runtimes"].setdefault(runtime, {}).update(versions)
        self._path.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")

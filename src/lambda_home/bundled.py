"""Finds the files that travel with the package: default configuration, migrations, runtimes."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def bundled(name: str) -> Path:
    """The path of `name` (`configs`, `migrations`, `runtimes`), in a wheel or in a checkout."""
    packaged = _PACKAGE / "_bundled" / name
    return packaged if packaged.exists() else _PACKAGE.parent.parent / name

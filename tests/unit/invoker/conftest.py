"""A database for each test, copied from one that was made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_home.registry.database import Database


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("queue") / "migrated.db"
    Database.open(path).close()
    return path.read_bytes()


@pytest.fixture
def database(tmp_path: Path, migrated: bytes) -> Iterator[Database]:
    (tmp_path / "lhome.db").write_bytes(migrated)
    made = Database.open(tmp_path / "lhome.db")
    yield made
    made.close()

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.registry.world import World

from lambda_home.registry.database import Database


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty, migrated file: copying it is faster than migrating for each test."""
    path = tmp_path_factory.mktemp("registry") / "migrated.db"
    Database.open(path).close()
    return path


@pytest.fixture
def world(tmp_path: Path, migrated: Path) -> Iterator[World]:
    shutil.copyfile(migrated, tmp_path / "lhome.db")
    made = World(tmp_path / "lhome.db")
    yield made
    made.close()

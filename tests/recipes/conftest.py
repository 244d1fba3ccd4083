"""One server for all recipes: use names of your own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lambda_home.testing.server import LocalServer, ServerOptions


@pytest.fixture(scope="session")
def home() -> Iterator[LocalServer]:
    with LocalServer(ServerOptions("process")) as server:
        yield server

"""Servers for all tests here: one as the replayed recordings need it, one that runs code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from live import LiveServer
from other_services import other_services
from parity.replay import Target, target
from parity.running import ACCOUNT, Queue

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


@pytest.fixture(scope="session")
def at() -> Iterator[Target]:
    """The server under test."""
    with target() as made:
        yield made


@pytest.fixture(scope="session")
def services() -> Iterator[str]:
    """Other services for functions that run; their URL."""
    with other_services() as url:
        yield url


@pytest.fixture(scope="session")
def api(services: str) -> Iterator[LambdaClient]:
    """A client of a server that tries failed events again at once."""
    environment = {
        "LAMBDA_HOME_ASYNC__RETRY_BASE_S": "0",
        "LAMBDA_HOME_LIMITS__MAX_GLOBAL_CONCURRENCY": "1000",
        "LAMBDA_HOME_AWS__ENDPOINT_URL": services,
    }
    with LiveServer("--ephemeral", "--sandbox", "process", environment=environment) as server:
        client = server.client(ACCOUNT)
        yield client
        client.close()


@pytest.fixture
def queue(services: str) -> Iterator[Queue]:
    """A queue of the other services."""
    made = Queue(services)
    yield made
    made.close()

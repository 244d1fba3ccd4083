"""What adapters put into an environment's variables."""

from __future__ import annotations

from lambda_home.sandboxes.base import OWN_ENDPOINT, addressed


def test_the_endpoint_is_the_runtime_apis_address() -> None:
    found = addressed({"A": "1", "AWS_ENDPOINT_URL": OWN_ENDPOINT}, "token.example:9001")
    assert found == {"A": "1", "AWS_ENDPOINT_URL": "http://token.example:9001"}


def test_an_endpoint_of_the_functions_own_stays() -> None:
    for mine in ({"AWS_ENDPOINT_URL": "http://mine.example"}, {"AWS_ENDPOINT_URL": ""}, {}):
        assert addressed(mine, "token.example:9001") == mine

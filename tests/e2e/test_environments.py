"""How many environments there are, and who shares one, on both sandboxes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from conftest import SANDBOXES
from functions_under_test import create, invoke
from live import LiveServer
from observing import HOLDS_S, until

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

WHO = """
import os, time
seen = []
def handler(event, context):
    seen.append(context.tenant_id)
    time.sleep(event.get("seconds", 0))
    kind = os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
    return {"stream": context.log_stream_name, "seen": seen, "kind": kind}
"""
PER_TENANT: Any = {"TenantIsolationMode": "PER_TENANT"}


@pytest.fixture(scope="module", params=SANDBOXES)
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    with LiveServer("--sandbox", str(request.param), "--ephemeral") as running:
        yield running


@pytest.fixture
def client(server: LiveServer) -> LambdaClient:
    return server.client()


def at_once(
    client: LambdaClient, name: str, count: int, seconds: float = 0.5, **members: Any
) -> list[Any]:
    """The answers of `count` calls that go on side by side, `seconds` each."""
    with ThreadPoolExecutor(count) as callers:
        calls = callers.map(
            lambda _: invoke(client, name, {"seconds": seconds}, **members), range(count)
        )
        answers = list(calls)
    assert [answer.error for answer in answers] == [None] * count
    return [answer.payload for answer in answers]


def test_tenants_never_share_an_environment(client: LambdaClient) -> None:
    name = create(client, WHO, TenancyConfig=PER_TENANT)
    blue = [invoke(client, name, {}, TenantId="blue").payload for _ in range(2)]
    red = [invoke(client, name, {}, TenantId="red").payload for _ in range(2)]
    assert blue[0]["stream"] == blue[1]["stream"]
    assert blue[1]["seen"] == ["blue", "blue"]
    assert red[1]["seen"] == ["red", "red"]
    assert red[0]["stream"] != blue[0]["stream"]


def test_provisioned_environments_are_ready_before_anyone_calls(client: LambdaClient) -> None:
    name = create(client, WHO, Timeout=20)
    version = client.publish_version(FunctionName=name)["Version"]
    asked: Any = {"FunctionName": name, "Qualifier": version}
    begun = client.put_provisioned_concurrency_config(**asked, ProvisionedConcurrentExecutions=2)
    assert begun["Status"] == "IN_PROGRESS"
    until(
        lambda: client.get_provisioned_concurrency_config(**asked)["Status"] == "READY",
        "the environments were not started",
    )
    # A start may take longer than the calls: the third then goes to who has just become free.
    found: list[Any] = []
    for seconds in HOLDS_S:
        found = at_once(client, name, 3, seconds, Qualifier=version)
        if len({answer["stream"] for answer in found}) == 3:
            break
    assert sorted(answer["kind"] for answer in found) == [
        "on-demand",  # beyond what is provisioned
        "provisioned-concurrency",
        "provisioned-concurrency",
    ]
    client.delete_provisioned_concurrency_config(**asked)


def test_no_more_environments_than_the_maximum_take_what_comes(client: LambdaClient) -> None:
    name = create(client, WHO)
    client.put_function_scaling_config(
        FunctionName=name,
        Qualifier="$LATEST",
        FunctionScalingConfig={"MinExecutionEnvironments": 0, "MaxExecutionEnvironments": 2},
    )
    assert len({answer["stream"] for answer in at_once(client, name, 6)}) <= 2


@pytest.mark.parametrize("kind", SANDBOXES)
def test_a_function_is_warm_when_it_was_prewarmed_on_create(kind: str) -> None:
    settings = {"LAMBDA_HOME_PREWARM__ON_CREATE": "true", "LAMBDA_HOME_SPARES__PER_SIZE": "0"}
    with LiveServer("--sandbox", kind, "--ephemeral", environment=settings) as running:
        name = create(running.client(), WHO)
        log = running.data_dir / f"logs/000000000000/us-east-1/aws/lambda/{name}.log"
        until(lambda: log.exists() and "INIT_START" in log.read_text(), "nothing was started")
        assert invoke(running.client(), name, {}).error is None
        lines = until(
            lambda: "REPORT" in (text := log.read_text()) and text.splitlines(), "no report"
        )
        assert sum("INIT_START" in line for line in lines) == 1

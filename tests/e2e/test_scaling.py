"""Limits that hold while functions run: concurrency, rates, loops, tenants."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import create, invoke
from live import LiveServer
from observing import until

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

ECHO = """
import os
def handler(event, context):
    return [os.environ.get("_X_AMZN_TRACE_ID"), getattr(context, "tenant_id", None)]
"""
GATED = """
import socket
def handler(event, context):
    with socket.create_connection(("127.0.0.1", event["gate"])) as gate:
        gate.recv(1)  # until the gate is closed
"""


@pytest.fixture(scope="module")
def live() -> Iterator[LiveServer]:
    with LiveServer("--sandbox", "process", "--ephemeral") as server:
        yield server


@pytest.fixture
def client(live: LiveServer) -> LambdaClient:
    return live.client()


def test_of_fifty_at_once_as_many_run_as_are_reserved_and_the_others_are_told_to_come_back(
    client: LambdaClient,
) -> None:
    name = create(client, GATED, Timeout=90)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=5)
    seen: Counter[tuple[int, str, str]] = Counter()

    def one(event: dict[str, int]) -> None:
        try:
            answer = invoke(client, name, event)
        except ClientError as error:
            told: Any = error.response
            metadata = told["ResponseMetadata"]
            retry = metadata["HTTPHeaders"].get("retry-after", "")
            seen[metadata["HTTPStatusCode"], told["Reason"], retry] += 1
        else:
            seen[answer.status, answer.error or "", ""] += 1

    with (
        closing(socket.create_server(("127.0.0.1", 0), backlog=50)) as gate,
        ThreadPoolExecutor(50) as pool,
    ):
        gate.settimeout(60)
        event = {"gate": gate.getsockname()[1]}
        for _ in range(50):
            pool.submit(one, event)
        try:
            until(lambda: seen.total() >= 45, "not all others were told")
            for _ in range(5):
                gate.accept()[0].close()
        finally:
            gate.close()
    assert seen == {
        (200, "", ""): 5,
        (429, "ReservedFunctionConcurrentInvocationLimitExceeded", "1"): 45,
    }


def test_an_alias_splits_a_thousand_invocations_as_it_says(client: LambdaClient) -> None:
    name = create(client, ECHO)
    client.publish_version(FunctionName=name)
    client.update_function_configuration(FunctionName=name, Timeout=4)
    client.publish_version(FunctionName=name)
    client.create_alias(
        FunctionName=name,
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}},
    )
    with ThreadPoolExecutor(4) as pool:
        versions = pool.map(
            lambda _: invoke(client, name, {}, Qualifier="live").version, range(1000)
        )
        taken = Counter(versions)
    assert taken.total() == 1000
    assert abs(taken["2"] / 1000 - 0.1) <= 0.05  # five standard deviations


def post(server: LiveServer, name: str, headers: dict[str, str]) -> tuple[int, Any]:
    url = f"{server.url}/2015-03-31/functions/{name}/invocations"
    request = urllib.request.Request(url, b"{}", headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {
                **json.loads(error.read()),
                "code": error.headers["x-amzn-ErrorType"],
            }


def test_a_loop_is_stopped_at_the_seventeenth_invocation_unless_it_is_allowed(
    live: LiveServer, client: LambdaClient
) -> None:
    name = create(client, ECHO)
    trace, entries, status, answer = "", 0, 0, dict[str, str]()
    while entries < 30:  # what a function with an AWS SDK does: it hands its trace header on
        status, answer = post(live, name, {"X-Amzn-Trace-Id": trace} if trace else {})
        if status != 200:
            break
        trace, entries = answer[0], entries + 1
    assert (entries, status, answer["code"]) == (16, 400, "RecursiveInvocationException")
    assert "recursive loop" in answer["Message"]
    client.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
    assert post(live, name, {"X-Amzn-Trace-Id": trace})[0] == 200


def test_a_function_with_tenants_needs_one_and_another_refuses_it(
    client: LambdaClient,
) -> None:
    tenancy: Any = {"TenantIsolationMode": "PER_TENANT"}
    name, plain = create(client, ECHO, TenancyConfig=tenancy), create(client, ECHO)
    found: Any = client.get_function_configuration(FunctionName=name)
    assert found["TenancyConfig"] == tenancy
    client.update_function_configuration(FunctionName=name, Timeout=5)
    kept: Any = client.get_function_configuration(FunctionName=name)
    assert kept["TenancyConfig"] == tenancy
    assert invoke(client, name, {}, TenantId="blue").status == 200
    for members in ({"FunctionName": name}, {"FunctionName": plain, "TenantId": "blue"}):
        with pytest.raises(ClientError, match="tenancy configuration") as caught:
            client.invoke(**members)  # type: ignore[arg-type]
        assert caught.value.response["Error"]["Code"] == "InvalidParameterValueException"
    with pytest.raises(ClientError, match="tenantId"):
        client.invoke(FunctionName=name, TenantId="not,allowed")


def test_limits_and_aliases_outlive_the_server(tmp_path: Path) -> None:
    flags = ("--sandbox", "process", "--data-dir", str(tmp_path / "data"))
    with LiveServer(*flags) as server:
        api = server.client()
        name = create(api, ECHO)
        api.publish_version(FunctionName=name)
        api.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
        api.put_function_recursion_config(FunctionName=name, RecursiveLoop="Allow")
        url = f"{server.url}/api/admin/functions/{name}/rate-limit"
        request = urllib.request.Request(url, b'{"per_second": 1}', method="PUT")
        urllib.request.urlopen(request, timeout=60).close()
    with LiveServer(*flags) as server:
        api = server.client()
        assert api.get_function_recursion_config(FunctionName=name)["RecursiveLoop"] == "Allow"
        assert invoke(api, name, {}, Qualifier="live").version == "1"
        with pytest.raises(ClientError, match=r"Rate Exceeded\."):
            [invoke(api, name, {}) for _ in range(4)]


def until_ready(client: LambdaClient, name: str, qualifier: str) -> Any:
    def settled() -> Any:
        found: Any = client.get_provisioned_concurrency_config(
            FunctionName=name, Qualifier=qualifier
        )
        return None if found["Status"] == "IN_PROGRESS" else found

    return until(settled, "not ready in time")


def test_provisioned_environments_are_there_before_the_first_invocation_and_move_with_the_alias(
    client: LambdaClient,
) -> None:
    source = "import os\ndef handler(event, context):\n    return os.environ[event]\n"
    name = create(client, source)
    client.publish_version(FunctionName=name)
    client.update_function_configuration(FunctionName=name, Timeout=4)
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier="live", ProvisionedConcurrentExecutions=2
    )
    found = until_ready(client, name, "live")
    assert found["Status"] == "READY"
    assert found["AllocatedProvisionedConcurrentExecutions"] == 2
    assert found["AvailableProvisionedConcurrentExecutions"] == 2
    variable = "AWS_LAMBDA_INITIALIZATION_TYPE"
    for version in ("1", "2"):
        client.update_alias(FunctionName=name, Name="live", FunctionVersion=version)
        assert until_ready(client, name, "live")["Status"] == "READY"
        answer = invoke(client, name, variable, Qualifier="live")
        assert (answer.version, answer.payload) == (version, "provisioned-concurrency")
    client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="live")


def test_provisioned_environments_that_cannot_start_fail_and_say_why(client: LambdaClient) -> None:
    name = create(client, "raise ValueError('no')\n")
    client.publish_version(FunctionName=name)
    client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1
    )
    found = until_ready(client, name, "1")
    assert (found["Status"], bool(found["StatusReason"])) == ("FAILED", True)
    client.delete_provisioned_concurrency_config(FunctionName=name, Qualifier="1")

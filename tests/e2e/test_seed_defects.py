"""What Lambda@Home gets wrong, done right: a test for each defect that concerns what is built.

The numbers are those of its defect list: self-defeating soft stop, scheduling without
back-pressure, ghost consumers, prewarm under another key and so on.
"""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from functions_under_test import NODE, create, fresh_name, invoke
from live import LiveServer, zip_of
from observing import HOLDS_S, WITHOUT_SPARES, containers, short_idle, until

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

SLEEP = """
import os, time
def handler(event, context):
    time.sleep(event.get("seconds", 0))
    return {"n": event.get("n"), "stream": context.log_stream_name}
"""


@pytest.mark.docker
def test_1_a_stopped_container_is_restarted_before_a_new_one_is_made() -> None:
    with LiveServer(
        "--sandbox", "docker", "--ephemeral", environment=short_idle(200, 600_000)
    ) as server:
        client = server.client()
        name = create(client, SLEEP)
        invoke(client, name, {})
        (before,) = until(lambda: containers(server, "status=paused"), "it was not soft-stopped")
        invoke(client, name, {})
        (after,) = containers(server)
        assert after["ID"] == before["ID"]


def test_2_one_environment_does_not_swallow_the_queue(aws: LambdaClient) -> None:
    name = create(aws, SLEEP, Timeout=20)
    streams: set[str] = set()
    for seconds in HOLDS_S:
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(invoke, aws, name, {"seconds": seconds}) for _ in range(4)]
            streams = {call.result().payload["stream"] for call in calls}
        if len(streams) == 4:
            break
    assert len(streams) == 4, "they ran one after the other"


def test_3_a_dead_environment_steals_no_later_invocation(aws: LambdaClient) -> None:
    name = create(aws, "import os\ndef handler(event, context):\n    os._exit(1) if event else 0\n")
    for _ in range(3):
        assert invoke(aws, name, 1).payload["errorType"] == "Runtime.ExitError"
        assert invoke(aws, name, 0).error is None


@pytest.mark.slow
def test_4_an_environment_in_use_is_not_soft_stopped_under_load(server: LiveServer) -> None:
    kind = server.facts["sandbox"].split(":")[0]
    with LiveServer("--sandbox", kind, "--ephemeral", environment=short_idle(300, 3000)) as live:
        client = live.client()
        name = create(client, SLEEP, Timeout=20)
        streams = [invoke(client, name, {"seconds": 0.5}).payload["stream"] for _ in range(8)]
        assert len(set(streams)) == 1


@pytest.mark.docker
def test_5_the_first_invocations_make_one_container_each_and_no_orphan() -> None:
    with LiveServer("--sandbox", "docker", "--ephemeral", environment=WITHOUT_SPARES) as server:
        client = server.client()
        name = create(client, SLEEP, Timeout=20)
        invoke(client, name, {})
        for _ in range(3):
            invoke(client, name, {})
        assert len(containers(server)) == 1


def test_8_parallel_calls_of_two_functions_do_not_mix(aws: LambdaClient) -> None:
    names = [create(aws, SLEEP, Timeout=20) for _ in range(2)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda n: (n, invoke(aws, names[n % 2], {"n": n, "seconds": 0.05}).payload),
                range(40),
            )
        )
    assert all(n == answer["n"] for n, answer in answers)
    streams: list[set[str]] = [set(), set()]
    for n, answer in answers:
        streams[n % 2].add(answer["stream"])
    assert not streams[0] & streams[1]


@pytest.mark.docker
def test_9_swap_is_limited_with_the_memory() -> None:
    with LiveServer("--sandbox", "docker", "--ephemeral", environment=WITHOUT_SPARES) as server:
        client = server.client()
        name = create(client, SLEEP, MemorySize=256)
        invoke(client, name, {})
        (container,) = containers(server)
        command = ["docker", "inspect", "--format", "{{json .HostConfig}}", container["ID"]]
        shown = subprocess.run(command, check=True, capture_output=True)
        profile: dict[str, Any] = json.loads(shown.stdout)
        assert profile["Memory"] == profile["MemorySwap"] == 256 << 20


# -- claims of its API that were not in its code


def test_deleting_an_unknown_name_does_not_poison_it(aws: LambdaClient) -> None:
    name = fresh_name("poison")
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.delete_function(FunctionName=name)
    create(aws, SLEEP, name)
    assert invoke(aws, name, {}).error is None


def test_updated_code_really_runs(aws: LambdaClient) -> None:
    name = create(aws, "def handler(event, context):\n    return 'old'\n")
    assert invoke(aws, name).payload == "old"
    package = zip_of({"lambda_function.py": "def handler(event, context):\n    return 'new'\n"})
    aws.update_function_code(FunctionName=name, ZipFile=package)
    assert [invoke(aws, name).payload for _ in range(3)] == ["new"] * 3


@pytest.mark.parametrize(
    ("change", "expression", "value"),
    [
        ({"Handler": "lambda_function.other"}, "'handler'", "other"),
        ({"MemorySize": 256}, "str(context.memory_limit_in_mb)", "256"),
        ({"Timeout": 17}, "str(round(context.get_remaining_time_in_millis() / 1000))", "17"),
        ({"Environment": {"Variables": {"SET": "yes"}}}, "os.environ.get('SET')", "yes"),
    ],
)
def test_updated_settings_reach_the_next_invocation(
    aws: LambdaClient, change: dict[str, Any], expression: str, value: str
) -> None:
    source = f"import os\ndef handler(event, context):\n    return {expression}\n"
    name = create(aws, f"{source}def other(event, context):\n    return 'other'\n")
    assert invoke(aws, name).payload != value
    aws.update_function_configuration(FunctionName=name, **change)
    assert invoke(aws, name).payload == value


def test_published_versions_count_up_and_keep_their_code(aws: LambdaClient) -> None:
    name = create(aws, "def handler(event, context):\n    return 1\n")
    assert aws.publish_version(FunctionName=name)["Version"] == "1"
    assert aws.publish_version(FunctionName=name)["Version"] == "1", "nothing has changed"
    package = zip_of({"lambda_function.py": "def handler(event, context):\n    return 2\n"})
    aws.update_function_code(FunctionName=name, ZipFile=package)
    assert aws.publish_version(FunctionName=name)["Version"] == "2"
    assert [invoke(aws, name, Qualifier=q).payload for q in ("1", "2", "$LATEST")] == [1, 2, 2]


def test_the_handler_string_is_honoured_and_node_gets_a_context(aws: LambdaClient) -> None:
    source = "exports.other = async (event, context) => [event, context.functionName];"
    name = create(aws, source, Runtime=NODE, Handler="index.other")
    assert invoke(aws, name, 5).payload == [5, name]


def test_reserved_concurrency_zero_refuses_at_once_and_does_not_hang(aws: LambdaClient) -> None:
    name = create(aws, SLEEP, Timeout=60)
    aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    start = time.monotonic()
    with pytest.raises(aws.exceptions.TooManyRequestsException):
        invoke(aws, name, {})
    assert time.monotonic() - start < 20


@pytest.mark.slow
def test_the_global_limit_is_that_of_the_configuration(server: LiveServer) -> None:
    kind = server.facts["sandbox"].split(":")[0]
    limit = {"LAMBDA_HOME_LIMITS__MAX_GLOBAL_CONCURRENCY": "2"}
    with LiveServer("--sandbox", kind, "--ephemeral", environment=limit) as live:
        client = live.client()
        name = create(client, SLEEP, Timeout=20)
        assert client.get_account_settings()["AccountLimit"]["ConcurrentExecutions"] == 2

        def call(_: int) -> str:
            try:
                return "ran" if invoke(client, name, {"seconds": 3}).error is None else "failed"
            except ClientError as error:
                response: Any = error.response
                return str(response["Reason"])

        with ThreadPoolExecutor(3) as pool:
            outcomes = sorted(pool.map(call, range(3)))
        assert outcomes == ["ConcurrentInvocationLimitExceeded", "ran", "ran"]


def test_no_origin_is_let_in_by_cors(server: LiveServer) -> None:
    command = ["curl", "-sSi", "-H", "Origin: http://evil.example", f"{server.url}/api/healthz"]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "access-control-allow-origin" not in answer.lower()


def test_a_function_cannot_ask_for_another_ones_work(aws: LambdaClient) -> None:
    """Spoofing: any host name but the environment's own is refused, on every route."""
    source = """
import http.client, os
def handler(event, context):
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
    found = []
    for name in ("localhost", "0" * 32 + ".lambda-home.internal", "127.0.0.1"):
        connection = http.client.HTTPConnection(host, int(port), timeout=15)
        path = "/2018-06-01/runtime/invocation/next"
        connection.request("GET", path, headers={"Host": name})
        found.append(connection.getresponse().status)
        connection.close()
    return found
"""
    name = create(aws, source, Timeout=20)
    assert invoke(aws, name).payload == [403, 403, 403]

"""What Lambda@Home's scripts tried, `test-autoscaling.sh` and `test-apigw-proxy.sh`, as tests.

`test-node-runtimes.sh` is in test_runtimes. Each of these fails on a server that does not scale.
"""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from functions_under_test import create, fresh_name, invoke
from live import LiveServer

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process
CONCURRENCY = 8  # the script's
SLOW = "import time\ndef handler(event, context): time.sleep(0.3)"
QUICK = "def handler(event, context): return 1"
MADE = """
import json
def handler(event, context):
    return {
        "statusCode": 201,
        "headers": {"X-Made-By": "function"},
        "body": json.dumps({"method": event["httpMethod"], "body": event["body"]}),
    }
"""


def environments(server: LiveServer, name: str) -> int:
    """How many the warm pool has, as the script asks it."""
    with urllib.request.urlopen(f"{server.url}/api/admin/warm-pool/{name}") as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return int(found["total"])


def test_a_burst_gets_more_than_one_environment(
    process_server: LiveServer, api: LambdaClient
) -> None:
    name = create(api, SLOW, Timeout=20)
    with ThreadPoolExecutor(CONCURRENCY) as callers:
        answers = list(callers.map(lambda _: invoke(api, name, {}), range(CONCURRENCY)))
    assert [answer.error for answer in answers] == [None] * CONCURRENCY
    assert 2 <= environments(process_server, name) <= CONCURRENCY


def test_calls_one_after_the_other_let_nothing_grow(
    process_server: LiveServer, api: LambdaClient
) -> None:
    name = create(api, QUICK)
    assert invoke(api, name, {}).payload == 1
    before = environments(process_server, name)
    assert [invoke(api, name, {}).payload for _ in range(5)] == [1] * 5
    assert environments(process_server, name) == before == 1


def test_status_and_headers_of_a_function_reach_the_client(
    process_server: LiveServer, api: LambdaClient
) -> None:
    name, path = create(api, MADE), f"/{fresh_name('made')}"
    route = json.dumps({"path": path, "function_name": name, "method": "POST"}).encode()
    routes = f"{process_server.url}/api/admin/api-gateway/routes"
    urllib.request.urlopen(routes, data=route).close()
    with urllib.request.urlopen(f"{process_server.url}{path}", data=b"hello") as answer:
        assert (answer.status, answer.headers["X-Made-By"]) == (201, "function")
        assert json.loads(answer.read()) == {"method": "POST", "body": "hello"}

"""Rows 57 and 58 of the seeds' features: figures of what really ran, and a line for each of it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from functions_under_test import create, fresh_name
from live import LiveServer
from observing import HOLDS_S, WITHOUT_SPARES, until
from polling import refusal
from raw_http import request
from scraping import INVOCATION_FIELDS, Series, figure, scraped

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

EVERYTHING = """
import os, time
def handler(event, context):
    time.sleep(event.get("sleep", 0))
    if event.get("fail"):
        raise ValueError("asked for")
    if event.get("exit"):
        os._exit(3)
    return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
"""
BROKEN = "raise RuntimeError('no init')\n"


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    environment = {
        **WITHOUT_SPARES,
        "LAMBDA_HOME_LOGGING__INVOCATIONS": "true",
        "LAMBDA_HOME_PREWARM__ON_CREATE": "false",
        "LAMBDA_HOME_PREWARM__EWMA": "false",
    }
    with LiveServer("--ephemeral", "--sandbox", "process", environment=environment) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: LiveServer) -> LambdaClient:
    return server.client()


def call(client: LambdaClient, name: str, event: dict[str, Any] | None = None, **more: Any) -> str:
    payload = json.dumps(event or {}).encode()
    answer = client.invoke(FunctionName=name, Payload=payload, **more)
    return str(answer["Payload"].read(), "utf-8")


def six(found: Series, name: str) -> dict[str, float]:
    return {
        figure_name: figure(found, figure_name, function=name)
        for figure_name in (
            "lambda_invocations_total",
            "lambda_errors_total",
            "lambda_throttles_total",
            "lambda_cold_starts_total",
            "lambda_duration_ms_count",
            "lambda_init_duration_ms_count",
        )
    }


def lines_of(server: LiveServer, name: str, count: int) -> list[dict[str, Any]]:
    def found() -> list[dict[str, Any]] | None:
        lines = [
            json.loads(line) for line in list(server.output) if f'"function": "{name}"' in line
        ]
        return lines if len(lines) >= count else None

    lines: list[dict[str, Any]] = until(found, "the lines never came")
    return lines


def test_the_six_metrics_move_and_each_invocation_is_a_line(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, EVERYTHING, Timeout=1)
    for event in ({}, {}, {"fail": True}, {"exit": True}, {"sleep": 5}, {}):
        call(client, name, event)
    found = until(
        lambda: (
            (s := scraped(server))
            and figure(s, "lambda_errors_total", function=name) == 3
            and figure(s, "lambda_invocations_total", function=name) == 6
            and s
        ),
        "three errors of six",
    )
    assert six(found, name) == {
        "lambda_invocations_total": 6,
        "lambda_errors_total": 3,
        "lambda_throttles_total": 0,
        "lambda_cold_starts_total": 3,  # the first, after the exit, after the timeout
        "lambda_duration_ms_count": 6,
        "lambda_init_duration_ms_count": 3,
    }
    labels = {"account": "000000000000", "region": "us-east-1", "version": "$LATEST"}
    bucket = figure(found, "lambda_duration_ms_bucket", function=name, le="+Inf", **labels)
    assert bucket == 6
    assert figure(found, "lambda_duration_ms_sum", function=name) > 1000  # the timeout

    lines = lines_of(server, name, 6)
    assert len(lines) == 6
    assert all(list(line) == INVOCATION_FIELDS for line in lines)
    assert len({line["req_id"] for line in lines}) == 6
    assert len({line["container_id"] for line in lines}) == 3
    assert [line["message"] for line in lines] == [
        "invocation succeeded",
        "invocation succeeded",
        "invocation failed: ValueError",
        "invocation failed: Runtime.ExitError",
        "invocation failed: Sandbox.Timedout",
        "invocation succeeded",
    ]
    assert all(line["billed_ms"] >= line["duration_ms"] > 0 for line in lines)
    assert all(line["mem_peak_mb"] > 0 for line in lines[:3])


def test_the_billed_time_in_the_line_is_that_of_the_report(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, EVERYTHING)
    answer = client.invoke(FunctionName=name, Payload=b"{}", LogType="Tail")
    report = base64.b64decode(answer["LogResult"]).decode()
    (line,) = lines_of(server, name, 1)
    assert f"RequestId: {line['req_id']}\t" in report
    assert f"\tBilled Duration: {line['billed_ms']} ms\t" in report
    assert f"\tDuration: {line['duration_ms']:.2f} ms\t" in report
    assert f"\tMax Memory Used: {line['mem_peak_mb']} MB\t" in report


def test_cold_starts_are_as_many_as_environments_that_somebody_waited_for(
    server: LiveServer, client: LambdaClient
) -> None:
    def burst(name: str, seconds: float) -> set[str]:
        with ThreadPoolExecutor(5) as threads:
            return set(threads.map(lambda _: call(client, name, {"sleep": seconds}), range(5)))

    name = ""
    for seconds in HOLDS_S:
        name = create(client, EVERYTHING, Timeout=30)
        if len(burst(name, seconds)) == 5:
            break
    for _ in range(2):  # the second burst finds the environments of the first
        found = scraped(server)
        assert figure(found, "lambda_cold_starts_total", function=name) == 5
        assert figure(found, "lambda_init_duration_ms_count", function=name) == 5
        until(
            lambda: (
                figure(scraped(server), "lambda_home_environments", function=name, state="idle")
                == 5
            ),
            "they are not idle again",
        )
        burst(name, 0.5)
    assert figure(scraped(server), "lambda_invocations_total", function=name) == 15


def test_nobody_waits_for_a_provisioned_environment(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, EVERYTHING)
    client.publish_version(FunctionName=name)
    client.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1
    )
    until(
        lambda: (
            client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")["Status"]
            == "READY"
        ),
        "never provisioned",
    )
    call(client, name, Qualifier="1")
    found = scraped(server)
    assert figure(found, "lambda_invocations_total", function=name, version="1") == 1
    assert figure(found, "lambda_cold_starts_total", function=name) == 0
    assert figure(found, "lambda_init_duration_ms_count", function=name, version="1") == 1


def test_a_failed_init_is_an_invocation_an_error_and_a_cold_start(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, BROKEN)
    call(client, name)
    found = six(scraped(server), name)
    assert found["lambda_invocations_total"] == found["lambda_duration_ms_count"] == 1
    assert found["lambda_errors_total"] == found["lambda_cold_starts_total"] == 1


def test_throttles_count_by_reason_and_are_no_invocations(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, EVERYTHING)
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    for _ in range(2):
        assert refusal(client.invoke, FunctionName=name)[0] == 429
    client.delete_function_concurrency(FunctionName=name)
    path = f"/api/admin/functions/{name}/rate-limit"
    request(server, "PUT", path, b'{"per_second": 1}')
    answers = [
        request(server, "POST", f"/2015-03-31/functions/{name}/invocations", b"{}")[0]
        for _ in range(9)
    ]
    found = scraped(server)
    reserved = "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert figure(found, "lambda_throttles_total", function=name, reason=reserved) == 2
    rate = "FunctionInvocationRateLimitExceeded"
    refused = answers.count(429)
    assert refused > 0
    assert figure(found, "lambda_throttles_total", function=name, reason=rate) == refused
    assert figure(found, "lambda_invocations_total", function=name) == answers.count(200)


def test_what_waits_and_runs_is_seen_while_it_does(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, EVERYTHING)
    client.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"sleep": 2}')

    def seen() -> bool:
        found = scraped(server)
        busy = figure(found, "lambda_home_environments", function=name, state="busy")
        age = figure(found, "lambda_home_async_oldest_event_age_seconds")
        backlog = figure(found, "lambda_home_async_backlog")
        return busy == 1 and backlog == 1 and 0 < age < 30

    until(seen, "the event was never seen running")
    until(
        lambda: figure(scraped(server), "lambda_home_async_backlog") == 0, "the event is never done"
    )


def test_series_of_deleted_functions_and_versions_go(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, EVERYTHING)
    client.publish_version(FunctionName=name)
    call(client, name)
    call(client, name, Qualifier="1")
    both = scraped(server)
    client.delete_function(FunctionName=name, Qualifier="1")
    one = scraped(server)
    client.delete_function(FunctionName=name)
    assert figure(both, "lambda_invocations_total", function=name) == 2
    assert figure(one, "lambda_invocations_total", function=name) == 1
    gone = scraped(server)
    assert not [key for key in gone if key[0] in six(gone, name) and ("function", name) in key[1]]
    until(  # its environments end a moment later
        lambda: f'"{name}"' not in request(server, "GET", "/metrics")[2].decode(), "still there"
    )


def test_answers_of_the_front_are_counted_by_their_status(server: LiveServer) -> None:
    before = scraped(server)
    name = fresh_name()
    for path in (f"/2015-03-31/functions/{name}", "/2015-03-31/functions", f"/{name}"):
        request(server, "GET", path)
    request(server, "POST", f"/2015-03-31/functions/{name}/invocations", b"{}")
    after = scraped(server)

    def grown(status: str) -> float:
        counter = "lambda_home_http_requests_total"
        return figure(after, counter, status=status) - figure(before, counter, status=status)

    assert (grown("2xx"), grown("4xx"), grown("5xx")) == (2, 3, 0)  # and the scrape before


def test_both_paths_serve_text_and_openmetrics_by_accept(server: LiveServer) -> None:
    for path in ("/metrics", "/api/metrics"):
        _, headers, body = request(server, "GET", path)
        assert headers["content-type"].startswith("text/plain")
        assert b"# TYPE lambda_invocations_total counter" in body
        accept = "application/openmetrics-text; version=1.0.0"
        _, headers, body = request(server, "GET", path, Accept=accept)
        assert headers["content-type"].startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")


def test_the_level_of_the_log_is_changed_in_the_running_server(
    server: LiveServer, client: LambdaClient
) -> None:
    name = create(client, EVERYTHING)
    path = "/api/admin/log-level"
    try:
        assert json.loads(request(server, "PUT", path, b'{"level": "warning"}')[2]) == {
            "level": "warning",
            "invocations": True,
        }
        call(client, name)
    finally:
        request(server, "PUT", path, b'{"level": "info", "invocations": true}')
    call(client, name)
    assert len(lines_of(server, name, 1)) == 1

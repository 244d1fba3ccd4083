"""Row 11 of the seeds' features: Lambda@Home's statistics, and who may read what a server tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import SANDBOXES
from functions_under_test import create, fresh_name, invoke
from live import LiveServer
from observing import WITHOUT_SPARES, containers, until
from raw_http import request
from scraping import figure, scraped
from signing import Key, first_key, locked_server

SLOW = "import time\ndef handler(event, context):\n    time.sleep(event)\n"
STATS = {
    "total_functions",
    "active_functions",
    "stopped_functions",
    "failed_functions",
    "total_memory_mb",
    "total_cpu_cores",
    "warm_containers",
    "active_containers",
    "idle_containers",
    "total_invocations_24h",
    "successful_invocations_24h",
    "failed_invocations_24h",
    "avg_duration_ms",
    "max_duration_ms",
    "min_duration_ms",
}
DOCKER = {"system_info", "disk_usage", "version", "cache_stats"}


@pytest.fixture(scope="module", params=SANDBOXES)
def server(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    idle = {"LAMBDA_HOME_IDLE__SOFT_MS": "400", "LAMBDA_HOME_PREWARM__ON_CREATE": "false"}
    environment = {**WITHOUT_SPARES, **idle}
    with LiveServer("--ephemeral", "--sandbox", request.param, environment=environment) as running:
        yield running


def read(server: LiveServer, path: str) -> Any:
    status, _, body = request(server, "GET", path)
    assert status == 200, body
    return json.loads(body)


def test_the_warm_pool_is_told_in_lambda_at_homes_words(server: LiveServer) -> None:
    client = server.client()
    name = create(client, SLOW, Timeout=10)
    path = f"/admin/warm-pool/{name}"
    assert read(server, path) == {
        "total": 0,
        "warm_idle": 0,
        "active": 0,
        "stopped": 0,
        "entries": [],
    }
    client.invoke(FunctionName=name, InvocationType="Event", Payload=b"1")
    busy = until(lambda: (p := read(server, path))["active"] and p, "never active")
    assert (busy["total"], busy["warm_idle"], busy["stopped"]) == (1, 0, 0)
    assert set(busy["entries"][0]) == {"container_id", "state", "idle_for_ms"}
    assert (busy["entries"][0]["state"], busy["entries"][0]["idle_for_ms"]) == ("Active", 0)
    assert len(read(server, f"/api/admin/warm-pool/{name}:$LATEST")["entries"]) == 1

    def stopped() -> Any:
        pool = read(server, path)
        return pool if pool["stopped"] else None

    idle = until(stopped, "never stopped")
    (entry,) = idle["entries"]
    assert entry["container_id"] == busy["entries"][0]["container_id"]
    assert (entry["state"], idle["active"], idle["warm_idle"]) == ("Stopped", 0, 0)
    assert entry["idle_for_ms"] >= 400  # since its last invocation, not since it was stopped
    if server.facts["sandbox"].startswith("docker"):
        by_id = f"label=lambda-home.environment={entry['container_id']}"
        until(lambda: containers(server, by_id)[0]["State"] == "paused", "never paused")


def test_a_function_that_does_not_exist_has_no_warm_pool(server: LiveServer) -> None:
    status, _, body = request(server, "GET", f"/admin/warm-pool/{fresh_name()}")
    assert status == 404
    assert "Function not found" in json.loads(body)["Message"]


def test_the_services_statistics_are_of_what_there_is_and_what_ran(server: LiveServer) -> None:
    client = server.client()
    before = read(server, "/lambda-service-stats")
    assert set(before) == STATS
    name = create(client, SLOW, MemorySize=2048)
    invoke(client, name, 0.05)
    client.invoke(FunctionName=name, Payload=b'"no number"')
    until(
        lambda: (
            read(server, "/lambda-service-stats")["failed_invocations_24h"]
            == before["failed_invocations_24h"] + 1
        ),
        "the failure is never counted",
    )
    after = read(server, "/api/admin/lambda-service-stats")
    grown = {member: after[member] - before[member] for member in STATS}
    assert grown["total_functions"] == grown["active_functions"] == 1
    assert (grown["total_memory_mb"], grown["total_cpu_cores"]) == (2048, 2)
    assert (grown["total_invocations_24h"], grown["successful_invocations_24h"]) == (2, 1)
    assert after["warm_containers"] == after["active_containers"] + after["idle_containers"] > 0
    assert after["min_duration_ms"] <= after["avg_duration_ms"] <= after["max_duration_ms"]
    assert after["max_duration_ms"] >= 50


def test_docker_tells_of_itself_where_it_is_used_and_the_cache_counts(server: LiveServer) -> None:
    client = server.client()
    name = create(client, SLOW)
    before = read(server, "/docker-stats")
    assert set(before) == DOCKER
    for _ in range(3):
        invoke(client, name, 0)
    after = read(server, "/api/admin/docker-stats")
    cache = {n: after["cache_stats"]["functions"][n] for n in ("hits", "misses", "size")}
    assert cache["hits"] - before["cache_stats"]["functions"]["hits"] >= 2
    assert cache["misses"] >= 1
    assert 0 < after["cache_stats"]["functions"]["hit_rate"] < 1
    if server.facts["sandbox"].startswith("docker"):
        info = after["system_info"]
        assert info["containers_running"] >= 1
        assert info["memory_total"] > info["memory_available"] > 0
        assert info["server_version"] == after["version"]["version"]
        assert all(image["size"] > 0 for image in after["disk_usage"]["images"])
        assert after["disk_usage"]["layers_size"] > 0
    else:
        assert after["system_info"] is after["version"] is after["disk_usage"] is None


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"level": "loud"}',
        '{"level": 3}',
        '{"level": ["info"]}',
        '{"level": null}',
        '{"level": "info", "more": 1}',
        '{"invocations": 1}',
    ],
)
def test_a_bad_level_is_refused_with_what_would_be_good(server: LiveServer, body: str) -> None:
    status, _, said = request(server, "PUT", "/api/admin/log-level", body.encode())
    assert status == 400
    assert "debug, info, warning, error" in json.loads(said)["message"]
    assert read(server, "/api/admin/log-level") == {"level": "info", "invocations": False}


@pytest.mark.process
def test_a_locked_server_tells_only_those_who_may_know(tmp_path_factory: Any) -> None:
    with locked_server(tmp_path_factory.mktemp("locked")) as (server, root):
        viewer = first_key(server.data_dir, "viewer", "looker")
        invoker = first_key(server.data_dir, "invoker", "caller")

        def status(key: Key | None, path: str, method: str = "GET", body: bytes = b"") -> int:
            return request(server, method, path, body, **(key.bearer if key else {}))[0]

        for path in (
            "/metrics",
            "/api/metrics",
            "/docker-stats",
            "/lambda-service-stats",
            "/api/admin/lambda-service-stats",
        ):
            assert status(None, path) == 403, path
            assert status(invoker, path) == 403, path
            assert status(viewer, path) == 200, path
        assert status(invoker, "/admin/warm-pool/any") == 403
        assert status(viewer, "/admin/warm-pool/any") == 404
        level = b'{"level": "debug"}'
        assert status(viewer, "/api/admin/log-level", "PUT", level) == 403
        assert status(root, "/api/admin/log-level", "PUT", level) == 200
        found = scraped(server, **viewer.bearer)
        assert figure(found, "lambda_home_http_requests_total", status="4xx") >= 11
        assert status(None, "/healthz") == 200

"""Routes of the path proxy by the admin API, and that they outlast a server that is killed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live import ROLE, LiveServer, zip_of
from raw_http import request

SEEDS = "/api/admin/api-gateway/routes"
ALSO = "/admin/api-gateway/routes"
BAD: dict[str, dict[str, Any]] = {
    "no path": {"path": None},
    "no function": {"function_name": None},
    "unknown function": {"function_name": "nobody"},
    "unknown alias": {"function_name": "pets:nothing"},
    "unknown version": {"function_name": "pets:77"},
    "relative path": {"path": "pets"},
    "query": {"path": "/pets?x=1"},
    "empty segment": {"path": "/pets//x"},
    "dots": {"path": "/pets/../x"},
    "encoded dots": {"path": "/pets/%2e%2E/x"},
    "bad escape": {"path": "/pets/%zz"},
    "half a parameter": {"path": "/pets/{id"},
    "parameter and text": {"path": "/pets/a{id}"},
    "greedy before the end": {"path": "/{all+}/pets"},
    "one parameter twice": {"path": "/{a}/{a}"},
    "line break": {"path": "/pets\r\nx: y"},
    "long path": {"path": "/" + "x" * 2000},
    "the server's path": {"path": "/api/pets"},
    "an AWS path": {"path": "/2015-03-31/functions"},
    "method": {"method": "FETCH"},
    "method type": {"method": 1},
    "format": {"payload_format": "3.0"},
    "format type": {"payload_format": 2.0},
    "flag": {"strip_prefix": "yes"},
    "stage variables": {"stage_variables": {"a": 1}},
    "authorization": {"authorization": "JWT"},
    "throttle": {"throttle": {"rate_limit": 1}},
    "throttle range": {"throttle": {"rate_limit": 0, "burst_limit": 1}},
    "body limit": {"max_body_bytes": -1},
    "timeout": {"timeout_ms": 0},
    "host": {"host": "http://pets.example"},
    "unknown member": {"paht": "/x"},
    "origin": {"cors": {"allow_origins": ["pets.example/page"]}},
    "any origin with credentials": {"cors": {"allow_origins": ["*"], "allow_credentials": True}},
    "cors member": {"cors": {"origins": ["*"]}},
    "cors header": {"cors": {"allow_headers": ["a b"]}},
}


def call(server: LiveServer, method: str, path: str, document: object = None) -> tuple[int, Any]:
    body = b"" if document is None else json.dumps(document).encode()
    status, _, answer = request(server, method, path, body)
    return status, json.loads(answer) if answer else None


def make_function(server: LiveServer, name: str) -> None:
    """A function that nobody runs."""
    server.client().create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="lambda_function.handler",
        Role=ROLE,
        Code={"ZipFile": zip_of({"lambda_function.py": "handler = print"})},
    )


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with LiveServer("--ephemeral", "--sandbox", "process") as started:
        make_function(started, "pets")
        yield started


@pytest.fixture(autouse=True)
def _no_routes_left(server: LiveServer) -> Iterator[None]:
    yield
    for route in call(server, "GET", SEEDS)[1]:
        assert call(server, "DELETE", f"{SEEDS}/{route['route_id']}")[0] == 204


@pytest.mark.parametrize("path", [SEEDS, ALSO])
def test_a_route_is_made_found_replaced_and_removed(server: LiveServer, path: str) -> None:
    given = {"path": "/pets", "method": "get", "function_name": "pets"}
    status, made = call(server, "POST", path, given)
    assert status == 201
    assert {"path": "/pets", "method": "GET", "function_name": "pets"}.items() <= made.items()
    assert made["created_at"].endswith("Z")
    one = f"{path}/{made['route_id']}"
    assert call(server, "GET", one) == (200, made)
    assert call(server, "GET", path) == (200, [made])
    changed = {"path": "/cats/{id}", "function_name": "pets", "payload_format": "2.0"}
    status, replaced = call(server, "PUT", one, changed)
    assert (status, replaced["path"], replaced["method"]) == (200, "/cats/{id}", None)
    assert (replaced["route_id"], replaced["created_at"]) == (made["route_id"], made["created_at"])
    assert call(server, "PUT", one, replaced) == (200, replaced)
    assert call(server, "DELETE", one) == (204, None)
    assert call(server, "GET", path) == (200, [])
    for method in ("GET", "PUT", "DELETE"):
        document = changed if method == "PUT" else None
        assert call(server, method, one, document)[0] == 404


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_bad_routes_are_refused_in_one_line_and_nothing_is_kept(
    server: LiveServer, change: dict[str, Any]
) -> None:
    given = {"path": "/pets", "function_name": "pets", **change}
    status, headers, body = request(server, "POST", SEEDS, json.dumps(given).encode())
    assert (status, headers["x-amzn-errortype"]) == (400, "InvalidParameterValueException")
    message = json.loads(body)["message"]
    assert message
    assert "\n" not in message
    assert call(server, "GET", SEEDS) == (200, [])


@pytest.mark.parametrize("body", [b"[]", b"{", b'"x"', b'{"path": NaN}', b"\xff"])
def test_a_body_that_is_no_object_is_refused(server: LiveServer, body: bytes) -> None:
    status, headers, _ = request(server, "POST", SEEDS, body)
    assert (status, headers["x-amzn-errortype"]) == (400, "InvalidParameterValueException")


def test_a_body_without_end_is_refused(server: LiveServer) -> None:
    assert request(server, "POST", SEEDS, b" " * 300_000)[0] == 413


def test_a_failed_replacement_leaves_the_route_as_it_was(server: LiveServer) -> None:
    _, made = call(server, "POST", SEEDS, {"path": "/pets", "function_name": "pets"})
    one = f"{SEEDS}/{made['route_id']}"
    assert call(server, "PUT", one, {"path": "/pets", "function_name": "nobody"})[0] == 400
    assert call(server, "GET", one) == (200, made)


def test_only_the_same_host_path_and_method_is_a_conflict(server: LiveServer) -> None:
    def post(**members: object) -> int:
        return call(server, "POST", SEEDS, {"function_name": "pets", **members})[0]

    assert post(path="/pets/{id}", method="GET") == 201
    assert post(path="/pets/{id}", method="POST") == 201
    assert post(path="/pets/{id}") == 201
    assert post(path="/pets/{id}", method="GET", host="pets.localhost") == 201
    assert post(path="/pets/{other}/", method="GET") == 409
    assert post(path="/pets/{id}", method="ANY") == 409
    assert post(path="/pets/{id+}", method="GET") == 201


def test_routes_outlast_a_server_that_is_killed(tmp_path: Path) -> None:
    flags = ("--data-dir", str(tmp_path), "--sandbox", "process")
    server = LiveServer(*flags)
    with server:
        make_function(server, "pets")
        given = {"path": "/pets", "function_name": "pets", "stage_variables": {"a": "b"}}
        _, made = call(server, "POST", SEEDS, given)
        server.stop(signal.SIGKILL)
    with LiveServer(*flags) as again:
        assert call(again, "GET", SEEDS) == (200, [made])
        assert call(again, "POST", SEEDS, given)[0] == 409

"""`/api/admin/secrets` of a live server, byte by byte; and no answer ever has a value."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from functions_under_test import fresh_name
from live import LiveServer

PATHS = ("/api/admin/secrets", "/admin/secrets")
VALUE = "correct-horse-battery"


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def call(server: LiveServer, method: str, path: str, body: Any = None, **options: Any) -> Any:
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    answer = httpx.request(method, f"{server.url}{path}", content=content, timeout=60, **options)
    assert VALUE not in answer.text
    return answer


def listed(server: LiveServer, path: str, name: str) -> dict[str, str]:
    answer = call(server, "GET", path)
    assert answer.status_code == 200
    found: dict[str, dict[str, str]] = {each["name"]: each for each in answer.json()["secrets"]}
    return found.get(name, {})


def test_a_secret_goes_through_its_life(process_server: LiveServer, path: str) -> None:
    name = fresh_name("life")
    made = call(process_server, "POST", path, {"name": name, "value": VALUE})
    assert made.status_code == 201
    first = listed(process_server, path, name)
    assert first == made.json()
    assert set(first) == {"name", "created_at", "updated_at"}
    assert first["created_at"] == first["updated_at"]
    again = call(process_server, "POST", path, {"name": name, "value": "rotated"})
    assert again.status_code == 201
    assert again.json()["created_at"] == first["created_at"]
    assert again.json()["updated_at"] > first["updated_at"]
    put = call(process_server, "PUT", f"{path}/{name}", {"value": "rotated again"})
    assert (put.status_code, put.json()["created_at"]) == (200, first["created_at"])
    deleted = call(process_server, "DELETE", f"{path}/{name}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert not listed(process_server, path, name)
    gone = call(process_server, "DELETE", f"{path}/{name}")
    assert (gone.status_code, gone.headers["x-amzn-errortype"]) == (
        404,
        "ResourceNotFoundException",
    )
    assert name in gone.json()["Message"]


def test_both_paths_show_the_same(process_server: LiveServer) -> None:
    name = fresh_name("same")
    call(process_server, "POST", PATHS[1], {"name": name, "value": VALUE})
    shown = listed(process_server, PATHS[0], name)
    assert shown["name"] == name
    assert shown == listed(process_server, PATHS[1], name)


@pytest.mark.parametrize(
    "name", ["a", "A-Z_0.9", "prod/db/password", "/leading", "x" * 256, "secrets", "..."]
)
def test_a_name_may_be(process_server: LiveServer, name: str) -> None:
    path = PATHS[0]
    assert call(process_server, "POST", path, {"name": name, "value": "x"}).status_code == 201
    assert call(process_server, "PUT", f"{path}/{name}", {"value": "y"}).status_code == 200
    assert call(process_server, "DELETE", f"{path}/{name}").status_code == 204


@pytest.mark.parametrize(
    "name", ["", "a b", "ü", "a:b", "a\n", "x" * 257, "../etc", "a/./b", "..", "a%2fb", 7, None, []]
)
def test_a_name_may_not_be(process_server: LiveServer, name: Any) -> None:
    refused = call(process_server, "POST", PATHS[0], {"name": name, "value": VALUE})
    assert refused.status_code == 400
    assert refused.headers["x-amzn-errortype"] == "InvalidParameterValueException"
    assert "1 to 256" in refused.json()["message"]


@pytest.mark.parametrize("value", ["", "x" * 65_536, "ü" * 32_768, "two\nlines", "\u2028"])
def test_a_value_may_be(process_server: LiveServer, value: str) -> None:
    name = fresh_name("value")
    made = call(process_server, "POST", PATHS[0], {"name": name, "value": value})
    assert made.status_code == 201


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "n", "value": VALUE + "x" * 65_536}, 400, "InvalidParameterValueException"),
        ({"name": "n", "value": "ü" * 32_769}, 400, "InvalidParameterValueException"),
        ({"name": "n", "value": f"{VALUE}\0"}, 400, "InvalidParameterValueException"),
        ({"name": "n", "value": None}, 400, "InvalidParameterValueException"),
        ({"name": "n", "value": {"a": VALUE}}, 400, "InvalidParameterValueException"),
        ({"name": "n", "value": 7}, 400, "InvalidParameterValueException"),
        ({"name": "n"}, 400, "InvalidParameterValueException"),
        ({"value": VALUE}, 400, "InvalidParameterValueException"),
        ({"name": "n", "value": VALUE, "more": 1}, 400, "InvalidParameterValueException"),
        (b"", 400, "InvalidParameterValueException"),
        (f'{{"name": "n", "value": "{VALUE}"'.encode(), 400, "SerializationException"),
        (f'["{VALUE}"]'.encode(), 400, "SerializationException"),
        (b"\xff" + VALUE.encode(), 400, "SerializationException"),
        (b"[" * 100_000, 400, "SerializationException"),
        (b" " * 500_000, 413, "RequestEntityTooLargeException"),
    ],
)
def test_a_body_that_is_no_secret_is_refused_in_awss_shape(
    process_server: LiveServer, body: Any, status: int, code: str
) -> None:
    refused = call(process_server, "POST", PATHS[0], body)
    assert (refused.status_code, refused.headers["x-amzn-errortype"]) == (status, code)
    message = refused.json().get("message") or refused.json()["Message"]
    assert len(message.splitlines()) == 1
    assert not listed(process_server, PATHS[0], "n")


def test_a_put_must_mean_the_secret_of_its_path(process_server: LiveServer) -> None:
    path = f"{PATHS[0]}/{fresh_name('put')}"
    for body in ({"name": "other", "value": "x"}, {"value": "x", "more": 1}, {}):
        assert call(process_server, "PUT", path, body).status_code == 400
    assert call(process_server, "PUT", f"{PATHS[0]}/a%20b", {"value": "x"}).status_code == 400


def test_a_caller_sees_the_secrets_of_their_account_and_region(process_server: LiveServer) -> None:
    name = fresh_name("mine")
    call(process_server, "POST", PATHS[0], {"name": name, "value": VALUE})

    def seen_by(account: str, region: str) -> bool:
        scope = f"AWS4-HMAC-SHA256 Credential={account}/20261121/{region}/lambda/aws4_request"
        headers = {"authorization": f"{scope}, SignedHeaders=host, Signature=0"}
        return name in call(process_server, "GET", PATHS[0], headers=headers).text

    assert seen_by("000000000000", "us-east-1")
    assert not seen_by("111111111111", "us-east-1")
    assert not seen_by("000000000000", "eu-west-1")

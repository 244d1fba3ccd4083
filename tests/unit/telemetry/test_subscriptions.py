"""What may be asked of the Telemetry and the Logs API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_home.telemetry.records import Category, Schema
from lambda_home.telemetry.subscriptions import (
    Api,
    Buffering,
    Destination,
    Subscription,
    SubscriptionRefusedError,
    parse,
)

GOOD: dict[str, Any] = {
    "schemaVersion": "2022-07-01",
    "types": ["platform", "function", "extension"],
    "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/a/b?c=d"},
}


def parsed(api: Api = Api.TELEMETRY, **members: Any) -> Subscription:
    document = {name: value for name, value in {**GOOD, **members}.items() if value is not None}
    return parse(json.dumps(document).encode(), api)


def http(uri: str, **members: Any) -> dict[str, Any]:
    return {"protocol": "HTTP", "URI": uri, **members}


def test_a_good_one_is_read_in_full() -> None:
    assert parsed() == Subscription(
        Api.TELEMETRY,
        Schema.TELEMETRY,
        (Category.PLATFORM, Category.FUNCTION, Category.EXTENSION),
        Destination(8080, "sandbox.localdomain", "/a/b?c=d", "POST"),
        Buffering(1000, 262144, 25),
    )


def test_what_is_left_out_has_awss_defaults() -> None:
    assert parsed(buffering=None).buffering == Buffering(10_000, 262_144, 1_000)
    assert parsed(buffering={"timeoutMs": 30_000}).buffering == Buffering(10_000, 262_144, 30_000)
    assert parsed(Api.LOGS, schemaVersion=None).schema is Schema.LOGS
    assert parsed(types=["platform", "platform"]).types == (Category.PLATFORM,)


@pytest.mark.parametrize(
    ("api", "version"),
    [
        (Api.TELEMETRY, "2022-07-01"),
        (Api.TELEMETRY, "2022-12-13"),
        (Api.TELEMETRY, "2025-01-29"),
        (Api.LOGS, "2020-08-15"),
        (Api.LOGS, "2021-03-18"),
    ],
)
def test_each_api_has_its_schemas(api: Api, version: str) -> None:
    assert parsed(api, schemaVersion=version).schema == version
    other = Api.LOGS if api is Api.TELEMETRY else Api.TELEMETRY
    with pytest.raises(SubscriptionRefusedError, match="schemaVersion must be one of"):
        parsed(other, schemaVersion=version)


@pytest.mark.parametrize(
    ("destination", "expected"),
    [
        (http("http://sandbox:1"), Destination(1, "sandbox", "/")),
        (http("http://SANDBOX.localdomain:65535/"), Destination(65535, path="/")),
        (http("http://sandbox.localdomain"), Destination(80, path="/")),
        (
            http("http://sandbox:1", method="PUT", encoding="JSON"),
            Destination(1, "sandbox", "/", "PUT"),
        ),
        ({"protocol": "TCP", "port": 4243}, Destination(4243)),
    ],
)
def test_destinations_are_listeners_within(
    destination: dict[str, Any], expected: Destination
) -> None:
    assert parsed(destination=destination).destination == expected


@pytest.mark.parametrize(
    "destination",
    [
        "http://sandbox:1",
        {},
        {"protocol": "HTTPS", "URI": "https://sandbox:1"},
        http("https://sandbox:1"),
        http("http://localhost:8080"),
        http("http://127.0.0.1:8080"),
        http("http://169.254.169.254/"),
        http("http://evil.example:80"),
        http("http://sandbox.localdomain.evil.example:80"),
        http("http://sandbox.localdomain@evil.example:80"),
        http("http://user@sandbox.localdomain:80"),
        http("http://evil.example#@sandbox:80"),
        http("http://evil.example?@sandbox:80"),
        http("http://evil.example\\@sandbox:80"),
        http("http://sandbox:80:90"),
        http("http://sandbox:0"),
        http("http://sandbox:65536"),
        http("http://sandbox:9001"),
        http("http://sandbox:\u0663"),
        http("http://sandbox:80/ HTTP/1.1\r\nX: y"),
        http("http://sandbox:80/a b"),
        http("http://sandbox:80/ä"),
        http("//sandbox:80"),
        http(""),
        {"protocol": "HTTP", "URI": 7},
        {"protocol": "HTTP"},
        http("http://sandbox:1", method="DELETE"),
        http("http://sandbox:1", encoding="XML"),
        {"protocol": "TCP"},
        {"protocol": "TCP", "port": "4243"},
        {"protocol": "TCP", "port": 0},
        {"protocol": "TCP", "port": True},
        {"protocol": "TCP", "port": 9001},
        {"protocol": "TCP", "port": 1e9},
    ],
)
def test_other_destinations_are_refused(destination: object) -> None:
    with pytest.raises(SubscriptionRefusedError, match="destination") as caught:
        parsed(destination=destination)
    assert (caught.value.status, caught.value.error_type) == (400, "ValidationError")


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("maxItems", 1_000, 10_000), ("maxBytes", 262_144, 1_048_576), ("timeoutMs", 25, 30_000)],
)
def test_buffering_has_bounds(name: str, least: int, most: int) -> None:
    for value in (least, most):
        assert value in parsed(buffering={name: value}).buffering
    for wrong in (least - 1, most + 1, str(least), float(least), True, -1):
        with pytest.raises(SubscriptionRefusedError, match=f"buffering.{name} must be a number"):
            parsed(buffering={name: wrong})
    with pytest.raises(SubscriptionRefusedError, match="buffering must be an object"):
        parsed(buffering=[])


@pytest.mark.parametrize("types", [None, [], ["metrics"], "platform", [7], [["platform"]]])
def test_types_must_be_known(types: object) -> None:
    with pytest.raises(SubscriptionRefusedError, match="types must be a list"):
        parsed(types=types)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_the_body_must_be_an_object(body: bytes) -> None:
    with pytest.raises(SubscriptionRefusedError, match="The body must be a JSON object"):
        parse(body, Api.TELEMETRY)

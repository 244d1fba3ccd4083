"""What is made of requests before moto sees them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from lambda_home.companion.moto_requests import Requests

SIGNED = "AWS4-HMAC-SHA256 Credential={}/20261121/us-east-1/{}/aws4_request, Signature=0"
ACCOUNT = "HTTP_X_MOTO_ACCOUNT_ID"


def seen(**environ: Any) -> tuple[dict[str, Any], list[str]]:
    """The environment that moto gets, and the status of an answer that is not moto's."""
    found: dict[str, Any] = {}
    statuses: list[str] = []

    def moto(given: dict[str, Any], _: object) -> Iterable[bytes]:
        found.update(given)
        return []

    def start(status: str, _: object) -> None:
        statuses.append(status)

    Requests(moto, "000000000000", "us-east-1")(environ, start)
    return found, statuses


@pytest.mark.parametrize(
    ("environ", "account"),
    [
        ({ACCOUNT: "111122223333"}, "111122223333"),
        ({ACCOUNT: "1", "HTTP_AUTHORIZATION": SIGNED.format("111122223333", "sqs")}, "1"),
        ({"HTTP_AUTHORIZATION": SIGNED.format("111122223333", "sqs")}, "111122223333"),
        ({"HTTP_AUTHORIZATION": SIGNED.format("AKIA", "sqs")}, "000000000000"),
        ({}, "000000000000"),
    ],
)
def test_moto_hears_whose_a_request_is(environ: dict[str, str], account: str) -> None:
    assert seen(**environ)[0][ACCOUNT] == account


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("photos.s3.localhost:9000", "/photos/a%2Fb"),
        ("my.photos.localhost:9000", "/my.photos/a%2Fb"),
        ("s3.localhost:9000", "/a%2Fb"),
        ("abc.lambda-home.internal:9001", "/a%2Fb"),
        ("127.0.0.1:9000", "/a%2Fb"),
    ],
)
def test_a_bucket_in_the_host_name_is_put_into_the_path(host: str, path: str) -> None:
    found, _ = seen(
        HTTP_HOST=host,
        HTTP_AUTHORIZATION=SIGNED.format("000000000000", "s3"),
        PATH_INFO="/a/b",
        RAW_URI="/a%2Fb",
        REQUEST_URI="/a%2Fb",
    )
    assert (found["RAW_URI"], found["REQUEST_URI"]) == (path, path)
    assert found["PATH_INFO"] == path.replace("%2F", "/")


def test_an_unsigned_request_is_signed_for_the_service_that_it_names() -> None:
    found, _ = seen(HTTP_HOST="sqs.eu-west-1.localhost:9000", PATH_INFO="/")
    assert "/eu-west-1/sqs/aws4_request" in found["HTTP_AUTHORIZATION"]
    found, _ = seen(HTTP_HOST="localhost:9000", HTTP_X_AMZ_TARGET="AWSEvents.PutEvents")
    assert "/us-east-1/events/aws4_request" in found["HTTP_AUTHORIZATION"]
    found, _ = seen(HTTP_HOST="localhost:9000", PATH_INFO="/bucket/key")
    assert "HTTP_AUTHORIZATION" not in found


def test_motos_own_api_is_not_for_callers_of_the_front() -> None:
    found, statuses = seen(PATH_INFO="/moto-api/reset", **{ACCOUNT: "000000000000"})
    assert (found, statuses) == ({}, ["404 Not Found"])
    assert seen(PATH_INFO="/moto-api/reset")[1] == []

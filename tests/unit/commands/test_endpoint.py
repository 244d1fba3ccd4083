from __future__ import annotations

import pytest

from lambda_home.commands.endpoint import access_of
from lambda_home.commands.failures import WrongUse

OURS = "LAMBDA_HOME_ENDPOINT_URL"
KEY = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "hush"}


@pytest.mark.parametrize(
    ("environment", "flag", "expected"),
    [
        ({}, None, "http://127.0.0.1:9000"),
        ({"AWS_ENDPOINT_URL": "http://aws:1"}, None, "http://aws:1"),
        ({"AWS_ENDPOINT_URL": "http://aws:1", OURS: "http://ours:2/"}, None, "http://ours:2"),
        ({OURS: "http://ours:2"}, "https://flag", "https://flag"),
        ({OURS: ""}, None, "http://127.0.0.1:9000"),
        ({}, "http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_the_server_is_that_of_the_flag_else_of_the_environment(
    environment: dict[str, str], flag: str | None, expected: str
) -> None:
    assert access_of(environment, flag).endpoint == expected


@pytest.mark.parametrize(
    "endpoint",
    [
        "localhost:9000",
        "ftp://x",
        "http://",
        "http://a b",
        "http://a?x",
        "http://a:x",
        "http://[::",
    ],
)
def test_what_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(WrongUse, match="--endpoint-url"):
        access_of({}, endpoint)


def test_credentials_and_region_are_those_of_the_environment() -> None:
    told = access_of({**KEY, "AWS_SESSION_TOKEN": "t", "AWS_DEFAULT_REGION": "eu-west-1"})
    assert (told.key_id, told.secret, told.session_token, told.region) == (
        "AKIA",
        "hush",
        "t",
        "eu-west-1",
    )
    assert "hush" not in repr(told)
    assert access_of({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}).region == "a"
    assert access_of({"AWS_REGION": "a"}, region="c").region == "c"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, True),
        ({"AWS_REGION": "us-east-1"}, True),
        ({"AWS_ACCESS_KEY_ID": "000000000000", "AWS_SECRET_ACCESS_KEY": "x"}, True),
        ({"AWS_ACCESS_KEY_ID": "111111111111", "AWS_SECRET_ACCESS_KEY": "x"}, False),
        ({"AWS_REGION": "eu-west-1"}, False),
        ({"LAMBDA_HOME_TOKEN": "a:b"}, False),
    ],
)
def test_who_calls_as_anybody_would(environment: dict[str, str], expected: bool) -> None:  # noqa: FBT001
    assert access_of(environment).is_as_anybody is expected


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIA"}, "AWS_SECRET_ACCESS_KEY is not set"),
        ({"AWS_SECRET_ACCESS_KEY": "hush"}, "AWS_ACCESS_KEY_ID is not set"),
        ({"LAMBDA_HOME_TOKEN": "hush"}, "KEY_ID:SECRET"),
        ({"LAMBDA_HOME_TOKEN": "a:b\r\nX: hush"}, "LAMBDA_HOME_TOKEN has characters"),
        ({**KEY, "AWS_ACCESS_KEY_ID": "ä"}, "AWS_ACCESS_KEY_ID has characters"),
        ({"AWS_REGION": "Übersee"}, "--region"),
    ],
)
def test_half_a_key_is_refused_without_showing_it(
    environment: dict[str, str], message: str
) -> None:
    with pytest.raises(WrongUse, match=message) as caught:
        access_of(environment)
    assert "hush" not in str(caught.value)

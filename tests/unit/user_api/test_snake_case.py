from __future__ import annotations

import json

import pytest

from lambda_home.config import DefaultSettings
from lambda_home.errors import SerializationException
from lambda_home.user_api.protocol import Match, parse, validate
from lambda_home.user_api.snake_case import is_snake_case, to_aws

ACCOUNT = "123456789012"
DEFAULTS = DefaultSettings(memory_mb=512, timeout_ms=2500, tmp_mb=1024)
MINIMAL = {
    "function_name": "f",
    "runtime": "python3.13",
    "handler": "a.b",
    "code": {"zip_file": "YQ=="},
}


def test_only_the_snake_case_name_without_the_aws_one_means_this_form() -> None:
    assert is_snake_case(MINIMAL)
    assert not is_snake_case({"FunctionName": "f", "function_name": "f"})
    assert not is_snake_case({})


def test_left_out_members_get_the_configured_defaults_and_a_role() -> None:
    assert to_aws(MINIMAL, DEFAULTS, ACCOUNT) == {
        "FunctionName": "f",
        "Runtime": "python3.13",
        "Handler": "a.b",
        "Code": {"ZipFile": "YQ=="},
        "Role": "arn:aws:iam::123456789012:role/lambda-home",
        "Timeout": 3,
        "MemorySize": 512,
        "EphemeralStorage": {"Size": 1024},
    }


def test_given_members_are_kept() -> None:
    body = {
        **MINIMAL,
        "role": "arn:aws:iam::000000000000:role/r",
        "description": "d",
        "timeout": 9,
        "memory_size": 128,
        "environment": {"AB": "c"},
        "publish": True,
        "unknown": 1,
    }
    assert to_aws(body, DEFAULTS, ACCOUNT) == {
        "FunctionName": "f",
        "Runtime": "python3.13",
        "Handler": "a.b",
        "Code": {"ZipFile": "YQ=="},
        "Role": "arn:aws:iam::000000000000:role/r",
        "Description": "d",
        "Timeout": 9,
        "MemorySize": 128,
        "EphemeralStorage": {"Size": 1024},
        "Environment": {"Variables": {"AB": "c"}},
        "Publish": True,
    }


def test_the_translation_passes_the_codec() -> None:
    document = to_aws(MINIMAL, DEFAULTS, ACCOUNT)
    params = parse("CreateFunction", Match("CreateFunction", {}), "", {}, document)
    validate("CreateFunction", params)
    assert params["Code"] == {"ZipFile": b"a"}


@pytest.mark.parametrize("wrong", [{"code": "x"}, {"environment": [1]}, {"timeout": "3"}])
def test_wrong_types_are_left_to_the_codec(wrong: dict[str, object]) -> None:
    document = to_aws(json.loads(json.dumps({**MINIMAL, **wrong})), DEFAULTS, ACCOUNT)
    with pytest.raises(SerializationException):
        parse("CreateFunction", Match("CreateFunction", {}), "", {}, document)

"""Runtimes whose end has come: refused by the day, not by a list."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from lambda_home.errors import InvalidParameterValueException
from lambda_home.user_api.protocol import NO_END, validate

CREATE: dict[str, Any] = {
    "FunctionName": "f",
    "Role": "arn:aws:iam::000000000000:role/r",
    "Code": {"ZipFile": b"zip"},
    "Handler": "app.handler",
}


@pytest.mark.parametrize(
    ("operation", "runtime", "today", "refused"),
    [
        ("CreateFunction", "nodejs18.x", date(2027, 1, 31), False),
        ("CreateFunction", "nodejs18.x", date(2027, 2, 1), True),
        ("UpdateFunctionConfiguration", "nodejs18.x", date(2027, 2, 1), False),
        ("UpdateFunctionConfiguration", "nodejs18.x", date(2027, 3, 2), False),
        ("UpdateFunctionConfiguration", "nodejs18.x", date(2027, 3, 3), True),
        ("UpdateFunctionConfiguration", "nodejs12.x", date(2026, 11, 21), True),
        ("CreateFunction", "go1.x", date(2024, 2, 7), False),
        ("CreateFunction", "go1.x", date(2024, 2, 8), True),
        ("CreateFunction", "rust", date(2026, 11, 21), False),
        ("CreateFunction", "rust", date(2029, 7, 31), True),
        ("CreateFunction", "java25", date(2026, 11, 21), False),
        ("CreateFunction", "python2.7", NO_END, False),
        ("UpdateFunctionConfiguration", "nodejs", NO_END, False),
        ("CreateFunction", "arn:aws:lambda:us-east-1::runtime:abc", date(2099, 1, 1), False),
    ],
)
def test_a_runtime_is_refused_from_its_day_on(
    operation: str, runtime: str, today: date, *, refused: bool
) -> None:
    params = {**CREATE, "Runtime": runtime}
    if not refused:
        validate(operation, params, today)
        return
    with pytest.raises(InvalidParameterValueException) as caught:
        validate(operation, params, today)
    assert caught.value.message == (
        f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS"
        " Lambda functions. We recommend you use a supported runtime while creating or updating"
        " functions."
    )


def test_what_is_no_runtime_is_refused_whatever_the_day() -> None:
    with pytest.raises(InvalidParameterValueException, match=r"Value Rust at 'runtime' failed"):
        validate("CreateFunction", {**CREATE, "Runtime": "Rust"}, NO_END)

"""The rules of recorded errors hold where no shared recording shows them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError
from parity.likely_errors import CONFLICT, NOT_FOUND, ROWS, VALIDATION, F, Row
from parity.packages import package
from parity.replay import Target

pytestmark = pytest.mark.process

ACCOUNT = "520000000001"
HERE = f"arn:aws:lambda:us-east-1:{ACCOUNT}"
SETTLED_WITHIN_S = 60


@pytest.fixture(scope="module")
def client(at: Target) -> Any:
    """A client of an account with what the rows name."""
    made = at.client("lambda", ACCOUNT)
    code = {"ZipFile": package("likely errors")}
    made.create_function(
        **F,
        Runtime="python3.12",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Handler="handler.handler",
        Code=code,
        Publish=True,
    )
    made.publish_layer_version(LayerName="l", Content=code)
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while made.get_function_configuration(**F)["State"] == "Pending":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    made.create_alias(**F, Name="a", FunctionVersion="1")
    return made


def _names(row: Row) -> str:
    return f"{row[0]}-{'-'.join(str(value) for value in row[1].values())}"


def _members(code: str) -> set[str]:
    if code == VALIDATION:
        return set()
    return {"Type", "Message" if code == NOT_FOUND else "message"}


def _answer(client: Any, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    ours = {
        name: value.replace("@", HERE).replace("000000000000", ACCOUNT)
        if isinstance(value, str)
        else value
        for name, value in parameters.items()
    }
    try:
        answer: dict[str, Any] = client._make_api_call(operation, ours)  # noqa: SLF001  by AWS's name
    except ClientError as error:
        return dict(error.response)
    return answer


@pytest.mark.parametrize("row", ROWS, ids=_names)
def test_a_rule_gives_its_error_everywhere(row: Row, client: Any) -> None:
    operation, parameters, status, code, message = row
    answer = _answer(client, operation, parameters)
    assert answer.get("Error") == {"Code": code, "Message": message.replace("@", HERE)}
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
    assert answer.keys() - {"Error", "ResponseMetadata"} == _members(code)


def test_what_is_missing_may_be_deleted(client: Any) -> None:
    for operation, parameters in (
        ("DeleteFunction", {**F, "Qualifier": "42"}),
        ("DeleteAlias", {**F, "Name": "nope"}),
        ("DeleteLayerVersion", {"LayerName": "nope", "VersionNumber": 1}),
        ("DeleteProvisionedConcurrencyConfig", {**F, "Qualifier": "1"}),
        ("DeleteFunctionCodeSigningConfig", F),
        ("DeleteFunctionConcurrency", F),
    ):
        answer = _answer(client, operation, parameters)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204, operation


def test_a_version_that_an_alias_points_to_stays(client: Any) -> None:
    error = _answer(client, "DeleteFunction", {**F, "Qualifier": "1"})["Error"]
    assert error == {
        "Code": CONFLICT,
        "Message": "Unable to delete version because the following aliases reference it: [a]",
    }

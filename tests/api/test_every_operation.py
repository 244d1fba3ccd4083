"""boto3 calls every operation of AWS's model, with a minimal request and with full ones.

The answers parse, and no member that the model requires is missing. Only operations on durable
executions may be missing; tests/operations_not_yet.txt lists what is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from live import LiveServer
from model_requests.answers import faults_of_result
from model_requests.building import durable_operations, minimal, operation, operation_names
from model_requests.row import Variant
from model_requests.rows import NEVER, full_request, minimal_request, row_of
from model_requests.stage import Elsewhere, Stage, set_the_stage
from other_services import other_services, service

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

pytestmark = pytest.mark.process

NOT_YET = set((Path(__file__).parents[1] / "operations_not_yet.txt").read_text().split())
PROMISED = sorted(set(operation_names()) - durable_operations())
FULL = [
    pytest.param(name, variant, id=f"{name}-{variant.name}")
    for name in PROMISED
    for variant in row_of(name).variants
    if operation(name).input_shape.members
]


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[LiveServer, Elsewhere]]:
    """A server, and the other services that it knows, with what requests name there."""
    with other_services() as url:
        elsewhere = set_the_stage(lambda name: service(name, url))
        settings = {
            "LAMBDA_HOME_AWS__ENDPOINT_URL": url,
            "LAMBDA_HOME_SPARES__PER_SIZE": "0",
            "LAMBDA_HOME_SPARES__MOST": "0",
        }
        with LiveServer("--sandbox", "process", "--ephemeral", environment=settings) as live:
            yield live, elsewhere


@pytest.fixture(scope="module")
def shared(world: tuple[LiveServer, Elsewhere]) -> LambdaClient:
    """boto3 at the server."""
    return world[0].client()


@pytest.fixture
def stage(world: tuple[LiveServer, Elsewhere], shared: LambdaClient) -> Stage:
    """What requests name, made when it is needed."""
    return Stage(shared, world[1])


def tolerate_501(name: str, error: ClientError) -> None:
    response: Any = error.response
    if response["ResponseMetadata"]["HTTPStatusCode"] == 501 and name in NOT_YET:
        pytest.skip(f"{name} is listed as not there yet")


def check(name: str, stage: Stage, request: dict[str, Any]) -> None:
    try:
        answer = stage.call(name, request)
    except ClientError as error:
        tolerate_501(name, error)
        raise
    for key in ("Payload", "EventStream"):
        if key in answer:
            list(answer[key])
            answer[key].close()
    assert answer["ResponseMetadata"]["HTTPStatusCode"] in {200, 201, 202, 204}
    assert faults_of_result(name, answer) == []


@pytest.mark.parametrize("name", PROMISED)
def test_a_minimal_request_succeeds(stage: Stage, name: str) -> None:
    check(name, stage, minimal_request(name, stage))


@pytest.mark.parametrize(("name", "variant"), FULL)
def test_a_full_request_succeeds(stage: Stage, name: str, variant: Variant) -> None:
    check(name, stage, full_request(name, variant, stage))


@pytest.mark.parametrize("name", PROMISED)
def test_the_full_requests_of_an_operation_have_all_members_together(name: str) -> None:
    known = set(operation(name).input_shape.members)
    sent = {member for one in row_of(name).variants for member in one.sends(name)}
    assert known - sent == set(NEVER.get(name, {}))
    assert sent <= known


def test_nothing_but_durable_executions_is_listed_as_missing() -> None:
    # InvokeWithResponseStream is listed for having no handler in the table: an endpoint serves it.
    assert NOT_YET - {"InvokeWithResponseStream"} <= durable_operations()


@pytest.mark.parametrize("name", sorted(durable_operations()))
def test_operations_on_durable_executions_say_that_they_are_missing(
    shared: LambdaClient, name: str
) -> None:
    if name not in NOT_YET:
        pytest.skip(f"{name} is there")
    with pytest.raises(ClientError) as caught:
        Stage(shared, Elsewhere("", "", "")).call(name, minimal(name))
    answer: Any = caught.value.response
    assert answer["Error"]["Code"] == "NotImplementedException"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert name in answer["Error"]["Message"]

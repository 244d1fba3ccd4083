"""Several invocations in one environment: AWS_LAMBDA_MAX_CONCURRENCY, logs kept apart."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from functions_under_test import NODE, PYTHON, create, invoke
from observing import HOLDS_S

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

PYTHON_SLEEPS = """
import os, time
def handler(event, context):
    for i in range(5):
        print("line", i, "of", event["n"])
        time.sleep(event.get("seconds", 0.5) / 5)
    if event.get("dies"):
        os._exit(3)
    return {"stream": context.log_stream_name, "request": context.aws_request_id}
"""
NODE_SLEEPS = """
exports.handler = async (event, context) => {
  for (let i = 0; i < 5; i++) {
    console.log("line", i, "of", event.n);
    await new Promise((done) => setTimeout(done, 100));
  }
  return { stream: context.logStreamName, request: context.awsRequestId };
};
"""
FOUR = {"Variables": {"AWS_LAMBDA_MAX_CONCURRENCY": "4"}}


@pytest.fixture
def client(aws: LambdaClient) -> LambdaClient:
    return aws


def at_once(client: LambdaClient, name: str, count: int, wanted: int) -> set[str]:
    """The environments of so many calls at once, which last until as many as wanted took part."""
    streams: set[str] = set()
    for seconds in HOLDS_S:
        events = [{"n": n, "seconds": seconds} for n in range(count)]
        with ThreadPoolExecutor(count) as callers:
            answers = list(callers.map(partial(invoke, client, name), events))
        assert [answer.error for answer in answers] == [None] * count
        streams = {answer.payload["stream"] for answer in answers}
        if len(streams) == wanted:
            break
    return streams


@pytest.mark.parametrize(
    ("source", "runtime"),
    [
        pytest.param(PYTHON_SLEEPS, PYTHON, id="python"),
        pytest.param(NODE_SLEEPS, NODE, id="node"),
    ],
)
def test_one_environment_takes_as_many_as_it_says_and_keeps_their_logs_apart(
    client: LambdaClient, source: str, runtime: Any
) -> None:
    name = create(client, source, Runtime=runtime, Environment=FOUR, Timeout=20)
    invoke(client, name, {"n": 99})
    with ThreadPoolExecutor(4) as callers:
        answers = list(
            callers.map(lambda n: invoke(client, name, {"n": n}, LogType="Tail"), range(4))
        )
    assert [answer.error for answer in answers] == [None] * 4
    assert len({answer.payload["stream"] for answer in answers}) == 1
    for n, answer in enumerate(answers):
        assert answer.payload["request"] == answer.request_id
        lines = [line for line in answer.log.splitlines() if "line" in line]
        assert len(lines) == 5
        assert all(line.endswith(f"of {n}") for line in lines)
        assert answer.log.startswith(f"START RequestId: {answer.request_id}")
        assert f"REPORT RequestId: {answer.request_id}" in answer.log


def test_more_than_one_environment_takes_get_another(client: LambdaClient) -> None:
    two = {"Variables": {"AWS_LAMBDA_MAX_CONCURRENCY": "2"}}
    name = create(client, PYTHON_SLEEPS, Environment=two, Timeout=20)
    assert len(at_once(client, name, 4, wanted=2)) == 2


def test_a_worker_that_dies_takes_its_environment_along_and_the_next_call_works(
    client: LambdaClient,
) -> None:
    name = create(client, PYTHON_SLEEPS, Environment=FOUR, Timeout=20)
    died = invoke(client, name, {"n": 1, "dies": True})
    assert died.payload["errorType"] == "Runtime.ExitError"
    assert invoke(client, name, {"n": 2}).error is None


def test_without_the_variable_each_invocation_has_its_environment_for_itself(
    client: LambdaClient,
) -> None:
    name = create(client, PYTHON_SLEEPS, Timeout=20)
    assert len(at_once(client, name, 3, wanted=3)) == 3


def test_the_tail_of_an_init_that_fails_is_that_of_the_environment(client: LambdaClient) -> None:
    name = create(client, "print('before')\nimport missing_module\n", Environment=FOUR)
    answer = invoke(client, name, LogType="Tail")
    assert answer.error == "Unhandled"
    assert "before" in answer.log

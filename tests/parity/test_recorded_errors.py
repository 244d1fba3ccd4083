"""Errors recorded on AWS in cases whose calls were not captured: text, status, code and members."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from parity import error_scenes, error_scenes_of_resources
from parity.cases import all_cases
from parity.error_scenes import Step
from parity.recorded_errors import recorded_errors
from parity.replay import MOTO_ACCOUNT, Target, Values, is_moving

pytestmark = pytest.mark.process

SCENES: Mapping[str, tuple[str, Sequence[Step]]] = {
    "creating": ("510000000001", error_scenes.CREATING),
    "using": ("510000000002", error_scenes.USING),
    "provisioned": ("510000000003", error_scenes.PROVISIONED),
    "images": ("510000000004", error_scenes.IMAGES),
    "large": ("510000000005", error_scenes.LARGE),
    "permissions": ("510000000006", error_scenes_of_resources.PERMISSIONS),
    "tags": ("510000000007", error_scenes_of_resources.TAGS),
    "layers": ("510000000008", error_scenes_of_resources.LAYERS),
    "signing": ("510000000009", error_scenes_of_resources.SIGNING),
    "event sources": (MOTO_ACCOUNT, error_scenes_of_resources.EVENT_SOURCES),
    "networks": ("510000000010", error_scenes_of_resources.NETWORKS),
}
CHECKS = [
    (scene, number, step.where)
    for scene, (_, steps) in SCENES.items()
    for number, step in enumerate(steps)
    if step.where
]
_SETTLED_WITHIN_S = 60

# Members that we answer on purpose and AWS did not.
MORE_THAN_RECORDED = {
    # Lambda@Home promises a Retry-After header with every 429; botocore makes a member of it.
    "TestLambdaConcurrency::test_lambda_concurrency_block/invoke_latest_first_exc": (
        "retryAfterSeconds"
    ),
}

Answers = Mapping[tuple[str, int], dict[str, Any]]


@pytest.fixture(scope="module")
def answers(at: Target) -> Answers:
    """What our server answered to every step, by scene and number."""

    def act(item: tuple[str, tuple[str, Sequence[Step]]]) -> Iterator[tuple[Any, Any]]:
        scene, (account, steps) = item
        values = Values(account)
        return iter(
            [((scene, number), _answer(at, values, step)) for number, step in enumerate(steps)]
        )

    with ThreadPoolExecutor(len(SCENES)) as threads:
        return dict(pair for pairs in threads.map(act, SCENES.items()) for pair in pairs)


def _answer(at: Target, values: Values, step: Step) -> dict[str, Any]:
    client = at.client(step.service, values.account)
    parameters = {name: _value(values, name, value) for name, value in step.parameters.items()}
    deadline = time.monotonic() + _SETTLED_WITHIN_S
    while True:
        try:
            answer: dict[str, Any] = client._make_api_call(step.operation, parameters)  # noqa: SLF001
        except ClientError as error:
            return dict(error.response)
        values.learn(answer)
        reads = step.operation.startswith("Get")
        if not reads or not is_moving(answer) or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


def _value(values: Values, name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _value(values, key, member) for key, member in value.items()}
    if isinstance(value, list):
        return [_value(values, name, member) for member in value]
    if callable(value):
        return value()
    return values.text(name, value) if isinstance(value, str) else value


@pytest.mark.parametrize(("scene", "number", "where"), CHECKS)
def test_the_error_is_the_recorded_one(
    scene: str, number: int, where: str, answers: Answers
) -> None:
    account = SCENES[scene][0]
    answer = dict(answers[scene, number])
    if where in MORE_THAN_RECORDED:
        assert answer.pop(MORE_THAN_RECORDED[where], None), "equal now: take it off the list"
    found = recorded_errors()[where].unlike(answer, account)
    assert not found, "; ".join(found)


@pytest.mark.parametrize("scene", SCENES)
def test_what_leads_to_an_error_succeeds(scene: str, answers: Answers) -> None:
    steps = SCENES[scene][1]
    failed = [
        (step.operation, error)
        for number, step in enumerate(steps)
        if not step.where and (error := answers[scene, number].get("Error"))
    ]
    assert failed == []


# Recorded errors that nothing here asks for.
LEFT_OUT: Mapping[str, str] = {}


def test_every_recorded_error_is_asked_for() -> None:
    replayed = {case.removeprefix("api/") for case in all_cases()}
    asked = {where for _, _, where in CHECKS}
    missing = {
        error.where
        for error in recorded_errors().values()
        if error.case not in replayed and error.where not in asked
    }
    assert missing == LEFT_OUT.keys()

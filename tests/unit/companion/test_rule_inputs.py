"""What a target of an EventBridge rule gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_home.companion.rule_inputs import input_of

RULE = "arn:aws:events:us-east-1:000000000000:rule/my-rule"
EVENT: dict[str, Any] = {
    "source": "my.app",
    "time": "2026-11-21T10:00:00Z",
    "detail": {"id": "i-1", "state": 'say "hi"', "n": 3, "tags": [{"k": "a"}, {"k": "b"}]},
}


def transformed(template: str, **paths: str) -> dict[str, Any]:
    return {"InputTransformer": {"InputTemplate": template, "InputPathsMap": paths}}


@pytest.mark.parametrize(
    ("target", "payload"),
    [
        ({}, EVENT),
        ({"Input": '{"a": [1]}'}, {"a": [1]}),
        ({"Input": "no JSON"}, "no JSON"),
        ({"InputPath": "$"}, EVENT),
        ({"InputPath": "$.detail"}, EVENT["detail"]),
        ({"InputPath": "$.detail.tags[1].k"}, "b"),
        ({"InputPath": "$['detail']['n']"}, 3),
        ({"InputPath": "$.detail.missing"}, None),
        ({"InputPath": "$.detail.tags[7]"}, None),
        ({"InputPath": "detail"}, None),
        (
            transformed('{"i": <id>, "n": <n>}', id="$.detail.id", n="$.detail.n"),
            {"i": "i-1", "n": 3},
        ),
        (transformed('{"i": "<id>"}', id="$.detail.id"), {"i": "i-1"}),
        (transformed('{"i": "is <s>"}', s="$.detail.state"), {"i": 'is say "hi"'}),
        (
            transformed('"instance <id> is <n>"', id="$.detail.id", n="$.detail.n"),
            "instance i-1 is 3",
        ),
        (transformed("instance <id>", id="$.detail.id"), 'instance "i-1"'),
        (transformed('{"all": <tags>}', tags="$.detail.tags"), {"all": EVENT["detail"]["tags"]}),
        (transformed('{"none": <x>}', x="$.detail.x"), {"none": ""}),
        (transformed('{"none": "<x>."}', x="$.detail.x"), {"none": "."}),
        (
            transformed('{"rule": "<aws.events.rule-name>", "by": <aws.events.rule-arn>}'),
            {"rule": "my-rule", "by": RULE},
        ),
        (transformed('{"e": <aws.events.event.json>}'), {"e": EVENT}),
        (transformed('{"e": "<nobody.said>"}'), {"e": "<nobody.said>"}),
    ],
)
def test_it_is_the_event_a_part_of_it_or_what_a_template_makes(
    target: dict[str, Any], payload: object
) -> None:
    assert json.loads(input_of(target, EVENT, RULE)) == payload

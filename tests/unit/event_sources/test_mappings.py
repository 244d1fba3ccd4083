"""Event source mappings as AWS writes them, and the states that they go through."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from lambda_home.arns import Scope
from lambda_home.event_sources import mappings
from lambda_home.event_sources.kinds import Kind, kind_of
from lambda_home.event_sources.mappings import State

SCOPE = Scope("000000000000", "us-east-1")
UUID = "11111111-2222-3333-4444-555555555555"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:fn"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:queue"
STREAM = "arn:aws:kinesis:us-east-1:000000000000:stream/name"
BROKER = "arn:aws:mq:us-east-1:000000000000:broker:name:b-1"
CLUSTER = "arn:aws:rds:us-east-1:000000000000:cluster:name"
MSK = "arn:aws:kafka:us-east-1:000000000000:cluster/name/1"
ACCESS = [{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:000000000000:secret:s"}]
ALWAYS = {
    "UUID": UUID,
    "EventSourceMappingArn": (f"arn:aws:lambda:us-east-1:000000000000:event-source-mapping:{UUID}"),
    "FunctionArn": FUNCTION,
    "LastModified": 100.0,
    "State": "Creating",
}
POLLED = {
    **ALWAYS,
    "BatchSize": 100,
    "LastProcessingResult": "No records processed",
    "StateTransitionReason": "USER_INITIATED",
}
OF_STREAMS = {
    **ALWAYS,
    "EventSourceArn": STREAM,
    "BatchSize": 100,
    "BisectBatchOnFunctionError": False,
    "DestinationConfig": {"OnFailure": {}},
    "FunctionResponseTypes": [],
    "LastProcessingResult": "No records processed",
    "MaximumBatchingWindowInSeconds": 0,
    "MaximumRecordAgeInSeconds": -1,
    "MaximumRetryAttempts": -1,
    "ParallelizationFactor": 1,
    "StartingPosition": "LATEST",
    "StateTransitionReason": "User action",
    "TumblingWindowInSeconds": 0,
}
OF_QUEUES = {
    **ALWAYS,
    "EventSourceArn": QUEUE,
    "BatchSize": 10,
    "FunctionResponseTypes": [],
    "MaximumBatchingWindowInSeconds": 0,
    "StateTransitionReason": "USER_INITIATED",
}


def servers(*names: str) -> dict[str, Any]:
    return {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": list(names)}}


def made(given: dict[str, Any], uuid: str = UUID, function: str = FUNCTION) -> dict[str, Any]:
    kind = kind_of(given)
    document = mappings.new_document(SCOPE, uuid, kind, given, function)
    return mappings.begun(document, State.CREATING, 100.0)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"EventSourceArn": QUEUE, "Tags": {"a": "b"}, "FunctionName": "fn"}, OF_QUEUES),
        (
            {"EventSourceArn": QUEUE, "ScalingConfig": {}, "MetricsConfig": {"Metrics": []}},
            OF_QUEUES,
        ),
        (
            {"EventSourceArn": QUEUE, "ScalingConfig": {"MaximumConcurrency": 2}},
            {**OF_QUEUES, "ScalingConfig": {"MaximumConcurrency": 2}},
        ),
        (
            {"EventSourceArn": QUEUE, "ProvisionedPollerConfig": {"MaximumPollers": 5}},
            {
                **OF_QUEUES,
                "ProvisionedPollerConfig": {"MinimumPollers": 2, "MaximumPollers": 5},
            },
        ),
        ({"EventSourceArn": STREAM, "StartingPosition": "LATEST"}, OF_STREAMS),
        (
            {
                "EventSourceArn": STREAM,
                "StartingPosition": "LATEST",
                "StartingPositionTimestamp": dt.datetime.fromtimestamp(50, dt.UTC),
                "FilterCriteria": {"Filters": []},
                "KMSKeyArn": "",
                "DestinationConfig": {},
            },
            OF_STREAMS,
        ),
        (
            {
                "EventSourceArn": STREAM,
                "StartingPosition": "AT_TIMESTAMP",
                "StartingPositionTimestamp": dt.datetime.fromtimestamp(50, dt.UTC),
                "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
            },
            {
                **OF_STREAMS,
                "StartingPosition": "AT_TIMESTAMP",
                "StartingPositionTimestamp": 50.0,
                "DestinationConfig": {"OnFailure": {"Destination": QUEUE}},
            },
        ),
        (
            {
                "SelfManagedEventSource": servers("kafka:1000"),
                "Topics": ["topic"],
                "SourceAccessConfigurations": ACCESS,
            },
            {
                **POLLED,
                "SelfManagedEventSource": servers("kafka:1000"),
                "SelfManagedKafkaEventSourceConfig": {"ConsumerGroupId": UUID},
                "SourceAccessConfigurations": ACCESS,
                "StartingPosition": "TRIM_HORIZON",
                "Topics": ["topic"],
            },
        ),
        (
            {
                "EventSourceArn": MSK,
                "Topics": ["topic"],
                "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "group"},
                "FunctionResponseTypes": [],
                "DestinationConfig": {"OnFailure": {}},
                "LoggingConfig": {},
            },
            {
                **POLLED,
                "EventSourceArn": MSK,
                "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": "group"},
                "StartingPosition": "TRIM_HORIZON",
                "Topics": ["topic"],
            },
        ),
        (
            {
                "EventSourceArn": BROKER,
                "Queues": ["q"],
                "SourceAccessConfigurations": ACCESS,
            },
            {
                **POLLED,
                "EventSourceArn": BROKER,
                "Queues": ["q"],
                "SourceAccessConfigurations": ACCESS,
            },
        ),
        (
            {
                "EventSourceArn": CLUSTER,
                "StartingPosition": "LATEST",
                "DocumentDBEventSourceConfig": {"DatabaseName": "db"},
            },
            {
                **POLLED,
                "EventSourceArn": CLUSTER,
                "StartingPosition": "LATEST",
                "DocumentDBEventSourceConfig": {"DatabaseName": "db", "FullDocument": "Default"},
            },
        ),
    ],
)
def test_an_answer_has_the_members_that_aws_has_for_the_kind(
    given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert mappings.shown(made(given), State.CREATING) == expected


def test_an_update_changes_what_is_given_and_empty_structures_remove() -> None:
    filters = {"Filters": [{"Pattern": '{"a": ["b"]}'}]}
    old = made(
        {
            "EventSourceArn": QUEUE,
            "FilterCriteria": filters,
            "ScalingConfig": {"MaximumConcurrency": 2},
            "Tags": {"a": "b"},
        }
    )
    other = f"{FUNCTION}:live"
    new = mappings.changed_document(Kind.SQS, old, {"UUID": UUID, "BatchSize": 5}, other)
    assert new == {**old, "BatchSize": 5, "FunctionArn": other}
    cleared = {"FilterCriteria": {}, "ScalingConfig": {}, "Enabled": False}
    new = mappings.changed_document(Kind.SQS, old, cleared, FUNCTION)
    assert {"FilterCriteria", "ScalingConfig"}.isdisjoint(new)
    assert new["Enabled"] is False
    assert new["Tags"] == {"a": "b"}


def test_an_update_of_pollers_keeps_the_bound_that_is_not_given() -> None:
    old = made({"EventSourceArn": QUEUE, "ProvisionedPollerConfig": {"MinimumPollers": 3}})
    more = {"ProvisionedPollerConfig": {"MaximumPollers": 9}}
    new = mappings.changed_document(Kind.SQS, old, more, FUNCTION)
    assert new["ProvisionedPollerConfig"] == {"MinimumPollers": 3, "MaximumPollers": 9}
    none = mappings.changed_document(Kind.SQS, old, {"ProvisionedPollerConfig": {}}, FUNCTION)
    assert "ProvisionedPollerConfig" not in none


@pytest.mark.parametrize(
    ("begun", "enabled", "later_s", "state", "remaining_s"),
    [
        (State.CREATING, True, 0.0, State.CREATING, 0.5),
        (State.CREATING, True, 0.4, State.CREATING, 0.1),
        (State.CREATING, True, 0.5, State.ENABLED, 0),
        (State.DISABLED, False, 0.0, State.DISABLED, 0),
        (State.DISABLING, False, 0.1, State.DISABLING, 0.4),
        (State.DISABLING, False, 1.0, State.DISABLED, 0),
        (State.UPDATING, False, 1.0, State.DISABLED, 0),
        (State.ENABLING, True, 0.0, State.ENABLING, 0.5),
        (State.DELETING, True, 0.25, State.DELETING, 0.25),
        (State.DELETING, True, 0.5, None, 0),
        (State.UPDATING, True, -3600.0, State.ENABLED, 0),
    ],
)
def test_a_state_follows_from_the_last_change_and_the_time(
    *, begun: State, enabled: bool, later_s: float, state: State | None, remaining_s: float
) -> None:
    document = mappings.begun({"Enabled": enabled}, begun, 100.0)
    assert mappings.state_of(document, 100.0 + later_s, 0.5) is state
    assert mappings.remaining_s(document, 100.0 + later_s, 0.5) == pytest.approx(remaining_s)


def test_without_a_hold_a_change_has_passed_at_once() -> None:
    assert mappings.state_of(made({"EventSourceArn": QUEUE}), 100.0, 0) is State.ENABLED


def kafka(uuid: str, topic: str, *names: str) -> dict[str, Any]:
    given = {
        "SelfManagedEventSource": servers(*names),
        "Topics": [topic],
        "SourceAccessConfigurations": ACCESS,
    }
    return made(given, uuid)


STREAM_MAPPING = {"EventSourceArn": STREAM, "StartingPosition": "LATEST"}


@pytest.mark.parametrize(
    ("new", "old", "text"),
    [
        (
            made({"EventSourceArn": QUEUE}, "n"),
            made({"EventSourceArn": QUEUE}, "o"),
            (
                f'An event source mapping with SQS arn (" {QUEUE} ") and function (" fn ") already'
                " exists. Please update or delete the existing mapping with UUID o"
            ),
        ),
        (
            made(STREAM_MAPPING, "n"),
            made(STREAM_MAPPING, "o"),
            (
                f'The event source arn (" {STREAM} ") and function (" fn ") provided mapping'
                " already exists. Please update or delete the existing mapping with UUID o"
            ),
        ),
        (
            kafka("n", "topic", "kafka:1000", "kafka:2000"),
            kafka("o", "topic", "kafka:1000"),
            (
                'An event source mapping with event source ("kafka:1000,kafka:2000"), function'
                f' ("{FUNCTION}"), topics ("topic") already exists. Please update or delete the'
                " existing mapping with UUID o"
            ),
        ),
        (
            made({"EventSourceArn": BROKER, "Queues": ["q"]}, "n"),
            made({"EventSourceArn": BROKER, "Queues": ["q"]}, "o"),
            (
                f'An event source mapping with event source ("{BROKER}"), function ("{FUNCTION}"),'
                ' queues ("q") already exists. Please update or delete the existing mapping with'
                " UUID o"
            ),
        ),
    ],
)
def test_a_duplicate_is_named_in_the_words_of_its_kind(
    new: dict[str, Any], old: dict[str, Any], text: str
) -> None:
    kind = kind_of(new)
    assert mappings.is_duplicate(kind, new, old)
    assert mappings.conflict(kind, new, old) == text


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (made({"EventSourceArn": QUEUE}, "n"), made({"EventSourceArn": f"{QUEUE}2"}, "o")),
        (
            made({"EventSourceArn": QUEUE}, "n"),
            made({"EventSourceArn": QUEUE}, "o", f"{FUNCTION}:live"),
        ),
        (made({"EventSourceArn": QUEUE}), made({"EventSourceArn": QUEUE})),
        (kafka("n", "topic_2", "kafka:1000"), kafka("o", "topic", "kafka:1000")),
        (kafka("n", "topic", "kafka:2000"), kafka("o", "topic", "kafka:1000")),
    ],
)
def test_other_sources_topics_or_qualifiers_are_no_duplicates(
    new: dict[str, Any], old: dict[str, Any]
) -> None:
    assert not mappings.is_duplicate(kind_of(new), new, old)


def test_a_list_hides_filters_that_are_encrypted() -> None:
    filters = {"Filters": [{"Pattern": '{"a": ["b"]}'}]}
    plain = made({"EventSourceArn": QUEUE, "FilterCriteria": filters})
    assert mappings.shown_in_list(plain, State.ENABLED)["FilterCriteria"] == filters
    secret = {**plain, "KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/k"}
    assert "FilterCriteria" not in mappings.shown_in_list(secret, State.ENABLED)

"""What each kind of source takes, and AWS's words for the rest."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from lambda_home.errors import InvalidParameterValueException
from lambda_home.event_sources.kinds import Kind, kind_of
from lambda_home.event_sources.rules import check_create, check_update

NOW = 1_700_000_000.0
PAST = dt.datetime.fromtimestamp(NOW - 60, dt.UTC)
ARN = "arn:aws:{}:us-east-1:000000000000:{}"
SQS = ARN.format("sqs", "queue")
FIFO = ARN.format("sqs", "queue.fifo")
KINESIS = ARN.format("kinesis", "stream/name")
DYNAMODB = ARN.format("dynamodb", "table/t/stream/2025-02-22T03:03:25.490")
MSK = ARN.format("kafka", "cluster/name/uuid")
MQ = ARN.format("mq", "broker:name:b-1")
DOCUMENTDB = ARN.format("rds", "cluster:name")
BASIC = [{"Type": "BASIC_AUTH", "URI": "arn:aws:secretsmanager:us-east-1:000000000000:secret:s"}]
SELF_MANAGED = {"Endpoints": {"KAFKA_BOOTSTRAP_SERVERS": ["kafka:1000"]}}
FULL: dict[Kind, dict[str, Any]] = {
    Kind.SQS: {"EventSourceArn": SQS},
    Kind.SQS_FIFO: {"EventSourceArn": FIFO},
    Kind.KINESIS: {"EventSourceArn": KINESIS, "StartingPosition": "LATEST"},
    Kind.DYNAMODB: {"EventSourceArn": DYNAMODB, "StartingPosition": "LATEST"},
    Kind.MSK: {"EventSourceArn": MSK, "Topics": ["topic"]},
    Kind.SELF_MANAGED_KAFKA: {
        "SelfManagedEventSource": SELF_MANAGED,
        "Topics": ["topic"],
        "SourceAccessConfigurations": BASIC,
    },
    Kind.MQ: {"EventSourceArn": MQ, "Queues": ["q"], "SourceAccessConfigurations": BASIC},
    Kind.DOCUMENTDB: {
        "EventSourceArn": DOCUMENTDB,
        "StartingPosition": "LATEST",
        "SourceAccessConfigurations": BASIC,
        "DocumentDBEventSourceConfig": {"DatabaseName": "db"},
    },
}
NULL_POSITION = (
    "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint:"
    " Member must not be null."
)
WINDOW = (
    "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than"
    " 10"
)
AGE = "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)"
SQS_TYPE = "Unsupported {} parameter for given event source mapping type."
POLLERS = (
    "MinimumPollers should be between [{}, 200] and MaximumPollers should be between"
    " [MinimumPollers, {}]"
)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_source_is_told_by_its_arn_and_the_least_request_is_taken(kind: Kind) -> None:
    assert kind_of(FULL[kind]) is kind
    check_create(kind, FULL[kind], NOW)


@pytest.mark.parametrize(
    "arn",
    [
        None,
        "",
        "nonsense",
        ARN.format("s3", "bucket"),
        ARN.format("dynamodb", "table/t"),
        ARN.format("kinesis", "name"),
    ],
)
def test_what_lambda_does_not_read_from_is_not_recognized(arn: str | None) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        kind_of({"EventSourceArn": arn})
    assert refused.value.message == "Unrecognized event source."


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        (Kind.KINESIS, {"StartingPosition": None}, NULL_POSITION),
        (Kind.DYNAMODB, {"StartingPosition": None}, NULL_POSITION),
        (Kind.DOCUMENTDB, {"StartingPosition": None}, NULL_POSITION),
        (
            Kind.DYNAMODB,
            {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": PAST},
            f"Unsupported starting position for arn type: {DYNAMODB}",
        ),
        (Kind.KINESIS, {"StartingPosition": "AT_TIMESTAMP"}, "Need to specify a timestamp"),
        (
            Kind.KINESIS,
            {
                "StartingPosition": "AT_TIMESTAMP",
                "StartingPositionTimestamp": PAST + dt.timedelta(hours=1),
            },
            "StartingPositionTimestamp cannot be in the future.",
        ),
        (
            Kind.SQS,
            {"StartingPosition": "LATEST"},
            "StartingPosition is not valid for SQS event sources.",
        ),
        (Kind.SQS, {"BatchSize": 11}, WINDOW),
        (Kind.SQS, {"BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 0}, WINDOW),
        (
            Kind.SQS_FIFO,
            {"BatchSize": 100, "MaximumBatchingWindowInSeconds": 5},
            "Batching window is not supported for FIFO queues",
        ),
        (Kind.SQS_FIFO, {"BatchSize": 11}, "Maximum batch size must be between 1 and 10 inclusive"),
        (
            Kind.SQS,
            {"DestinationConfig": {"OnSuccess": {"Destination": SQS}}},
            SQS_TYPE.format("DestinationConfig"),
        ),
        (
            Kind.SQS,
            {"DestinationConfig": {"OnFailure": {"Destination": SQS}}},
            SQS_TYPE.format("DestinationConfig"),
        ),
        (
            Kind.KINESIS,
            {"DestinationConfig": {"OnSuccess": {"Destination": SQS}}},
            SQS_TYPE.format("DestinationConfig"),
        ),
        (Kind.SQS, {"ParallelizationFactor": 2}, SQS_TYPE.format("ParallelizationFactor")),
        (Kind.SQS, {"MaximumRetryAttempts": 0}, SQS_TYPE.format("MaximumRetryAttempts")),
        (
            Kind.KINESIS,
            {"ScalingConfig": {"MaximumConcurrency": 2}},
            SQS_TYPE.format("ScalingConfig"),
        ),
        (Kind.MSK, {"TumblingWindowInSeconds": 1}, SQS_TYPE.format("'tumblingWindowInSeconds'")),
        (Kind.MQ, {"StartingPosition": "LATEST"}, SQS_TYPE.format("'startingPosition'")),
        (Kind.MQ, {"Queues": None}, "Required 'queues' parameter is missing."),
        (Kind.MSK, {"Topics": []}, "Required 'topics' parameter is missing."),
        (
            Kind.SELF_MANAGED_KAFKA,
            {"SourceAccessConfigurations": None},
            "Required 'sourceAccessConfigurations' parameter is missing.",
        ),
        (
            Kind.SELF_MANAGED_KAFKA,
            {"SelfManagedEventSource": {"Endpoints": {}}},
            "Required 'endpoints' parameter is missing.",
        ),
        (Kind.KINESIS, {"MaximumRecordAgeInSeconds": 0}, AGE),
        (Kind.DYNAMODB, {"MaximumRecordAgeInSeconds": 59}, AGE),
        (
            Kind.SQS,
            {"ProvisionedPollerConfig": {"MinimumPollers": 1}},
            POLLERS.format(2, 10_000),
        ),
        (
            Kind.MSK,
            {"ProvisionedPollerConfig": {"MinimumPollers": 5, "MaximumPollers": 4}},
            POLLERS.format(1, 2_000),
        ),
        (
            Kind.KINESIS,
            {"FilterCriteria": {"Filters": [{"Pattern": "simple string"}]}},
            "Invalid filter pattern definition.",
        ),
    ],
)
def test_what_a_kind_does_not_take_is_refused_in_aws_words(
    kind: Kind, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidParameterValueException) as refused:
        check_create(kind, {**FULL[kind], **more}, NOW)
    assert refused.value.message == message


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (Kind.SQS, {"BatchSize": 10_000, "MaximumBatchingWindowInSeconds": 1}),
        (Kind.SQS, {"ScalingConfig": {"MaximumConcurrency": 2}, "DestinationConfig": {}}),
        (Kind.SQS, {"DestinationConfig": {"OnSuccess": {}, "OnFailure": {}}, "Topics": []}),
        (Kind.SQS_FIFO, {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 0}),
        (Kind.KINESIS, {"BatchSize": 10_000, "MaximumRecordAgeInSeconds": 60}),
        (
            Kind.KINESIS,
            {"StartingPosition": "AT_TIMESTAMP", "StartingPositionTimestamp": PAST},
        ),
        (Kind.DYNAMODB, {"DestinationConfig": {"OnFailure": {"Destination": SQS}}}),
        (Kind.DYNAMODB, {"TumblingWindowInSeconds": 10, "MaximumRetryAttempts": 0}),
        (Kind.MSK, {"ProvisionedPollerConfig": {"PollerGroupName": "g", "MinimumPollers": 1}}),
        (Kind.SQS, {"ProvisionedPollerConfig": {"MaximumPollers": 10_000}}),
        (Kind.SQS, {"BatchSize": None, "KMSKeyArn": "", "MetricsConfig": {"Metrics": []}}),
    ],
)
def test_what_a_kind_takes_passes(kind: Kind, more: dict[str, Any]) -> None:
    check_create(kind, {**FULL[kind], **more}, NOW)


def test_provisioned_pollers_of_a_queue_exclude_a_maximum_concurrency() -> None:
    both = {
        "ScalingConfig": {"MaximumConcurrency": 2},
        "ProvisionedPollerConfig": {"MinimumPollers": 2},
    }
    with pytest.raises(InvalidParameterValueException, match=r"^Provisioned mode for SQS ESM"):
        check_create(Kind.SQS, {**FULL[Kind.SQS], **both}, NOW)


def test_an_update_is_checked_together_with_what_is_there() -> None:
    old = {"BatchSize": 10, "MaximumBatchingWindowInSeconds": 1}
    check_update(Kind.SQS, {"BatchSize": 20}, old, {**old, "BatchSize": 20})
    new = {**old, "BatchSize": 20, "MaximumBatchingWindowInSeconds": 0}
    with pytest.raises(InvalidParameterValueException, match="Maximum batch window"):
        check_update(Kind.SQS, {}, old, new)
    config = "AmazonManagedKafkaEventSourceConfig"
    groups = [{config: {"ConsumerGroupId": group}} for group in ("a", "b")]
    check_update(Kind.MSK, groups[0], groups[0], groups[0])
    with pytest.raises(InvalidParameterValueException, match="ConsumerGroupId"):
        check_update(Kind.MSK, groups[1], groups[0], groups[1])

"""Rows of the operations on event source mappings: one variant for each kind of source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model_requests.row import Members, Row, Variant, full_request_of, page
from model_requests.stage import QUEUE, Stage

_SOURCE = ("FunctionName", "EventSourceArn", "Enabled", "BatchSize", "Tags")
_FILTERED = ("FilterCriteria", "KMSKeyArn", "MetricsConfig", "MaximumBatchingWindowInSeconds")
_POSITION = ("StartingPosition", "StartingPositionTimestamp")
_FAILURES = (
    "DestinationConfig",
    "MaximumRecordAgeInSeconds",
    "BisectBatchOnFunctionError",
    "MaximumRetryAttempts",
    "FunctionResponseTypes",
)
_STREAM = (*_FAILURES, "ParallelizationFactor", "TumblingWindowInSeconds")
_KAFKA = (
    *_FAILURES,
    "Topics",
    "SourceAccessConfigurations",
    "ProvisionedPollerConfig",
    "LoggingConfig",
)
_REGION = "us-east-1:000000000000"
QUEUE_ARN = f"arn:aws:sqs:{_REGION}:{QUEUE}"
_STREAM_ARN = f"arn:aws:kinesis:{_REGION}:stream/{QUEUE}"
_CONSUMER = {"ConsumerGroupId": "example"}


def _source(arn: str, **members: Any) -> Members:
    found = {"EventSourceArn": f"arn:aws:{arn}", "MaximumBatchingWindowInSeconds": 1, **members}
    return lambda _: {"DestinationConfig": {"OnFailure": {"Destination": QUEUE_ARN}}, **found}


def _access(*kinds: str) -> list[dict[str, str]]:
    secret = f"arn:aws:secretsmanager:{_REGION}:secret:example"
    return [{"Type": kind, "URI": secret} for kind in kinds]


_AT = {"StartingPosition": "AT_TIMESTAMP"}
_OLD = {"MaximumRecordAgeInSeconds": 60}
CREATE_MAPPING = Row(
    needs=("EventSourceArn",),
    names=lambda _: {"EventSourceArn": QUEUE_ARN},
    variants=(
        Variant(
            "queue",
            _source(f"sqs:{_REGION}:{QUEUE}", ScalingConfig={"MaximumConcurrency": 2}),
            only=(*_SOURCE, *_FILTERED, "ScalingConfig", "FunctionResponseTypes"),
        ),
        Variant(
            "stream",
            _source(f"kinesis:{_REGION}:stream/{QUEUE}", **_AT, **_OLD),
            only=(*_SOURCE, *_FILTERED, *_POSITION, *_STREAM),
        ),
        Variant(
            "kafka",
            _source(
                f"kafka:{_REGION}:cluster/example/11111111-2222-4333-8444-555555555555-1",
                **_AT,
                **_OLD,
                SourceAccessConfigurations=_access("SASL_SCRAM_512_AUTH"),
                AmazonManagedKafkaEventSourceConfig=_CONSUMER,
                ProvisionedPollerConfig={"MinimumPollers": 1, "MaximumPollers": 2},
            ),
            only=(
                *_SOURCE,
                *_FILTERED,
                *_POSITION,
                *_KAFKA,
                "AmazonManagedKafkaEventSourceConfig",
            ),
        ),
        Variant(
            "self-managed kafka",
            lambda _: {
                **_AT,
                **_OLD,
                "SourceAccessConfigurations": _access("BASIC_AUTH"),
                "SelfManagedKafkaEventSourceConfig": _CONSUMER,
                "ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": 2},
                "DestinationConfig": {"OnFailure": {"Destination": QUEUE_ARN}},
            },
            only=(
                "FunctionName",
                *_POSITION,
                *_KAFKA,
                "SelfManagedEventSource",
                "SelfManagedKafkaEventSourceConfig",
            ),
        ),
        Variant(
            "message queue",
            _source(
                f"mq:{_REGION}:broker:example:b-11111111-2222-4333-8444-555555555555",
                SourceAccessConfigurations=_access("BASIC_AUTH"),
            ),
            only=(*_SOURCE, "Queues", "SourceAccessConfigurations"),
        ),
        Variant(
            "documents",
            _source(
                f"rds:{_REGION}:cluster:example",
                StartingPosition="LATEST",
                SourceAccessConfigurations=_access("BASIC_AUTH"),
            ),
            only=(
                *_SOURCE,
                "StartingPosition",
                "SourceAccessConfigurations",
                "DocumentDBEventSourceConfig",
            ),
        ),
    ),
)


def _mapping_of(variant: str) -> Callable[[Stage], str]:
    def made(stage: Stage) -> str:
        (wanted,) = (one for one in CREATE_MAPPING.variants if one.name == variant)
        request = full_request_of("CreateEventSourceMapping", CREATE_MAPPING, wanted, stage)
        return str(stage.call("CreateEventSourceMapping", request)["UUID"])

    return made


def _changing(kind: str, *members: str) -> Variant:
    """An update of a mapping of a kind, with the values that it was created with."""

    def made(stage: Stage) -> dict[str, Any]:
        (wanted,) = (one for one in CREATE_MAPPING.variants if one.name == kind)
        created = wanted.members(stage)
        return {**created, "UUID": _mapping_of(kind)(stage), "FunctionName": stage.function}

    return Variant(kind, made, only=("UUID", "FunctionName", "Enabled", "BatchSize", *members))


UPDATE_MAPPING = Row(
    variants=(
        _changing("queue", *_FILTERED, "ScalingConfig", "FunctionResponseTypes"),
        _changing("stream", *_FILTERED, *_STREAM),
        _changing(
            "kafka",
            *_FILTERED,
            *(set(_KAFKA) - {"Topics"}),
            "AmazonManagedKafkaEventSourceConfig",
        ),
        _changing("self-managed kafka", "SelfManagedKafkaEventSourceConfig"),
        _changing("documents", "DocumentDBEventSourceConfig"),
    ),
)

LIST_MAPPINGS = Row(
    given=lambda s: (
        s.mapping,
        s.new_mapping(EventSourceArn=_STREAM_ARN, StartingPosition="LATEST"),
    ),
    variants=(
        Variant(
            "by function",
            page("ListEventSourceMappings", FunctionName=lambda s: s.function),
            without={"EventSourceArn": "there is one mapping of a source"},
        ),
        Variant(
            "by source",
            lambda s: {"FunctionName": s.function, "EventSourceArn": QUEUE_ARN},
            without={"Marker": "there is one mapping of a source"},
        ),
    ),
)

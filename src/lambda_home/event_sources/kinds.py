"""Kinds of event sources: how each is told, what it takes, and its defaults (pure).

Source: API_CreateEventSourceMapping and, for SQS, streams and self-managed Kafka, answers recorded
on AWS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lambda_home.errors import InvalidParameterValueException

SERVERS = "KAFKA_BOOTSTRAP_SERVERS"
NOTHING_YET = "No records processed"


class Kind(StrEnum):
    """What a mapping reads from."""

    SQS = "sqs"
    SQS_FIFO = "sqs-fifo"
    KINESIS = "kinesis"
    DYNAMODB = "dynamodb"
    MSK = "kafka"
    SELF_MANAGED_KAFKA = "self-managed-kafka"
    MQ = "mq"
    DOCUMENTDB = "docdb"


QUEUES = frozenset({Kind.SQS, Kind.SQS_FIFO})
STREAMS = frozenset({Kind.KINESIS, Kind.DYNAMODB})
KAFKAS = frozenset({Kind.MSK, Kind.SELF_MANAGED_KAFKA})


@dataclass(frozen=True, slots=True)
class Traits:
    """What a mapping of a kind takes and has.

    `takes` are the members that only some kinds take; `required` those that must be given, in the
    order in which AWS misses them; `defaults` what an answer has even if nothing was given.
    `config` names the member of Kafka's settings, which always has a ConsumerGroupId.
    """

    takes: frozenset[str]
    defaults: Mapping[str, Any]
    required: tuple[str, ...] = ()
    reason: str = "USER_INITIATED"
    largest_batch: int = 10_000
    config: str = ""
    least_pollers: int = 0
    most_pollers: int = 0


_QUEUE = Traits(
    takes=frozenset({"FunctionResponseTypes", "ScalingConfig", "ProvisionedPollerConfig"}),
    defaults={"BatchSize": 10, "FunctionResponseTypes": [], "MaximumBatchingWindowInSeconds": 0},
    least_pollers=2,
    most_pollers=10_000,
)
_FIFO = Traits(
    takes=_QUEUE.takes,
    defaults=_QUEUE.defaults,
    largest_batch=10,
    least_pollers=2,
    most_pollers=10_000,
)
_POSITION = frozenset({"StartingPosition", "StartingPositionTimestamp"})
_FAILURES = frozenset(
    {
        "BisectBatchOnFunctionError",
        "DestinationConfig",
        "FunctionResponseTypes",
        "MaximumRecordAgeInSeconds",
        "MaximumRetryAttempts",
    }
)
_STREAM = Traits(
    takes=_POSITION | _FAILURES | {"ParallelizationFactor", "TumblingWindowInSeconds"},
    defaults={
        "BatchSize": 100,
        "BisectBatchOnFunctionError": False,
        "DestinationConfig": {"OnFailure": {}},
        "FunctionResponseTypes": [],
        "LastProcessingResult": NOTHING_YET,
        "MaximumBatchingWindowInSeconds": 0,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "ParallelizationFactor": 1,
        "TumblingWindowInSeconds": 0,
    },
    required=("StartingPosition",),
    reason="User action",
)
_POLLED = {"BatchSize": 100, "LastProcessingResult": NOTHING_YET}
_KAFKA = _POSITION | _FAILURES | {"LoggingConfig", "ProvisionedPollerConfig"}
_KAFKA_DEFAULTS = {**_POLLED, "StartingPosition": "TRIM_HORIZON"}

TRAITS: Mapping[Kind, Traits] = {
    Kind.SQS: _QUEUE,
    Kind.SQS_FIFO: _FIFO,
    Kind.KINESIS: _STREAM,
    Kind.DYNAMODB: _STREAM,
    Kind.MSK: Traits(
        takes=_KAFKA
        | {"Topics", "SourceAccessConfigurations", "AmazonManagedKafkaEventSourceConfig"},
        defaults=_KAFKA_DEFAULTS,
        required=("Topics",),
        config="AmazonManagedKafkaEventSourceConfig",
        least_pollers=1,
        most_pollers=2_000,
    ),
    Kind.SELF_MANAGED_KAFKA: Traits(
        takes=_KAFKA
        | {
            "Topics",
            "SelfManagedEventSource",
            "SelfManagedKafkaEventSourceConfig",
            "SourceAccessConfigurations",
        },
        defaults=_KAFKA_DEFAULTS,
        required=("SourceAccessConfigurations", "Topics"),
        config="SelfManagedKafkaEventSourceConfig",
        least_pollers=1,
        most_pollers=2_000,
    ),
    Kind.MQ: Traits(
        takes=frozenset({"Queues", "SourceAccessConfigurations"}),
        defaults=_POLLED,
        required=("SourceAccessConfigurations", "Queues"),
    ),
    Kind.DOCUMENTDB: Traits(
        takes=_POSITION | {"DocumentDBEventSourceConfig", "SourceAccessConfigurations"},
        defaults=_POLLED,
        required=(
            "StartingPosition",
            "SourceAccessConfigurations",
            "DocumentDBEventSourceConfig",
        ),
    ),
}

EVERY_KIND_TAKES = frozenset(
    {
        "BatchSize",
        "Enabled",
        "EventSourceArn",
        "FilterCriteria",
        "FunctionName",
        "KMSKeyArn",
        "MaximumBatchingWindowInSeconds",
        "MetricsConfig",
        "Tags",
        "UUID",
    }
)


# The kind behind each service's ARNs, and what their last part must have.
_BY_SERVICE: Mapping[str, tuple[Kind, str]] = {
    "kinesis": (Kind.KINESIS, "stream/"),
    "dynamodb": (Kind.DYNAMODB, "stream/"),
    "kafka": (Kind.MSK, ""),
    "mq": (Kind.MQ, ""),
    "rds": (Kind.DOCUMENTDB, ""),
}


def kind_of(members: Mapping[str, Any]) -> Kind:
    """The kind of source that a request or a mapping names.

    Raises InvalidParameterValueException where it names none that Lambda reads from.
    """
    arn = members.get("EventSourceArn")
    if members.get("SelfManagedEventSource") and not arn:
        return Kind.SELF_MANAGED_KAFKA
    kind = _kind_of_arn(arn or "")
    if kind is None:
        raise InvalidParameterValueException("Unrecognized event source.")
    return kind


def _kind_of_arn(arn: str) -> Kind | None:
    service, resource = ([*arn.split(":", 5)[2::3], "", ""])[:2]
    if service == "sqs":
        return Kind.SQS_FIFO if resource.endswith(".fifo") else Kind.SQS
    kind, part = _BY_SERVICE.get(service, (None, ""))
    return kind if f"/{part}" in f"/{resource}" else None

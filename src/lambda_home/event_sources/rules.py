"""What may be configured for a kind of source: checks in AWS's order and words (pure).

Texts that are not among the recorded answers come from AWS's answers quoted in public issue
trackers, or, where there is none, from the model's documentation; `docs` marks the latter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambda_home.errors import InvalidParameterValueException
from lambda_home.event_sources.filters import check_filters
from lambda_home.event_sources.kinds import (
    EVERY_KIND_TAKES,
    KAFKAS,
    QUEUES,
    SERVERS,
    STREAMS,
    TRAITS,
    Kind,
)

Members = Mapping[str, Any]

_AT_TIMESTAMP = "AT_TIMESTAMP"
_SMALL_BATCH = 10
_YOUNGEST_RECORD_S, _OLDEST_RECORD_S = 60, 604_800
_MOST_MINIMUM_POLLERS = 200


def check_create(kind: Kind, given: Members, now: float) -> None:
    """Check a CreateEventSourceMapping request; `now` is in seconds since the epoch.

    Raises InvalidParameterValueException with AWS's text for the first thing that is wrong.
    """
    _check_taken(kind, given)
    _check_required(kind, given)
    _check_position(kind, given, now)
    told = {name: value for name, value in given.items() if value is not None}
    check_values(kind, {**TRAITS[kind].defaults, **told})


def check_update(kind: Kind, given: Members, old: Members, new: Members) -> None:
    """Check an UpdateEventSourceMapping request, which would turn the members `old` to `new`."""
    _check_taken(kind, given)
    config = TRAITS[kind].config
    if config and old[config]["ConsumerGroupId"] != new[config]["ConsumerGroupId"]:
        raise _invalid("The ConsumerGroupId of an event source mapping cannot be updated.")  # docs
    check_values(kind, new)


def check_values(kind: Kind, members: Members) -> None:
    """Check the settings of a mapping that do not depend on whether it is new."""
    if kind in QUEUES:
        _check_batches(kind, members)
    _check_record_age(members.get("MaximumRecordAgeInSeconds"))
    _check_pollers(kind, members)
    check_filters(members.get("FilterCriteria"))


def is_given(value: object) -> bool:
    """Whether a member of a request says something: an empty structure or list does not."""
    return value is not None and value not in ({}, [], "")


def destination(config: Members | None, outcome: str) -> str:
    """Where records of an outcome go; empty if nowhere."""
    return ((config or {}).get(outcome) or {}).get("Destination") or ""


def _invalid(text: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(text)


def _parameter(name: str) -> str:
    return f"'{name[0].lower()}{name[1:]}'"


def _check_taken(kind: Kind, given: Members) -> None:
    taken = TRAITS[kind].takes | EVERY_KIND_TAKES
    for name, value in given.items():
        if name == "DestinationConfig" and not _is_destination(value):
            continue
        if name not in taken and is_given(value):
            raise _invalid(_unsupported(kind, name))
    if destination(given.get("DestinationConfig"), "OnSuccess"):
        raise _invalid(_unsupported(kind, "DestinationConfig"))


def _is_destination(config: Members | None) -> bool:
    return any(destination(config, outcome) for outcome in ("OnSuccess", "OnFailure"))


def _unsupported(kind: Kind, name: str) -> str:
    if kind in QUEUES and name == "StartingPosition":
        return "StartingPosition is not valid for SQS event sources."
    # Queues and streams are older on AWS than the rest, and have another way of writing.
    shown = name if kind in QUEUES | STREAMS else _parameter(name)
    return f"Unsupported {shown} parameter for given event source mapping type."


def _check_required(kind: Kind, given: Members) -> None:
    for name in TRAITS[kind].required:
        if is_given(given.get(name)):
            continue
        if name == "StartingPosition":
            raise _invalid(
                "1 validation error detected: Value null at 'startingPosition' failed to satisfy"
                " constraint: Member must not be null."
            )
        raise _invalid(f"Required {_parameter(name)} parameter is missing.")
    endpoints = (given.get("SelfManagedEventSource") or {}).get("Endpoints") or {}
    if kind is Kind.SELF_MANAGED_KAFKA and not endpoints.get(SERVERS):
        raise _invalid("Required 'endpoints' parameter is missing.")  # docs
    if kind is Kind.DOCUMENTDB and not given["DocumentDBEventSourceConfig"].get("DatabaseName"):
        raise _invalid("Required 'databaseName' parameter is missing.")  # docs


def _check_position(kind: Kind, given: Members, now: float) -> None:
    if given.get("StartingPosition") != _AT_TIMESTAMP:
        return
    if kind is Kind.DYNAMODB:
        arn = given["EventSourceArn"]
        raise _invalid(f"Unsupported starting position for arn type: {arn}")
    timestamp = given.get("StartingPositionTimestamp")
    if timestamp is None:
        raise _invalid("Need to specify a timestamp")
    if timestamp.timestamp() > now:
        raise _invalid("StartingPositionTimestamp cannot be in the future.")  # docs


def _check_batches(kind: Kind, members: Members) -> None:
    size, window = members["BatchSize"], members["MaximumBatchingWindowInSeconds"]
    if kind is Kind.SQS_FIFO and window > 0:
        raise _invalid("Batching window is not supported for FIFO queues")
    largest = TRAITS[kind].largest_batch
    if size > largest:
        raise _invalid(f"Maximum batch size must be between 1 and {largest} inclusive")
    if size > _SMALL_BATCH and window == 0:
        raise _invalid(
            "Maximum batch window in seconds must be greater than 0 if maximum batch size is"
            " greater than 10"
        )


def _check_record_age(age_s: int | None) -> None:
    if age_s not in {None, -1} and not _YOUNGEST_RECORD_S <= (age_s or 0) <= _OLDEST_RECORD_S:
        raise _invalid(
            "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800"
            " (inclusive)"
        )


def _check_pollers(kind: Kind, members: Members) -> None:
    config = members.get("ProvisionedPollerConfig") or {}
    if not config:
        return
    if kind in QUEUES and config.get("PollerGroupName"):
        raise _invalid("PollerGroupName is not supported for SQS event sources.")
    least, most = config.get("MinimumPollers"), config.get("MaximumPollers")
    if least is None and most is None and kind not in KAFKAS:
        raise _invalid(
            "Either MinimumPollers or MaximumPollers are required if ProvisionedPollerConfig is"
            " provided."
        )
    bounds = TRAITS[kind]
    least = bounds.least_pollers if least is None else least
    most = max(least, _MOST_MINIMUM_POLLERS) if most is None else most
    if not (
        bounds.least_pollers <= least <= _MOST_MINIMUM_POLLERS
        and least <= most <= bounds.most_pollers
    ):
        raise _invalid(
            f"MinimumPollers should be between [{bounds.least_pollers}, {_MOST_MINIMUM_POLLERS}]"
            f" and MaximumPollers should be between [MinimumPollers, {bounds.most_pollers}]"
        )
    if kind in QUEUES and (members.get("ScalingConfig") or {}).get("MaximumConcurrency"):
        raise _invalid(
            "Provisioned mode for SQS ESM does not support maximum concurrency feature. Use"
            " MaximumPollers as the control mechanism and remove maximum concurrency."
        )

"""Event source mappings as documents: making, changing, showing them, and their states (pure).

A document has the members that AWS shows, and beside them `Enabled` (what is wanted), `Changing`
(the change that was made last: its `State`, and `Since` when, in seconds since the epoch) and
`Tags`. Which state a mapping is in follows from these and the time, so that nothing has to run for
a state to pass, and a restart forgets none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from lambda_home.arns import LATEST, PARTITION, Scope
from lambda_home.event_sources.kinds import KAFKAS, QUEUES, SERVERS, STREAMS, TRAITS, Kind
from lambda_home.event_sources.rules import destination, is_given

Document = Mapping[str, Any]

_OWN = frozenset({"Enabled", "Changing", "Tags"})
_REQUEST_ONLY = frozenset({"FunctionName", "Enabled", "Tags", "UUID"})
# Members that an answer does not have while they say nothing.
_IF_GIVEN = frozenset(
    {
        "AmazonManagedKafkaEventSourceConfig",
        "DocumentDBEventSourceConfig",
        "KMSKeyArn",
        "Queues",
        "SelfManagedEventSource",
        "SelfManagedKafkaEventSourceConfig",
        "SourceAccessConfigurations",
        "Topics",
    }
)
# Structures that are dropped unless this member of theirs says something.
_TELLING = {
    "FilterCriteria": "Filters",
    "LoggingConfig": "SystemLogLevel",
    "MetricsConfig": "Metrics",
    "ScalingConfig": "MaximumConcurrency",
}
_MOST_POLLERS_BY_DEFAULT = 200


class State(StrEnum):
    """`State` of a mapping."""

    CREATING = "Creating"
    ENABLING = "Enabling"
    ENABLED = "Enabled"
    DISABLING = "Disabling"
    DISABLED = "Disabled"
    UPDATING = "Updating"
    DELETING = "Deleting"


def new_document(
    scope: Scope, uuid: str, kind: Kind, given: Mapping[str, Any], function_arn: str
) -> dict[str, Any]:
    """A mapping of a checked request, without its state: `begun` adds that."""
    members = {**TRAITS[kind].defaults, **_configured(given)}
    document = {
        **_normal(kind, uuid, members),
        "UUID": uuid,
        "EventSourceMappingArn": mapping_arn(scope, uuid),
        "FunctionArn": function_arn,
        "StateTransitionReason": TRAITS[kind].reason,
        "Enabled": given.get("Enabled") is not False,
    }
    if given.get("Tags"):
        document["Tags"] = dict(given["Tags"])
    return document


def changed_document(
    kind: Kind, document: Document, given: Mapping[str, Any], function_arn: str
) -> dict[str, Any]:
    """What a checked update makes of a mapping; what is not given stays."""
    merged = dict(document)
    for name, value in _configured(given).items():
        old = document.get(name)
        nested = name in {"ProvisionedPollerConfig", "DocumentDBEventSourceConfig"}
        nested = nested or name == TRAITS[kind].config
        merged[name] = {**old, **value} if nested and old and value else value
    enabled = given.get("Enabled")
    return {
        **_normal(kind, document["UUID"], merged),
        "FunctionArn": function_arn,
        "Enabled": document["Enabled"] if enabled is None else enabled,
    }


def mapping_arn(scope: Scope, uuid: str) -> str:
    """The ARN of a mapping."""
    return f"arn:{PARTITION}:lambda:{scope.region}:{scope.account}:event-source-mapping:{uuid}"


def begun(document: Document, state: State, now: float) -> dict[str, Any]:
    """A mapping that goes through `state` from `now` on (seconds since the epoch)."""
    return {**document, "Changing": {"State": str(state), "Since": now}, "LastModified": now}


def state_of(document: Document, now: float, hold_s: float) -> State | None:
    """The state of a mapping whose changes take `hold_s` seconds; None once it is gone."""
    changing = document["Changing"]
    if remaining_s(document, now, hold_s) > 0:
        return State(changing["State"])
    if changing["State"] == State.DELETING:
        return None
    return State.ENABLED if document["Enabled"] else State.DISABLED


def remaining_s(document: Document, now: float, hold_s: float) -> float:
    """How long the change that is going on still takes; 0 if none is.

    A clock that was set back ends it, instead of making it last for as long as that.
    """
    changing = document["Changing"]
    elapsed = now - float(changing["Since"])
    if changing["State"] == State.DISABLED or not 0 <= elapsed < hold_s:
        return 0
    return hold_s - elapsed


def shown(document: Document, state: State) -> dict[str, Any]:
    """A mapping as AWS answers it."""
    members = {name: value for name, value in document.items() if name not in _OWN}
    return {**members, "State": str(state)}


def shown_in_list(document: Document, state: State) -> dict[str, Any]:
    """A mapping as a list has it: without filters that are encrypted (API documentation)."""
    hidden = {"FilterCriteria"} if document.get("KMSKeyArn") else set()
    return {name: value for name, value in shown(document, state).items() if name not in hidden}


def same_function(one_arn: str, other_arn: str) -> bool:
    """Whether two ARNs name the same function, version or alias; `$LATEST` may be left out."""
    return one_arn.removesuffix(f":{LATEST}") == other_arn.removesuffix(f":{LATEST}")


def is_duplicate(kind: Kind, one: Document, other: Document) -> bool:
    """Whether two mappings would read the same for the same function.

    Of Kafka's bootstrap servers one in common is enough (recorded on AWS).
    """
    return (
        same_function(one["FunctionArn"], other["FunctionArn"])
        and one["UUID"] != other["UUID"]
        and bool(_sources(one) & _sources(other))
        and _within(kind, one) == _within(kind, other)
    )


def conflict(kind: Kind, new: Document, existing: Document) -> str:
    """What AWS says of a duplicate; queues, streams and the rest have texts of their own."""
    function_arn = new["FunctionArn"]
    function = function_arn.split(":function:", 1)[1]
    arn = new.get("EventSourceArn", "")
    advice = f"Please update or delete the existing mapping with UUID {existing['UUID']}"
    if kind in QUEUES:
        return (
            f'An event source mapping with SQS arn (" {arn} ") and function (" {function} ")'
            f" already exists. {advice}"
        )
    if kind in STREAMS:
        return (
            f'The event source arn (" {arn} ") and function (" {function} ") provided mapping'
            f" already exists. {advice}"
        )
    source = arn or ",".join(new["SelfManagedEventSource"]["Endpoints"][SERVERS])
    inside = "".join(
        f', {name.lower()} ("{",".join(new[name])}")'
        for name in ("Topics", "Queues")
        if name in new
    )
    return (
        f'An event source mapping with event source ("{source}"), function ("{function_arn}")'
        f"{inside} already exists. {advice}"
    )


def _sources(document: Document) -> set[str]:
    if arn := document.get("EventSourceArn"):
        return {arn}
    return set(document["SelfManagedEventSource"]["Endpoints"].get(SERVERS, ()))


def _within(kind: Kind, document: Document) -> object:
    """Which part of its source a mapping reads."""
    if kind is Kind.DOCUMENTDB:
        config = document["DocumentDBEventSourceConfig"]
        return config.get("DatabaseName"), config.get("CollectionName")
    return document.get("Topics"), document.get("Queues")


def _configured(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.timestamp() if isinstance(value, datetime) else value
        for name, value in given.items()
        if name not in _REQUEST_ONLY and value is not None
    }


def _normal(kind: Kind, uuid: str, members: Mapping[str, Any]) -> dict[str, Any]:
    """Members as AWS writes them: without what says nothing, complete where it completes."""
    normal = {name: value for name, value in members.items() if _says_something(name, value)}
    if normal.get("StartingPosition") != "AT_TIMESTAMP":
        normal.pop("StartingPositionTimestamp", None)
    if kind in KAFKAS:
        config = normal.get(TRAITS[kind].config) or {}
        normal[TRAITS[kind].config] = {"ConsumerGroupId": uuid, **config}
    if not normal.get("FunctionResponseTypes") and kind not in QUEUES | STREAMS:
        normal.pop("FunctionResponseTypes", None)
    if "DestinationConfig" in normal:
        target = destination(normal["DestinationConfig"], "OnFailure")
        normal["DestinationConfig"] = {"OnFailure": {"Destination": target} if target else {}}
        if not target and kind not in STREAMS:
            del normal["DestinationConfig"]
    if pollers := normal.pop("ProvisionedPollerConfig", None):
        normal["ProvisionedPollerConfig"] = _pollers(kind, pollers)
    if "DocumentDBEventSourceConfig" in normal:
        normal["DocumentDBEventSourceConfig"] = {
            "FullDocument": "Default",
            **normal["DocumentDBEventSourceConfig"],
        }
    return normal


def _says_something(name: str, value: Any) -> bool:
    if name in _TELLING:
        return is_given((value or {}).get(_TELLING[name]))
    return name not in _IF_GIVEN or is_given(value)


def _pollers(kind: Kind, config: Mapping[str, Any]) -> dict[str, Any]:
    least = config.get("MinimumPollers") or TRAITS[kind].least_pollers
    most = config.get("MaximumPollers") or _MOST_POLLERS_BY_DEFAULT
    return {**config, "MinimumPollers": least, "MaximumPollers": most}

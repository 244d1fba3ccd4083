"""Operations on log groups and their retention."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from lambda_home.arns import Scope
from lambda_home.cloudwatch.identifiers import (
    group_arn,
    group_named,
    group_of,
    place_in,
    token_of,
)
from lambda_home.cloudwatch.operations import LogsBackend, LogsCall, Result, operation
from lambda_home.cloudwatch.tags import refuse_reserved
from lambda_home.errors import InvalidParameterException, ValidationException
from lambda_home.logs.events import LogGroup, NoSuchLogGroup

_PAGE: Final = 50
_STEP: Final = 200
_STANDARD: Final = "STANDARD"
_CHEAPER: Final = frozenset({"INFREQUENT_ACCESS", "ESSENTIALS"})
"""Classes that DescribeLogGroups does not tell apart."""

_RESERVED: Final = "aws/"
_FILTERS: Final = ("logGroupNamePrefix", "logGroupNamePattern", "logGroupClass")
_RETENTIONS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545),
    *(731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
_SETTINGS: Final = ("kmsKeyId", "logGroupClass", "deletionProtectionEnabled")
Wanted = Callable[[LogGroup], bool]


@operation("CreateLogGroup")
def create_log_group(backend: LogsBackend, call: LogsCall) -> Result:
    """Make a log group, with its tags and class."""
    params = call.params
    name = params["logGroupName"]
    if name.lower().startswith(_RESERVED):
        raise InvalidParameterException("Log groups starting with AWS/ are reserved for AWS.")
    settings: dict[str, Any] = {each: params[each] for each in _SETTINGS if each in params}
    if "tags" in params:
        refuse_reserved(params["tags"])
        settings["tags"] = params["tags"]
    backend.store.create_group(call.scope, name, settings)
    return None


@operation("DeleteLogGroup")
def delete_log_group(backend: LogsBackend, call: LogsCall) -> Result:
    """Delete a log group with everything in it, unless it is protected."""
    name = call.params["logGroupName"]
    group = backend.store.group(call.scope, name)
    if group.settings.get("deletionProtectionEnabled"):
        raise ValidationException(
            f"The log group {name} has deletion protection: switch it off with"
            " PutLogGroupDeletionProtection first."
        )
    backend.store.delete_group(call.scope, name)
    backend.subscriptions.forget(call.scope, name)
    return None


@operation("PutLogGroupDeletionProtection")
def put_deletion_protection(backend: LogsBackend, call: LogsCall) -> Result:
    """Protect a log group from being deleted, or no longer."""
    name = group_named(call.params["logGroupIdentifier"], call.scope)
    with backend.settings:
        settings = dict(backend.store.group(call.scope, name).settings)
        settings["deletionProtectionEnabled"] = call.params["deletionProtectionEnabled"]
        backend.store.put_settings(call.scope, name, settings)
    return None


@operation("DescribeLogGroups")
def describe_log_groups(backend: LogsBackend, call: LogsCall) -> Result:
    """Log groups by prefix, by a part of the name, or by identifiers."""
    params = call.params
    prefix, part = params.get("logGroupNamePrefix"), params.get("logGroupNamePattern")
    if prefix is not None and part is not None:
        raise InvalidParameterException(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
        )
    if "logGroupIdentifiers" in params:
        if any(each in params for each in _FILTERS):
            raise InvalidParameterException(
                "logGroupIdentifiers cannot be used with another filter of log groups."
            )
        return {"logGroups": _identified(backend, call)}
    kind = params.get("logGroupClass")
    kinds = _CHEAPER if kind in _CHEAPER else {kind}

    def wanted(group: LogGroup) -> bool:
        return (part or "") in group.name and (kind is None or _class_of(group) in kinds)

    found, more = _page(backend, call, wanted, params.get("limit", _PAGE), prefix or "")
    full = part is None
    groups = [_described(call.scope, group, full=full) for group in found]
    return {"logGroups": groups, "nextToken": more}


@operation("ListLogGroups")
def list_log_groups(backend: LogsBackend, call: LogsCall) -> Result:
    """Log groups by a pattern of up to five parts of names, by class and by tags.

    None has a data source or an index of fields.
    """
    params = call.params
    if params.get("dataSources") or params.get("fieldIndexNames"):
        return {"logGroups": []}
    # The model's constraint leaves nothing in it that has another meaning than AWS's.
    pattern = re.compile(params.get("logGroupNamePattern", "").replace(".", r"\."))

    def wanted(group: LogGroup) -> bool:
        if "logGroupClass" in params and _class_of(group) != params["logGroupClass"]:
            return False
        tags: Any = group.settings.get("tags") or {}
        return pattern.search(group.name) is not None and all(
            _is_tagged(tags.get(each["key"]), each.get("values") or [])
            for each in params.get("logGroupTags", [])
        )

    found, more = _page(backend, call, wanted, params.get("limit", _PAGE))
    summaries = [
        {
            "logGroupName": group.name,
            "logGroupArn": group_arn(call.scope, group.name),
            "logGroupClass": _class_of(group),
        }
        for group in found
    ]
    return {"logGroups": summaries, "nextToken": more}


@operation("PutRetentionPolicy")
def put_retention_policy(backend: LogsBackend, call: LogsCall) -> Result:
    """Say how many days events of a group are kept."""
    days = call.params["retentionInDays"]
    if days not in _RETENTIONS:
        raise InvalidParameterException(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy"
            f" constraint: Member must satisfy enum value set: {list(_RETENTIONS)}"
        )
    backend.store.put_retention(call.scope, group_of(call.params, call.scope), days)
    return None


@operation("DeleteRetentionPolicy")
def delete_retention_policy(backend: LogsBackend, call: LogsCall) -> Result:
    """Keep events of a group without end."""
    backend.store.put_retention(call.scope, group_of(call.params, call.scope), None)
    return None


def _page(
    backend: LogsBackend, call: LogsCall, wanted: Wanted, limit: int, prefix: str = ""
) -> tuple[list[LogGroup], str | None]:
    """The next `limit` groups that are wanted, and the token of what follows them."""
    kind = "groups"
    after = place_in(kind, call.params.get("nextToken"))
    found: list[LogGroup] = []
    while True:
        groups = backend.store.groups(call.scope, prefix, after=after, limit=_STEP)
        for group in groups:
            if not wanted(group):
                continue
            if len(found) == limit:
                return found, token_of(kind, found[-1].name)
            found.append(group)
        if len(groups) < _STEP:
            return found, None
        after = groups[-1].name


def _identified(backend: LogsBackend, call: LogsCall) -> list[dict[str, Any]]:
    found = []
    for identifier in call.params["logGroupIdentifiers"]:
        try:
            group = backend.store.group(call.scope, group_named(identifier, call.scope))
        except NoSuchLogGroup:
            continue
        found.append(_described(call.scope, group, full=True))
    return found


def _is_tagged(value: str | None, wanted: list[str]) -> bool:
    """Whether a tag has one of the values: `*` stands for any text, a `!` before it for not."""
    return value is not None and (not wanted or any(_fits(value, each) for each in wanted))


def _fits(value: str, wanted: str) -> bool:
    if wanted.startswith("!"):
        return not _fits(value, wanted[1:])
    if "*" not in wanted:
        return value == wanted
    parts = (re.escape(part) for part in wanted.split("*"))
    return re.fullmatch(".*".join(parts), value, re.IGNORECASE | re.DOTALL) is not None


def _class_of(group: LogGroup) -> str:
    return str(group.settings.get("logGroupClass", _STANDARD))


def _described(scope: Scope, group: LogGroup, *, full: bool) -> dict[str, Any]:
    """A group as AWS describes it; a search by a part of the name tells less (recorded)."""
    arn = group_arn(scope, group.name)
    described: dict[str, Any] = {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "retentionInDays": group.retention_days,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "kmsKeyId": group.settings.get("kmsKeyId"),
        "logGroupClass": _class_of(group),
        "logGroupArn": arn,
    }
    if full:
        described["storedBytes"] = group.stored_bytes
        protected = bool(group.settings.get("deletionProtectionEnabled"))
        described["deletionProtectionEnabled"] = protected
    return described

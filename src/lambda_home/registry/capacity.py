"""What functions take of their account: reserved concurrency and code storage."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, func, select, union, update

from lambda_home.arns import Scope
from lambda_home.errors import InvalidParameterValueException
from lambda_home.functions import MINIMUM_UNRESERVED, State, layers_key
from lambda_home.registry.changes import ConfigKind, Overview, Usage
from lambda_home.registry.rows import LATEST_NUMBER, qualifier_of
from lambda_home.registry.tables import CONFIGS, FUNCTIONS, LAYER_VERSIONS, LAYERS, VERSIONS


def check(connection: Connection, function: Row[Any], value: int, account_total: int) -> None:
    """Refuse a reservation that leaves the account less than AWS's minimum unreserved.

    Also one that is less than the function's own provisioned concurrency.
    Giving some back, or reserving nothing, is never refused.
    """
    scope = Scope(function.account, function.region)
    own = sum(provisioned(connection, scope).get(function.name, {}).values())
    if value < own:
        raise InvalidParameterValueException(
            f" ReservedConcurrentExecutions  {value} should not be lower than function's total"
            f" provisioned concurrency [{own}].",
            fault_type=None,
        )
    others = taken(connection, scope)
    others.pop(function.name, None)
    left = account_total - value - sum(others.values())
    if left < MINIMUM_UNRESERVED and value > (function.reserved or 0):
        raise InvalidParameterValueException(
            "Specified ReservedConcurrentExecutions for function decreases account's"
            " UnreservedConcurrentExecution below its minimum value of"
            f" [{MINIMUM_UNRESERVED}].",
            fault_type=None,
        )


def reserve(connection: Connection, function_id: int, value: int | None) -> None:
    """Set the reservation; None for none."""
    connection.execute(
        update(FUNCTIONS).where(FUNCTIONS.c.id == function_id).values(reserved=value)
    )


def reserved(connection: Connection, scope: Scope) -> dict[str, int]:
    """The reservations of `scope` by function name."""
    query = select(FUNCTIONS.c.name, FUNCTIONS.c.reserved).where(
        FUNCTIONS.c.account == scope.account,
        FUNCTIONS.c.region == scope.region,
        FUNCTIONS.c.reserved.is_not(None),
    )
    return {row.name: row.reserved for row in connection.execute(query)}


def provisioned(connection: Connection, scope: Scope) -> dict[str, dict[str, int]]:
    """The provisioned concurrency that is asked for, by function name and qualifier."""
    query = (
        select(FUNCTIONS.c.name, CONFIGS.c.qualifier, CONFIGS.c.document)
        .join_from(FUNCTIONS, CONFIGS)
        .where(
            FUNCTIONS.c.account == scope.account,
            FUNCTIONS.c.region == scope.region,
            CONFIGS.c.kind == ConfigKind.PROVISIONED,
        )
    )
    found: dict[str, dict[str, int]] = {}
    for row in connection.execute(query):
        count = json.loads(row.document)["Requested"]
        found.setdefault(row.name, {})[row.qualifier] = count
    return found


def taken(connection: Connection, scope: Scope) -> dict[str, int]:
    """What functions take of the account's concurrency: reserved, else provisioned."""
    sums = {name: sum(of.values()) for name, of in provisioned(connection, scope).items()}
    return {**sums, **reserved(connection, scope)}


def usage(connection: Connection, scope: Scope) -> Usage:
    """Count functions, and the ZIPs of `$LATEST`, of each published version and of layers."""
    query = (
        select(
            func.count(FUNCTIONS.c.id.distinct()),
            func.coalesce(func.sum(VERSIONS.c.code_size), 0),
        )
        .join_from(FUNCTIONS, VERSIONS)
        .where(FUNCTIONS.c.account == scope.account, FUNCTIONS.c.region == scope.region)
    )
    count, size = connection.execute(query).one()
    layers = (
        select(func.coalesce(func.sum(LAYER_VERSIONS.c.code_size), 0))
        .join_from(LAYERS, LAYER_VERSIONS)
        .where(LAYERS.c.account == scope.account, LAYERS.c.region == scope.region)
    )
    return Usage(count, size + connection.execute(layers).scalar_one())


def code_keys(connection: Connection) -> set[str]:
    """The keys of all ZIPs of functions, of layers, and of deleted layers that functions use.

    Also the keys of the lists of layers that functions have, and the digests of their images.
    """
    digests = select(VERSIONS.c.code_sha256).where(VERSIONS.c.code_key == "")
    keys = union(select(VERSIONS.c.code_key), select(LAYER_VERSIONS.c.code_key), digests)
    found = {key for key in connection.execute(keys).scalars() if key}
    layers = func.json_extract(VERSIONS.c.settings, "$.layers")
    for used in connection.execute(select(layers).where(layers.is_not(None)).distinct()).scalars():
        listed = [layer["key"] for layer in json.loads(used)]
        found.update((*listed, layers_key(listed)))
    return found


def sizes(connection: Connection) -> dict[tuple[str, int, int], int]:
    """Count `$LATEST` versions of all scopes by runtime, memory and /tmp size.

    This follows every change: it finds each `$LATEST` by its key, past all numbered versions.
    """
    size = func.json_extract(VERSIONS.c.settings, "$.runtime", "$.memory_mb", "$.tmp_mb")
    query = (
        select(size.label("size"), func.count())
        .where(
            VERSIONS.c.function_id.in_(select(FUNCTIONS.c.id)),
            VERSIONS.c.number == LATEST_NUMBER,
            VERSIONS.c.state != State.FAILED,
            VERSIONS.c.code_key != "",  # a container image
        )
        .group_by("size")  # by its name: it is computed once for each row
    )
    counted = connection.execute(query).all()
    return {tuple(json.loads(members)): count for members, count in counted}


def overview(connection: Connection) -> list[Overview]:
    """All versions of all scopes, in short."""
    query = select(
        FUNCTIONS.c.account,
        FUNCTIONS.c.region,
        FUNCTIONS.c.name,
        VERSIONS.c.number,
        VERSIONS.c.state,
        func.json_extract(VERSIONS.c.settings, "$.memory_mb").label("memory_mb"),
    ).join_from(FUNCTIONS, VERSIONS)
    return [
        Overview(
            Scope(row.account, row.region),
            row.name,
            qualifier_of(row.number),
            State(row.state),
            row.memory_mb,
            is_latest=row.number == LATEST_NUMBER,
        )
        for row in connection.execute(query)
    ]

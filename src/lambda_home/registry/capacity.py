"""What functions take of their account: reserved concurrency and code storage."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from lambda_home.arns import Scope
from lambda_home.errors import InvalidParameterValueException
from lambda_home.functions import MINIMUM_UNRESERVED
from lambda_home.registry.changes import Usage
from lambda_home.registry.tables import FUNCTIONS, VERSIONS


def check(connection: Connection, function: Row[Any], value: int, account_total: int) -> None:
    """Refuse a reservation that leaves the account less than AWS's minimum unreserved.

    Giving some back, or reserving nothing, is never refused.
    """
    others = select(func.coalesce(func.sum(FUNCTIONS.c.reserved), 0)).where(
        FUNCTIONS.c.account == function.account,
        FUNCTIONS.c.region == function.region,
        FUNCTIONS.c.id != function.id,
    )
    left = account_total - value - connection.execute(others).scalar_one()
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


def usage(connection: Connection, scope: Scope) -> Usage:
    """Count functions, and the ZIPs of `$LATEST` and of each published version."""
    query = (
        select(
            func.count(FUNCTIONS.c.id.distinct()),
            func.coalesce(func.sum(VERSIONS.c.code_size), 0),
        )
        .join_from(FUNCTIONS, VERSIONS)
        .where(FUNCTIONS.c.account == scope.account, FUNCTIONS.c.region == scope.region)
    )
    count, size = connection.execute(query).one()
    return Usage(count, size)

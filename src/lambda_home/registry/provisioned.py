"""Provisioned concurrency as it is asked for: one document for each version or alias.

A document has `Requested` (environments) and `LastModified`. Rules and texts: recorded on AWS.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row

from lambda_home.arns import FunctionRef, Scope
from lambda_home.errors import (
    InvalidParameterValueException,
    ProvisionedConcurrencyConfigNotFoundException,
    ResourceConflictException,
)
from lambda_home.functions import MINIMUM_UNRESERVED
from lambda_home.registry import capacity
from lambda_home.registry.aliases import find_alias, versions_of
from lambda_home.registry.changes import Change, ChangeKind, ConfigKind
from lambda_home.registry.database import Database
from lambda_home.registry.queries import (
    find_function,
    find_version,
    read_document,
    read_documents,
    write_document,
)
from lambda_home.registry.rows import number_of

Document = dict[str, Any]
_KIND = ConfigKind.PROVISIONED


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ProvisionedConcurrency:
    """What is asked for, for all functions; synchronous and usable from several threads.

    In every ref the qualifier is a version's number or an alias's name.
    """

    def __init__(
        self,
        database: Database,
        on_change: Callable[[Change], None],
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._database = database
        self._on_change = on_change
        self._clock = clock

    def put(self, ref: FunctionRef, count: int, account_total: int) -> Document:
        """Ask for `count` environments, of the account's `account_total`.

        Raises a 404 for what does not exist, ResourceConflictException if an alias and its version
        would both have some, InvalidParameterValueException for more than there is.
        """
        qualifier = ref.qualifier or ""
        with self._database.write() as connection:
            function = _target(connection, ref)
            _refuse_overlap(connection, function, qualifier)
            _refuse_too_many(connection, function, (qualifier, count), account_total)
            stamp = f"{self._clock().astimezone(UTC):%Y-%m-%dT%H:%M:%S}+0000"
            document = {"Requested": count, "LastModified": stamp}
            write_document(connection, (function.id, _KIND, qualifier), document)
        self._tell(ref)
        return document

    def get(self, ref: FunctionRef) -> Document:
        """What is asked for; a 404 for a missing target, another where there is nothing."""
        with self._database.read() as connection:
            function = _target(connection, ref)
            found = read_document(connection, function.id, _KIND, ref.qualifier or "")
        if found is None:
            raise ProvisionedConcurrencyConfigNotFoundException(
                "No Provisioned Concurrency Config found for this function"
            )
        return found

    def delete(self, ref: FunctionRef) -> None:
        """Ask for none any more; a 404 for a missing target."""
        with self._database.write() as connection:
            function = _target(connection, ref)
            write_document(connection, (function.id, _KIND, ref.qualifier or ""), None)
        self._tell(ref)

    def listing(self, ref: FunctionRef) -> dict[str, Document]:
        """What is asked for by qualifier, in its order; a 404 for a missing function."""
        with self._database.read() as connection:
            function = find_function(connection, ref)
            return read_documents(connection, function.id, _KIND)

    def _tell(self, ref: FunctionRef) -> None:
        self._on_change(Change(ref.scope, ref.name, ChangeKind.CONFIGURED))


def _target(connection: Connection, ref: FunctionRef) -> Row[Any]:
    """The function, where the version or the alias exists."""
    if number_of(ref.qualifier) is None:
        find_alias(connection, ref)
    else:
        find_version(connection, ref)
    return find_function(connection, ref)


def _refuse_overlap(connection: Connection, function: Row[Any], qualifier: str) -> None:
    asked = read_documents(connection, function.id, _KIND)
    aliases = read_documents(connection, function.id, ConfigKind.ALIAS)
    if qualifier in aliases:
        if any(version in asked for version in versions_of(aliases[qualifier])):
            raise ResourceConflictException(
                "Alias can't be used for Provisioned Concurrency configuration on an already"
                " Provisioned version"
            )
    elif any(name in asked and qualifier in versions_of(of) for name, of in aliases.items()):
        raise ResourceConflictException("Version is pointed by a Provisioned Concurrency alias")


def _refuse_too_many(
    connection: Connection, function: Row[Any], asked: tuple[str, int], account_total: int
) -> None:
    qualifier, count = asked
    scope = Scope(function.account, function.region)
    own = capacity.provisioned(connection, scope).get(function.name, {})
    before = own.pop(qualifier, 0)
    beside = sum(own.values())
    if function.reserved is not None:
        if beside + count > function.reserved:
            raise InvalidParameterValueException(
                "Requested Provisioned Concurrency should not be greater than the"
                " reservedConcurrentExecution for function"
            )
        return
    taken = capacity.taken(connection, scope)
    taken.pop(function.name, None)
    free = account_total - sum(taken.values()) - beside
    if count <= before:  # giving some back is never refused
        return
    if count > free:
        raise InvalidParameterValueException(
            "Specified ConcurrentExecutions for function is greater than account's unreserved"
            f" concurrency [{free}].",
            fault_type=None,
        )
    if free - count < MINIMUM_UNRESERVED:
        raise InvalidParameterValueException(
            "Specified ConcurrentExecutions for function decreases account's"
            f" UnreservedConcurrentExecution below its minimum value of [{MINIMUM_UNRESERVED}].",
            fault_type=None,
        )

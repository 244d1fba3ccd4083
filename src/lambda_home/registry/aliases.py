"""Aliases: names for versions, stored as documents, with AWS's rules and texts.

A document has `FunctionVersion`, `Name`, `Description`, `RevisionId` and, where traffic is split,
`RoutingConfig`. Sources: recorded on AWS;
https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete

from lambda_home.arns import LATEST, FunctionRef
from lambda_home.errors import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lambda_home.registry.changes import Change, ChangeKind, ConfigKind
from lambda_home.registry.database import Database
from lambda_home.registry.queries import (
    ONE_FUNCTION,
    find_function,
    find_version,
    name_key,
    read_document,
    read_documents,
    write_document,
)
from lambda_home.registry.rows import number_of
from lambda_home.registry.tables import CONFIGS, VERSIONS

Weights = Mapping[str, float]
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AliasChange:
    """What a create or an update sets; None leaves a member as it is, no weights take them away."""

    function_version: str | None = None
    description: str | None = None
    weights: Weights | None = None


class Aliases:
    """The aliases of all functions; synchronous and usable from several threads.

    `on_change` is called after each commit, outside the write lock, in the thread of the caller.
    In every ref the qualifier is the alias's name.
    """

    def __init__(
        self,
        database: Database,
        on_change: Callable[[Change], None],
        new_uuid: Callable[[], uuid.UUID] = uuid.uuid4,
    ) -> None:
        self._database = database
        self._on_change = on_change
        self._new_uuid = new_uuid

    def create(self, ref: FunctionRef, values: AliasChange) -> Document:
        """Make an alias.

        Raises a 404 for a missing function or version, InvalidParameterValueException for weights
        that AWS refuses, ResourceConflictException if the name is taken.
        """
        with self._database.write() as connection:
            find_version(connection, replace(ref, qualifier=values.function_version))
            function = find_function(connection, ref)
            key = (function.id, ConfigKind.ALIAS, ref.qualifier or "")
            document = self._changed({"Name": ref.qualifier, "Description": ""}, values)
            _check_weights(connection, ref, document)
            if read_document(connection, *key) is not None:
                raise ResourceConflictException(f"Alias already exists: {ref.qualified_arn}")
            write_document(connection, key, document)
        self._tell(ref)
        return document

    def get(self, ref: FunctionRef) -> Document:
        """One alias; else a 404, whatever is missing."""
        with self._database.read() as connection:
            return find_alias(connection, ref)

    def update(
        self, ref: FunctionRef, values: AliasChange, revision_id: str | None = None
    ) -> Document:
        """Change an alias; it gets a new RevisionId even if nothing changes, as on AWS.

        Raises as `create`, and PreconditionFailedException if `revision_id` is not the current one.
        """
        with self._database.write() as connection:
            try:
                old = find_alias(connection, ref)
            except ResourceNotFoundException:
                message = f"Alias not found: {ref.qualified_arn}"
                raise ResourceNotFoundException(message) from None
            if revision_id and revision_id != old["RevisionId"]:
                raise PreconditionFailedException(
                    "The Revision Id provided does not match the latest Revision Id. Call the"
                    " GetFunction/GetAlias API to retrieve the latest Revision Id"
                )
            document = self._changed(old, values)
            find_version(connection, replace(ref, qualifier=document["FunctionVersion"]))
            _check_weights(connection, ref, document)
            function = find_function(connection, ref)
            key = (function.id, ConfigKind.ALIAS, ref.qualifier or "")
            write_document(connection, key, document)
        self._tell(ref)
        return document

    def delete(self, ref: FunctionRef) -> None:
        """Remove an alias and what is configured for it but its URL; a missing alias is fine.

        A URL outlives its alias on AWS (recorded), and refuses its callers then.
        """
        with self._database.write() as connection:
            function = find_function(connection, ref)
            name = ref.qualifier or ""
            if read_document(connection, function.id, ConfigKind.ALIAS, name) is not None:
                its = (
                    CONFIGS.c.function_id == function.id,
                    CONFIGS.c.qualifier == name,
                    CONFIGS.c.kind != ConfigKind.URL,
                )
                connection.execute(delete(CONFIGS).where(*its))
        self._tell(ref)

    def listing(self, ref: FunctionRef, version: str | None = None) -> dict[str, Document]:
        """A function's aliases by name, in its order; a 404 for a missing function.

        With `version` only those that invoke it, by their weights too.
        """
        with self._database.read() as connection:
            function = find_function(connection, ref)
            found = read_documents(connection, function.id, ConfigKind.ALIAS)
        if version is None:
            return found
        return {name: of for name, of in found.items() if version in versions_of(of)}

    def of(self, ref: FunctionRef) -> dict[str, Document]:
        """All aliases of a function by name; none if it has gone."""
        with self._database.read() as connection:
            function = connection.execute(ONE_FUNCTION, name_key(ref)).first()
            if function is None:
                return {}
            return read_documents(connection, function.id, ConfigKind.ALIAS)

    def _changed(self, old: Document, values: AliasChange) -> Document:
        document = {**old, "RevisionId": str(self._new_uuid())}
        if values.function_version is not None:
            document["FunctionVersion"] = values.function_version
        if values.description is not None:
            document["Description"] = values.description
        if values.weights is not None:
            document.pop("RoutingConfig", None)
            if values.weights:
                document["RoutingConfig"] = {"AdditionalVersionWeights": dict(values.weights)}
        return document

    def _tell(self, ref: FunctionRef) -> None:
        self._on_change(Change(ref.scope, ref.name, ChangeKind.CONFIGURED))


def weights_of(document: Mapping[str, Any]) -> Weights:
    """The weights of the versions beside an alias's main one."""
    weights: Weights = document.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})
    return weights


def versions_of(document: Mapping[str, Any]) -> set[str]:
    """All versions that an alias invokes."""
    return {document["FunctionVersion"], *weights_of(document)}


def find_alias(connection: Connection, ref: FunctionRef) -> Document:
    """An alias's document; else a 404, whatever is missing."""
    function = connection.execute(ONE_FUNCTION, name_key(ref)).first()
    found = None
    if function is not None:
        found = read_document(connection, function.id, ConfigKind.ALIAS, ref.qualifier or "")
    if found is None:
        raise ResourceNotFoundException(f"Cannot find alias arn: {ref.qualified_arn}")
    return found


def drop_version(connection: Connection, function_id: int, version: str) -> None:
    """Delete a version and what is configured for it.

    Raises ResourceConflictException if an alias references it. Text: seen on AWS in many reports.
    """
    aliases = read_documents(connection, function_id, ConfigKind.ALIAS)
    holding = [name for name, document in aliases.items() if version in versions_of(document)]
    if holding:
        raise ResourceConflictException(
            "Unable to delete version because the following aliases reference it:"
            f" [{', '.join(holding)}]"
        )
    number = number_of(version)
    if number is None:
        return
    where = (VERSIONS.c.function_id == function_id, VERSIONS.c.number == number)
    connection.execute(delete(VERSIONS).where(*where))
    settings = (CONFIGS.c.function_id == function_id, CONFIGS.c.qualifier == version)
    connection.execute(delete(CONFIGS).where(*settings))


def _check_weights(connection: Connection, ref: FunctionRef, document: Document) -> None:
    main, weights = document["FunctionVersion"], weights_of(document)
    if len(weights) > 1:
        raise InvalidParameterValueException(
            "Number of items in AdditionalVersionWeights cannot be greater than 1"
        )
    for other in weights:
        if main.startswith(LATEST):
            raise InvalidParameterValueException(
                "$LATEST is not supported for an alias pointing to more than 1 version",
                fault_type=None,
            )
        if other == main:
            raise InvalidParameterValueException(
                f"Invalid function version {other}. Function version {other} is already included in"
                " routing configuration."
            )
        find_version(connection, replace(ref, qualifier=other))

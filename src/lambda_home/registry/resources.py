"""What an account has that belongs to no function, as one JSON document each.

A document has a kind and a name that is unique among those of its kind in its account and region.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from lambda_home.arns import Scope
from lambda_home.registry.database import Database
from lambda_home.registry.tables import RESOURCES

Document = Mapping[str, Any]
Edit = Callable[[Document | None], Document | None]


class ResourceKind(StrEnum):
    """What a document is about."""

    EVENT_SOURCE_MAPPING = "event_source_mapping"
    CODE_SIGNING_CONFIG = "code_signing_config"
    CAPACITY_PROVIDER = "capacity_provider"
    ROUTE = "route"
    SECRET = "secret"  # noqa: S105  a kind, not one
    ACCESS_KEY = "access_key"
    LOG_SUBSCRIPTIONS = "log_subscriptions"
    BUILD = "build"


class Resources:
    """The documents of all accounts; synchronous and usable from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, scope: Scope, kind: ResourceKind, name: str) -> Document | None:
        """One document; None if there is none."""
        with self._database.read() as connection:
            return _read(connection, scope, kind, name)

    def all_of(self, scope: Scope, kind: ResourceKind) -> dict[str, Document]:
        """The documents of a kind in an account and region, in the order of their names."""
        with self._database.read() as connection:
            return _read_all(connection, scope, kind)

    def everywhere(self, kind: ResourceKind) -> dict[tuple[Scope, str], Document]:
        """The documents of a kind of all accounts and regions, by scope and name."""
        query = select(RESOURCES).where(RESOURCES.c.kind == kind).order_by(RESOURCES.c.name)
        with self._database.read() as connection:
            return {
                (Scope(row.account, row.region), row.name): json.loads(row.document)
                for row in connection.execute(query)
            }

    def change(
        self,
        scope: Scope,
        kind: ResourceKind,
        name: str,
        edit: Edit,
        *,
        beside: Callable[[Connection], None] | None = None,
    ) -> Document | None:
        """Replace a document by what `edit` makes of it (None: nothing); answers the new one.

        `edit` runs inside the transaction: it may raise, and must not use the registry. `beside`
        is done after it, in the same transaction.
        """
        with self._database.write() as connection:
            document = edit(_read(connection, scope, kind, name))
            _write(connection, _key(scope, kind, name), document)
            if beside is not None:
                beside(connection)
        return document

    def change_all(
        self,
        scope: Scope,
        kind: ResourceKind,
        edit: Callable[[Mapping[str, Document]], Mapping[str, Document | None]],
    ) -> None:
        """Change several documents of a kind at once.

        `edit` sees all of them and answers those to set (None: to remove); it may raise, and must
        not use the registry.
        """
        with self._database.write() as connection:
            for name, document in edit(_read_all(connection, scope, kind)).items():
                _write(connection, _key(scope, kind, name), document)


def _key(scope: Scope, kind: ResourceKind, name: str) -> dict[str, str]:
    return {"account": scope.account, "region": scope.region, "kind": kind, "name": name}


def _read(connection: Connection, scope: Scope, kind: ResourceKind, name: str) -> Document | None:
    query = select(RESOURCES.c.document).filter_by(**_key(scope, kind, name))
    found = connection.execute(query).scalar()
    return None if found is None else dict(json.loads(found))


def _read_all(connection: Connection, scope: Scope, kind: ResourceKind) -> dict[str, Document]:
    query = select(RESOURCES.c.name, RESOURCES.c.document).where(
        RESOURCES.c.account == scope.account,
        RESOURCES.c.region == scope.region,
        RESOURCES.c.kind == kind,
    )
    rows = connection.execute(query.order_by(RESOURCES.c.name))
    return {row.name: json.loads(row.document) for row in rows}


def _write(connection: Connection, key: Mapping[str, str], document: Document | None) -> None:
    connection.execute(delete(RESOURCES).filter_by(**key))
    if document is not None:
        row = {**key, "document": json.dumps(dict(document))}
        connection.execute(insert(RESOURCES).values(row))

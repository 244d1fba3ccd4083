"""What is configured for functions beside their versions, as one JSON document each.

A document belongs to a function, is of one kind and has a qualifier: `$LATEST`, a version number or
an alias's name, where the kind has one for each of them; "" where it has one for the function. It
goes with its function.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from lambda_home.arns import FunctionRef, Scope
from lambda_home.registry.changes import Change, ChangeKind
from lambda_home.registry.database import Database
from lambda_home.registry.queries import find_function
from lambda_home.registry.tables import CONFIGS, FUNCTIONS

Document = Mapping[str, Any]
Edit = Callable[[Document | None], Document | None]


class ConfigKind(StrEnum):
    """What a document is about, named after AWS's operations where AWS has them."""

    ALIAS = "alias"
    EVENT_INVOKE = "event_invoke"
    PROVISIONED = "provisioned_concurrency"
    SCALING = "scaling"
    RECURSION = "recursion"
    RATE_LIMIT = "rate_limit"


class FunctionConfigs:
    """The documents of all functions; synchronous and usable from several threads.

    `on_change` is called after each commit, outside the write lock, in the thread of the caller;
    it must not raise.
    """

    def __init__(self, database: Database, on_change: Callable[[Change], None]) -> None:
        self._database = database
        self._on_change = on_change

    def get(self, ref: FunctionRef, kind: ConfigKind, qualifier: str = "") -> Document | None:
        """One document, None if there is none; a 404 for a missing function."""
        with self._database.read() as connection:
            function = find_function(connection, ref)
            return _one(connection, function, kind, qualifier)

    def all_of(self, ref: FunctionRef, kind: ConfigKind) -> dict[str, Document]:
        """The documents of one function by qualifier, in its order; a 404 for a missing one."""
        with self._database.read() as connection:
            function = find_function(connection, ref)
            query = (
                select(CONFIGS.c.qualifier, CONFIGS.c.document)
                .where(CONFIGS.c.function_id == function.id, CONFIGS.c.kind == kind)
                .order_by(CONFIGS.c.qualifier)
            )
            return {row.qualifier: json.loads(row.document) for row in connection.execute(query)}

    def everywhere(self, kind: ConfigKind) -> dict[tuple[Scope, str, str], Document]:
        """The documents of a kind of all functions, by scope, name and qualifier."""
        query = (
            select(
                FUNCTIONS.c.account,
                FUNCTIONS.c.region,
                FUNCTIONS.c.name,
                CONFIGS.c.qualifier,
                CONFIGS.c.document,
            )
            .join_from(FUNCTIONS, CONFIGS)
            .where(CONFIGS.c.kind == kind)
            .order_by(FUNCTIONS.c.name, CONFIGS.c.qualifier)
        )
        with self._database.read() as connection:
            return {
                (Scope(row.account, row.region), row.name, row.qualifier): json.loads(row.document)
                for row in connection.execute(query)
            }

    def put(
        self, ref: FunctionRef, kind: ConfigKind, document: Document, qualifier: str = ""
    ) -> Document:
        """Set a document; a 404 for a missing function."""
        self.change(ref, kind, lambda _: document, qualifier)
        return document

    def delete(self, ref: FunctionRef, kind: ConfigKind, qualifier: str = "") -> bool:
        """Remove a document; False if there was none, a 404 for a missing function."""
        return self.change(ref, kind, lambda _: None, qualifier) is not None

    def change(
        self, ref: FunctionRef, kind: ConfigKind, edit: Edit, qualifier: str = ""
    ) -> Document | None:
        """Replace a document by what `edit` makes of it (None: nothing); answers the old one.

        `edit` runs inside the transaction: it may raise, and must not use the registry.
        """
        with self._database.write() as connection:
            function = find_function(connection, ref)
            old = _one(connection, function, kind, qualifier)
            new = edit(old)
            connection.execute(
                delete(CONFIGS).where(
                    CONFIGS.c.function_id == function.id,
                    CONFIGS.c.kind == kind,
                    CONFIGS.c.qualifier == qualifier,
                )
            )
            if new is not None:
                row = {"function_id": function.id, "kind": kind, "qualifier": qualifier}
                connection.execute(insert(CONFIGS).values(**row, document=json.dumps(dict(new))))
        self._on_change(Change(ref.scope, ref.name, ChangeKind.CONFIGURED))
        return old


def _one(
    connection: Connection, function: Row[Any], kind: ConfigKind, qualifier: str
) -> Document | None:
    query = select(CONFIGS.c.document).where(
        CONFIGS.c.function_id == function.id,
        CONFIGS.c.kind == kind,
        CONFIGS.c.qualifier == qualifier,
    )
    found = connection.execute(query).scalar()
    return None if found is None else dict(json.loads(found))

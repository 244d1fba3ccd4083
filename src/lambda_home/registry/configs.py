"""What is configured for functions beside their versions, as one JSON document each.

A document belongs to a function, is of one kind and has a qualifier: `$LATEST`, a version number or
an alias's name, where the kind has one for each of them; "" where it has one for the function. It
goes with its function.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import select, update

from lambda_home.arns import FunctionRef, Scope
from lambda_home.registry.changes import Change, ChangeKind, ConfigKind
from lambda_home.registry.database import Database
from lambda_home.registry.queries import (
    find_function,
    read_document,
    read_documents,
    write_document,
)
from lambda_home.registry.rows import LATEST_NUMBER
from lambda_home.registry.tables import CONFIGS, FUNCTIONS, VERSIONS

__all__ = ["ConfigKind", "Document", "Edit", "FunctionConfigs"]

Document = Mapping[str, Any]
Edit = Callable[[Document | None], Document | None]


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
            return read_document(connection, function.id, kind, qualifier)

    def all_of(self, ref: FunctionRef, kind: ConfigKind) -> dict[str, Document]:
        """The documents of one function by qualifier, in its order; a 404 for a missing one."""
        with self._database.read() as connection:
            function = find_function(connection, ref)
            return dict(read_documents(connection, function.id, kind))

    def all_of_kinds(
        self, ref: FunctionRef, kinds: Sequence[ConfigKind]
    ) -> list[dict[str, Document]]:
        """As `all_of`, of several kinds at the same moment."""
        with self._database.read() as connection:
            function = find_function(connection, ref)
            return [dict(read_documents(connection, function.id, kind)) for kind in kinds]

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
        self,
        ref: FunctionRef,
        kind: ConfigKind,
        edit: Edit,
        qualifier: str = "",
        revision_id: str | None = None,
    ) -> Document | None:
        """Replace a document by what `edit` makes of it (None: nothing); answers the old one.

        With `revision_id` `$LATEST` gets that RevisionId. `edit` runs inside the transaction: it
        may raise, and must not use the registry.
        """
        with self._database.write() as connection:
            function = find_function(connection, ref)
            old = read_document(connection, function.id, kind, qualifier)
            write_document(connection, (function.id, kind, qualifier), edit(old))
            if revision_id is not None:
                same = (VERSIONS.c.function_id == function.id, VERSIONS.c.number == LATEST_NUMBER)
                connection.execute(update(VERSIONS).where(*same).values(revision_id=revision_id))
        self._on_change(Change(ref.scope, ref.name, ChangeKind.CONFIGURED))
        return old

"""The policies of functions, versions and aliases.

A policy has no RevisionId of its own: it is that of what it belongs to, which a change of the
policy gives a new one. Source: LocalStack's tests that are validated on AWS hold both
("function revision is the same as policy revision").
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, update

from lambda_home.arns import FunctionRef
from lambda_home.registry.aliases import find_alias
from lambda_home.registry.changes import Change, ChangeKind, ConfigKind
from lambda_home.registry.database import Database
from lambda_home.registry.queries import (
    find_function,
    find_version,
    read_document,
    write_document,
)
from lambda_home.registry.rows import number_of
from lambda_home.registry.tables import VERSIONS

Policy = Mapping[str, Any]
_ALIAS = re.compile(r"(?!\d+$)[a-zA-Z0-9-_]+")


@dataclass(frozen=True, slots=True)
class Stored:
    """A policy, None where there is none, and the RevisionId of what it belongs to."""

    policy: Policy | None
    revision_id: str


Edit = Callable[[Stored], Policy | None]


class Policies:
    """The policies of all functions; synchronous and usable from several threads.

    In every ref the qualifier is a version's number or an alias's name; None is the function.
    `on_change` is called after each commit, outside the write lock; it must not raise.
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

    def get(self, ref: FunctionRef) -> Stored:
        """What is stored; a 404 for a missing function, version or alias."""
        with self._database.read() as connection:
            return _read(connection, ref)

    def change(self, ref: FunctionRef, edit: Edit) -> Stored:
        """Replace a policy by what `edit` makes of it (None: nothing); answers the new one.

        `edit` runs inside the transaction: it may raise, and must not use the registry. Raises as
        `get`.
        """
        with self._database.write() as connection:
            stored = Stored(edit(_read(connection, ref)), str(self._new_uuid()))
            function = find_function(connection, ref)
            key = (function.id, ConfigKind.POLICY, ref.qualifier or "")
            write_document(connection, key, stored.policy)
            _revise(connection, function.id, ref, stored.revision_id)
        self._on_change(Change(ref.scope, ref.name, ChangeKind.CONFIGURED))
        return stored


def _read(connection: Connection, ref: FunctionRef) -> Stored:
    if _ALIAS.fullmatch(ref.qualifier or ""):
        revision_id = find_alias(connection, ref)["RevisionId"]
    else:
        revision_id = find_version(connection, ref).revision_id
    function = find_function(connection, ref)
    policy = read_document(connection, function.id, ConfigKind.POLICY, ref.qualifier or "")
    return Stored(policy, revision_id)


def _revise(connection: Connection, function_id: int, ref: FunctionRef, revision_id: str) -> None:
    if _ALIAS.fullmatch(ref.qualifier or ""):
        alias = {**find_alias(connection, ref), "RevisionId": revision_id}
        write_document(connection, (function_id, ConfigKind.ALIAS, ref.qualifier or ""), alias)
        return
    number = number_of(ref.qualifier)
    same = (VERSIONS.c.function_id == function_id, VERSIONS.c.number == number)
    connection.execute(update(VERSIONS).where(*same).values(revision_id=revision_id))

"""Secrets of an account and region: named values that environments get, encrypted in the database.

An environment variable whose whole value is `SECRET_REF:NAME` has the value of that secret in an
execution environment, and nowhere else. A change of a secret gives the versions that refer to it
another `run_key`, in the same transaction: environments with the old value serve no new invocation.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, update

from lambda_home.arns import Scope
from lambda_home.errors import ResourceNotFoundException
from lambda_home.functions import SECRET_REFERENCE
from lambda_home.registry.changes import Change, ChangeKind
from lambda_home.registry.database import Database
from lambda_home.registry.queries import JOINED
from lambda_home.registry.resources import Document, ResourceKind, Resources
from lambda_home.registry.tables import FUNCTIONS, VERSIONS
from lambda_home.vault import KEY_FILE, Vault

# What is encrypted, and in which member of its document.
_ENCRYPTED = {ResourceKind.SECRET: "value", ResourceKind.ACCESS_KEY: "secret"}


@dataclass(frozen=True, slots=True)
class Secret:
    """What may be told of a secret; times are seconds since the epoch."""

    name: str
    created_at: float
    updated_at: float


def open_vault(keys: str, data_dir: Path, database: Database) -> Vault:
    """The vault of a data directory; `keys` are those of the setting `secrets.key`.

    Raises VaultError for a key that cannot be used.
    """
    resources = Resources(database)

    def is_in_use() -> bool:
        return any(map(resources.everywhere, _ENCRYPTED))

    vault = Vault(keys, data_dir / KEY_FILE, is_in_use)
    vault.check()
    return vault


def renew(database: Database, vault: Vault) -> int:
    """Encrypt by the vault's first key what another of its keys encrypted; answers how much it was.

    What none of them reads stays as it is. Only for a server that starts: one that runs may not
    know the first key yet. Raises VaultError, and ServiceException if the file cannot be written.
    """
    resources = Resources(database)
    count = 0
    for kind, member in _ENCRYPTED.items():
        for (scope, name), document in resources.everywhere(kind).items():
            token = vault.renewed(document[member])
            if token is not None:
                resources.change(scope, kind, name, _always({**document, member: token}))
                count += 1
    return count


def _always(document: Document) -> Callable[[Document | None], Document]:
    return lambda _: document


class Secrets:
    """The secrets of all accounts; synchronous and usable from several threads.

    `on_change` is told of each function that a change concerns, as by the function registry.
    """

    def __init__(
        self, database: Database, on_change: Callable[[Change], None], vault: Vault
    ) -> None:
        self._resources = Resources(database)
        self._on_change = on_change
        self._vault = vault

    def put(self, scope: Scope, name: str, value: str, now: float) -> Secret:
        """Make a secret, or give it another value. Raises VaultError."""
        token = self._vault.encrypt(value)

        def replaced(old: Document | None) -> Document:
            created_at = old["created_at"] if old is not None else now
            return {"value": token, "created_at": created_at, "updated_at": now}

        return _shown(name, self._change(scope, name, replaced) or {})

    def all_of(self, scope: Scope) -> list[Secret]:
        """All secrets by name, without their values."""
        found = self._resources.all_of(scope, ResourceKind.SECRET)
        return [_shown(name, document) for name, document in found.items()]

    def delete(self, scope: Scope, name: str) -> None:
        """Forget a secret. Raises ResourceNotFoundException if there is none of this name."""

        def nothing(old: Document | None) -> None:
            if old is None:
                raise ResourceNotFoundException(f"There is no secret of the name {name}.")

        self._change(scope, name, nothing)

    def values(self, scope: Scope, names: Collection[str]) -> Mapping[str, str]:
        """The values of those of `names` that exist. Raises VaultError."""
        found = {name: self._resources.get(scope, ResourceKind.SECRET, name) for name in names}
        return {
            name: self._vault.decrypt(document["value"])
            for name, document in found.items()
            if document is not None
        }

    def _change(
        self, scope: Scope, name: str, edit: Callable[[Document | None], Document | None]
    ) -> Document | None:
        concerned: set[str] = set()

        def outdate(connection: Connection) -> None:
            concerned.update(_outdate(connection, scope, name))

        changed = self._resources.change(scope, ResourceKind.SECRET, name, edit, beside=outdate)
        for function in sorted(concerned):
            self._on_change(Change(scope, function, ChangeKind.UPDATED))
        return changed


def _outdate(connection: Connection, scope: Scope, name: str) -> set[str]:
    """Give all versions that refer to a secret another run key; answers their functions' names."""
    reference = f"{SECRET_REFERENCE}{name}"
    query = JOINED.where(
        FUNCTIONS.c.account == scope.account,
        FUNCTIONS.c.region == scope.region,
        VERSIONS.c.settings.contains(reference, autoescape=True),
    )
    functions = set()
    for row in connection.execute(query).all():
        variables = json.loads(row.settings)["environment"] or {}
        if reference in variables.values():
            same = (VERSIONS.c.function_id == row.id, VERSIONS.c.number == row.number)
            connection.execute(update(VERSIONS).where(*same).values(run_key=uuid.uuid4().hex))
            functions.add(row.name)
    return functions


def _shown(name: str, document: Document) -> Secret:
    return Secret(name, document["created_at"], document["updated_at"])

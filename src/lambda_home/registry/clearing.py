"""Empties the registry, of all accounts or of one: what a reset between tests needs.

Access keys stay: who may come in is no state of a test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, and_, delete, func, select, true

from lambda_home.arns import Scope
from lambda_home.registry.changes import Change, ChangeKind
from lambda_home.registry.database import Database
from lambda_home.registry.resources import ResourceKind
from lambda_home.registry.tables import EVENTS, FUNCTIONS, LAYERS, RESOURCES, RETIRED

_KEPT = (ResourceKind.ACCESS_KEY,)


@dataclass(frozen=True, slots=True)
class Cleared:
    """What was deleted: functions by scope and name, layers, events, and all else by count."""

    functions: tuple[tuple[Scope, str], ...]
    layers: int
    events: int
    resources: int


class Clearing:
    """Deletes everything at once; synchronous. `on_change` is told of each function that went."""

    def __init__(self, database: Database, on_change: Callable[[Change], None]) -> None:
        self._database = database
        self._on_change = on_change

    def clear(self, account: str | None = None) -> Cleared:
        """Delete functions, layers, events, mappings, routes, secrets: of one account, or of all.

        One transaction; numbers of versions begin again at 1. Raises ServiceException, with nothing
        deleted, if the file cannot be written.
        """
        with self._database.write() as connection:
            names = select(FUNCTIONS.c.account, FUNCTIONS.c.region, FUNCTIONS.c.name)
            rows = connection.execute(names.where(_of(FUNCTIONS, account))).all()
            counts = {}
            for table in (LAYERS, EVENTS, RESOURCES):
                counted = select(func.count()).select_from(table).where(_of(table, account))
                counts[table.name] = connection.execute(counted).scalar_one()
                connection.execute(delete(table).where(_of(table, account)))
            for table in (FUNCTIONS, RETIRED):  # versions and configurations go with functions
                connection.execute(delete(table).where(_of(table, account)))
        functions = tuple((Scope(row.account, row.region), row.name) for row in rows)
        for scope, name in functions:
            self._on_change(Change(scope, name, ChangeKind.DELETED))
        return Cleared(
            functions,
            layers=counts[LAYERS.name],
            events=counts[EVENTS.name],
            resources=counts[RESOURCES.name],
        )


def _of(table: Table, account: str | None) -> ColumnElement[bool]:
    """The rows that go."""
    whose = true() if account is None else table.c.account == account
    return and_(whose, table.c.kind.not_in(_KEPT)) if table is RESOURCES else whose

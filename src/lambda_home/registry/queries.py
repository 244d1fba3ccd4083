"""The statements behind the registry's operations, on a connection that the caller has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from lambda_home.arns import FunctionRef
from lambda_home.errors import ResourceNotFoundException
from lambda_home.functions import FunctionVersion
from lambda_home.registry.changes import ConfigKind
from lambda_home.registry.paging import Page, Position, to_marker
from lambda_home.registry.rows import decode, encode, number_of
from lambda_home.registry.tables import CONFIGS, FUNCTIONS, RETIRED, VERSIONS

ONE_FUNCTION = select(FUNCTIONS).where(
    FUNCTIONS.c.account == bindparam("account"),
    FUNCTIONS.c.region == bindparam("region"),
    FUNCTIONS.c.name == bindparam("name"),
)

JOINED = select(
    FUNCTIONS.c.id,
    FUNCTIONS.c.account,
    FUNCTIONS.c.region,
    FUNCTIONS.c.name,
    FUNCTIONS.c.last_version,
    VERSIONS,
).join_from(FUNCTIONS, VERSIONS)
"""Versions with the function that they belong to; what `rows.decode` reads."""

ONE_VERSION = JOINED.where(
    FUNCTIONS.c.account == bindparam("account"),
    FUNCTIONS.c.region == bindparam("region"),
    FUNCTIONS.c.name == bindparam("name"),
    VERSIONS.c.number == bindparam("number"),
)


def name_key(ref: FunctionRef) -> dict[str, str]:
    """The parameters of `ONE_FUNCTION`."""
    return {"account": ref.scope.account, "region": ref.scope.region, "name": ref.name}


def version_key(ref: FunctionRef) -> dict[str, str | int | None]:
    """The parameters of `ONE_VERSION`."""
    return name_key(ref) | {"number": number_of(ref.qualifier)}


def find_version(connection: Connection, ref: FunctionRef) -> Row[Any]:
    """The row of the version that `ref` names, an alias its main one; else a 404."""
    number = number_of(ref.qualifier)
    if number is None:
        number = _number_behind(connection, ref)
    row = None
    if number is not None:
        row = connection.execute(ONE_VERSION, name_key(ref) | {"number": number}).first()
    if row is None:
        raise ResourceNotFoundException(f"Function not found: {ref.qualified_arn}")
    return row


def _number_behind(connection: Connection, ref: FunctionRef) -> int | None:
    function = connection.execute(ONE_FUNCTION, name_key(ref)).first()
    if function is None:
        return None
    alias = read_document(connection, function.id, ConfigKind.ALIAS, ref.qualifier or "")
    return number_of(alias["FunctionVersion"]) if alias else None


def find_function(connection: Connection, ref: FunctionRef, named: str = "") -> Row[Any]:
    """The row of the function, whatever the qualifier; else a 404 that says `named`."""
    row = connection.execute(ONE_FUNCTION, name_key(ref)).first()
    if row is None:
        raise ResourceNotFoundException(f"Function not found: {named or ref.arn}")
    return row


def store(
    connection: Connection, row: Row[Any], version: FunctionVersion, fingerprint: str | None = None
) -> None:
    """Overwrite `row` with `version`, under a new fingerprint where one is given."""
    values = encode(version) | {"fingerprint": fingerprint or row.fingerprint}
    same = (VERSIONS.c.function_id == row.id, VERSIONS.c.number == row.number)
    connection.execute(update(VERSIONS).where(*same).values(values))


def read_document(
    connection: Connection, function_id: int, kind: ConfigKind, qualifier: str
) -> dict[str, Any] | None:
    """One document of `configs`; None if there is none."""
    query = select(CONFIGS.c.document).where(
        CONFIGS.c.function_id == function_id,
        CONFIGS.c.kind == kind,
        CONFIGS.c.qualifier == qualifier,
    )
    found = connection.execute(query).scalar()
    return None if found is None else dict(json.loads(found))


def read_documents(
    connection: Connection, function_id: int, kind: ConfigKind
) -> dict[str, dict[str, Any]]:
    """The documents of a function by qualifier, in its order."""
    query = (
        select(CONFIGS.c.qualifier, CONFIGS.c.document)
        .where(CONFIGS.c.function_id == function_id, CONFIGS.c.kind == kind)
        .order_by(CONFIGS.c.qualifier)
    )
    return {row.qualifier: json.loads(row.document) for row in connection.execute(query)}


def write_document(
    connection: Connection,
    key: tuple[int, ConfigKind, str],
    document: Mapping[str, Any] | None,
) -> None:
    """Set the document of a function id, kind and qualifier, or with None remove it."""
    function_id, kind, qualifier = key
    connection.execute(
        delete(CONFIGS).where(
            CONFIGS.c.function_id == function_id,
            CONFIGS.c.kind == kind,
            CONFIGS.c.qualifier == qualifier,
        )
    )
    if document is not None:
        row = {"function_id": function_id, "kind": kind, "qualifier": qualifier}
        connection.execute(insert(CONFIGS).values(**row, document=json.dumps(dict(document))))


def retire(connection: Connection, ref: FunctionRef, last_version: int) -> None:
    """Remember the numbers that a function used up, before it goes."""
    connection.execute(delete(RETIRED).filter_by(**name_key(ref)))
    if last_version:
        connection.execute(insert(RETIRED).values(last_version=last_version, **name_key(ref)))


def page(rows: Sequence[Row[Any]], limit: int) -> Page:
    """A page of at most `limit` of the rows, of which there may be one more."""
    items = tuple(decode(row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(items)
    last = rows[limit - 1]
    return Page(items, to_marker(Position(last.name, last.number)))

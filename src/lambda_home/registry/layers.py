"""Layers and their versions.

A version is a row with its ZIP and one JSON document: what was published beside the ZIP (members as
AWS answers them), and the version's policy. A layer's row stays when its last version goes, so that
no number is given twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from lambda_home.arns import PARTITION, Scope
from lambda_home.functions import Code
from lambda_home.registry.database import Database
from lambda_home.registry.paging import Position, from_marker, page_size, to_marker
from lambda_home.registry.tables import LAYER_VERSIONS, LAYERS

Document = Mapping[str, Any]

_COLUMNS = (
    LAYERS.c.account,
    LAYERS.c.region,
    LAYERS.c.name,
    LAYER_VERSIONS.c.number,
    LAYER_VERSIONS.c.code_key,
    LAYER_VERSIONS.c.code_sha256,
    LAYER_VERSIONS.c.code_size,
    LAYER_VERSIONS.c.document,
)
_MOST = 2**63 - 1  # what SQLite holds


@dataclass(frozen=True, slots=True)
class LayerRef:
    """A layer as a caller named it, `number` 0 where no version was named."""

    scope: Scope
    name: str
    number: int = 0

    @property
    def layer_arn(self) -> str:
        """The ARN without a version."""
        scope = self.scope
        return f"arn:{PARTITION}:lambda:{scope.region}:{scope.account}:layer:{self.name}"

    @property
    def arn(self) -> str:
        """The ARN of the version."""
        return f"{self.layer_arn}:{self.number}"


@dataclass(frozen=True, slots=True)
class LayerVersion:
    """One version; `members` is what was published beside `code`.

    `policy` is `{"Policy", "RevisionId"}`, None where nobody was given a permission.
    """

    ref: LayerRef
    code: Code
    members: Document
    policy: Document | None = None

    def runs_on(self, runtime: str | None, architecture: str | None) -> bool:
        """Whether it was published for a runtime and an architecture; None stands for any."""
        return (not runtime or runtime in self.members.get("CompatibleRuntimes", ())) and (
            not architecture or architecture in self.members.get("CompatibleArchitectures", ())
        )


@dataclass(frozen=True, slots=True)
class LayerPage:
    """One page of versions; `next_marker` is None on the last."""

    items: tuple[LayerVersion, ...]
    next_marker: str | None = None


Matches = Callable[[LayerVersion], bool]
PolicyEdit = Callable[[LayerVersion], Document | None]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Layers:
    """The layers of all accounts; synchronous and usable from several threads."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = _utc_now) -> None:
        self._database = database
        self._clock = clock

    def publish(self, scope: Scope, name: str, code: Code, members: Document) -> LayerVersion:
        """Make the next version of a layer, and the layer with its first."""
        now = self._clock().astimezone(UTC).isoformat(timespec="milliseconds")
        members = {**members, "CreatedDate": now.replace("+00:00", "+0000")}
        named = {"account": scope.account, "region": scope.region, "name": name}
        with self._database.write() as connection:
            number = LAYERS.c.last_version + 1
            counting = update(LAYERS).filter_by(**named).values(last_version=number)
            row = connection.execute(counting.returning(LAYERS.c.id, LAYERS.c.last_version)).first()
            if row is None:
                making = insert(LAYERS).values(last_version=1, **named)
                row = connection.execute(making.returning(LAYERS.c.id, LAYERS.c.last_version)).one()
            connection.execute(
                insert(LAYER_VERSIONS).values(
                    layer_id=row.id,
                    number=row.last_version,
                    code_key=code.key,
                    code_sha256=code.sha256,
                    code_size=code.size,
                    document=json.dumps({"members": members}),
                )
            )
        return LayerVersion(LayerRef(scope, name, row.last_version), code, members)

    def get(self, ref: LayerRef) -> LayerVersion | None:
        """One version; None if there is none."""
        with self._database.read() as connection:
            return _read(connection, ref)

    def delete(self, ref: LayerRef) -> None:
        """Delete a version, if there is one. Functions that use it keep its ZIP."""
        with self._database.write() as connection:
            connection.execute(delete(LAYER_VERSIONS).where(*_is(ref)))

    def change_policy(self, ref: LayerRef, edit: PolicyEdit) -> LayerVersion | None:
        """Replace the policy of a version by what `edit` makes of it (None: no policy).

        Answers the version as it was, None if there is none. `edit` may raise, and must not use the
        registry.
        """
        with self._database.write() as connection:
            version = _read(connection, ref)
            if version is not None:
                document = {"members": version.members, "policy": edit(version)}
                changing = update(LAYER_VERSIONS).where(*_is(ref))
                connection.execute(changing.values(document=json.dumps(document)))
        return version

    def list_versions(
        self, ref: LayerRef, matches: Matches, marker: str | None, max_items: int | None
    ) -> LayerPage:
        """A page of a layer's versions that match, the newest first."""
        seen = from_marker(marker).number
        query = (
            select(*_COLUMNS)
            .join_from(LAYERS, LAYER_VERSIONS)
            .where(
                LAYERS.c.account == ref.scope.account,
                LAYERS.c.region == ref.scope.region,
                LAYERS.c.name == ref.name,
                LAYER_VERSIONS.c.number < (seen if seen >= 0 else _MOST),
            )
            .order_by(LAYER_VERSIONS.c.number.desc())
        )
        with self._database.read() as connection:
            found = map(_decode, connection.execute(query))
            return _page((version for version in found if matches(version)), max_items)

    def list_layers(
        self, scope: Scope, matches: Matches, marker: str | None, max_items: int | None
    ) -> LayerPage:
        """A page of layers by name, each as the newest of its versions that match."""
        query = (
            select(*_COLUMNS)
            .join_from(LAYERS, LAYER_VERSIONS)
            .where(
                LAYERS.c.account == scope.account,
                LAYERS.c.region == scope.region,
                LAYERS.c.name > from_marker(marker).name,
            )
            .order_by(LAYERS.c.name, LAYER_VERSIONS.c.number.desc())
        )

        def newest(versions: Iterable[LayerVersion]) -> Iterable[LayerVersion]:
            last = ""
            for version in versions:
                if version.ref.name != last and matches(version):
                    last = version.ref.name
                    yield version

        with self._database.read() as connection:
            return _page(newest(map(_decode, connection.execute(query))), max_items)


# ------------------------------------------------------------------------------------------------


def _is(ref: LayerRef) -> tuple[Any, ...]:
    layer = (
        select(LAYERS.c.id)
        .filter_by(account=ref.scope.account, region=ref.scope.region, name=ref.name)
        .scalar_subquery()
    )
    return LAYER_VERSIONS.c.layer_id == layer, LAYER_VERSIONS.c.number == min(ref.number, _MOST)


def _read(connection: Connection, ref: LayerRef) -> LayerVersion | None:
    query = select(*_COLUMNS).join_from(LAYERS, LAYER_VERSIONS).where(*_is(ref))
    row = connection.execute(query).first()
    return None if row is None else _decode(row)


def _decode(row: Row[*tuple[Any, ...]]) -> LayerVersion:
    document = json.loads(row.document)
    return LayerVersion(
        ref=LayerRef(Scope(row.account, row.region), row.name, row.number),
        code=Code(row.code_key, row.code_sha256, row.code_size),
        members=document["members"],
        policy=document.get("policy"),
    )


def _page(versions: Iterable[LayerVersion], max_items: int | None) -> LayerPage:
    limit = page_size(max_items)
    items: list[LayerVersion] = []
    for version in versions:
        if len(items) == limit:
            last = items[-1].ref
            return LayerPage(tuple(items), to_marker(Position(last.name, last.number)))
        items.append(version)
    return LayerPage(tuple(items))

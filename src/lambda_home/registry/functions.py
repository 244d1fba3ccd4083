"""Functions and their versions, as AWS's control plane changes them.

Each operation is one transaction, so that after a crash a function is as it was before or after
it, never between. Texts and rules are those recorded on AWS; versions:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from lambda_home.arns import LATEST, LATEST_PUBLISHED, FunctionRef, Scope
from lambda_home.errors import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
)
from lambda_home.functions import (
    CREATING,
    READY,
    UPDATING,
    Code,
    FunctionVersion,
    State,
    Status,
    UpdateStatus,
)
from lambda_home.registry import capacity
from lambda_home.registry.aliases import drop_version
from lambda_home.registry.changes import (
    Change,
    ChangeKind,
    ConfigKind,
    Configuration,
    NewFunction,
    Overview,
    Usage,
)
from lambda_home.registry.database import Database
from lambda_home.registry.paging import Page, from_marker, page_size
from lambda_home.registry.queries import (
    JOINED,
    ONE_FUNCTION,
    ONE_VERSION,
    find_function,
    find_version,
    name_key,
    page,
    retire,
    store,
    version_key,
    write_document,
)
from lambda_home.registry.rows import LATEST_NUMBER, decode, encode, fingerprint
from lambda_home.registry.tables import FUNCTIONS, RETIRED, VERSIONS

_NOTHING_BESIDE: Mapping[ConfigKind, Mapping[str, Any]] = MappingProxyType({})
Publish = bool | Literal["$LATEST.PUBLISHED"]
"""Whether a version is published: True for the next number."""
Edit = Configuration | Callable[[FunctionVersion], Configuration]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class FunctionRegistry:
    """Everything that is known about functions; synchronous and usable from several threads.

    `on_change` is called after each commit, outside the write lock, in the thread of the caller;
    it must not raise.
    """

    def __init__(
        self,
        database: Database,
        on_change: Callable[[Change], None],
        *,
        clock: Callable[[], datetime] = _utc_now,
        new_uuid: Callable[[], uuid.UUID] = uuid.uuid4,
    ) -> None:
        self._database = database
        self._on_change = on_change
        self._clock = clock
        self._new_uuid = new_uuid

    def create(
        self,
        ref: FunctionRef,
        code: Code,
        values: NewFunction,
        *,
        publish: Publish = False,
        beside: Mapping[ConfigKind, Mapping[str, Any]] = _NOTHING_BESIDE,
    ) -> FunctionVersion:
        """Make a function; with `publish` its version 1 (the next, if the name was used before).

        `beside` is what is configured for it from the start, as `configs` keeps it. Answers
        `$LATEST`; with `publish` the version, under the RevisionId of `$LATEST`, as AWS does.
        Raises ResourceConflictException if the name is taken.
        """
        documents = NewFunction(documents=_merged({}, values.get("documents", {})))
        latest = FunctionVersion(
            scope=ref.scope,
            name=ref.name,
            version=LATEST,
            code=code,
            revision_id=self._revision(),
            run_key=self._run_key(),
            last_modified=self._timestamp(),
            **NewFunction(runtime="", handler="", role="") | values | documents,
        )
        bare = replace(ref, qualifier=None)
        named = name_key(bare)
        with self._database.write() as connection:
            if connection.execute(ONE_FUNCTION, named).first() is not None:
                raise ResourceConflictException(f"Function already exist: {ref.name}")
            retired = connection.execute(select(RETIRED.c.last_version).filter_by(**named)).scalar()
            making = insert(FUNCTIONS).values(last_version=retired or 0, **named)
            function_id = connection.execute(making.returning(FUNCTIONS.c.id)).scalar_one()
            row = {"function_id": function_id, "fingerprint": fingerprint(latest)}
            connection.execute(insert(VERSIONS).values(encode(latest) | row))
            for kind, document in beside.items():
                write_document(connection, (function_id, kind, ""), document)
            answer = latest
            if publish:
                made = find_version(connection, bare)
                answer = self._publish(connection, made, None, publish)
                revision_id = find_version(connection, bare).revision_id
                answer = replace(answer, revision_id=revision_id)
        self._changed(ref, ChangeKind.CREATED)
        return answer

    def get(self, ref: FunctionRef) -> FunctionVersion:
        """The version that `ref` names, `$LATEST` without a qualifier; else a 404."""
        with self._database.read() as connection:
            return decode(find_version(connection, ref))

    def list_functions(
        self,
        scope: Scope,
        *,
        marker: str | None = None,
        max_items: int | None = None,
        all_versions: bool = False,
    ) -> Page:
        """A page of the functions of `scope` by name, with `all_versions` of all their versions."""
        after = from_marker(marker)
        query = JOINED.where(
            FUNCTIONS.c.account == scope.account,
            FUNCTIONS.c.region == scope.region,
            FUNCTIONS.c.name >= after.name,
            or_(FUNCTIONS.c.name > after.name, VERSIONS.c.number > after.number),
        )
        if not all_versions:
            query = query.where(VERSIONS.c.number == LATEST_NUMBER)
        limit = page_size(max_items)
        query = query.order_by(FUNCTIONS.c.name, VERSIONS.c.number).limit(limit + 1)
        with self._database.read() as connection:
            return page(connection.execute(query).all(), limit)

    def list_versions(
        self, ref: FunctionRef, *, marker: str | None = None, max_items: int | None = None
    ) -> Page:
        """A page of a function's versions: `$LATEST`, then ascending numbers; else a 404."""
        after, limit = from_marker(marker), page_size(max_items)
        with self._database.read() as connection:
            function = find_function(connection, ref)
            query = JOINED.where(FUNCTIONS.c.id == function.id, VERSIONS.c.number > after.number)
            query = query.order_by(VERSIONS.c.number).limit(limit + 1)
            return page(connection.execute(query).all(), limit)

    def update_code(
        self,
        ref: FunctionRef,
        code: Code,
        *,
        architectures: tuple[str, ...] | None = None,
        publish: Publish = False,
        revision_id: str | None = None,
        strict: bool = False,
    ) -> FunctionVersion:
        """Give `$LATEST` other code; answers `$LATEST`, with `publish` the published version.

        Raises PreconditionFailedException if `revision_id` is given and not current, and if
        `strict` ResourceConflictException while a create or an update is going on.
        """
        with self._database.write() as connection:
            row, latest = self._to_change(connection, ref, revision_id, strict=strict)
            changed = replace(
                latest, code=code, architectures=architectures or latest.architectures
            )
            answer = self._store_update(connection, row, changed)
            if publish:
                row = find_version(connection, replace(ref, qualifier=None))
                answer = self._publish(connection, row, None, publish)
        self._changed(ref, ChangeKind.UPDATED)
        return answer

    def update_configuration(
        self, ref: FunctionRef, edit: Edit, *, revision_id: str | None = None, strict: bool = False
    ) -> FunctionVersion:
        """Change the given members of `$LATEST` and keep the others.

        `edit` may be a function: it gets the current `$LATEST` inside the transaction and answers
        the members to change, or raises; it must not use the registry. Raises as `update_code`.
        """
        with self._database.write() as connection:
            row, latest = self._to_change(connection, ref, revision_id, strict=strict)
            members = edit(latest) if callable(edit) else edit
            documents = _merged(latest.documents, members.get("documents", {}))
            changed = replace(latest, **(members | Configuration(documents=documents)))
            answer = self._store_update(connection, row, changed)
        self._changed(ref, ChangeKind.UPDATED)
        return answer

    def publish(
        self,
        ref: FunctionRef,
        *,
        description: str | None = None,
        code_sha256: str | None = None,
        revision_id: str | None = None,
        strict: bool = False,
        to: Publish = True,
    ) -> FunctionVersion:
        """Freeze `$LATEST` as the next version, or answer the last one if nothing changed since.

        Raises InvalidParameterValueException if `code_sha256` is not that of `$LATEST`, and as
        `update_code`.
        """
        with self._database.write() as connection:
            row, latest = self._to_change(connection, ref, revision_id, strict=strict)
            if code_sha256 and code_sha256 != latest.code.sha256:
                raise InvalidParameterValueException(
                    f"CodeSHA256 ({code_sha256}) is different from current CodeSHA256 in $LATEST"
                    f" ({latest.code.sha256}). Please try again with the CodeSHA256 in $LATEST."
                )
            version = self._publish(connection, row, description, to)
        self._changed(ref, ChangeKind.PUBLISHED)
        return version

    def delete(self, ref: FunctionRef) -> None:
        """Delete a version, or without a qualifier the function; a missing version is fine.

        Raises InvalidParameterValueException for `$LATEST` and for an alias,
        ResourceConflictException for a version that an alias references, a 404 for a missing
        function.
        """
        if ref.qualifier not in (None, LATEST, LATEST_PUBLISHED) and not ref.qualifier.isdigit():
            raise InvalidParameterValueException("Deletion of aliases is not currently supported.")
        if ref.qualifier == LATEST:
            raise InvalidParameterValueException(
                "$LATEST version cannot be deleted without deleting the function."
            )
        with self._database.write() as connection:
            function = find_function(connection, ref)
            if ref.qualifier is None:
                retire(connection, ref, function.last_version)
                connection.execute(delete(FUNCTIONS).where(FUNCTIONS.c.id == function.id))
            else:
                drop_version(connection, function.id, ref.qualifier)
        whole = ref.qualifier is None
        self._changed(ref, ChangeKind.DELETED if whole else ChangeKind.VERSION_DELETED)

    def settle(self, scope: Scope, name: str, version: str, run_key: str, status: Status) -> bool:
        """Note how a preparation ended; False if a later update or a delete made it meaningless.

        `$LATEST` gets a new RevisionId with it, a published version keeps its own.
        """
        ref = FunctionRef(scope, name, version)
        with self._database.write() as connection:
            row = connection.execute(ONE_VERSION, version_key(ref)).first()
            if row is None or row.run_key != run_key:
                return False
            settled = replace(decode(row), status=status)
            if settled.is_latest and row.busy and not status.busy:
                settled = replace(settled, revision_id=self._revision())
            store(connection, row, settled)
        self._changed(ref, ChangeKind.SETTLED)
        return True

    def unsettled(self) -> list[FunctionVersion]:
        """Versions of all scopes whose create or update has not ended."""
        query = JOINED.where(VERSIONS.c.busy).order_by(FUNCTIONS.c.id, VERSIONS.c.number)
        with self._database.read() as connection:
            return [decode(row) for row in connection.execute(query)]

    def put_reserved(self, ref: FunctionRef, value: int, account_total: int) -> int:
        """Reserve `value` of the account's `account_total` concurrent executions.

        Raises InvalidParameterValueException if `ref` has a qualifier or if less than AWS's
        minimum would be left unreserved, a 404 for a missing function.
        """
        if ref.qualifier is not None:
            raise InvalidParameterValueException(
                "This operation is permitted on Lambda functions only. Aliases and versions do not"
                " support this operation. Please specify either a function name or an unqualified"
                " function ARN."
            )
        with self._database.write() as connection:
            function = find_function(connection, ref, replace(ref, qualifier=LATEST).qualified_arn)
            capacity.check(connection, function, value, account_total)
            capacity.reserve(connection, function.id, value)
        self._changed(ref, ChangeKind.CONCURRENCY)
        return value

    def get_reserved(self, ref: FunctionRef) -> int | None:
        """The reserved concurrency of a function, None if it has none; else a 404."""
        with self._database.read() as connection:
            reserved: int | None = find_function(connection, ref).reserved
            return reserved

    def delete_reserved(self, ref: FunctionRef) -> None:
        """Give the reserved concurrency back; a 404 for a missing function."""
        with self._database.write() as connection:
            capacity.reserve(connection, find_function(connection, ref).id, None)
        self._changed(ref, ChangeKind.CONCURRENCY)

    def reserved(self, scope: Scope) -> dict[str, int]:
        """The functions of `scope` with reserved concurrency."""
        with self._database.read() as connection:
            return capacity.reserved(connection, scope)

    def taken(self, scope: Scope) -> dict[str, int]:
        """What functions of `scope` take of the account: reserved, else provisioned."""
        with self._database.read() as connection:
            return capacity.taken(connection, scope)

    def provisioned(self, scope: Scope) -> dict[str, dict[str, int]]:
        """The provisioned concurrency asked for in `scope`, by function name and qualifier."""
        with self._database.read() as connection:
            return capacity.provisioned(connection, scope)

    def usage(self, scope: Scope) -> Usage:
        """What `scope` uses of its account's storage."""
        with self._database.read() as connection:
            return capacity.usage(connection, scope)

    def versions(self, scope: Scope, name: str) -> list[FunctionVersion]:
        """All versions of a function, `$LATEST` first; none if it has gone."""
        query = JOINED.where(
            FUNCTIONS.c.account == scope.account,
            FUNCTIONS.c.region == scope.region,
            FUNCTIONS.c.name == name,
        ).order_by(VERSIONS.c.number)
        with self._database.read() as connection:
            return [decode(row) for row in connection.execute(query)]

    def run_keys(self, scope: Scope, name: str) -> frozenset[str]:
        """The run keys of all versions that a function has now; empty if it has gone."""
        query = (
            select(VERSIONS.c.run_key)
            .join_from(FUNCTIONS, VERSIONS)
            .where(
                FUNCTIONS.c.account == scope.account,
                FUNCTIONS.c.region == scope.region,
                FUNCTIONS.c.name == name,
            )
        )
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())

    def sizes(self) -> dict[tuple[str, int, int], int]:
        """How many functions there are of each runtime, memory and /tmp size (MB)."""
        with self._database.read() as connection:
            return capacity.sizes(connection)

    def overview(self) -> list[Overview]:
        """All versions of all scopes, in short."""
        with self._database.read() as connection:
            return capacity.overview(connection)

    def code_keys(self) -> set[str]:
        """The keys of all ZIPs that some function or layer of some scope needs."""
        with self._database.read() as connection:
            return capacity.code_keys(connection)

    def _publish(
        self, connection: Connection, row: Row[Any], description: str | None, to: Publish
    ) -> FunctionVersion:
        """Publish the `$LATEST` in `row`, unless the last version is a copy of it already.

        `$LATEST.PUBLISHED` is published over. Source: "$LATEST.PUBLISHED version in Lambda Managed
        Instances" of the Developer Guide.
        """
        latest = decode(row)
        numbered = to is True
        last = str(row.last_version) if numbered else LATEST_PUBLISHED
        key = version_key(FunctionRef(latest.scope, latest.name, last))
        existing = connection.execute(ONE_VERSION, key).first() if last != "0" else None
        if existing is not None and existing.fingerprint == row.fingerprint:
            return decode(existing)
        numbers = replace(
            latest, version=str(row.last_version + 1) if numbered else LATEST_PUBLISHED
        )
        ready = _prepared(latest.status) and not numbers.is_snap_started
        version = replace(
            numbers,
            revision_id=self._revision(),
            run_key=self._run_key(),
            description=latest.description if description is None else description,
            # Prepared already if $LATEST is: then a version is active at once, as AWS's are, but
            # for one that has to be initialised first.
            status=READY if ready else CREATING,
        )
        if numbered:
            counted = update(FUNCTIONS).where(FUNCTIONS.c.id == row.id)
            connection.execute(counted.values(last_version=row.last_version + 1))
        elif existing is not None:
            same = (VERSIONS.c.function_id == row.id, VERSIONS.c.number == existing.number)
            connection.execute(delete(VERSIONS).where(*same))
        copied = {"function_id": row.id, "fingerprint": row.fingerprint}
        connection.execute(insert(VERSIONS).values(encode(version) | copied))
        store(connection, row, replace(latest, revision_id=self._revision()))
        return version

    def _store_update(
        self, connection: Connection, row: Row[Any], changed: FunctionVersion
    ) -> FunctionVersion:
        status = UPDATING
        if changed.status.state is State.PENDING:
            # The create goes on, with the new code: not yet active, whatever AWS's table says.
            created = changed.status
            status = replace(
                UPDATING,
                state=created.state,
                reason=created.reason,
                reason_code=created.reason_code,
            )
        stored = replace(
            changed,
            status=status,
            revision_id=self._revision(),
            run_key=self._run_key(),
            last_modified=self._timestamp(),
        )
        store(connection, row, stored, fingerprint(stored))
        return stored

    def _to_change(
        self, connection: Connection, ref: FunctionRef, revision_id: str | None, *, strict: bool
    ) -> tuple[Row[Any], FunctionVersion]:
        row = find_version(connection, replace(ref, qualifier=None))
        latest = decode(row)
        check_revision(latest, revision_id)
        if strict and latest.status.update is UpdateStatus.IN_PROGRESS:
            raise ResourceConflictException(
                "The operation cannot be performed at this time. An update is in progress for"
                f" resource: {latest.arn}"
            )
        if strict and latest.status.state is State.PENDING:
            raise ResourceConflictException(
                "The operation cannot be performed at this time. The function is currently in the"
                f" following state: {latest.status.state}"
            )
        return row, latest

    def _changed(self, ref: FunctionRef, kind: ChangeKind) -> None:
        self._on_change(Change(ref.scope, ref.name, kind))

    def _revision(self) -> str:
        return str(self._new_uuid())

    def _run_key(self) -> str:
        return self._new_uuid().hex

    def _timestamp(self) -> str:
        now = self._clock().astimezone(UTC)
        return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}+0000"


def check_revision(latest: FunctionVersion, revision_id: str | None) -> None:
    """Raise PreconditionFailedException if a RevisionId is given that is not the current one."""
    if revision_id and revision_id != latest.revision_id:
        raise PreconditionFailedException(
            "The Revision Id provided does not match the latest Revision Id. Call the"
            " GetFunction/GetAlias API to retrieve the latest Revision Id"
        )


def _merged(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, object]:
    return {member: value for member, value in {**old, **new}.items() if value is not None}


def _prepared(status: Status) -> bool:
    return status.state is State.ACTIVE and status.update is UpdateStatus.SUCCESSFUL

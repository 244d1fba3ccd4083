"""Operations on event source mappings.

Mappings are things of the account: they outlive their functions. Texts and rules are those
recorded on AWS; `event_sources` has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from lambda_home.arns import FunctionRef
from lambda_home.errors import (
    InvalidParameterValueException,
    ResourceConflictException,
    ResourceInUseException,
    ResourceNotFoundException,
)
from lambda_home.event_sources import mappings, rules
from lambda_home.event_sources.kinds import Kind, kind_of
from lambda_home.event_sources.lookups import check_source
from lambda_home.event_sources.mappings import State
from lambda_home.functions import FunctionVersion
from lambda_home.registry.paging import Position, from_marker, to_marker
from lambda_home.registry.resources import Document, ResourceKind
from lambda_home.user_api import tag_rules
from lambda_home.user_api.operations import Backend, Call, Result, operation

_KIND = ResourceKind.EVENT_SOURCE_MAPPING
_PAGE_LIMIT = 100
_Changed = Mapping[str, Document | None]


@operation("CreateEventSourceMapping")
async def create_event_source_mapping(backend: Backend, call: Call) -> Result:
    """Map a source to a function; the same source and function can be mapped only once."""
    now = _now()
    kind = kind_of(call.params)
    rules.check_create(kind, call.params, now)
    tag_rules.check(call.params.get("Tags") or {})
    ref = call.ref()
    function = await asyncio.to_thread(_function, backend, ref)
    await _check_source(backend, call, kind, call.params, function)
    uuid = str(uuid4())
    document = mappings.new_document(call.scope, uuid, kind, call.params, ref.qualified_arn)
    state = State.CREATING if document["Enabled"] else State.DISABLED
    document = mappings.begun(document, state, now)

    def edit(found: Mapping[str, Document]) -> _Changed:
        alive, gone = _sorted_out(backend, found, now)
        _refuse_duplicate(kind, document, {name: one for name, (one, _) in alive.items()})
        return {**dict.fromkeys(gone), uuid: document}

    await asyncio.to_thread(backend.resources.change_all, call.scope, _KIND, edit)
    return mappings.shown(document, state)


@operation("GetEventSourceMapping")
async def get_event_source_mapping(backend: Backend, call: Call) -> Result:
    """One mapping, in the state that it has now."""
    found = await asyncio.to_thread(backend.resources.get, call.scope, _KIND, call.params["UUID"])
    state = mappings.state_of(found, _now(), _hold_s(backend)) if found else None
    if found is None or state is None:
        raise _not_found()
    return mappings.shown(found, state)


@operation("UpdateEventSourceMapping")
async def update_event_source_mapping(backend: Backend, call: Call) -> Result:
    """Change what is given and keep the rest."""
    document = await _settled(backend, call, "update")
    kind = kind_of(document)
    arn = call.ref().qualified_arn if call.params.get("FunctionName") else None

    def changed(old: Document) -> dict[str, Any]:
        new = mappings.changed_document(kind, old, call.params, arn or old["FunctionArn"])
        rules.check_update(kind, call.params, old, new)
        return new

    changed(document)
    if arn is not None:
        function = await asyncio.to_thread(_function, backend, call.ref())
        await _check_source(backend, call, kind, document, function)

    def change(old: Document, others: Mapping[str, Document], now: float) -> dict[str, Any]:
        new = changed(old)
        _refuse_duplicate(kind, new, others)
        return mappings.begun(new, _change_of(old, new), now)

    return await _change(backend, call, "update", change)


@operation("DeleteEventSourceMapping")
async def delete_event_source_mapping(backend: Backend, call: Call) -> Result:
    """Take a mapping away; it is shown as Deleting before it is gone."""

    def change(old: Document, _: Mapping[str, Document], now: float) -> dict[str, Any]:
        return mappings.begun(old, State.DELETING, now)

    return await _change(backend, call, "delete", change)


@operation("ListEventSourceMappings")
async def list_event_source_mappings(backend: Backend, call: Call) -> Result:
    """A page of the mappings of a source or of a function, which need not exist."""
    after = from_marker(call.params.get("Marker"))
    name, source = call.params.get("FunctionName"), call.params.get("EventSourceArn")
    function = FunctionRef.parse(call.scope, name).qualified_arn if name else None
    found = await asyncio.to_thread(backend.resources.all_of, call.scope, _KIND)
    alive, _ = _sorted_out(backend, found, _now())
    matching = {
        uuid: mappings.shown_in_list(document, state)
        for uuid, (document, state) in alive.items()
        if uuid > after.name
        and source in {None, document.get("EventSourceArn")}
        and (function is None or mappings.same_function(function, document["FunctionArn"]))
    }
    limit = min(call.params.get("MaxItems") or _PAGE_LIMIT, _PAGE_LIMIT)
    page = list(matching)[:limit]
    result: dict[str, Any] = {"EventSourceMappings": [matching[uuid] for uuid in page]}
    if len(matching) > limit:
        result["NextMarker"] = to_marker(Position(page[-1], 0))
    return result


# ------------------------------------------------------------------------------------------------


class _BusyError(Exception):
    """Another change began meanwhile."""


async def _change(
    backend: Backend,
    call: Call,
    verb: str,
    change: Callable[[Document, Mapping[str, Document], float], dict[str, Any]],
) -> dict[str, Any]:
    """Change a mapping in one transaction, when no other change of it is going on."""
    uuid = call.params["UUID"]
    changed: dict[str, Any] = {}

    def edit(found: Mapping[str, Document]) -> _Changed:
        now = _now()
        alive, gone = _sorted_out(backend, found, now)
        if uuid not in alive:
            raise _not_found()
        old, _ = alive.pop(uuid)
        if mappings.remaining_s(old, now, _hold_s(backend)):
            raise _BusyError
        changed.clear()
        changed.update(change(old, {name: one for name, (one, _) in alive.items()}, now))
        kept = mappings.state_of(changed, now, _hold_s(backend)) is not None
        return {**dict.fromkeys(gone), uuid: changed if kept else None}

    while True:
        await _settled(backend, call, verb)
        try:
            await asyncio.to_thread(backend.resources.change_all, call.scope, _KIND, edit)
        except _BusyError:
            continue
        return mappings.shown(changed, State(changed["Changing"]["State"]))


async def _settled(backend: Backend, call: Call, verb: str) -> Document:
    """A mapping that is not changing: waits for a change to pass unless states are strict.

    Raises ResourceInUseException where they are.
    """
    hold_s = _hold_s(backend)
    uuid = call.params["UUID"]
    while True:
        found = await asyncio.to_thread(backend.resources.get, call.scope, _KIND, uuid)
        now = _now()
        if found is None or mappings.state_of(found, now, hold_s) is None:
            raise _not_found()
        remaining_s = mappings.remaining_s(found, now, hold_s)
        if not remaining_s:
            return found
        if backend.rules.strict_states:
            raise ResourceInUseException(
                f"Cannot {verb} the event source mapping because it is in use."
            )
        await asyncio.sleep(remaining_s)


def _sorted_out(
    backend: Backend, found: Mapping[str, Document], now: float
) -> tuple[dict[str, tuple[Document, State]], list[str]]:
    """The mappings that there are, with their states, and the names of those that are gone."""
    alive: dict[str, tuple[Document, State]] = {}
    gone: list[str] = []
    for uuid, document in found.items():
        state = mappings.state_of(document, now, _hold_s(backend))
        if state is None:
            gone.append(uuid)
        else:
            alive[uuid] = (document, state)
    return alive, gone


def _refuse_duplicate(kind: Kind, new: Document, others: Mapping[str, Document]) -> None:
    for other in others.values():
        if kind_of(other) is kind and mappings.is_duplicate(kind, new, other):
            raise ResourceConflictException(mappings.conflict(kind, new, other))


def _change_of(old: Document, new: Document) -> State:
    if old["Enabled"] == new["Enabled"]:
        return State.UPDATING
    return State.ENABLING if new["Enabled"] else State.DISABLING


def _function(backend: Backend, ref: FunctionRef) -> FunctionVersion:
    try:
        return backend.registry.get(ref)
    except ResourceNotFoundException:
        raise InvalidParameterValueException("Function does not exist") from None


async def _check_source(
    backend: Backend, call: Call, kind: Kind, named: Mapping[str, Any], function: FunctionVersion
) -> None:
    if arn := named.get("EventSourceArn"):
        await check_source(backend.services, call.scope, kind, arn, function.timeout_s)


def _hold_s(backend: Backend) -> float:
    return backend.rules.transition_ms / 1000


def _now() -> float:
    return datetime.now(UTC).timestamp()


def _not_found() -> ResourceNotFoundException:
    return ResourceNotFoundException("The resource you requested does not exist.")

"""Operations on capacity providers: stored and answered, no instances are started.

Nothing but the 404 is recorded on AWS; other texts are not, except where a comment says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from lambda_home.errors import (
    CapacityProviderLimitExceededException,
    ResourceConflictException,
)
from lambda_home.registry.paging import Position, from_marker, page_size, to_marker
from lambda_home.registry.resources import Document, ResourceKind
from lambda_home.registry.rows import number_of
from lambda_home.user_api import capacity_provider_rules as rules
from lambda_home.user_api import tag_rules
from lambda_home.user_api.capacity_provider_rules import State
from lambda_home.user_api.capacity_provider_uses import (
    hold_s,
    not_found,
    now,
    settled,
    versions_using,
)
from lambda_home.user_api.dates import milliseconds
from lambda_home.user_api.lookups import check_role, vpc_config
from lambda_home.user_api.operations import Backend, Call, Result, operation
from lambda_home.user_api.pages import page_from

_KIND = ResourceKind.CAPACITY_PROVIDER


@operation("CreateCapacityProvider")
async def create_capacity_provider(backend: Backend, call: Call) -> Result:
    """Make a provider; it is Pending for a while."""
    params = call.params
    tag_rules.check(params.get("Tags") or {})
    rules.check_request(params)
    name, arn = rules.named(call.scope, params["CapacityProviderName"])
    if not name:
        raise not_found(arn)
    await check_role(
        backend, call.scope, params["PermissionsConfig"]["CapacityProviderOperatorRoleArn"]
    )
    await vpc_config(backend, call.scope, params["VpcConfig"])
    moment = now()
    document = rules.begun(
        _modified(rules.new_document(call.scope, name, params)), State.PENDING, moment
    )

    def edit(found: Mapping[str, Document]) -> Mapping[str, Document | None]:
        alive = rules.alive(found, moment, hold_s(backend))
        if name in alive:
            raise ResourceConflictException(f"Capacity provider already exists: {arn}")
        if len(alive) >= rules.MOST_PROVIDERS:
            raise CapacityProviderLimitExceededException(
                f"The account has reached its limit of {rules.MOST_PROVIDERS} capacity providers."
            )
        return {**dict.fromkeys(found.keys() - alive.keys()), name: document}

    await asyncio.to_thread(backend.resources.change_all, call.scope, _KIND, edit)
    return {"CapacityProvider": rules.shown(document, State.PENDING)}


@operation("GetCapacityProvider")
async def get_capacity_provider(backend: Backend, call: Call) -> Result:
    """One provider, in the state that it has now."""
    document, state = await asyncio.to_thread(_find, backend, call)
    return {"CapacityProvider": rules.shown(document, state)}


@operation("UpdateCapacityProvider")
async def update_capacity_provider(backend: Backend, call: Call) -> Result:
    """Change how a provider scales, what it tags and what it logs; it stays Active."""

    def change(old: Document, _: float) -> Document:
        rules.check_request(call.params, old)
        return _modified(rules.changed_document(old, call.params))

    document = await _change(backend, call, change)
    return {"CapacityProvider": rules.shown(document, State.ACTIVE)}


@operation("DeleteCapacityProvider")
async def delete_capacity_provider(backend: Backend, call: Call) -> Result:
    """Take a provider away that no function runs on; it is shown as Deleting before it is gone."""
    arn = (await settled(backend, call.scope, _named(call)))["CapacityProviderArn"]
    using = await asyncio.to_thread(versions_using, backend, call.scope, arn)
    if using:
        # Seen on AWS: it names the provider's own ARN.
        raise ResourceConflictException(
            f"The capacity provider is currently in use by {len({of.name for of in using})}"
            " functions. To delete this capacity provider, first remove its association with"
            f" {arn}."
        )

    def change(old: Document, moment: float) -> Document:
        return rules.begun(old, State.DELETING, moment)

    document = await _change(backend, call, change)
    return {"CapacityProvider": rules.shown(document, State.DELETING)}


@operation("ListCapacityProviders")
async def list_capacity_providers(backend: Backend, call: Call) -> Result:
    """A page of the providers of an account and region, or of those in one state."""
    found = await asyncio.to_thread(backend.resources.all_of, call.scope, _KIND)
    wanted = call.params.get("State")
    states = rules.alive(found, now(), hold_s(backend))
    items = [
        rules.shown(found[name], state)
        for name, state in sorted(states.items())
        if wanted in {None, state}
    ]
    limit = page_size(call.params.get("MaxItems"))
    page, following = page_from(items, _arn, call.params.get("Marker"), limit)
    return {"CapacityProviders": page, "NextMarker": following}


@operation("ListFunctionVersionsByCapacityProvider")
async def list_function_versions_by_capacity_provider(backend: Backend, call: Call) -> Result:
    """A page of the function versions that run on a provider."""
    after = from_marker(call.params.get("Marker"))
    document, _ = await asyncio.to_thread(_find, backend, call)
    arn = document["CapacityProviderArn"]
    using = await asyncio.to_thread(versions_using, backend, call.scope, arn)
    places = {(version.name, number_of(version.version) or 0): version for version in using}
    following = [place for place in places if place > (after.name, after.number)]
    page = following[: page_size(call.params.get("MaxItems"))]
    result: dict[str, Any] = {
        "CapacityProviderArn": arn,
        "FunctionVersions": [
            {"FunctionArn": version.qualified_arn, "State": str(version.status.state)}
            for version in (places[place] for place in page)
        ],
    }
    if len(following) > len(page):
        result["NextMarker"] = to_marker(Position(*page[-1]))
    return result


# ------------------------------------------------------------------------------------------------


class _BusyError(Exception):
    """Another change began meanwhile."""


async def _change(
    backend: Backend, call: Call, change: Callable[[Document, float], Document]
) -> Document:
    """Change a provider in one transaction, when no other change of it is going on."""
    name, arn = rules.named(call.scope, _named(call))
    changed: dict[str, Any] = {}

    def edit(old: Document | None) -> Document | None:
        moment = now()
        state = rules.state_of(old, moment, hold_s(backend)) if old else None
        if old is None or state is None:
            raise not_found(arn)
        if state is not State.ACTIVE:
            raise _BusyError
        changed.clear()
        changed.update(change(old, moment))
        kept = rules.state_of(changed, moment, hold_s(backend)) is not None
        return changed if kept else None

    while True:
        await settled(backend, call.scope, _named(call))
        try:
            await asyncio.to_thread(backend.resources.change, call.scope, _KIND, name, edit)
        except _BusyError:
            continue
        return changed


def _find(backend: Backend, call: Call) -> tuple[Document, State]:
    name, arn = rules.named(call.scope, _named(call))
    found = backend.resources.get(call.scope, _KIND, name)
    state = rules.state_of(found, now(), hold_s(backend)) if found else None
    if found is None or state is None:
        raise not_found(arn)
    return found, state


def _named(call: Call) -> str:
    name: str = call.params["CapacityProviderName"]
    return name


def _modified(document: Document) -> dict[str, Any]:
    return {**document, "LastModified": milliseconds(datetime.now(UTC))}


def _arn(item: Mapping[str, Any]) -> str:
    arn: str = item["CapacityProviderArn"]
    return arn

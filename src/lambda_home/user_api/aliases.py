"""Operations on aliases."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter
from typing import Any

from lambda_home.arns import FunctionRef
from lambda_home.registry.aliases import AliasChange
from lambda_home.registry.paging import page_size
from lambda_home.user_api.operations import Backend, Call, Result, operation
from lambda_home.user_api.pages import page_from


@operation("CreateAlias")
async def create_alias(backend: Backend, call: Call) -> Result:
    """Give a version a name."""
    ref = _alias(call)
    return _answer(ref, await asyncio.to_thread(backend.aliases.create, ref, _change(call)))


@operation("GetAlias")
async def get_alias(backend: Backend, call: Call) -> Result:
    """One alias."""
    ref = _alias(call)
    return _answer(ref, await asyncio.to_thread(backend.aliases.get, ref))


@operation("UpdateAlias")
async def update_alias(backend: Backend, call: Call) -> Result:
    """Let an alias name another version, or split its traffic."""
    ref = _alias(call)
    revision = call.params.get("RevisionId")
    document = await asyncio.to_thread(backend.aliases.update, ref, _change(call), revision)
    return _answer(ref, document)


@operation("DeleteAlias")
async def delete_alias(backend: Backend, call: Call) -> Result:
    """Take a name away; all that is configured for it goes with it."""
    await asyncio.to_thread(backend.aliases.delete, _alias(call))
    return None


@operation("ListAliases")
async def list_aliases(backend: Backend, call: Call) -> Result:
    """A page of a function's aliases, or of those that invoke one version."""
    ref = replace(call.ref(), qualifier=None)
    version = call.params.get("FunctionVersion")
    found = await asyncio.to_thread(backend.aliases.listing, ref, version)
    items = [_answer(replace(ref, qualifier=name), document) for name, document in found.items()]
    limit = page_size(call.params.get("MaxItems"))
    page, marker = page_from(items, itemgetter("AliasArn"), call.params.get("Marker"), limit)
    return {"Aliases": page, "NextMarker": marker}


def _alias(call: Call) -> FunctionRef:
    return replace(call.ref(), qualifier=call.params["Name"])


def _change(call: Call) -> AliasChange:
    routing: Mapping[str, Any] | None = call.params.get("RoutingConfig")
    return AliasChange(
        function_version=call.params.get("FunctionVersion"),
        description=call.params.get("Description"),
        weights=None if routing is None else routing.get("AdditionalVersionWeights") or {},
    )


def _answer(ref: FunctionRef, document: Mapping[str, Any]) -> dict[str, Any]:
    return {"AliasArn": ref.qualified_arn, **document}

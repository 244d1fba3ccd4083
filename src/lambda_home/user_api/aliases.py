"""Operations on aliases."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambda_home.arns import FunctionRef
from lambda_home.registry.aliases import AliasChange
from lambda_home.user_api.operations import Backend, Call, Result, operation


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
    items, marker = await asyncio.to_thread(
        backend.aliases.listing,
        ref,
        version=call.params.get("FunctionVersion"),
        marker=call.params.get("Marker"),
        max_items=call.params.get("MaxItems"),
    )
    aliases = [_answer(replace(ref, qualifier=item["Name"]), item) for item in items]
    return {"Aliases": aliases, "NextMarker": marker}


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

"""Operations on the policies of layer versions.

Texts are those recorded on AWS. A policy has a RevisionId of its own and goes with its last
statement.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from typing import Any

from lambda_home.errors import ResourceNotFoundException
from lambda_home.registry.layers import LayerRef, LayerVersion, PolicyEdit
from lambda_home.user_api.layer_access import check_own, in_reach, layer_of
from lambda_home.user_api.operations import Backend, Call, Result, operation
from lambda_home.user_api.policy_documents import (
    Policy,
    check_revision,
    compact,
    statement_of,
    with_statement,
    without_statement,
)


@operation("AddLayerVersionPermission")
async def add_layer_version_permission(backend: Backend, call: Call) -> Result:
    """Let an account, an organization or everybody use a version."""
    ref = await _own(backend, call, "AddLayerVersionPermission")
    statement = statement_of(call.params, ref.arn)
    revision_id = str(uuid.uuid4())

    def edit(version: LayerVersion) -> Mapping[str, Any]:
        policy = with_statement(_policy(version), statement)
        _check_revision(call, version)
        return {"Policy": policy, "RevisionId": revision_id}

    await _change(backend, call, ref, edit)
    return {"Statement": compact(statement), "RevisionId": revision_id}


@operation("GetLayerVersionPolicy")
async def get_layer_version_policy(backend: Backend, call: Call) -> Result:
    """The policy of a version."""
    ref = await _own(backend, call, "GetLayerVersionPolicy")
    version = None
    if in_reach(call.scope, ref):
        version = await asyncio.to_thread(backend.layers.get, ref)
    if version is None:
        raise _no_version(ref)
    if version.policy is None:
        raise _no_policy()
    return {
        "Policy": compact(version.policy["Policy"]),
        "RevisionId": version.policy["RevisionId"],
    }


@operation("RemoveLayerVersionPermission")
async def remove_layer_version_permission(backend: Backend, call: Call) -> Result:
    """Take one statement out of the policy of a version."""
    ref = await _own(backend, call, "RemoveLayerVersionPermission")

    def edit(version: LayerVersion) -> Mapping[str, Any] | None:
        policy = _policy(version)
        if policy is None:
            raise _no_policy()
        _check_revision(call, version)
        rest = without_statement(policy, call.params["StatementId"])
        return rest and {"Policy": rest, "RevisionId": str(uuid.uuid4())}

    await _change(backend, call, ref, edit)
    return None


# ------------------------------------------------------------------------------------------------


async def _own(backend: Backend, call: Call, action: str) -> LayerRef:
    ref = layer_of(call)
    await check_own(backend, call.scope, ref, action)
    return ref


async def _change(backend: Backend, call: Call, ref: LayerRef, edit: PolicyEdit) -> None:
    version = None
    if in_reach(call.scope, ref):
        version = await asyncio.to_thread(backend.layers.change_policy, ref, edit)
    if version is None:
        raise _no_version(ref)


def _policy(version: LayerVersion) -> Policy | None:
    return version.policy["Policy"] if version.policy else None


def _check_revision(call: Call, version: LayerVersion) -> None:
    current = version.policy["RevisionId"] if version.policy else ""
    check_revision(call.params.get("RevisionId"), current, "GetLayerPolicy")


def _no_version(ref: LayerRef) -> ResourceNotFoundException:
    return ResourceNotFoundException(f"Layer version {ref.arn} does not exist.")


def _no_policy() -> ResourceNotFoundException:
    return ResourceNotFoundException("No policy is associated with the given resource.")

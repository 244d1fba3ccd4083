"""Operations on a function's policy, one statement at a time.

Rules and texts: recorded on AWS, except where a comment says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambda_home.arns import FunctionRef
from lambda_home.errors import InvalidParameterValueException, ResourceNotFoundException
from lambda_home.registry.policies import Stored
from lambda_home.user_api.operations import Backend, Call, Result, operation
from lambda_home.user_api.policy_documents import (
    Policy,
    check_revision,
    compact,
    no_policy,
    refuse_latest,
    statement_of,
    with_statement,
    without_statement,
)

# Members that go with one action alone. The first text is seen on AWS, the second is made like it.
_ACTIONS = {
    "FunctionUrlAuthType": "lambda:InvokeFunctionUrl",
    "InvokedViaFunctionUrl": "lambda:InvokeFunction",
}


@operation("AddPermission")
async def add_permission(backend: Backend, call: Call) -> Result:
    """Add a statement to the policy of a function, version or alias."""
    return await asyncio.to_thread(_add, backend, call)


@operation("RemovePermission")
async def remove_permission(backend: Backend, call: Call) -> Result:
    """Take a statement out of a policy; the policy goes with its last one."""
    await asyncio.to_thread(_remove, backend, call)
    return None


@operation("GetPolicy")
async def get_policy(backend: Backend, call: Call) -> Result:
    """The policy of a function, version or alias."""
    stored = await asyncio.to_thread(_find, backend, call.ref())
    return {"Policy": compact(stored.policy or {}), "RevisionId": stored.revision_id}


# ------------------------------------------------------------------------------------------------


def _find(backend: Backend, ref: FunctionRef) -> Stored:
    """One 404 for everything that may be missing."""
    try:
        stored = backend.policies.get(ref)
    except ResourceNotFoundException:
        raise no_policy() from None
    if stored.policy is None:
        raise no_policy()
    return stored


def _add(backend: Backend, call: Call) -> Result:
    ref, given = call.ref(), call.params.get("RevisionId")
    refuse_latest(ref)
    _check_action(call.params)
    backend.policies.get(ref)  # a missing function comes before a bad principal
    statement = statement_of(call.params, ref.qualified_arn)

    def edit(old: Stored) -> Policy:
        check_revision(given, old.revision_id, "GetPolicy")
        return with_statement(old.policy, statement)

    backend.policies.change(ref, edit)
    return {"Statement": compact(statement)}


def _remove(backend: Backend, call: Call) -> None:
    ref, given = call.ref(), call.params.get("RevisionId")
    try:
        backend.registry.get(replace(ref, qualifier=None))
    except ResourceNotFoundException:
        raise ResourceNotFoundException(f"No policy found for: {ref.qualified_arn}") from None

    def edit(old: Stored) -> Policy | None:
        if old.policy is None:
            raise ResourceNotFoundException("No policy is associated with the given resource.")
        rest = without_statement(old.policy, call.params["StatementId"])
        check_revision(given, old.revision_id, "GetFunction/GetAlias")
        return rest

    backend.policies.change(ref, edit)


def _check_action(params: Mapping[str, Any]) -> None:
    for member, action in _ACTIONS.items():
        if params.get(member) is not None and params["Action"] != action:
            raise InvalidParameterValueException(f"{member} is only supported for {action} action")

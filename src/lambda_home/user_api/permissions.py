"""Operations on a function's policy, one statement at a time.

Rules and texts: recorded on AWS, except where a comment says otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambda_home.errors import InvalidParameterValueException, ResourceNotFoundException
from lambda_home.user_api import function_policies as policies
from lambda_home.user_api.operations import Backend, Call, Result, operation
from lambda_home.user_api.policy_documents import (
    Policy,
    check_revision,
    compact,
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
    stored = await asyncio.to_thread(policies.find, backend, call.ref())
    return {"Policy": compact(stored["Policy"]), "RevisionId": stored["RevisionId"]}


# ------------------------------------------------------------------------------------------------


def _add(backend: Backend, call: Call) -> Result:
    ref, given = call.ref(), call.params.get("RevisionId")
    policies.refuse_latest(ref)
    _check_action(call.params)
    own = policies.revision_of(backend, ref)
    statement = statement_of(call.params, ref.qualified_arn)

    def edit(old: policies.Stored | None) -> Policy:
        # Where there is no policy yet, there is nothing else that a caller could have read.
        check_revision(given, [old["RevisionId"] if old else own], "GetPolicy")
        return with_statement(old["Policy"] if old else None, statement)

    policies.change(backend, ref, edit)
    return {"Statement": compact(statement)}


def _remove(backend: Backend, call: Call) -> None:
    ref, given = call.ref(), call.params.get("RevisionId")
    try:
        backend.registry.get(replace(ref, qualifier=None))
    except ResourceNotFoundException:
        raise ResourceNotFoundException(f"No policy found for: {ref.qualified_arn}") from None
    policies.revision_of(backend, ref)

    def edit(old: policies.Stored | None) -> Policy | None:
        if old is None:
            raise ResourceNotFoundException("No policy is associated with the given resource.")
        rest = without_statement(old["Policy"], call.params["StatementId"])
        # AWS names these operations here, though the RevisionId is GetPolicy's.
        check_revision(given, [old["RevisionId"]], "GetFunction/GetAlias")
        return rest

    policies.change(backend, ref, edit)


def _check_action(params: Mapping[str, Any]) -> None:
    for member, action in _ACTIONS.items():
        if params.get(member) is not None and params["Action"] != action:
            raise InvalidParameterValueException(f"{member} is only supported for {action} action")

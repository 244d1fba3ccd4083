"""Operations on a resource policy as a whole.

They read and replace the policy that AddPermission adds to: "if you previously added permissions
using the AddPermission operation, the new policy overwrites those permissions". Nothing is recorded
for them: existence and `$LATEST` are answered as the older operations answer, and the texts about
malformed documents are ours. A statement for everybody is accepted, as AddPermission's is recorded
to be; so PublicPolicyException is never answered. Of the resources that AWS's pattern takes only
functions exist here. Source:
https://docs.aws.amazon.com/lambda/latest/api/API_PutResourcePolicy.html
"""

from __future__ import annotations

import asyncio

from lambda_home.arns import FunctionRef
from lambda_home.errors import ResourceNotFoundException
from lambda_home.registry.policies import Stored
from lambda_home.user_api.operations import Backend, Call, Result, operation
from lambda_home.user_api.policy_documents import (
    Policy,
    check_revision,
    compact,
    no_policy,
    parsed,
    refuse_latest,
)


@operation("PutResourcePolicy")
async def put_resource_policy(backend: Backend, call: Call) -> Result:
    """Give a function, version or alias a policy in place of the one that it has."""
    return _shown(await asyncio.to_thread(_put, backend, call))


@operation("GetResourcePolicy")
async def get_resource_policy(backend: Backend, call: Call) -> Result:
    """The policy of a function, version or alias."""
    try:
        return _shown(await asyncio.to_thread(backend.policies.get, _ref(call)))
    except ResourceNotFoundException:
        raise no_policy() from None


@operation("DeleteResourcePolicy")
async def delete_resource_policy(backend: Backend, call: Call) -> Result:
    """Take the policy of a function, version or alias away."""
    await asyncio.to_thread(_delete, backend, call)
    return None


# ------------------------------------------------------------------------------------------------


def _put(backend: Backend, call: Call) -> Stored:
    ref = _ref(call)
    refuse_latest(ref)
    backend.policies.get(ref)  # a missing resource comes before a bad document
    policy = parsed(call.params["Policy"])

    def edit(old: Stored) -> Policy:
        _check(call, old)
        return policy

    return backend.policies.change(ref, edit)


def _delete(backend: Backend, call: Call) -> None:
    def edit(old: Stored) -> None:
        if old.policy is None:
            raise no_policy()
        _check(call, old)

    try:
        backend.policies.change(_ref(call), edit)
    except ResourceNotFoundException:
        raise no_policy() from None


def _check(call: Call, old: Stored) -> None:
    check_revision(call.params.get("RevisionId"), old.revision_id, "GetResourcePolicy")


def _ref(call: Call) -> FunctionRef:
    arn: str = call.params["ResourceArn"]
    if ":runtime/" in arn:
        raise no_policy()
    return FunctionRef.parse(call.scope, arn)


def _shown(stored: Stored) -> Result:
    if stored.policy is None:
        raise no_policy()
    return {"Policy": compact(stored.policy), "RevisionId": stored.revision_id}

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
from lambda_home.user_api import function_policies as policies
from lambda_home.user_api.operations import Backend, Call, Result, operation
from lambda_home.user_api.policy_documents import Policy, check_revision, compact, parsed


@operation("PutResourcePolicy")
async def put_resource_policy(backend: Backend, call: Call) -> Result:
    """Give a function, version or alias a policy in place of the one that it has."""
    return _shown(await asyncio.to_thread(_put, backend, call))


@operation("GetResourcePolicy")
async def get_resource_policy(backend: Backend, call: Call) -> Result:
    """The policy of a function, version or alias."""
    return _shown(await asyncio.to_thread(policies.find, backend, _ref(call)))


@operation("DeleteResourcePolicy")
async def delete_resource_policy(backend: Backend, call: Call) -> Result:
    """Take the policy of a function, version or alias away."""
    await asyncio.to_thread(_delete, backend, call)
    return None


# ------------------------------------------------------------------------------------------------


def _put(backend: Backend, call: Call) -> policies.Stored | None:
    ref = _ref(call)
    policies.refuse_latest(ref)
    policies.revision_of(backend, ref)
    policy = parsed(call.params["Policy"])

    def edit(old: policies.Stored | None) -> Policy:
        _check(call, old)
        return policy

    return policies.change(backend, ref, edit)


def _delete(backend: Backend, call: Call) -> None:
    ref = _ref(call)
    policies.find(backend, ref)

    def edit(old: policies.Stored | None) -> None:
        if old is None:
            raise policies.no_policy()
        _check(call, old)

    policies.change(backend, ref, edit)


def _check(call: Call, old: policies.Stored | None) -> None:
    current = [old["RevisionId"]] if old else []
    check_revision(call.params.get("RevisionId"), current, "GetResourcePolicy")


def _ref(call: Call) -> FunctionRef:
    arn: str = call.params["ResourceArn"]
    if ":runtime/" in arn:
        raise policies.no_policy()
    return FunctionRef.parse(call.scope, arn)


def _shown(stored: policies.Stored | None) -> Result:
    if stored is None:
        return None
    return {"Policy": compact(stored["Policy"]), "RevisionId": stored["RevisionId"]}

"""How callers name layers, and who may use which.

An account has its own layers in the region that it calls; another account's only as far as the
version's policy gives `lambda:GetLayerVersion`. Texts: seen on AWS, which denies what exists in
another region, or does not exist, in the same words. Source:
https://docs.aws.amazon.com/lambda/latest/dg/permissions-layer-cross-account.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from lambda_home.arns import PARTITION, Scope
from lambda_home.errors import AccessDeniedException, InvalidParameterValueException
from lambda_home.registry.layers import LayerRef, LayerVersion
from lambda_home.services import ServiceCallError
from lambda_home.user_api.operations import Backend, Call
from lambda_home.user_api.policy_documents import principal_element, statements_of

GET = "GetLayerVersion"

_LAYER = re.compile(
    r"arn:[a-zA-Z0-9-]+:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12})"
    r":layer:(?P<name>[a-zA-Z0-9-_]+)(?::(?P<number>\d+))?"
)


def layer_of(call: Call) -> LayerRef:
    """The layer that LayerName (a name or an ARN) names, and VersionNumber where there is one.

    Raises InvalidParameterValueException for a number that no version can have.
    """
    name, number = call.params["LayerName"], call.params.get("VersionNumber")
    if number is not None:
        _check_number(number)
    ref = named(name)
    return LayerRef(ref.scope if ref else call.scope, ref.name if ref else name, number or 0)


def version_of(arn: str) -> LayerRef | None:
    """The version that an ARN names; None for the ARNs of layers that AWS itself had.

    Raises InvalidParameterValueException for a number that no version can have.
    """
    ref = named(arn)
    if ref is not None:
        _check_number(ref.number)
    return ref


def named(arn: str) -> LayerRef | None:
    """The layer, and version where there is one, of an ARN; None for anything else."""
    match = _LAYER.fullmatch(arn)
    if match is None:
        return None
    number = int(match["number"][:20]) if match["number"] else 0
    return LayerRef(Scope(match["account"], match["region"]), match["name"], number)


async def check_own(backend: Backend, caller: Scope, ref: LayerRef, action: str) -> None:
    """Raise AccessDeniedException for a layer of another account: no policy can give `action`."""
    if ref.scope.account != caller.account:
        resource = ref.arn if ref.number else ref.layer_arn
        raise denied(await identity(backend, caller), action, resource)


def in_reach(caller: Scope, ref: LayerRef) -> bool:
    """Whether a layer is in the region that is called; for others it is as if there were none."""
    return ref.scope.region == caller.region


async def find(backend: Backend, caller: Scope, ref: LayerRef) -> LayerVersion | None:
    """A version that the caller may get; None if it would be the caller's own and there is none.

    Raises AccessDeniedException for what is another account's, or would be.
    """
    version = None
    if in_reach(caller, ref):
        version = await asyncio.to_thread(backend.layers.get, ref)
    if ref.scope.account == caller.account:
        return version
    if version is None or not await _granted(backend, caller, version.policy):
        raise denied(await identity(backend, caller), GET, ref.arn)
    return version


def grants(policy: Mapping[str, Any] | None, account: str) -> frozenset[str] | None:
    """To whom of an account a stored policy gives a version: to all ({}), or to nobody (None).

    Else the organizations of which the account must be one.
    """
    everybody = ("*", principal_element(account))
    organizations = set()
    for statement in statements_of(policy["Policy"] if policy else None):
        if statement["Principal"] not in everybody:
            continue
        condition = statement.get("Condition")
        if not condition:
            return frozenset()
        organizations.add(condition["StringEquals"]["aws:PrincipalOrgID"])
    return frozenset(organizations) or None


async def identity(backend: Backend, caller: Scope) -> str:
    """The caller's ARN, as STS knows it; the root of the account where STS is not asked.

    An STS that answers for another account knows nothing of this one.
    """
    root = f"arn:{PARTITION}:iam::{caller.account}:root"
    if not backend.services.reaches("sts"):
        return root
    try:
        answer = await backend.services.call(caller, "sts", "GetCallerIdentity", {})
    except ServiceCallError:
        return root
    return str(answer["Arn"]) if answer.get("Account") == caller.account else root


def denied(user: str, action: str, resource: str) -> AccessDeniedException:
    """What AWS answers to who may not; `user` is the caller's ARN."""
    return AccessDeniedException(
        f"User: {user} is not authorized to perform: lambda:{action} on resource: {resource}"
        f" because no resource-based policy allows the lambda:{action} action"
    )


async def _granted(backend: Backend, caller: Scope, policy: Mapping[str, Any] | None) -> bool:
    organizations = grants(policy, caller.account)
    if not organizations:
        return organizations is not None
    if not backend.services.reaches("organizations"):
        return True  # nobody can say who is in which; checks without a service are skipped
    try:
        answer = await backend.services.call(caller, "organizations", "DescribeOrganization", {})
    except ServiceCallError:
        return False  # the account is in none
    return answer["Organization"]["Id"] in organizations


def _check_number(number: int) -> None:
    if number < 1:
        raise InvalidParameterValueException("Layer Version Cannot be less than 1")

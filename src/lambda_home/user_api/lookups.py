"""What must exist elsewhere before a function may use it: its role, its subnets and groups.

A service that has no endpoint in the settings is not asked. Texts: recorded on AWS, which passes on
what the other service said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from lambda_home.arns import Scope
from lambda_home.errors import AccessDeniedException, InvalidParameterValueException
from lambda_home.services import ServiceCallError
from lambda_home.user_api.operations import Backend

_ACCOUNT_PART = 4
_MISSING = {
    "InvalidGroup.NotFound": "The security group '{}' does not exist",
    "InvalidSubnetID.NotFound": "The subnet ID '{}' does not exist",
}


def quoted(action: str, service: str, error: ServiceCallError) -> InvalidParameterValueException:
    """What another service answered, in the words in which Lambda passes it on."""
    if not error.code:  # it did not answer at all
        return InvalidParameterValueException(f"Error occurred while {action}. {error}")
    return InvalidParameterValueException(
        f"Error occurred while {action}. {service} Error Code: {error.code}."
        f" {service} Error Message: {error.detail}"
    )


async def check_role(backend: Backend, scope: Scope, role: str) -> None:
    """With `[functions] check_roles`: the role must exist, in the caller's account.

    Raises InvalidParameterValueException, AccessDeniedException for a role of another account.
    """
    if not (backend.rules.check_roles and backend.services.reaches("iam")):
        return
    if role.split(":")[_ACCOUNT_PART] != scope.account:
        raise AccessDeniedException("Cross-account pass role is not allowed.")
    name = role.rpartition("/")[2]
    try:
        await backend.services.call(scope, "iam", "GetRole", {"RoleName": name})
    except ServiceCallError as error:
        raise InvalidParameterValueException(
            "The role defined for the function cannot be assumed by Lambda."
        ) from error


async def vpc_config(backend: Backend, scope: Scope, given: Mapping[str, Any]) -> dict[str, Any]:
    """`VpcConfig` as answers have it: with the VPC that the subnets are in, "" without any.

    Where EC2 is not asked, the VPC's id is made of the first subnet's. Raises
    InvalidParameterValueException for what EC2 does not know.
    """
    subnets, groups = list(given.get("SubnetIds") or ()), list(given.get("SecurityGroupIds") or ())
    vpc = ""
    if subnets:
        vpc = f"vpc-{hashlib.sha256(subnets[0].encode()).hexdigest()[:17]}"
    if backend.services.reaches("ec2"):
        if subnets:
            vpc = await _described(backend, scope, "Subnet", subnets)
        if groups:
            await _described(backend, scope, "SecurityGroup", groups)
    return {
        "SubnetIds": subnets,
        "SecurityGroupIds": groups,
        "VpcId": vpc,
        "Ipv6AllowedForDualStack": bool(given.get("Ipv6AllowedForDualStack")),
    }


async def _described(backend: Backend, scope: Scope, kind: str, ids: list[str]) -> str:
    """The VPC of the first; each is asked for by itself, so that the text names the one missing."""
    action, member = f"Describe{kind}s", f"{'Group' if kind != 'Subnet' else kind}Ids"
    vpcs = []
    for name in ids:
        try:
            answer = await backend.services.call(scope, "ec2", action, {member: [name]})
        except ServiceCallError as error:
            if missing := _MISSING.get(error.code):  # EC2's words; other implementations vary
                error.detail = missing.format(name)
            raise quoted(action, "EC2", error) from error
        vpcs.append(str(answer[f"{kind}s"][0]["VpcId"]))
    return vpcs[0]

"""Which role may do what; pure. What is not listed is denied."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What the owner of an access key may do."""

    ADMIN = "admin"
    DEPLOYER = "deployer"
    INVOKER = "invoker"
    VIEWER = "viewer"


def allows(role: Role, action: str) -> bool:
    """Whether a role has an action: an operation of AWS's model, or one of ours ("keys:read")."""
    del action
    return role is Role.ADMIN

"""Which role may do what; pure. What is not listed is denied.

Roles are those of Glambdar: a viewer looks, an invoker calls functions, a deployer does all that
AWS's Lambda has, an admin also decides who may come in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final


class Role(StrEnum):
    """What the owner of an access key may do."""

    ADMIN = "admin"
    DEPLOYER = "deployer"
    INVOKER = "invoker"
    VIEWER = "viewer"


_LOOKING: Final = ("Get", "List")
_INVOKING: Final = ("Invoke",)
_CHANGING: Final = (
    "Add",
    "Checkpoint",
    "Create",
    "Delete",
    "Pause",
    "Publish",
    "Put",
    "Remove",
    "Resume",
    "Send",
    "Stop",
    "Tag",
    "Untag",
    "Update",
)
_VERBS: Final[Mapping[Role, tuple[str, ...]]] = MappingProxyType(
    {
        Role.VIEWER: _LOOKING,
        Role.INVOKER: _INVOKING,
        Role.DEPLOYER: (*_LOOKING, *_INVOKING, *_CHANGING),
    }
)
"""The verbs that names of AWS's operations begin with (and IAM's InvokeFunctionUrl)."""

_WRITING_LOGS: Final = frozenset({"CreateLogGroup", "CreateLogStream", "PutLogEvents"})
"""What AWSLambdaBasicExecutionRole allows functions."""

_LOOKING_AT_LOGS: Final = (*_LOOKING, "Describe", "Filter", "Start")

_READABLE: Final = frozenset(
    {
        "builds:read",
        "functions:read",
        "logs:read",
        "rate-limits:read",
        "routes:read",
        "secrets:read",
        "stats:read",
    }
)
_OURS: Final[Mapping[Role, frozenset[str]]] = MappingProxyType(
    {
        Role.VIEWER: _READABLE,
        Role.INVOKER: frozenset({"companion:use", "routes:invoke"}),
        Role.DEPLOYER: _READABLE
        | {
            "builds:write",
            "companion:use",
            "functions:write",
            "rate-limits:write",
            "routes:invoke",
            "routes:write",
            "secrets:write",
        },
    }
)
"""Actions of our own. Nobody can read a secret's value: `secrets:read` tells names."""

_LOGS: Final = "logs:"
_OPERATION = re.compile(r"([A-Z][a-z]+)(?:[A-Z][A-Za-z0-9]*)?")


@lru_cache(maxsize=1024)
def allows(role: Role, action: str) -> bool:
    """Whether a role has an action: an operation of AWS's model, or one of ours ("keys:read").

    Operations of CloudWatch Logs have the name of the service before them ("logs:GetLogEvents").
    """
    if role is Role.ADMIN:
        return True
    if action.startswith(_LOGS) and (operation := _OPERATION.fullmatch(action, len(_LOGS))):
        return _allows_logs(role, operation)
    operation = _OPERATION.fullmatch(action)
    if operation is not None:
        return operation[1] in _VERBS[role]
    return action in _OURS[role]


def _allows_logs(role: Role, operation: re.Match[str]) -> bool:
    """Viewers look, deployers do all; functions write what they log (and admins were let by)."""
    if role is Role.INVOKER:
        return operation[0].removeprefix(_LOGS) in _WRITING_LOGS
    return role is Role.DEPLOYER or operation[1] in _LOOKING_AT_LOGS

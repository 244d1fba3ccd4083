"""Roles: each operation of AWS's model, and each action of ours, in exactly the intended ones."""

from __future__ import annotations

import pytest

from lambda_home.access.roles import Role, allows
from lambda_home.user_api.protocol import operation_names

INVOKES = {"Invoke", "InvokeAsync", "InvokeWithResponseStream"}
READS = {name for name in operation_names() if name.startswith(("Get", "List"))}
EVERYBODY = frozenset(Role)
LOOKERS = frozenset({Role.ADMIN, Role.DEPLOYER, Role.VIEWER})
CALLERS = frozenset({Role.ADMIN, Role.DEPLOYER, Role.INVOKER})
MAKERS = frozenset({Role.ADMIN, Role.DEPLOYER})
ADMINS = frozenset({Role.ADMIN})


def those_with(action: str) -> frozenset[Role]:
    return frozenset(role for role in Role if allows(role, action))


def test_the_model_has_reads_invokes_and_changes() -> None:
    assert set(operation_names()) > INVOKES
    assert len(READS) > 30
    assert len(set(operation_names()) - READS - INVOKES) > 40


@pytest.mark.parametrize("operation", operation_names())
def test_an_operation_of_the_model_is_for(operation: str) -> None:
    intended = MAKERS
    if operation in INVOKES:
        intended = CALLERS
    elif operation in READS:
        intended = LOOKERS
    assert those_with(operation) == intended


@pytest.mark.parametrize(
    ("action", "intended"),
    [
        ("InvokeFunctionUrl", CALLERS),
        ("InvokeFunction", CALLERS),
        ("routes:invoke", CALLERS),
        ("companion:use", CALLERS),
        ("routes:read", LOOKERS),
        ("routes:write", MAKERS),
        ("rate-limits:read", LOOKERS),
        ("rate-limits:write", MAKERS),
        ("secrets:read", LOOKERS),
        ("secrets:write", MAKERS),
        ("stats:read", LOOKERS),
        ("builds:read", LOOKERS),
        ("builds:write", MAKERS),
        ("keys:read", ADMINS),
        ("keys:write", ADMINS),
        ("audit:read", ADMINS),
        ("admin:any", ADMINS),
    ],
)
def test_an_action_of_ours_is_for(action: str, intended: frozenset[Role]) -> None:
    assert those_with(action) == intended


@pytest.mark.parametrize(
    "unknown",
    [
        "",
        "*",
        "Explode",
        "ExplodeFunction",
        "get",
        "getFunction",
        "Getaway",
        "Invoker",
        "GetFunction ",
        "GetFunction\n",
        "lambda:GetFunction",
        "secrets:*",
        "secrets:read ",
        "keys",
        "lists:read",
    ],
)
def test_what_is_not_listed_is_denied(unknown: str) -> None:
    assert those_with(unknown) == ADMINS

"""Calls of one account for the functions of another, which that one's policies must allow.

A caller needs both: a role that has the action (`Gate.allow`), and the policy of the function,
version or alias. Only some operations work for others at all.
Source: https://docs.aws.amazon.com/lambda/latest/dg/permissions-function-cross-account.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from lambda_home.access.gate import iam_action
from lambda_home.access.policy_evaluation import Decision, Principal, decide, function_arn_of
from lambda_home.arns import LATEST, FunctionRef, Scope
from lambda_home.errors import AccessDeniedException, ApiError, ResourceNotFoundException
from lambda_home.registry.policies import Stored

_INVOKE: Final = "lambda:InvokeFunction"
_FOR_OTHERS: Final = frozenset(
    {
        "Invoke",
        "InvokeAsync",
        "InvokeWithResponseStream",
        "GetFunction",
        "GetFunctionConfiguration",
        "UpdateFunctionCode",
        "DeleteFunction",
        "PublishVersion",
        "ListVersionsByFunction",
        "CreateAlias",
        "GetAlias",
        "ListAliases",
        "UpdateAlias",
        "DeleteAlias",
        "GetPolicy",
        "PutFunctionConcurrency",
        "DeleteFunctionConcurrency",
        "ListTags",
        "TagResource",
        "UntagResource",
    }
)


class PolicySource(Protocol):
    """Where policies are."""

    def get(self, ref: FunctionRef) -> Stored:
        """What is stored; raises ResourceNotFoundException."""


class CrossAccount:
    """Lets callers of other accounts at functions."""

    def __init__(self, policies: PolicySource) -> None:
        self._policies = policies

    async def admit(
        self,
        caller: Scope,
        principal_arn: str,
        name: str,
        qualifier: str | None,
        operation: str,
    ) -> FunctionRef:
        """The function that a caller names, of whatever account.

        Raises as `FunctionRef.anywhere` and `check`.
        """
        ref = FunctionRef.anywhere(caller, name, qualifier)
        if ref.scope.account != caller.account:
            await self.check(principal_arn, ref, operation)
        return ref

    async def owner(
        self, caller: Scope, principal_arn: str, operation: str, params: Mapping[str, Any]
    ) -> Scope:
        """Whose function an operation with these parameters is about, the caller's where none is.

        Raises as `check`. What is wrong with the parameters is left to the operation.
        """
        name = params.get("FunctionName") or params.get("Resource")
        if operation not in _FOR_OTHERS or not isinstance(name, str):
            return caller
        try:
            ref = FunctionRef.anywhere(caller, name, params.get("Qualifier"))
        except ApiError:
            return caller
        if ref.scope.account != caller.account:
            await self.check(principal_arn, ref, operation)
        return ref.scope

    async def check(self, principal_arn: str, ref: FunctionRef, operation: str) -> None:
        """Raise AccessDeniedException unless a function's policy lets an identity perform it.

        A function that does not exist is no answer of another kind: nobody learns what is there.
        """
        action = _INVOKE if operation == "InvokeAsync" else iam_action(operation)
        if operation in _FOR_OTHERS:
            decision = await asyncio.to_thread(self._decision, principal_arn, ref, action)
            if decision is Decision.ALLOW:
                return
        raise not_admitted(principal_arn, ref, action)

    def _decision(self, principal_arn: str, ref: FunctionRef, action: str) -> Decision:
        # `$LATEST` can have no policy: that of the function is its own.
        owner = replace(ref, qualifier=None) if ref.qualifier == LATEST else ref
        try:
            policy = self._policies.get(owner).policy
        except ResourceNotFoundException:
            return Decision.NONE
        return decide(
            policy,
            principal=Principal(principal_arn),
            action=action,
            resource=function_arn_of(ref),
            context={"lambda:InvokedViaFunctionUrl": "false"} if action == _INVOKE else {},
        )


def not_admitted(principal_arn: str, ref: FunctionRef, action: str) -> AccessDeniedException:
    """What AWS answers: it explains invokes, and (recorded) says nothing of other operations."""
    if action != _INVOKE:
        return AccessDeniedException(None)
    return AccessDeniedException(
        f"User: {principal_arn} is not authorized to perform: {action} on resource:"
        f" {ref.qualified_arn} because no resource-based policy allows the {action} action"
    )

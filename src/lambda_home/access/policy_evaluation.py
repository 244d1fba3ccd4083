"""What a resource-based policy says about a request, by IAM's rules; pure.

A denying statement wins over every allowing one, and what no statement allows is not allowed. What
cannot be understood (an operator that IAM has not, an element of the wrong type) never allows; in a
denying statement it denies.
Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from lambda_home.access.policy_conditions import Context, MalformedError, holds, pattern, texts
from lambda_home.arns import LATEST, PARTITION, FunctionRef

_ACCOUNT = re.compile(r"\d{12}")
_ARN = re.compile(r"arn:[a-z-]+:(?:iam|sts)::(\d{12}):(.+)")
_ROLE = re.compile(r"arn:([a-z-]+):iam::(\d{12}):role/(?:.*/)?([^/]+)")
_SESSION = re.compile(r"arn:([a-z-]+):sts::(\d{12}):assumed-role/([^/]+)/.+")
_EFFECTS: Final = ("Allow", "Deny")
_VERSION: Final = "2012-10-17"


class Decision(StrEnum):
    """What a policy says."""

    ALLOW = "Allow"
    DENY = "Deny"
    NONE = "nothing"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: an identity by its ARN, a service by its name, or nobody known (both empty).

    A statement for a whole account allows its identities only together with a policy of that
    account. Callers of other accounts have been asked for one already; for those of the resource's
    own account `through_account` is False, and such a statement does not allow them by itself.
    """

    arn: str = ""
    service: str = ""
    through_account: bool = True

    @property
    def account(self) -> str:
        """The account of an identity; empty for anybody else."""
        match = _ARN.fullmatch(self.arn)
        return match[1] if match else ""

    def context(self) -> dict[str, str]:
        """The condition keys that follow from who asks."""
        if self.service:
            known = {"aws:PrincipalServiceName": self.service, "aws:PrincipalType": "Service"}
            return {**known, "aws:PrincipalIsAWSService": "true"}
        if not self.arn:
            return {"aws:PrincipalType": "Anonymous", "aws:PrincipalIsAWSService": "false"}
        session = _SESSION.fullmatch(self.arn)
        arn = f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}" if session else self.arn
        return {
            "aws:PrincipalArn": arn,
            "aws:PrincipalAccount": self.account,
            "aws:PrincipalType": _kind(self.arn),
            "aws:PrincipalIsAWSService": "false",
        }


ANYBODY: Final = Principal()
"""A request that nobody signed."""


def decide(
    policy: object,
    *,
    principal: Principal,
    action: str,
    resource: str,
    context: Mapping[str, str | Sequence[str]],
) -> Decision:
    """What a policy says about `action` ("lambda:InvokeFunction") on `resource`, an ARN.

    `context` has the request's condition keys, in any case. `policy` is a policy document or None.
    """
    if not isinstance(policy, Mapping):
        return Decision.NONE
    given = policy.get("Statement")
    statements = [given] if isinstance(given, Mapping) else given
    if not isinstance(statements, list | tuple):
        return Decision.NONE
    # Those of 2008, which is also what a policy without a version is, have no variables.
    variables = policy.get("Version") == _VERSION
    keys = Context({**principal.context(), **context}, variables=variables)
    asked = _Asked(principal, action, resource, keys)
    decision = Decision.NONE
    for statement in statements:
        if not isinstance(statement, Mapping) or statement.get("Effect") not in _EFFECTS:
            continue
        denies = statement["Effect"] == "Deny"
        try:
            applies = asked.falls_under(statement, denies=denies)
        except MalformedError:
            applies = denies
        if applies and denies:
            return Decision.DENY
        if applies:
            decision = Decision.ALLOW
    return decision


def function_arn_of(ref: FunctionRef) -> str:
    """The resource that a request for a function is about.

    `$LATEST` is the function itself: it can have no policy of its own.
    """
    return ref.arn if ref.qualifier in (None, LATEST) else ref.qualified_arn


@dataclass(frozen=True, slots=True)
class _Asked:
    principal: Principal
    action: str
    resource: str
    context: Context

    def falls_under(self, statement: Mapping[str, Any], *, denies: bool) -> bool:
        """Whether a statement is about this request. Raises MalformedError."""
        element, negated = _element(statement, "Action")
        if self._is_action(element) is negated:
            return False
        element, negated = _element(statement, "Resource")
        if self._is_resource(element) is negated:
            return False
        element, negated = _element(statement, "Principal")
        # A statement for an account is for all of it when it denies, and when it makes an
        # exception to a permission; an exception to what is denied must name the identity.
        whole = denies is not negated or (not negated and self.principal.through_account)
        if _is_principal(self.principal, element, whole_account=whole) is negated:
            return False
        return holds(statement.get("Condition", {}), self.context)

    def _is_action(self, element: object) -> bool:
        found = (pattern(one, ignore_case=True) for one in texts(element))
        return any(each.fullmatch(self.action) for each in found)

    def _is_resource(self, element: object) -> bool:
        found = (self.context.pattern(one) for one in texts(element))
        return any(each is not None and each.fullmatch(self.resource) for each in found)


def _element(statement: Mapping[str, Any], name: str) -> tuple[object, bool]:
    """An element or its negation, and which it is; exactly one must be there."""
    negation = f"Not{name}"
    if (name in statement) == (negation in statement):
        raise MalformedError(f"either {name} or {negation}")
    return (statement[name], False) if name in statement else (statement[negation], True)


def _is_principal(principal: Principal, element: object, *, whole_account: bool) -> bool:
    """Whether a Principal element names who asks, or with `whole_account` their account."""
    if element == "*":
        return True
    if not isinstance(element, Mapping) or not element:
        raise MalformedError("Principal")
    named = {kind: texts(given) for kind, given in element.items()}
    if "*" in named.get("AWS", ()):
        return True
    if principal.service:
        return principal.service in named.get("Service", ())
    return bool(principal.arn) and any(
        _is_identity(principal, one, whole_account=whole_account) for one in named.get("AWS", ())
    )


def _is_identity(principal: Principal, name: str, *, whole_account: bool) -> bool:
    if name == principal.arn:
        return True
    if _ACCOUNT.fullmatch(name):
        name = f"arn:{PARTITION}:iam::{name}:root"
    match = _ARN.fullmatch(name)
    if match is not None and match[2] == "root":
        is_root = principal.arn == name
        return match[1] == principal.account and (whole_account or is_root)
    role, session = _ROLE.fullmatch(name), _SESSION.fullmatch(principal.arn)
    # The session of a role does not tell the role's path; no account has two roles of one name.
    return role is not None and session is not None and role.groups() == session.groups()


def _kind(arn: str) -> str:
    """`aws:PrincipalType` of an identity."""
    name = arn.split(":", 5)[-1]
    kinds = {"root": "Account", "assumed-role": "AssumedRole", "federated-user": "FederatedUser"}
    return kinds.get(name.partition("/")[0], "User")

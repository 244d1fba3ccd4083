"""Resource-based policies as documents: principals, statements, conditions (pure).

A policy is `{"Version", "Id", "Statement": [...]}`; it is answered as compact JSON, its members in
AWS's order. Texts are recorded on AWS unless a comment says otherwise. Source of the elements:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from lambda_home.arns import LATEST, PARTITION, FunctionRef
from lambda_home.errors import (
    InvalidParameterValueException,
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)

Policy = dict[str, Any]
Statement = dict[str, Any]

VERSION: Final = "2012-10-17"
MOST_BYTES: Final = 20_480  # of a policy as compact JSON; "Lambda quotas" in the Developer Guide

_ACCOUNT = re.compile(r"\d{12}")
_ROOT = re.compile(r"arn:aws[a-zA-Z-]*:iam::\d{12}:root")
_IDENTITY = re.compile(
    r"arn:aws[a-zA-Z-]*:(?:iam::\d{12}:(?:user|role)|sts::\d{12}:(?:assumed-role|federated-user))"
    r"/[\w+=,.@/-]+"
)
_SERVICE = re.compile(r"(?:[a-z0-9-]+\.)+(?:amazonaws\.(?:com(?:\.cn)?|eu)|amazon\.com)")

# Conditions that AddPermission and AddLayerVersionPermission make of their members.
_STRING_EQUALS = {
    "SourceAccount": "AWS:SourceAccount",
    "EventSourceToken": "lambda:EventSourceToken",
    "FunctionUrlAuthType": "lambda:FunctionUrlAuthType",
    "PrincipalOrgID": "aws:PrincipalOrgID",
    "OrganizationId": "aws:PrincipalOrgID",
}

_ELEMENTS = frozenset({"Version", "Id", "Statement"})
_STATEMENT_ELEMENTS = frozenset(
    {
        *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction"),
        *("Resource", "NotResource", "Condition"),
    }
)
_PRINCIPAL_KINDS = frozenset({"AWS", "Service", "Federated", "CanonicalUser"})


def principal_element(principal: str) -> str | dict[str, str]:
    """`Principal` of a statement: everybody, an account, an IAM identity or a service.

    Raises InvalidParameterValueException for anything else. AWS also refuses identities that do not
    exist; there are none here to look at.
    """
    if principal == "*":
        return principal
    if _ACCOUNT.fullmatch(principal):
        return {"AWS": f"arn:{PARTITION}:iam::{principal}:root"}
    if _ROOT.fullmatch(principal) or _IDENTITY.fullmatch(principal):
        return {"AWS": principal}
    if _SERVICE.fullmatch(principal):
        return {"Service": principal}
    raise _bad_principal()


def condition_element(params: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """`Condition` for the members of a request that restrict its principal; {} for none."""
    equals = {
        key: params[member]
        for member, key in _STRING_EQUALS.items()
        if params.get(member) is not None
    }
    condition = {"StringEquals": equals} if equals else {}
    if params.get("SourceArn") is not None:
        condition["ArnLike"] = {"AWS:SourceArn": params["SourceArn"]}
    if params.get("InvokedViaFunctionUrl") is not None:
        # Seen on AWS in reports, for true.
        via_url = str(params["InvokedViaFunctionUrl"]).lower()
        condition["Bool"] = {"lambda:InvokedViaFunctionUrl": via_url}
    return condition


def statement_of(params: Mapping[str, Any], resource: str) -> Statement:
    """The statement that AddPermission or AddLayerVersionPermission adds for `resource`, an ARN.

    Raises as `principal_element`.
    """
    statement: Statement = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": principal_element(params["Principal"]),
        "Action": params["Action"],
        "Resource": resource,
    }
    condition = condition_element(params)
    return {**statement, "Condition": condition} if condition else statement


def with_statement(policy: Mapping[str, Any] | None, statement: Statement) -> Policy:
    """A policy with one more statement, at its end; `policy` is None where there was none.

    Raises ResourceConflictException if the id is taken, PolicyLengthExceededException if the whole
    gets too long.
    """
    statements = statements_of(policy)
    sid = statement["Sid"]
    if any(one.get("Sid") == sid for one in statements):
        raise ResourceConflictException(
            f"The statement id ({sid}) provided already exists. Please provide a new statement id,"
            " or remove the existing statement."
        )
    new = {
        **(policy or {"Version": VERSION, "Id": "default"}),
        "Statement": [*statements, statement],
    }
    check_length(new)
    return new


def without_statement(policy: Mapping[str, Any], sid: str) -> Policy | None:
    """A policy with one statement less, None if that was its last.

    Raises ResourceNotFoundException if it has no such statement.
    """
    statements = statements_of(policy)
    rest = [one for one in statements if one.get("Sid") != sid]
    if len(rest) == len(statements):
        raise ResourceNotFoundException(f"Statement {sid} is not found in resource policy.")
    return {**policy, "Statement": rest} if rest else None


def statements_of(policy: Mapping[str, Any] | None) -> list[Statement]:
    """The statements of a policy; one may stand there without a list around it."""
    found = policy["Statement"] if policy else []
    return [found] if isinstance(found, dict) else list(found)


def compact(value: Mapping[str, Any]) -> str:
    """A statement or a policy as AWS answers it: JSON without spaces, members in their order."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def check_length(policy: Mapping[str, Any]) -> None:
    """Raise PolicyLengthExceededException if a policy is over the limit (text: seen on AWS)."""
    size = len(compact(policy).encode())
    if size > MOST_BYTES:
        raise PolicyLengthExceededException(
            f"The final policy size ({size}) is bigger than the limit ({MOST_BYTES})."
        )


def check_revision(given: str | None, current: str, api: str) -> None:
    """Raise PreconditionFailedException if a RevisionId is given that is not the current one.

    `api` is the operation that the text names.
    """
    if given and given != current:
        raise PreconditionFailedException(
            "The Revision Id provided does not match the latest Revision Id. Call the"
            f" {api} API to retrieve the latest Revision Id"
        )


def refuse_latest(ref: FunctionRef) -> None:
    """Raise InvalidParameterValueException for `$LATEST`, which can have no policy."""
    if ref.qualifier == LATEST:
        raise InvalidParameterValueException(
            "We currently do not support adding policies for $LATEST."
        )


def no_policy() -> ResourceNotFoundException:
    """What GetPolicy answers, whatever is missing."""
    return ResourceNotFoundException("The resource you requested does not exist.")


def parsed(text: str) -> Policy:
    """The policy document that PutResourcePolicy brings.

    Raises InvalidParameterValueException for what is no policy by IAM's grammar, and as
    `check_length`. The texts are ours: none is recorded.
    """
    try:
        policy = json.loads(text, parse_constant=_no_constant)
        compact(policy).encode()
    except (ValueError, RecursionError):
        raise _malformed("it is not valid JSON") from None
    if not isinstance(policy, dict):
        raise _malformed("it must be a JSON object")
    _only(policy, _ELEMENTS)
    if policy.get("Version", VERSION) not in (VERSION, "2008-10-17"):
        raise _malformed("Version must be 2012-10-17 or 2008-10-17")
    if not isinstance(policy.get("Id", ""), str):
        raise _malformed("Id must be a string")
    given = policy.get("Statement")
    if not isinstance(given, dict | list) or not given:
        raise _malformed("Statement is missing")
    for statement in statements_of(policy):
        _check_statement(statement)
    sids = [one["Sid"] for one in statements_of(policy) if "Sid" in one]
    if len(set(sids)) < len(sids):
        raise _malformed("statement ids must be unique")
    check_length(policy)
    return policy


# ------------------------------------------------------------------------------------------------


def _check_statement(statement: object) -> None:
    if not isinstance(statement, dict):
        raise _malformed("a statement must be a JSON object")
    _only(statement, _STATEMENT_ELEMENTS)
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise _malformed("Effect must be Allow or Deny")
    for element in ("Principal", "Action", "Resource"):
        if (element in statement) == (f"Not{element}" in statement):
            raise _malformed(f"a statement must have either {element} or Not{element}")
        name = element if element in statement else f"Not{element}"
        if element == "Principal":
            _check_principal(statement[name])
        elif not _strings(statement[name]):
            raise _malformed(f"{name} must be a string or a list of strings")
    if not isinstance(statement.get("Sid", ""), str):
        raise _malformed("Sid must be a string")
    _check_condition(statement.get("Condition", {}))


def _check_principal(principal: object) -> None:
    if principal == "*":
        return
    if not isinstance(principal, dict) or not principal:
        raise _bad_principal()
    _only(principal, _PRINCIPAL_KINDS)
    for kind, given in principal.items():
        for one in _strings(given) or [""]:
            if kind == "AWS" and one != "*":
                _check_is(principal_element(one), "AWS")
            elif kind == "Service":
                _check_is(principal_element(one), "Service")
            elif not one:
                raise _bad_principal()


def _check_is(element: str | dict[str, str], kind: str) -> None:
    if not isinstance(element, dict) or kind not in element:
        raise _bad_principal()


def _check_condition(condition: object) -> None:
    if not isinstance(condition, dict):
        raise _malformed("Condition must be a JSON object")
    for operator, keys in condition.items():
        if not isinstance(keys, dict):
            raise _malformed(f"{operator} must be a JSON object")
        for key, value in keys.items():
            listed = value if isinstance(value, list) else [value]
            if not all(isinstance(one, str | bool | int | float) for one in listed):
                raise _malformed(f"{key} must be a string or a list of strings")


def _strings(value: object) -> list[str]:
    """A string or a list of strings, as a list; [] for anything else."""
    listed: list[Any] = value if isinstance(value, list) else [value]
    return listed if all(isinstance(one, str) for one in listed) else []


def _only(element: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in element:
        if name not in known:
            raise _malformed(f"{name} is not a known element")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _bad_principal() -> InvalidParameterValueException:
    return InvalidParameterValueException(
        "The provided principal was invalid. Please check the principal and try again."
    )


def _malformed(why: str) -> InvalidParameterValueException:
    return InvalidParameterValueException(f"The provided policy document is not valid: {why}.")

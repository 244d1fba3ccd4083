"""Function names, qualifiers and ARNs.

AWS takes a function in four forms, each with or without `:qualifier`: the bare name,
`function:name`, the partial ARN `123456789012:function:name` and the full ARN. Source: API_Invoke,
"FunctionName", and answers recorded on AWS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lambda_home.errors import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
)

LATEST = "$LATEST"
LATEST_PUBLISHED: Final = "$LATEST.PUBLISHED"
PARTITION = "aws"

_FUNCTION = re.compile(  # the model's pattern of a function name: every part may be missing
    r"(?:arn:(?:aws[a-zA-Z-]*)?:lambda:)?"
    r"(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?"
    r"(?:(?P<account>\d{12}):)?"
    r"(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)"
    r"(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)


@dataclass(frozen=True, slots=True)
class Scope:
    """The world a caller lives in; accounts and regions never see each other."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """A function as a caller named it: `qualifier` is None where none was given."""

    scope: Scope
    name: str
    qualifier: str | None = None

    @property
    def arn(self) -> str:
        """The unqualified ARN."""
        return function_arn(self.scope, self.name)

    @property
    def qualified_arn(self) -> str:
        """The ARN with the qualifier, where one was given."""
        return function_arn(self.scope, self.name, self.qualifier)

    @classmethod
    def parse(cls, scope: Scope, name: str, qualifier: str | None = None) -> FunctionRef:
        """Read a function name in any of AWS's forms, seen from `scope`.

        Raises InvalidParameterValueException if the qualifier inside the name contradicts
        `qualifier`, ResourceNotFoundException for another region, AccessDeniedException for another
        account. A name that matches none of the forms is taken literally: the model's pattern has
        refused it before, or it does not exist.
        """
        match = _FUNCTION.fullmatch(name)
        is_near = match is not None and match["region"] in (None, scope.region)
        if match is not None and is_near and match["account"] not in (None, scope.account):
            raise AccessDeniedException(None)
        return cls.anywhere(scope, name, qualifier)

    @classmethod
    def anywhere(cls, scope: Scope, name: str, qualifier: str | None = None) -> FunctionRef:
        """As `parse`, but of whatever account the name says: the caller must be let at it."""
        match = _FUNCTION.fullmatch(name)
        if match is None:
            return cls(scope, name, qualifier)
        region = match["region"]
        if region and region != scope.region:
            message = (
                f"Functions from '{region}' are not reachable in this region ('{scope.region}')"
            )
            raise ResourceNotFoundException(message)
        inner = match["qualifier"]
        if inner and qualifier and inner != qualifier:
            message = (
                "The derived qualifier from the function name does not match the specified"
                " qualifier."
            )
            raise InvalidParameterValueException(message)
        owner = Scope(match["account"] or scope.account, scope.region)
        return cls(owner, match["name"], inner or qualifier)


def function_arn(scope: Scope, name: str, qualifier: str | None = None) -> str:
    """`arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]`."""
    arn = f"arn:{PARTITION}:lambda:{scope.region}:{scope.account}:function:{name}"
    return f"{arn}:{qualifier}" if qualifier else arn

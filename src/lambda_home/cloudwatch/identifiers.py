"""How log groups and streams are named: by name, by ARN; and the tokens of pages; pure.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from lambda_home.arns import PARTITION, Scope
from lambda_home.errors import (
    InvalidParameterException,
    ResourceNotFoundException,
    ValidationException,
)

_ARN = re.compile(
    r"arn:[a-z-]+:logs:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):"
    r"log-group:(?P<name>[\.\-_/#A-Za-z0-9]{1,512})(?P<all>:\*)?"
)
_ARN_START: Final = "arn:"
_BAD_TOKEN: Final = "The specified nextToken is invalid."  # noqa: S105  AWS's words
_NO_NAME: Final = (
    "1 validation error detected: Value null at 'logGroupName' failed to satisfy constraint:"
    " Member must not be null"
)


def group_arn(scope: Scope, group: str) -> str:
    """The ARN of a log group, without the `:*` that policies want."""
    return f"arn:{PARTITION}:logs:{scope.region}:{scope.account}:log-group:{group}"


def stream_arn(scope: Scope, group: str, stream: str) -> str:
    """The ARN of a log stream."""
    return f"{group_arn(scope, group)}:log-stream:{stream}"


def no_group() -> ResourceNotFoundException:
    """What is said of a log group that is not there."""
    return ResourceNotFoundException("The specified log group does not exist.")


def no_stream() -> ResourceNotFoundException:
    """What is said of a log stream that is not there."""
    return ResourceNotFoundException("The specified log stream does not exist.")


def group_in(arn: str, scope: Scope) -> str:
    """The name of the log group that an ARN names, seen from `scope`.

    Raises InvalidParameterException for what is no such ARN, ResourceNotFoundException for one of
    another account or region: none is linked to this one.
    """
    match = _ARN.fullmatch(arn)
    if match is None:
        raise InvalidParameterException(
            f"Invalid ARN: {arn} is not that of a log group,"
            f" {group_arn(Scope('ACCOUNT', 'REGION'), 'NAME')}."
        )
    if (match["account"], match["region"]) != (scope.account, scope.region):
        raise no_group()
    return match["name"]


def group_named(identifier: str, scope: Scope) -> str:
    """The name of the log group that a name or an ARN names; raises as `group_in`."""
    return group_in(identifier, scope) if identifier.startswith(_ARN_START) else identifier


def group_of(params: Mapping[str, Any], scope: Scope) -> str:
    """The log group of a request: `logGroupName` or `logGroupIdentifier`, one of the two.

    Raises ValidationException for both, InvalidParameterException for neither; and as `group_in`.
    """
    name: str | None = params.get("logGroupName")
    identifier: str | None = params.get("logGroupIdentifier")
    if name is not None and identifier is not None:
        raise ValidationException(
            "LogGroup name and LogGroup ARN are mutually exclusive parameters."
        )
    if name is not None:
        return name
    if identifier is None:
        raise InvalidParameterException(_NO_NAME)
    return group_named(identifier, scope)


def bad_token() -> InvalidParameterException:
    """What is said of a token that no page had."""
    return InvalidParameterException(_BAD_TOKEN)


def token_of(kind: str, place: str) -> str:
    """The token of the next page: `place` is where it begins, `kind` the operation that gave it."""
    return base64.urlsafe_b64encode(f"{kind} {place}".encode()).decode()


def place_in(kind: str, token: str | None) -> str:
    """Where the page of a token begins; "" without one. Raises InvalidParameterException."""
    if token is None:
        return ""
    given, place = parts_of(token)
    if given != kind:
        raise bad_token()
    return place


def parts_of(token: str) -> tuple[str, str]:
    """What `token_of` made a token of. Raises InvalidParameterException."""
    try:
        kind, _, place = base64.urlsafe_b64decode(token.encode()).decode().partition(" ")
    except (binascii.Error, ValueError):
        raise bad_token() from None
    if not place:
        raise bad_token()
    return kind, place

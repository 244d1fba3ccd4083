"""Which operations of CloudWatch Logs are performed here, and how requests name them; pure.

Source: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_TARGET: Final = b"Logs_20140328."
REQUEST_LIMIT: Final = 8 * 1024 * 1024
"""How long a body may be: a batch of PutLogEvents, with every character escaped."""

_READING: Final = ("Describe", "Filter", "Get", "List", "Start")

PERFORMED: Final = frozenset(
    {
        "CreateLogGroup",
        "CreateLogStream",
        "DeleteLogGroup",
        "DeleteLogStream",
        "DeleteRetentionPolicy",
        "DeleteSubscriptionFilter",
        "DescribeLogGroups",
        "DescribeLogStreams",
        "DescribeSubscriptionFilters",
        "FilterLogEvents",
        "GetLogEvents",
        "ListLogGroups",
        "ListTagsForResource",
        "ListTagsLogGroup",
        "PutLogEvents",
        "PutLogGroupDeletionProtection",
        "PutRetentionPolicy",
        "PutSubscriptionFilter",
        "StartLiveTail",
        "TagLogGroup",
        "TagResource",
        "UntagLogGroup",
        "UntagResource",
    }
)
"""What else there is in the service's model is the companion's, if there is one."""


def operation_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The operation that a request's headers name, if it is performed here."""
    target = headers.get(b"x-amz-target", b"")
    if not target.startswith(_TARGET):
        return None
    name = target.removeprefix(_TARGET).decode("latin-1")
    return name if name in PERFORMED else None


def is_change(operation: str) -> bool:
    """Whether an operation changes what is there; a log's lines are no change of anything."""
    return operation != "PutLogEvents" and not operation.startswith(_READING)

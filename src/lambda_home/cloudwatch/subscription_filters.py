"""Operations on subscription filters: which function hears of which lines of a log group."""

from __future__ import annotations

import re
from typing import Any, Final

from lambda_home.arns import Scope
from lambda_home.cloudwatch.identifiers import place_in, token_of
from lambda_home.cloudwatch.operations import LogsBackend, LogsCall, Result, operation
from lambda_home.cloudwatch.patterns import pattern_of
from lambda_home.errors import AccessDeniedException, InvalidParameterException

_PAGE: Final = 50
_ARN = re.compile(
    r"arn:[a-z-]+:(?P<vendor>[a-z0-9-]+):(?P<region>[a-z0-9-]*):(?P<account>\d*):(?P<resource>.+)"
)
_LAMBDA: Final = "lambda"
_NOT_APPLIED: Final = ("fieldSelectionCriteria", "emitSystemFields")
_WITH_ROLE: Final = frozenset({"kinesis", "firehose"})


@operation("PutSubscriptionFilter")
def put_subscription_filter(backend: LogsBackend, call: LogsCall) -> Result:
    """Send lines that match to a function, from now on."""
    params = call.params
    _check_destination(params["destinationArn"], params.get("roleArn"), call.scope)
    for name in _NOT_APPLIED:
        if params.get(name):
            raise InvalidParameterException(
                f"lambda_home does not apply {name}: leave it out, and use filterPattern."
            )
    backend.store.group(call.scope, params["logGroupName"])
    pattern_of(params["filterPattern"])
    if not backend.subscriptions.can_call(call.scope, params["destinationArn"]):
        raise InvalidParameterException(
            "Could not execute the lambda function. Make sure you have given CloudWatch Logs"
            " permission to execute your function."
        )
    given: dict[str, Any] = {
        "filterName": params["filterName"],
        "logGroupName": params["logGroupName"],
        "filterPattern": params["filterPattern"],
        "destinationArn": params["destinationArn"],
        "distribution": params.get("distribution", "ByLogStream"),
        "applyOnTransformedLogs": params.get("applyOnTransformedLogs", False),
        "creationTime": call.now_ms,
    }
    backend.subscriptions.put(call.scope, params["logGroupName"], given)
    return None


@operation("DescribeSubscriptionFilters")
def describe_subscription_filters(backend: LogsBackend, call: LogsCall) -> Result:
    """The subscription filters of a group."""
    params = call.params
    group, prefix = params["logGroupName"], params.get("filterNamePrefix", "")
    backend.store.group(call.scope, group)
    kind = "subscriptions"
    after = place_in(kind, params.get("nextToken"))
    found = [
        each
        for each in backend.subscriptions.of_group(call.scope, group)
        if each["filterName"].startswith(prefix) and each["filterName"] > after
    ]
    page = found[: params.get("limit", _PAGE)]
    more = len(page) < len(found)
    return {
        "subscriptionFilters": page,
        "nextToken": token_of(kind, page[-1]["filterName"]) if more else None,
    }


@operation("DeleteSubscriptionFilter")
def delete_subscription_filter(backend: LogsBackend, call: LogsCall) -> Result:
    """Send no more lines by a filter."""
    group = call.params["logGroupName"]
    backend.store.group(call.scope, group)
    backend.subscriptions.delete(call.scope, group, call.params["filterName"])
    return None


def _check_destination(arn: str, role: str | None, scope: Scope) -> None:
    """Refuse what is no function of this account and region; AWS's words and order (recorded)."""
    match = _ARN.fullmatch(arn)
    if match is None:
        raise InvalidParameterException(f"The destinationArn {arn} is not a valid ARN.")
    vendor = match["vendor"]
    if vendor in _WITH_ROLE:
        if role is None:
            raise InvalidParameterException(
                f"destinationArn for vendor {vendor} cannot be used without roleArn"
            )
        raise InvalidParameterException(
            f"lambda_home delivers log events to functions, and not to {vendor}: give the ARN of a"
            " function as destinationArn."
        )
    if vendor != _LAMBDA:
        raise InvalidParameterException(
            f"PutSubscriptionFilter operation cannot work with destinationArn for vendor {vendor}"
        )
    if match["account"] != scope.account:
        raise AccessDeniedException(
            "Cross-account lambda invocation passing is not allowed. You must use"
            " DestinationPolicies to create cross account lambda triggers."
        )
    if match["region"] != scope.region:
        raise InvalidParameterException(
            f"The function {arn} is of another region: give one of {scope.region}."
        )
    if role is not None:
        raise InvalidParameterException(
            "destinationArn for vendor lambda cannot be used with roleArn"
        )

"""Operations on what is configured for asynchronous invokes of a function, version or alias.

Texts and rules are those recorded on AWS.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from lambda_home.arns import LATEST, FunctionRef
from lambda_home.errors import InvalidParameterValueException, ResourceNotFoundException
from lambda_home.registry.configs import ConfigKind
from lambda_home.registry.paging import page_size
from lambda_home.user_api.operations import Backend, Call, Result, operation
from lambda_home.user_api.pages import page_from

_MEMBERS = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")
_ON_SUCCESS = frozenset({"lambda", "sns", "sqs", "events"})
_ON_FAILURE = _ON_SUCCESS | {"s3"}
_FUNCTION_ARN = re.compile(
    r"arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:function:(?P<name>[a-zA-Z0-9-_]+)"
    r"(?::(?:\$LATEST|[a-zA-Z0-9-_]+))?"
)


@operation("PutFunctionEventInvokeConfig")
async def put_function_event_invoke_config(backend: Backend, call: Call) -> Result:
    """Set the whole configuration: what is not given gets AWS's default."""
    return await asyncio.to_thread(_set, backend, call, keep=False)


@operation("UpdateFunctionEventInvokeConfig")
async def update_function_event_invoke_config(backend: Backend, call: Call) -> Result:
    """Set what is given and keep the rest; there must be a configuration."""
    return await asyncio.to_thread(_set, backend, call, keep=True)


@operation("GetFunctionEventInvokeConfig")
async def get_function_event_invoke_config(backend: Backend, call: Call) -> Result:
    """The configuration of one qualifier."""
    ref = _qualified(call)
    try:
        found = await asyncio.to_thread(
            backend.configs.get, ref, ConfigKind.EVENT_INVOKE, ref.qualifier or LATEST
        )
    except ResourceNotFoundException:
        found = None
    if found is None:
        raise _not_configured(ref)
    return _shown(ref, found)


@operation("DeleteFunctionEventInvokeConfig")
async def delete_function_event_invoke_config(backend: Backend, call: Call) -> Result:
    """Go back to AWS's defaults."""
    ref = _qualified(call)
    try:
        there_was = await asyncio.to_thread(
            backend.configs.delete, ref, ConfigKind.EVENT_INVOKE, ref.qualifier or LATEST
        )
    except ResourceNotFoundException:
        there_was = False
    if not there_was:
        raise _not_configured(ref)
    return None


@operation("ListFunctionEventInvokeConfigs")
async def list_function_event_invoke_configs(backend: Backend, call: Call) -> Result:
    """A page of a function's configurations; a marker is the ARN that the next page starts with."""
    ref = replace(call.ref(), qualifier=None)
    try:
        found = await asyncio.to_thread(backend.configs.all_of, ref, ConfigKind.EVENT_INVOKE)
    except ResourceNotFoundException:
        raise _no_function() from None
    items = [_shown(replace(ref, qualifier=name), document) for name, document in found.items()]
    limit = page_size(call.params.get("MaxItems"))
    page, marker = page_from(items, itemgetter("FunctionArn"), call.params.get("Marker"), limit)
    return {"FunctionEventInvokeConfigs": page, "NextMarker": marker}


# ------------------------------------------------------------------------------------------------


def _set(backend: Backend, call: Call, *, keep: bool) -> dict[str, Any]:
    given = {name: call.params[name] for name in _MEMBERS if call.params.get(name) is not None}
    if not given:
        raise InvalidParameterValueException(
            "You must specify at least one of error handling or destination setting."
        )
    ref = _qualified(call)
    try:
        backend.registry.get(ref)
    except ResourceNotFoundException:
        raise _no_function() from None
    if "DestinationConfig" in given:
        _check_destinations(backend, ref, given["DestinationConfig"])
    stored: dict[str, Any] = {}

    def edit(old: Mapping[str, Any] | None) -> Mapping[str, Any]:
        if keep and old is None:
            raise _not_configured(ref)
        now = datetime.now(UTC).timestamp()
        stored.update({**(old or {} if keep else {}), **given, "LastModified": now})
        return stored

    backend.configs.change(ref, ConfigKind.EVENT_INVOKE, edit, ref.qualifier or LATEST)
    return _shown(ref, stored)


def _qualified(call: Call) -> FunctionRef:
    ref = call.ref()
    return replace(ref, qualifier=ref.qualifier or LATEST)


def _shown(ref: FunctionRef, document: Mapping[str, Any]) -> dict[str, Any]:
    destinations = document.get("DestinationConfig") or {}
    shown = {name: document[name] for name in _MEMBERS if name in document}
    return {
        **shown,
        "LastModified": document["LastModified"],
        "FunctionArn": ref.qualified_arn,
        "DestinationConfig": {
            kind: {"Destination": target} if target else {}
            for kind in ("OnSuccess", "OnFailure")
            for target in [_target(destinations, kind)]
        },
    }


def _target(destinations: Mapping[str, Any], kind: str) -> str:
    return (destinations.get(kind) or {}).get("Destination") or ""


def _check_destinations(
    backend: Backend, ref: FunctionRef, destinations: Mapping[str, Any]
) -> None:
    on_success, on_failure = (_target(destinations, kind) for kind in ("OnSuccess", "OnFailure"))
    fine = _is_fine(backend, ref, on_failure, _ON_FAILURE)
    if not _is_fine(backend, ref, on_success, _ON_SUCCESS) or not fine:
        shown = (
            f"onSuccess={f'OnSuccess(destination={on_success})' if on_success else 'null'},"
            f" onFailure={f'OnFailure(destination={on_failure})' if on_failure else 'null'}"
        )
        raise InvalidParameterValueException(
            f"The provided destination config DestinationConfig({shown}) is invalid."
        )


def _is_fine(backend: Backend, ref: FunctionRef, target: str, services: frozenset[str]) -> bool:
    if not target:
        return True
    parts = target.split(":")
    service = parts[2] if len(parts) > 2 else ""  # noqa: PLR2004  arn, partition, service
    if service == "lambda":
        _check_function(backend, ref, target)
    return service in services


def _check_function(backend: Backend, ref: FunctionRef, target: str) -> None:
    match = _FUNCTION_ARN.fullmatch(target)
    message = f"The destination ARN {target} is invalid."
    if match is None:
        raise InvalidParameterValueException(message)
    try:
        backend.registry.get(replace(FunctionRef.parse(ref.scope, target), qualifier=None))
    except ResourceNotFoundException:
        raise InvalidParameterValueException(message) from None
    if match["name"] == ref.name:
        raise InvalidParameterValueException(
            "You can't specify the function as a destination for itself."
        )


def _no_function() -> ResourceNotFoundException:
    return ResourceNotFoundException("The function doesn't exist.")


def _not_configured(ref: FunctionRef) -> ResourceNotFoundException:
    message = f"The function {ref.qualified_arn} doesn't have an EventInvokeConfig"
    return ResourceNotFoundException(message)

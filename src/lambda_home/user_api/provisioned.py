"""Operations on provisioned concurrency."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambda_home.arns import LATEST, FunctionRef
from lambda_home.errors import InvalidParameterValueException
from lambda_home.user_api.operations import Backend, Call, Result, operation


@operation("PutProvisionedConcurrencyConfig")
async def put_provisioned_concurrency_config(backend: Backend, call: Call) -> Result:
    """Keep environments ready for a version or an alias."""
    ref = call.ref()
    if ref.qualifier == LATEST:
        raise InvalidParameterValueException(
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
        )
    document = await asyncio.to_thread(
        backend.provisioned.put,
        ref,
        call.params["ProvisionedConcurrentExecutions"],
        backend.concurrency,
    )
    return {
        "RequestedProvisionedConcurrentExecutions": document["Requested"],
        "AllocatedProvisionedConcurrentExecutions": 0,
        "AvailableProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
        "LastModified": document["LastModified"],
    }


@operation("GetProvisionedConcurrencyConfig")
async def get_provisioned_concurrency_config(backend: Backend, call: Call) -> Result:
    """How many environments are asked for, and how many are ready."""
    ref = _target(call)
    document = await asyncio.to_thread(backend.provisioned.get, ref)
    return await _answer(backend, ref, document)


@operation("DeleteProvisionedConcurrencyConfig")
async def delete_provisioned_concurrency_config(backend: Backend, call: Call) -> Result:
    """Keep no environments ready any more."""
    await asyncio.to_thread(backend.provisioned.delete, _target(call))
    return None


@operation("ListProvisionedConcurrencyConfigs")
async def list_provisioned_concurrency_configs(backend: Backend, call: Call) -> Result:
    """A page of a function's provisioned concurrency."""
    ref = replace(call.ref(), qualifier=None)
    page, marker = await asyncio.to_thread(
        backend.provisioned.listing, ref, call.params.get("Marker"), call.params.get("MaxItems")
    )
    items = []
    for qualifier, document in page.items():
        target = replace(ref, qualifier=qualifier)
        answer = await _answer(backend, target, document)
        items.append({"FunctionArn": target.qualified_arn, **answer})
    return {"ProvisionedConcurrencyConfigs": items, "NextMarker": marker}


def _target(call: Call) -> FunctionRef:
    ref = call.ref()
    if ref.qualifier == LATEST:
        raise InvalidParameterValueException(
            "The function resource provided must be an alias or a published version."
        )
    return ref


async def _answer(
    backend: Backend, ref: FunctionRef, document: Mapping[str, Any]
) -> dict[str, Any]:
    found = await backend.provisioner.allocation(ref, document["Requested"])
    answer = {
        "RequestedProvisionedConcurrentExecutions": document["Requested"],
        "AvailableProvisionedConcurrentExecutions": found.available,
        "AllocatedProvisionedConcurrentExecutions": found.allocated,
        "Status": found.status,
        "LastModified": document["LastModified"],
    }
    return answer if found.reason is None else {**answer, "StatusReason": found.reason}

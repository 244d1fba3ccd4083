"""Operations on provisioned concurrency."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambda_home.arns import LATEST, FunctionRef
from lambda_home.errors import InvalidParameterValueException
from lambda_home.registry.paging import page_size
from lambda_home.user_api.operations import Backend, Call, Result, operation
from lambda_home.user_api.pages import page_from


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
    found = await asyncio.to_thread(backend.provisioned.listing, ref)
    arns = {replace(ref, qualifier=name).qualified_arn: name for name in found}
    limit = page_size(call.params.get("MaxItems"))
    page, marker = page_from(list(arns), str, call.params.get("Marker"), limit)
    items = []
    for arn in page:
        target = replace(ref, qualifier=arns[arn])
        answer = await _answer(backend, target, found[arns[arn]])
        items.append({"FunctionArn": arn, **answer})
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

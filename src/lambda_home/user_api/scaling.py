"""Operations on how many execution environments a function has.

AWS has them for functions on managed instances; here every version takes them, `$LATEST` too.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from lambda_home.arns import LATEST_PUBLISHED, FunctionRef
from lambda_home.errors import InvalidParameterValueException, ResourceNotFoundException
from lambda_home.functions import FunctionVersion
from lambda_home.registry.configs import ConfigKind
from lambda_home.user_api.operations import Backend, Call, Result, operation


@operation("PutFunctionScalingConfig")
async def put_function_scaling_config(backend: Backend, call: Call) -> Result:
    """Bound the environments of a version; without bounds, take them away."""
    ref = call.ref()
    version = await asyncio.to_thread(_version, backend, ref)
    bounds: dict[str, Any] = call.params.get("FunctionScalingConfig") or {}
    least, most = bounds.get("MinExecutionEnvironments"), bounds.get("MaxExecutionEnvironments")
    if least is not None and most is not None and least > most:
        raise InvalidParameterValueException(
            f"MinExecutionEnvironments ({least}) must not be greater than MaxExecutionEnvironments"
            f" ({most})."
        )
    key = (ref, ConfigKind.SCALING)
    if bounds:
        await asyncio.to_thread(backend.configs.put, *key, bounds, ref.qualifier or "")
    else:
        await asyncio.to_thread(backend.configs.delete, *key, ref.qualifier or "")
    return {"FunctionState": str(version.status.state)}


@operation("GetFunctionScalingConfig")
async def get_function_scaling_config(backend: Backend, call: Call) -> Result:
    """The bounds that are asked for, which are applied at once."""
    ref = call.ref()
    await asyncio.to_thread(_version, backend, ref)
    bounds = await asyncio.to_thread(
        backend.configs.get, ref, ConfigKind.SCALING, ref.qualifier or ""
    )
    answer: dict[str, Any] = {"FunctionArn": ref.qualified_arn}
    if bounds:
        answer["AppliedFunctionScalingConfig"] = dict(bounds)
        answer["RequestedFunctionScalingConfig"] = dict(bounds)
    return answer


def _version(backend: Backend, ref: FunctionRef) -> FunctionVersion:
    """The version that the qualifier names; else a 404."""
    if ref.qualifier != LATEST_PUBLISHED:
        return backend.registry.get(ref)
    backend.registry.get(replace(ref, qualifier=None))
    newest = backend.registry.versions(ref.scope, ref.name)[-1:]
    if not newest or newest[0].is_latest:
        raise ResourceNotFoundException(f"Function not found: {ref.qualified_arn}")
    return newest[0]

"""Operations on the runtime version that a function uses.

Each runtime has one version here, so the setting is kept and answered, and changes nothing.
Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html
"""

from __future__ import annotations

import asyncio
from typing import Any

from lambda_home.arns import LATEST, FunctionRef
from lambda_home.errors import InvalidParameterValueException
from lambda_home.registry.configs import ConfigKind
from lambda_home.user_api.operations import Backend, Call, Result, operation

_AUTO = {"UpdateRuntimeOn": "Auto"}


@operation("PutRuntimeManagementConfig")
async def put_runtime_management_config(backend: Backend, call: Call) -> Result:
    """Say when a function's runtime may be updated; Manual names the version it stays at."""
    mode, arn = call.params["UpdateRuntimeOn"], call.params.get("RuntimeVersionArn")
    if mode == "Manual" and not arn:
        raise InvalidParameterValueException(
            "RuntimeVersionArn is a required field for UpdateRuntimeOn Manual."
        )
    if mode != "Manual" and arn:
        raise InvalidParameterValueException(
            "RuntimeVersionArn can only be provided for UpdateRuntimeOn Manual."
        )
    ref = call.ref()
    document = {"UpdateRuntimeOn": mode} | ({"RuntimeVersionArn": arn} if arn else {})

    def put() -> None:
        backend.registry.get(ref)  # the version must exist, too
        backend.configs.put(ref, ConfigKind.RUNTIME_MANAGEMENT, document, ref.qualifier or LATEST)

    await asyncio.to_thread(put)
    return _answer(ref, document)


@operation("GetRuntimeManagementConfig")
async def get_runtime_management_config(backend: Backend, call: Call) -> Result:
    """The setting of a version; Auto where none was made."""
    ref = call.ref()

    def get() -> dict[str, Any]:
        version = backend.registry.get(ref)
        kind = ConfigKind.RUNTIME_MANAGEMENT
        return dict(backend.configs.get(ref, kind, version.version) or _AUTO)

    return _answer(ref, await asyncio.to_thread(get))


def _answer(ref: FunctionRef, document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "FunctionArn": ref.qualified_arn}

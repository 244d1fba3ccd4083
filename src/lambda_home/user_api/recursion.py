"""Operations on what happens to recursive loops."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from lambda_home.registry.configs import ConfigKind
from lambda_home.user_api.operations import Backend, Call, Result, operation


@operation("PutFunctionRecursionConfig")
async def put_function_recursion_config(backend: Backend, call: Call) -> Result:
    """Let a function run in a recursive loop, or have it stopped."""
    document = {"RecursiveLoop": call.params["RecursiveLoop"]}
    ref = replace(call.ref(), qualifier=None)
    await asyncio.to_thread(backend.configs.put, ref, ConfigKind.RECURSION, document)
    return document


@operation("GetFunctionRecursionConfig")
async def get_function_recursion_config(backend: Backend, call: Call) -> Result:
    """Whether a recursive loop is stopped; it is unless somebody allowed it."""
    ref = replace(call.ref(), qualifier=None)
    document = await asyncio.to_thread(backend.configs.get, ref, ConfigKind.RECURSION)
    return dict(document) if document else {"RecursiveLoop": "Terminate"}

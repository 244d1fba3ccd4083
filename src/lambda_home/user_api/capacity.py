"""Operations on reserved concurrency and the account's limits."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from lambda_home.functions import TOTAL_CODE_LIMIT, UNZIPPED_LIMIT, ZIPPED_LIMIT
from lambda_home.user_api.operations import Backend, Call, Result, operation


@operation("PutFunctionConcurrency")
async def put_function_concurrency(backend: Backend, call: Call) -> Result:
    """Reserve concurrent executions for a function; 0 stops it."""
    value = await asyncio.to_thread(
        backend.registry.put_reserved,
        call.ref(),
        call.params["ReservedConcurrentExecutions"],
        backend.concurrency,
    )
    return {"ReservedConcurrentExecutions": value}


@operation("GetFunctionConcurrency")
async def get_function_concurrency(backend: Backend, call: Call) -> Result:
    """The reserved concurrency of a function; an empty answer where it has none."""
    value = await asyncio.to_thread(
        backend.registry.get_reserved, replace(call.ref(), qualifier=None)
    )
    return {"ReservedConcurrentExecutions": value}


@operation("DeleteFunctionConcurrency")
async def delete_function_concurrency(backend: Backend, call: Call) -> Result:
    """Give the reservation back."""
    await asyncio.to_thread(backend.registry.delete_reserved, replace(call.ref(), qualifier=None))
    return None


@operation("GetAccountSettings")
async def get_account_settings(backend: Backend, call: Call) -> Result:
    """The account's limits and what it uses of them."""
    usage = await asyncio.to_thread(backend.registry.usage, call.scope)
    taken = await asyncio.to_thread(backend.registry.taken, call.scope)
    return {
        "AccountLimit": {
            "TotalCodeSize": TOTAL_CODE_LIMIT,
            "CodeSizeUnzipped": UNZIPPED_LIMIT,
            "CodeSizeZipped": ZIPPED_LIMIT,
            "ConcurrentExecutions": backend.concurrency,
            "UnreservedConcurrentExecutions": backend.concurrency - sum(taken.values()),
        },
        "AccountUsage": {
            "TotalCodeSize": usage.total_code_size,
            "FunctionCount": usage.function_count,
        },
    }

"""Rate limits of functions, beside AWS's operations: `/api/admin/functions/{name}/rate-limit`.

`{name}` is a function's name or ARN without a qualifier; the body is `{"per_second": N}`. Errors
have AWS's shapes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lambda_home.access.callers import caller_in
from lambda_home.arns import FunctionRef
from lambda_home.errors import (
    InvalidParameterValueException,
    ResourceNotFoundException,
)
from lambda_home.registry.configs import ConfigKind
from lambda_home.user_api.admin_requests import in_aws_shape, read_object
from lambda_home.user_api.operations import Backend

PATH = "/api/admin/functions/{name}/rate-limit"
MOST_PER_SECOND = 1_000_000
_LONGEST_BODY = 4096


def rate_limit_routes(backend: Backend) -> APIRouter:
    """The three routes, for the user API."""
    router = APIRouter()

    @router.get(PATH, response_model=None)
    @in_aws_shape
    async def get(name: str, request: Request) -> Response:
        ref = _function(name, request)
        found = await asyncio.to_thread(backend.configs.get, ref, ConfigKind.RATE_LIMIT)
        if found is None:
            raise ResourceNotFoundException(f"No rate limit is set for: {ref.arn}")
        return JSONResponse(dict(found))

    @router.put(PATH, response_model=None)
    @in_aws_shape
    async def put(name: str, request: Request) -> Response:
        ref = _function(name, request)
        document = {"per_second": await _per_second(request)}
        await asyncio.to_thread(backend.configs.put, ref, ConfigKind.RATE_LIMIT, document)
        return JSONResponse(document)

    @router.delete(PATH, response_model=None)
    @in_aws_shape
    async def delete(name: str, request: Request) -> Response:
        ref = _function(name, request)
        await asyncio.to_thread(backend.configs.delete, ref, ConfigKind.RATE_LIMIT)
        return Response(status_code=204)

    def _function(name: str, request: Request) -> FunctionRef:
        ref = FunctionRef.parse(caller_in(request.scope).scope, name)
        if ref.qualifier is not None or "Qualifier" in request.query_params:
            raise InvalidParameterValueException(
                "A rate limit belongs to a function, not to a version or an alias: leave the"
                " qualifier out."
            )
        return ref

    return router


async def _per_second(request: Request) -> int:
    document = await read_object(request, _LONGEST_BODY)
    value: Any = document.get("per_second")
    if type(value) is not int or not 1 <= value <= MOST_PER_SECOND or len(document) > 1:
        raise InvalidParameterValueException(
            'The body must be {"per_second": N} with a whole number N from 1 to'
            f" {MOST_PER_SECOND}; DELETE removes a limit."
        )
    return value

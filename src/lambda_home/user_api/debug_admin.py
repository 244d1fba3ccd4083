"""Debuggers of functions, beside AWS's operations: `/api/admin/debug/{name}`.

`{name}` is a function's name or ARN without a qualifier. PUT, with `{"port": N}` or nothing, puts
`$LATEST` under a debugger; GET tells its port and how to attach; DELETE ends it. Errors have AWS's
shapes. And `/api/admin/hot-reload`: which functions are made of folders.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lambda_home.access.callers import caller_in
from lambda_home.arns import FunctionRef
from lambda_home.debugging.sessions import Debugging
from lambda_home.errors import InvalidParameterValueException
from lambda_home.hot_reload.reloading import HotReload
from lambda_home.user_api.admin_requests import in_aws_shape, read_object

PATH = "/api/admin/debug/{name}"
RELOADS_PATH = "/api/admin/hot-reload"
_LONGEST_BODY = 4096
_MOST_PORT = 65535
_SOMEWHERE = "${workspaceFolder}"


def debug_routes(debugging: Debugging, hot_reload: HotReload) -> APIRouter:
    """The routes, for the user API."""
    router = APIRouter()

    @router.get(PATH, response_model=None)
    @in_aws_shape
    async def get(name: str, request: Request) -> Response:
        ref = _function(name, request)
        return JSONResponse(await _look(ref))

    @router.put(PATH, response_model=None)
    @in_aws_shape
    async def put(name: str, request: Request) -> Response:
        ref = _function(name, request)
        await debugging.begin(ref, await _port(request))
        return JSONResponse(await _look(ref))

    @router.delete(PATH, response_model=None)
    @in_aws_shape
    async def delete(name: str, request: Request) -> Response:
        await debugging.end(_function(name, request))
        return Response(status_code=204)

    @router.get(RELOADS_PATH, response_model=None)
    @in_aws_shape
    async def reloads(request: Request) -> Response:
        scope = caller_in(request.scope).scope
        return JSONResponse({"Functions": hot_reload.look(scope)})

    async def _look(ref: FunctionRef) -> dict[str, Any]:
        return await debugging.look(ref, hot_reload.folder_of(ref) or _SOMEWHERE)

    def _function(name: str, request: Request) -> FunctionRef:
        ref = FunctionRef.parse(caller_in(request.scope).scope, name)
        if ref.qualifier is not None or "Qualifier" in request.query_params:
            raise InvalidParameterValueException(
                "Only $LATEST of a function can be debugged: leave the qualifier out."
            )
        return ref

    return router


async def _port(request: Request) -> int:
    document = await read_object(request, _LONGEST_BODY)
    value: Any = document.get("port", 0)
    if type(value) is not int or not 0 <= value <= _MOST_PORT or set(document) - {"port"}:
        raise InvalidParameterValueException(
            'The body must be {"port": N} with a port N, or {} for any free one.'
        )
    return value

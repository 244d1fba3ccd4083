"""Lambda@Home's statistics, at its paths and under `/api/admin`, and the level of the server's log.

    GET /admin/warm-pool/{name}, /docker-stats, /lambda-service-stats
    GET, PUT /api/admin/log-level       {"level": "debug", "invocations": true}, either or both

Whether the caller may do that is decided before (`front`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lambda_home import server_log
from lambda_home.access.callers import caller_in
from lambda_home.arns import FunctionRef
from lambda_home.errors import InvalidParameterValueException
from lambda_home.server_log import InvocationLog
from lambda_home.user_api.admin_requests import in_aws_shape, read_object
from lambda_home.user_api.statistics import Statistics

LEVEL_PATH: Final = "/api/admin/log-level"
_LONGEST_BODY: Final = 4096


def stats_routes(statistics: Statistics) -> APIRouter:
    """The routes of the statistics, for the user API."""
    router = APIRouter()

    @in_aws_shape
    async def warm_pool(name: str, request: Request) -> Response:
        ref = FunctionRef.parse(
            caller_in(request.scope).scope, name, request.query_params.get("Qualifier")
        )
        return JSONResponse(await statistics.pool_of(ref))

    for prefix in ("/admin", "/api/admin"):
        path = f"{prefix}/warm-pool/{{name}}"
        router.add_api_route(path, warm_pool, methods=["GET"], response_model=None)
    for prefix in ("", "/api", "/api/admin"):
        for name, read in (
            ("docker-stats", statistics.docker),
            ("lambda-service-stats", statistics.service),
        ):
            path = f"{prefix}/{name}"
            router.add_api_route(path, _answering(read), methods=["GET"], response_model=None)
    return router


def _answering(
    read: Callable[[], Awaitable[dict[str, Any]]],
) -> Callable[[], Awaitable[Response]]:
    @in_aws_shape
    async def answer() -> Response:
        return JSONResponse(await read())

    return answer


def log_level_routes(invocations: InvocationLog) -> APIRouter:
    """The routes of the log's level, for the user API."""
    router = APIRouter()

    @router.get(LEVEL_PATH, response_model=None)
    async def get() -> Response:
        return JSONResponse({"level": server_log.level(), "invocations": invocations.on})

    @router.put(LEVEL_PATH, response_model=None)
    @in_aws_shape
    async def put(request: Request) -> Response:
        level, on = _wanted(await read_object(request, _LONGEST_BODY))
        if level is not None:
            server_log.use_level(level)
        if on is not None:
            invocations.on = on
        return await get()

    return router


def _wanted(document: dict[str, Any]) -> tuple[str | None, bool | None]:
    """Which level, and whether invocations are logged. Raises InvalidParameterValueException."""
    level, on = document.get("level"), document.get("invocations")
    given = {name for name, value in (("level", level), ("invocations", on)) if value is not None}
    good = level is None or level in server_log.LEVELS
    if not given or given != set(document) or not good or not isinstance(on, bool | None):
        raise InvalidParameterValueException(
            'The body must be {"level": LEVEL} with one of'
            f' {", ".join(server_log.LEVELS)}; "invocations": true or false may be there, too,'
            " or alone."
        )
    return level, on

"""Reset, for tests: `POST /api/admin/reset`, with `?scope=account` only what the caller's has.

Whether the caller may do it is decided before (`front`): only admins may.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lambda_home.access.callers import caller_in
from lambda_home.errors import InvalidParameterValueException
from lambda_home.user_api.admin_requests import in_aws_shape

PATH: Final = "/api/admin/reset"
_SCOPES: Final = ("all", "account")


class Counted(Protocol):
    """What a reset has deleted."""

    @property
    def functions(self) -> tuple[object, ...]:
        """The functions."""

    @property
    def layers(self) -> int:
        """How many layers."""

    @property
    def events(self) -> int:
        """How many asynchronous invokes that waited."""

    @property
    def resources(self) -> int:
        """How many event source mappings, routes, secrets and other documents."""


def reset_routes(reset: Callable[[str | None], Awaitable[Counted]]) -> APIRouter:
    """The route, for the user API; `reset` is told an account, or None for all."""
    router = APIRouter()

    @router.post(PATH, response_model=None)
    @in_aws_shape
    async def post(request: Request) -> Response:
        scope = request.query_params.get("scope", "all")
        if scope not in _SCOPES or set(request.query_params) - {"scope"}:
            raise InvalidParameterValueException("The only parameter is scope: all, or account.")
        account = caller_in(request.scope).scope.account if scope == "account" else None
        deleted = await reset(account)
        return JSONResponse(
            {
                "functions": len(deleted.functions),
                "layers": deleted.layers,
                "events": deleted.events,
                "resources": deleted.resources,
            }
        )

    return router

"""The audit log: `GET /api/admin/audit?limit=N`, the newest entries first.

Whether the caller may read it is decided before (`front`).
"""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lambda_home.access.audit import AuditLog
from lambda_home.errors import InvalidParameterValueException
from lambda_home.user_api.admin_requests import in_aws_shape

PATH: Final = "/api/admin/audit"
_USUAL: Final = 100
_MOST: Final = 1000


def audit_routes(audit: AuditLog) -> APIRouter:
    """The route, for the user API."""
    router = APIRouter()

    @router.get(PATH, response_model=None)
    @in_aws_shape
    async def recent(request: Request) -> Response:
        given = request.query_params.get("limit", str(_USUAL))
        if not given.isascii() or not given.isdigit() or not 1 <= int(given[:9]) <= _MOST:
            raise InvalidParameterValueException(f"limit must be a number from 1 to {_MOST}.")
        entries = await asyncio.to_thread(audit.recent, int(given))
        return JSONResponse({"entries": entries})

    return router

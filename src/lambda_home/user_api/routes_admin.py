"""Routes of the path proxy: `/api/admin/api-gateway/routes`, as Lambda@Home has them, and PUT.

Also without `/api`, where Lambda@Home has them, too. A route is a JSON object whose members are
those of `gateway.routes.Route`; errors have AWS's shapes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lambda_home.errors import (
    InvalidParameterValueException,
    SerializationException,
)
from lambda_home.gateway.route_book import RouteBook
from lambda_home.gateway.route_documents import document_of
from lambda_home.user_api.admin_requests import in_aws_shape, read_object

PATHS = ("/api/admin/api-gateway/routes", "/admin/api-gateway/routes")
_LONGEST_BODY = 256 * 1024


def admin_routes(book: RouteBook) -> APIRouter:
    """The routes of both paths, for the user API."""
    router = APIRouter()
    served = _Served(book)
    for path in PATHS:
        one = path + "/{route_id}"
        for where, method, endpoint in (
            (path, "GET", served.listing),
            (path, "POST", served.add),
            (one, "GET", served.get),
            (one, "PUT", served.replace),
            (one, "DELETE", served.remove),
        ):
            router.add_api_route(
                where, in_aws_shape(endpoint), methods=[method], response_model=None
            )
    return router


class _Served:
    """The endpoints."""

    def __init__(self, book: RouteBook) -> None:
        self._book = book

    async def listing(self, request: Request) -> Response:
        del request
        return JSONResponse([document_of(route) for route in self._book.all()])

    async def get(self, request: Request) -> Response:
        return JSONResponse(document_of(self._book.get(request.path_params["route_id"])))

    async def add(self, request: Request) -> Response:
        document = await _document(request)
        route = await asyncio.to_thread(self._book.add, document)
        return JSONResponse(document_of(route), status_code=201)

    async def replace(self, request: Request) -> Response:
        route_id = request.path_params["route_id"]
        document = await _document(request)
        if document.get("route_id") not in (None, route_id):
            raise InvalidParameterValueException("route_id cannot change: leave it out.")
        route = await asyncio.to_thread(self._book.replace, route_id, document)
        return JSONResponse(document_of(route))

    async def remove(self, request: Request) -> Response:
        await asyncio.to_thread(self._book.remove, request.path_params["route_id"])
        return Response(status_code=204)


async def _document(request: Request) -> dict[str, Any]:
    try:
        return await read_object(request, _LONGEST_BODY)
    except SerializationException as error:
        raise InvalidParameterValueException(f"A route is a JSON object: {error.message}") from None

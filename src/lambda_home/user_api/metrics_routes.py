"""Metrics for Prometheus: `GET /metrics` and `GET /api/metrics`.

Whether the caller may read them is decided before (`front`).
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response

from lambda_home.user_api.admin_requests import in_aws_shape
from lambda_home.user_api.statistics import Statistics

PATHS: Final = ("/metrics", "/api/metrics")


def metrics_routes(statistics: Statistics) -> APIRouter:
    """The routes, for the user API."""
    router = APIRouter()

    @in_aws_shape
    async def scrape(request: Request) -> Response:
        text, content_type = await statistics.scrape(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})

    for path in PATHS:
        router.add_api_route(path, scrape, methods=["GET"], response_model=None)
    return router

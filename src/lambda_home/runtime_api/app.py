"""The runtime API's app: what people look at. Runtimes are served by `connection` and `routes`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI

from lambda_home import __version__
from lambda_home.http_io import Receive, Scope, Send


class RuntimeApi(FastAPI):
    """FastAPI for everything on the runtime API's port that is not a runtime's.

    `aws` serves what a function asks of AWS: its own environment's host name is the endpoint.
    """

    def __init__(self, aws: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        super().__init__(title="lambda_home runtime API", version=__version__, openapi_url=None)
        self.router.redirect_slashes = False
        self.router.default = aws
        for path in ("/healthz", "/2018-06-01/ping"):
            self.add_api_route(path, self._healthz, response_model=None)

    async def _healthz(self) -> dict[str, str]:
        return {"status": "ok"}

"""The runtime API's app: what people look at. Runtimes are served by `connection` and `routes`."""

from __future__ import annotations

from fastapi import FastAPI

from lambda_home import __version__


class RuntimeApi(FastAPI):
    """FastAPI for everything on the runtime API's port that is not a runtime's."""

    def __init__(self) -> None:
        super().__init__(title="lambda_home runtime API", version=__version__, openapi_url=None)
        self.router.redirect_slashes = False
        for path in ("/healthz", "/2018-06-01/ping"):
            self.add_api_route(path, self._healthz, response_model=None)

    async def _healthz(self) -> dict[str, str]:
        return {"status": "ok"}

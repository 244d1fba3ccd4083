"""Sessions of the console: `/api/admin/session`.

    POST   {"access_key_id": ID, "secret_access_key": SECRET}   204  logs in: sets the cookie
    GET                                                         200  {"arn", "account", "role"}
    DELETE                                                      204  logs out

Requests of these need no other authentication.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lambda_home.access.keys import AccessKeys
from lambda_home.access.sessions import COOKIE, LIFETIME_S, FailedLogins, Sessions, token_in
from lambda_home.errors import (
    ExpiredTokenException,
    InvalidParameterValueException,
    UnrecognizedClientException,
)
from lambda_home.user_api.admin_requests import in_aws_shape, read_object

PATH: Final = "/api/admin/session"
_LONGEST_BODY: Final = 4096
_MEMBERS: Final = frozenset({"access_key_id", "secret_access_key"})


def session_routes(
    keys: AccessKeys, sessions: Sessions, monotonic: Callable[[], float]
) -> APIRouter:
    """The routes, for the user API."""
    router = APIRouter()
    doors = _SessionRoutes(keys, sessions, monotonic)
    router.add_api_route(PATH, doors.log_in, methods=["POST"], response_model=None)
    router.add_api_route(PATH, doors.who, methods=["GET"], response_model=None)
    router.add_api_route(PATH, doors.log_out, methods=["DELETE"], response_model=None)
    return router


class _SessionRoutes:
    def __init__(
        self, keys: AccessKeys, sessions: Sessions, monotonic: Callable[[], float]
    ) -> None:
        self._keys = keys
        self._sessions = sessions
        self._monotonic = monotonic
        self._failed = FailedLogins()
        self.log_in = in_aws_shape(self._log_in)
        self.who = in_aws_shape(self._who)
        self.log_out = in_aws_shape(self._log_out)

    async def _log_in(self, request: Request) -> Response:
        address = request.client.host if request.client is not None else ""
        self._failed.check(address, self._monotonic())
        document = await read_object(request, _LONGEST_BODY)
        given = [document.get(member) for member in sorted(_MEMBERS)]
        access_key_id, secret = given
        if (
            not isinstance(access_key_id, str)
            or not isinstance(secret, str)
            or set(document) != _MEMBERS
        ):
            raise InvalidParameterValueException(
                'The body must be {"access_key_id": ID, "secret_access_key": SECRET}.'
            )
        if not self._is_right(access_key_id, secret):
            self._failed.failed(address, self._monotonic())
            raise UnrecognizedClientException(
                "The access key id or its secret is wrong, or the key is disabled."
            )
        token = self._sessions.open(access_key_id)
        return self._with_cookie(request, token, LIFETIME_S)

    async def _who(self, request: Request) -> Response:
        token = _token(request)
        access_key_id = self._sessions.find(token) if token is not None else None
        key = self._keys.find(access_key_id) if access_key_id is not None else None
        if key is None:
            raise UnrecognizedClientException("Nobody is logged in here.")
        known = {"arn": key.arn, "account": key.account, "role": str(key.role)}
        return JSONResponse(known, headers={"Cache-Control": "no-store"})

    async def _log_out(self, request: Request) -> Response:
        token = _token(request)
        if token is not None:
            self._sessions.close(token)
        return self._with_cookie(request, "", 0)

    def _is_right(self, access_key_id: str, secret: str) -> bool:
        try:
            return self._keys.with_secret(access_key_id, secret) is not None
        except (ExpiredTokenException, UnrecognizedClientException):
            return False  # an environment's: nobody logs in with those

    @staticmethod
    def _with_cookie(request: Request, token: str, seconds: int) -> Response:
        response = Response(status_code=204)
        response.set_cookie(
            COOKIE,
            token,
            max_age=seconds,
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response


def _token(request: Request) -> str | None:
    return token_in(request.headers.get("cookie", ""))
